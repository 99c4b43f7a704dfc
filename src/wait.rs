//! Waiting for the actor's state to change. Every such wait ends with its scope.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use tractor_core::DialogId;

use crate::context::RawContext;
use crate::error::{Error, Result};
use crate::scope;
use crate::shared::{Inner, Shared};

/// Waits until `look` finds what it waits for. `look` leaves the waker where the change will find
/// it.
///
/// # Errors
/// [`Error::Cancelled`] when the enclosing scope is cancelled.
pub(crate) async fn wait<T>(
    shared: &Arc<Shared>,
    mut look: impl FnMut(&mut Inner, &Waker) -> Poll<T>,
) -> Result<T> {
    scope::cancellable(poll_fn(|cx| shared.poll(|inner| look(inner, cx.waker())).map(Ok))).await
}

/// As [`wait`], for cleanups: they run also when the scope is cancelled, and are told so.
pub(crate) fn wait_shielded<'a, T>(
    shared: &'a Arc<Shared>,
    mut look: impl FnMut(&mut Inner, &Waker) -> Poll<T> + 'a,
) -> impl Future<Output = T> + 'a {
    poll_fn(move |cx| shared.poll(|inner| look(inner, cx.waker())))
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

/// Counts a task that waits on a context, and so will see its failure itself.
pub(crate) struct Waiting<'a>(&'a RawContext);

impl<'a> Waiting<'a> {
    pub(crate) fn on(ctx: &'a RawContext) -> Waiting<'a> {
        ctx.shared.lock().mailbox(ctx.dialog).waiting += 1;
        Waiting(ctx)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(mailbox) = self.0.shared.lock().mailboxes.get_mut(&self.0.dialog) {
            mailbox.waiting -= 1;
        }
    }
}
