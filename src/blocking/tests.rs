//! The pool, with limits of its own; what an actor makes of it is in `tests/behaviours`.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Instant;

use futures_lite::future::block_on;

use super::*;

#[cfg(shuttle)]
mod interleavings;

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(60);

fn poll<F: Future + Unpin>(future: &mut F) -> bool {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn returns_what_the_work_returns() {
    let pool = Pool::new(1, LONG);
    let here = thread::current().id();
    let there = block_on(unblock_on(&pool, || thread::current().id())).unwrap();
    assert_ne!(here, there);
    assert_eq!(block_on(unblock_on(&pool, || thread::current().id())).unwrap(), there, "again");
    assert_eq!(pool.threads(), 1);
}

#[test]
fn a_panic_is_an_error_and_the_thread_lives_on() {
    let pool = Pool::new(1, LONG);
    let work = || -> u32 { std::panic::resume_unwind(Box::new("oops")) };
    let failed = block_on(unblock_on(&pool, work));
    let Err(Error::Panic(report)) = failed else { panic!("{failed:?}") };
    assert_eq!(report.message, "oops");
    assert_eq!((block_on(unblock_on(&pool, || 7)).unwrap(), pool.threads()), (7, 1));
}

#[test]
fn no_more_run_at_a_time_than_the_limit_and_in_order() {
    let pool = Pool::new(2, LONG);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (open, gates): (Vec<_>, Vec<_>) = (0..4).map(|_| mpsc::channel::<()>()).unzip();
    let (begun, order) = mpsc::channel();
    let mut calls: Vec<_> = gates
        .into_iter()
        .enumerate()
        .map(|(n, gate)| {
            let (running, most, begun) = (running.clone(), most.clone(), begun.clone());
            Box::pin(unblock_on(&pool, move || {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                begun.send(n).unwrap();
                gate.recv().unwrap();
                running.fetch_sub(1, SeqCst);
            }))
        })
        .collect();
    for call in &mut calls {
        assert!(!poll(call));
    }
    let first = [order.recv().unwrap(), order.recv().unwrap()];
    assert_eq!(first.iter().sum::<usize>(), 1, "the first two: {first:?}");
    open[1].send(()).unwrap();
    block_on(&mut calls[1]).unwrap();
    assert!(!poll(&mut calls[2]) && !poll(&mut calls[3]), "the third has the permit now");
    assert_eq!(order.recv().unwrap(), 2);
    for gate in [&open[0], &open[2], &open[3]] {
        gate.send(()).unwrap();
    }
    for (n, call) in calls.iter_mut().enumerate().filter(|(n, _)| *n != 1) {
        block_on(call).unwrap_or_else(|e| panic!("{n}: {e}"));
    }
    assert_eq!((most.load(SeqCst), pool.threads()), (2, 2));
}

#[test]
fn who_waits_and_leaves_makes_room() {
    let pool = Pool::new(1, LONG);
    let (open, gate) = mpsc::channel::<()>();
    let mut first = Box::pin(unblock_on(&pool, move || gate.recv()));
    let mut second = Box::pin(unblock_on(&pool, || unreachable!("it never begins")));
    let mut third = Box::pin(unblock_on(&pool, || unreachable!("it never begins")));
    let mut fourth = Box::pin(unblock_on(&pool, || 4));
    assert!(!poll(&mut first) && !poll(&mut second) && !poll(&mut third) && !poll(&mut fourth));
    drop(second); // It waited.
    open.send(()).unwrap();
    block_on(first).unwrap().unwrap();
    drop(third); // It had been given the permit, and had not fetched it.
    assert_eq!(block_on(fourth).unwrap(), 4);
}

#[test]
fn a_dropped_call_runs_on_to_its_end() {
    let pool = Pool::new(1, LONG);
    let (open, gate) = mpsc::channel::<()>();
    let (done, ended) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    {
        let mut call = pin!(unblock_on(&pool, move || {
            begin.send(()).unwrap();
            gate.recv().unwrap();
            done.send(()).unwrap();
        }));
        assert!(!poll(&mut call));
        begun.recv_timeout(LONG).unwrap();
    }
    open.send(()).unwrap();
    ended.recv_timeout(LONG).unwrap();
    assert_eq!(block_on(unblock_on(&pool, || 7)).unwrap(), 7, "its permit is free again");
}

#[test]
fn work_that_did_not_begin_is_taken_back() {
    let pool = Pool::new(1, LONG);
    let permit = block_on(poll_fn(|cx| pool.turn().poll(cx)));
    let (result, taken) = (Oneshot::new(), Arc::new(AtomicBool::new(false)));
    let ticket = Ticket { result: result.clone(), taken: taken.clone() };
    let job = job(|| unreachable!("it never begins"), permit, ticket);
    drop(Call { result, taken, background: None });
    job();
    assert_eq!(block_on(unblock_on(&pool, || 7)).unwrap(), 7, "its permit is free again");
}

#[test]
fn jobs_without_a_thread_fail() {
    let pool = Pool::new(2, LONG);
    let result: Oneshot<Result<()>> = Oneshot::new();
    let taken = Arc::new(AtomicBool::new(false));
    drop(Ticket { result: result.clone(), taken });
    let failed = block_on(poll_fn(|cx| result.poll(cx)));
    assert!(matches!(failed, Err(Error::Io(_))), "{failed:?}");
    assert_eq!(block_on(unblock_on(&pool, || 7)).unwrap(), 7);
}

#[test]
fn a_result_that_panics_when_it_is_dropped_costs_no_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("destructor"));
        }
    }
    let pool = Pool::new(1, LONG);
    let (open, gate) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    {
        let mut call = pin!(unblock_on(&pool, move || {
            begin.send(()).unwrap();
            gate.recv().unwrap();
            Bomb
        }));
        assert!(!poll(&mut call));
        begun.recv_timeout(LONG).unwrap();
    }
    open.send(()).unwrap();
    assert_eq!((block_on(unblock_on(&pool, || 7)).unwrap(), pool.threads()), (7, 1));
}

