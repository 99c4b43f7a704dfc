//! BCAST, and what else is promised of subscriptions: a stream that several tasks read.

use std::sync::Mutex;
use std::time::Duration;

use futures_lite::StreamExt as _;
use tractor::error::Misuse;
use tractor::scope::{self, CancelScope, checkpoint, fail_after, sleep};
use tractor::{
    Context, Error, OnLag, OverrunPolicy, Portal, Result, SendHalf, Subscription, module,
    open_nursery,
};
use tractor_core::error::Misuse as Core;

use crate::{FOREVER, marks, remote_type};

/// Sends back what comes.
#[tractor::context]
async fn echo_sequences(ctx: Context<(), u64, u64>) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    while let Some(n) = stream.next().await? {
        stream.send(n).await?;
    }
    Ok(())
}

#[tractor::stream]
async fn count(mut out: SendHalf<u64>, to: u64) -> Result<()> {
    for n in 0..to {
        out.send(n).await?;
    }
    Ok(())
}

async fn echo_child(an: &tractor::ActorNursery) -> Result<Portal> {
    an.start_actor("sequence_echoer").enable(module!()).await
}

#[track_caller]
fn is_closed<T: std::fmt::Debug>(result: Result<T>) {
    match result {
        Err(Error::Misuse(Misuse::Core(Core::StreamClosed))) => {}
        other => panic!("no misuse of a closed stream: {other:?}"),
    }
}

/// All that is left, and its end.
async fn rest(mut sub: Subscription<u64>) -> Result<Vec<u64>> {
    let mut items = Vec::new();
    while let Some(n) = sub.next().await? {
        items.push(n);
    }
    assert!(matches!(sub.recv().await, Err(Error::EndOfStream)), "and so it stays");
    Ok(items)
}

/// The tasks of one nursery read equally fast, so none of them is overtaken, be the ring never so
/// small for what comes.
#[tractor::test(matrix)]
async fn bcast_01_stream_fan_out_to_local_subscriptions() -> Result<()> {
    const COUNT: u64 = 1_000;
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let block = child.open_context(echo_sequences {}, async |ctx, ()| {
            let (mut tx, mut rx) = ctx.open_stream().await?.split();
            let subs = (0..10).map(|_| rx.subscribe()).collect::<Result<Vec<_>>>()?;
            let done = Mutex::new(Vec::new());
            scope::open_nursery(async |tn| {
                for sub in subs {
                    tn.start_soon(async {
                        let items = rest(sub).await?;
                        assert!(items == (0..COUNT).collect::<Vec<_>>());
                        done.lock().unwrap().push(items.len());
                        Ok(())
                    });
                }
                tn.start_soon(async {
                    for n in 0..COUNT {
                        assert_eq!(rx.recv().await?, n);
                    }
                    assert_eq!(rx.next().await?, None);
                    done.lock().unwrap().push(COUNT as usize);
                    Ok(())
                });
                for n in 0..COUNT {
                    tx.send(n).await?;
                }
                tx.stop();
                Ok(())
            })
            .await?;
            assert_eq!(done.into_inner().unwrap(), [COUNT as usize; 11]);
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

/// As above with a generator, which is faster than anybody, and the smallest ring.
#[tractor::test(matrix)]
async fn readers_that_run_by_turns_are_never_overtaken() -> Result<()> {
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        for capacity in [1, 2, 7] {
            let block = child.open_stream_from(count { to: 500 }, async |mut rx| {
                let subs =
                    (0..5).map(|_| rx.subscribe_with(capacity)).collect::<Result<Vec<_>>>()?;
                drop(rx); // its readers are there without it
                scope::open_nursery(async |tn| {
                    for sub in subs {
                        tn.start_soon(async {
                            assert!(rest(sub).await? == (0..500).collect::<Vec<_>>());
                            Ok(())
                        });
                    }
                    Ok(())
                })
                .await
            });
            block.await?;
        }
        child.cancel_actor().await
    })
    .await
}

#[tractor::test(matrix)]
async fn bcast_03_faster_task_to_recv_is_cancelled_by_slower() -> Result<()> {
    const LAST: u64 = 999;
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let block = child.open_context(echo_sequences {}, async |ctx, ()| {
            let (mut tx, mut rx) = ctx.open_stream().await?.split();
            let sub = rx.subscribe()?;
            scope::open_nursery(async |tn| {
                let fast = CancelScope::new();
                let task = fast.run(rest(sub));
                tn.start_soon(async {
                    let ended = task.await;
                    assert!(ended.is_none(), "cancelled before its end: {ended:?}");
                });
                tn.start_soon(async move {
                    for n in 0..=LAST {
                        tx.send(n).await?;
                        if n % 50 == 0 {
                            sleep(Duration::from_millis(1)).await?;
                        }
                    }
                    sleep(FOREVER).await // the stream does not end
                });
                let mut expected = None;
                let mut lagged = 0;
                for turn in 0.. {
                    if turn < 20 {
                        sleep(Duration::from_millis(1)).await?;
                    } else if turn == 20 {
                        fast.cancel();
                        checkpoint().await?; // it ends
                    }
                    match rx.recv().await {
                        Err(Error::Lagged(missed)) => {
                            lagged += 1;
                            expected = expected.map(|n: u64| n + missed);
                        }
                        n => {
                            let n = n?;
                            assert_eq!(
                                n,
                                expected.unwrap_or(n),
                                "in order, but for what it missed"
                            );
                            if n == LAST {
                                break;
                            }
                            expected = Some(n + 1);
                        }
                    }
                }
                assert!(fast.cancelled_caught());
                assert!(lagged <= 20, "never once it is alone");
                assert_eq!(rx.subscription_stats().unwrap().readers, 1);
                tn.cancel();
                Ok(())
            })
            .await
        });
        fail_after(Duration::from_secs(5), block).await??;
        child.cancel_actor().await
    })
    .await
}

