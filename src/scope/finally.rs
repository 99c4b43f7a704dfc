//! Work that a cancellation has to wait for: `shield`, `finally`, and the runtime's `guarded`.

use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::cancel::CancelScope;
use super::link::{Ended, Link, Loss};
use super::node::{Node, OPAQUE};
use super::nursery::Outcome;
use super::root::{Cleanup, Root};
use crate::error::{Error, Result};

/// Runs `body` without letting it see that an enclosing scope is cancelled. The enclosing scopes
/// wait for it, for as long as the teardown budget lasts. What comes after the shield runs to its
/// next suspension.
///
/// # Cancel safety
/// Not safe against a foreign drop (a bare `select!`): the body may borrow, so it dies with its
/// frame. That is logged.
pub fn shield<F: Future>(body: F) -> impl Future<Output = F::Output> + use<F> {
    let body = Box::pin(body);
    async move {
        let mut link = Link::new(Node::new(OPAQUE), Loss::Always);
        // A local behind it, to be dropped first: what is inside finds the actor through the link.
        let mut body = body;
        let value = poll_fn(|cx| link.poll_cleanup(cx, |cx| body.as_mut().poll(cx))).await;
        link.release_hold();
        value
    }
}

/// Runs `body` and then `cleanup`, whatever happens: value, error, panic, cancellation.
///
/// The cleanup is shielded: the enclosing scopes wait for it, within the teardown budget. When an
/// encloser cancelled the body, no code after this `.await` runs; but an error of the cleanup is
/// returned even then, as cancellation never masks an error.
///
/// The cleanup owns what it needs (`'static`), so that it survives its frame: if a foreign future
/// (a bare `select!`) drops this one, the actor finishes the cleanup in the background and does not
/// exit before. For a cleanup that borrows there is [`finally_borrowed`]. A `finally` that was
/// never polled has nothing to clean up.
///
/// # Errors
/// That of the body, with that of the cleanup as suppressed; or that of the cleanup.
///
/// # Panics
/// Goes on with a panic of the body, after the cleanup.
///
/// # Cancel safety
/// Safe: see above.
pub fn finally<T, B, C>(body: B, cleanup: C) -> impl Future<Output = Result<T>> + use<T, B, C>
where
    B: Future<Output = Result<T>>,
    C: Future<Output: Outcome> + Send + 'static,
{
    let body = Box::pin(body);
    let cleanup: Cleanup = Box::pin(async move { cleanup.await.into_result() });
    async move {
        let link = Link::new(Node::new(0), Loss::HandedOn);
        let mut owed = Owed { link, cleanup: Some(cleanup) };
        let mut body = Some(body);
        let ended = poll_fn(|cx| owed.link.poll_caught(&mut body, cx)).await;
        owed.link.begin_cleanup();
        let cleaned = poll_fn(|cx| owed.poll(cx)).await;
        conclude(&mut owed.link, ended, cleaned).await
    }
}

/// [`finally`] with a cleanup that may borrow from what is around it. The price: if a foreign
/// future drops this one, the cleanup is dropped too. That is logged.
///
/// # Errors
/// As [`finally`].
///
/// # Panics
/// As [`finally`].
///
/// # Cancel safety
/// Safe against the cancellation of scopes; not safe against a foreign drop.
pub fn finally_borrowed<T, B, C>(
    body: B,
    cleanup: C,
) -> impl Future<Output = Result<T>> + use<T, B, C>
where
    B: Future<Output = Result<T>>,
    C: Future<Output: Outcome>,
{
    let body = Box::pin(body);
    let cleanup = Box::pin(cleanup);
    async move {
        let mut link = Link::new(Node::new(0), Loss::Always);
        // Locals behind it, to be dropped first.
        let mut cleanup = cleanup;
        let mut body = Some(body);
        let ended = poll_fn(|cx| link.poll_caught(&mut body, cx)).await;
        link.begin_cleanup();
        let cleaned = poll_fn(|cx| link.poll_cleanup(cx, |cx| cleanup.as_mut().poll(cx))).await;
        conclude(&mut link, ended, cleaned.into_result()).await
    }
}

