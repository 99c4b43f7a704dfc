//! Calls that can't be: an error for that call, and nothing else.

use bytes::Bytes;
use tractor::{Error, Result, RootConfig, open_nursery, open_root_actor};
use tractor_core::Text;
use tractor_core::msg::{Msg, Request, Start};

use crate::peer::{Peer, cid, kwargs};
use crate::siege::{Target, besieged, module, off_thread};

/// The error of a call with these names.
fn call(peer: &mut Peer, ns: &str, func: &str, kwargs: Bytes) -> (String, String) {
    let name = cid("a call");
    let (ns, func) = (Text::from(ns), Text::from(func));
    let start = Start { cid: name.clone(), ns, func, kwargs, uid: peer.uid.clone() };
    assert!(peer.send(&Msg::Start(start)));
    peer.error(&name)
}

fn call_badly(target: &Target) {
    let mut peer = Peer::meet(&target.path);
    let module = module();
    let here = module.name();
    for ns in ["os", "std::process", "", "hostile", "__main__"] {
        let (kind, text) = call(&mut peer, ns, "system", kwargs([]));
        assert_eq!(kind, "ModuleNotExposed", "{text}");
        assert!(text.contains(&format!("`{ns}`")), "{text}");
    }
    for func in ["", "ad", "add ", "__class__", "../add", "off_thread"] {
        let (kind, text) = call(&mut peer, here, func, kwargs([]));
        assert_eq!(kind, "AttributeError", "{text}");
    }
    let (kind, text) = call(&mut peer, here, "add", kwargs([("a", 1)]));
    assert!(kind == "TypeError" && text.contains("`b`"), "{kind}: {text}");
    let (kind, text) = call(&mut peer, here, "add", kwargs([("a", 1), ("b", 2), ("c", 3)]));
    assert!(kind == "TypeError" && text.contains("`c`"), "{kind}: {text}");
    let text_for_a = Bytes::from_static(b"\x82\xa1a\xa3one\xa1b\x02");
    let (kind, text) = call(&mut peer, here, "add", text_for_a);
    assert!(kind == "TypeError" && text.contains("`a`"), "{kind}: {text}");
    let number_as_key = Bytes::from_static(b"\x82\x01\x01\xa1b\x02");
    let (kind, text) = call(&mut peer, here, "add", number_as_key);
    assert_eq!(kind, "TypeError", "{text}");
    peer.still_serves();
}

#[tractor::test]
async fn call_that_cannot_be_is_an_error_of_that_call() -> Result<()> {
    besieged(|targets| targets.each(call_badly)).await?;
    Ok(())
}

/// The runtime's own functions are a closed set.
fn ask_badly(target: &Target) {
    let mut peer = Peer::meet(&target.path);
    for func in ["", "__init__", "cancel_soon", "Cancel", "_serve", "add", "self"] {
        let (kind, text) = call(&mut peer, "self", func, kwargs([]));
        assert_eq!(kind, "AttributeError", "{text}");
        assert!(text.contains(&format!("`{func}`")), "{text}");
    }
    for func in ["_cancel_task", "register_actor", "unregister_actor", "find_actor", "delete_addr"]
    {
        let (kind, text) = call(&mut peer, "self", func, kwargs([]));
        assert_eq!(kind, "TypeError", "{text}");
        let (kind, text) = call(&mut peer, "self", func, kwargs([("uid", 1), ("addr", 2)]));
        assert_eq!(kind, "TypeError", "{text}");
    }
    // A name that long does not come back as a frame that is over the limit.
    let long = "x".repeat((16 << 20) - 1000);
    let (kind, text) = call(&mut peer, "self", &long, kwargs([]));
    assert_eq!(kind, "AttributeError");
    assert!(text.len() <= 4 << 20, "{} bytes of text", text.len());
    let (kind, text) = call(&mut peer, &long, "add", kwargs([]));
    assert_eq!(kind, "ModuleNotExposed");
    assert!(text.len() <= 4 << 20, "{} bytes of text", text.len());
    peer.still_serves();
}

#[tractor::test]
async fn runtime_has_no_other_functions() -> Result<()> {
    besieged(|targets| targets.each(ask_badly)).await?;
    Ok(())
}

/// One that only asks who is there.
#[tractor::test]
async fn probe_is_answered_and_closed() -> Result<()> {
    let attack = |target: &Target| {
        let mut probe = Peer::connect(&target.path);
        let mut aid = probe.aid(tractor_core::msg::Features::BASE);
        (aid.is_probe, aid.is_registrar) = (true, None);
        probe.send(&Msg::Aid(aid));
        let Some(Msg::Aid(theirs)) = probe.recv() else { panic!("no Aid") };
        assert_eq!(theirs.is_registrar, Some(target.name == "root"));
        assert!(probe.recv().is_none(), "closed, and nothing else said");
    };
    besieged(move |targets| targets.each(attack)).await?;
    Ok(())
}

/// The default: any peer that got through the handshake may end an actor, as the base has it. The
/// time that it wants to give counts for nothing, neither none nor for ever.
fn cancel(target: &Target, budget_ms: u64) {
    let mut peer = Peer::meet(&target.path);
    let request =
        Request::CancelActor { budget: Some(std::time::Duration::from_millis(budget_ms)) };
    peer.request(&cid("end"), request);
    assert!(matches!(peer.answer(&cid("end")), Msg::CancelAck { .. }));
    peer.is_closed();
}

#[tractor::test]
async fn any_peer_may_end_a_child() -> Result<()> {
    for budget_ms in [0, u64::MAX] {
        open_nursery(async |an| {
            let child = an.start_actor("worker").enable(module()).await?;
            let registry = tractor::get_registry().await?;
            let (_, addrs) = registry.iter().find(|(uid, _)| uid.name == *"worker").unwrap();
            let path = addrs[0].uds_path().unwrap().into();
            let target = Target { name: "child", path, pid: child.pid().unwrap() };
            off_thread(Default::default(), move || cancel(&target, budget_ms)).await;
            // Ended in order: that is no failure, and the nursery goes on.
            child.wait_closed().await?;
            let another = an.start_actor("another").enable(module()).await?;
            assert_eq!(another.run(crate::victim::add { a: 1, b: 2 }).await?, 3);
            another.cancel_actor().await
        })
        .await?;
    }
    Ok(())
}

#[tractor::test]
async fn any_peer_may_end_a_root() -> Result<()> {
    for budget_ms in [0, u64::MAX] {
        let result: Result<()> = open_root_actor(RootConfig::default(), async |actor| {
            open_nursery(async move |an| {
                let _child = an.start_actor("worker").enable(module()).await?;
                let path = actor.registry_addrs()[0].uds_path().unwrap().into();
                let target = Target { name: "root", path, pid: std::process::id() };
                off_thread(Default::default(), move || cancel(&target, budget_ms)).await;
                tractor::scope::sleep(std::time::Duration::from_secs(3600)).await
            })
            .await
        })
        .await;
        assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    }
    Ok(())
}
