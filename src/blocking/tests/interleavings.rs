//! The pool and its callers, in many interleavings: see docs/testing.md.

use super::*;
use crate::tests::explore::explore;
use crate::tests::{Signal, block_on, join, let_time_pass, spawn};

const RUNS: usize = 2_000;

/// Nothing is left to do: its threads end.
fn end(pool: &Pool) {
    while pool.threads() > 0 {
        let_time_pass();
    }
}

#[test]
fn every_job_is_done_while_threads_come_and_go() {
    explore(RUNS, || {
        let pool = Pool::new(2, LONG);
        let callers = [1, 2, 3].map(|n| {
            let pool = pool.clone();
            spawn(move || block_on(unblock_on(&pool, move || n)).unwrap())
        });
        assert_eq!(join(callers), [1, 2, 3]);
        end(&pool);
    });
}

/// Whether it waits in line, was given the permit, or has its job in the queue.
#[test]
fn a_call_that_is_dropped_holds_up_nobody() {
    explore(RUNS, || {
        let pool = Pool::new(1, LONG);
        let leaver = pool.clone();
        let leaves = spawn(move || {
            let mut call = Box::pin(unblock_on(&leaver, || {}));
            poll(&mut call);
        });
        let callers = [1, 2].map(|n| {
            let pool = pool.clone();
            spawn(move || block_on(unblock_on(&pool, move || n)).unwrap())
        });
        join([leaves]);
        assert_eq!(join(callers), [1, 2]);
        assert_eq!(block_on(unblock_on(&pool, || 3)).unwrap(), 3, "the permit is back");
        end(&pool);
    });
}

/// As many as there are permits, also when a thread is idle that will have one of them.
#[test]
fn jobs_that_wait_for_each_other_run_side_by_side() {
    explore(RUNS, || {
        let pool = Pool::new(2, LONG);
        block_on(unblock_on(&pool, || {})).unwrap();
        let signals = [Signal::default(), Signal::default()];
        let callers = [[0, 1], [1, 0]].map(|pair| {
            let (pool, [set, wait]) = (pool.clone(), pair.map(|n| signals[n].clone()));
            spawn(move || {
                block_on(unblock_on(&pool, move || {
                    set.set();
                    block_on(wait.wait());
                }))
            })
        });
        assert!(join(callers).iter().all(Result::is_ok));
        end(&pool);
    });
}
