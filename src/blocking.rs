//! Blocking work: [`unblock`], and the threads it runs on.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::current;
use crate::error::{Error, Result};
use crate::host;
use crate::oneshot::Oneshot;
use crate::scope::{self, Background};

mod pool;
#[cfg(test)]
mod tests;

use pool::{Job, Permit, Pool};

/// How many calls under [`unblock`] run at a time, each on a thread of its own, in the whole
/// process. More than that wait for their turn, in order.
pub const UNBLOCK_THREADS_MAX: usize = 64;

/// A thread that had nothing to do for so long ends.
const IDLE_TIME: Duration = Duration::from_secs(10);

static POOL: LazyLock<Arc<Pool>> = LazyLock::new(|| Pool::new(UNBLOCK_THREADS_MAX, IDLE_TIME));

/// Runs `work`, which blocks, on a thread for such work, and returns what it returns. On a thread
/// of the executor it would hold up everything else there: other tasks, and the news that they are
/// cancelled.
///
/// It runs as the actor that called it, with any executor, and also outside of actors. At most
/// [`UNBLOCK_THREADS_MAX`] calls run at a time, so one that waits for another such call may wait
/// for ever.
///
/// **A thread can't be cancelled.** When the call is, its await ends at once, while `work` runs on
/// to its end; an actor that ends meanwhile waits for that, until a teardown budget has passed
/// since the call was cancelled. Then the log says what is left behind. `work` that did not begin
/// never does. Whoever wants to wait for it puts a [`shield`](crate::scope::shield) around the
/// call. Work that has to end when it is told to, whatever it does, needs a process of its own.
///
/// ```
/// # futures_lite::future::block_on(async {
/// let manifest = tractor::unblock(|| std::fs::read_to_string("Cargo.toml")).await??;
/// # Ok::<(), tractor::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// [`Error::Panic`] when `work` panics; [`Error::Cancelled`]; [`Error::Io`] when the system gives
/// us no thread.
///
/// # Cancel safety
/// See above: dropped, it leaves `work` to its end.
pub async fn unblock<T, F>(work: F) -> Result<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    unblock_on(&POOL, work).await
}

async fn unblock_on<T, F>(pool: &Arc<Pool>, work: F) -> Result<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    scope::check()?;
    // One thread has to do: with another one, each run would be another one.
    if host::is_simulated() {
        return catch_unwind(AssertUnwindSafe(work)).map_err(Error::from_panic);
    }
    let mut turn = pool.turn();
    let permit = scope::cancellable(poll_fn(|cx| turn.poll(cx).map(Ok))).await?;
    let (result, taken) = (Oneshot::new(), Arc::new(AtomicBool::new(false)));
    let ticket = Ticket { result: result.clone(), taken: taken.clone() };
    let call = Call { result, taken, background: Background::here() };
    pool.submit(job(work, permit, ticket));
    scope::cancellable(poll_fn(|cx| call.result.poll(cx))).await
}

/// What a thread does.
fn job<T, F>(work: F, permit: Permit, ticket: Ticket<T>) -> Job
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let identity = current::identity();
    Box::new(move || {
        if ticket.taken.swap(true, Ordering::SeqCst) {
            return; // Nobody wants it any more.
        }
        let work = AssertUnwindSafe(|| match identity {
            Some(identity) => identity.run(work),
            None => work(),
        });
        // The report is made here: it is this thread that knows where it panicked.
        let value = catch_unwind(work).map_err(Error::from_panic);
        drop(permit);
        ticket.result.set(value);
    })
}

/// The job's end of a call. A job that is dropped has no thread: that is the result then.
struct Ticket<T> {
    result: Oneshot<Result<T>>,
    taken: Arc<AtomicBool>,
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        let no_thread = io::Error::new(io::ErrorKind::OutOfMemory, "the system makes no thread");
        self.result.set(Err(no_thread.into()));
    }
}

/// A call that was submitted. Dropped before its work has begun, it takes it back; before that has
/// ended, it leaves its end to the actor.
struct Call<T: Send + 'static> {
    result: Oneshot<Result<T>>,
    /// The work has begun, or never will.
    taken: Arc<AtomicBool>,
    background: Option<Background>,
}

impl<T: Send + 'static> Drop for Call<T> {
    fn drop(&mut self) {
        let is_back = !self.taken.swap(true, Ordering::SeqCst);
        if is_back || !self.result.is_empty() {
            return;
        }
        log::debug!(target: "tractor::runtime", "a blocking call goes on without its task");
        if let Some(background) = &self.background {
            let left = Left(self.result.clone());
            background.finish(async move {
                let left = left;
                poll_fn(|cx| left.0.poll(cx)).await.map(drop)
            });
        }
    }
}

/// A call that the actor waits for.
struct Left<T>(Oneshot<Result<T>>);

impl<T> Drop for Left<T> {
    fn drop(&mut self) {
        if self.0.is_empty() {
            log::warn!(
                target: "tractor::runtime",
                "a blocking call does not end: its thread is left behind"
            );
        }
    }
}
