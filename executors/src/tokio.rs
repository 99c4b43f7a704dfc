//! The executor for programs on tokio.
//!
//! | made by | its tasks run | its name |
//! |---|---|---|
//! | [`Tokio::current_thread`] | on the threads inside `block_on`, else on a helper `tractor-tokio` | `tokio` |
//! | [`Tokio::multi_thread`] | on tokio's worker threads | `tokio-multi-thread` |
//! | [`Tokio::attached`], [`Tokio::current`] | where that runtime, the program's own, runs them | by its flavour |
//!
//! A child process finds its executor by the name: so it has the flavour of its parent.
//!
//! tokio's reactor is edge-triggered: it tells once that a descriptor is ready, and believes so
//! until an attempt says otherwise. So every attempt goes through
//! [`Readiness::try_io`], which ties what the attempt found to what had been told before it: an
//! event that comes in between is never cleared by it.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ::tokio::io::Interest;
use ::tokio::io::unix::AsyncFd;
use ::tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use ::tokio::time::Sleep;

use crate::drive::{Drive, Runner, User};
use crate::timer::{Alarm, EPOCH, LazyTimer};
use crate::{BoxFuture, Direction, Executor, Readiness, Timer};

/// What the flavour with one thread calls itself.
pub const NAME: &str = "tokio";

/// What the flavour with many threads calls itself.
pub const NAME_MULTI_THREAD: &str = "tokio-multi-thread";

/// An [`Executor`] on a tokio runtime.
///
/// Dropping one that has a runtime of its own drops the tasks that have not ended: keep it, or use
/// [`Tokio::global`] or [`Tokio::global_multi_thread`].
#[derive(Debug)]
pub struct Tokio {
    handle: Handle,
    host: Host,
}

/// Whose the runtime is.
#[derive(Debug)]
enum Host {
    /// The program's: it sees to it that it runs.
    Program,
    /// Ours, without threads.
    CurrentThread(Arc<Drive<Tasks>>),
    /// Ours, with threads.
    MultiThread(Option<Runtime>),
}

impl Tokio {
    /// A runtime of its own without threads: the fast case for an actor, whose messages then wake
    /// exactly one thread.
    ///
    /// # Errors
    /// When the system has no descriptors left for its reactor.
    pub fn current_thread() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let tasks = Tasks(Some(runtime));
        Ok(Self::new(tasks.runtime().handle().clone(), Host::CurrentThread(Drive::new(tasks))))
    }

    /// A runtime of its own with a worker thread per core.
    ///
    /// # Errors
    /// When the system has no descriptors or threads left.
    pub fn multi_thread() -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().enable_all().thread_name("tractor-tokio").build()?;
        Ok(Self::new(runtime.handle().clone(), Host::MultiThread(Some(runtime))))
    }

    /// On a runtime of the program, which must have been built with `enable_all` (as
    /// `#[tokio::main]` does) and be running for as long as there are actors on it: they end with
    /// it. Not one whose clock is paused: deadlines here go by the real time.
    pub fn attached(handle: Handle) -> Self {
        Self::new(handle, Host::Program)
    }

    /// On the runtime that the running code is in; `None` outside of any.
    pub fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self::attached)
    }

    /// The process's shared executor without threads, made at its first use and never dropped.
    ///
    /// # Panics
    /// When the system refuses what it needs.
    pub fn global() -> Arc<Self> {
        static GLOBAL: OnceLock<Arc<Tokio>> = OnceLock::new();
        shared(&GLOBAL, Self::current_thread)
    }

    /// The process's shared executor with threads, made at its first use and never dropped.
    ///
    /// # Panics
    /// When the system refuses what it needs.
    pub fn global_multi_thread() -> Arc<Self> {
        static GLOBAL: OnceLock<Arc<Tokio>> = OnceLock::new();
        shared(&GLOBAL, Self::multi_thread)
    }

    fn new(handle: Handle, host: Host) -> Self {
        LazyLock::force(&EPOCH);
        Self { handle, host }
    }

    /// Counts a timer or watch: it needs somebody to drive the reactor, whoever polls it.
    fn user(&self) -> Option<User> {
        let Host::CurrentThread(drive) = &self.host else { return None };
        Some(drive.user())
    }
}

fn shared(cell: &OnceLock<Arc<Tokio>>, make: impl FnOnce() -> io::Result<Tokio>) -> Arc<Tokio> {
    let made = || Arc::new(make().unwrap_or_else(|e| panic!("can't make a tokio runtime: {e}")));
    Arc::clone(cell.get_or_init(made))
}

