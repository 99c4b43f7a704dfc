//! `CancelScope`, `shield`, `finally` without an actor.

use std::future::{pending, ready};
use std::thread;

use tractor::scope::{CancelScope, checkpoint, finally, finally_borrowed, open_nursery, shield};

use super::*;

#[test]
fn cancelled_from_a_thread() {
    for _ in 0..200 {
        let scope = CancelScope::new();
        let theirs = scope.clone();
        let thread = thread::spawn(move || theirs.cancel());
        assert_eq!(block_on(scope.run(pending::<()>())), None);
        thread.join().unwrap();
        assert!(scope.cancel_called() && scope.cancelled_caught());
    }
}

#[test]
fn a_value_is_not_thrown_away() {
    let scope = CancelScope::new();
    scope.cancel();
    assert_eq!(block_on(scope.run(ready(1))), Some(1));
    assert!(scope.cancel_called() && !scope.cancelled_caught());
}

#[test]
fn entered_while_cancelled_runs_to_the_first_suspension() {
    let (scope, log) = (CancelScope::new(), Log::default());
    scope.cancel();
    let out = block_on(scope.run(async {
        let _guard = log.on_drop("dropped");
        log.add("begun");
        yields(1).await;
        log.add("never");
    }));
    assert_eq!((out, log.take().as_str()), (None, "begun dropped"));
}

#[test]
fn inner_frames_go_first() {
    let (scope, log) = (CancelScope::new(), Log::default());
    let body = async {
        let _outer = log.on_drop("outer");
        CancelScope::new()
            .run(async {
                let _inner = log.on_drop("inner");
                scope.cancel();
                pending::<()>().await;
            })
            .await
    };
    assert!(block_on(scope.run(body)).is_none());
    assert_eq!(log.take(), "inner outer");
}

#[test]
fn cleanups_work_without_an_actor() {
    let (scope, log) = (CancelScope::new(), Log::default());
    let theirs = log.clone();
    let body = async {
        let inner = finally(pending::<Result<()>>(), async move {
            yields(2).await;
            theirs.add("owned");
        });
        let borrowing = async {
            shield(yields(2)).await;
            log.add("borrowed");
        };
        let outer = finally_borrowed(inner, borrowing);
        let cancel = async {
            yields(1).await;
            scope.cancel();
            pending::<()>().await;
        };
        let result = futures_lite::future::zip(outer, cancel).await;
        log.add(format!("never: {result:?}"));
    };
    assert!(block_on(scope.run(body)).is_none());
    assert_eq!(log.take(), "owned borrowed");
}

#[test]
fn a_shielded_scope_does_not_see_its_encloser() {
    let (outer, log) = (CancelScope::new(), Log::default());
    let body = async {
        outer.cancel();
        CancelScope::new()
            .shield()
            .run(async {
                log.add(format!("{:?}", checkpoint().await));
            })
            .await;
        checkpoint().await
    };
    assert!(block_on(outer.run(body)).is_none());
    assert_eq!(log.take(), "Ok(())");
}

#[test]
fn a_nest_of_scopes_does_not_double_per_level() {
    let one = CancelScope::new().run(async {
        let big = [1_u8; 1000];
        yields(1).await;
        assert_eq!(big[7], 1);
    });
    let size = size_of_val(&one);
    assert!(size < 1000);
    assert_eq!(size_of_val(&CancelScope::new().run(CancelScope::new().run(one))), size);
}

#[test]
fn nothing_is_cancelled_outside() {
    let out = block_on(async {
        checkpoint().await?;
        open_nursery(async |_tn| checkpoint().await).await
    });
    assert!(out.is_ok());
}
