//! The executor seam of tractor.
//!
//! [`Executor`] is the only thing the runtime knows of the program's async runtime: what time it
//! is, how to run a `Send` future, how to be woken at a time and when a file descriptor is ready.
//! It is object-safe and poll-based, so the runtime holds one `Arc<dyn Executor>` and an adapter
//! is a page of code. Child exits and signals need nothing more: on Linux a child is a pidfd and a
//! signal is a pipe, and both are just readable descriptors.
//!
//! | adapter | feature | what it is |
//! |---|---|---|
//! | `smol` | `smol` (default) | the tasks of `async-executor`, as in `smol`, and a reactor on `mio` |
//! | `tokio` | `tokio` | a tokio runtime, of its own or the program's, of either flavour |
//! | `sim` | `sim` | one thread with virtual time and a seeded scheduler, for simulations |

#![cfg_attr(docsrs, feature(doc_cfg))]

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

#[cfg(any(feature = "smol", feature = "tokio"))]
mod drive;
#[cfg(feature = "sim")]
#[cfg_attr(docsrs, doc(cfg(feature = "sim")))]
pub mod sim;
#[cfg(feature = "smol")]
#[cfg_attr(docsrs, doc(cfg(feature = "smol")))]
pub mod smol;
#[cfg(any(feature = "smol", feature = "tokio"))]
mod sync;
#[cfg(all(test, shuttle))]
mod tests;
#[cfg(any(feature = "smol", feature = "tokio"))]
mod timer;
#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
pub mod tokio;

/// A boxed future that any thread of an executor may run.
pub type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the runtime needs of an async runtime. Implement it to run actors on another one.
pub trait Executor: Debug + Send + Sync + 'static {
    /// The adapter's name. A spawned child looks its own executor up by it.
    fn name(&self) -> &'static str;

    /// Monotonic time since a fixed moment before the executor's first use. Never goes back.
    fn now(&self) -> Duration;

    /// Runs `future` to its end, detached. A panic in it must not end the executor.
    fn spawn(&self, future: BoxFuture);

    /// A new timer, not armed. It never fires once the executor is gone.
    fn timer(&self) -> Box<dyn Timer>;

    /// Watches a descriptor, which is made non-blocking, until the watch is dropped.
    ///
    /// # Errors
    /// When the reactor refuses the descriptor (it is already watched, or of a kind that can't be).
    fn watch(&self, fd: Arc<OwnedFd>) -> io::Result<Box<dyn Readiness>>;

    /// Blocks this thread until `future` ends, running spawned futures meanwhile.
    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>);
}

/// One timer, re-armed in place.
pub trait Timer: Debug + Send {
    /// Arms for [`Executor::now`] `== at`, or disarms. The next
    /// [`poll_expired`](Self::poll_expired) registers the waker for it.
    fn set(&mut self, at: Option<Duration>);

    /// Ready once the armed time has come (then disarmed); pending for ever when not armed.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// One of the two directions of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Reading from it, or accepting.
    Read,
    /// Writing to it, or connecting.
    Write,
}

/// The readiness of one descriptor. At most one waker each way is kept: the last one given.
pub trait Readiness: Debug + Send + Sync {
    /// Ready when a read may make progress.
    ///
    /// # Errors
    /// When the reactor is gone.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ready when a write may make progress.
    ///
    /// # Errors
    /// When the reactor is gone.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Runs `op`, which tries to read or write and does not wait. Every attempt goes through here:
    /// an edge-triggered reactor learns from `WouldBlock` that the next `poll_*` has to wait, and
    /// must know what it had told before the attempt. An `op` that has emptied or filled the
    /// descriptor may keep its result and answer `WouldBlock`, too: that spares the next attempt.
    ///
    /// # Errors
    /// Those of `op`.
    fn try_io(
        &self,
        direction: Direction,
        op: &mut dyn FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let _ = direction;
        op()
    }
}
