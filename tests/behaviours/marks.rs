//! Things that happened, by name: an endpoint in this process sets a mark, a test waits for it.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};

static MARKS: Mutex<(BTreeSet<String>, Vec<Waker>)> = Mutex::new((BTreeSet::new(), Vec::new()));

/// A name that no other run of the same test has.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{name} {}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn set(name: &str) {
    let mut marks = MARKS.lock().unwrap();
    marks.0.insert(name.to_owned());
    let wakers = std::mem::take(&mut marks.1);
    drop(marks);
    wakers.into_iter().for_each(Waker::wake);
}

/// Sets its mark when it is dropped.
pub(crate) struct OnDrop(pub(crate) String);

impl Drop for OnDrop {
    fn drop(&mut self) {
        set(&self.0);
    }
}

/// Waits until it has happened. Bounded by the test's own limit.
pub(crate) async fn happened(name: &str) {
    poll_fn(|cx| {
        let mut marks = MARKS.lock().unwrap();
        if marks.0.contains(name) {
            return Poll::Ready(());
        }
        marks.1.push(cx.waker().clone());
        Poll::Pending
    })
    .await;
}
