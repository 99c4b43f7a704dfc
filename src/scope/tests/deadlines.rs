//! Deadlines: read, moved, from inside and from other threads.

use std::time::Instant;

use super::nurseries::later;
use super::*;

#[test]
fn a_running_deadline_is_moved_away() {
    let w = World::new();
    let scope = CancelScope::new().timeout(secs(2));
    let out = w.run(async {
        scope
            .run(async {
                sleep(secs(1)).await?;
                scope.set_timeout(secs(5)); // From now on.
                sleep(secs(4)).await
            })
            .await
    });
    assert!(matches!(out, Some(Some(Ok(())))));
    assert_eq!((w.now(), scope.cancel_called()), (secs(5), false));
}

#[test]
fn a_running_deadline_is_moved_nearer_from_outside() {
    let w = World::new();
    let scope = CancelScope::new().timeout(secs(90));
    let theirs = scope.clone();
    later(&w, 1, move || theirs.set_timeout(secs(2)));
    let out = w.run(scope.run(pending::<()>()));
    assert_eq!((out, w.now()), (Some(None), secs(3)));
    assert!(scope.cancelled_caught());
}

#[test]
fn a_deadline_is_set_where_there_was_none_and_taken_away() {
    let w = World::new();
    let scope = CancelScope::new();
    let (sets, takes) = (scope.clone(), scope.clone());
    later(&w, 1, move || sets.set_timeout(secs(3)));
    later(&w, 2, move || takes.set_timeout(None));
    let out = w.run(scope.run(sleep(secs(9))));
    assert!(matches!(out, Some(Some(Ok(())))), "{out:?}");
    let again = scope.clone();
    later(&w, 10, move || again.set_timeout(Duration::ZERO));
    assert!(matches!(w.run(scope.run(pending::<()>())), Some(None)));
    assert_eq!(w.now(), secs(10));
}

#[test]
fn what_is_cancelled_stays_cancelled() {
    let w = World::new();
    let scope = CancelScope::new().timeout(secs(1));
    let inner = scope.clone();
    let out = w.run(scope.run(async {
        shield(sleep(secs(3))).await.unwrap();
        inner.set_timeout(secs(50));
        assert_eq!(inner.time_left(), Some(Duration::ZERO));
        pending::<()>().await
    }));
    assert_eq!((out, w.now()), (Some(None), secs(3)));
}

#[test]
fn the_time_that_is_left_can_be_read() {
    let w = World::new();
    let scope = CancelScope::new().timeout(secs(9)).timeout(secs(4));
    assert_eq!(scope.time_left(), Some(secs(4)), "from its start on");
    let inner = scope.clone();
    w.run(scope.run(async {
        assert_eq!(inner.time_left(), Some(secs(4)));
        sleep(secs(1)).await.unwrap();
        assert_eq!((inner.time_left(), time_left()), (Some(secs(3)), Some(secs(3))));
        move_on_after(secs(9), async { assert_eq!(time_left(), Some(secs(3))) }).await;
        move_on_after(secs(2), async { assert_eq!(time_left(), Some(secs(2))) }).await;
        shield(async { assert_eq!(time_left(), None) }).await;
        let shielded = CancelScope::new().shield().timeout(secs(7));
        shielded.run(async { assert_eq!(time_left(), Some(secs(7))) }).await;
        inner.cancel();
        assert_eq!(time_left(), Some(Duration::ZERO));
    }));
    assert_eq!((time_left(), CancelScope::new().time_left()), (None, None));
}

#[test]
fn a_deadline_of_the_clock_counts_from_the_clock() {
    let w = World::new();
    let at = Instant::now() + secs(3600);
    let scope = CancelScope::new().deadline(at);
    let left = scope.time_left().unwrap();
    assert!(left > secs(3590) && left <= secs(3600), "{left:?}");
    scope.set_deadline(Instant::now());
    assert_eq!(w.run(scope.run(pending::<()>())), Some(None));
    let past = CancelScope::new().deadline(Instant::now());
    assert_eq!(w.run(past.run(pending::<()>())), Some(None));
    assert_eq!(w.now(), Duration::ZERO);
}
