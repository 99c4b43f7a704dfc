//! A value that one task or thread makes, and another waits for.

use std::fmt;
use std::mem;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::sync::{Mutex, MutexGuard};

/// A place for one value. Clones are the same place; one task waits at a time.
pub(crate) struct Oneshot<T>(Arc<Mutex<Stage<T>>>);

enum Stage<T> {
    Empty(Option<Waker>),
    Full(T),
    Taken,
}

impl<T> Oneshot<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Stage::Empty(None))))
    }

    /// Nothing but clones of wakers runs under this lock, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, Stage<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the value in, and wakes who waits. Only the first value counts.
    pub(crate) fn set(&self, value: T) {
        let mut stage = self.lock();
        let unused = match &*stage {
            Stage::Empty(_) => mem::replace(&mut *stage, Stage::Full(value)),
            _ => Stage::Full(value),
        };
        drop(stage);
        if let Stage::Empty(Some(waker)) = unused {
            waker.wake();
        }
    }

    /// Takes the value out once it is there. Pending for ever after that.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<T> {
        let mut stage = self.lock();
        match &mut *stage {
            Stage::Empty(waker) => {
                let old = waker.replace(cx.waker().clone());
                drop(stage);
                drop(old);
                Poll::Pending
            }
            Stage::Taken => Poll::Pending,
            Stage::Full(_) => match mem::replace(&mut *stage, Stage::Taken) {
                Stage::Full(value) => Poll::Ready(value),
                Stage::Empty(_) | Stage::Taken => Poll::Pending,
            },
        }
    }

    /// Whether the value is still to come.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(*self.lock(), Stage::Empty(_))
    }

    /// Whether the value has been taken out.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(*self.lock(), Stage::Taken)
    }
}

impl<T> Clone for Oneshot<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Oneshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.lock() {
            Stage::Empty(_) => "Empty",
            Stage::Full(_) => "Full",
            Stage::Taken => "Taken",
        })
    }
}
