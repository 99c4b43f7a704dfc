//! The handshake of `Nursery::start`.

use std::future::pending;

use tractor::scope::{CancelScope, Status, finally, open_nursery, shield};

use super::*;

#[test]
fn returns_what_the_child_says_and_the_child_goes_on() {
    let log = Log::default();
    let out = block_on(open_nursery(async |tn| {
        let child = async |status: Status<u16>| {
            yields(2).await;
            status.started(80);
            yields(2).await;
            log.add("child ended");
        };
        let port = tn.start(child).await?;
        log.add("started");
        Ok(port)
    }));
    assert_eq!(out.unwrap(), 80);
    assert_eq!(log.take(), "started child ended");
}

#[test]
fn an_error_before_started_is_the_starters_only() {
    let out = block_on(open_nursery(async |tn| {
        let refused = tn.start(async |_status: Status<()>| Err(oops())).await;
        let panicked = tn.start(async |_status: Status<()>| quiet_panic("child")).await;
        assert!(refused.is_err() && matches!(panicked, Err(Error::Panic { .. })));
        yields(1).await;
        Ok(7)
    }));
    assert_eq!(out.unwrap(), 7);
}

#[test]
fn an_error_after_started_is_the_nurserys() {
    let out: Result<()> = block_on(open_nursery(async |tn| {
        let child = async |status: Status<()>| {
            status.started(());
            yields(1).await;
            Err(oops())
        };
        tn.start(child).await?;
        pending().await
    }));
    assert!(!matches!(out, Err(Error::Cancelled)) && out.is_err());
}

#[test]
fn ending_without_started_is_an_error_of_the_starter() {
    let out = block_on(open_nursery(async |tn| {
        assert!(tn.start(async |_status: Status<()>| {}).await.is_err());
        Ok(7)
    }));
    assert_eq!(out.unwrap(), 7);
}

#[test]
fn dropping_the_starter_cancels_the_child() {
    let log = Log::default();
    let out = block_on(open_nursery(async |tn| {
        let child = |_status: Status<()>| {
            let (guard, log) = (log.on_drop("body"), log.clone());
            let body = async move {
                let _guard = guard;
                pending::<Result<()>>().await
            };
            finally(body, async move { log.add("cleanup") })
        };
        let scope = CancelScope::new();
        let starting = scope.run(tn.start(child));
        let cancel = async {
            yields(2).await;
            scope.cancel();
        };
        assert!(futures_lite::future::zip(starting, cancel).await.0.is_none());
        yields(2).await;
        log.add("others live");
        Ok(())
    }));
    out.unwrap();
    assert_eq!(log.take(), "body cleanup others live");
}

#[test]
fn cancelling_the_nursery_ends_the_wait() {
    let out: Result<()> = block_on(open_nursery(async |tn| {
        let canceller = tn.clone();
        tn.start_soon(async move {
            yields(1).await;
            canceller.cancel();
        });
        tn.start(async |_status: Status<()>| pending::<Result<()>>().await).await
    }));
    assert!(matches!(out, Err(Error::Cancelled)));
}

#[test]
fn a_child_that_is_cancelled_before_started_is_cancelled_and_no_bug() {
    let out: Result<()> = block_on(open_nursery(async |tn| {
        // Neither the child nor its starter is cut: both see the cancellation only afterwards.
        tn.start_soon_with(async |tn| {
            let child = async |_status: Status<()>| shield(yields(4)).await;
            let started = shield(tn.start(child)).await;
            assert!(matches!(started, Err(Error::Cancelled)), "{started:?}");
            Ok(())
        });
        yields(2).await;
        Err(Error::TooSlow)
    }));
    assert!(matches!(out, Err(Error::TooSlow)), "and nothing else: {out:?}");
}

#[test]
fn an_error_that_a_cut_starter_did_not_read_is_the_nurserys() {
    let out: Result<()> = block_on(open_nursery(async |tn| {
        // The child takes this one's place, and so is polled before its starter, which is cut.
        tn.start_soon(yields(1));
        tn.start_soon_with(async |tn| {
            yields(2).await;
            let child =
                |_status: Status<()>| finally(pending::<Result<()>>(), async { Err(oops()) });
            tn.start(child).await
        });
        yields(4).await;
        tn.cancel();
        Ok(())
    }));
    assert!(matches!(out, Err(Error::Io(_))), "{out:?}");
}
