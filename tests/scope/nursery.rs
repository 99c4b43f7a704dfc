//! `open_nursery`, `start_soon`, `cancel`.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tractor::scope::{CancelScope, Nursery, checkpoint, finally, open_nursery, shield};

use super::*;

fn spawnable<F: Future + Send + 'static>(future: F) -> F {
    future
}

#[test]
fn children_borrow_and_are_joined() {
    let mut numbers = [1, 2, 3];
    let factor = 10;
    let sum = AtomicUsize::new(0);
    let out = block_on(open_nursery(async |tn| {
        for number in &mut numbers {
            let (factor, sum) = (&factor, &sum);
            tn.start_soon(async move {
                yields(*number).await;
                *number *= factor;
                sum.fetch_add(*number, SeqCst);
            });
        }
        Ok("done")
    }));
    assert_eq!(out.unwrap(), "done");
    assert_eq!((numbers, sum.into_inner()), ([10, 20, 30], 60));
}

#[test]
fn a_whole_nursery_can_be_spawned() {
    let log = Log::default();
    let theirs = log.clone();
    let fut = spawnable(async move {
        let words = vec!["a".to_string(), "b".to_string()];
        open_nursery(async |tn| {
            for word in &words {
                let log = theirs.clone();
                tn.start_soon(async move { log.add(word) });
            }
            let tn2 = tn.clone();
            tn.start_soon(async move {
                let started = tn2.start(|status| async move { status.started(1) }).await?;
                shield(finally(async { Ok(started) }, async {})).await?;
                CancelScope::new().run(checkpoint()).await;
                Ok(())
            });
            Ok(())
        })
        .await
    });
    block_on(fut).unwrap();
    assert_eq!(log.take(), "a b");
}

#[test]
fn a_child_starts_siblings() {
    fn tree<'s>(tn: Nursery<'s>, depth: usize, count: &'s AtomicUsize) {
        count.fetch_add(1, SeqCst);
        if depth > 0 {
            for _ in 0..2 {
                let tn2 = tn.clone();
                tn.start_soon(async move {
                    checkpoint().await?;
                    tree(tn2, depth - 1, count);
                    Ok(())
                });
            }
        }
    }
    let count = AtomicUsize::new(0);
    let out = block_on(open_nursery(async |tn| {
        tree(tn, 10, &count);
        Ok(())
    }));
    out.unwrap();
    assert_eq!(count.into_inner(), 2047);
}

#[test]
fn one_cancels_all() {
    let log = Log::default();
    let out: Result<()> = block_on(open_nursery(async |tn| {
        for name in ["a", "b"] {
            let guard = log.on_drop(name);
            tn.start_soon(async move {
                let _guard = guard;
                pending::<Infallible>().await;
            });
        }
        tn.start_soon(async {
            yields(2).await;
            Err(oops())
        });
        pending().await
    }));
    let error = out.unwrap_err();
    assert!(!matches!(error, Error::Group { .. } | Error::Cancelled), "{error}");
    assert_eq!(log.take(), "a b");
}

#[test]
fn several_errors_are_a_group() {
    let late = || finally(pending::<Result<()>>(), async { Err(oops()) });
    let out: Result<()> = block_on(open_nursery(async |tn| {
        tn.start_soon(late());
        tn.start_soon(late());
        yields(1).await;
        Err(Error::TooSlow)
    }));
    assert!(matches!(out, Err(Error::Group { .. })));
}

#[test]
fn panics_are_errors() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            quiet_panic("destructor");
        }
    }
    let child = block_on(open_nursery(async |tn| {
        tn.start_soon(async { quiet_panic("child") });
        pending::<Result<()>>().await
    }));
    assert!(matches!(child, Err(Error::Panic { .. })));
    let body = block_on(open_nursery(async |_tn| -> Result<()> { quiet_panic("body") }));
    assert!(matches!(body, Err(Error::Panic { .. })));
    let destructor = block_on(open_nursery(async |tn| {
        tn.start_soon(async {
            let _bomb = Bomb;
            pending::<Result<()>>().await
        });
        yields(1).await;
        tn.cancel();
        Ok(())
    }));
    assert!(matches!(destructor, Err(Error::Panic { .. })));
}

