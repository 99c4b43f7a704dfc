//! Peers that take their time: each has a deadline, and nobody waits for them. The cases run side
//! by side, as most of their time is the protocol's own.

use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tractor::{Result, RootConfig, get_registry, open_nursery, open_root_actor};
use tractor_core::msg::{Features, Msg};

use crate::peer::{Peer, cid, kwargs};
use crate::siege::{Target, besieged, module, off_thread};

/// The handshake's deadline, and that of a peer that reads nothing.
const DEADLINE: Duration = Duration::from_secs(5);
/// What a busy machine may add to it.
const SLACK: Duration = Duration::from_secs(4);

#[track_caller]
fn closed_on_time(began: Instant) {
    let took = began.elapsed();
    // The other end's clock began a little earlier than ours, at most by a connect.
    assert!(took > DEADLINE - Duration::from_millis(500), "too early: {took:?}");
    assert!(took < DEADLINE + SLACK, "too late: {took:?}");
}

/// Says nothing at all.
fn silent(path: &Path) {
    let began = Instant::now();
    let mut peer = Peer::connect(path);
    peer.is_closed_within(DEADLINE + SLACK);
    closed_on_time(began);
}

/// Says an `Aid` that never ends, a byte at a time: what comes does not put the deadline off.
fn one_byte_at_a_time(path: &Path) {
    let began = Instant::now();
    let mut peer = Peer::connect(path);
    assert!(matches!(peer.recv(), Some(Msg::Aid(_))));
    let aid = peer.encoded(&Msg::Aid(peer.aid(Features::ALL)));
    peer.socket.set_read_timeout(Some(Duration::from_millis(60))).unwrap();
    for byte in &aid[..aid.len() - 1] {
        let open = peer.write(&[*byte]);
        match peer.socket.read(&mut [0; 64]) {
            Ok(0) => return closed_on_time(began),
            Err(e) if e.kind() == ErrorKind::WouldBlock => assert!(open),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return closed_on_time(began),
            other => panic!("{other:?}"),
        }
    }
    panic!("{} bytes were taken", aid.len());
}

/// A handshake in single bytes is as good as any, when it is in time.
fn many_bytes_in_time(path: &Path) {
    let mut peer = Peer::connect(path);
    let aid = peer.encoded(&Msg::Aid(peer.aid(Features::ALL)));
    for byte in &aid {
        assert!(peer.write(&[*byte]));
    }
    peer.features = Features::ALL;
    assert!(matches!(peer.recv(), Some(Msg::Aid(_))));
    let call = peer.encoded(&peer.start_msg(&cid("1"), "add", kwargs([("a", 2), ("b", 2)])));
    for byte in &call {
        assert!(peer.write(&[*byte]));
    }
    assert!(matches!(peer.answer(&cid("1")), Msg::Return { pld, .. } if pld[..] == [4]));
}

/// Asks for much, and never reads it.
fn never_reads(path: &Path) {
    let mut peer = Peer::meet(path);
    for n in 0..64 {
        peer.start(&cid(&format!("{n}")), "blob", kwargs([("len", 256 << 10)]));
    }
    let began = Instant::now();
    // The end is seen without reading: a socket that the other side has closed hangs up.
    let limit = Timespec::try_from(DEADLINE + SLACK).unwrap();
    let mut ends = [PollFd::new(&peer.socket, PollFlags::empty())];
    assert_eq!(poll(&mut ends, Some(&limit)).unwrap(), 1, "a peer that does not read is kept");
    assert!(ends[0].revents().contains(PollFlags::HUP), "{:?}", ends[0]);
    closed_on_time(began);
}

fn all_slow(target: &Target) {
    let path = &target.path;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| silent(path));
        }
        for _ in 0..4 {
            scope.spawn(|| one_byte_at_a_time(path));
        }
        scope.spawn(|| many_bytes_in_time(path));
        scope.spawn(|| never_reads(path));
    });
    Peer::meet(path).still_serves();
}

#[tractor::test(timeout = 60)]
async fn slow_peer_has_a_deadline() -> Result<()> {
    besieged(|targets| targets.each(all_slow)).await?;
    Ok(())
}

/// Connections that say nothing take all the places there are, again and again. Somebody who does
/// say who they are gets in all the same, long before the deadline of those.
#[tractor::test]
async fn silent_connections_lock_nobody_out() -> Result<()> {
    let attack = |target: &Target| {
        let began = Instant::now();
        let mut crowd = Vec::new();
        for _ in 0..5 {
            crowd.extend((0..100).map(|_| Peer::connect(&target.path)));
            let mut peer = Peer::meet(&target.path);
            peer.still_serves();
        }
        assert!(began.elapsed() < DEADLINE - Duration::from_secs(1), "{:?}", began.elapsed());
        drop(crowd);
    };
    besieged(move |targets| {
        for target in [&targets.root, &targets.child] {
            attack(target);
        }
    })
    .await?;
    Ok(())
}

/// Asks for more than the socket takes, and lies in wait.
fn deaf(path: &Path) -> Peer {
    let mut peer = Peer::meet(path);
    for n in 0..4 {
        peer.start(&cid(&format!("{n}")), "blob", kwargs([("len", 1 << 20)]));
    }
    // The first bytes are here: the rest is stuck behind them.
    peer.socket.read_exact(&mut [0; 8]).unwrap();
    peer
}

/// What nobody reads does not keep an actor from ending: its budget is for that, too.
#[tractor::test]
async fn deaf_peer_does_not_delay_the_end() -> Result<()> {
    let config = RootConfig::default().enable(module());
    let (began, ended, _deaf) = open_root_actor(config, async |actor| {
        let root = actor.registry_addrs()[0].uds_path().unwrap();
        let (took, mut peers) = open_nursery(async |an| {
            let child = an.start_actor("worker").enable(module()).await?;
            let registry = get_registry().await?;
            let (_, addrs) = registry.iter().find(|(uid, _)| uid.name == *"worker").unwrap();
            let path = addrs[0].uds_path().unwrap();
            let peer = off_thread(Default::default(), move || deaf(path.as_ref())).await;
            let began = Instant::now();
            child.cancel_actor().await?;
            child.wait_closed().await?;
            Ok((began.elapsed(), vec![peer]))
        })
        .await?;
        assert!(took < Duration::from_millis(2300), "the child ended after {took:?}");
        peers.push(off_thread(Default::default(), move || deaf(root.as_ref())).await);
        Ok((Instant::now(), took, peers))
    })
    .await?;
    eprintln!("the child after {ended:?}, the root after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    Ok(())
}
