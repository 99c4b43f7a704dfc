//! What programs ask the registry, and what it must not tell them.

use std::time::Duration;

use bytes::Bytes;
use tractor_core::msg::{Request, codec};
use tractor_core::{Address, ConnId, Outcome, Text};

use super::drops::OwnDialog;
use super::kernel;
use super::plan::Ask;
use super::program::{PATIENCE_MS, settled, take_outcome};
use super::task::{Cx, Done, Failure};

/// Finds an actor by its name, and connects to it.
pub async fn named(cx: &Cx, n: usize) -> Result<Option<ConnId>, Failure> {
    let Some(registrar) = registrar(cx).await? else { return Ok(None) };
    let request = Request::Find { name: name(n) };
    let Some(found) = answer(cx, registrar, request).await? else { return Ok(None) };
    cx.look(|k| k.cover.hit("registry: asked"));
    match first_told(cx, codec::decode_addrs(&found).unwrap_or_default()) {
        Some(addr) => connect(cx, addr).await,
        None => Ok(None),
    }
}

fn name(n: usize) -> Text {
    format!("a{n}").as_str().into()
}

/// What it answers; `None`: it does not, or can't.
async fn answer(cx: &Cx, conn: ConnId, request: Request) -> Result<Option<Bytes>, Failure> {
    let asked = cx.command(|actor, now| actor.request(now, conn, request));
    let Ok(dialog) = asked else { return Ok(None) };
    let own = OwnDialog::new(cx, dialog);
    let outcome = cx.wait(|k| take_outcome(k, cx.host, dialog)).await?;
    own.ended();
    match outcome {
        Outcome::Returned(value) => Ok(Some(value)),
        _ => Ok(None),
    }
}

/// The first of the addresses that it tells; none of those is of somebody who is gone.
fn first_told(cx: &Cx, addrs: Vec<Address>) -> Option<Address> {
    cx.look(|k| {
        addrs.iter().for_each(|addr| {
            k.cover.hit("registry: found");
            no_ghost(k, addr);
        });
    });
    addrs.into_iter().next()
}

/// Asks the registrar something, and looks whether the answer is true; for so long as a program
/// has patience.
pub async fn ask(cx: &Cx, what: Ask) -> Done {
    let limited = cx.in_limit(PATIENCE_MS);
    let result = asked(&limited, what).await;
    settled(cx, &limited, result)
}

async fn asked(cx: &Cx, what: Ask) -> Done {
    let Some(registrar) = registrar(cx).await? else { return Ok(()) };
    match what {
        Ask::Wait(n) => {
            let request = Request::Wait { name: name(n) };
            let Some(found) = answer(cx, registrar, request).await? else { return Ok(()) };
            cx.look(|k| k.cover.hit("registry: waited"));
            first_told(cx, codec::decode_addrs(&found).unwrap_or_default());
        }
        Ask::Watch(n) => watch(cx, registrar, n).await?,
        Ask::List => {
            let Some(found) = answer(cx, registrar, Request::List).await? else { return Ok(()) };
            cx.look(|k| k.cover.hit("registry: listed"));
            for (_, addrs) in codec::decode_registry(&found).unwrap_or_default() {
                first_told(cx, addrs);
            }
        }
        Ask::ReportDead(n) => {
            let host = cx.look(|k| k.named.get(&n).and_then(|hosts| hosts.last().copied()));
            let Some(host) = host else { return Ok(()) };
            let request = Request::ReportDead { addr: kernel::address(host) };
            answer(cx, registrar, request).await?;
            cx.look(|k| k.cover.hit("registry: told of a death"));
        }
    }
    Ok(())
}

/// Twice: who is there, and what comes then.
async fn watch(cx: &Cx, registrar: ConnId, n: usize) -> Done {
    let mut seen = None;
    for _ in 0..2 {
        let request = Request::Watch { name: name(n), seen };
        let Some(found) = answer(cx, registrar, request).await? else { return Ok(()) };
        cx.look(|k| k.cover.hit("registry: watched"));
        let Ok(records) = codec::decode_records(&found) else { return Ok(()) };
        records.actors.into_iter().for_each(|(_, addrs)| drop(first_told(cx, addrs)));
        seen = Some(records.tag);
    }
    Ok(())
}

/// The registry learns of an actor's end by the end of its connection: at once, if nothing is wrong
/// with that. (A base peer tells it by itself, or not.)
fn no_ghost(k: &mut kernel::Kernel, addr: &Address) {
    const LATE: Duration = Duration::from_millis(500);
    let Some(host) = kernel::listener(addr) else { return };
    let excused = k.options.base || k.is_slow();
    let gone_for = k.hosts[host].died.map(|died| k.passed().saturating_sub(died));
    let ghost = gone_for.is_some_and(|span| span > LATE) && !excused;
    let text = format!("{} is gone for {gone_for:?}", k.hosts[host].name);
    k.checks.must("no ghosts", !ghost, || text);
}

/// Connects, and waits for the handshake.
pub async fn connect(cx: &Cx, addr: Address) -> Result<Option<ConnId>, Failure> {
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
