//! Resources that the tasks of an actor share: [`maybe_open_context`].
//!
//! ```text
//!   user ──┐           the instance: a task of the actor's own
//!   user ──┼── Entry ──▶ open(lease) .. lease.hold(value) .. what closes it
//!   user ──┘
//! ```
//!
//! # Invariants
//! * **K1** An entry is in the cache from the coming of its first user, who opens it, until all of
//!   its instance is gone. So there is one instance of a key at a time.
//! * **K2** Users come in only while it is open. Who comes while it is opened or closed waits for
//!   that to be over, and looks again.
//! * **K3** The last user closes it, also one whose frame was dropped, and waits for that if it has
//!   a frame. So no instance is left without users.
//! * **K4** An instance that ends under its users cancels their blocks, and they return its error.
//! * **K5** No code of users runs under a lock: keys are bytes, values are behind an `Arc`.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use serde::Serialize;

use crate::current::{self, Identity};
use crate::error::{Error, Result};
use crate::payload;
use crate::scope::{self, Background, CancelScope, Ended, Far, Lease, Lent, Nursery};
use crate::slab::Slab;
use crate::sync::{Mutex, MutexGuard};
use crate::wakers::{Places, Waiter, Wakers};

#[cfg(test)]
mod tests;

/// Whether a user of [`maybe_open_context`] found the resource or had to open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
    /// It was open already.
    Hit,
    /// It was opened for this user.
    Miss,
}

/// Runs `body` with a resource that tasks of this actor share: one for each `key`. The first user
/// opens it; who comes while it is open gets the same; the last one closes it, and waits until it
/// is closed. Who comes while it is being opened or closed waits for that, and then looks again.
///
/// `open` is a block that ends with [`lease.hold(value)`](Lease::hold): the value is what all users
/// get, and what comes after it closes the resource. It runs in a task of the actor's own, not in
/// that of its first user, whose end does not concern it while others use it. Only an opening is
/// given up when the task that wanted it is cancelled.
///
/// Keys are the same when they are encoded to the same bytes, and the values are of one type: a
/// string, a number, a tuple, the arguments of an endpoint.
///
/// ```no_run
/// # use tractor::{Context, Portal, Result};
/// # #[tractor::context]
/// # async fn feed(ctx: Context<(), u64, ()>, symbol: String) -> Result<()> {
/// #     ctx.started(()).await
/// # }
/// async fn quote(portal: Portal, symbol: String) -> Result<()> {
///     let key = ("feed", symbol.clone());
///     let open = async move |lease: tractor::scope::Lease<_>| {
///         portal.open_context(feed { symbol }, async |ctx, ()| lease.hold(ctx).await).await
///     };
///     tractor::maybe_open_context(key, open, async |cached, ctx| {
///         println!("{cached:?}: served by {:?}", ctx.peer());
///         Ok(())
///     })
///     .await
/// }
/// ```
///
/// Opening or closing a resource must not ask for that same resource, nor for one that does: it
/// would wait for itself until its scope is cancelled.
///
/// # Errors
/// Those of `body`; of opening it, for who wanted it opened; of closing it, for the last user, also
/// when that was cancelled meanwhile; and of a resource that fails in between, for all of its
/// users, whose blocks are cancelled. [`Error::Misuse`] when `open` ends without having been asked
/// to; [`Error::MsgType`] for a key that can't be encoded; [`Error::NoCurrentActor`];
/// [`Error::Cancelled`], also when the resource's host was cancelled.
///
/// # Cancel safety
/// Cancelled by its scope, a last user waits until the resource is closed, within the teardown
/// budget. Dropped by a foreign future, it leaves that to the actor, which does not end before.
pub async fn maybe_open_context<K, V, T, O, Opening, F, Fut>(key: K, open: O, body: F) -> Result<T>
where
    K: Serialize,
    V: Send + Sync + 'static,
    O: FnOnce(Lease<V>) -> Opening + Send + 'static,
    Opening: Future<Output = Result<()>> + Send + 'static,
    F: FnOnce(Cached, Arc<V>) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let shared = current::actor().ok_or(Error::NoCurrentActor)?;
    let root = shared.scopes.clone();
    let identity = Identity { actor: shared.clone(), task: "resource".into(), dialog: None };
    let host = move |instance: Instance| {
        Far::spawn(&root, CancelScope::new(), async {
            identity.scope(instance).await;
            Ok(())
        });
    };
    share(&shared.cache, Key::of::<V>(&key)?, host, open, body).await
}

