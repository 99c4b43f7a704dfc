//! `guarded`, the primitive of process nurseries and contexts.

use futures_lite::future::poll_once;

use super::*;

fn how<T>(ended: &Ended<T>) -> &'static str {
    match ended {
        Ended::Value(_) => "value",
        Ended::Panicked(_) => "panic",
        Ended::Cancelled { by_own_scope: true } => "own",
        Ended::Cancelled { by_own_scope: false } => "encloser",
    }
}

/// Guards `body` with a cleanup of `time`, which returns how the body ended.
fn guard<B: Future>(
    log: &Log,
    name: &'static str,
    scope: &CancelScope,
    time: Duration,
    body: B,
) -> impl Future<Output = &'static str> + use<B> {
    let log = log.clone();
    guarded(
        scope,
        body,
        move |ended| async move {
            log.add(format!("{name}:{}", how(&ended)));
            slow(&log, name, time).await;
            how(&ended)
        },
        |_| false,
    )
}

#[test]
fn by_value_and_by_panic() {
    let w = World::new();
    let scope = CancelScope::new();
    assert_eq!(w.run(guard(&w.log, "g", &scope, secs(2), async { 1 })), Some("value"));
    let panics = guard(&w.log, "g", &scope, secs(2), async { quiet_panic("body") });
    assert_eq!(w.run(panics), Some("panic"));
    assert_eq!(w.log.take(), "g:value g+ g- g:panic g+ g-");
    assert!(!scope.cancelled_caught());
}

#[test]
fn by_its_own_scope() {
    let w = World::new();
    let scope = CancelScope::new().timeout(secs(1));
    let out = w.run(async {
        let out = guard(&w.log, "g", &scope, secs(2), pending::<()>()).await;
        sleep(secs(1)).await.unwrap();
        out
    });
    assert_eq!((out, w.now()), (Some("own"), secs(4)));
    assert!(scope.cancelled_caught());
}

#[test]
fn by_an_encloser_while_the_body_runs() {
    let w = World::new();
    let (scope, log) = (CancelScope::new(), w.log.clone());
    let out = w.run(move_on_after(secs(1), async {
        let body = async {
            let _guard = log.on_drop("body");
            pending::<()>().await;
        };
        guard(&log, "g", &scope, secs(2), body).await;
        log.add("never");
    }));
    assert_eq!((out, w.now()), (Some(None), secs(3)));
    assert_eq!(w.log.take(), "body g:encloser g+ g-");
    assert!(!scope.cancelled_caught());
}

#[test]
fn an_encloser_is_cancelled_while_the_cleanup_runs() {
    let w = World::new();
    let (scope, log) = (CancelScope::new(), w.log.clone());
    let out = w.run(move_on_after(secs(1), async {
        let out = guard(&log, "g", &scope, secs(2), async {}).await;
        log.add(format!("{out}, then refused: {}", check().is_err()));
        sleep(secs(9)).await.unwrap();
        log.add("never");
    }));
    assert_eq!((out, w.now()), (Some(None), secs(2)));
    assert_eq!(w.log.take(), "g:value g+ g- value, then refused: true");
}

#[test]
fn a_cleanup_is_polled_when_an_encloser_is_cancelled() {
    let w = World::new();
    let log = w.log.clone();
    let out = w.run(move_on_after(secs(1), async {
        let cleanup = async |_| {
            let waiting =
                poll_fn(|_| if enclosing_cancelled() { Poll::Ready(()) } else { Poll::Pending });
            // Behind combinators that poll only what was woken, and one more scope.
            open_nursery(async |tn| {
                tn.start_soon(CancelScope::new().run(waiting).then_unit());
                Ok(())
            })
            .await
            .unwrap();
            check().unwrap();
            log.add("seen");
        };
        let (scope, body) = (CancelScope::new(), async {});
        guarded(&scope, body, cleanup, |()| false).await;
        log.add("after");
        pending::<()>().await;
    }));
    assert_eq!((out, w.now()), (Some(None), secs(1)));
    assert_eq!(w.log.take(), "seen after");
}

trait ThenUnit: Future + Sized {
    async fn then_unit(self) {
        self.await;
    }
}
impl<F: Future> ThenUnit for F {}

#[test]
fn nested_guards_clean_up_inner_first() {
    let w = World::new();
    let (a, b, c) = (CancelScope::new(), CancelScope::new(), CancelScope::new());
    let inner = guard(&w.log, "c", &c, secs(1), pending::<()>());
    let middle = guard(&w.log, "b", &b, secs(1), inner);
    let outer = guard(&w.log, "a", &a, secs(1), middle);
    let out = w.run(move_on_after(secs(1), outer));
    assert_eq!((out, w.now()), (Some(None), secs(4)));
    assert_eq!(w.log.take(), "c:encloser c+ c- b:encloser b+ b- a:encloser a+ a-");
}

