//! Nurseries and what needs time, or an executor that says when it is stuck.

use futures_lite::future::zip;
use tractor_executors::Executor as _;

use super::*;

/// Runs `act` at second `at`, in a task outside of the tree.
pub(super) fn later(w: &World, at: u64, act: impl FnOnce() + Send + 'static) {
    let mut timer = w.time.timer();
    timer.set(Some(secs(at)));
    w.time.spawn(Box::pin(async move {
        poll_fn(|cx| timer.poll_expired(cx)).await;
        act();
    }));
}

#[test]
fn a_nursery_with_mixed_children() {
    let w = World::new();
    let log = w.log.clone();
    let out = w.run(open_nursery(async |tn| {
        let l = log.clone();
        tn.start_soon(async move {
            let _guard = l.on_drop("plain");
            sleep(secs(90)).await
        });
        tn.start_soon(finally(sleep(secs(90)), slow(&log, "c", secs(3))));
        tn.start_soon(async {
            shield(sleep(secs(2))).await?;
            Err::<(), _>(Error::TooSlow)
        });
        sleep(secs(1)).await?;
        tn.cancel();
        zip(sleep(secs(90)), sleep(secs(90))).await.0
    }));
    // The late error is not masked by the cancellation, nor by the other child's parking.
    assert!(matches!(out, Some(Err(Error::TooSlow))));
    assert_eq!((w.log.take().as_str(), w.now()), ("plain c+ c-", secs(4)));
}

#[test]
fn a_parked_nursery_never_returns_into_a_cancelled_scope() {
    let w = World::new();
    let log = w.log.clone();
    let out = w.run(move_on_after(secs(1), async {
        let result = open_nursery(async |tn| {
            tn.start_soon(finally(sleep(secs(90)), slow(&log, "c", secs(3))));
            Ok(())
        })
        .await;
        log.add(format!("after: {result:?}"));
    }));
    assert!(matches!(out, Some(None)));
    assert_eq!(w.log.take(), "c+ c-");
}

#[test]
fn cancellation_reaches_scopes_behind_a_childs_combinator() {
    let w = World::new();
    let log = w.log.clone();
    let out = w.run(open_nursery(async |tn| {
        let all = (0..3).map(|n| finally(sleep(secs(90)), slow(&log, "c", secs(n))));
        let all = foreign_join(all.collect::<Vec<_>>());
        tn.start_soon(async move {
            all.await;
        });
        sleep(secs(1)).await?;
        Err::<(), _>(Error::TooSlow)
    }));
    assert!(matches!(out, Some(Err(Error::TooSlow))));
    assert_eq!((w.log.take().matches("c-").count(), w.now()), (3, secs(3)));
}

#[test]
fn a_child_that_comes_from_outside_wakes_the_nursery() {
    let w = World::new();
    let out = w.run(open_nursery(async |tn| {
        let handle = tn.clone();
        later(&w, 3, move || {
            let own = handle.clone();
            handle.start_soon(async move { own.cancel() });
        });
        pending::<Result<()>>().await
    }));
    assert!(matches!(out, Some(Err(Error::Cancelled))));
    assert_eq!(w.now(), secs(3));
}

#[test]
fn a_woken_child_and_a_cancelled_nursery_in_one_poll() {
    let w = World::new();
    let out = w.run(open_nursery(async |tn| {
        let waker = Arc::new(Mutex::new(None::<Waker>));
        let (theirs, handle) = (waker.clone(), tn.clone());
        later(&w, 1, move || {
            theirs.lock().unwrap().take().unwrap().wake();
            handle.cancel();
        });
        tn.start_soon(shield(async move {
            let mut woken = false;
            poll_fn(|cx| {
                *waker.lock().unwrap() = Some(cx.waker().clone());
                if std::mem::replace(&mut woken, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            sleep(secs(1)).await
        }));
        pending::<Result<()>>().await
    }));
    assert!(matches!(out, Some(Err(Error::Cancelled))));
    assert_eq!(w.now(), secs(2));
}

#[test]
fn many_generations_of_children_end() {
    fn generation(tn: Nursery<'_>, left: usize) {
        if left > 0 {
            let tn2 = tn.clone();
            tn.start_soon(async move { generation(tn2, left - 1) });
        }
    }
    let w = World::new();
    let out = w.run(open_nursery(async |tn| {
        generation(tn, 5000);
        Ok(())
    }));
    assert!(matches!(out, Some(Ok(()))));
}

#[test]
fn a_dropped_nursery_drops_what_it_never_polled() {
    let w = World::new();
    // A child in the inbox that has a handle must be no cycle.
    let (log, theirs) = (w.log.clone(), Arc::new(Mutex::new(None)));
    let shared = theirs.clone();
    let mut fut = Box::pin(open_nursery(async move |tn| {
        *shared.lock().unwrap() = Some(tn);
        pending::<Result<()>>().await
    }));
    assert!(w.run(futures_lite::future::poll_once(fut.as_mut())).unwrap().is_none());
    let handle: Nursery<'static> = theirs.lock().unwrap().take().unwrap();
    let (own, guard) = (handle.clone(), log.on_drop("dropped"));
    handle.start_soon(async move {
        let _keep = (own, guard);
    });
    drop((fut, handle));
    assert_eq!(w.log.take(), "dropped");
}
