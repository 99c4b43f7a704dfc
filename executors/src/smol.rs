//! The executor for programs on `smol`, or on no async runtime at all.
//!
//! Spawned tasks run on the threads inside [`block_on`](Executor::block_on), and on a helper thread
//! `tractor-smol` while there is none: a program may as well sit in `smol::block_on`, in another
//! executor's threads or in plain blocking code.
//!
//! ```text
//!   smol.rs      the executor: tasks of async-executor
//!   park.rs      how the threads that run them sleep, and who of them waits for the reactor
//!   reactor.rs   descriptors and timers, on mio
//! ```
//!
//! Not on `async-io`: its reactor makes five system calls more for each wait, and its helper thread
//! competes for them. That made a call a quarter slower than on tokio. `async-io`'s own sockets and
//! timers work in tasks of this executor all the same; its helper thread then wakes them.

mod park;
mod reactor;
#[cfg(all(test, shuttle))]
mod tests;

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_lite::FutureExt as _;

use crate::drive::{Drive, Runner, User};
use crate::timer::{Alarm, EPOCH, LazyTimer};
use crate::{BoxFuture, Direction, Executor, Readiness, Timer};

// What the reactor waits with.
#[cfg(not(all(test, shuttle)))]
use mio as system;
use park::Parking;
use reactor::Reactor;
#[cfg(all(test, shuttle))]
use tests::system;

/// An [`Executor`] made of `async-executor` and a reactor on `mio`.
///
/// Dropping it drops the tasks that have not ended: keep it, or use [`Smol::global`].
#[derive(Debug)]
pub struct Smol {
    drive: Arc<Drive<Tasks>>,
}

#[derive(Debug)]
struct Tasks {
    executor: async_executor::Executor<'static>,
    parking: Parking,
}

impl Runner for Tasks {
    const HELPER_NAME: &'static str = "tractor-smol";

    fn run(&self, until: Pin<&mut dyn Future<Output = ()>>) {
        // A runner of `async-executor` that goes away passes a wakeup it had not used to another.
        self.parking.block_on(pin!(self.executor.run(until)));
    }
}

impl Smol {
    /// An executor of its own, with its own tasks and its own reactor.
    ///
    /// # Panics
    /// When the system has no descriptors left for its reactor.
    pub fn new() -> Self {
        LazyLock::force(&EPOCH);
        let reactor = Reactor::new().unwrap_or_else(|e| panic!("can't make a reactor: {e}"));
        let parking = Parking::new(Arc::new(reactor));
        let executor = async_executor::Executor::new();
        Self { drive: Drive::new(Tasks { executor, parking }) }
    }

    /// The process's shared executor, made at its first use and never dropped.
    ///
    /// # Panics
    /// When the system has no descriptors left for its reactor.
    pub fn global() -> Arc<Self> {
        static GLOBAL: OnceLock<Arc<Smol>> = OnceLock::new();
        Arc::clone(GLOBAL.get_or_init(|| Arc::new(Self::new())))
    }

    fn reactor(&self) -> &Arc<Reactor> {
        self.drive.runner().parking.reactor()
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
        self.reactor().close();
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
        let user = self.drive.user();
        let guarded = async move {
            let _user = user;
            // The panic hook has already told of it; what it means is for whoever spawned the
            // task to decide, and they have wrapped it if they care.
            let _ = AssertUnwindSafe(future).catch_unwind().await;
        };
        self.drive.runner().executor.spawn(guarded).detach();
    }

    fn timer(&self) -> Box<dyn Timer> {
        let alarm = self.reactor().timer();
        Box::new(LazyTimer::new(Used { by: alarm, _user: self.drive.user() }))
    }

    fn watch(&self, fd: Arc<OwnedFd>) -> io::Result<Box<dyn Readiness>> {
        let watched = self.reactor().watch(fd)?;
        Ok(Box::new(Used { by: watched, _user: self.drive.user() }))
    }

    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        self.drive.block_on(future);
    }
}

/// A timer or watch, counted.
#[derive(Debug)]
struct Used<T> {
    by: T,
    _user: User,
}

impl Alarm for Used<reactor::Timer> {
    fn register(&mut self, at: Option<Instant>) {
        self.by.register(at);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.by.poll(cx)
    }
}

impl Readiness for Used<reactor::Watched> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.by.poll_readable(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.by.poll_writable(cx)
    }

    fn try_io(
        &self,
        direction: Direction,
        op: &mut dyn FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.by.try_io(direction, op)
    }
}