/// Whoever waits at the source can be cancelled: the others get what comes then.
#[tractor::test(matrix)]
async fn cancelled_reader_holds_up_nobody() -> Result<()> {
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let block = child.open_context(echo_sequences {}, async |ctx, ()| {
            let (mut tx, mut rx) = ctx.open_stream().await?.split();
            let (first, mut second) = (rx.subscribe()?, rx.subscribe()?);
            scope::open_nursery(async |tn| {
                let waits = CancelScope::new();
                let task = waits.run(rest(first));
                tn.start_soon(async { assert!(task.await.is_none()) });
                checkpoint().await?;
                // Now it waits where the next item will come.
                let (got, cancelled) = futures_lite::future::zip(second.recv(), async {
                    checkpoint().await?;
                    waits.cancel();
                    checkpoint().await?;
                    tx.send(7).await
                })
                .await;
                cancelled?;
                assert_eq!(got?, 7);
                assert_eq!(rx.recv().await?, 7, "it too, and later");
                assert_eq!(second.stats().unwrap().readers, 2);
                Ok(())
            })
            .await
        });
        fail_after(Duration::from_secs(5), block).await??;
        child.cancel_actor().await
    })
    .await
}

#[tractor::test(matrix)]
async fn bcast_04_subscribe_errors_after_close() -> Result<()> {
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let block = child.open_context(echo_sequences {}, async |ctx, ()| {
            let (mut tx, mut rx) = ctx.open_stream().await?.split();
            let mut sub = rx.subscribe()?;
            assert_eq!(sub.stats().unwrap().readers, 2);
            rx.close();
            is_closed(rx.subscribe());
            assert!(rx.subscription_stats().is_none() && rx.stats().is_none() && rx.is_closed());
            assert_eq!(sub.stats().unwrap().readers, 1, "its place is free");
            // Who is left goes on, and can make others.
            let mut other = sub.subscribe()?;
            tx.send(1).await?;
            assert_eq!((sub.recv().await?, other.recv().await?), (1, 1));
            assert!(!sub.is_closed());
            sub.close();
            sub.close(); // idempotent
            is_closed(sub.subscribe());
            assert!(sub.is_closed() && sub.stats().is_none());
            assert_eq!(sub.next().await?, None);
            assert_eq!(other.stats().unwrap().readers, 1);
            // Closed before it was ever shared.
            drop(other);
            let mut never = child
                .open_stream_from(count { to: 1 }, async |mut rx| {
                    rx.close();
                    Ok(rx)
                })
                .await?;
            is_closed(never.subscribe());
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

/// Re-shaped: by turns instead of by clock, so that who is slow is exactly so slow.
#[tractor::test(matrix)]
async fn bcast_05_ensure_slow_consumers_lag_out() -> Result<()> {
    const SIZE: usize = 100;
    const RETRIES: u32 = 3;
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let block = child.open_stream_from(count { to: u64::MAX }, async |mut rx| {
            // Reader k reads every k-th time, and leaves when it has lagged too often.
            let mut sub_1 = rx.subscribe_with(SIZE)?;
            let mut slow = [(2, rx.subscribe()?, 0), (3, rx.subscribe()?, 0)].map(Some);
            let mut turn = 0;
            while sub_1.stats().unwrap().readers > 2 {
                assert_eq!(sub_1.recv().await?, turn, "the fastest is never overtaken");
                turn += 1;
                for place in &mut slow {
                    let Some((delay, sub, lagged)) = place else { continue };
                    if !turn.is_multiple_of(*delay) {
                        continue;
                    }
                    if let Err(Error::Lagged(missed)) = sub.recv().await {
                        assert!(missed <= *delay, "told as soon as it is so: {missed}");
                        *lagged += 1;
                        if *lagged > RETRIES {
                            *place = None;
                        }
                    }
                }
            }
            assert_eq!(sub_1.stats().unwrap().missed, 0);
            // The stream itself was never read: it goes on at the oldest that is held.
            let stats = rx.subscription_stats().unwrap();
            assert_eq!((stats.behind, stats.held, stats.capacity), (turn, SIZE, SIZE));
            let Err(Error::Lagged(missed)) = rx.recv().await else { panic!("not overtaken") };
            assert_eq!(missed, turn - SIZE as u64);
            assert_eq!(rx.subscription_stats().unwrap().behind, SIZE as u64);
            for n in turn - SIZE as u64..turn {
                assert_eq!(rx.recv().await?, n, "all that is held");
            }
            rx.close();
            let mut left = sub_1.subscribe()?;
            assert_eq!(sub_1.stats().unwrap().readers, 2);
            left.close();
            assert_eq!(sub_1.stats().unwrap().readers, 1);
            Ok(())
        });
        fail_after(Duration::from_secs(10), block).await??;
        child.cancel_actor().await
    })
    .await
}

#[tractor::test(matrix)]
async fn bcast_07_no_raise_on_lag() -> Result<()> {
    const COUNT: u64 = 1_000;
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let block = child.open_stream_from(count { to: COUNT }, async |mut rx| {
            let mut slow = rx.subscribe_with(20)?.on_lag(OnLag::Skip);
            let mut fast = rx.subscribe()?;
            rx.close();
            let (mut last, mut read) = (None, 0);
            for n in 0..COUNT {
                assert_eq!(fast.recv().await?, n);
                if n % 100 == 99 {
                    let n = slow.recv().await?;
                    assert!(last < Some(n), "{last:?} {n}");
                    (last, read) = (Some(n), read + 1);
                }
            }
            let left = slow.stats().unwrap();
            assert_eq!(left.missed + left.behind + read, COUNT, "all are accounted for");
            assert!(left.missed >= COUNT - 20 - 10, "{left:?}");
            assert_eq!(rest(slow).await?.last(), Some(&(COUNT - 1)));
            Err::<(), _>(Error::Interrupted { signal: 2 })
        });
        let ended = block.await;
        assert!(matches!(ended, Err(Error::Interrupted { signal: 2 })), "{ended:?}");
        child.cancel_actor().await
    })
    .await
}

