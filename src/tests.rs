//! What the checks of interleavings share, and those of the smallest parts. See docs/testing.md.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::sync::{Arc, LockResult, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shuttle::rand::{Rng as _, thread_rng};

use crate::sync::atomic::{AtomicBool, Ordering::SeqCst};
use crate::sync::{Mutex, MutexGuard, thread};

#[path = "../tests/support/explore.rs"]
pub(crate) mod explore;
mod interleavings;
mod threads;

pub(crate) use threads::Threads;

/// A condition variable whose waits may also end by their timeouts, which the checker's never do:
/// at any moment, or when the scenario says so.
#[derive(Default)]
pub(crate) struct Condvar(Arc<Waits>);

#[derive(Default)]
struct Waits {
    condvar: shuttle::sync::Condvar,
    over: AtomicBool,
}

std::thread_local! {
    /// The threads of a scenario are all on one thread of the system.
    static CONDVARS: RefCell<Vec<Weak<Waits>>> = const { RefCell::new(Vec::new()) };
}

/// All waits with a timeout are over, those that are yet to begin too. To be said again until those
/// who waited are gone: one that is about to wait does not hear it.
pub(crate) fn let_time_pass() {
    for waits in
        CONDVARS.with_borrow(|all| all.iter().filter_map(Weak::upgrade).collect::<Vec<_>>())
    {
        waits.over.store(true, SeqCst);
        waits.condvar.notify_all();
    }
    thread::yield_now();
}

impl Condvar {
    pub(crate) fn new() -> Self {
        let waits = Arc::new(Waits::default());
        CONDVARS.with_borrow_mut(|all| {
            all.retain(|waits| waits.strong_count() > 0);
            all.push(Arc::downgrade(&waits));
        });
        Self(waits)
    }

    pub(crate) fn notify_one(&self) {
        self.0.condvar.notify_one();
    }

    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        _: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, ())> {
        let timed_out = Arc::new(AtomicBool::new(false));
        if thread_rng().r#gen() {
            let (waits, timed_out) = (self.0.clone(), timed_out.clone());
            thread::spawn(move || {
                timed_out.store(true, SeqCst);
                waits.condvar.notify_all();
            });
        }
        while condition(&mut guard) && !timed_out.load(SeqCst) && !self.0.over.load(SeqCst) {
            guard = self.0.condvar.wait(guard).unwrap();
        }
        Ok((guard, ()))
    }
}

/// Something that happens once, and that a future waits for.
#[derive(Clone, Default)]
pub(crate) struct Signal(Arc<Mutex<(bool, Option<Waker>)>>);

impl Signal {
    pub(crate) fn set(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        let waker = state.1.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        let old = state.1.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }

    pub(crate) async fn wait(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}

/// Polls it on this thread until it has ended.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    shuttle::future::block_on(future)
}

/// Runs it on a thread of its own.
pub(crate) fn spawn<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(run)
}

pub(crate) fn join<T>(threads: impl IntoIterator<Item = thread::JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}
