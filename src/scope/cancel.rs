//! [`CancelScope`], and the two timeouts made of it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::{Link, Loss};
use super::node::{CANCELLED, CAUGHT, Node, SHIELD};
use crate::error::{Error, Result};

/// A piece of work that can be cancelled, from inside, by a deadline, or from any thread.
///
/// It is a handle: clones are the same scope. Cancellation is for good: a body that is run in a
/// scope that is already cancelled runs to its first suspension and no further.
///
/// ```
/// # use tractor::scope::CancelScope;
/// # futures_lite::future::block_on(async {
/// let scope = CancelScope::new();
/// let handle = scope.clone();
/// let value = scope
///     .run(async move {
///         handle.cancel();
///         std::future::pending::<u32>().await
///     })
///     .await;
/// assert_eq!(value, None);
/// assert!(scope.cancelled_caught());
/// # });
/// ```
#[derive(Clone)]
pub struct CancelScope {
    node: Arc<Node>,
}

impl CancelScope {
    /// A scope without a deadline.
    #[must_use]
    pub fn new() -> Self {
        Self { node: Node::new(0) }
    }

    /// Cancels the body when it has not ended this long after its start. Of several deadlines the
    /// earliest counts. To be set before [`run`](Self::run).
    #[must_use]
    pub fn timeout(self, after: Duration) -> Self {
        self.node.lock().limit.add_timeout(after);
        self
    }

    /// Cancels the body at `at`. See [`timeout`](Self::timeout), which is what virtual time needs.
    #[must_use]
    pub fn deadline(self, at: Instant) -> Self {
        self.node.lock().limit.add_deadline(at);
        self
    }

    /// Moves the deadline: this scope cancels itself so long after *now* while it runs, else after
    /// its start. It takes the place of every deadline before; `None` means that there is none.
    /// Any thread may call this, at any time. What is cancelled stays so.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tractor::scope::CancelScope;
    /// let scope = CancelScope::new().timeout(Duration::from_secs(1));
    /// scope.set_timeout(Duration::from_secs(5));
    /// assert_eq!(scope.time_left(), Some(Duration::from_secs(5)));
    /// scope.set_timeout(None);
    /// assert_eq!(scope.time_left(), None);
    /// ```
    pub fn set_timeout(&self, after: impl Into<Option<Duration>>) {
        self.node.set_timeout(after.into());
    }

    /// Moves the deadline to `at`. See [`set_timeout`](Self::set_timeout).
    pub fn set_deadline(&self, at: impl Into<Option<Instant>>) {
        let left = |at: Instant| at.saturating_duration_since(Instant::now());
        self.node.set_timeout(at.into().map(left));
    }

    /// How long until the scope cancels itself: nothing once it is cancelled, `None` when it has no
    /// deadline. Those of its enclosers are not in it, see [`time_left`](super::time_left).
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.node.time_left()
    }

    /// Hides the cancellation of the enclosing scopes from the body: they wait for it, within the
    /// teardown budget. The scope's own cancellation works as ever. To be set before
    /// [`run`](Self::run).
    #[must_use]
    pub fn shield(self) -> Self {
        self.node.set(SHIELD);
        self
    }

    /// Asks the body to end. Any thread may call this, at any time, more than once.
    ///
    /// The body is dropped when it is suspended and no `shield`, `finally` or runtime resource
    /// inside has cleanup left to do. A body that never suspends is not interrupted.
    pub fn cancel(&self) {
        self.node.cancel();
    }

    /// Was the scope cancelled, by [`cancel`](Self::cancel) or by its deadline?
    #[must_use]
    pub fn cancel_called(&self) -> bool {
        self.node.is(CANCELLED)
    }

    /// Did this scope's cancellation cut its body? Not if the body ended by itself first, nor if an
    /// encloser was cancelled too, as then the encloser is the one that catches.
    #[must_use]
    pub fn cancelled_caught(&self) -> bool {
        self.node.is(CAUGHT)
    }

    /// Runs `body` in this scope. `None`: it was cancelled before it ended. A value that is there
    /// is never thrown away for a cancellation.
    ///
    /// # Panics
    /// When polled while the scope runs another body, and when the scope has a deadline and there
    /// is no enclosing actor.
    ///
    /// # Cancel safety
    /// When an encloser is cancelled, the body is dropped first and this never returns. When a
    /// foreign future drops this one, the body is dropped as if there were no scope.
    pub fn run<F: Future>(&self, body: F) -> impl Future<Output = Option<F::Output>> + use<F> {
        let node = self.node.clone();
        // Boxed: stored in place, a body would be twice in its frame (argument and local), and a
        // nest of scopes would grow by a factor of two per level.
        let body = Box::pin(body);
        async move {
            let loss = if node.is(SHIELD) { Loss::Always } else { Loss::NoHold };
            let mut link = Link::new(node, loss);
            let mut body = Some(body);
            let value = poll_fn(|cx| link.poll_body(&mut body, cx)).await;
            link.release_hold();
            if value.is_none() {
                poll_fn(|cx| link.park(cx)).await;
                link.caught();
            }
            value
        }
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.node
    }
}

impl Default for CancelScope {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScope")
            .field("cancel_called", &self.cancel_called())
            .field("cancelled_caught", &self.cancelled_caught())
            .finish_non_exhaustive()
    }
}

/// Runs `body` for at most `after`. `None`: the time was over first.
///
/// # Panics
/// Outside of actors, `#[tractor::main]` and `#[tractor::test]`: their executor has the timers.
///
/// # Cancel safety
/// As [`CancelScope::run`].
pub fn move_on_after<F: Future>(
    after: Duration,
    body: F,
) -> impl Future<Output = Option<F::Output>> + use<F> {
    CancelScope::new().timeout(after).run(body)
}

/// Runs `body` for at most `after`, and makes it an error if the time was over first.
///
/// # Errors
/// [`Error::TooSlow`].
///
/// # Panics
/// Outside of actors, `#[tractor::main]` and `#[tractor::test]`: their executor has the timers.
///
/// # Cancel safety
/// As [`CancelScope::run`].
pub fn fail_after<F: Future>(
    after: Duration,
    body: F,
) -> impl Future<Output = Result<F::Output>> + use<F> {
    let limited = move_on_after(after, body);
    async move { limited.await.ok_or(Error::TooSlow) }
}
