//! Scopes and task nurseries as a user sees them. These need no actor: whatever has a timer or a
//! budget is tested in `src/scope/tests.rs`, in virtual time.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

#[path = "scope/nursery.rs"]
mod nursery;
#[path = "scope/scopes.rs"]
mod scopes;
#[path = "scope/start.rs"]
mod start;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_lite::future::block_on;
use tractor::{Error, Result};

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join(" ")
    }

    /// Logs when it is dropped.
    fn on_drop(&self, what: &'static str) -> OnDrop {
        OnDrop(self.clone(), what)
    }
}

struct OnDrop(Log, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}

/// Suspends `n` times.
async fn yields(n: usize) {
    for _ in 0..n {
        futures_lite::future::yield_now().await;
    }
}

/// An error that is neither a cancellation nor a timeout.
fn oops() -> Error {
    std::io::Error::other("oops").into()
}

/// A panic of a test that panics on purpose stays off the terminal.
fn quiet_panic(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}
