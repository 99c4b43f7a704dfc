//! An actor's connections to the registrars of its tree: leases of its record, over which it also
//! asks. Its parent's link is one, when the parent keeps the registry. The others are made and,
//! when a registrar is gone, made again by a task in the background: whoever takes the address over
//! gets the record.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tractor_core::error::Misuse as CoreMisuse;
use tractor_core::msg::{Features, Request, codec};
use tractor_core::{Address, ConnId, Uid};
use tractor_executors::Timer;

use super::{links, wrong_reply};
use crate::current::Identity;
use crate::error::{Error, RegistrarError, Result};
use crate::log::{debug, warning};
use crate::portal::Dialog;
use crate::scope;
use crate::shared::{Inner, Shared};
use crate::wait::{self, wait_shielded};

/// How long who asks waits for a registrar that is gone to be replaced.
const REACH_MAX: Duration = Duration::from_secs(3);

/// How long a registrar may take to answer what it need not wait for.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How long an actor that boots waits for its registrars. After it: it goes on in the background.
const BEGIN_MAX: Duration = Duration::from_secs(2);

/// How long an actor that boots waits before it asks a registrar again that has refused it.
const AGAIN: Duration = Duration::from_millis(250);

/// Between two tries to reach a registrar: the first wait, and the longest. Each is twice the last.
/// There is no last try, as long as the actor lives: one connect every few seconds costs nothing,
/// and an actor that nobody can find is of no use.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Where a registrar is, and the connection to it. Two addresses of one registrar share one.
#[derive(Clone, Debug)]
pub(crate) struct Registrar {
    addr: Address,
    conn: Option<ConnId>,
    /// Our addresses are registered over the connection.
    registered: bool,
}

fn is_open(inner: &Inner, conn: ConnId) -> bool {
    inner.core.is_known(conn) && inner.core.peer(conn).is_some()
}

/// The parent's link, when the parent keeps the registry and takes `Ready` for a registration. (A
/// Python parent wants that over a connection of its own.)
fn parent(inner: &Inner) -> Option<ConnId> {
    let conn = inner.core.parent()?;
    let keeps = inner.core.peer(conn)?.is_registrar == Some(true);
    (keeps && inner.core.negotiated(conn).has(Features::READY)).then_some(conn)
}

/// The connections that stand, each once.
pub(super) fn standing(inner: &Inner) -> Vec<ConnId> {
    if let Some(conn) = parent(inner) {
        return vec![conn];
    }
    let conns = inner.registrars.iter().filter_map(|registrar| registrar.conn);
    let mut conns: Vec<ConnId> = conns.filter(|conn| is_open(inner, *conn)).collect();
    conns.sort_unstable();
    conns.dedup();
    conns
}

/// The addresses without a connection.
fn missing(inner: &Inner) -> Vec<Address> {
    let lost = |r: &&Registrar| r.conn.is_none_or(|conn| !is_open(inner, conn));
    inner.registrars.iter().filter(lost).map(|registrar| registrar.addr.clone()).collect()
}

/// Connects to the registrars at these addresses: all that there are.
///
/// # Errors
/// [`RegistrarError::Unreachable`] when none answers.
pub(super) async fn connect(shared: &Arc<Shared>, addrs: &[Address]) -> Result<()> {
    let known = |addr: &Address| Registrar { addr: addr.clone(), conn: None, registered: false };
    shared.lock().registrars = addrs.iter().map(known).collect();
    dial(shared).await?;
    // Not in the condition: the lock would be held in the branches, which take it, too.
    let none = standing(&shared.lock()).is_empty();
    if none { Err(unreachable(shared)) } else { Ok(()) }
}

fn unreachable(shared: &Shared) -> Error {
    let inner = shared.lock();
    let addrs = inner.registrars.iter().map(|registrar| registrar.addr.clone()).collect();
    Error::Registrar(RegistrarError::Unreachable(addrs))
}

