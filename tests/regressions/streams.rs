//! Streams: items that are doubled or lost, and tasks that wait for ever.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// How the stream ended that this process read from, in a task whose caller failed.
static SEEN_END: AtomicBool = AtomicBool::new(false);

#[tractor::context]
async fn read_to_the_end(ctx: Context<(), (), u32>) -> Result<()> {
    SEEN_END.store(false, Ordering::SeqCst);
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    while stream.next().await?.is_some() {}
    SEEN_END.store(true, Ordering::SeqCst);
    Ok(())
}

#[tractor::rpc]
async fn has_seen_the_end() -> bool {
    SEEN_END.load(Ordering::SeqCst)
}

#[tractor::context]
async fn count_and_fail(ctx: Context<(), u32, ()>, items: u32) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    for n in 0..items {
        stream.send(n).await?;
    }
    Err(Error::TooSlow)
}

/// Who fails does not say that its stream is complete: not the far task, and not the block.
#[tractor::test(matrix, timeout = 10)]
async fn stream_of_who_fails_does_not_just_end() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        for items in [0, 1, 100] {
            let mut seen = 0;
            let block = child.open_context(count_and_fail { items }, async |ctx, ()| {
                let mut stream = ctx.open_stream().await?;
                while stream.next().await?.is_some() {
                    seen += 1;
                }
                Err::<(), _>(Error::EndOfStream)
            });
            let error = block.await.unwrap_err();
            assert_eq!(error.type_name(), "TooSlowError", "{error:?}");
            assert!(
                seen <= items,
                "the failure may overtake the last ones, but they are not doubled"
            );
        }

        let block = child.open_context(read_to_the_end {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            stream.send(1).await?;
            Err::<(), _>(Error::TooSlow)
        });
        assert!(matches!(block.await, Err(Error::TooSlow)));
        assert!(!child.run(has_seen_the_end {}).await?);
        child.cancel_actor().await
    })
    .await
}

/// Who drops its stream and goes on has ended it, and at once.
#[tractor::test(matrix, timeout = 10)]
async fn stream_that_is_dropped_ends() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let block = child.open_context(read_to_the_end {}, async |ctx, ()| {
            drop(ctx.open_stream().await?);
            ctx.wait_for_result().await
        });
        block.await?;
        assert!(child.run(has_seen_the_end {}).await?);
        // The block's last act, and in another task than the block's.
        child
            .open_context(read_to_the_end {}, async |ctx, ()| ctx.open_stream().await.map(drop))
            .await?;
        let block = child.open_context(read_to_the_end {}, async |ctx, ()| {
            let stream = ctx.open_stream().await?;
            std::thread::spawn(move || drop(stream));
            ctx.wait_for_result().await
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}
