//! Discovery: actors of the tree by name.
//!
//! The root keeps the registry, or another program does. The registrar's children register over
//! their link the moment they are ready; all others keep a connection to it, and their record lives
//! as long as that connection.
//!
//! | file | what |
//! |---|---|
//! | here | finding somebody |
//! | `registrars` | an actor's connections to the registrars, and its record there |
//! | `election` | a root keeps the registry, or joins one |
//! | `links` | connections that are made to find somebody |

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tractor_core::msg::{Aid, Request, codec};
use tractor_core::{Address, ConnId, Text, Uid};

use crate::current;
use crate::error::{Error, Result};
use crate::portal::Portal;
use crate::scope;
use crate::shared::{Inner, Shared};
use crate::wait::wait;

mod election;
mod links;
mod registrars;

pub(crate) use election::Plan;
use links::Link;
pub(crate) use registrars::{Registrar, register};

/// Between two looks at a name whose actor does not answer.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Looks an actor up by its name and runs `body` with a portal to it, or `None` when there is none.
/// One that this actor connected to itself, its parent or a child is taken; else the youngest that
/// is registered; else one that is not, but has connected to this actor. A connection that was made
/// for it is closed at the end.
///
/// # Errors
/// Those of `body`; [`Error::PeerLost`] when the registrar is gone; [`Error::Cancelled`];
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
    let addrs = lookup(&shared, Request::Find { name: Text::from(name) }).await?;
    match connect_any(&shared, &addrs).await? {
        Some((portal, _link)) => body(Some(portal)).await,
        None => body(any_peer(&shared, name)).await,
    }
}

/// As [`find_actor`], but waits until an actor of that name is registered.
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
        let addrs = lookup(&shared, Request::Wait { name: Text::from(name) }).await?;
        if let Some((portal, _link)) = connect_any(&shared, &addrs).await? {
            return body(portal).await;
        }
        // It has just gone, or is going: its record goes with its lease, and nothing tells us when.
        scope::sleep(RETRY_DELAY).await?;
    }
}

/// Where the actors of this name can be reached, without connecting to them.
///
/// # Errors
/// [`Error::PeerLost`] when the registrar is gone; [`Error::Cancelled`]; [`Error::NoCurrentActor`].
///
/// # Cancel safety
/// Safe: nothing is kept.
pub async fn query_actor(name: &str) -> Result<Vec<Address>> {
    let shared = current::actor().ok_or(Error::NoCurrentActor)?;
    lookup(&shared, Request::Find { name: Text::from(name) }).await
}

/// All actors of the tree that can be reached, and where.
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
    let decode = |_, reply| codec::decode_registry(&reply).map(Some).map_err(wrong_reply);
    Ok(registrars::ask(&shared, |_| Request::List, decode).await?.unwrap_or_default())
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

/// As above, or that has connected to us and says that this is its name.
fn any_peer(shared: &Arc<Shared>, name: &str) -> Option<Portal> {
    let inner = shared.lock();
    let (conn, aid) = inner.core.peers().find(|(_, aid)| aid.uid.name == *name)?;
    Some(portal_to(shared, &inner, conn, aid))
}

fn portal_to(shared: &Arc<Shared>, inner: &Inner, conn: ConnId, aid: &Aid) -> Portal {
    let child = inner.core.children().find(|(_, uid, ..)| **uid == aid.uid).map(|(id, ..)| id);
    Portal { shared: shared.clone(), conn, child, uid: aid.uid.clone() }
}

/// Asks the registry for addresses: our own, or the registrar's.
async fn lookup(shared: &Arc<Shared>, request: Request) -> Result<Vec<Address>> {
    if !is_registrar(shared) {
        let decode = |_, reply: bytes::Bytes| {
            let addrs = codec::decode_addrs(&reply).map_err(wrong_reply)?;
            Ok((!addrs.is_empty()).then_some(addrs))
        };
        let found = registrars::ask(shared, |_| request.clone(), decode).await?;
        return Ok(found.unwrap_or_default());
    }
    let (name, waits) = match &request {
        Request::Wait { name } => (name.clone(), true),
        Request::Find { name } => (name.clone(), false),
        _ => return Ok(Vec::new()),
    };
    wait(shared, |inner, waker| {
        let addrs = inner.core.find_all(name.as_str());
        if !addrs.is_empty() || !waits {
            return Poll::Ready(addrs);
        }
        inner.registry_wakers.add(waker);
        Poll::Pending
    })
    .await
}

fn wrong_reply(error: tractor_core::error::DecodeError) -> Error {
    Error::config(format!("the registrar's reply: {error}"))
}

/// Connects to the last address that answers, as the youngest actor's comes last. The portal is
/// good as long as the link.
async fn connect_any(shared: &Arc<Shared>, addrs: &[Address]) -> Result<Option<(Portal, Link)>> {
    for addr in addrs.iter().rev() {
        if let Some(link) = links::connect(shared, addr).await?
            && let Some(portal) = link.portal()
        {
            return Ok(Some((portal, link)));
        }
    }
    Ok(None)
}
