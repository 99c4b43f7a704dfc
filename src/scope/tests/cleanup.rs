//! `shield`, `finally`, `finally_borrowed`, and what becomes of them under a foreign drop.

use futures_lite::future::{or, poll_once};

use super::*;

#[test]
fn finally_runs_on_value_error_and_panic() {
    let w = World::new();
    let c = || slow(&w.log, "c", secs(1));
    assert!(matches!(w.run(finally(async { Ok(1) }, c())), Some(Ok(1))));
    let failed = w.run(finally(async { Err::<(), _>(Error::TooSlow) }, c()));
    assert!(matches!(failed, Some(Err(Error::TooSlow))));
    let panics = finally(async { quiet_panic("body") }, c());
    let panicked = w.run(open_nursery(async |_tn| -> Result<()> { panics.await }));
    assert!(matches!(panicked, Some(Err(Error::Panic { .. }))));
    assert_eq!(w.log.take(), "c+ c- c+ c- c+ c-");
}

#[test]
fn finally_runs_on_cancellation_and_no_code_after_it() {
    let w = World::new();
    let log = w.log.clone();
    w.run(async {
        let body = async {
            let _guard = log.on_drop("body");
            sleep(secs(9)).await
        };
        let out = move_on_after(secs(1), async {
            let result = finally(body, slow(&log, "c", secs(2))).await;
            log.add(format!("after: {result:?}"));
        });
        assert!(out.await.is_none());
    });
    assert_eq!((w.log.take().as_str(), w.now()), ("body c+ c-", secs(3)));
    assert_eq!(w.root.lost(), 0);
}

#[test]
fn nested_cleanups_run_inner_first() {
    let w = World::new();
    let log = w.log.clone();
    w.run(async {
        let inner = finally(sleep(secs(9)), slow(&log, "inner", secs(2)));
        let middle = finally_borrowed(inner, slow(&log, "middle", secs(2)));
        let outer = finally(middle, slow(&log, "outer", secs(2)));
        assert!(move_on_after(secs(1), outer).await.is_none());
    });
    assert_eq!(w.log.take(), "inner+ inner- middle+ middle- outer+ outer-");
    assert_eq!(w.now(), secs(7));
}

#[test]
fn an_error_of_a_cleanup_is_never_masked() {
    let w = World::new();
    let fails = || async {
        sleep(secs(1)).await?;
        Err::<(), _>(Error::TooSlow)
    };
    let out = w.run(move_on_after(secs(1), finally(sleep(secs(9)), fails())));
    assert!(matches!(out, Some(Some(Err(Error::TooSlow)))));
    let out = w.run(finally(async { Ok(1) }, fails()));
    assert!(matches!(out, Some(Err(Error::TooSlow))));
    let body = async { Err::<(), _>(Error::Cancelled) };
    let Some(Err(error)) = w.run(finally(body, fails())) else { panic!("no error") };
    assert!(matches!(error, Error::TooSlow), "a cancellation says nothing beside it: {error}");
}

#[test]
fn a_cleanup_that_was_cancelled_hides_no_error() {
    let w = World::new();
    let body = async { Err::<(), _>(Error::TooSlow) };
    let gives_up = async { Err::<(), _>(Error::Cancelled) };
    let Some(Err(error)) = w.run(finally(body, gives_up)) else { panic!("no error") };
    assert!(matches!(error, Error::TooSlow), "{error}");
}

#[test]
fn a_panic_of_a_cleanup_is_not_polled_again() {
    let w = World::new();
    let out = w.run(open_nursery(async |tn| {
        tn.start_soon(finally(sleep(secs(9)), async { quiet_panic("cleanup") }));
        sleep(secs(1)).await?;
        tn.cancel();
        sleep(secs(9)).await
    }));
    assert!(matches!(out, Some(Err(Error::Panic { .. }))));
    // Handed over, it would be found to have panicked, and be counted.
    assert_eq!((w.now(), w.root.lost()), (secs(1), 0));
}

#[test]
fn shield_survives_and_the_code_after_it_runs_to_the_next_suspension() {
    let w = World::new();
    let log = w.log.clone();
    let out = w.run(move_on_after(secs(1), async {
        shield(slow(&log, "s", secs(3))).await;
        log.add("after");
        sleep(secs(9)).await.unwrap();
        log.add("never");
    }));
    assert!(matches!(out, Some(None)));
    assert_eq!((w.log.take().as_str(), w.now()), ("s+ s- after", secs(3)));
}

#[test]
fn a_shielded_scope_obeys_only_itself() {
    let w = World::new();
    let log = w.log.clone();
    let out = w.run(move_on_after(secs(1), async {
        let own = CancelScope::new().shield().timeout(secs(4));
        own.run(sleep(secs(9))).await;
        log.add(format!("caught: {}", own.cancelled_caught()));
        sleep(secs(9)).await
    }));
    assert!(matches!(out, Some(None)));
    assert_eq!((w.log.take().as_str(), w.now()), ("caught: true", secs(4)));
}

#[test]
fn a_scope_inside_a_cleanup_works() {
    let w = World::new();
    let log = w.log.clone();
    let cleanup = async move {
        let late = move_on_after(secs(2), sleep(secs(9))).await;
        log.add(format!("{}", late.is_none()));
    };
    let out = w.run(move_on_after(secs(1), finally(sleep(secs(9)), cleanup)));
    assert!(matches!(out, Some(None)));
    assert_eq!((w.log.take().as_str(), w.now()), ("true", secs(3)));
}