/// As [`maybe_open_context`], and a resource that is opened here lives in `tn`: when that nursery
/// is cancelled, the resource is closed, and its users are cancelled. The nursery does not end
/// before the resource, and so not before its last user, who may be elsewhere.
///
/// # Errors
/// As [`maybe_open_context`]. The resource's errors are those of its users, and not the nursery's.
///
/// # Cancel safety
/// As [`maybe_open_context`].
pub async fn maybe_open_context_in<K, V, T, O, Opening, F, Fut>(
    tn: &Nursery<'_>,
    key: K,
    open: O,
    body: F,
) -> Result<T>
where
    K: Serialize,
    V: Send + Sync + 'static,
    O: FnOnce(Lease<V>) -> Opening + Send + 'static,
    Opening: Future<Output = Result<()>> + Send + 'static,
    F: FnOnce(Cached, Arc<V>) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let shared = current::actor().ok_or(Error::NoCurrentActor)?;
    let host = |instance: Instance| tn.start_soon(instance);
    share(&shared.cache, Key::of::<V>(&key)?, host, open, body).await
}

/// The task that has a resource.
type Instance = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A kind of value, and the bytes of what the program calls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key(TypeId, Vec<u8>);

impl Key {
    fn of<V: 'static>(key: &impl Serialize) -> Result<Self> {
        let mut bytes = Vec::new();
        payload::encode_into(key, &mut bytes)?;
        Ok(Self(TypeId::of::<V>(), bytes))
    }
}

/// The shared resources of one actor.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<Key, Arc<dyn Any + Send + Sync>>>);

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({})", self.lock().len())
    }
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<dyn Any + Send + Sync>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes in, with a block that is cancelled when the instance ends meanwhile.
    fn enter<V: Send + Sync + 'static>(&self, key: &Key, block: &CancelScope) -> Entered<V> {
        let mut entries = self.lock();
        if let Some(entry) = entries.get(key) {
            let entry: Arc<Entry<V>> =
                entry.clone().downcast().expect("the type of the value is part of the key");
            return entry.enter(block);
        }
        let entry = Arc::new(Entry::new());
        entries.insert(key.clone(), entry.clone());
        drop(entries);
        let slot = entry.lock().users.insert(block.clone());
        Entered::In(User::new(entry, slot), Cached::Miss)
    }
}

/// What a look into the cache comes to.
enum Entered<V: Send + Sync + 'static> {
    In(User<V>, Cached),
    /// It is being opened or closed.
    Busy(Arc<Entry<V>>),
}

/// One resource, from its opening to its end.
struct Entry<V> {
    state: Mutex<State<V>>,
    lent: Lent<V>,
    /// What `open` is given.
    lease: Mutex<Option<Lease<V>>>,
    /// That of the instance: cancelled when its opening is given up.
    scope: CancelScope,
}

struct State<V> {
    stage: Stage<V>,
    /// The blocks of the users.
    users: Slab<CancelScope>,
    wakers: Wakers,
}

/// Where it is in its life.
enum Stage<V> {
    Opening,
    Open(Arc<V>),
    /// The last user has left.
    Closing,
    Ended(Result<()>),
}

/// How things are after a user has left.
enum Left {
    /// Others use it, or the user is not the one to wait.
    InUse,
    /// The instance is to be waited for.
    Closing,
    /// The instance is gone already.
    Ended(Result<()>),
}

