//! Futures that change their poller, their waker or their encloser.

use std::pin::Pin;

use futures_lite::future::{poll_once, zip};

use super::*;

#[test]
fn a_moved_future_follows_its_poller() {
    let w = World::new();
    let log = w.log.clone();
    w.run(async {
        let mut fut = Box::pin(finally(
            async {
                sleep(secs(3)).await?;
                Ok(5)
            },
            slow(&w.log, "c", secs(1)),
        ));
        // It holds, so this timeout has to wait for the cleanup; a bare suspension would be left.
        let first = move_on_after(secs(1), shield(fut.as_mut())).await;
        log.add(format!("{first:?}"));
    });
    assert_eq!(w.log.take(), "c+ c- Some(Ok(5))");

    let scope = CancelScope::new();
    w.run(async {
        let mut inner = Box::pin(scope.run(pending::<()>()));
        assert!(move_on_after(secs(1), inner.as_mut()).await.is_none());
        // Alive, and now a child of the second timeout: not cancelled by the first one.
        assert!(move_on_after(secs(1), inner.as_mut()).await.is_none());
        scope.cancel();
        assert!(inner.await.is_none());
    });
    assert!(scope.cancelled_caught());
}

#[test]
fn a_hold_dropped_elsewhere_wakes_the_waiting_scope() {
    let w = World::new();
    let parked = Arc::new(Mutex::new(None));
    w.run(async {
        let taken = parked.clone();
        let leave = async {
            let mut fut = Box::pin(shield(pending::<()>()));
            assert!(poll_once(fut.as_mut()).await.is_none());
            *taken.lock().unwrap() = Some(fut);
            pending::<()>().await;
        };
        let (time, theirs) = (w.time.clone(), parked.clone());
        use tractor_executors::Executor as _;
        let mut timer = time.timer();
        timer.set(Some(secs(3)));
        time.spawn(Box::pin(async move {
            std::future::poll_fn(|cx| timer.poll_expired(cx)).await;
            theirs.lock().unwrap().take();
        }));
        assert!(move_on_after(secs(1), leave).await.is_none());
    });
    assert_eq!((w.now(), w.root.lost()), (secs(3), 1));
}

#[test]
fn a_moved_waker_is_followed() {
    let w = World::new();
    let scope = CancelScope::new();
    w.run(async {
        let mut waiting = Box::pin(scope.run(pending::<()>()));
        // First polled under one waker, then under another one; the cancel must reach the second.
        assert!(foreign_join([poll_once(waiting.as_mut())]).await[0].is_none());
        let cancel = async {
            sleep(secs(1)).await.unwrap();
            scope.cancel();
            None
        };
        let both: [Pin<Box<dyn Future<Output = Option<()>> + Send>>; 2] =
            [waiting, Box::pin(cancel)];
        foreign_join(both).await;
    });
    assert_eq!(w.now(), secs(1));
}

#[test]
fn a_moved_hold_holds_its_new_encloser() {
    let w = World::new();
    w.run(async {
        let mut fut = Box::pin(finally(sleep(secs(90)), slow(&w.log, "c", secs(2))));
        // Attached to a scope that ends; then to the timeout, which must wait for it.
        assert!(matches!(CancelScope::new().run(poll_once(fut.as_mut())).await, Some(None)));
        assert!(move_on_after(secs(1), fut.as_mut()).await.is_none());
        assert_eq!((w.log.take().as_str(), w.now()), ("c+ c-", secs(3)));
        // It had parked there. Out here nobody will drop it.
        assert!(matches!(fut.await, Err(Error::Cancelled)));
    });
}

#[test]
fn a_moved_hold_lets_go_of_its_old_encloser() {
    let w = World::new();
    w.run(async {
        let moving = Mutex::new(None);
        let old = async {
            let mut fut = Box::pin(finally(sleep(secs(90)), slow(&w.log, "c", secs(2))));
            assert!(poll_once(fut.as_mut()).await.is_none());
            *moving.lock().unwrap() = Some(fut);
            pending::<()>().await;
        };
        let old = async {
            assert!(move_on_after(secs(1), old).await.is_none());
            w.log.add(format!("old left at {:?}", w.now()));
        };
        let new = async {
            futures_lite::future::yield_now().await;
            let fut = moving.lock().unwrap().take().unwrap();
            assert!(move_on_after(secs(5), fut).await.is_none());
        };
        zip(old, new).await;
    });
    assert_eq!((w.log.take().as_str(), w.now()), ("old left at 1s c+ c-", secs(7)));
}
