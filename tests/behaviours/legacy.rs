//! LEGACY and CANCEL-05: the cases of one-way streams.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_lite::{StreamExt as _, stream};
use tractor::scope::{self, CancelScope, checkpoint, fail_after, move_on_after, sleep};
use tractor::{ActorNursery, Portal, RecvHalf, Result, SendHalf, find_actor, module, open_nursery};

use crate::{FOREVER, exists, marks};

/// Yields the numbers, and then has nothing to say.
#[tractor::stream]
async fn context_stream(mut out: SendHalf<u64>, to: u64) -> Result<()> {
    for n in 0..to {
        out.send(n).await?;
    }
    scope::finally(sleep(FOREVER), async { marks::set("cancelled") }).await
}

/// The same in the other form.
#[tractor::stream]
fn async_gen_stream(to: u64) -> impl Stream<Item = u64> + Send {
    let guard = marks::OnDrop("cancelled".into());
    stream::iter(0..to).chain(stream::pending()).map(move |n| {
        let _held = &guard;
        n
    })
}

/// Answers once the generator in this process was cancelled.
#[tractor::rpc]
async fn was_cancelled() {
    marks::happened("cancelled").await;
}

/// Reads ten, closes the stream, and finds it ended.
async fn read_ten(mut rx: RecvHalf<u64>) -> Result<()> {
    for n in 0..10 {
        assert_eq!(rx.recv().await?, n);
    }
    rx.close();
    sleep(Duration::from_millis(10)).await?;
    assert_eq!(rx.next().await?, None);
    Ok(())
}

async fn no_such_actor(name: &str) -> Result<()> {
    find_actor(name, async |found| {
        assert!(found.is_none());
        Ok(())
    })
    .await
}

async fn streamer(an: &ActorNursery) -> Result<Portal> {
    no_such_actor("streamerd").await?;
    an.start_actor("streamerd").enable(module!()).await
}

#[tractor::test(matrix)]
async fn legacy_02_stream_from_single_subactor_context_style() -> Result<()> {
    open_nursery(async |an| {
        let child = streamer(&an).await?;
        let there = child.clone();
        let read = child.open_stream_from(context_stream { to: 10 }, async |rx| {
            read_ten(rx).await?;
            // Closing it was enough: the block goes on.
            there.run(was_cancelled {}).await
        });
        fail_after(Duration::from_secs(5), read).await??;
        child.cancel_actor().await
    })
    .await
}

#[tractor::test(matrix)]
async fn legacy_02_stream_from_single_subactor_async_gen() -> Result<()> {
    open_nursery(async |an| {
        let child = streamer(&an).await?;
        let read = child.open_stream_from(async_gen_stream { to: 10 }, read_ten);
        fail_after(Duration::from_secs(5), read).await??;
        child.run(was_cancelled {}).await?;
        child.cancel_actor().await
    })
    .await
}

/// One of the two at the bottom of the tree.
#[tractor::stream]
fn stream_data(to: u64) -> impl Stream<Item = u64> + Send {
    stream::iter(0..to)
}

/// The middle: has two children of its own, and passes on what both say.
#[tractor::stream]
async fn aggregate(mut out: SendHalf<u64>, to: u64) -> Result<()> {
    open_nursery(async |an| {
        let left = an.start_actor("left").enable(module!()).await?;
        let right = an.start_actor("right").enable(module!()).await?;
        left.open_stream_from(stream_data { to }, async |mut left| {
            let both = right.open_stream_from(stream_data { to }, async |mut right| {
                while let Some(n) = left.next().await? {
                    assert_eq!(right.recv().await?, n);
                    out.send(n).await?;
                }
                Ok(())
            });
            both.await
        })
        .await?;
        an.cancel().await
    })
    .await
}

/// The pids of the processes below one, whichever of its threads made them.
fn descendants(of: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let lists = threads.map(|thread| thread.path().join("children"));
    let children: String = lists.filter_map(|list| std::fs::read_to_string(list).ok()).collect();
    let direct = children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap());
    direct.flat_map(|pid| [vec![pid], descendants(pid)].concat()).collect()
}

const ALL: u64 = 3_000;

/// The whole of it. Stops before an item, for ever, when `stops` says so, which is called with each
/// item and the processes of the tree.
async fn quad(mut stops: impl FnMut(u64, &[u32]) -> bool + Send) -> Result<u64> {
    open_nursery(async |an| {
        let middle = an.start_actor("aggregator").enable(module!()).await?;
        let pid = middle.pid().unwrap();
        let count = middle.open_stream_from(aggregate { to: ALL }, async |mut rx| {
            let mut tree = Vec::new();
            let mut count = 0;
            while let Some(n) = rx.next().await? {
                assert_eq!(n, count);
                if tree.is_empty() {
                    tree = [vec![pid], descendants(pid)].concat();
                }
                if stops(n, &tree) {
                    sleep(FOREVER).await?;
                }
                count += 1;
            }
            Ok(count)
        });
        let count = count.await?;
        middle.cancel_actor().await?;
        Ok(count)
    })
    .await
}

