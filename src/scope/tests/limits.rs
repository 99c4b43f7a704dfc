//! Timeouts, budgets, and who catches.

use super::*;
use crate::scope::current::current_root;

#[test]
fn move_on_after_cuts_a_foreign_future() {
    let w = World::new();
    let out = w.run(async {
        let slow = move_on_after(secs(3), pending::<()>()).await;
        let quick = move_on_after(secs(3), async { 7 }).await;
        (slow, quick)
    });
    assert_eq!(out, Some((None, Some(7))));
    assert_eq!(w.now(), secs(3));
}

#[test]
fn fail_after_is_an_error() {
    let w = World::new();
    let out = w.run(fail_after(secs(3), pending::<()>())).unwrap();
    assert!(matches!(out, Err(Error::TooSlow)));
    assert!(matches!(w.run(fail_after(secs(3), async { 7 })), Some(Ok(7))));
}

#[test]
fn sleep_sleeps_and_deadlines_count_from_entry() {
    let w = World::new();
    let scope = CancelScope::new().timeout(secs(9)).timeout(secs(2)).timeout(secs(5));
    let out = w.run(async {
        sleep(secs(4)).await.unwrap();
        scope.run(sleep(secs(100))).await
    });
    assert!(matches!(out, Some(None)));
    assert_eq!(w.now(), secs(6));
    assert!(scope.cancel_called() && scope.cancelled_caught());
}

#[test]
fn a_ready_result_beats_the_deadline() {
    let w = World::new();
    let out = w.run(move_on_after(Duration::ZERO, async { 1 }));
    assert_eq!(out, Some(Some(1)));
}

#[test]
fn the_outermost_cancelled_scope_catches() {
    let w = World::new();
    let (outer, inner) = (CancelScope::new(), CancelScope::new());
    let log = w.log.clone();
    w.run(async {
        let out = outer.run(async {
            let (o, i) = (outer.clone(), inner.clone());
            inner
                .run(async move {
                    i.cancel();
                    o.cancel();
                    pending::<()>().await;
                })
                .await;
            log.add("after inner");
        });
        assert!(out.await.is_none());
        log.add("after outer");
    });
    assert_eq!(w.log.take(), "after outer");
    assert!(outer.cancelled_caught() && !inner.cancelled_caught());
}

#[test]
fn an_inner_scope_catches_its_own() {
    let w = World::new();
    let outer = CancelScope::new();
    let out = w.run(outer.run(async { move_on_after(secs(1), pending::<()>()).await }));
    assert_eq!(out, Some(Some(None)));
    assert!(!outer.cancelled_caught());
}

#[test]
fn cancelling_the_top_ends_the_tree() {
    let w = World::new();
    let top = w.scope.clone();
    let log = w.log.clone();
    let out = w.run(async {
        let _guard = log.on_drop("dropped");
        top.cancel();
        sleep(secs(5)).await
    });
    assert!(out.is_none());
    assert!(w.scope.cancelled_caught());
    assert_eq!((w.log.take().as_str(), w.now()), ("dropped", secs(0)));
}

#[test]
fn a_teardown_ends_with_the_budget() {
    let w = World::new();
    let out = w.run(async {
        let hang = finally(pending::<Result<()>>(), slow(&w.log, "c", secs(100)));
        move_on_after(secs(1), hang).await.is_none()
    });
    assert_eq!(out, Some(true));
    assert_eq!(w.now(), secs(11));
    assert_eq!((w.root.lost(), w.log.take().as_str()), (1, "c+"));
}

#[test]
fn a_budget_of_nothing_ends_a_teardown_at_once() {
    let mut w = World::new();
    w.root = Root::new(w.time.clone(), Duration::ZERO);
    let out = w.run(move_on_after(secs(1), shield(pending::<()>())));
    assert_eq!((out, w.now(), w.root.lost()), (Some(None), secs(1), 1));
}

#[test]
fn the_budget_is_that_of_the_outermost_cancelled_scope() {
    let w = World::new();
    let inner = CancelScope::new();
    w.run(async {
        let shielded = inner.run(shield(sleep(secs(8))));
        // The inner scope is cancelled later; its own budget would last until second 14.
        let cancel_inner = async {
            shield(sleep(secs(4))).await.unwrap();
            inner.cancel();
            shield(sleep(secs(90))).await
        };
        let both = futures_lite::future::zip(shielded, cancel_inner);
        assert!(move_on_after(secs(1), both).await.is_none());
    });
    assert_eq!(w.now(), secs(11));
    assert_eq!(w.root.lost(), 1);
}

#[test]
fn behind_a_shield_the_inner_scope_catches() {
    let w = World::new();
    let (outer, inner) = (CancelScope::new(), CancelScope::new());
    let out = w.run(outer.run(async {
        outer.cancel();
        let shielded = CancelScope::new().shield().run(async {
            inner.cancel();
            inner.run(pending::<()>()).await
        });
        w.log.add(format!("{:?}", shielded.await));
        pending::<()>().await;
    }));
    assert_eq!((out, w.log.take().as_str()), (Some(None), "Some(None)"));
    assert!(inner.cancelled_caught() && outer.cancelled_caught());
}

#[test]
fn checkpoint_makes_a_busy_loop_cancellable() {
    let w = World::new();
    let scope = CancelScope::new();
    let mut turns = 0;
    let out = w.run(scope.run(async {
        loop {
            turns += 1;
            if turns == 5 {
                scope.cancel();
            }
            if checkpoint().await.is_err() {
                return;
            }
        }
    }));
    assert_eq!((out, turns), (Some(None), 5));
}

#[test]
fn awaits_beside_a_hold_are_refused() {
    let w = World::new();
    let log = w.log.clone();
    w.run(async {
        let scope = CancelScope::new().timeout(secs(1));
        let beside = async {
            let slept = sleep(secs(50)).await;
            assert!(matches!(slept, Err(Error::Cancelled)));
            assert!(matches!(checkpoint().await, Err(Error::Cancelled)));
            log.add("refused");
        };
        let value = scope.run(futures_lite::future::zip(shield(sleep(secs(4))), beside)).await;
        assert!(value.is_some() && !scope.cancelled_caught());
    });
    assert_eq!((w.log.take().as_str(), w.now()), ("refused", secs(4)));
}

#[test]
fn there_is_a_root_inside_only() {
    let w = World::new();
    assert!(current_root().is_none());
    let found = w.run(open_nursery(async |_tn| Ok(current_root())));
    let found = found.unwrap().unwrap().unwrap();
    assert!(Arc::ptr_eq(&found, &w.root));
    assert!(check().is_ok());
}

#[test]
fn a_scope_in_use_is_refused() {
    let w = World::new();
    let scope = CancelScope::new();
    let nested = scope.run(scope.run(async {}));
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| w.run(nested)));
    assert!(failed.is_err());
    assert_eq!(w.run(scope.run(async { 3 })), Some(Some(3)));
}
