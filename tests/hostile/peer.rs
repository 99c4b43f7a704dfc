//! A peer that is nothing but a socket: it says what it is told to, be it wrong, and reads only
//! when it is told to. Every wait of it has a deadline.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tractor_core::msg::{Aid, Extension, Features, Msg, Request, Start};
use tractor_core::{Cid, Text, Uid};

use crate::siege;

/// Longer than any answer takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// A dialog's name, as peers without short cids have it.
pub(crate) fn cid(name: &str) -> Cid {
    Cid::Text(Text::from(name))
}

/// A map of arguments.
pub(crate) fn kwargs<const N: usize>(entries: [(&str, u64); N]) -> Bytes {
    let map = std::collections::BTreeMap::from(entries);
    Bytes::from(rmp_serde::to_vec(&map).unwrap())
}

/// A body with its length in front.
pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

pub(crate) struct Peer {
    pub(crate) socket: UnixStream,
    pub(crate) uid: Uid,
    /// The process that it says it is.
    pub(crate) pid: u32,
    pub(crate) features: Features,
}

impl Peer {
    /// Connected, and silent.
    pub(crate) fn connect(to: &Path) -> Peer {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let socket = UnixStream::connect(to).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let uuid = Text::from(format!("{number:08}-hostile-{}", std::process::id()));
        let uid = Uid { name: Text::from_static("stranger"), uuid };
        Peer { socket, uid, pid: std::process::id(), features: Features::BASE }
    }

    /// With the handshake done, and all extensions.
    pub(crate) fn meet(to: &Path) -> Peer {
        Peer::connect(to).greet(Features::ALL)
    }

    /// With the handshake done, as the base has it.
    pub(crate) fn meet_base(to: &Path) -> Peer {
        Peer::connect(to).greet(Features::BASE)
    }

    pub(crate) fn greet(mut self, features: Features) -> Peer {
        let aid = self.aid(features);
        self.send(&Msg::Aid(aid));
        self.features = features;
        let Some(Msg::Aid(theirs)) = self.recv() else { panic!("not greeted") };
        assert!(theirs.ext.is_some(), "{theirs:?}");
        self
    }

    pub(crate) fn aid(&self, features: Features) -> Aid {
        let ext = Extension { version_min: 1, version_max: 1, features, build: 0, token: None };
        Aid {
            uid: self.uid.clone(),
            pid: Some(u64::from(self.pid)),
            is_registrar: Some(false),
            is_probe: false,
            ext: (features != Features::BASE).then_some(ext),
        }
    }