/// What was overtaken is an item among others, also of the `futures` stream.
#[tractor::test(matrix)]
async fn lag_is_an_item_and_not_the_end() -> Result<()> {
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let block = child.open_stream_from(count { to: 10 }, async |mut rx| {
            let sub = rx.subscribe_with(4)?;
            for n in 0..10 {
                assert_eq!(rx.recv().await?, n);
            }
            rx.closed().await?;
            let items: Vec<Result<u64>> = sub.collect().await;
            let items: Vec<String> = items
                .into_iter()
                .map(|item| item.map_or_else(|e| e.to_string(), |n| n.to_string()))
                .collect();
            let lagged = "too slow: 6 items of the stream were missed";
            assert_eq!(items, [lagged, "6", "7", "8", "9"]);
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

#[tractor::stream]
async fn fails_after(mut out: SendHalf<u64>, items: u64) -> Result<()> {
    for n in 0..items {
        out.send(n).await?;
    }
    Err(std::io::Error::other("that was all").into())
}

/// The end of the stream, or its error, is each reader's own.
#[tractor::test(matrix)]
async fn end_and_error_reach_all_readers() -> Result<()> {
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let kept = Mutex::new(None);
        let block = child.open_stream_from(fails_after { items: 10 }, async |mut rx| {
            let subs = (0..3).map(|_| rx.subscribe()).collect::<Result<Vec<_>>>()?;
            *kept.lock().unwrap() = Some(rx.subscribe()?);
            drop(rx);
            for mut sub in subs {
                for n in 0..10 {
                    assert_eq!(sub.recv().await?, n);
                }
                assert_eq!(remote_type(&sub.next().await.unwrap_err()), "OSError");
                assert_eq!(remote_type(&sub.next().await.unwrap_err()), "OSError");
            }
            Ok(())
        });
        block.await?;
        // Also one that outlives the block.
        let mut kept = kept.into_inner().unwrap().unwrap();
        for n in 0..10 {
            assert_eq!(kept.recv().await?, n);
        }
        assert_eq!(remote_type(&kept.next().await.unwrap_err()), "OSError");
        child.cancel_actor().await
    })
    .await
}

/// What had come when the block ended is there to be read, and then the end.
#[tractor::test(matrix)]
async fn subscription_outlives_its_block_and_loses_nothing() -> Result<()> {
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let sub = child.open_stream_from(count { to: 5 }, async |mut rx| {
            let sub = rx.subscribe_with(2)?;
            rx.closed().await?;
            Ok(sub)
        });
        assert_eq!(rest(sub.await?).await?, [0, 1, 2, 3, 4]);
        child.cancel_actor().await
    })
    .await
}

