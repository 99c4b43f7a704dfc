//! One actor, and peers that are made by hand: frames in, frames out.

use bytes::Bytes;
use tractor_core::msg::{Aid, Extension, Features, Msg};
use tractor_core::wire::frame::{Deframer, put_frame};
use tractor_core::{Actor, Config, ConnId, Input, Instant, Output, Uid};

/// The actor and its time.
#[derive(Debug)]
pub struct Stage {
    /// The actor.
    pub actor: Actor,
    /// Its time.
    pub now: Instant,
    /// What it decided and nobody has looked at yet.
    pub outputs: Vec<Output>,
}

impl Stage {
    /// An actor that has not booted.
    pub fn new(config: Config) -> Stage {
        let now = Instant::default();
        Stage { actor: Actor::new(config, [7; 32], now), now, outputs: Vec::new() }
    }

    /// A fact.
    pub fn fact(&mut self, input: Input) {
        self.actor.handle_input(self.now, input);
        self.drain();
    }

    /// Takes what it decided.
    pub fn drain(&mut self) {
        while let Some(output) = self.actor.poll_output() {
            self.outputs.push(output);
        }
    }

    /// Bytes come in, in pieces of as much as is asked for. Whether all were read.
    pub fn receive(&mut self, conn: ConnId, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let Some(buf) = self.actor.recv_buf(conn) else { return false };
            let len = buf.len().min(bytes.len());
            buf[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.fact(Input::Received { conn, len });
        }
        true
    }

    /// A message comes in.
    pub fn say(&mut self, conn: ConnId, msg: &Msg) -> bool {
        self.receive(conn, &frame(msg))
    }

    /// Everything that waits to be written there, as messages.
    ///
    /// # Panics
    /// When it is no whole messages.
    pub fn hear(&mut self, conn: ConnId) -> Vec<Msg> {
        let mut bytes = Vec::new();
        while let Some(mut out) = self.actor.take_outbox(conn) {
            let taken = crate::front(&out, usize::MAX);
            out.advance(taken.len());
            bytes.extend(taken);
            self.actor.put_back(self.now, conn, out);
        }
        self.drain();
        messages(&bytes)
    }
}

/// The messages in a stream of whole frames.
fn messages(mut bytes: &[u8]) -> Vec<Msg> {
    let mut deframer = Deframer::new(usize::MAX);
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let buf = deframer.recv_buf();
        let len = buf.len().min(bytes.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        deframer.received(len);
        bytes = &bytes[len..];
        while let Some(body) = deframer.next().expect("we write frames") {
            found.push(Msg::decode(body).expect("we write messages"));
        }
    }
    assert!(!deframer.mid_frame(), "and whole ones");
    found
}

/// A message as a frame.
pub fn frame(msg: &Msg) -> Bytes {
    let mut out = Vec::new();
    put_frame(&mut out, |out| msg.encode(Features::ALL, out));
    out.into()
}

/// How a peer introduces itself.
pub fn aid(uid: &Uid, pid: u64, features: Features) -> Msg {
    let ext = Extension { version_min: 1, version_max: 1, features, build: 0, token: None };
    let ext = (features != Features::BASE).then_some(ext);
    let (uid, pid) = (uid.clone(), Some(pid));
    Msg::Aid(Aid { uid, pid, is_registrar: None, is_probe: false, ext })
}
