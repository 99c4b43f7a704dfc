//! A peer that speaks the base protocol alone, byte by byte: what it says is written out here, and
//! what it hears is compared with what the reference would say.

use std::collections::BTreeSet;

use tractor::Result;

use crate::peer::{Peer, framed};
use crate::siege::{Target, besieged, module};

/// A text of up to 31 bytes, or of up to 255.
fn text(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    let head = if len < 32 { vec![0xa0 + len] } else { vec![0xd9, len] };
    [head, text.as_bytes().to_vec()].concat()
}

/// A map of texts to values that are encoded already.
fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0x80 + u8::try_from(entries.len()).unwrap()];
    for (key, value) in entries {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes
}

fn uid(name: &str, uuid: &str) -> Vec<u8> {
    [vec![0x92], text(name), text(uuid)].concat()
}

struct Base {
    peer: Peer,
    /// The target's uid, encoded.
    them: Vec<u8>,
}

const NIL: u8 = 0xc0;
const TRUE: u8 = 0xc3;

impl Base {
    /// Greets as the reference does, and finds our `Aid` to be one with a key more.
    fn meet(target: &Target) -> Base {
        let mut peer = Peer::connect(&target.path);
        let aid = map(&[
            ("msg_type", text("Aid")),
            ("name", text("python")),
            ("uuid", text("6e1f2bd5-2b2a-4b8c-8a52-0f0e0c0b0a09")),
            ("pid", vec![0xcd, 0x12, 0x34]),
            ("is_registrar", vec![0xc2]),
            ("is_probe", vec![0xc2]),
        ]);
        assert!(peer.write(&framed(&aid)));
        let theirs = peer.recv_body().unwrap();
        assert_eq!(theirs[0], 0x87, "six keys and `ext`");
        let Ok(tractor_core::msg::Msg::Aid(theirs)) =
            tractor_core::msg::Msg::decode(bytes::Bytes::from(theirs))
        else {
            panic!("no Aid")
        };
        let them = uid(theirs.uid.name.as_str(), theirs.uid.uuid.as_str());
        Base { peer, them }
    }

    fn start(&mut self, cid: &str, ns: &str, func: &str, kwargs: Vec<u8>) {
        let start = map(&[
            ("msg_type", text("Start")),
            ("cid", text(cid)),
            ("ns", text(ns)),
            ("func", text(func)),
            ("kwargs", kwargs),
            ("uid", uid("python", "6e1f2bd5-2b2a-4b8c-8a52-0f0e0c0b0a09")),
            ("pld_spec", text("typing.Any")),
        ]);
        assert!(self.peer.write(&framed(&start)));
    }

    fn say(&mut self, tag: &str, fields: &[(&str, Vec<u8>)]) {
        assert!(self.peer.write(&framed(&message(tag, fields))));
    }

    #[track_caller]
    fn hears(&mut self, tag: &str, fields: &[(&str, Vec<u8>)]) {
        let body = self.peer.recv_body().unwrap();
        let expected = message(tag, fields);
        assert!(body == expected, "{}\nand not\n{}", show(&body), show(&expected));
    }

    /// The question whether the items so far were handed over, which it answers. Its cid.
    #[track_caller]
    fn is_asked(&mut self) -> String {
        const CID: &[u8] = b"\xa3cid\xd9\x24";
        let body = self.peer.recv_body().unwrap();
        assert!(body.windows(12).any(|part| part == b"_cancel_task"), "{}", show(&body));
        let at = body.windows(CID.len()).position(|part| part == CID).unwrap() + CID.len();
        let cid = String::from_utf8(body[at..at + 36].to_vec()).unwrap();
        self.say("StartAck", &[("cid", text(&cid)), ("functype", text("asyncfunc"))]);
        self.say("CancelAck", &[("cid", text(&cid)), ("pld", vec![TRUE])]);
        cid
    }

    /// An error of this type with this text, about this dialog.
    #[track_caller]
    fn hears_error(&mut self, cid: &str, kind: &str, message: &str, canceller: Vec<u8>) {
        let fields = [
            ("src_uid", self.them.clone()),
            ("src_type_str", text(kind)),
            ("boxed_type_str", text(kind)),
            ("relay_path", [vec![0x91], self.them.clone()].concat()),
            ("message", text(message)),
            // What the reference shows of an error: it ends with its text.
            ("tb_str", text(&format!("{kind}: {message}\n"))),
            ("canceller", canceller),
            ("sender", vec![NIL]),
            ("cid", text(cid)),
            ("_bad_msg", vec![NIL]),
            ("_bad_msg_as_dict", vec![NIL]),
        ];
        self.hears("Error", &fields);
    }
}

