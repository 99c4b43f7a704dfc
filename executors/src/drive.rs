//! Who runs an executor's tasks: the threads inside `block_on` while there are any, else a helper.
//!
//! ```text
//!   block_on(fut) ──> runner.run(fut)    tasks, descriptors and timers on the calling thread
//!   spawn(task)  ───> runner ──┬── run by the threads inside block_on, while there are any
//!                              └── else run by the helper thread
//! ```
//!
//! **One thread is the fast case.** `block_on` runs the spawned tasks on the calling thread, which
//! waits for the descriptors itself: a message from another process wakes exactly one thread, with
//! no hand-off to a second one.
//!
//! **Nobody is forced to enter `block_on`.** A program may sit in another executor's threads or in
//! plain blocking code; its spawned tasks then run on one helper thread, started by the first task
//! that needs it. The helper steps back when a `block_on` begins and takes over what is left when
//! the last one ends.
//!
//! Invariant of the hand-over: `block_ons`, `helper` and `closed` change under one lock, and a user
//! (task, timer or watch) is counted before [`Drive::ensure`] takes that lock. So either it sees
//! that nobody drives and starts the helper, or the last `block_on` sees the user when it leaves.

use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, thread};

/// What runs the tasks, on whatever thread asks it to.
pub(crate) trait Runner: Debug + Send + Sync + 'static {
    /// The helper thread's name, as debuggers and `/proc/<pid>/task/*/comm` show it.
    const HELPER_NAME: &'static str;

    /// Runs the tasks until `until` has ended.
    fn run(&self, until: Pin<&mut dyn Future<Output = ()>>);
}

/// A runner, and who drives it.
#[derive(Debug)]
pub(crate) struct Drive<R> {
    runner: R,
    /// How many tasks, timers and watches there are.
    users: Arc<AtomicUsize>,
    driving: Mutex<Driving>,
    /// Told when `block_ons` falls to 0 and when `closed` is set: the helper waits on it.
    changed: Condvar,
}

/// Who runs the tasks.
#[derive(Debug, Default)]
struct Driving {
    /// Threads inside `block_on` now.
    block_ons: usize,
    /// Whether the helper thread was started. It lives as long as the executor.
    helper: bool,
    /// Set when the executor is dropped: the helper ends.
    closed: bool,
    /// Wakes the helper while it drives, so that it steps back.
    step_back: Option<Waker>,
}

impl<R: Runner> Drive<R> {
    pub(crate) fn new(runner: R) -> Arc<Self> {
        Arc::new(Self {
            runner,
            users: Arc::default(),
            driving: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    #[cfg(feature = "smol")]
    pub(crate) fn runner(&self) -> &R {
        &self.runner
    }

    /// Runs the tasks on this thread until `future` has ended.
    pub(crate) fn block_on(self: &Arc<Self>, future: Pin<&mut dyn Future<Output = ()>>) {
        let _entered = Entered::new(self);
        self.runner.run(future);
    }

    /// Counts a task, timer or watch, and sees to it that somebody drives for it: whoever polls a
    /// timer, it is a driver that finds it due.
    ///
    /// # Panics
    /// When the helper thread is needed and the system refuses to start it.
    pub(crate) fn user(self: &Arc<Self>) -> User {
        self.users.fetch_add(1, Ordering::SeqCst);
        let user = User(Arc::clone(&self.users));
        self.ensure();
        user
    }

    /// Starts the helper thread when there is something to drive and nobody does.
    fn ensure(self: &Arc<Self>) {
        let mut driving = self.lock();
        if driving.block_ons > 0 || driving.helper || self.users.load(Ordering::SeqCst) == 0 {
            return;
        }
        driving.helper = true;
        drop(driving);
        let drive = Arc::clone(self);
        let started =
            thread::Builder::new().name(R::HELPER_NAME.into()).spawn(move || drive.help());
        if let Err(error) = started {
            self.lock().helper = false;
            panic!("cannot start the thread {}: {error}", R::HELPER_NAME);
        }
    }

    /// The executor is gone: the helper ends.
    pub(crate) fn close(&self) {
        let mut driving = self.lock();
        driving.closed = true;
        let step_back = driving.step_back.take();
        drop(driving);
        self.changed.notify_all();
        if let Some(waker) = step_back {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Driving> {
        // No code that can panic runs under this lock.
        self.driving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The helper thread's body.
    fn help(&self) {
        while self.wait_until_needed() {
            // A task's panic ends in `spawn`. This one is for what may panic beside it, a waker
            // or a destructor: the tasks that are left must still be driven.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                self.runner.run(pin!(poll_fn(|cx| self.poll_step_back(cx))));
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

/// Counts one while it lives.
#[derive(Debug)]
pub(crate) struct User(Arc<AtomicUsize>);

impl Drop for User {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One thread's stay in `block_on`. Its drop also runs when the future panics.
struct Entered<'a, R: Runner>(&'a Arc<Drive<R>>);

impl<'a, R: Runner> Entered<'a, R> {
    fn new(drive: &'a Arc<Drive<R>>) -> Self {
        let mut driving = drive.lock();
        driving.block_ons += 1;
        let step_back = driving.step_back.take();
        drop(driving);
        if let Some(waker) = step_back {
            waker.wake();
        }
        Self(drive)
    }
}

impl<R: Runner> Drop for Entered<'_, R> {
    fn drop(&mut self) {
        let mut driving = self.0.lock();
        driving.block_ons -= 1;
        let helper_waits = driving.block_ons == 0 && driving.helper;
        drop(driving);
        if helper_waits {
            self.0.changed.notify_one();
        } else {
            self.0.ensure();
        }
    }
}
