//! Children of a nursery that run on the executor.

use futures_lite::future::{or, poll_once};

use super::*;
use crate::scope::current::current_root;

fn ready() -> impl Future<Output = Result<()>> {
    std::future::ready(Ok(()))
}

#[test]
fn the_nursery_waits_for_a_parallel_child() {
    let w = World::new();
    let log = w.log.clone();
    let out = w.run(open_nursery(async |tn| {
        tn.start_soon_parallel(slow(&log, "p", secs(3)));
        tn.start_soon_parallel(slow(&log, "q", secs(2)));
        log.add("body");
        Ok(7)
    }));
    assert!(matches!(out, Some(Ok(7))));
    assert_eq!((w.log.take().as_str(), w.now()), ("body p+ q+ q- p-", secs(3)));
}

#[test]
fn timers_scopes_and_the_root_are_there_in_it() {
    let w = World::new();
    let (log, root) = (w.log.clone(), w.root.clone());
    let out = w.run(open_nursery(async |tn| {
        tn.start_soon_parallel(async move {
            assert!(Arc::ptr_eq(&current_root().unwrap(), &root));
            assert!(move_on_after(secs(1), pending::<()>()).await.is_none());
            open_nursery(async |tn| {
                tn.start_soon_parallel(slow(&log, "inner", secs(1)));
                checkpoint().await
            })
            .await
        });
        Ok(())
    }));
    assert!(matches!(out, Some(Ok(()))));
    assert_eq!((w.log.take().as_str(), w.now()), ("inner+ inner-", secs(2)));
}

#[test]
fn its_error_and_its_panic_cancel_the_siblings() {
    let w = World::new();
    let log = w.log.clone();
    let out = w.run(open_nursery(async |tn| {
        let guard = log.on_drop("sibling");
        tn.start_soon(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        tn.start_soon_parallel(async {
            sleep(secs(1)).await?;
            Err::<(), _>(Error::TooSlow)
        });
        pending::<Result<()>>().await
    }));
    assert!(matches!(out, Some(Err(Error::TooSlow))));
    assert_eq!((w.log.take().as_str(), w.now()), ("sibling", secs(1)));
    let out = w.run(open_nursery(async |tn| {
        tn.start_soon_parallel(async { quiet_panic("elsewhere") });
        pending::<Result<()>>().await
    }));
    let Some(Err(Error::Panic(report))) = out else { panic!("{out:?}") };
    assert_eq!(report.message, "elsewhere");
}

#[test]
fn cancelled_it_cleans_up_and_the_nursery_waits() {
    let w = World::new();
    let log = w.log.clone();
    let out = w.run(move_on_after(secs(1), async {
        let theirs = log.clone();
        let result = open_nursery(async |tn| {
            tn.start_soon_parallel(async move {
                let clean = finally(sleep(secs(90)), slow(&theirs, "c", secs(2)));
                clean.await?;
                theirs.add("never");
                Ok(())
            });
            Ok(())
        });
        log.add(format!("{:?}", result.await));
    }));
    assert!(matches!(out, Some(None)), "{out:?}");
    assert_eq!((w.log.take().as_str(), w.now()), ("c+ c-", secs(3)));
    assert_eq!((w.root.lost(), w.root.reaping()), (0, 0));
}

#[test]
fn an_error_of_its_cleanup_is_not_masked() {
    let w = World::new();
    let out = w.run(move_on_after(
        secs(1),
        open_nursery(async |tn| {
            let fails = async { Err::<(), _>(Error::TooSlow) };
            tn.start_soon_parallel(finally(sleep(secs(90)), fails));
            Ok(())
        }),
    ));
    assert!(matches!(out, Some(Some(Err(Error::TooSlow)))));
}

#[test]
fn behind_a_shield_it_is_not_cancelled() {
    let w = World::new();
    let log = w.log.clone();
    let out = w.run(move_on_after(secs(1), async {
        shield(open_nursery(async |tn| {
            tn.start_soon_parallel(slow(&log, "p", secs(3)));
            Ok(())
        }))
        .await
        .unwrap();
        checkpoint().await
    }));
    assert!(matches!(out, Some(None)), "{out:?}");
    assert_eq!((w.log.take().as_str(), w.now()), ("p+ p-", secs(3)));
}

#[test]
fn a_foreign_drop_cancels_it_and_the_actor_waits() {
    let w = World::new();
    let log = w.log.clone();
    w.run(async {
        let hang = open_nursery(async |tn| {
            tn.start_soon_parallel(finally(sleep(secs(90)), slow(&log, "c", secs(2))));
            pending::<Result<()>>().await
        });
        let limit = async {
            sleep(secs(1)).await?;
            ready().await
        };
        or(hang, limit).await.unwrap();
        log.add("left");
    });
    assert_eq!((w.log.take().as_str(), w.now()), ("left c+ c-", secs(3)));
    assert_eq!((w.root.lost(), w.root.reaping()), (0, 0));
}

#[test]
fn one_that_hangs_in_its_cleanup_ends_with_the_budget() {
    let w = World::new();
    let log = w.log.clone();
    let hang = || finally(sleep(secs(90)), slow(&log, "c", secs(80)));
    let out = w.run(move_on_after(
        secs(1),
        open_nursery(async |tn| {
            tn.start_soon_parallel(hang());
            Ok(())
        }),
    ));
    assert!(matches!(out, Some(None)));
    assert_eq!((w.log.take().as_str(), w.now()), ("c+", secs(11)));
    assert!(w.root.lost() > 0);
    // Dropped from outside: the same, from then on.
    w.run(async {
        let mut nursery = Box::pin(open_nursery(async |tn| {
            tn.start_soon_parallel(hang());
            pending::<Result<()>>().await
        }));
        assert!(poll_once(nursery.as_mut()).await.is_none());
    });
    assert_eq!(w.now(), secs(21));
}

#[test]
fn started_while_cancelled_it_runs_to_its_first_suspension() {
    let w = World::new();
    let log = w.log.clone();
    let out = w.run(open_nursery(async |tn| {
        tn.cancel();
        let log = log.clone();
        tn.start_soon_parallel(async move {
            log.add(format!("begun, {:?}", check()));
            checkpoint().await?;
            log.add("never");
            Ok(())
        });
        Ok(())
    }));
    assert!(matches!(out, Some(Ok(()))));
    assert_eq!(w.log.take(), "begun, Err(cancelled)");
}

#[test]
fn without_an_executor_it_is_an_error() {
    let out: Result<()> = futures_lite::future::block_on(open_nursery(async |tn| {
        tn.start_soon_parallel(async {});
        pending().await
    }));
    assert!(matches!(out, Err(Error::NoCurrentActor)));
}
