//! Discovery: actors by name, of this tree and of all that share its registry.
//!
//! The root keeps the registry, or another program does. The registrar's children register over
//! their link the moment they are ready; all others keep a connection to it, and their record lives
//! as long as that connection.
//!
//! | file | what |
//! |---|---|
//! | here | finding somebody |
//! | `watch` | being told who comes and goes |
//! | `registrars` | an actor's connections to the registrars, and its record there |
//! | `election` | a root keeps the registry, or joins one |
//! | `every` | asking all of them |
//! | `links` | connections that are made to find somebody |

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tractor_core::msg::{Aid, Features, Request, codec};
use tractor_core::{Address, ConnId, Text, Uid};

use crate::current;
use crate::error::{Error, Result};
use crate::portal::Portal;
use crate::scope;
use crate::shared::{Inner, Shared};
use crate::wait::wait;

mod election;
mod every;
mod links;
mod registrars;
mod watch;

pub(crate) use election::Plan;
use links::Link;
pub(crate) use registrars::{Registrar, register};
pub use watch::{Change, Watch, watch};

/// Between two looks at a name whose actor does not answer.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// How long a report that somebody is dead may take who finds that out: it asks at the address.
const REPORT_MAX: Duration = Duration::from_millis(1500);

/// Looks an actor up by its name and runs `body` with a portal to it, or `None` when there is none.
///
/// One that this actor connected to itself, its parent or a child is taken; else one that is
/// registered: the nearest address first (unix sockets, this host's network, others), and of those
/// the youngest actor's; else one that is not, but has connected to this actor. Where nobody
/// answers the next is tried, and the registrar told. A connection that was made for it is closed
/// at the end.
///
/// When the registrar is gone, its successor is waited for, 3 s; one that is stuck has 5 s to
/// answer.
///
/// # Errors
/// Those of `body`; [`Error::Registrar`] when no registrar can be reached; [`Error::Cancelled`];
/// [`Error::NoCurrentActor`].
///
/// # Cancel safety
/// Safe: the connection is closed.
pub async fn find_actor<T, F, Fut>(name: &str, body: F) -> Result<T>
where
    F: FnOnce(Option<Portal>) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let shared = current::actor().ok_or(Error::NoCurrentActor)?;
    if let Some(portal) = chosen_peer(&shared, name) {
        return body(Some(portal)).await;
    }
    let addrs = lookup(&shared, name).await?;
    match connect_any(&shared, &addrs).await? {
        Some((portal, _link)) => body(Some(portal)).await,
        None => body(any_peer(&shared, name)).await,
    }
}

/// As [`find_actor`], but waits until an actor of that name is registered, with any of several
/// registrars.
///
/// # Errors
/// As [`find_actor`].
///
/// # Cancel safety
/// Safe: the connection is closed.
pub async fn wait_for_actor<T, F, Fut>(name: &str, body: F) -> Result<T>
where
    F: FnOnce(Portal) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let shared = current::actor().ok_or(Error::NoCurrentActor)?;
    loop {
        if let Some(portal) = chosen_peer(&shared, name) {
            return body(portal).await;
        }
        let addrs = wait_for_addrs(&shared, name).await?;
        if let Some((portal, _link)) = connect_any(&shared, &addrs).await? {
            return body(portal).await;
        }
        // It has just gone, or is going: its record goes with its lease, and nothing tells us when.
        scope::sleep(RETRY_DELAY).await?;
    }
}

/// Where the actors of this name can be reached, in the order of [`find_actor`], without connecting
/// to them.
///
/// # Errors
/// [`Error::Registrar`] when no registrar can be reached; [`Error::Cancelled`];
/// [`Error::NoCurrentActor`].
///
/// # Cancel safety
/// Safe: nothing is kept.
pub async fn query_actor(name: &str) -> Result<Vec<Address>> {
    let shared = current::actor().ok_or(Error::NoCurrentActor)?;
    lookup(&shared, name).await
}

/// All actors that share the registry, and where they can be reached. Of several registrars, what
/// those know together that answer within 5 s each.
///
/// # Errors
/// As [`query_actor`].
///
/// # Cancel safety
/// Safe: nothing is kept.
pub async fn get_registry() -> Result<Vec<(Uid, Vec<Address>)>> {
    let shared = current::actor().ok_or(Error::NoCurrentActor)?;
    if is_registrar(&shared) {
        let inner = shared.lock();
        return Ok(inner.core.registry().map(|(uid, a)| (uid.clone(), a.to_vec())).collect());
    }
    let all = every::each(&shared, |conn| registrars::list(&shared, conn)).await?;
    Ok(every::merged(all.concat()))
}

/// Runs `body` with a portal to the root of this actor's own tree, whoever keeps its registry. A
/// connection that was made for it is closed at the end.
///
/// # Errors
/// Those of `body`; [`Error::PeerLost`] when the root does not answer any more;
/// [`Error::Cancelled`]; [`Error::NoCurrentActor`].
///
/// # Cancel safety
/// Safe: the connection is closed.
pub async fn get_root<T, F, Fut>(body: F) -> Result<T>
where
    F: FnOnce(Portal) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let shared = current::actor().ok_or(Error::NoCurrentActor)?;
    let mut addrs = shared.tree.get().map(|tree| tree.root_addrs.clone()).unwrap_or_default();
    Address::nearest_first(&mut addrs);
    for addr in &addrs {
        let Some(link) = links::connect(&shared, addr).await? else { continue };
        let Some(portal) = link.portal() else { continue };
        // The connection that we have already, when we have one: our parent may be the root.
        let known = known_peer(&shared, link.conn(), portal.uid());
        return body(known.unwrap_or(portal)).await;
    }
    let peer = Uid { name: Text::from_static("root"), uuid: Text::default() };
    Err(Error::PeerLost { peer })
}