impl Drop for Tokio {
    fn drop(&mut self) {
        match &mut self.host {
            Host::Program => {}
            Host::CurrentThread(drive) => drive.close(),
            // In the background: the last handle may go inside of a task, where nobody may block.
            Host::MultiThread(runtime) => {
                if let Some(runtime) = runtime.take() {
                    runtime.shutdown_background();
                }
            }
        }
    }
}

impl Executor for Tokio {
    fn name(&self) -> &'static str {
        match self.handle.runtime_flavor() {
            RuntimeFlavor::CurrentThread => NAME,
            _ => NAME_MULTI_THREAD,
        }
    }

    fn now(&self) -> Duration {
        EPOCH.elapsed()
    }

    /// Runs `future` where the runtime runs its tasks; without threads of its own on a thread
    /// inside `block_on`, or on the helper thread.
    ///
    /// # Panics
    /// When the helper thread is needed and the system refuses to start it.
    fn spawn(&self, future: BoxFuture) {
        // A panic ends in tokio's own guard, which keeps it for who joins: nobody does.
        let user = self.user();
        drop(self.handle.spawn(async move {
            let _user = user;
            future.await;
        }));
    }

    fn timer(&self) -> Box<dyn Timer> {
        let wake = Wake { handle: self.handle.clone(), sleep: None, _user: self.user() };
        Box::new(LazyTimer::new(wake))
    }

    fn watch(&self, fd: Arc<OwnedFd>) -> io::Result<Box<dyn Readiness>> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let _context = self.handle.enter();
        #[allow(
            deprecated,
            reason = "its successor is unsafe, for types whose descriptor may change: ours can't"
        )]
        let fd = AsyncFd::new(fd)?;
        Ok(Box::new(Watched { fd, _user: self.user() }))
    }

    /// Blocks this thread until `future` ends, running spawned futures meanwhile if the runtime has
    /// no threads of its own.
    ///
    /// # Panics
    /// Inside of a tokio runtime, which does not allow it.
    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        match &self.host {
            Host::CurrentThread(drive) => drive.block_on(future),
            Host::Program | Host::MultiThread(_) => self.handle.block_on(future),
        }
    }
}

/// A runtime without threads, there until the drop.
#[derive(Debug)]
struct Tasks(Option<Runtime>);

impl Tasks {
    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken only by the drop")
    }
}

impl Runner for Tasks {
    const HELPER_NAME: &'static str = "tractor-tokio";

    fn run(&self, until: Pin<&mut dyn Future<Output = ()>>) {
        self.runtime().block_on(until);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        // As above: it may be dropped where nobody may block.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// tokio's timer, made when it is first needed.
struct Wake {
    handle: Handle,
    sleep: Option<Pin<Box<Sleep>>>,
    _user: Option<User>,
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wake").field("sleep", &self.sleep).finish_non_exhaustive()
    }
}

impl Alarm for Wake {
    fn register(&mut self, at: Option<Instant>) {
        let Some(at) = at else {
            self.sleep = None;
            return;
        };
        let at = ::tokio::time::Instant::from_std(at);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            none => {
                let _context = self.handle.enter();
                *none = Some(Box::pin(::tokio::time::sleep_until(at)));
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        // It panics when its runtime is going away. Then it never fires: who waits for an actor of
        // that runtime is told by the end of its driver.
        let polled = catch_unwind(AssertUnwindSafe(|| sleep.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| {
            self.sleep = None;
            Poll::Pending
        })
    }
}

#[derive(Debug)]
struct Watched {
    fd: AsyncFd<Arc<OwnedFd>>,
    _user: Option<User>,
}

impl Readiness for Watched {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(self.fd.poll_read_ready(cx)).map(drop))
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(self.fd.poll_write_ready(cx)).map(drop))
    }

    fn try_io(
        &self,
        direction: Direction,
        op: &mut dyn FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let interest = match direction {
            Direction::Read => Interest::READABLE,
            Direction::Write => Interest::WRITABLE,
        };
        let mut tried = false;
        let result = self.fd.try_io(interest, |_| {
            tried = true;
            op()
        });
        // Not known to be ready is no reason not to try: an event that comes after a `WouldBlock`
        // is news, and wakes.
        if tried { result } else { op() }
    }
}
