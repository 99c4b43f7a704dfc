//! Tests of what needs a root: timers, budgets, hand-over, `guarded`. They run in virtual time,
//! where a lost wake-up is a panic ("stuck") and not a test that hangs. What needs no root is
//! tested from outside, in `tests/scope.rs`.

use std::future::{Future, pending, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::*;
use crate::error::{Error, Result};
use virtual_time::Virtual;

mod cleanup;
mod deadlines;
mod gathering;
mod guard;
#[cfg(shuttle)]
mod interleavings;
mod limits;
mod moved;
mod nurseries;
mod parallel;
mod stress;
mod virtual_time;

const BUDGET: Duration = Duration::from_secs(10);

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// One tree in virtual time.
pub(crate) struct World {
    time: Arc<Virtual>,
    pub(crate) root: Arc<Root>,
    scope: CancelScope,
    pub(crate) log: Log,
}

impl World {
    pub(crate) fn new() -> Self {
        let time = Virtual::new();
        let root = Root::new(time.clone(), BUDGET);
        Self { time, root, scope: CancelScope::new(), log: Log::default() }
    }

    /// Runs a body as the root of the tree, and then the reaper until it is idle.
    pub(crate) fn run<F: Future>(&self, body: F) -> Option<F::Output> {
        let main = self.root.run(&self.scope, body);
        let idle = self.root.idle();
        self.time.block_on(async {
            let value = main.await;
            idle.await;
            value
        })
    }

    pub(crate) fn now(&self) -> Duration {
        self.root.now()
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join(" ")
    }

    /// Logs when it is dropped.
    fn on_drop(&self, what: &'static str) -> OnDrop {
        OnDrop(self.clone(), what)
    }
}

struct OnDrop(Log, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}

/// A cleanup that takes `time` and logs its begin and end.
fn slow(log: &Log, name: &'static str, time: Duration) -> impl Future<Output = ()> + use<> {
    let log = log.clone();
    async move {
        log.add(format!("{name}+"));
        sleep(time).await.unwrap();
        log.add(format!("{name}-"));
    }
}

/// What `FuturesUnordered` is to us: polls only what was woken, with wakers of its own.
fn foreign_join<F: Future>(
    futures: impl IntoIterator<Item = F>,
) -> impl Future<Output = Vec<F::Output>> {
    struct Task(AtomicBool, Mutex<Option<Waker>>);
    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
            let waker = self.1.lock().unwrap().clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
    let task = || Arc::new(Task(AtomicBool::new(true), Mutex::new(None)));
    let mut tasks: Vec<_> =
        futures.into_iter().map(|f| (task(), Some(Box::pin(f)), None)).collect();
    poll_fn(move |cx| {
        for (task, fut, value) in &mut tasks {
            *task.1.lock().unwrap() = Some(cx.waker().clone());
            let Some(polled) = fut.as_mut().filter(|_| task.0.swap(false, SeqCst)) else {
                continue;
            };
            let waker = Waker::from(task.clone());
            if let Poll::Ready(ready) = polled.as_mut().poll(&mut Context::from_waker(&waker)) {
                (*fut, *value) = (None, Some(ready));
            }
        }
        if tasks.iter().any(|(_, fut, _)| fut.is_some()) {
            return Poll::Pending;
        }
        Poll::Ready(tasks.iter_mut().filter_map(|(.., value)| value.take()).collect())
    })
}

/// A panic of a test that panics on purpose stays off the terminal.
pub(crate) fn quiet_panic(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}
