//! The handshake of `Nursery::start`.

use std::fmt;
use std::mem;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::children::Inbox;
use super::node::Node;
use crate::error::{Error, Result};
use crate::sync::{Mutex, MutexGuard};

/// Given to a task that was started with [`Nursery::start`](super::Nursery::start).
pub struct Status<V> {
    slot: Arc<Slot<V>>,
}

impl<V> Status<V> {
    /// Says that the task is ready for its work: [`Nursery::start`](super::Nursery::start) returns
    /// `value`, and from now on the task's errors are the nursery's. No more than dropped if the
    /// starter is gone.
    pub fn started(self, value: V) {
        let mut stage = self.slot.lock();
        let before = match *stage {
            Stage::Waiting(_) => mem::replace(&mut *stage, Stage::Started(value)),
            _ => Stage::Started(value),
        };
        drop(stage);
        before.wake();
    }
}

impl<V> fmt::Debug for Status<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status").finish_non_exhaustive()
    }
}

enum Stage<V> {
    Waiting(Option<Waker>),
    Started(V),
    Failed(Error),
    /// The starter has its answer, or is gone.
    Closed,
}

impl<V> Stage<V> {
    fn wake(self) {
        if let Stage::Waiting(Some(waker)) = self {
            waker.wake();
        }
    }
}

struct Slot<V> {
    stage: Mutex<Stage<V>>,
}

impl<V> Slot<V> {
    fn lock(&self) -> MutexGuard<'_, Stage<V>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the nursery knows of a handshake.
pub(super) trait Handshake: Send + Sync {
    /// The child has ended, `cancelled` or not. What is not the starter's comes back.
    fn ended(&self, result: Result<()>, cancelled: bool) -> Result<()>;
}

impl<V: Send> Handshake for Slot<V> {
    fn ended(&self, result: Result<()>, cancelled: bool) -> Result<()> {
        let mut stage = self.lock();
        if !matches!(*stage, Stage::Waiting(_)) {
            return result;
        }
        let error = match result {
            Err(error) => error,
            // It had no time to say `started`.
            Ok(()) if cancelled => Error::Cancelled,
            Ok(()) => never_started(),
        };
        let before = mem::replace(&mut *stage, Stage::Failed(error));
        drop(stage);
        before.wake();
        Ok(())
    }
}

/// A bug in the child.
fn never_started() -> Error {
    Error::config("the task ended without calling `started`")
}

/// The starter's side. Dropped before the answer, it cancels the child; dropped with an answer that
/// nobody has read, it gives the nursery what must not be lost of it.
pub(super) struct Starting<'a, 's, V> {
    inbox: &'a Inbox<'s>,
    slot: Arc<Slot<V>>,
    child: Arc<Node>,
}

impl<'a, 's, V: Send> Starting<'a, 's, V> {
    pub(super) fn new(inbox: &'a Inbox<'s>, child: Arc<Node>) -> (Self, Status<V>) {
        let slot = Arc::new(Slot { stage: Mutex::new(Stage::Waiting(None)) });
        (Self { inbox, slot: slot.clone(), child }, Status { slot })
    }

    pub(super) fn handshake(&self) -> Arc<dyn Handshake + 's>
    where
        V: 's,
    {
        self.slot.clone()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<V>> {
        let mut stage = self.slot.lock();
        if let Stage::Waiting(waker) = &mut *stage {
            let old = waker.replace(cx.waker().clone());
            drop(stage);
            drop(old);
            return Poll::Pending;
        }
        let answer = mem::replace(&mut *stage, Stage::Closed);
        drop(stage);
        match answer {
            Stage::Started(value) => Poll::Ready(Ok(value)),
            Stage::Failed(error) => Poll::Ready(Err(error)),
            Stage::Waiting(_) | Stage::Closed => Poll::Pending,
        }
    }
}

impl<V> Drop for Starting<'_, '_, V> {
    fn drop(&mut self) {
        let mut stage = self.slot.lock();
        let before = mem::replace(&mut *stage, Stage::Closed);
        drop(stage);
        match before {
            Stage::Waiting(_) => self.child.cancel(),
            Stage::Failed(error) if !matches!(error, Error::Cancelled) => self.inbox.fail(error),
            _ => {}
        }
    }
}
