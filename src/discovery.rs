//! Discovery: actors of the tree by name.
//!
//! The root keeps the registry. Its children register over their link the moment they are ready;
//! deeper actors keep a connection to it, and their record lives as long as that connection.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tractor_core::error::Misuse as CoreMisuse;
use tractor_core::msg::{Aid, Request, codec};
use tractor_core::{Address, ConnId, Text, Uid};

use crate::current;
use crate::error::{Error, Result};
use crate::portal::{Dialog, Portal};
use crate::scope;
use crate::shared::{Inner, Shared};
use crate::wait::{self, wait};

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
        Some(link) => body(Some(link.portal.clone())).await,
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
        if let Some(link) = connect_any(&shared, &addrs).await? {
            return body(link.portal.clone()).await;
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
    let reply = ask(&shared, Request::List).await?;
    codec::decode_registry(&reply).map_err(|e| Error::config(format!("the registrar's reply: {e}")))
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
        let reply = ask(shared, request).await?;
        return codec::decode_addrs(&reply)
            .map_err(|e| Error::config(format!("the registrar's reply: {e}")));
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

async fn ask(shared: &Arc<Shared>, request: Request) -> Result<bytes::Bytes> {
    let conn = registrar(shared).await?;
    let dialog = start(shared, conn, request)?;
    wait::outcome(shared, dialog.id).await
}

pub(crate) fn start(shared: &Arc<Shared>, conn: ConnId, request: Request) -> Result<Dialog> {
    let id = shared.command(|inner, now| {
        let id = inner.core.request(now, conn, request)?;
        inner.mailbox(id);
        Ok::<_, CoreMisuse>(id)
    })?;
    Ok(Dialog { shared: shared.clone(), id })
}

/// The connection to the registrar: our parent's link when that is it, else one of our own, which
/// stays open as the lease of our record.
async fn registrar(shared: &Arc<Shared>) -> Result<ConnId> {
    let known = {
        let inner = shared.lock();
        let mut peers = inner.core.chosen_peers();
        peers.find(|(_, aid)| aid.is_registrar == Some(true)).map(|(conn, _)| conn)
    };
    if let Some(conn) = known {
        return Ok(conn);
    }
    let addrs = shared.tree.get().map(|tree| tree.registry_addrs.clone()).unwrap_or_default();
    for addr in addrs {
        if let Some(conn) = connect(shared, &addr).await? {
            return Ok(conn);
        }
    }
    Err(Error::config("the tree's registrar can't be reached"))
}

/// Makes an actor that is not the registrar's child known: registers it, and keeps the lease.
///
/// # Errors
/// When the registrar is gone, or refuses.
pub(crate) async fn register(shared: &Arc<Shared>, addrs: &[Address]) -> Result<()> {
    let parent = shared.parent();
    let conn = registrar(shared).await?;
    if parent == Some(conn) {
        return Ok(()); // `Ready` registers us.
    }
    for addr in addrs {
        let request = Request::Register { uid: shared.uid.clone(), addr: addr.clone() };
        let dialog = start(shared, conn, request)?;
        wait::outcome(shared, dialog.id).await?;
    }
    Ok(())
}

/// Connects, and waits for the handshake. `None`: nobody there.
pub(crate) async fn connect(shared: &Arc<Shared>, addr: &Address) -> Result<Option<ConnId>> {
    let conn = shared.command(|inner, now| inner.core.connect(now, addr.clone()))?;
    let link = Link::new(shared, conn);
    let open = wait(shared, |inner, waker| {
        if inner.core.peer(conn).is_some() {
            return Poll::Ready(true);
        }
        if !inner.core.is_known(conn) {
            return Poll::Ready(false);
        }
        inner.conn_wakers.add(waker);
        Poll::Pending
    })
    .await?;
    link.keep();
    Ok(open.then_some(conn))
}

/// Connects to the last address that answers, as the youngest actor's comes last.
async fn connect_any(shared: &Arc<Shared>, addrs: &[Address]) -> Result<Option<Connected>> {
    for addr in addrs.iter().rev() {
        if let Some(conn) = connect(shared, addr).await? {
            let uid = shared.lock().core.peer(conn).map(|aid| aid.uid.clone());
            let link = Link::new(shared, conn);
            if let Some(uid) = uid {
                let portal = Portal { shared: shared.clone(), conn, child: None, uid };
                return Ok(Some(Connected { portal, _link: link }));
            }
        }
    }
    Ok(None)
}

/// A portal over a connection that is closed with it.
struct Connected {
    portal: Portal,
    _link: Link,
}

/// A connection of our own: closed when dropped.
pub(crate) struct Link {
    shared: Arc<Shared>,
    conn: Option<ConnId>,
}

impl Link {
    pub(crate) fn new(shared: &Arc<Shared>, conn: ConnId) -> Link {
        Link { shared: shared.clone(), conn: Some(conn) }
    }

    pub(crate) fn keep(mut self) {
        self.conn = None;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(conn) = self.conn {
            // It may be gone already.
            let _ = self.shared.command(|inner, now| inner.core.close(now, conn));
        }
    }
}
