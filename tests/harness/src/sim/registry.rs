//! What programs ask the registry, and what it must not tell them.

use std::time::Duration;

use tractor_core::msg::{Request, codec};
use tractor_core::{ConnId, Outcome};

use super::drops::OwnDialog;
use super::kernel;
use super::program::take_outcome;
use super::task::{Cx, Done, Failure};

/// Finds an actor by its name, and connects to it.
pub async fn named(cx: &Cx, n: usize) -> Result<Option<ConnId>, Failure> {
    let Some(registrar) = registrar(cx).await? else { return Ok(None) };
    let name = format!("a{n}");
    let request = Request::Find { name: name.as_str().into() };
    let asked = cx.command(|actor, now| actor.request(now, registrar, request));
    let Ok(dialog) = asked else { return Ok(None) };
    let own = OwnDialog::new(cx, dialog);
    let outcome = cx.wait(|k| take_outcome(k, cx.host, dialog)).await?;
    own.ended();
    let Outcome::Returned(found) = outcome else { return Ok(None) };
    cx.look(|k| k.cover.hit("registry: asked"));
    let addrs = codec::decode_addrs(&found).unwrap_or_default();
    let Some(addr) = addrs.into_iter().next() else { return Ok(None) };
    cx.look(|k| {
        k.cover.hit("registry: found");
        no_ghost(k, &addr);
    });
    connect(cx, addr).await
}

/// The registry learns of an actor's end by the end of its connection: at once, if nothing is wrong
/// with that. (A base peer tells it by itself, or not.)
fn no_ghost(k: &mut kernel::Kernel, addr: &tractor_core::Address) {
    const LATE: Duration = Duration::from_millis(500);
    let Some(host) = kernel::listener(addr) else { return };
    let base = k.options.base || k.hosts[0].hurt || k.hosts[host].hurt;
    let gone_for = k.hosts[host].died.map(|died| k.passed().saturating_sub(died));
    let ghost = gone_for.is_some_and(|span| span > LATE) && !base;
    let text = format!("{} is gone for {gone_for:?}", k.hosts[host].name);
    k.checks.must("no ghosts", !ghost, || text);
}

/// Connects, and waits for the handshake.
pub async fn connect(cx: &Cx, addr: tractor_core::Address) -> Result<Option<ConnId>, Failure> {
    let Ok(conn) = cx.command(|actor, now| actor.connect(now, addr)) else { return Ok(None) };
    let stands = cx.wait(|k| k.hosts[cx.host].mail.conns.get(&conn).copied()).await?;
    Ok(stands.then_some(conn))
}

/// The connection to the registrar, made when it is first needed.
pub async fn registrar(cx: &Cx) -> Result<Option<ConnId>, Failure> {
    if cx.host == 0 {
        return Ok(None);
    }
    connect(cx, kernel::address(0)).await
}

/// Registers an actor by its name.
pub async fn register(cx: &Cx) -> Done {
    let Some(registrar) = registrar(cx).await? else { return Err(Failure::lost()) };
    let addr = kernel::address(cx.host);
    let asked = cx.command(|actor, now| {
        let uid = actor.uid().clone();
        actor.request(now, registrar, Request::Register { uid, addr })
    });
    let Ok(dialog) = asked else { return Err(Failure::lost()) };
    match cx.wait(|k| take_outcome(k, cx.host, dialog)).await? {
        Outcome::Returned(_) => Ok(()),
        _ => Err(Failure::lost()),
    }
}