#[test]
fn the_middle_guard_is_cancelled() {
    let w = World::new();
    let (a, b, c) = (CancelScope::new(), CancelScope::new().timeout(secs(1)), CancelScope::new());
    let inner = guard(&w.log, "c", &c, secs(1), pending::<()>());
    let middle = guard(&w.log, "b", &b, secs(1), inner);
    let outer = guard(&w.log, "a", &a, secs(1), middle);
    assert_eq!(w.run(outer), Some("value"));
    assert_eq!(w.log.take(), "c:encloser c+ c- b:own b+ b- a:value a+ a-");
}

#[test]
fn entered_while_cancelled() {
    let w = World::new();
    let log = w.log.clone();
    let out = w.run(async {
        let outer = CancelScope::new();
        outer.cancel();
        let scope = CancelScope::new();
        let body = async {
            log.add("begun");
            checkpoint().await.unwrap();
            log.add("never");
        };
        outer.run(guard(&log, "g", &scope, secs(1), body)).await
    });
    assert_eq!(out, Some(None));
    assert_eq!(w.log.take(), "begun g:encloser g+ g-");
}

#[test]
fn a_cleanup_longer_than_the_budget_is_dropped_and_counted() {
    let w = World::new();
    let scope = CancelScope::new();
    let out = w.run(move_on_after(secs(1), guard(&w.log, "g", &scope, secs(99), pending::<()>())));
    assert_eq!((out, w.now(), w.root.lost()), (Some(None), secs(11), 1));
    assert_eq!(w.log.take(), "g:encloser g+");
}

#[test]
fn without_a_cancelled_encloser_a_cleanup_has_no_limit() {
    let w = World::new();
    let scope = CancelScope::new().timeout(secs(1));
    let out = w.run(guard(&w.log, "g", &scope, secs(99), pending::<()>()));
    assert_eq!((out, w.now(), w.root.lost()), (Some("own"), secs(100), 0));
}

#[test]
fn a_guard_waits_for_the_holds_in_its_body() {
    let w = World::new();
    let scope = CancelScope::new();
    let body = shield(slow(&w.log, "s", secs(3)));
    let out = w.run(move_on_after(secs(1), guard(&w.log, "g", &scope, secs(1), body)));
    // The body ended by itself under the shield: a value, which is not thrown away.
    assert_eq!((out, w.now()), (Some(Some("value")), secs(4)));
    assert_eq!(w.log.take(), "s+ s- g:value g+ g-");
}

#[test]
fn a_foreign_drop_takes_body_and_cleanup_along() {
    let w = World::new();
    w.run(async {
        let scope = CancelScope::new();
        let body = async {
            let _guard = w.log.on_drop("body");
            pending::<()>().await;
        };
        let mut fut = Box::pin(guard(&w.log, "g", &scope, secs(1), body));
        assert!(poll_once(fut.as_mut()).await.is_none());
        drop(fut);
        // The hold went with it: this scope can be cancelled at once.
        assert!(move_on_after(secs(1), pending::<()>()).await.is_none());
    });
    assert_eq!((w.log.take().as_str(), w.root.lost(), w.now()), ("body", 0, secs(1)));
}

#[test]
fn a_guard_in_a_nursery_child() {
    let w = World::new();
    let out = w.run(open_nursery(async |tn| {
        let scope = CancelScope::new();
        let guard = guard(&w.log, "g", &scope, secs(2), pending::<()>());
        tn.start_soon(async move {
            guard.await;
        });
        sleep(secs(1)).await?;
        Err::<(), _>(Error::TooSlow)
    }));
    assert!(matches!(out, Some(Err(Error::TooSlow))));
    assert_eq!((w.log.take().as_str(), w.now()), ("g:encloser g+ g-", secs(3)));
}

#[test]
fn a_cleanup_does_not_inherit_the_end_of_its_bodys_teardown() {
    let w = World::new();
    let scope = CancelScope::new().timeout(secs(1));
    let log = w.log.clone();
    w.run(guarded(
        &scope,
        shield(sleep(secs(3))),
        async |_| {
            sleep(secs(20)).await.unwrap();
            let mut hang = Box::pin(finally(sleep(secs(90)), slow(&log, "c", secs(1))));
            assert!(poll_once(hang.as_mut()).await.is_none());
        },
        |()| false,
    ));
    assert_eq!((w.log.take().as_str(), w.now(), w.root.lost()), ("c+ c-", secs(24), 0));
}

#[test]
fn an_error_of_the_cleanup_is_not_masked() {
    let w = World::new();
    let scope = CancelScope::new();
    let outer = CancelScope::new();
    let body = guarded(&scope, pending::<()>(), async |_| Err::<(), _>("news"), Result::is_err);
    let canceller = outer.clone();
    let value = w.run(outer.run(async {
        canceller.cancel();
        body.await
    }));
    assert_eq!(value, Some(Some(Err("news"))));
}
