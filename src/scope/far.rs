//! Tasks on the executor, each at the top of a tree of scopes of its own: what runs beside the
//! frame that answers for it, and not in it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::cancel::CancelScope;
use super::root::Root;
use crate::ambient::{self, WithRoot};
use crate::current;
use crate::error::{Error, Result};
use crate::oneshot::Oneshot;

type Task = Pin<Box<dyn Future<Output = Option<Result<()>>> + Send>>;

/// The near side of such a task. Dropping it changes nothing for the task: who answers for it calls
/// [`leave`](Self::leave).
#[derive(Clone)]
pub(crate) struct Far {
    root: Arc<Root>,
    scope: CancelScope,
    ended: Oneshot<Result<()>>,
}

impl Far {
    /// Spawns `task` under `scope`, as whoever runs now.
    pub(crate) fn spawn(
        root: &Arc<Root>,
        scope: CancelScope,
        task: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Self {
        let ended = Oneshot::new();
        let ending = Ending { ended: ended.clone(), result: Err(dropped()) };
        let mut task = as_we_are(root.run(&scope, task));
        root.spawn(Box::pin(async move {
            let polled = poll_fn(|cx| poll_caught(&mut task, cx)).await;
            // A destructor that panics after its task did: the first panic counts.
            drop(catch_unwind(AssertUnwindSafe(|| drop(task))));
            ending.tell(polled);
        }));
        Self { root: root.clone(), scope, ended }
    }

    /// Asks the task to end. `until`: the end of the teardown that this is part of, if it goes on
    /// already.
    pub(crate) fn cancel(&self, until: Option<Duration>) {
        if until.is_some() {
            self.scope.node().lock().teardown_at = until;
        }
        self.scope.cancel();
    }

    /// Ready once the task has ended, and nothing of it is left. Once; one waits at a time.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.ended.poll(cx)
    }

    /// The frame that answers for the task is gone: the actor does not end before the task has,
    /// and at `until` the task is cancelled, if it was not before. Its error is logged.
    pub(crate) fn leave(self, until: Option<Duration>) {
        if self.ended.is_taken() {
            return;
        }
        let root = self.root.clone();
        let cut = CancelOnDrop(self.clone());
        let ended = async move {
            let cut = cut;
            poll_fn(|cx| cut.0.poll_ended(cx)).await
        };
        root.reap(Box::pin(ended), until);
    }
}

impl fmt::Debug for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Far").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// Only a task that outlives the reaper's patience notices.
struct CancelOnDrop(Far);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.scope.cancel();
    }
}

/// Tells the near side, when the task and all of it is gone; also when the executor dropped it.
struct Ending {
    ended: Oneshot<Result<()>>,
    result: Result<()>,
}

impl Ending {
    fn tell(mut self, result: Result<()>) {
        self.result = result;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.ended.set(mem::replace(&mut self.result, Ok(())));
    }
}

/// `task`, run as the actor and the task that run now.
fn as_we_are(task: impl Future<Output = Option<Result<()>>> + Send + 'static) -> Task {
    let task: Task = match ambient::root_config() {
        Some(config) => Box::pin(WithRoot::new(config, task)),
        None => Box::pin(task),
    };
    match current::identity() {
        Some(identity) => Box::pin(identity.scope(task)),
        None => task,
    }
}

fn poll_caught(task: &mut Task, cx: &mut Context<'_>) -> Poll<Result<()>> {
    match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
        Ok(polled) => polled.map(|ended| ended.unwrap_or(Err(Error::Cancelled))),
        Err(payload) => Poll::Ready(Err(Error::from_panic(payload))),
    }
}

fn dropped() -> Error {
    io::Error::other("the executor dropped the task").into()
}