/// Makes the connections that are missing, as far as somebody answers.
async fn dial(shared: &Arc<Shared>) -> Result<()> {
    let addrs = missing(&shared.lock());
    for addr in addrs {
        let Some(link) = links::connect(shared, &addr).await? else { continue };
        let mut inner = shared.lock();
        let Some(conn) = link.conn() else { continue };
        let Some(aid) = inner.core.peer(conn) else { continue };
        if aid.is_registrar == Some(false) {
            continue;
        }
        let uid = aid.uid.clone();
        // Another task of ours, or another of its addresses, may have led to it already.
        let twin = standing(&inner).into_iter().find(|other| {
            *other != conn && inner.core.peer(*other).is_some_and(|aid| aid.uid == uid)
        });
        let registered = |r: &Registrar| r.conn == twin && r.registered;
        let registered = twin.is_some() && inner.registrars.iter().any(registered);
        if let Some(registrar) = inner.registrars.iter_mut().find(|r| r.addr == addr) {
            registrar.conn = Some(twin.unwrap_or(conn));
            registrar.registered = registered;
        }
        // Who asks all of them asks this one, too.
        let wakers = inner.conn_wakers.take();
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        if twin.is_none() {
            link.keep();
        }
    }
    Ok(())
}

/// The connections to ask over: at least one, and in a fixed order. A registrar that is gone is
/// waited for, a while.
pub(super) async fn reach(shared: &Arc<Shared>) -> Result<Vec<ConnId>> {
    let give_up = shared.executor.now() + REACH_MAX;
    let mut delay = RETRY.0;
    loop {
        let (conns, any) = {
            let inner = shared.lock();
            (standing(&inner), !inner.registrars.is_empty())
        };
        if !any && conns.is_empty() {
            return Err(Error::config("this tree has no registrar"));
        }
        if !conns.is_empty() {
            return Ok(conns);
        }
        dial(shared).await?;
        if !standing(&shared.lock()).is_empty() {
            continue;
        }
        if shared.executor.now() >= give_up {
            return Err(unreachable(shared));
        }
        scope::sleep(delay).await?;
        delay = (delay * 2).min(RETRY.1);
    }
}

/// Waits until not these are the connections to ask over.
pub(super) async fn until_others(shared: &Arc<Shared>, conns: &[ConnId]) -> Result<()> {
    wait::wait(shared, |inner, waker| {
        if standing(inner) != conns {
            return Poll::Ready(());
        }
        inner.conn_wakers.add(waker);
        Poll::Pending
    })
    .await
}

