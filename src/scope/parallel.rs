//! `start_soon_parallel`: what stands in a nursery for a task that runs elsewhere.

use std::future::{Future, poll_fn};
use std::panic::resume_unwind;

use super::cancel::CancelScope;
use super::current::{check, current_root};
use super::far::Far;
use super::link::{Ended, Link, Loss};
use super::node::Node;
use super::nursery::Outcome;
use crate::error::{Error, Result};

/// Runs `task` on the executor, and ends with it. Cancelled, it cancels the task, and waits for it.
pub(super) async fn stand_in<F>(task: F) -> Result<()>
where
    F: Future<Output: Outcome> + Send + 'static,
{
    let root = current_root().ok_or(Error::NoCurrentActor)?;
    let scope = CancelScope::new();
    if check().is_err() {
        // Like any child of a cancelled nursery it runs to its first suspension.
        scope.cancel();
    }
    let far = Far::spawn(&root, scope, async { task.await.into_result() });
    let mut waited = Waited { link: Link::new(Node::new(0), Loss::HandedOn), far: Some(far) };
    let far = waited.far.clone().expect("made above");
    let ours = far.clone();
    let mut body = Some(Box::pin(poll_fn(move |cx| ours.poll_ended(cx))));
    let ended = poll_fn(|cx| waited.link.poll_caught(&mut body, cx)).await;
    let result = match ended {
        Ended::Value(result) => result,
        Ended::Panicked(payload) => resume_unwind(payload),
        Ended::Cancelled { .. } => {
            waited.link.begin_cleanup();
            far.cancel(waited.link.node().teardown_at());
            poll_fn(|cx| waited.link.poll_cleanup(cx, |cx| far.poll_ended(cx))).await
        }
    };
    waited.far = None;
    waited.link.release_hold();
    result
}

/// The enclosers wait for the task. Dropped before it has ended, it leaves it to the actor.
struct Waited {
    link: Link,
    far: Option<Far>,
}

impl Drop for Waited {
    fn drop(&mut self) {
        if let Some(far) = self.far.take() {
            let until = self.link.node().teardown_at();
            far.cancel(until);
            far.leave(until);
        }
    }
}
