//! OOB: cancelled out of band, by another task than the one whose block it is.

use tractor::context::ContextState;
use tractor::scope::{self, sleep};
use tractor::{Absorb as _, Context, Error, ParentContext, Result, module, open_nursery};

use crate::{FOREVER, marks};

#[tractor::context]
async fn sleep_forever(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    sleep(FOREVER).await
}

/// A task in the background has opened the context and sleeps in its block; the main task ends the
/// far one, by the context or by its whole actor.
async fn cancelled_from_main(cancel_ctx: bool) -> Result<()> {
    let opened_mark = &marks::unique("opened");
    open_nursery(async |an| {
        let child = an.start_actor("sleeper").enable(module!()).await?;
        let opened = std::sync::Mutex::new(None::<ParentContext<sleep_forever>>);
        scope::open_nursery(async |tn| {
            let block = child.open_context(sleep_forever {}, async |ctx, ()| {
                *opened.lock().unwrap() = Some(ctx);
                marks::set(opened_mark);
                sleep(FOREVER).await
            });
            let background = async {
                match (block.await, cancel_ctx) {
                    // Ended by somebody else's cancel of it: absorbed, though it has no value.
                    (result, true) => assert!(result.absorb()?.is_none()),
                    (result, false) => result?,
                }
                Ok(())
            };
            tn.start_soon(background);
            marks::happened(opened_mark).await;
            let ctx = opened.lock().unwrap().clone().expect("set before the mark");
            if cancel_ctx {
                ctx.cancel().await?;
            }
            child.cancel_actor().await?;
            let ended = ctx.wait_for_result().await;
            let Err(Error::ContextCancelled(ctxc)) = &ended else { panic!("{ended:?}") };
            assert_eq!(ctxc.canceller().unwrap().name.as_str(), "root");
            assert_eq!(ctxc.is_own_cancel(), cancel_ctx);
            assert_eq!(ctx.cancel_acked(), cancel_ctx);
            let state =
                if cancel_ctx { ContextState::SelfCancelled } else { ContextState::Cancelled };
            assert_eq!(ctx.state(), state);
            if cancel_ctx { Ok(()) } else { ended }
        })
        .await
    })
    .await
}

/// The block of the other task ends, and absorbs the cancellation.
#[tractor::test(matrix)]
async fn oob_01_cancel_ctx_with_parent_side_entered_in_bg_task() -> Result<()> {
    cancelled_from_main(true).await
}

/// Not the context was cancelled, but the actor: that is raised, and says by whom.
#[tractor::test(matrix)]
async fn oob_01_cancel_actor_with_parent_side_entered_in_bg_task() -> Result<()> {
    let error = cancelled_from_main(false).await.unwrap_err();
    let [Error::ContextCancelled(ctxc)] = error.leaves()[..] else { panic!("{error:?}") };
    assert_eq!(ctxc.canceller().unwrap().name.as_str(), "root");
    Ok(())
}

/// A cancel from inside of the block is about the far task alone: the block goes on.
#[tractor::test(matrix)]
async fn cancel_inside_of_the_block_lets_it_go_on() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("sleeper").enable(module!()).await?;
        let block = child.open_context(sleep_forever {}, async |ctx, ()| {
            scope::open_nursery(async |tn| {
                let inner = ctx.clone();
                tn.start_soon(async move { inner.cancel().await });
                Ok(())
            })
            .await?;
            assert!(ctx.wait_for_result().await.is_err());
            scope::checkpoint().await?; // nobody cancels it
            Ok(7)
        });
        assert_eq!(block.await?, 7);
        child.cancel_actor().await
    })
    .await
}

#[tractor::context]
async fn cancel_oneself(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    let mut go = ctx.open_stream().await?;
    go.recv().await?;
    ctx.cancel().await;
    assert!(ctx.cancel_called());
    sleep(FOREVER).await
}

/// A task that cancels itself names its own actor, and nobody absorbs that.
#[tractor::test(matrix)]
async fn task_that_cancels_itself_is_raised_as_such() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let mut kept = None;
        let block = child.open_context(cancel_oneself {}, async |ctx, ()| {
            kept = Some(ctx.clone());
            let mut go = ctx.open_stream().await?;
            let news = ctx.wait_for_result(); // it waits before the news can come
            futures_lite::future::zip(news, go.send(())).await.0
        });
        let Err(Error::ContextCancelled(ctxc)) = block.await else { panic!("not cancelled") };
        assert_eq!(ctxc.canceller(), Some(child.uid()));
        assert!(!ctxc.is_own_cancel());
        let ctx = kept.unwrap();
        assert_eq!(ctx.state(), ContextState::PeerCancelled);
        // The block failed of it, and so had nothing left to cancel.
        assert!(!ctx.cancel_acked());
        child.cancel_actor().await
    })
    .await
}
