//! Too much of everything, as fast as it goes: memory stays within bounds, and others are served
//! meanwhile (`siege` looks at how long they wait).

use std::io::{ErrorKind, Read as _, Write as _};

use bytes::Bytes;
use tractor::{Address, Result};
use tractor_core::msg::{Msg, Request};

use crate::peer::{PATIENCE, Peer, cid, kwargs};
use crate::siege::{Target, besieged};

/// Writes all of it, and reads and forgets whatever comes meanwhile. Whether the end came.
fn pour(peer: &Peer, bytes: &[u8]) -> bool {
    let (mut reader, mut writer) =
        (peer.socket.try_clone().unwrap(), peer.socket.try_clone().unwrap());
    std::thread::scope(|scope| {
        let drained = scope.spawn(move || {
            let mut sink = vec![0; 256 << 10];
            loop {
                match reader.read(&mut sink) {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => panic!("no end comes"),
                    Err(_) => return true,
                }
            }
        });
        let written = writer.write_all(bytes).is_ok();
        // What is asked for is answered, and then the end comes back.
        let _ = writer.shutdown(std::net::Shutdown::Write);
        drained.join().unwrap() && written
    })
}

/// Writes as much of it as is taken, and reads nothing.
fn cram(peer: &mut Peer, bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        match peer.socket.write(&bytes[at..]) {
            Ok(len) => at += len,
            Err(_) => break,
        }
    }
    at
}

/// Never grew by more than this since `before`.
#[track_caller]
fn grew_less(target: &Target, before: u64, max: u64) {
    let grown = target.peak().saturating_sub(before);
    eprintln!("{}: {} KiB more", target.name, grown >> 10);
    assert!(grown < max, "{grown} bytes more, and {max} are allowed");
}

/// So many frames, made by number.
fn frames(peer: &Peer, count: usize, msgs: impl Fn(usize) -> Vec<Msg>) -> Vec<u8> {
    let each = (0..count).flat_map(msgs);
    each.flat_map(|msg| peer.encoded(&msg)).collect()
}

/// 100,000 tasks, each cancelled behind its `Start`: once by somebody who reads the answers, once
/// by somebody who does not.
#[tractor::test(timeout = 60)]
async fn storm_of_cancels_is_survived() -> Result<()> {
    let attack = |target: &Target| {
        let before = target.memory();
        let storm = |peer: &Peer| {
            frames(peer, 100_000, |n| {
                let name = cid(&format!("{n}"));
                let cancel = Request::CancelTask { target: name.clone() };
                vec![
                    peer.start_msg(&name, "linger", kwargs([])),
                    peer.request_msg(&cid(&format!("c{n}")), cancel),
                ]
            })
        };
        let peer = Peer::meet(&target.path);
        assert!(pour(&peer, &storm(&peer)), "all of it was taken");
        grew_less(target, before, 64 << 20);
        let mut deaf = Peer::meet(&target.path);
        let bytes = storm(&deaf);
        let taken = cram(&mut deaf, &bytes);
        eprintln!("{} of {} bytes were taken", taken, bytes.len());
        grew_less(target, before, 96 << 20);
        Peer::meet(&target.path).still_serves();
    };
    besieged(move |targets| attack(&targets.child)).await?;
    Ok(())
}