impl<V: Send + Sync + 'static> Entry<V> {
    fn new() -> Self {
        let (lease, lent) = Lease::new();
        let (users, wakers) = (Slab::new(), Wakers::default());
        let state = Mutex::new(State { stage: Stage::Opening, users, wakers });
        Self { state, lent, lease: Mutex::new(Some(lease)), scope: CancelScope::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: Arc<Self>, block: &CancelScope) -> Entered<V> {
        let mut state = self.lock();
        if !matches!(state.stage, Stage::Open(_)) {
            drop(state);
            return Entered::Busy(self);
        }
        let slot = state.users.insert(block.clone());
        drop(state);
        Entered::In(User::new(self, slot), Cached::Hit)
    }

    /// The instance hands out its value.
    fn opened(&self, value: V) {
        let value = Arc::new(value);
        let wakers = {
            let mut state = self.lock();
            // Who wanted it may be gone.
            if matches!(state.stage, Stage::Opening) {
                state.stage = Stage::Open(value.clone());
            }
            state.wakers.take()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The instance is gone, and out of the cache.
    fn ended(&self, result: Result<()>) {
        let (before, users, wakers) = {
            let mut state = self.lock();
            let result = match (&state.stage, result) {
                (Stage::Closing, result) => result,
                (_, Ok(())) => Err(Error::config("a resource ended while it was in use")),
                (_, Err(error)) => Err(error),
            };
            let before = mem::replace(&mut state.stage, Stage::Ended(result));
            let users: Vec<_> = state.users.iter().cloned().collect();
            (before, users, state.wakers.take())
        };
        drop(before);
        users.iter().for_each(CancelScope::cancel);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A user leaves. The last one closes the resource, or gives its opening up.
    fn leave(&self, slot: usize) -> Left {
        let (before, block) = {
            let mut state = self.lock();
            let block = state.users.remove(slot);
            match &state.stage {
                Stage::Ended(result) => return Left::Ended(result.clone()),
                _ if !state.users.is_empty() => return Left::InUse,
                _ => (mem::replace(&mut state.stage, Stage::Closing), block),
            }
        };
        if matches!(before, Stage::Opening) {
            self.scope.cancel();
        }
        self.lent.give_back();
        drop((before, block));
        Left::Closing
    }

    /// Waits until `look` finds what it waits for.
    fn poll_stage<T>(
        &self,
        (places, cx): (&mut Places, &mut Context<'_>),
        look: impl FnOnce(&Stage<V>) -> Option<T>,
    ) -> Poll<T> {
        let mut waiter: Waiter<'_> = places.waiter(cx.waker());
        let mut state = self.lock();
        match look(&state.stage) {
            Some(found) => Poll::Ready(found),
            None => {
                state.wakers.add(&mut waiter);
                Poll::Pending
            }
        }
    }

    /// The value, once it is there. Why it is not, who leaves is told.
    async fn value(&self) -> Result<Arc<V>> {
        let mut places = Places::default();
        let look = |stage: &Stage<V>| match stage {
            Stage::Opening => None,
            Stage::Open(value) => Some(Ok(value.clone())),
            Stage::Closing | Stage::Ended(_) => Some(Err(Error::Cancelled)),
        };
        let wait = poll_fn(|cx| self.poll_stage((&mut places, cx), look));
        scope::cancellable(wait).await
    }

    /// Waits until it is neither being opened nor closed.
    async fn settled(&self) -> Result<()> {
        let mut places = Places::default();
        let look = |stage: &Stage<V>| match stage {
            Stage::Opening | Stage::Closing => None,
            Stage::Open(_) | Stage::Ended(_) => Some(Ok(())),
        };
        scope::cancellable(poll_fn(|cx| self.poll_stage((&mut places, cx), look))).await
    }

    /// How the instance ended, once it has: bounded by the teardown of who waits.
    async fn end(&self) -> Result<()> {
        let mut places = Places::default();
        let look = |stage: &Stage<V>| match stage {
            Stage::Ended(result) => Some(result.clone()),
            _ => None,
        };
        poll_fn(|cx| self.poll_stage((&mut places, cx), look)).await
    }
}

/// See [`maybe_open_context`].
async fn share<V, T, O, Opening, F, Fut>(
    cache: &Arc<Cache>,
    key: Key,
    host: impl FnOnce(Instance),
    open: O,
    body: F,
) -> Result<T>
where
    V: Send + Sync + 'static,
    O: FnOnce(Lease<V>) -> Opening + Send + 'static,
    Opening: Future<Output = Result<()>> + Send + 'static,
    F: FnOnce(Cached, Arc<V>) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    scope::check()?;
    let block = CancelScope::new();
    let (user, cached) = loop {
        match cache.enter::<V>(&key, &block) {
            Entered::In(user, cached) => break (user, cached),
            Entered::Busy(entry) => entry.settled().await?,
        }
    };
    let entry = user.entry.clone();
    if cached == Cached::Miss {
        let ending = Ending { cache: cache.clone(), key, entry: entry.clone(), result: None };
        host(Box::pin(instance(ending, open)));
    }
    let task = async { body(cached, entry.value().await?).await };
    scope::guarded(&block, task, |ended| user.leave(ended), Error::is_news).await
}

/// The life of an instance.
async fn instance<V, O, Opening>(mut ending: Ending<V>, open: O)
where
    V: Send + Sync + 'static,
    O: FnOnce(Lease<V>) -> Opening,
    Opening: Future<Output = Result<()>>,
{
    let entry = ending.entry.clone();
    let lease = entry.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
    // The call itself is inside too: it may panic.
    let opening = async move {
        match lease {
            Some(lease) => open(lease).await,
            None => Ok(()),
        }
    };
    let mut life = Box::pin(entry.scope.run(opening));
    let result = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| life.as_mut().poll(cx)));
        if let Poll::Ready(value) = entry.lent.poll(cx) {
            entry.opened(value);
        }
        match polled {
            Ok(ended) => ended.map(|ended| ended.unwrap_or(Err(Error::Cancelled))),
            Err(payload) => Poll::Ready(Err(Error::from_panic(payload))),
        }
    })
    .await;
    // A destructor that panics after its task did: the first panic counts.
    drop(catch_unwind(AssertUnwindSafe(|| drop(life))));
    ending.result = Some(result);
}

