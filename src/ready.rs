//! Which of the driver's sources may have something: each has a waker of its own, so a turn costs
//! what is ready, not what is open.

use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};

use tractor_core::{ChildId, ConnId};

use crate::sync::{Mutex, MutexGuard};

/// Something the driver looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    /// A connection's transport.
    Conn(ConnId),
    /// A child's process.
    Child(ChildId),
    /// A transport that is being connected.
    Connect(ConnId),
    /// A listener, by number.
    Listener(usize),
    /// The signals of a root.
    Signals,
    /// The core's next deadline.
    Timer,
}

#[derive(Debug, Default)]
struct Queue {
    sources: Vec<Source>,
    kicked: bool,
    driver: Option<Waker>,
}

/// The queue of sources that were woken, and the driver's own waker.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    queue: Mutex<Queue>,
}

impl Ready {
    pub(crate) fn new() -> Arc<Ready> {
        Arc::default()
    }

    /// There is work for the driver, of no source: effects, or an earlier deadline.
    pub(crate) fn wake_driver(&self) {
        let waker = {
            let mut queue = self.lock();
            queue.kicked = true;
            queue.driver.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn wake(&self, source: Source) {
        let waker = {
            let mut queue = self.lock();
            if queue.sources.last() != Some(&source) {
                queue.sources.push(source);
            }
            queue.driver.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes what is ready; `false` when there is nothing, and then `waker` is kept.
    pub(crate) fn take(&self, waker: &Waker, into: &mut Vec<Source>) -> bool {
        let mut queue = self.lock();
        into.append(&mut queue.sources);
        let some = std::mem::take(&mut queue.kicked) || !into.is_empty();
        if !some {
            queue.driver = Some(waker.clone());
        }
        some
    }

    /// The waker to poll this source with.
    pub(crate) fn waker(self: &Arc<Self>, source: Source) -> Waker {
        Waker::from(Arc::new(SourceWaker { ready: self.clone(), source }))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct SourceWaker {
    ready: Arc<Ready>,
    source: Source,
}

impl Wake for SourceWaker {
    fn wake(self: Arc<Self>) {
        self.ready.wake(self.source);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.wake(self.source);
    }
}
