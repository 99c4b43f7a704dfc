//! The executor for programs on `smol`, or on no async runtime at all.
//!
//! Spawned tasks run on the threads inside [`block_on`](Executor::block_on), and on a helper thread
//! `tractor-smol` while there is none: a program may as well sit in `smol::block_on`, in another
//! executor's threads or in plain blocking code.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_io::Async;
use futures_lite::FutureExt as _;

use crate::drive::{Drive, Runner};
use crate::timer::{Alarm, EPOCH, LazyTimer};
use crate::{BoxFuture, Executor, Readiness, Timer};

/// An [`Executor`] made of `async-io` and `async-executor`.
///
/// Dropping it drops the tasks that have not ended: keep it, or use [`Smol::global`].
#[derive(Debug)]
pub struct Smol {
    drive: Arc<Drive<Tasks>>,
}

#[derive(Debug)]
struct Tasks(async_executor::Executor<'static>);

impl Runner for Tasks {
    const HELPER_NAME: &'static str = "tractor-smol";

    fn run(&self, until: Pin<&mut dyn Future<Output = ()>>) {
        // A runner of `async-executor` that goes away passes a wakeup it had not used to another.
        async_io::block_on(self.0.run(until));
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Smol {
    /// An executor of its own, with its own tasks. The reactor is `async-io`'s, one per process.
    pub fn new() -> Self {
        LazyLock::force(&EPOCH);
        Self { drive: Drive::new(Tasks(async_executor::Executor::new())) }
    }

    /// The process's shared executor, made at its first use and never dropped.
    pub fn global() -> Arc<Self> {
        static GLOBAL: OnceLock<Arc<Smol>> = OnceLock::new();
        Arc::clone(GLOBAL.get_or_init(|| Arc::new(Self::new())))
    }
}

impl Default for Smol {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Smol {
    fn drop(&mut self) {
        self.drive.close();
    }
}

impl Executor for Smol {
    fn name(&self) -> &'static str {
        "smol"
    }

    fn now(&self) -> Duration {
        EPOCH.elapsed()
    }

    /// Runs `future` on a thread inside `block_on`, or on the helper thread.
    ///
    /// # Panics
    /// When the helper thread is needed and the system refuses to start it.
    fn spawn(&self, future: BoxFuture) {
        let guarded = async {
            // The panic hook has already told of it; what it means is for whoever spawned the
            // task to decide, and they have wrapped it if they care.
            let _ = AssertUnwindSafe(future).catch_unwind().await;
        };
        self.drive.runner().0.spawn(guarded).detach();
        self.drive.ensure();
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(LazyTimer::new(async_io::Timer::never()))
    }

    fn watch(&self, fd: Arc<OwnedFd>) -> io::Result<Box<dyn Readiness>> {
        Ok(Box::new(Watched(Async::new(fd)?)))
    }

    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        self.drive.block_on(future);
    }
}

impl Alarm for async_io::Timer {
    fn register(&mut self, at: Option<Instant>) {
        match at {
            Some(at) => self.set_at(at),
            None => self.clear(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(Future::poll(Pin::new(self), cx));
        Poll::Ready(())
    }
}

/// A descriptor in `async-io`'s reactor, which is level-triggered and armed by each `poll_*`.
#[derive(Debug)]
struct Watched(Async<Arc<OwnedFd>>);

impl Readiness for Watched {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_readable(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_writable(cx)
    }
}
