//! The executor for programs on `smol`, or on no async runtime at all.
//!
//! ```text
//!   block_on(fut) ──> async_io::block_on( executor.run(fut) )  tasks, I/O and timers on one thread
//!   spawn(task)  ───> executor ──┬── run by the threads inside block_on, while there are any
//!                                └── else run by the helper thread `tractor-smol`
//! ```
//!
//! **One thread is the fast case.** [`Smol::block_on`](Executor::block_on) runs the spawned tasks
//! on the calling thread, which waits for the descriptors itself: a message from another process
//! wakes exactly one thread, with no hand-off to a second one.
//!
//! **Nobody is forced to enter `block_on`.** A program may sit in `smol::block_on`, in another
//! executor's threads or in plain blocking code; its spawned tasks then run on one helper thread,
//! started by the first task that needs it. The helper steps back when a `block_on` begins and
//! takes over what is left when the last one ends.
//!
//! Invariant of the hand-over: `block_ons`, `helper` and `closed` change under one lock, and a task
//! is in the executor's queue before `spawn` takes that lock. So either `spawn` sees that nobody
//! drives and starts the helper, or the last `block_on` sees the task when it leaves. A runner of
//! `async-executor` that goes away passes a wakeup it had not used to another one.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::{Duration, Instant};

use async_io::Async;
use futures_lite::FutureExt as _;

use crate::{BoxFuture, Executor, Readiness, Timer};

/// What [`Executor::now`] counts from. One for the process, so that times of two [`Smol`]s compare.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The name of the helper thread, as debuggers and `/proc/<pid>/task/*/comm` show it.
const HELPER_NAME: &str = "tractor-smol";

/// An [`Executor`] made of `async-io` and `async-executor`.
///
/// Dropping it drops the tasks that have not ended: keep it, or use [`Smol::global`].
#[derive(Debug)]
pub struct Smol {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    executor: async_executor::Executor<'static>,
    driving: Mutex<Driving>,
    /// Told when `block_ons` falls to 0 and when `closed` is set: the helper waits on it.
    changed: Condvar,
}

/// Who runs the tasks.
#[derive(Debug, Default)]
struct Driving {
    /// Threads inside `block_on` now.
    block_ons: usize,
    /// Whether the helper thread was started. It lives as long as the [`Smol`].
    helper: bool,
    /// Set when the [`Smol`] is dropped: the helper ends.
    closed: bool,
    /// Wakes the helper while it drives, so that it steps back.
    step_back: Option<Waker>,
}

impl Smol {
    /// An executor of its own, with its own tasks. The reactor is `async-io`'s, one per process.
    pub fn new() -> Self {
        LazyLock::force(&EPOCH);
        Self {
            inner: Arc::new(Inner {
                executor: async_executor::Executor::new(),
                driving: Mutex::default(),
                changed: Condvar::new(),
            }),
        }
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
        let mut driving = self.inner.lock();
        driving.closed = true;
        let step_back = driving.step_back.take();
        drop(driving);
        self.inner.changed.notify_all();
        if let Some(waker) = step_back {
            waker.wake();
        }
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
        self.inner.executor.spawn(guarded).detach();
        self.inner.ensure_driven();
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(SmolTimer { timer: async_io::Timer::never(), registered: None, deadline: None })
    }

    fn watch(&self, fd: Arc<OwnedFd>) -> io::Result<Box<dyn Readiness>> {
        Ok(Box::new(Watched(Async::new(fd)?)))
    }

    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        let _entered = Entered::new(&self.inner);
        async_io::block_on(self.inner.executor.run(future));
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Driving> {
        // No code that can panic runs under this lock.
        self.driving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the helper thread when tasks are there and nobody runs them.
    fn ensure_driven(self: &Arc<Self>) {
        let mut driving = self.lock();
        if driving.block_ons > 0 || driving.helper || self.executor.is_empty() {
            return;
        }
        driving.helper = true;
        drop(driving);
        let inner = Arc::clone(self);
        let started = thread::Builder::new().name(HELPER_NAME.into()).spawn(move || inner.help());
        if let Err(error) = started {
            self.lock().helper = false;
            panic!("cannot start the thread {HELPER_NAME}: {error}");
        }
    }

    /// The helper thread's body.
    fn help(&self) {
        while self.wait_until_needed() {
            // A task's panic ends in `spawn`. This one is for what may panic beside it, a waker
            // or a destructor: the tasks that are left must still be driven.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                async_io::block_on(self.executor.run(poll_fn(|cx| self.poll_step_back(cx))));
            }));
        }
    }

    /// Waits until nobody is in `block_on`. False when the executor is gone.
    fn wait_until_needed(&self) -> bool {
        let mut driving = self.lock();
        while driving.block_ons > 0 && !driving.closed {
            driving = self.changed.wait(driving).unwrap_or_else(PoisonError::into_inner);
        }
        !driving.closed
    }

    /// Ready when the helper should stop driving.
    fn poll_step_back(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut driving = self.lock();
        if driving.block_ons > 0 || driving.closed {
            return Poll::Ready(());
        }
        match &mut driving.step_back {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// One thread's stay in `block_on`. Its drop also runs when the future panics.
struct Entered<'a>(&'a Arc<Inner>);

impl<'a> Entered<'a> {
    fn new(inner: &'a Arc<Inner>) -> Self {
        let mut driving = inner.lock();
        driving.block_ons += 1;
        let step_back = driving.step_back.take();
        drop(driving);
        if let Some(waker) = step_back {
            waker.wake();
        }
        Self(inner)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut driving = self.0.lock();
        driving.block_ons -= 1;
        let helper_waits = driving.block_ons == 0 && driving.helper;
        drop(driving);
        if helper_waits {
            self.0.changed.notify_one();
        } else {
            self.0.ensure_driven();
        }
    }
}

/// A timer that touches the reactor only when it must fire earlier than it is registered for.
///
/// Registering wakes the reactor's `epoll_wait` each time, and a deadline that is pushed back with
/// every message would do so for nothing: a later deadline (or none) keeps the old registration,
/// whose one early wakeup then registers the rest of the way.
#[derive(Debug)]
struct SmolTimer {
    timer: async_io::Timer,
    /// What `timer` is set to; `None` before the first and after it fired.
    registered: Option<Duration>,
    /// What it should fire at. Never before `registered` once polled.
    deadline: Option<Duration>,
}

impl SmolTimer {
    fn register(&mut self, at: Duration) {
        match EPOCH.checked_add(at) {
            Some(instant) => self.timer.set_at(instant),
            // Further than the clock can say is never.
            None => self.timer.clear(),
        }
        self.registered = Some(at);
    }
}

impl Timer for SmolTimer {
    fn set(&mut self, at: Option<Duration>) {
        self.deadline = at;
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        if self.registered.is_none_or(|registered| registered > deadline) {
            self.register(deadline);
        }
        loop {
            ready!(self.timer.poll(cx));
            self.registered = None;
            if EPOCH.elapsed() >= deadline {
                self.deadline = None;
                return Poll::Ready(());
            }
            self.register(deadline);
        }
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
