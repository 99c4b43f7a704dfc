//! Several resources at once: [`gather`], and the [`Lease`] that makes a resource of a block.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use super::current::check;
use super::nursery::{Nursery, open_nursery};
use super::time::cancellable;
use crate::error::{Error, Result};
use crate::oneshot::Oneshot;
use crate::sync::{Mutex, MutexGuard};

/// Hands out what a block has opened, and keeps the block open until it is given back. So anything
/// that is opened with a block (`async |x| ..`) is a resource: its block ends with
/// [`lease.hold(x).await`](Self::hold).
pub struct Lease<V> {
    value: Oneshot<V>,
    back: Oneshot<()>,
}

impl<V> Lease<V> {
    pub(crate) fn new() -> (Self, Lent<V>) {
        let (value, back) = (Oneshot::new(), Oneshot::new());
        (Self { value: value.clone(), back: back.clone() }, Lent { value, back })
    }

    /// Hands out `value`, and waits until it is given back. What comes after it closes the
    /// resource.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Dropped, its block closes while the value is in use.
    pub async fn hold(self, value: V) -> Result<()> {
        self.value.set(value);
        cancellable(poll_fn(|cx| self.back.poll(cx).map(Ok))).await
    }
}

impl<V> fmt::Debug for Lease<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

/// The other side of a [`Lease`].
pub(crate) struct Lent<V> {
    value: Oneshot<V>,
    back: Oneshot<()>,
}

impl<V> Lent<V> {
    /// What was handed out: once.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<V> {
        self.value.poll(cx)
    }

    pub(crate) fn give_back(&self) {
        self.back.set(());
    }
}

/// Opens several resources at once, and runs `body` with what they hand out, in the order given.
/// When `body` has ended, they are closed at once; all of them, also when one fails at that.
///
/// When `body` fails, or a resource fails while others are opened or in use, `body` and all
/// resources are cancelled, and waited for. A resource is what closes what it opened on every way
/// out, as blocks do.
///
/// ```
/// # use tractor::scope::{Lease, gather};
/// # futures_lite::future::block_on(async {
/// let open = |name: &'static str| {
///     move |lease: Lease<usize>| async move {
///         println!("{name} is open");
///         lease.hold(name.len()).await?;
///         println!("{name} is closed");
///         Ok(())
///     }
/// };
/// let sum = gather([open("a"), open("bcd")], async |lengths| Ok(lengths.iter().sum::<usize>()));
/// assert_eq!(sum.await?, 4);
/// # Ok::<(), tractor::Error>(())
/// # }).unwrap();
/// ```
///
/// Resources of different kinds are given as boxed closures, and their values as one type. Contexts
/// with other actors are gathered by [`gather_contexts`](crate::gather_contexts).
///
/// # Errors
/// Those of `body` and of the resources, each once: bare, or a group in the order they came;
/// [`Error::Misuse`] when there is nothing to gather, and when a resource ends without being asked
/// to.
///
/// # Cancel safety
/// As [`open_nursery`]: cancelled by its scope, it waits for the resources. Their own rules hold
/// when a foreign future drops it.
pub fn gather<'f, V, T, R, Opening, F, Fut>(
    resources: impl IntoIterator<Item = R>,
    body: F,
) -> Gathering<'f, T>
where
    R: FnOnce(Lease<V>) -> Opening,
    Opening: Future<Output = Result<()>> + Send + 'f,
    F: FnOnce(Vec<V>) -> Fut + Send + 'f,
    Fut: Future<Output = Result<T>> + Send + 'f,
    V: Send + 'f,
    T: Send + 'f,
{
    let (opening, lent): (Vec<_>, Vec<_>) = resources
        .into_iter()
        .map(|open| {
            let (lease, lent) = Lease::new();
            (open(lease), lent)
        })
        .unzip();
    Box::pin(run(opening, lent, body))
}

/// What [`gather`] returns. Its type does not name the iterator: a future with an iterator over
/// references, mapped by a closure, would be one that the compiler can't see to be `Send`.
pub type Gathering<'f, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'f>>;

async fn run<'s, V, T, Opening, F, Fut>(
    opening: Vec<Opening>,
    lent: Vec<Lent<V>>,
    body: F,
) -> Result<T>
where
    Opening: Future<Output = Result<()>> + Send + 's,
    F: FnOnce(Vec<V>) -> Fut + Send,
    Fut: Future<Output = Result<T>> + Send,
    V: Send + 's,
    T: Send,
{
    if lent.is_empty() {
        return Err(Error::config("there is nothing to gather"));
    }
    let members = Arc::new(Members::default());
    let used = open_nursery(async |tn| {
        for resource in opening {
            let (own, members) = (tn.clone(), members.clone());
            tn.start_soon(async move { members.ended(&own, resource.await) });
        }
        match values(&lent, body).await {
            Ok(value) => {
                members.leave();
                lent.iter().for_each(Lent::give_back);
                Ok(Some(value))
            }
            Err(error) => {
                members.failed(&tn, error);
                Ok(None)
            }
        }
    })
    .await;
    members.join(used)
}

/// Waits until everything is handed out, and uses it.
async fn values<V, T, F, Fut>(lent: &[Lent<V>], body: F) -> Result<T>
where
    F: FnOnce(Vec<V>) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut values = Vec::with_capacity(lent.len());
    for one in lent {
        values.push(poll_fn(|cx| one.poll(cx)).await);
    }
    body(values).await
}

/// What the resources and the body have in common.
#[derive(Default)]
struct Members(Mutex<Failures>);

#[derive(Default)]
struct Failures {
    stage: Stage,
    /// In order of arrival.
    errors: Vec<Error>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    InUse,
    /// The body has ended well: each resource closes on its own.
    Leaving,
}

impl Members {
    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self) {
        self.lock().stage = Stage::Leaving;
    }

    /// A resource has ended.
    fn ended(&self, tn: &Nursery<'_>, result: Result<()>) {
        let is_expected = self.lock().stage == Stage::Leaving || check().is_err();
        match result {
            Ok(()) if is_expected => {}
            Ok(()) => self.failed(tn, Error::config("a resource ended while it was in use")),
            Err(error) => self.failed(tn, error),
        }
    }

    fn failed(&self, tn: &Nursery<'_>, error: Error) {
        let stage = {
            let mut failures = self.lock();
            failures.errors.push(error);
            failures.stage
        };
        if stage == Stage::InUse {
            tn.cancel();
        }
    }

    fn join<T>(&self, used: Result<Option<T>>) -> Result<T> {
        let mut errors = std::mem::take(&mut self.lock().errors);
        match used {
            Ok(Some(value)) if errors.is_empty() => return Ok(value),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
        Err(Error::join(errors).unwrap_or(Error::Cancelled))
    }
}
