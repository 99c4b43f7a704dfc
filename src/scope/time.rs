//! Awaits that a cancelled scope ends: [`checkpoint`], [`sleep`].

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tractor_executors::Timer;

use super::current::{check, current_root};
use crate::error::Result;

/// Gives the other tasks of this thread a turn, and a cancelled scope the chance to end.
///
/// A loop over awaits that are always ready never suspends, so it can't be cancelled: put one of
/// these in it.
///
/// # Errors
/// [`Error::Cancelled`](crate::error::Error::Cancelled) when the enclosing scope is cancelled, but
/// has to wait for some cleanup beside us. (Else it just drops us.)
///
/// # Cancel safety
/// Safe.
pub async fn checkpoint() -> Result<()> {
    let mut suspended = false;
    poll_fn(|cx| {
        if suspended {
            return Poll::Ready(check());
        }
        suspended = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Waits for `time` to go by.
///
/// # Errors
/// [`Error::Cancelled`](crate::error::Error::Cancelled) when the enclosing scope is cancelled, but
/// has to wait for some cleanup beside us. (Else it just drops us.)
///
/// # Panics
/// Outside of actors, `#[tractor::main]` and `#[tractor::test]`: their executor has the timers.
///
/// # Cancel safety
/// Safe.
pub async fn sleep(time: Duration) -> Result<()> {
    let mut timer: Option<Box<dyn Timer>> = None;
    cancellable(poll_fn(|cx| timer.get_or_insert_with(|| start(time)).poll_expired(cx).map(Ok)))
        .await
}

fn start(time: Duration) -> Box<dyn Timer> {
    let root = current_root().expect("sleep() needs an enclosing actor: its executor has timers");
    let mut timer = root.timer();
    timer.set(Some(root.now().saturating_add(time)));
    timer
}

/// `wait`, unless the scope around it is cancelled. Then it first suspends, as a scope that waits
/// for nothing drops us right there and catches, and returns the error when it is polled once more.
///
/// # Errors
/// [`Error::Cancelled`](crate::error::Error::Cancelled), or that of `wait`.
///
/// # Cancel safety
/// That of `wait`.
pub(crate) async fn cancellable<T>(wait: impl Future<Output = Result<T>>) -> Result<T> {
    let mut wait = pin!(wait);
    let mut refused = false;
    let mut poll = move |cx: &mut Context<'_>| match check() {
        Ok(()) => wait.as_mut().poll(cx),
        Err(error) if refused => Poll::Ready(Err(error)),
        Err(_) => {
            refused = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    };
    poll_fn(|cx| poll(cx)).await
}
