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
//! | [`smol`] | `smol` (default) | `async-io` and `async-executor`, the parts `smol` is made of |

#![cfg_attr(docsrs, feature(doc_cfg))]

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

#[cfg(feature = "smol")]
pub mod smol;

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

    /// A new timer, not armed.
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

    /// Tells an edge-triggered reactor that a read would have blocked.
    fn clear_readable(&self) {}

    /// Tells an edge-triggered reactor that a write would have blocked.
    fn clear_writable(&self) {}
}