    /// Writes as they are. `false`: the other end has closed.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        match self.socket.write_all(bytes) {
            Ok(()) => true,
            Err(e) if [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&e.kind()) => {
                false
            }
            Err(e) => panic!("writing: {e}"),
        }
    }

    pub(crate) fn encoded(&self, msg: &Msg) -> Vec<u8> {
        let mut body = Vec::new();
        msg.encode(self.features, &mut body);
        framed(&body)
    }

    pub(crate) fn send(&mut self, msg: &Msg) -> bool {
        let frame = self.encoded(msg);
        self.write(&frame)
    }

    pub(crate) fn start_msg(&self, cid: &Cid, func: &str, kwargs: Bytes) -> Msg {
        let (ns, func) = (Text::from(siege::module().name()), Text::from(func));
        Msg::Start(Start { cid: cid.clone(), ns, func, kwargs, uid: self.uid.clone() })
    }

    /// Asks for a task of `victim`.
    pub(crate) fn start(&mut self, cid: &Cid, func: &str, kwargs: Bytes) {
        let msg = self.start_msg(cid, func, kwargs);
        assert!(self.send(&msg), "closed before {func} was asked for");
    }

    pub(crate) fn request_msg(&self, cid: &Cid, request: Request) -> Msg {
        Msg::Request { cid: cid.clone(), uid: self.uid.clone(), request }
    }

    pub(crate) fn request(&mut self, cid: &Cid, request: Request) {
        let msg = self.request_msg(cid, request);
        assert!(self.send(&msg), "closed before the request");
    }

    /// The next frame's body; `None` at the end of the stream, which may not be inside of a frame.
    pub(crate) fn recv_body(&mut self) -> Option<Vec<u8>> {
        let mut prefix = [0; 4];
        if !self.fill(&mut prefix, true) {
            return None;
        }
        let mut body = vec![0; u32::from_le_bytes(prefix) as usize];
        assert!(self.fill(&mut body, false), "closed inside of a frame");
        Some(body)
    }

    pub(crate) fn recv(&mut self) -> Option<Msg> {
        let body = self.recv_body()?;
        Some(Msg::decode(Bytes::from(body)).unwrap())
    }

    fn fill(&mut self, mut buf: &mut [u8], may_end: bool) -> bool {
        let whole = buf.len();
        while !buf.is_empty() {
            match self.socket.read(buf) {
                Ok(0) => {
                    assert!(may_end && buf.len() == whole, "closed inside of a frame");
                    return false;
                }
                Ok(len) => buf = &mut buf[len..],
                Err(e) if e.kind() == ErrorKind::ConnectionReset && may_end => return false,
                Err(e) => panic!("reading: {e}"),
            }
        }
        true
    }

    /// The acknowledgement of a dialog's begin.
    pub(crate) fn accepted(&mut self, name: &Cid) {
        loop {
            match self.recv().expect("closed instead of an acknowledgement") {
                Msg::StartAck { cid, .. } if cid == *name => return,
                Msg::Error { cid: Some(cid), error } if cid == *name => panic!("{error:?}"),
                _ => {}
            }
        }
    }

    /// Waits until a context is set up. Whether its stream's credit overtook that.
    pub(crate) fn set_up(&mut self, name: &Cid) -> bool {
        let mut credit = false;
        loop {
            match self.answer(name) {
                Msg::Credit { .. } => credit = true,
                Msg::Started { .. } => return credit,
                msg => panic!("{msg:?}"),
            }
        }
    }

    /// The next message about this dialog that is no acknowledgement of its begin.
    pub(crate) fn answer(&mut self, to: &Cid) -> Msg {
        loop {
            match self.recv() {
                Some(Msg::StartAck { .. }) => {}
                Some(msg) if msg.cid() == Some(to) => return msg,
                Some(_) => {}
                None => panic!("closed instead of an answer to {to}"),
            }
        }
    }

    /// The type and text of the error that this dialog ends with.
    pub(crate) fn error(&mut self, of: &Cid) -> (String, String) {
        match self.answer(of) {
            Msg::Error { error, .. } => {
                let text = error.message.unwrap_or_default();
                (error.boxed_type.as_str().to_owned(), text.as_str().to_owned())
            }
            msg => panic!("{msg:?}"),
        }
    }

    /// That the connection still serves: by the sum that it is asked for.
    pub(crate) fn still_serves(&mut self) {
        let name = cid("still there?");
        self.start(&name, "add", kwargs([("a", 3), ("b", 4)]));
        match self.answer(&name) {
            Msg::Return { pld, .. } => assert_eq!(&pld[..], [7]),
            msg => panic!("{msg:?}"),
        }
    }

    /// As [`still_serves`](Self::still_serves), where nothing is enabled.
    pub(crate) fn still_refuses(&mut self) {
        let name = cid("still there?");
        self.start(&name, "add", kwargs([]));
        assert_eq!(self.error(&name).0, "ModuleNotExposed");
    }

    /// That the other end closes, between two frames, within this time.
    #[track_caller]
    pub(crate) fn is_closed_within(&mut self, limit: Duration) {
        let began = Instant::now();
        while self.recv_body().is_some() {}
        let took = began.elapsed();
        assert!(took < limit, "closed only after {took:?}");
    }

    /// That the other end closes at once: no deadline of the protocol's is as short.
    #[track_caller]
    pub(crate) fn is_closed(&mut self) {
        self.is_closed_within(Duration::from_secs(4));
    }
}
