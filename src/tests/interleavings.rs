//! Lists of wakers, values for one who waits, and the driver's queue.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::PoisonError;

use super::explore::explore;
use super::*;
use crate::oneshot::Oneshot;
use crate::ready::{Ready, Source};
use crate::wakers::{Places, Wakers};

const RUNS: usize = 3_000;

/// A number that only grows, and those who wait for it.
#[derive(Default)]
struct Count(Mutex<(u32, Wakers)>);

impl Count {
    fn lock(&self) -> MutexGuard<'_, (u32, Wakers)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) {
        let mut count = self.lock();
        count.0 += 1;
        let woken = count.1.take();
        drop(count);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Waits as `wait.rs` does.
    fn reaches(&self, number: u32) -> impl Future<Output = ()> {
        let mut places = Places::default();
        poll_fn(move |cx| {
            let mut waiter = places.waiter(cx.waker());
            let mut count = self.lock();
            if count.0 >= number {
                return Poll::Ready(());
            }
            count.1.add(&mut waiter);
            Poll::Pending
        })
    }
}

#[test]
fn who_waits_in_a_list_is_woken_whoever_leaves_it() {
    explore(RUNS, || {
        let count = Arc::new(Count::default());
        let mut threads: Vec<_> = [1, 2, 2]
            .map(|number| {
                let count = count.clone();
                spawn(move || block_on(count.reaches(number)))
            })
            .into();
        let leaves = count.clone();
        threads.push(spawn(move || {
            for _ in 0..2 {
                let mut wait = pin!(leaves.reaches(9));
                let _ = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
        }));
        count.add();
        count.add();
        join(threads);
    });
}

#[test]
fn a_value_reaches_the_one_who_waits_with_whatever_waker() {
    explore(RUNS, || {
        let value = Oneshot::new();
        let theirs = value.clone();
        let waits = spawn(move || {
            let mut cx = Context::from_waker(Waker::noop());
            match theirs.poll(&mut cx) {
                Poll::Ready(value) => value,
                Poll::Pending => block_on(poll_fn(|cx| theirs.poll(cx))),
            }
        });
        let second = value.clone();
        let also = spawn(move || second.set(2));
        value.set(1);
        join([also]);
        assert!([1, 2].contains(&join([waits])[0]));
    });
}

#[test]
fn the_driver_sees_every_source_that_was_woken() {
    explore(RUNS, || {
        let ready = Ready::new();
        let threads = [0, 1].map(|index| {
            let ready = ready.clone();
            let waker = ready.waker(Source::Listener(index));
            spawn(move || {
                ready.wake_driver();
                ready.wake(Source::Timer);
                waker.wake();
            })
        });
        let mut seen = BTreeSet::new();
        block_on(poll_fn(|cx| {
            loop {
                let mut due = Vec::new();
                if !ready.take(cx.waker(), &mut due) {
                    return Poll::Pending;
                }
                seen.extend(due);
                if seen.len() == 3 {
                    return Poll::Ready(());
                }
            }
        }));
        join(threads);
    });
}
