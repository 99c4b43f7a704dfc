//! Streams: items that are doubled or lost, and tasks that wait for ever.

use std::future::{pending, poll_fn};
use std::pin::Pin;

use futures_sink::Sink;
use tractor::scope::{self, sleep};
use tractor::{Context, Error, MsgStream, Result, module, open_nursery};

use crate::{FOREVER, Flag, idle};

/// Returns what came.
#[tractor::context]
async fn collect(ctx: Context<(), (), u32>) -> Result<Vec<u32>> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    let mut all = Vec::new();
    while let Some(item) = stream.next().await? {
        all.push(item);
    }
    Ok(all)
}

async fn feed(stream: &mut MsgStream<u32, ()>, item: u32) -> Result<()> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_ready(cx)).await?;
    Pin::new(stream).start_send(item)
}

async fn close(stream: &mut MsgStream<u32, ()>) -> Result<()> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_close(cx)).await
}

/// `send` and the `Sink` share a buffer: what one has sent the other must not send again, and what
/// one has left there the other must not throw away.
#[tractor::test(matrix, timeout = 10)]
async fn both_ways_to_send_may_be_mixed() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let all = child.open_context(collect {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            stream.send(1).await?;
            feed(&mut stream, 2).await?;
            stream.send(3).await?;
            close(&mut stream).await?;
            ctx.wait_for_result().await
        });
        assert_eq!(all.await?, [1, 2, 3]);
        child.cancel_actor().await
    })
    .await
}

/// A task that reads from a context whose block is gone hears of it.
#[tractor::test(matrix, timeout = 10)]
async fn reader_of_a_dropped_context_wakes_up() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable_of::<idle>().await?;
        scope::open_nursery(async |tn| {
            let reads = Flag::default();
            let block = child.open_context(idle {}, async |ctx, ()| {
                let (_tx, mut rx) = ctx.open_stream().await?.split();
                let task = move |status: scope::Status<()>| async move {
                    status.started(());
                    let _ = rx.next().await;
                };
                tn.start(task).await?;
                reads.raise();
                pending::<Result<()>>().await
            });
            assert!(reads.cuts(block).await.is_none());
            Ok(())
        })
        .await?;
        child.cancel_actor().await
    })
    .await
}

#[tractor::context]
async fn fail_after_an_item(ctx: Context<(), (), u32>) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    stream.recv().await?;
    Err(std::io::Error::other("broken").into())
}

/// Whoever reads may keep the error to itself: the block is cancelled all the same.
#[tractor::test(matrix, timeout = 10)]
async fn swallowed_error_of_the_far_end_still_ends_the_block() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let result: Result<()> = child
            .open_context(fail_after_an_item {}, async |ctx, ()| {
                let mut stream = ctx.open_stream().await?;
                stream.send(1).await?;
                while let Ok(Some(())) = stream.next().await {}
                sleep(FOREVER).await
            })
            .await;
        assert!(matches!(result, Err(Error::Remote(_))), "{result:?}");
        child.cancel_actor().await
    })
    .await
}