/// Better: it is also cut at exact items, not only after so much time.
#[tractor::test(matrix)]
async fn legacy_04_not_fast_enough_quad() -> Result<()> {
    let start = Instant::now();
    assert_eq!(quad(|_, _| false).await?, ALL);
    let measured = start.elapsed();
    for delay in [0.3, 0.4, 0.5, 0.6, 0.7, 0.8] {
        let result = move_on_after(measured.mul_f64(1.0 - delay), quad(|_, _| false)).await;
        // It may be faster the second time: then it is complete.
        let complete = result.transpose()?;
        assert!([None, Some(ALL)].contains(&complete), "{complete:?}");
    }
    for stop_at in [0, 1, ALL / 2, ALL - 1] {
        let scope = CancelScope::new();
        let processes = Mutex::new(Vec::new());
        let result = scope
            .run(quad(|n, tree| {
                if n == stop_at {
                    *processes.lock().unwrap() = tree.to_vec();
                    scope.cancel();
                }
                n == stop_at
            }))
            .await;
        assert!(result.is_none(), "{result:?} at {stop_at}");
        assert!(scope.cancelled_caught());
        let processes = processes.into_inner().unwrap();
        assert_eq!(processes.len(), 3, "the middle and its two");
        assert!(processes.iter().all(|pid| !exists(*pid)), "{processes:?}");
    }
    Ok(())
}

/// A number every millisecond.
#[tractor::stream]
async fn stream_slowly(mut out: SendHalf<u64>, to: u64) -> Result<()> {
    for n in 0..to {
        out.send(n).await?;
        sleep(Duration::from_millis(1)).await?;
    }
    Ok(())
}

#[tractor::test(matrix)]
async fn legacy_05_respawn_consumer_task() -> Result<()> {
    const COUNT: u64 = 50;
    open_nursery(async |an| {
        let child = an.start_actor("streamer").enable(module!()).await?;
        let block = child.open_stream_from(stream_slowly { to: COUNT }, async |mut rx| {
            let received = Arc::new(Mutex::new(Vec::new()));
            let mut consumers = 0;
            loop {
                consumers += 1;
                // A new task on the same stream, to be cancelled wherever it is then.
                let consumer = CancelScope::new();
                let (rx, received) = (&mut rx, received.clone());
                let ended = Mutex::new(false);
                scope::open_nursery(async |tn| {
                    let task = consumer.run(async {
                        while let Some(n) = rx.next().await? {
                            received.lock().unwrap().push(n);
                            checkpoint().await?;
                        }
                        *ended.lock().unwrap() = true;
                        Ok(())
                    });
                    tn.start_soon(async { task.await.unwrap_or(Ok(())) });
                    while !*ended.lock().unwrap() {
                        checkpoint().await?;
                        let last = received.lock().unwrap().last().copied();
                        if last.is_some_and(|last: u64| last.is_multiple_of(2)) {
                            consumer.cancel();
                            break;
                        }
                    }
                    Ok(())
                })
                .await?;
                if ended.into_inner().unwrap() {
                    break;
                }
            }
            assert!(consumers > COUNT / 2, "{consumers} tasks read it, one after the other");
            let received = received.lock().unwrap();
            assert!(*received == (0..COUNT).collect::<Vec<_>>(), "{received:?}");
            Ok(())
        });
        fail_after(Duration::from_secs(20), block).await??;
        child.cancel_actor().await
    })
    .await
}

/// A number every few milliseconds, for ever.
#[tractor::stream]
async fn stream_forever(mut out: SendHalf<u64>) -> Result<()> {
    for n in 0.. {
        out.send(n).await?;
        sleep(Duration::from_millis(5)).await?;
    }
    Ok(())
}

#[tractor::test(matrix)]
async fn cancel_05_cancel_infinite_streamer() -> Result<()> {
    let scope = CancelScope::new().timeout(Duration::from_millis(200));
    let nursery = Mutex::new(None);
    let body = open_nursery(async |an| {
        *nursery.lock().unwrap() = Some(an.clone());
        let child = an.start_actor("donny").enable(module!()).await?;
        let endless = child.open_stream_from(stream_forever {}, async |mut rx| {
            loop {
                rx.recv().await?;
            }
        });
        endless.await
    });
    let result: Option<Result<()>> = fail_after(Duration::from_secs(4), scope.run(body)).await?;
    assert!(result.is_none(), "{result:?}");
    assert!(scope.cancelled_caught());
    assert!(nursery.into_inner().unwrap().unwrap().cancel_called());
    Ok(())
}
