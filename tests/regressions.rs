//! Bugs that were found once: each a test that failed before its fix.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

#[path = "regressions/endings.rs"]
mod endings;
#[path = "regressions/errors.rs"]
mod errors;
#[path = "regressions/locks.rs"]
mod locks;
#[path = "regressions/streams.rs"]
mod streams;

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_lite::FutureExt as _;
use tractor::scope::sleep;
use tractor::{Context, Error, Result, open_nursery};

/// Longer than any test may take.
const FOREVER: Duration = Duration::from_secs(3600);

#[tractor::context]
async fn idle(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    sleep(FOREVER).await
}

/// Something that happens once, in the same task.
#[derive(Clone, Default)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Polls `work` until the flag is raised, and then drops it: as a foreign `select!` does.
    async fn cuts<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let raised = poll_fn(|_| match self.0.load(Ordering::SeqCst) {
            true => Poll::Ready(None),
            false => Poll::Pending,
        });
        async { Some(work.await) }.or(raised).await
    }
}

/// A start that fails is seen by whoever asked for it, before the nursery cancels its body.
#[tractor::test]
async fn a_failed_start_is_seen_by_the_body() {
    let mut seen = None;
    let result: Result<()> = open_nursery(async |an| {
        seen = an.start_actor("gone").exe("/nonexistent/program").await.err();
        Ok(())
    })
    .await;
    assert!(matches!(seen, Some(Error::ActorFailed(_))), "{seen:?}");
    assert!(matches!(result, Err(Error::ActorFailed(_))), "{result:?}");
}