#[test]
fn cancel_with_the_body_done_or_pending() {
    let hang = |tn: &Nursery<'_>| tn.start_soon(pending::<()>());
    let done = block_on(open_nursery(async |tn| {
        hang(&tn);
        tn.cancel();
        Ok(7)
    }));
    assert_eq!(done.unwrap(), 7);
    let cut = block_on(open_nursery(async |tn| {
        hang(&tn);
        tn.cancel();
        tn.cancel();
        checkpoint().await?;
        Ok(7)
    }));
    assert!(matches!(cut, Err(Error::Cancelled)));
}

#[test]
fn what_is_started_while_cancelled_runs_to_its_first_suspension() {
    let log = Log::default();
    let out = block_on(open_nursery(async |tn| {
        tn.cancel();
        let log = log.clone();
        tn.start_soon(async move {
            log.add("begun");
            yields(1).await;
            log.add("never");
        });
        Ok(())
    }));
    out.unwrap();
    assert_eq!(log.take(), "begun");
}

#[test]
fn a_handle_that_outlives_the_nursery_starts_nothing() {
    let log = Log::default();
    let escaped = block_on(open_nursery(async |tn| Ok(tn))).unwrap();
    let guard = log.on_drop("refused");
    escaped.start_soon(async move {
        let _guard = guard;
        quiet_panic("polled");
    });
    assert_eq!(log.take(), "refused");
    let started = block_on(escaped.start(|status| async move { status.started(1) }));
    assert!(matches!(started, Err(Error::Cancelled)));
    escaped.cancel();
}

#[test]
fn dropping_a_nursery_drops_its_children() {
    let log = Log::default();
    let mut fut = Box::pin(open_nursery(async |tn| {
        let (begun, fresh) = (log.on_drop("begun"), log.on_drop("fresh"));
        let tn2 = tn.clone();
        tn.start_soon(async move {
            let _keep = (begun, tn2);
            pending::<()>().await;
        });
        yields(1).await;
        tn.start_soon(async move {
            drop(fresh);
        });
        pending::<Result<()>>().await
    }));
    assert!(poll_once(&mut fut).is_pending());
    drop(fut);
    assert_eq!(log.take(), "fresh begun");
}

#[test]
fn only_what_was_woken_is_polled() {
    const CHILDREN: usize = 1000;
    let polls = AtomicUsize::new(0);
    let out = block_on(open_nursery(async |tn| {
        let gates: Vec<_> = (0..CHILDREN).map(|_| Arc::new(Gate::default())).collect();
        for gate in gates.clone() {
            let polls = &polls;
            tn.start_soon(poll_fn(move |cx| {
                polls.fetch_add(1, SeqCst);
                gate.poll(cx)
            }));
        }
        for gate in gates {
            yields(1).await;
            gate.open();
        }
        Ok(())
    }));
    out.unwrap();
    assert_eq!(polls.into_inner(), 2 * CHILDREN);
}

#[derive(Default)]
struct Gate(Mutex<(bool, Option<Waker>)>);

impl Gate {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut gate = self.0.lock().unwrap();
        gate.1 = Some(cx.waker().clone());
        if gate.0 { Poll::Ready(()) } else { Poll::Pending }
    }

    fn open(&self) {
        let mut gate = self.0.lock().unwrap();
        gate.0 = true;
        let waker = gate.1.take();
        drop(gate);
        waker.into_iter().for_each(Waker::wake);
    }
}

#[test]
fn a_yielding_body_gives_the_thread_back() {
    let mut fut = Box::pin(open_nursery(async |_tn| {
        yields(3).await;
        Ok(())
    }));
    for _ in 0..3 {
        assert!(poll_once(&mut fut).is_pending());
    }
    assert!(poll_once(&mut fut).is_ready());
}

#[test]
fn a_child_that_spawns_without_end_gives_the_thread_back() {
    fn again(tn: Nursery<'_>) {
        let tn2 = tn.clone();
        tn.start_soon(async move { again(tn2) });
    }
    let scope = CancelScope::new();
    let nursery = open_nursery(async |tn| {
        again(tn);
        pending::<Result<()>>().await
    });
    let mut fut = Box::pin(scope.run(nursery));
    assert!(poll_once(&mut fut).is_pending());
    scope.cancel();
    assert!(matches!(poll_once(&mut fut), Poll::Ready(None)));
}

#[test]
fn a_child_that_never_returns_has_a_type() {
    let out = block_on(open_nursery(async |tn| {
        tn.start_soon(async {
            loop {
                checkpoint().await.ok();
            }
        });
        tn.start_soon(async {
            checkpoint().await?;
            Err(oops())?;
            Ok(())
        });
        Ok(())
    }));
    assert!(out.is_err());
}
