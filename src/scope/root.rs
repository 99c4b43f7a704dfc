//! The root of an actor's scopes: its clock, its teardown budget, its reaper.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tractor_executors::{Executor, Timer};

use super::cancel::CancelScope;
use super::current::View;
use super::link::Link;
use super::node::Node;
use crate::error::Result;
use crate::sync::atomic::{AtomicU64, AtomicUsize};
use crate::sync::{Mutex, MutexGuard};

/// A cleanup that owns all it needs, so that it can outlive its frame.
pub(super) type Cleanup = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What a tree of scopes gets to end when nobody chose anything else.
pub(crate) const DEFAULT_BUDGET: Duration = Duration::from_millis(2500);

/// One per actor, inherited by every scope below.
pub(crate) struct Root {
    executor: Arc<dyn Executor>,
    /// How long a cancelled scope waits for the holds inside it.
    /// In nanoseconds: it only grows.
    budget: AtomicU64,
    reaper: Mutex<Reaper>,
    lost: AtomicUsize,
}

#[derive(Default)]
struct Reaper {
    running: usize,
    idle: Vec<Waker>,
}

impl Root {
    /// A root whose scopes use the timers of `executor`. `budget` bounds every teardown.
    pub(crate) fn new(executor: Arc<dyn Executor>, budget: Duration) -> Arc<Self> {
        let (reaper, lost) = (Mutex::default(), AtomicUsize::new(0));
        let budget = AtomicU64::new(nanos(budget));
        Arc::new(Self { executor, budget, reaper, lost })
    }

    /// Runs `body` under `scope` as the top of a tree of its own, whatever scope polls it. `None`:
    /// `scope` was cancelled.
    ///
    /// # Panics
    /// When polled while `scope` runs another body.
    pub(crate) fn run<F: Future>(
        self: &Arc<Self>,
        scope: &CancelScope,
        body: F,
    ) -> impl Future<Output = Option<F::Output>> + use<F> {
        let (node, root) = (scope.node().clone(), self.clone());
        let body = Box::pin(body);
        async move {
            let mut link = Link::top(node, root);
            let mut body = Some(body);
            let value = poll_fn(|cx| link.poll_body(&mut body, cx)).await;
            if value.is_none() {
                link.caught();
            }
            value
        }
    }

    /// Runs a whole program in a tree of its own: its timers are there from the first line, and it
    /// ends when no cleanup is left.
    pub(crate) async fn run_all<F: Future>(self: Arc<Self>, body: F) -> F::Output {
        let output = self.run(&CancelScope::new(), body).await;
        self.idle().await;
        output.expect("nobody else has the scope, so nobody cancels it")
    }

    /// Resolves when no cleanup that was handed over is left.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub(crate) fn idle(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        let root = self.clone();
        poll_fn(move |cx| {
            let mut reaper = root.lock();
            if reaper.running == 0 {
                return Poll::Ready(());
            }
            if !reaper.idle.iter().any(|known| known.will_wake(cx.waker())) {
                reaper.idle.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    /// How many cleanups were cut: by the end of the budget, or by a foreign drop while they
    /// borrowed.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(SeqCst)
    }

    /// How many handed-over cleanups are still running.
    pub(crate) fn reaping(&self) -> usize {
        self.lock().running
    }

    /// A teardown in this tree may take this long: a child was given more than the rest.
    pub(crate) fn raise_budget(&self, budget: Duration) {
        self.budget.fetch_max(nanos(budget), SeqCst);
    }

    pub(crate) fn budget(&self) -> Duration {
        Duration::from_nanos(self.budget.load(SeqCst))
    }

    pub(super) fn now(&self) -> Duration {
        self.executor.now()
    }

    pub(super) fn timer(&self) -> Box<dyn Timer> {
        self.executor.timer()
    }

    pub(super) fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.executor.spawn(task);
    }

    fn lock(&self) -> MutexGuard<'_, Reaper> {
        self.reaper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cleanup did not run to its end. Never silent.
    pub(super) fn count_lost(root: Option<&Arc<Self>>, why: &str) {
        if let Some(root) = root {
            root.lost.fetch_add(1, SeqCst);
        }
        log::warn!(target: "tractor::scope", "a cleanup was lost: {why}");
    }

    /// Takes over a cleanup whose frame is gone. `until`: the end of the teardown it was part of,
    /// which is not restarted.
    pub(super) fn reap(self: &Arc<Self>, cleanup: Cleanup, until: Option<Duration>) {
        let now = self.now();
        let until = until.unwrap_or_else(|| now.saturating_add(self.budget()));
        if until <= now {
            return Self::count_lost(Some(self), "the teardown budget is over");
        }
        let ticket = Ticket::new(self);
        self.executor.spawn(Box::pin(async move {
            let mut ticket = ticket;
            let outcome = reap(&ticket.root, cleanup, until).await;
            ticket.done = true;
            match outcome {
                Reaped::Ended(Ok(())) => {}
                Reaped::Ended(Err(error)) => {
                    log::warn!(target: "tractor::scope", "a detached cleanup failed: {error}");
                }
                Reaped::Lost(why) => Self::count_lost(Some(&ticket.root), why),
            }
        }));
    }
}

enum Reaped {
    Ended(Result<()>),
    Lost(&'static str),
}

async fn reap(root: &Arc<Root>, cleanup: Cleanup, until: Duration) -> Reaped {
    let mut link = Link::top(Node::new(0), root.clone());
    // What is handed over in turn, from inside this cleanup, gets no new budget.
    link.node().lock().teardown_at = Some(until);
    let mut cleanup = Some(cleanup);
    let poll = |link: &mut Link, fut: &mut Cleanup, cx: &mut Context<'_>| {
        catch_unwind(AssertUnwindSafe(|| {
            link.enter(cx);
            link.within(View::default(), || fut.as_mut().poll(cx))
        }))
    };
    poll_fn(|cx| {
        let fut = cleanup.as_mut().expect("polled only until it has ended");
        let reaped = match poll(&mut link, fut, cx) {
            Ok(Poll::Ready(result)) => Reaped::Ended(result),
            Ok(Poll::Pending) if link.due(until, cx) => Reaped::Lost("the teardown budget is over"),
            Ok(Poll::Pending) => return Poll::Pending,
            Err(_) => Reaped::Lost("it panicked"),
        };
        drop(catch_unwind(AssertUnwindSafe(|| cleanup = None)));
        Poll::Ready(reaped)
    })
    .await
}

/// Counts one handed-over cleanup, also one that the executor drops.
struct Ticket {
    root: Arc<Root>,
    done: bool,
}

impl Ticket {
    fn new(root: &Arc<Root>) -> Self {
        root.lock().running += 1;
        Self { root: root.clone(), done: false }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.done {
            Root::count_lost(Some(&self.root), "the executor dropped it");
        }
        let idle = {
            let mut reaper = self.root.lock();
            reaper.running -= 1;
            if reaper.running == 0 { std::mem::take(&mut reaper.idle) } else { Vec::new() }
        };
        for waker in idle {
            waker.wake();
        }
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root")
            .field("executor", &self.executor)
            .field("budget", &self.budget())
            .field("lost", &self.lost())
            .field("reaping", &self.reaping())
            .finish()
    }
}

/// 584 years fit.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
