//! Waiting for the actor's state to change. Every such wait ends with its scope.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tractor_core::DialogId;
use tractor_executors::Executor;

use crate::context::RawContext;
use crate::error::{Error, Result};
use crate::scope;
use crate::shared::{Inner, Shared};
use crate::wakers::{Places, Waiter};

/// Waits until `look` finds what it waits for. `look` leaves the waker where the change will find
/// it; a wait that is over, or was dropped, has left none behind.
///
/// # Errors
/// [`Error::Cancelled`] when the enclosing scope is cancelled.
pub(crate) async fn wait<T>(
    shared: &Arc<Shared>,
    mut look: impl FnMut(&mut Inner, &mut Waiter<'_>) -> Poll<T>,
) -> Result<T> {
    let mut places = Places::default();
    scope::cancellable(poll_fn(|cx| {
        let mut waiter = places.waiter(cx.waker());
        shared.poll(|inner| look(inner, &mut waiter)).map(Ok)
    }))
    .await
}

/// As [`wait`], for cleanups: they run also when the scope is cancelled, and are told so.
pub(crate) fn wait_shielded<'a, T>(
    shared: &'a Arc<Shared>,
    mut look: impl FnMut(&mut Inner, &mut Waiter<'_>) -> Poll<T> + 'a,
) -> impl Future<Output = T> + 'a {
    let mut places = Places::default();
    poll_fn(move |cx| {
        let mut waiter = places.waiter(cx.waker());
        shared.poll(|inner| look(inner, &mut waiter))
    })
}

/// The outcome of a dialog of ours. Kept: repeatable.
pub(crate) async fn outcome(shared: &Arc<Shared>, dialog: DialogId) -> Result<Bytes> {
    wait(shared, |inner, waker| match inner.mailboxes.get_mut(&dialog) {
        None => Poll::Ready(Err(Error::Cancelled)),
        Some(mailbox) => match &mailbox.outcome {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => {
                mailbox.wakers.add(waker);
                Poll::Pending
            }
        },
    })
    .await?
}

/// Counts a task that waits on a dialog, and so will see its failure itself.
pub(crate) struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    dialog: DialogId,
}

impl<'a> Waiting<'a> {
    pub(crate) fn on(ctx: &'a RawContext) -> Waiting<'a> {
        Waiting::on_dialog(&ctx.shared, ctx.dialog)
    }

    pub(crate) fn on_dialog(shared: &'a Arc<Shared>, dialog: DialogId) -> Waiting<'a> {
        // A dialog that has ended has no mailbox, and must not get one again.
        if let Some(mailbox) = shared.lock().mailboxes.get_mut(&dialog) {
            mailbox.waiting += 1;
        }
        Waiting { shared, dialog }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        let Some(mailbox) = inner.mailboxes.get_mut(&self.dialog) else { return };
        mailbox.waiting = mailbox.waiting.saturating_sub(1);
        let body = (mailbox.waiting == 0).then(|| mailbox.then_cancel.take()).flatten();
        drop(inner);
        if let Some(body) = body {
            body.cancel();
        }
    }
}

/// What the future has to say, if it does so in time.
pub(crate) async fn within<F: Future>(
    executor: &dyn Executor,
    limit: Duration,
    future: F,
) -> Option<F::Output> {
    let mut timer = executor.timer();
    timer.set(Some(executor.now().saturating_add(limit)));
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.poll_expired(cx).map(|()| None),
    })
    .await
}
