//! `start_soon_parallel`: children of a task nursery that run on the executor.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tractor::scope::{self, finally, sleep};
use tractor::{Context, Error, Result, current_actor, current_ctx, module, open_nursery};

use crate::{FOREVER, remote_type};

#[tractor::rpc]
async fn own_name() -> Result<String> {
    Ok(current_actor()?.name().to_owned())
}

/// What a parallel child of this task is: the same actor, the same context, with processes of its
/// own.
#[tractor::context]
async fn look_around(ctx: Context<(String, String), (), ()>) -> Result<()> {
    let (seen, raw) = (Arc::new(Mutex::new(None)), ctx.raw().clone());
    let theirs = seen.clone();
    scope::open_nursery(async |tn| {
        tn.start_soon_parallel(async move {
            assert!(current_ctx()?.is_same(&raw));
            let below = open_nursery(async |an| {
                let child = an.start_actor("below").enable(module!()).await?;
                let name = child.run(own_name {}).await?;
                child.cancel_actor().await?;
                Ok(name)
            });
            let names = (own_name().await?, below.await?);
            *theirs.lock().unwrap() = Some(names);
            Ok(())
        });
        Ok(())
    })
    .await?;
    let names = seen.lock().unwrap().take();
    ctx.started(names.expect("the nursery has waited for it")).await
}

#[tractor::test(matrix)]
async fn parallel_children_run_as_the_same_actor_and_context() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        child
            .open_context(look_around {}, async |_, (own, below)| {
                assert_eq!((own.as_str(), below.as_str()), ("child", "below"));
                Ok(())
            })
            .await?;
        child.cancel_actor().await
    })
    .await
}

static LIVING: AtomicUsize = AtomicUsize::new(0);

#[tractor::rpc]
async fn living() -> usize {
    LIVING.load(SeqCst)
}

/// Three children that live until they are cancelled, and a fourth one that may fail.
#[tractor::context]
async fn keep_children(ctx: Context<(), (), ()>, fails: bool) -> Result<()> {
    scope::open_nursery(async |tn| {
        for _ in 0..3 {
            LIVING.fetch_add(1, SeqCst);
            let gone = async {
                scope::checkpoint().await?;
                LIVING.fetch_sub(1, SeqCst);
                Ok(())
            };
            tn.start_soon_parallel(finally(sleep(FOREVER), gone));
        }
        ctx.started(()).await?;
        tn.start_soon_parallel(async move {
            match fails {
                true => Err(std::io::Error::other("in parallel").into()),
                false => sleep(FOREVER).await,
            }
        });
        sleep(FOREVER).await
    })
    .await
}

/// From another process: a cancel, and an error of one of them, end them all before the context has
/// its outcome.
#[tractor::test(matrix)]
async fn parallel_children_end_before_their_context() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let cancelled =
            child.open_context(keep_children { fails: false }, async |ctx, ()| ctx.cancel().await);
        cancelled.await?;
        assert_eq!(child.run(living {}).await?, 0);

        let failed: Result<()> = child
            .open_context(keep_children { fails: true }, async |_, ()| sleep(FOREVER).await)
            .await;
        let error = failed.unwrap_err();
        assert!(matches!(error, Error::Remote(_)), "bare: {error:?}");
        assert_eq!(remote_type(&error), "OSError");
        assert_eq!(child.run(living {}).await?, 0);
        child.cancel_actor().await
    })
    .await
}