/// What `finally` returns, or that it does not.
async fn conclude<T>(link: &mut Link, ended: Ended<Result<T>>, cleaned: Result<()>) -> Result<T> {
    link.release_hold();
    match ended {
        Ended::Value(Ok(value)) => cleaned.map(|()| value),
        Ended::Value(Err(error)) => {
            // A cleanup that was itself cancelled says nothing beside an error.
            let errors = std::iter::once(error).chain(cleaned.err()).collect();
            Err(Error::join(errors).unwrap_or(Error::Cancelled))
        }
        Ended::Panicked(payload) => resume_unwind(payload),
        Ended::Cancelled { .. } => {
            if Error::is_news(&cleaned) {
                cleaned?;
            }
            poll_fn(|cx| link.park(cx)).await;
            // Only a future that was moved out of its cancelled encloser gets here.
            Err(Error::Cancelled)
        }
    }
}

/// A cleanup that has not ended, and its frame. Dropped, it goes to the reaper, half-run or not.
struct Owed {
    link: Link,
    cleanup: Option<Cleanup>,
}

impl Owed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // Out of the frame while it is polled: a cleanup that panics must not be polled again.
        let mut cleanup = self.cleanup.take().expect("polled only until it has ended");
        let polled = self.link.poll_cleanup(cx, |cx| cleanup.as_mut().poll(cx));
        if polled.is_pending() {
            self.cleanup = Some(cleanup);
        }
        polled
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        let Some(cleanup) = self.cleanup.take() else { return };
        if !self.link.entered() {
            return;
        }
        let node = self.link.node();
        match node.root() {
            Some(root) => root.reap(cleanup, node.teardown_at()),
            None => Root::count_lost(None, "there is no enclosing actor to finish it"),
        }
    }
}

/// A resource with asynchronous cleanup that the enclosing scopes must wait for, from its first
/// poll to its end: a process nursery, a context.
///
/// `body` runs under `scope`. However it ends, `cleanup` is called with how, and its future always
/// runs to its end, shielded, bounded only by the teardown budget of the outermost cancelled scope.
/// It is polled when an encloser becomes cancelled, and sees that in
/// [`enclosing_cancelled`](super::enclosing_cancelled). Then this returns the cleanup's value;
/// except when it was an encloser that cancelled the body: then it stays pending, and the encloser
/// drops it in that very poll, unless `keep` says that the value must not be lost: an error, which
/// cancellation never masks.
///
/// # Panics
/// When polled while `scope` runs another body. A panic of the cleanup goes on.
///
/// # Cancel safety
/// If a foreign future drops this one, body and cleanup are dropped: the caller's `Drop` guards
/// have to do what is left. If the budget ends it, that is also counted as lost.
pub(crate) fn guarded<B, C, F>(
    scope: &CancelScope,
    body: B,
    cleanup: C,
    keep: fn(&F::Output) -> bool,
) -> impl Future<Output = F::Output> + use<B, C, F>
where
    B: Future,
    C: FnOnce(Ended<B::Output>) -> F,
    F: Future,
{
    let node = scope.node().clone();
    let body = Box::pin(body);
    async move {
        let mut link = Link::new(node, Loss::Overdue);
        let mut body = Some(body);
        let ended = poll_fn(|cx| link.poll_caught(&mut body, cx)).await;
        if matches!(ended, Ended::Cancelled { by_own_scope: true }) {
            link.caught();
        }
        let cut = matches!(ended, Ended::Cancelled { by_own_scope: false });
        link.begin_cleanup();
        // The call itself is inside too, so that a cleanup is shielded from its first line.
        let mut cleanup: Pin<Box<_>> = Box::pin(async move { cleanup(ended).await });
        let value = poll_fn(|cx| link.poll_cleanup(cx, |cx| cleanup.as_mut().poll(cx))).await;
        link.release_hold();
        if cut && !keep(&value) {
            poll_fn(|cx| link.park(cx)).await;
        }
        value
    }
}