/// Tells the users that the instance is gone; also when its host was cancelled, or refused it.
struct Ending<V: Send + Sync + 'static> {
    cache: Arc<Cache>,
    key: Key,
    entry: Arc<Entry<V>>,
    result: Option<Result<()>>,
}

impl<V: Send + Sync + 'static> Drop for Ending<V> {
    fn drop(&mut self) {
        let known = self.cache.lock().remove(&self.key);
        drop(known);
        self.entry.ended(self.result.take().unwrap_or(Err(Error::Cancelled)));
    }
}

/// One user, in its frame. Dropped before it has left, it leaves all the same.
struct User<V: Send + Sync + 'static> {
    entry: Arc<Entry<V>>,
    slot: usize,
    standing: Standing,
    background: Option<Background>,
}

/// What a user has still to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// To leave.
    Inside,
    /// To wait for the end of the instance.
    Last,
    Out,
}

impl<V: Send + Sync + 'static> User<V> {
    fn new(entry: Arc<Entry<V>>, slot: usize) -> Self {
        Self { entry, slot, standing: Standing::Inside, background: Background::here() }
    }

    /// Leaves the block: sees to it that the resource is closed if need be, and joins the errors.
    async fn leave<T>(mut self, ended: Ended<Result<T>>) -> Result<T> {
        let body = match ended {
            Ended::Value(result) => result,
            Ended::Panicked(payload) => Err(Error::from_panic(payload)),
            Ended::Cancelled { .. } => Err(Error::Cancelled),
        };
        let end = match self.entry.leave(self.slot) {
            Left::InUse => Ok(()),
            Left::Ended(result) => result,
            Left::Closing => {
                self.standing = Standing::Last;
                self.entry.end().await
            }
        };
        self.standing = Standing::Out;
        match (body, end) {
            (body, Ok(())) => body,
            (Ok(value), Err(Error::Cancelled)) => Ok(value),
            (Ok(_), Err(error)) => Err(error),
            (Err(error), Err(other)) => {
                Err(Error::join(vec![error, other]).unwrap_or(Error::Cancelled))
            }
        }
    }
}

impl<V: Send + Sync + 'static> Drop for User<V> {
    fn drop(&mut self) {
        let is_last = match self.standing {
            Standing::Inside => matches!(self.entry.leave(self.slot), Left::Closing),
            Standing::Last => true,
            Standing::Out => false,
        };
        if let (true, Some(background)) = (is_last, &self.background) {
            let watch = Watch(self.entry.clone());
            background.finish(async move {
                let watch = watch;
                watch.0.end().await
            });
        }
    }
}

/// Cancels an instance whose end nobody waits for any more.
struct Watch<V: Send + Sync + 'static>(Arc<Entry<V>>);

impl<V: Send + Sync + 'static> Drop for Watch<V> {
    fn drop(&mut self) {
        self.0.scope.cancel();
    }
}
