//! Scopes whose tasks are woken, started and cancelled by other threads, in many interleavings: see
//! docs/testing.md.

use super::*;
use crate::tests::explore::explore;
use crate::tests::{Signal, block_on, join, spawn};

const RUNS: usize = 2_000;

fn root() -> Arc<Root> {
    Root::new(Virtual::new(), BUDGET)
}

#[test]
fn a_nursery_ends_with_its_last_child_whoever_wakes_it() {
    explore(RUNS, || {
        let signals: [Signal; 4] = Default::default();
        let waiting = signals.clone();
        let nursery = spawn(move || {
            block_on(open_nursery(async |tn| {
                let [one, two, three, body] = waiting;
                tn.start_soon(async move {
                    one.wait().await;
                    two.wait().await;
                });
                tn.start_soon(async move { three.wait().await });
                body.wait().await;
                Ok(())
            }))
        });
        let wakers = signals.map(|signal| spawn(move || signal.set()));
        join(wakers);
        assert!(join([nursery])[0].is_ok());
    });
}

/// The child does what the body waits for: nothing else wakes the nursery.
#[test]
fn a_task_started_by_another_thread_runs() {
    explore(RUNS, || {
        let out = block_on(root().run(
            &CancelScope::new(),
            open_nursery(async |tn| {
                let (signal, theirs) = (Signal::default(), tn.clone());
                let set = signal.clone();
                spawn(move || {
                    theirs.start_soon(async move { set.set() });
                });
                signal.wait().await;
                Ok(())
            }),
        ));
        assert!(matches!(out, Some(Ok(()))));
    });
}

/// Too late, it is refused; but never is it kept.
#[test]
fn a_task_started_while_its_nursery_ends_runs_or_is_dropped() {
    explore(RUNS, || {
        let (log, told) = (Log::default(), Signal::default());
        let drops = log.clone();
        let thread = told.clone();
        block_on(root().run(
            &CancelScope::new(),
            open_nursery(async move |tn| {
                let theirs = tn.clone();
                spawn(move || {
                    let on_drop = drops.on_drop("gone");
                    theirs.start_soon(async move { drop(on_drop) });
                    thread.set();
                });
                Ok(())
            }),
        ));
        block_on(told.wait());
        assert_eq!(log.take(), "gone");
    });
}

#[test]
fn a_cancel_by_another_thread_is_seen_by_all() {
    explore(RUNS, || {
        let (top, scope) = (CancelScope::new(), CancelScope::new());
        let theirs = scope.clone();
        let canceller = spawn(move || theirs.cancel());
        let log = Log::default();
        let told = log.clone();
        let body = open_nursery(async move |tn| {
            let (begun, ended) = (told.clone(), told);
            let task = async move {
                begun.add("begun");
                pending::<Result<()>>().await
            };
            tn.start_soon(finally(task, async move { ended.add("cleaned") }));
            pending::<Result<()>>().await
        });
        let out = block_on(root().run(&top, scope.run(body)));
        assert!(matches!(out, Some(None)), "{out:?}");
        assert!(["", "begun cleaned"].contains(&log.take().as_str()));
        join([canceller]);
    });
}

/// A cancelled scope waits for a hold, whose frame was moved out of it and is dropped elsewhere.
#[test]
fn a_hold_that_is_dropped_elsewhere_ends_the_wait() {
    explore(RUNS, || {
        let (top, scope) = (CancelScope::new(), CancelScope::new());
        let theirs = scope.clone();
        let body = async {
            let mut frame = Box::pin(shield(pending::<()>()));
            assert!(futures_lite::future::poll_once(frame.as_mut()).await.is_none());
            spawn(move || drop(frame));
            spawn(move || theirs.cancel());
            pending::<()>().await;
        };
        let out = block_on(root().run(&top, scope.run(body)));
        assert_eq!(out, Some(None));
    });
}