#[tractor::test]
async fn dialogs_of_a_peer_are_capped() -> Result<()> {
    let attack = |target: &Target| {
        let mut peer = Peer::meet(&target.path);
        let bytes = frames(&peer, 10_000, |n| {
            vec![peer.start_msg(&cid(&format!("{n}")), "linger", kwargs([]))]
        });
        let mut writer = peer.socket.try_clone().unwrap();
        let (mut begun, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| writer.write_all(&bytes).unwrap());
            while begun + refused < 10_000 {
                match peer.recv() {
                    Some(Msg::StartAck { .. }) => begun += 1,
                    Some(Msg::Error { error, .. }) => {
                        assert_eq!(error.boxed_type.as_str(), "RuntimeError", "{error:?}");
                        refused += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        assert_eq!((begun, refused), (1024, 8976));
        // Others have places of their own.
        Peer::meet(&target.path).still_serves();
        // And so has this one, once one of its own is free.
        peer.request(&cid("c"), Request::CancelTask { target: cid("0") });
        assert_eq!(peer.error(&cid("0")).0, "ContextCancelled");
        peer.still_serves();
    };
    besieged(move |targets| targets.each(attack)).await?;
    Ok(())
}

/// Items without the credit for them: that dialog ends, and nobody keeps them.
#[tractor::test]
async fn items_without_credit_end_the_dialog() -> Result<()> {
    let attack = |target: &Target| {
        let before = target.memory();
        let mut peer = Peer::meet(&target.path);
        peer.start(&cid("1"), "hoarder", kwargs([("keep", 0)]));
        peer.set_up(&cid("1"));
        let item = Bytes::from(rmp_serde::to_vec(&"x".repeat(100_000)).unwrap());
        let bytes = frames(&peer, 1000, |_| vec![Msg::Yield { cid: cid("1"), pld: item.clone() }]);
        assert!(peer.write(&bytes), "the connection goes on");
        let kind = loop {
            match peer.answer(&cid("1")) {
                Msg::Error { error, .. } => break error.boxed_type,
                Msg::Credit { .. } => {}
                msg => panic!("{msg:?}"),
            }
        };
        assert_eq!(kind.as_str(), "Violation");
        peer.still_serves();
        grew_less(target, before, 24 << 20);
    };
    besieged(move |targets| attack(&targets.child)).await?;
    Ok(())
}

/// A stream whose receiver drops the oldest, and does not read: what is dropped is gone.
#[tractor::test]
async fn dropped_items_take_no_memory() -> Result<()> {
    let attack = |target: &Target| {
        let before = target.memory();
        let mut peer = Peer::meet(&target.path);
        peer.start(&cid("1"), "hoarder", kwargs([("keep", 16)]));
        let credit = peer.set_up(&cid("1"));
        let item = Bytes::from(rmp_serde::to_vec(&"x".repeat(10_000)).unwrap());
        // Once the first credit is here the stream is open, with its policy.
        assert!(credit || matches!(peer.answer(&cid("1")), Msg::Credit { .. }));
        let bytes = frames(&peer, 8_000, |_| vec![Msg::Yield { cid: cid("1"), pld: item.clone() }]);
        assert!(peer.write(&bytes), "all 80 MB were taken");
        peer.still_serves();
        grew_less(target, before, 24 << 20);
    };
    besieged(move |targets| attack(&targets.child)).await?;
    Ok(())
}

/// Credit without end for somebody who does not read: what waits is bounded by the lane.
#[tractor::test]
async fn endless_credit_is_not_endless_memory() -> Result<()> {
    let attack = |target: &Target| {
        let before = target.memory();
        let mut peers: Vec<Peer> = (0..20).map(|_| Peer::meet(&target.path)).collect();
        for peer in &mut peers {
            peer.start(&cid("1"), "fountain", kwargs([]));
            for _ in 0..3 {
                let credit = Msg::Credit { cid: cid("1"), items: u32::MAX, bytes: u64::MAX };
                assert!(peer.send(&credit));
            }
        }
        Peer::meet(&target.path).still_serves();
        grew_less(target, before, 48 << 20);
    };
    besieged(move |targets| attack(&targets.child)).await?;
    Ok(())
}

/// Short questions with long answers, and nobody who reads them.
#[tractor::test(timeout = 60)]
async fn answers_that_nobody_reads_are_bounded() -> Result<()> {
    let attack = |root: &Target| {
        // Records make the list long.
        let mut records: Vec<Peer> = (0..100).map(|_| Peer::meet(&root.path)).collect();
        for (n, peer) in records.iter_mut().enumerate() {
            let addr: Address = format!("/unix/tmp/{}/{n}", "x".repeat(80)).parse().unwrap();
            peer.request(&cid("1"), Request::Register { uid: peer.uid.clone(), addr });
            assert!(matches!(peer.answer(&cid("1")), Msg::Return { .. }));
        }
        let mut deaf = Peer::meet(&root.path);
        let bytes =
            frames(&deaf, 50_000, |n| vec![deaf.request_msg(&cid(&format!("{n}")), Request::List)]);
        let taken = cram(&mut deaf, &bytes);
        // Memory says nothing here, as the root is in this process; but what was taken is what the
        // socket holds, and the questions for 16 MiB, of which a few hundred bytes ask for one.
        assert!(taken < 1 << 20, "questions for {taken} bytes were taken");
        Peer::meet(&root.path).still_serves();
    };
    besieged(move |targets| attack(&targets.root)).await?;
    Ok(())
}

/// Connections as fast as they can be made and dropped.
#[tractor::test]
async fn flood_of_connections_is_survived() -> Result<()> {
    let attack = |target: &Target| {
        for n in 0..2_000 {
            let mut peer = Peer::connect(&target.path);
            if n % 3 == 0 {
                peer = peer.greet(tractor_core::msg::Features::ALL);
                peer.start(&cid("1"), "linger", kwargs([]));
            }
            if n % 3 == 1 {
                peer.write(&[0xff; 3]);
            }
        }
        Peer::meet(&target.path).still_serves();
    };
    besieged(move |targets| targets.each(attack)).await?;
    Ok(())
}

/// One that keeps its connection full all the time does not keep others from being heard.
#[tractor::test]
async fn busy_peer_starves_nobody() -> Result<()> {
    let attack = |target: &Target| {
        let busy = Peer::meet(&target.path);
        let frame = busy.encoded(&Msg::Stop { cid: cid("still there?"), sent: None });
        let first = busy.encoded(&busy.start_msg(&cid("still there?"), "add", kwargs([])));
        let bytes: Vec<u8> = [first, frame.repeat(200_000)].concat();
        std::thread::scope(|scope| {
            let busy = scope.spawn(|| pour(&busy, &bytes));
            let mut rounds = 0;
            let began = std::time::Instant::now();
            while !busy.is_finished() && began.elapsed() < PATIENCE {
                Peer::meet(&target.path).still_serves();
                rounds += 1;
            }
            assert!(busy.join().unwrap(), "it was allowed to be busy");
            assert!(rounds > 2, "{rounds} others were served meanwhile");
        });
    };
    besieged(move |targets| targets.each(attack)).await?;
    Ok(())
}

/// Large arguments that fit nothing: looking at them takes its time, but others get theirs.
#[tractor::test]
async fn large_arguments_starve_nobody() -> Result<()> {
    let attack = |target: &Target| {
        let mut peer = Peer::meet(&target.path);
        // {"a": [1, 1, ..]}
        let mut long = b"\x81\xa1a\xdd\x00\x20\x00\x00".to_vec();
        long.resize(long.len() + (0x20 << 16), 1);
        let long = Bytes::from(long);
        for n in 0..8 {
            let name = cid(&format!("{n}"));
            peer.start(&name, "add", long.clone());
            assert_eq!(peer.error(&name).0, "TypeError");
        }
    };
    let (_, work) = besieged(move |targets| targets.each(attack)).await?;
    eprintln!("{work:?}");
    Ok(())
}
