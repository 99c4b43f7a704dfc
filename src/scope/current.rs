//! The scope whose body is being polled on this thread.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::node::{Node, cancels};
use super::root::Root;
use crate::error::{Error, Result};
use crate::sync::thread_local;

/// Lives for one poll only, so it is not process state and knows no executor.
#[derive(Debug)]
struct Current {
    node: Arc<Node>,
    view: View,
    /// The count of cancellations at which [`check`] has found none around us. The frames around us
    /// stand still during our poll, so only a cancellation can change that.
    checked: Cell<u64>,
}

impl Current {
    /// The live answer, also about what was cancelled a moment ago in this very poll.
    fn is_cancelled(&self) -> bool {
        let count = cancels();
        if self.view.cancelled || self.checked.get() == count {
            return self.view.cancelled;
        }
        let cancelled = self.node.effectively_cancelled();
        if !cancelled {
            self.checked.set(count);
        }
        cancelled
    }
}

/// What a body sees of cancellation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// The body is to end.
    pub(super) cancelled: bool,
    /// A scope behind a shield is to end.
    pub(super) beyond: bool,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Polls something inside the scope `node`, and puts the encloser back, also on unwinding. The
/// `Arc` is moved, not cloned: this is on the path of every poll of every scope.
pub(super) fn within<R>(node: &mut Option<Arc<Node>>, view: View, poll: impl FnOnce() -> R) -> R {
    struct Restore<'a> {
        node: &'a mut Option<Arc<Node>>,
        outer: Option<Current>,
    }
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            let ours = CURRENT.with(|current| current.replace(self.outer.take()));
            *self.node = ours.map(|current| current.node);
        }
    }
    let inner = node.take().map(|node| Current { node, view, checked: Cell::new(0) });
    let outer = CURRENT.with(|current| current.replace(inner));
    let _restore = Restore { node, outer };
    poll()
}

/// The view of the scope around the one that asks, and that scope itself if it is not `known`.
pub(super) fn encloser(known: usize) -> Option<(View, Option<Arc<Node>>)> {
    CURRENT.with(|current| {
        let current = current.borrow();
        let current = current.as_ref()?;
        let news = address(&current.node) != known;
        Some((current.view, news.then(|| current.node.clone())))
    })
}

/// Tells nodes apart without owning them.
pub(super) fn address(node: &Arc<Node>) -> usize {
    Arc::as_ptr(node) as usize
}

fn peek<R>(look: impl FnOnce(&Current) -> R) -> Option<R> {
    CURRENT.try_with(|current| current.borrow().as_ref().map(look)).ok().flatten()
}

/// The root of the tree that is being polled on this thread; `None` outside of any.
pub(crate) fn current_root() -> Option<Arc<Root>> {
    peek(|current| current.node.clone()).and_then(|node| node.root())
}

/// Where work goes whose frame is dropped before it is done: the actor finishes it, and does not
/// end before. Made in the frame, as a drop does not know where it is.
pub(crate) struct Background {
    root: Arc<Root>,
    node: Arc<Node>,
}

impl Background {
    /// That of the running code; `None` outside of any tree.
    pub(crate) fn here() -> Option<Self> {
        let node = peek(|current| current.node.clone())?;
        Some(Self { root: node.root()?, node })
    }

    /// Bounded by what is left of the teardown that goes on around the frame, if one does.
    pub(crate) fn finish(&self, work: impl Future<Output = Result<()>> + Send + 'static) {
        self.root.reap(Box::pin(work), self.node.teardown_at());
    }
}

/// `Err(Cancelled)` if the nearest scope, or one that it sees, is cancelled. It looks at the live
/// flags, so it also sees what was cancelled a moment ago in this very poll.
///
/// # Errors
/// [`Error::Cancelled`].
pub(crate) fn check() -> Result<()> {
    let cancelled = peek(Current::is_cancelled).unwrap_or(false);
    if cancelled { Err(Error::Cancelled) } else { Ok(()) }
}

/// Is any scope around us cancelled, shields or not? For a cleanup, which is shielded, but may want
/// to hurry. It is polled again when the answer becomes yes.
pub(crate) fn enclosing_cancelled() -> bool {
    peek(|current| current.view.cancelled || current.view.beyond).unwrap_or(false)
}

/// How long the running code has until a scope around it cancels it: the earliest deadline of all
/// that it can see, nothing when one is cancelled already, `None` when there is no deadline. For
/// what takes a time limit of its own, such as a blocking call.
#[must_use]
pub fn time_left() -> Option<Duration> {
    peek(|current| current.node.clone()).and_then(|node| node.visible_time_left())
}
