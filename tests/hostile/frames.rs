//! Bytes that break a rule of the connection: it is closed, at once and between two frames, and
//! nothing else is.

use std::io::Read as _;

use bytes::Bytes;
use tractor::Result;
use tractor_core::msg::{Features, Msg, Request, SpawnSpec, Start};
use tractor_core::{Cid, Text, Uid};

use crate::peer::{Peer, cid, framed, kwargs};
use crate::siege::{Target, besieged, module};

/// The body of a message with this tag, and these bytes as its other entries.
fn tagged(tag: &str, entries: u8, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![0x81 + entries, 0xa8];
    body.extend_from_slice(b"msg_type");
    body.push(0xa0 + u8::try_from(tag.len()).unwrap());
    body.extend_from_slice(tag.as_bytes());
    body.extend_from_slice(rest);
    framed(&body)
}

/// Arrays in arrays.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = vec![0x91; depth];
    bytes.push(0xc0);
    bytes
}

/// What no connection may begin with.
fn bad_beginnings(peer: &Peer) -> Vec<(&'static str, Vec<u8>)> {
    let aid = peer.encoded(&Msg::Aid(peer.aid(Features::ALL)));
    let mut cut = aid.clone();
    cut[0] -= 1;
    let mut longer = framed(&[&aid[4..], &[0xc0]].concat());
    longer.push(0);
    vec![
        ("an empty frame", vec![0, 0, 0, 0]),
        ("text", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("no MessagePack", framed(&[0xc1])),
        ("no map", framed(&[0x93, 1, 2, 3])),
        ("a frame over the early limit", 4097u32.to_le_bytes().to_vec()),
        ("a length of 4 GiB", vec![0xff; 4]),
        ("a nesting bomb", framed(&nested(4000))),
        ("an unknown tag", tagged("Nope", 0, &[])),
        ("a count that is not there", framed(&[0xdf, 0xff, 0xff, 0xff, 0xff])),
        ("no name", tagged("Aid", 1, b"\xa4uuid\xa1x")),
        ("a name that is no text", tagged("Aid", 2, b"\xa4name\x01\xa4uuid\xa1x")),
        ("a name that is not UTF-8", tagged("Aid", 2, b"\xa4name\xa1\xff\xa4uuid\xa1x")),
        ("a cut message", cut),
        ("bytes behind the message", longer),
        ("no Aid", peer.encoded(&peer.start_msg(&cid("1"), "add", kwargs([])))),
    ]
}

/// What nobody may say on an open connection.
fn bad_words(peer: &Peer) -> Vec<(&'static str, Vec<u8>)> {
    let foreign = Uid { name: Text::from("worker"), uuid: peer.uid.uuid.clone() };
    let start = Start {
        cid: cid("1"),
        ns: Text::from(module().name()),
        func: Text::from("add"),
        kwargs: kwargs([("a", 1), ("b", 2)]),
        uid: foreign.clone(),
    };
    let request = Msg::Request { cid: cid("1"), uid: foreign, request: Request::List };
    let linger = peer.encoded(&peer.start_msg(&cid("1"), "linger", kwargs([])));
    let bomb = Bytes::from([b"\x81\xa1a".to_vec(), nested(1000)].concat());
    let spec = SpawnSpec {
        parent_main_data: Bytes::from_static(&[0x80]),
        runtime_vars: Bytes::from_static(&[0x80]),
        enable_modules: Vec::new(),
        reg_addrs: Vec::new(),
        bind_addrs: None,
    };
    vec![
        ("a second Aid", peer.encoded(&Msg::Aid(peer.aid(Features::ALL)))),
        ("an empty frame", vec![0, 0, 0, 0]),
        ("no MessagePack", framed(&[0xc1])),
        ("a frame over the limit", ((16u32 << 20) + 1).to_le_bytes().to_vec()),
        ("a length of 4 GiB", vec![0xff; 4]),
        ("a nesting bomb", framed(&nested(100_000))),
        ("a nesting bomb in arguments", peer.encoded(&peer.start_msg(&cid("1"), "add", bomb))),
        ("an unknown tag", tagged("Nope", 0, &[])),
        ("two tags", tagged("Stop", 2, b"\xa8msg_type\xa4Stop\xa3cid\xa11")),
        ("arguments that are no map", {
            peer.encoded(&peer.start_msg(&cid("1"), "add", Bytes::from_static(&[0x90])))
        }),
        ("somebody else's call", peer.encoded(&Msg::Start(start))),
        ("somebody else's request", peer.encoded(&request)),
        ("instructions", peer.encoded(&Msg::SpawnSpec(spec))),
        ("a child's word", peer.encoded(&Msg::Ready { addrs: Vec::new() })),
        ("one name for two calls", [linger.clone(), linger].concat()),
    ]
}

fn begin_badly(target: &Target) {
    let count = bad_beginnings(&Peer::connect(&target.path)).len();
    for at in 0..count {
        let mut peer = Peer::connect(&target.path);
        let (what, bytes) = bad_beginnings(&peer).swap_remove(at);
        eprintln!("{}: beginning with {what}", target.name);
        peer.write(&bytes);
        // Their Aid may be on its way; nothing else comes.
        let mut frames = 0;
        while let Some(msg) = peer.recv() {
            assert!(matches!(msg, Msg::Aid(_)), "{what}: {msg:?}");
            frames += 1;
        }
        assert!(frames <= 1, "{what}: {frames} frames");
    }
}

fn speak_badly(target: &Target) {
    let mut witness = Peer::meet(&target.path);
    let count = bad_words(&witness).len();
    for at in 0..count {
        let mut peer = Peer::meet(&target.path);
        peer.still_serves();
        let (what, bytes) = bad_words(&peer).swap_remove(at);
        eprintln!("{}: {what}", target.name);
        peer.write(&bytes);
        peer.is_closed();
        witness.still_serves();
    }
}

#[tractor::test]
async fn bad_beginning_closes_that_connection() -> Result<()> {
    besieged(|targets| targets.each(begin_badly)).await?;
    Ok(())
}

#[tractor::test]
async fn bad_word_closes_that_connection() -> Result<()> {
    besieged(|targets| targets.each(speak_badly)).await?;
    Ok(())
}

/// Extensions that were not agreed on: each is a violation from a base peer, and none from another.
#[tractor::test]
async fn extension_that_was_not_negotiated_closes_the_connection() -> Result<()> {
    let words = |cid: Cid| {
        [
            Msg::Credit { cid: cid.clone(), items: 1, bytes: 64 },
            Msg::Yields { cid, count: 1, plds: Bytes::from_static(&[1]) },
            Msg::Goodbye { reason: Text::from("bye") },
        ]
    };
    let attack = move |target: &Target| {
        for msg in words(cid("nobody's")) {
            let mut peer = Peer::meet_base(&target.path);
            peer.send(&msg);
            peer.is_closed();
            let mut peer = Peer::meet(&target.path);
            peer.send(&msg);
            peer.still_serves();
        }
    };
    besieged(move |targets| targets.each(attack)).await?;
    Ok(())
}

/// Ends of the stream where none may be, with and without something unread.
#[tractor::test]
async fn connection_that_ends_anywhere_ends_alone() -> Result<()> {
    let attack = |target: &Target| {
        for round in 0..50 {
            let mut peer = Peer::meet(&target.path);
            peer.start(&cid("1"), "linger", kwargs([]));
            let frame = peer.encoded(&peer.start_msg(&cid("2"), "add", kwargs([("a", 1)])));
            let part = 1 + round % (frame.len() - 1);
            peer.write(&frame[..part]);
            if round % 2 == 0 {
                // What is unread makes a reset of the end.
                let mut one = [0];
                peer.socket.read_exact(&mut one).unwrap();
            } else {
                peer.socket.shutdown(std::net::Shutdown::Write).unwrap();
                peer.is_closed();
            }
        }
        Peer::meet(&target.path).still_serves();
    };
    besieged(move |targets| targets.each(attack)).await?;
    Ok(())
}

/// A length is believed once its bytes came: nothing is allocated for a claim.
#[tractor::test]
async fn claimed_length_costs_no_memory() -> Result<()> {
    let attack = |target: &Target| {
        let before = target.memory();
        let junk = vec![0x5a; 1 << 20];
        for _ in 0..20 {
            let mut peer = Peer::connect(&target.path);
            // Megabytes behind a length of 4 GiB: as many as it takes, it is closed at the first.
            let sent = (0..8).take_while(|_| peer.write(&[0xff; 4]) && peer.write(&junk)).count();
            assert!(sent < 8, "all was taken");
        }
        // Claims of just what is allowed, of which next to nothing comes.
        let claims: Vec<Peer> = (0..50)
            .map(|_| {
                let mut peer = Peer::meet(&target.path);
                peer.write(&(16u32 << 20).to_le_bytes());
                peer.write(&junk[..1000]);
                peer
            })
            .collect();
        let mut witness = Peer::meet(&target.path);
        witness.still_serves();
        let grown = target.peak().saturating_sub(before);
        eprintln!("{}: {} KiB more", target.name, grown >> 10);
        assert!(grown < 24 << 20, "{grown} bytes for 50 claims of 16 MiB");
        drop(claims);
    };
    besieged(move |targets| attack(&targets.child)).await?;
    Ok(())
}