#[tractor::stream]
async fn until_cancelled(mut out: SendHalf<u64>) -> Result<()> {
    let forever = async {
        for n in 0.. {
            out.send(n).await?;
        }
        sleep(FOREVER).await
    };
    scope::finally(forever, async { marks::set("nobody reads") }).await
}

#[tractor::rpc]
async fn nobody_reads() {
    marks::happened("nobody reads").await;
}

/// A generator is there for its readers: it goes on while there is one.
#[tractor::test(matrix)]
async fn generator_is_cancelled_with_its_last_reader() -> Result<()> {
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let there = child.clone();
        let block = child.open_stream_from(until_cancelled {}, async |mut rx| {
            let mut sub = rx.subscribe()?;
            drop(rx);
            let mut other = sub.subscribe()?;
            for n in 0..3_000 {
                assert_eq!(sub.recv().await?, n);
            }
            drop(sub);
            assert!(matches!(other.recv().await, Err(Error::Lagged(2_936))));
            for n in 2_936..6_000 {
                assert_eq!(other.recv().await?, n);
            }
            drop(other);
            there.run(nobody_reads {}).await
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

/// Who joins late gets what nobody had read then; and a policy that drops is one for all readers.
#[tractor::test(matrix)]
async fn late_subscription_starts_with_what_nobody_has_read() -> Result<()> {
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let keep = OverrunPolicy::DropOldest(10);
        let block = child.open_stream_from_with(count { to: 100 }, keep, async |mut rx| {
            rx.closed().await?;
            let first = rx.subscribe()?;
            assert_eq!((rx.recv().await?, rx.recv().await?), (90, 91));
            let late = first.subscribe()?;
            assert_eq!(rest(late).await?, (92..100).collect::<Vec<_>>());
            assert_eq!(rest(first).await?, (90..100).collect::<Vec<_>>());
            assert_eq!(rx.recv().await?, 92);
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

/// Reads all on a thread of its own. Returns how many it read, and how many it missed.
fn read_on_a_thread(mut sub: Subscription<u64>, count: u64) -> (u64, u64) {
    futures_lite::future::block_on(async {
        let (mut read, mut missed, mut next) = (0, 0, 0);
        loop {
            match sub.next().await {
                Ok(Some(n)) => {
                    assert_eq!(n, next, "in order, but for what it was told of");
                    (read, next) = (read + 1, n + 1);
                }
                Ok(None) => break,
                Err(Error::Lagged(n)) => (missed, next) = (missed + n, next + n),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(next, count);
        (read, missed)
    })
}

/// Readers may be on any threads: each item is read or reported as missed, by each of them.
#[tractor::test(matrix)]
async fn readers_on_several_threads_account_for_every_item() -> Result<()> {
    const COUNT: u64 = 20_000;
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let block = child.open_stream_from(count { to: COUNT }, async |mut rx| {
            // All of them before the first one reads.
            let subs = (0..3).map(|_| rx.subscribe_with(8)).collect::<Result<Vec<_>>>()?;
            let uid = tractor::current_actor()?.uid().clone();
            let mut threads = Vec::new();
            for (n, sub) in subs.into_iter().enumerate() {
                let mark = format!("{uid} {n}");
                let done = marks::OnDrop(mark.clone());
                let thread = std::thread::spawn(move || {
                    let _done = done;
                    read_on_a_thread(sub, COUNT)
                });
                threads.push((mark, thread));
            }
            let (mut read, mut missed) = (0, 0);
            loop {
                match rx.next().await {
                    Ok(Some(_)) => read += 1,
                    Ok(None) => break,
                    Err(Error::Lagged(n)) => missed += n,
                    Err(other) => return Err(other),
                }
            }
            assert_eq!(read + missed, COUNT);
            for (mark, thread) in threads {
                marks::happened(&mark).await;
                let (read, missed) = thread.join().unwrap();
                assert_eq!(read + missed, COUNT);
            }
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

/// What one reader took for all is not missed by one that looks for it on another thread just then:
/// nothing more comes until both have it.
#[tractor::test(matrix)]
async fn readers_on_threads_all_get_a_single_item() -> Result<()> {
    const ROUNDS: u64 = 300;
    let mark = &marks::unique("single item");
    open_nursery(async |an| {
        let child = echo_child(&an).await?;
        let block = child.open_context(echo_sequences {}, async |ctx, ()| {
            let (mut tx, mut rx) = ctx.open_stream().await?.split();
            let subs = [rx.subscribe()?, rx.subscribe()?, rx.subscribe()?];
            let readers: Vec<_> = subs
                .into_iter()
                .enumerate()
                .map(|(reader, mut sub)| {
                    let mark = mark.clone();
                    std::thread::spawn(move || {
                        for round in 0..ROUNDS {
                            let item = futures_lite::future::block_on(sub.recv());
                            assert_eq!(item.unwrap(), round);
                            marks::set(&format!("{mark} {round} {reader}"));
                        }
                    })
                })
                .collect();
            for round in 0..ROUNDS {
                tx.send(round).await?;
                for reader in 0..readers.len() {
                    marks::happened(&format!("{mark} {round} {reader}")).await;
                }
            }
            readers.into_iter().for_each(|reader| reader.join().unwrap());
            tx.stop();
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}