#[test]
fn a_foreign_drop_hands_an_owning_cleanup_to_the_actor() {
    let w = World::new();
    let log = w.log.clone();
    w.run(async {
        let hang = finally(sleep(secs(90)), slow(&log, "c", secs(2)));
        let limit = async {
            sleep(secs(1)).await.unwrap();
            Ok(())
        };
        or(hang, limit).await.unwrap();
        log.add("left");
    });
    assert_eq!((w.log.take().as_str(), w.now()), ("left c+ c-", secs(3)));
    assert_eq!((w.root.lost(), w.root.reaping()), (0, 0));
}

#[test]
fn a_handed_over_cleanup_has_a_budget() {
    let w = World::new();
    w.run(async {
        let mut hang = Box::pin(finally(sleep(secs(90)), slow(&w.log, "c", secs(50))));
        assert!(poll_once(hang.as_mut()).await.is_none());
    });
    assert_eq!((w.log.take().as_str(), w.now(), w.root.lost()), ("c+", BUDGET, 1));
}

#[test]
fn a_half_run_cleanup_keeps_its_deadline() {
    let w = World::new();
    w.run(async {
        let both = async {
            let hang = finally(sleep(secs(90)), slow(&w.log, "c", secs(50)));
            or(hang, shield(sleep(secs(5)))).await
        };
        // Cancelled at 1; the cleanup begins; dropped by `or` at 5; the budget ends at 11.
        move_on_after(secs(1), both).await;
        assert_eq!(w.now(), secs(5));
    });
    assert_eq!((w.log.take().as_str(), w.now(), w.root.lost()), ("c+", secs(11), 1));
}

#[test]
fn a_foreign_drop_loses_a_borrowing_cleanup_loudly() {
    let w = World::new();
    w.run(async {
        let mut hang = Box::pin(finally_borrowed(sleep(secs(90)), slow(&w.log, "c", secs(1))));
        assert!(poll_once(hang.as_mut()).await.is_none());
        drop(hang);
        assert_eq!(w.root.lost(), 1);
        let mut shielded = Box::pin(shield(sleep(secs(90))));
        assert!(poll_once(shielded.as_mut()).await.is_none());
        drop(shielded);
        assert_eq!(w.root.lost(), 2);
        // Never polled: nothing to clean up.
        drop(finally(sleep(secs(1)), slow(&w.log, "c", secs(1))));
        drop(finally_borrowed(sleep(secs(1)), slow(&w.log, "c", secs(1))));
    });
    assert_eq!((w.log.take().as_str(), w.root.lost()), ("", 2));
}

#[test]
fn a_dropped_root_still_cleans_up() {
    let w = World::new();
    let (root, scope) = (w.root.clone(), w.scope.clone());
    let hang = finally(sleep(secs(90)), slow(&w.log, "c", secs(1)));
    let mut main = Box::pin(root.run(&scope, hang));
    w.time.block_on(async {
        assert!(poll_once(main.as_mut()).await.is_none());
        drop(main);
        root.idle().await;
    });
    assert_eq!(w.log.take(), "c+ c-");
}

#[test]
fn through_a_foreign_combinator_that_polls_only_what_was_woken() {
    let w = World::new();
    let log = w.log.clone();
    w.run(async {
        let all = foreign_join((0..3).map(|n| finally(sleep(secs(90)), slow(&log, "c", secs(n)))));
        assert!(move_on_after(secs(1), all).await.is_none());
    });
    assert_eq!((w.log.take().matches("c-").count(), w.now()), (3, secs(3)));
}

/// Whatever is around it, and dropped with it, it still finds the actor.
#[test]
fn a_foreign_drop_reaches_cleanups_at_any_depth() {
    type Wrapped<'a> = std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;
    type Wrap = for<'a> fn(Wrapped<'a>) -> Wrapped<'a>;
    let wraps: [(&str, Wrap); 6] = [
        ("nursery", |inner| {
            Box::pin(async {
                open_nursery(async |tn| {
                    tn.start_soon(inner);
                    pending().await
                })
                .await
            })
        }),
        ("body of a nursery", |inner| Box::pin(open_nursery(async |_tn| inner.await))),
        ("shield", |inner| Box::pin(shield(inner))),
        ("cleanup", |inner| Box::pin(finally_borrowed(async { Ok(()) }, inner))),
        ("body", |inner| Box::pin(finally_borrowed(inner, async {}))),
        ("scope", |inner| {
            Box::pin(async { CancelScope::new().run(inner).await.unwrap_or(Ok(())) })
        }),
    ];
    for (name, wrap) in wraps {
        for depth in 1..3 {
            let w = World::new();
            let mut hang: Wrapped<'_> =
                Box::pin(finally(sleep(secs(90)), slow(&w.log, "c", secs(1))));
            for _ in 0..depth {
                hang = wrap(hang);
            }
            w.run(async {
                assert!(poll_once(hang.as_mut()).await.is_none());
                drop(hang);
            });
            assert_eq!(w.log.take(), "c+ c-", "{name}, {depth} deep");
        }
    }
}