fn is_registrar(shared: &Shared) -> bool {
    shared.lock().core.config().is_registrar
}

/// An actor of this name that we are connected to by our own doing.
fn chosen_peer(shared: &Arc<Shared>, name: &str) -> Option<Portal> {
    let inner = shared.lock();
    let (conn, aid) = inner.core.chosen_peers().find(|(_, aid)| aid.uid.name == *name)?;
    Some(portal_to(shared, &inner, conn, aid))
}

/// That very actor, over another connection than this.
fn known_peer(shared: &Arc<Shared>, but: Option<ConnId>, uid: &Uid) -> Option<Portal> {
    let inner = shared.lock();
    let mut peers = inner.core.chosen_peers();
    let (conn, aid) = peers.find(|(conn, aid)| Some(*conn) != but && aid.uid == *uid)?;
    Some(portal_to(shared, &inner, conn, aid))
}

/// An actor that has connected to us and says that this is its name.
fn any_peer(shared: &Arc<Shared>, name: &str) -> Option<Portal> {
    let inner = shared.lock();
    let (conn, aid) = inner.core.peers().find(|(_, aid)| aid.uid.name == *name)?;
    Some(portal_to(shared, &inner, conn, aid))
}

fn portal_to(shared: &Arc<Shared>, inner: &Inner, conn: ConnId, aid: &Aid) -> Portal {
    let child = inner.core.children().find(|(_, uid, ..)| **uid == aid.uid).map(|(id, ..)| id);
    Portal { shared: shared.clone(), conn, child, uid: aid.uid.clone() }
}

/// The addresses of all actors of a name, in the order in which to try them.
async fn lookup(shared: &Arc<Shared>, name: &str) -> Result<Vec<Address>> {
    let mut addrs = match is_registrar(shared) {
        true => {
            prove(shared, name).await?;
            shared.lock().core.find_all(name)
        }
        false => {
            let found = registrars::ask(shared, |features| find_request(features, name), found);
            found.await?.unwrap_or_default()
        }
    };
    Address::nearest_first(&mut addrs);
    Ok(addrs)
}

/// Asks for all actors of a name, or, of a base registrar, for one.
fn find_request(features: Features, name: &str) -> Request {
    let name = Text::from(name);
    match features.has(Features::WATCH) {
        true => Request::Watch { name, seen: None },
        false => Request::Find { name },
    }
}

/// The addresses in the answer to that; `None` when there are none.
fn found(features: Features, reply: bytes::Bytes) -> Result<Option<Vec<Address>>> {
    let addrs = match features.has(Features::WATCH) {
        true => {
            let records = codec::decode_records(&reply).map_err(wrong_reply)?;
            records.actors.into_iter().flat_map(|(_, addrs)| addrs).collect()
        }
        false => codec::decode_addrs(&reply).map_err(wrong_reply)?,
    };
    Ok((!addrs.is_empty()).then_some(addrs))
}

/// As [`lookup`], once there is one.
async fn wait_for_addrs(shared: &Arc<Shared>, name: &str) -> Result<Vec<Address>> {
    let mut addrs = match is_registrar(shared) {
        true => {
            prove(shared, name).await?;
            wait(shared, |inner, waker| {
                let addrs = inner.core.find_all(name);
                if !addrs.is_empty() {
                    return Poll::Ready(addrs);
                }
                inner.registry_wakers.add(waker);
                Poll::Pending
            })
            .await?
        }
        false => {
            let request = || Request::Wait { name: Text::from(name) };
            let ask = async |conn| {
                let reply = registrars::wait_at(shared, conn, request()).await?;
                codec::decode_addrs(&reply).map_err(wrong_reply)
            };
            every::first(shared, ask).await?
        }
    };
    Address::nearest_first(&mut addrs);
    Ok(addrs)
}

/// In the registrar: asks base peers of this name whether they live. Bounded: each question is.
async fn prove(shared: &Arc<Shared>, name: &str) -> Result<()> {
    let probes = shared.command(|inner, now| inner.core.prove(now, name));
    wait(shared, |inner, waker| {
        if !probes.iter().any(|probe| inner.core.is_probing(*probe)) {
            return Poll::Ready(());
        }
        inner.registry_wakers.add(waker);
        Poll::Pending
    })
    .await
}

fn wrong_reply(error: tractor_core::error::DecodeError) -> Error {
    Error::config(format!("the registrar's reply: {error}"))
}

/// So many addresses are tried, the nearest and youngest: each may be somebody who is silent.
const TRIED_MAX: usize = 16;

/// Connects to the first address where somebody answers. The portal is good as long as the link.
async fn connect_any(shared: &Arc<Shared>, addrs: &[Address]) -> Result<Option<(Portal, Link)>> {
    for addr in addrs.iter().take(TRIED_MAX) {
        if let Some(link) = links::connect(shared, addr).await?
            && let Some(portal) = link.portal()
        {
            return Ok(Some((portal, link)));
        }
        report_dead(shared, addr).await?;
    }
    Ok(None)
}

/// Tells the registrars that nobody answers at an address.
async fn report_dead(shared: &Arc<Shared>, addr: &Address) -> Result<()> {
    if is_registrar(shared) {
        shared.command(|inner, now| inner.core.report_dead(now, addr));
        return Ok(());
    }
    let report = |_| Request::ReportDead { addr: addr.clone() };
    // To all of them: none has an answer that would do.
    let told = registrars::ask(shared, report, |_, _| Ok(None::<()>));
    match scope::move_on_after(REPORT_MAX, told).await {
        Some(Err(error @ (Error::Cancelled | Error::Registrar(_)))) => Err(error),
        // That it was refused, or takes long, is its own business.
        _ => Ok(()),
    }
}