#[test]
fn idle_threads_end() {
    let pool = Pool::new(4, Duration::from_millis(1));
    block_on(unblock_on(&pool, || ())).unwrap();
    let start = Instant::now();
    while pool.threads() > 0 {
        assert!(start.elapsed() < LONG);
        thread::yield_now();
    }
    assert_eq!(block_on(unblock_on(&pool, || 7)).unwrap(), 7);
}

#[cfg(feature = "smol")]
mod in_an_actor {
    use tractor_executors::smol::Smol;

    use super::*;
    use crate::scope::{CancelScope, Root, move_on_after};

    #[test]
    fn a_cancelled_call_is_waited_for_at_the_end() {
        let root = Root::new(Smol::global(), LONG);
        let (open, gate) = mpsc::channel::<()>();
        let (done, ended) = mpsc::channel();
        let watched = root.clone();
        block_on(root.run_all(async move {
            let scope = CancelScope::new();
            let begun = scope.clone();
            let work = move || {
                begun.cancel();
                gate.recv().unwrap();
                done.send(()).unwrap();
            };
            assert!(scope.run(unblock(work)).await.is_none());
            assert_eq!(watched.reaping(), 1);
            open.send(()).unwrap();
        }));
        ended.try_recv().unwrap();
    }

    #[test]
    fn one_that_does_not_end_is_left_behind_when_the_budget_is_over() {
        let root = Root::new(Smol::global(), Duration::from_millis(50));
        let (open, gate) = mpsc::channel::<()>();
        let watched = root.clone();
        let start = Instant::now();
        block_on(root.run_all(async move {
            let scope = CancelScope::new();
            let begun = scope.clone();
            let work = move || {
                begun.cancel();
                gate.recv()
            };
            assert!(scope.run(unblock(work)).await.is_none());
        }));
        assert!(start.elapsed() >= Duration::from_millis(50));
        assert_eq!((watched.lost(), watched.reaping()), (1, 0));
        drop(open);
    }

    #[test]
    fn a_shield_waits_for_it() {
        let root = Root::new(Smol::global(), LONG);
        let (open, gate) = mpsc::channel::<()>();
        let thread = thread::spawn(move || open.send(()));
        block_on(root.run_all(async move {
            let call = scope::shield(unblock(move || gate.recv()));
            // Not cut: there is a value.
            let value = move_on_after(Duration::ZERO, call).await;
            assert!(matches!(value, Some(Ok(Ok(())))), "{value:?}");
        }));
        thread.join().unwrap().unwrap();
    }
}