/// Asks the registrars, one after the other, until one gives an answer that `take` takes. One that
/// goes meanwhile is waited for, or its successor.
///
/// # Errors
/// [`RegistrarError::Unreachable`]; what the registrar refuses with; [`Error::Cancelled`].
pub(super) async fn ask<T>(
    shared: &Arc<Shared>,
    request: impl Fn(Features) -> Request,
    take: impl Fn(Features, bytes::Bytes) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let mut lost = Lost::default();
    'again: loop {
        let mut refused = None;
        for conn in reach(shared).await? {
            let features = shared.lock().core.negotiated(conn);
            match ask_at(shared, conn, request(features)).await {
                Ok(reply) => {
                    if let Some(taken) = take(features, reply)? {
                        return Ok(Some(taken));
                    }
                }
                Err(error) if is_gone(&error) => {
                    lost.rest(shared).await?;
                    continue 'again;
                }
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                // Another one may do better.
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        return refused.map_or(Ok(None), Err);
    }
}

/// Registrars that go when they are asked something.
#[derive(Debug, Default)]
pub(super) struct Lost(Option<Losses>);

/// Times on the executor's clock.
#[derive(Clone, Copy, Debug)]
struct Losses {
    first: Duration,
    last: Duration,
    delay: Duration,
}

impl Lost {
    /// Waits a while, as its end may be known to the dialog first, and longer each time.
    ///
    /// # Errors
    /// [`RegistrarError::Unreachable`] when that goes on for as long as one is waited for.
    pub(super) async fn rest(&mut self, shared: &Arc<Shared>) -> Result<()> {
        let now = shared.executor.now();
        // One that was there for long in between has nothing to do with those before.
        let known = self.0.filter(|losses| now < losses.last + 2 * REACH_MAX);
        let Losses { first, delay, .. } =
            known.unwrap_or(Losses { first: now, last: now, delay: RETRY.0 });
        if now >= first + REACH_MAX {
            return Err(unreachable(shared));
        }
        self.0 = Some(Losses { first, last: now, delay: (delay * 2).min(RETRY.1) });
        scope::sleep(delay).await
    }
}

/// Whether the registrar was gone that this came of.
pub(super) fn is_gone(error: &Error) -> bool {
    match error {
        Error::PeerLost { .. } => true,
        Error::Misuse(crate::error::Misuse::Core(misuse)) => *misuse == CoreMisuse::NotOpen,
        _ => false,
    }
}

fn is_stuck(error: &Error) -> bool {
    matches!(error, Error::Registrar(RegistrarError::Unreachable(_)))
}

/// Asks one registrar, which answers at once, or when it has asked others.
///
/// # Errors
/// [`RegistrarError::Unreachable`] when it does not: it may be stuck.
pub(super) async fn ask_at(
    shared: &Arc<Shared>,
    conn: ConnId,
    request: Request,
) -> Result<bytes::Bytes> {
    let answer = wait_at(shared, conn, request);
    let answer = wait::within(shared.executor.as_ref(), ANSWER_MAX, answer).await;
    answer.unwrap_or_else(|| Err(unreachable(shared)))
}

/// All that one registrar knows.
pub(super) async fn list(shared: &Arc<Shared>, conn: ConnId) -> Result<Vec<(Uid, Vec<Address>)>> {
    let reply = ask_at(shared, conn, Request::List).await?;
    codec::decode_registry(&reply).map_err(wrong_reply)
}

/// Asks one registrar something that it answers when it happens.
pub(super) async fn wait_at(
    shared: &Arc<Shared>,
    conn: ConnId,
    request: Request,
) -> Result<bytes::Bytes> {
    let id = shared.command(|inner, now| {
        let id = inner.core.request(now, conn, request)?;
        inner.mailbox(id);
        Ok::<_, CoreMisuse>(id)
    })?;
    let dialog = Dialog { shared: shared.clone(), id };
    wait::outcome(shared, dialog.id).await
}

/// Makes this actor known to the registrars, from now on. What `own_addrs` has must stand by then.
///
/// # Errors
/// When a registrar refuses. That none is there is none: then it is waited for.
pub(crate) async fn register(shared: &Arc<Shared>) -> Result<()> {
    {
        let mut inner = shared.lock();
        if parent(&inner).is_some() {
            return Ok(()); // `Ready` registers us.
        }
        if inner.registrars.is_empty() {
            let addrs = shared.tree.get().map(|tree| tree.registry_addrs.clone());
            let known = |addr| Registrar { addr, conn: None, registered: false };
            inner.registrars = addrs.unwrap_or_default().into_iter().map(known).collect();
        }
        if inner.registrars.is_empty() {
            return Ok(()); // A tree without a registry: a Python parent may have none.
        }
    }
    // One that is stuck must not cost us our own time to boot.
    wait::within(shared.executor.as_ref(), BEGIN_MAX, begin(shared)).await.unwrap_or(Ok(()))?;
    if !missing(&shared.lock()).is_empty() {
        debug!("tractor::runtime", "not every registrar answers: it goes on in the background");
    }
    let identity = Identity { actor: shared.clone(), task: "registrars".into(), dialog: None };
    shared.executor.spawn(Box::pin(identity.scope(keep(shared.clone()))));
    Ok(())
}

/// Registers for the first time. A registrar that refuses is asked again once: it may not know yet
/// of the end of who had our address.
async fn begin(shared: &Arc<Shared>) -> Result<()> {
    dial(shared).await?;
    match register_all(shared).await {
        Err(error) if !matches!(error, Error::Cancelled) => {
            debug!("tractor::runtime", "refused, and asked again: {error}");
            scope::sleep(AGAIN).await?;
            register_all(shared).await
        }
        done => done,
    }
}

/// Registers over each connection where that was not done yet.
async fn register_all(shared: &Arc<Shared>) -> Result<()> {
    let addrs = shared.own_addrs.get().cloned().unwrap_or_default();
    let conns = unregistered(&shared.lock());
    let mut refused = None;
    'next: for conn in conns {
        for addr in &addrs {
            let request = Request::Register { uid: shared.uid.clone(), addr: addr.clone() };
            match ask_at(shared, conn, request).await {
                Ok(_) => {}
                Err(error) if is_gone(&error) || is_stuck(&error) => continue 'next,
                // Another one may take us.
                Err(error) => {
                    refused = refused.or(Some(error));
                    continue 'next;
                }
            }
        }
        let mut inner = shared.lock();
        if is_open(&inner, conn) {
            let same = inner.registrars.iter_mut().filter(|r| r.conn == Some(conn));
            same.for_each(|registrar| registrar.registered = true);
        }
    }
    refused.map_or(Ok(()), Err)
}

