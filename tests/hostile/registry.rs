//! The registry: nobody changes what is somebody else's, and nobody fills it up.

use tractor::{Address, Result};
use tractor_core::msg::{Features, Msg, Request, codec};
use tractor_core::{Text, Uid};

use crate::peer::{Peer, cid};
use crate::siege::{Target, Targets, besieged};

fn address(path: &str) -> Address {
    format!("/unix{path}").parse().unwrap()
}

/// What the registrar answers.
fn ask(peer: &mut Peer, request: Request) -> Msg {
    peer.request(&cid("ask"), request);
    peer.answer(&cid("ask"))
}

#[track_caller]
fn refused(peer: &mut Peer, request: Request) {
    refused_as("PermissionError", peer, request);
}

#[track_caller]
fn refused_as(kind: &str, peer: &mut Peer, request: Request) {
    match ask(peer, request) {
        Msg::Error { error, .. } => assert_eq!(error.boxed_type.as_str(), kind, "{error:?}"),
        msg => panic!("{msg:?}"),
    }
}

/// The addresses under a name.
fn find(peer: &mut Peer, name: &str) -> Vec<Address> {
    match ask(peer, Request::Find { name: Text::from(name) }) {
        Msg::Return { pld, .. } => codec::decode_addrs(&pld).unwrap_or_default(),
        msg => panic!("{msg:?}"),
    }
}

/// The uid of the worker, and where it is.
fn worker(peer: &mut Peer) -> (Uid, Address) {
    let Msg::Return { pld, .. } = ask(peer, Request::List) else { panic!("no list") };
    let registry = codec::decode_registry(&pld).unwrap();
    let (uid, addrs) = registry.into_iter().find(|(uid, _)| uid.name == *"worker").unwrap();
    (uid, addrs[0].clone())
}

fn meddle(root: &Target) {
    for mut peer in [Peer::meet(&root.path), Peer::meet_base(&root.path)] {
        let (uid, addr) = worker(&mut peer);
        let ours = peer.uid.clone();
        // Another's record, or another's address.
        refused(&mut peer, Request::Register { uid: uid.clone(), addr: address("/tmp/x") });
        refused(&mut peer, Request::Register { uid: ours, addr: addr.clone() });
        refused(&mut peer, Request::Unregister { uid });
        // That nobody answers there is not believed of one that holds its lease.
        let dead = ask(&mut peer, Request::ReportDead { addr: addr.clone() });
        assert!(matches!(dead, Msg::Return { pld, .. } if pld[..] == [0xc0]));
        assert_eq!(find(&mut peer, "worker"), [addr]);
    }
}

/// Who says it is the worker is not let in, as another process is. Who knows that one's number too
/// can still not change its record, which is held by its own connection.
fn pretend(root: &Target, worker_pid: u32) {
    let mut witness = Peer::meet(&root.path);
    let (uid, addr) = worker(&mut witness);
    for features in [Features::BASE, Features::ALL] {
        let mut impostor = Peer::connect(&root.path);
        impostor.uid = uid.clone();
        impostor.send(&Msg::Aid(impostor.aid(features)));
        impostor.is_closed();
        let mut impostor = Peer::connect(&root.path);
        (impostor.uid, impostor.pid) = (uid.clone(), worker_pid);
        let mut impostor = impostor.greet(features);
        refused(&mut impostor, Request::Unregister { uid: uid.clone() });
        refused(&mut impostor, Request::Register { uid: uid.clone(), addr: address("/tmp/x") });
        drop(impostor);
        assert_eq!(find(&mut witness, "worker"), std::slice::from_ref(&addr));
    }
}

/// One peer's own record does not grow without end, and its parts are no longer than they can be.
fn fill_up(root: &Target) {
    let mut peer = Peer::meet(&root.path);
    let ours = peer.uid.clone();
    let taken = (0..100)
        .take_while(|n| {
            let addr = address(&format!("/tmp/{n}"));
            matches!(
                ask(&mut peer, Request::Register { uid: ours.clone(), addr }),
                Msg::Return { .. }
            )
        })
        .count();
    assert!((1..100).contains(&taken), "{taken} addresses of one actor");
    let mut peer = Peer::meet(&root.path);
    let ours = peer.uid.clone();
    let long = address(&format!("/tmp/{}", "x".repeat(10 << 20)));
    refused_as("ValueError", &mut peer, Request::Register { uid: ours, addr: long });
    // All that it leased goes with its connection; waiting is for a part of all places.
    let waits = 2_000;
    for n in 0..waits {
        let name = Text::from(format!("nobody {n}"));
        peer.request(&cid(&format!("wait {n}")), Request::Wait { name });
    }
    peer.still_serves();
    let mut other = Peer::meet(&root.path);
    other.request(&cid("wait"), Request::Wait { name: Text::from("somebody") });
    assert!(matches!(other.recv(), Some(Msg::StartAck { .. })), "there is room for others");
    // A name is no place to keep megabytes.
    let name = Text::from("x".repeat(10 << 20));
    refused_as("ValueError", &mut other, Request::Wait { name });
}

#[tractor::test]
async fn registry_obeys_only_owners() -> Result<()> {
    besieged(|targets: Targets| {
        meddle(&targets.root);
        pretend(&targets.root, targets.child.pid);
        let mut peer = Peer::meet(&targets.child.path);
        peer.request(&cid("1"), Request::List);
        assert_eq!(peer.error(&cid("1")).0, "RuntimeError", "no registrar");
    })
    .await?;
    Ok(())
}

#[tractor::test]
async fn registry_is_bounded() -> Result<()> {
    besieged(|targets: Targets| fill_up(&targets.root)).await?;
    Ok(())
}