fn message(tag: &str, fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    map(&[&[("msg_type", text(tag))], fields].concat())
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn call(target: &Target) {
    let mut base = Base::meet(target);
    let module = module();
    let ns = module.name();
    let cid = "0b4e7b8e-4c53-4a63-a3a1-6d8f6b7f4d10";
    base.start(cid, ns, "add", map(&[("a", vec![3]), ("b", vec![4])]));
    base.hears("StartAck", &[("cid", text(cid)), ("functype", text("asyncfunc"))]);
    base.hears("Return", &[("cid", text(cid)), ("pld", vec![7])]);
    // What can't be is an error without an acknowledgement.
    base.start("2", "os", "system", map(&[]));
    base.hears_error("2", "ModuleNotExposed", "the module `os` is not enabled here", vec![NIL]);
    base.start("3", "self", "__init__", map(&[]));
    let none = "the runtime has no function `__init__`";
    base.hears_error("3", "AttributeError", none, vec![NIL]);
}

fn stream(target: &Target) {
    let mut base = Base::meet(target);
    let module = module();
    base.start("1", module.name(), "doubler", map(&[]));
    base.hears("StartAck", &[("cid", text("1")), ("functype", text("context"))]);
    base.hears("Started", &[("cid", text("1")), ("pld", vec![NIL])]);
    // No credit is given to those who don't know it, and no pack is sent.
    let mut asked = BTreeSet::new();
    for n in 0..50 {
        base.say("Yield", &[("cid", text("1")), ("pld", vec![n])]);
        base.hears("Yield", &[("cid", text("1")), ("pld", vec![2 * n])]);
        if n % 4 == 3 {
            asked.insert(base.is_asked());
        }
    }
    assert_eq!(asked.len(), 1, "the reference keeps each name for good");
    base.say("Stop", &[("cid", text("1"))]);
    // A callee whose caller stopped first sends no Stop of its own.
    base.hears("Return", &[("cid", text("1")), ("pld", vec![50])]);
}

/// The acknowledgement comes last, once the task has ended.
fn cancel(target: &Target) {
    let mut base = Base::meet(target);
    let module = module();
    base.start("1", module.name(), "hoarder", map(&[("keep", vec![0])]));
    base.hears("StartAck", &[("cid", text("1")), ("functype", text("context"))]);
    base.hears("Started", &[("cid", text("1")), ("pld", vec![NIL])]);
    base.start("2", module.name(), "linger", map(&[]));
    base.hears("StartAck", &[("cid", text("2")), ("functype", text("asyncfunc"))]);
    let us = uid("python", "6e1f2bd5-2b2a-4b8c-8a52-0f0e0c0b0a09");
    let told = "the task was cancelled by python@6e1f2bd5";
    base.start("3", "self", "_cancel_task", map(&[("cid", text("2"))]));
    base.hears("StartAck", &[("cid", text("3")), ("functype", text("asyncfunc"))]);
    base.hears_error("2", "ContextCancelled", told, us.clone());
    base.hears("CancelAck", &[("cid", text("3")), ("pld", vec![TRUE])]);
    // With a stream that was open: its Stop comes first.
    base.start("4", "self", "_cancel_task", map(&[("cid", text("1"))]));
    base.hears("StartAck", &[("cid", text("4")), ("functype", text("asyncfunc"))]);
    base.hears("Stop", &[("cid", text("1"))]);
    base.hears_error("1", "ContextCancelled", told, us);
    base.hears("CancelAck", &[("cid", text("4")), ("pld", vec![TRUE])]);
    // One that has ended, or never was.
    base.start("5", "self", "_cancel_task", map(&[("cid", text("never"))]));
    base.hears("StartAck", &[("cid", text("5")), ("functype", text("asyncfunc"))]);
    base.hears("CancelAck", &[("cid", text("5")), ("pld", vec![TRUE])]);
}

#[tractor::test]
async fn base_peer_is_served_with_the_bases_bytes() -> Result<()> {
    besieged(|targets| {
        targets.each(|target| {
            call(target);
            stream(target);
            cancel(target);
        });
    })
    .await?;
    Ok(())
}

/// Without credit the receiver's limit is 64 items: the 65th unread one is an overrun, told in the
/// base's words, and the task ends.
#[tractor::test]
async fn base_peer_that_sends_too_fast_is_told() -> Result<()> {
    let attack = |target: &Target| {
        let mut base = Base::meet(target);
        let module = module();
        base.start("1", module.name(), "hoarder", map(&[("keep", vec![0])]));
        base.hears("StartAck", &[("cid", text("1")), ("functype", text("context"))]);
        base.hears("Started", &[("cid", text("1")), ("pld", vec![NIL])]);
        for _ in 0..65 {
            base.say("Yield", &[("cid", text("1")), ("pld", vec![1])]);
        }
        let name = crate::peer::cid("1");
        let (kind, _) = base.peer.error(&name);
        assert_eq!(kind, "StreamOverrun");
        base.start("2", module.name(), "add", map(&[("a", vec![1]), ("b", vec![1])]));
        base.hears("StartAck", &[("cid", text("2")), ("functype", text("asyncfunc"))]);
        base.hears("Return", &[("cid", text("2")), ("pld", vec![2])]);
    };
    besieged(move |targets| targets.each(attack)).await?;
    Ok(())
}