fn unregistered(inner: &Inner) -> Vec<ConnId> {
    let open = inner.registrars.iter().filter(|r| !r.registered).filter_map(|r| r.conn);
    let mut conns: Vec<ConnId> = open.filter(|conn| is_open(inner, *conn)).collect();
    conns.dedup();
    conns
}

/// Sees to it that the actor is known, as long as it lives.
async fn keep(shared: Arc<Shared>) {
    let mut timer = shared.executor.timer();
    let mut delay = RETRY.0;
    while until_lost(&shared).await == Next::Restore {
        if restore(&shared).await {
            delay = RETRY.0;
            continue;
        }
        timer.set(Some(shared.executor.now() + delay));
        if rest(&shared, timer.as_mut()).await == Next::End {
            return;
        }
        delay = (delay * 2).min(RETRY.1);
    }
}

/// Waits until the timer goes off, or this actor is to end.
async fn rest(shared: &Arc<Shared>, timer: &mut dyn Timer) -> Next {
    let mut end = pin!(wait_shielded(shared, |inner, waker| {
        if is_ending(inner) {
            return Poll::Ready(());
        }
        inner.life_wakers.add(waker);
        Poll::Pending
    }));
    poll_fn(|cx| match end.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(Next::End),
        Poll::Pending => timer.poll_expired(cx).map(|()| Next::Restore),
    })
    .await
}

fn is_ending(inner: &Inner) -> bool {
    inner.ended || inner.ending.is_some()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Restore,
    End,
}

/// Waits until a registrar is gone, or this actor is to end.
async fn until_lost(shared: &Arc<Shared>) -> Next {
    wait_shielded(shared, |inner, waker| {
        if is_ending(inner) {
            return Poll::Ready(Next::End);
        }
        if !missing(inner).is_empty() || !unregistered(inner).is_empty() {
            return Poll::Ready(Next::Restore);
        }
        inner.conn_wakers.add(&mut *waker);
        inner.life_wakers.add(waker);
        Poll::Pending
    })
    .await
}

/// Connects and registers anew. Whether all is well again.
async fn restore(shared: &Arc<Shared>) -> bool {
    let done = async {
        dial(shared).await?;
        register_all(shared).await
    };
    let result = done.await;
    let inner = shared.lock();
    if let (Err(error), false) = (result, is_ending(&inner)) {
        // The record of our last connection may not be gone yet.
        drop(inner);
        warning!("tractor::runtime", "a registrar does not take this actor: {error}");
        return false;
    }
    missing(&inner).is_empty() && unregistered(&inner).is_empty()
}
