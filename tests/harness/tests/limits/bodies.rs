//! Bodies by hand, and messages that many tests send.

use bytes::Bytes;
use tractor_core::Cid;
use tractor_core::msg::{Msg, Request, Start};
use tractor_core::wire::frame::put_frame;
use tractor_core::wire::pack;
use tractor_harness::fuzz::stage;

use crate::siege::uid;

/// A frame with this tag and these entries, whose values are encoded already.
pub(crate) fn tagged(tag: &str, entries: &[(&str, &[u8])]) -> Bytes {
    let mut out = Vec::new();
    put_frame(&mut out, |out| {
        pack::put_map(out, 1 + entries.len());
        pack::put_str(out, "msg_type");
        pack::put_str(out, tag);
        for (key, value) in entries {
            pack::put_str(out, key);
            out.extend_from_slice(value);
        }
    });
    out.into()
}

/// A uid, encoded.
pub(crate) fn uid_bytes(n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    tractor_core::msg::codec::encode_uid(&uid(n), &mut out);
    out
}

/// The `Start` of a task by the `n`th peer, by hand.
pub(crate) fn start_with(n: usize, kwargs: &[u8]) -> Bytes {
    let asker = uid_bytes(n);
    tagged(
        "Start",
        &[
            ("cid", &[0x09]),
            ("ns", b"\xa3app"),
            ("func", b"\xa1f"),
            ("kwargs", kwargs),
            ("uid", &asker),
        ],
    )
}

/// The same as a message.
pub(crate) fn start(n: usize, cid: Cid, kwargs: Bytes) -> Bytes {
    let (ns, func) = ("app".into(), "f".into());
    stage::frame(&Msg::Start(Start { cid, ns, func, kwargs, uid: uid(n) }))
}

pub(crate) const NO_KWARGS: Bytes = Bytes::from_static(&[0x80]);

/// What the `n`th peer asks of the runtime.
pub(crate) fn request(n: usize, cid: Cid, request: Request) -> Bytes {
    stage::frame(&Msg::Request { cid, uid: uid(n), request })
}

/// The names that a peer which connected gives its dialogs: odd numbers.
pub(crate) fn cid(n: usize) -> Cid {
    Cid::Num(2 * n as u64 + 3)
}

/// An array or a map of so many entries that do not come.
pub(crate) fn claims(marker: u8) -> Vec<u8> {
    vec![marker, 0xff, 0xff, 0xff, 0xff]
}
