//! STREAM, and what else is promised of streams: a receive that loses nothing, closing, what is
//! known of them, and the policies for too much.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::ready;
use std::time::{Duration, Instant};

use futures_lite::future::or;
use futures_sink::Sink;
use tractor::error::Misuse;
use tractor::scope::{self, CancelScope, checkpoint, sleep};
use tractor::{
    Context, Error, OverrunPolicy, RecvHalf, Result, SendHalf, StreamStats, Subscription, module,
    open_nursery,
};
use tractor_core::error::Misuse as Core;

use crate::{FOREVER, marks, remote_type};

/// One item through a handle that tasks share.
async fn send_shared(tx: &Mutex<SendHalf<String>>, item: &str) -> Result<()> {
    poll_fn(|cx| {
        let mut tx = tx.lock().unwrap();
        ready!(Pin::new(&mut *tx).poll_ready(cx))?;
        Pin::new(&mut *tx).start_send(item.to_owned())?;
        Pin::new(&mut *tx).poll_flush(cx)
    })
    .await
}

/// Two tasks on one stream: one answers, one talks unasked.
#[tractor::context]
async fn reqresp(ctx: Context<(), String, String>) -> Result<()> {
    ctx.started(()).await?;
    let (tx, mut rx) = ctx.open_stream().await?.split();
    let tx = Mutex::new(tx);
    let tx = &tx;
    scope::open_nursery(async |tn| {
        tn.start_soon(async move {
            while send_shared(tx, "yo").await.is_ok() {
                sleep(Duration::from_millis(2)).await?;
            }
            Ok(())
        });
        while let Some(ping) = rx.next().await? {
            assert_eq!(ping, "ping");
            send_shared(tx, "pong").await?;
        }
        tn.cancel();
        Ok(())
    })
    .await
}

#[tractor::test(matrix)]
async fn stream_02_reqresp_ontopof_streaming() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("dual_tasks").enable(module!()).await?;
        let (mut pongs, mut yos) = (0, 0);
        let enough = CancelScope::new();
        let talk = child.open_context(reqresp {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            stream.send("ping".into()).await?;
            while let Some(said) = stream.next().await? {
                match said.as_str() {
                    "pong" => {
                        pongs += 1;
                        stream.send("ping".into()).await?;
                    }
                    "yo" => yos += 1,
                    other => panic!("nobody says {other}"),
                }
                if pongs >= 10 && yos >= 10 {
                    enough.cancel();
                    checkpoint().await?;
                }
            }
            Ok(())
        });
        let ended: Option<Result<()>> = enough.run(talk).await;
        assert!(ended.is_none(), "{ended:?}");
        child.cancel_actor().await
    })
    .await
}

#[tractor::context]
async fn echo(ctx: Context<(), u64, u64>) -> Result<u64> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    let mut count = 0;
    while let Some(n) = stream.next().await? {
        stream.send(n).await?;
        count += 1;
    }
    Ok(count)
}

#[tractor::stream]
async fn count(mut out: SendHalf<u64>, to: u64) -> Result<()> {
    for n in 0..to {
        out.send(n).await?;
    }
    Ok(())
}

#[tractor::test(matrix)]
async fn stream_03_sigint_both_stream_types() -> Result<()> {
    let start = Instant::now();
    let result: Result<()> = open_nursery(async |an| {
        let child = an.start_actor("both").enable(module!()).await?;
        child
            .open_context(echo {}, async |ctx, ()| {
                let mut stream = ctx.open_stream().await?;
                let inner = child.open_stream_from(count { to: u64::MAX }, async |mut numbers| {
                    for _ in 0..5 {
                        let n = numbers.recv().await?;
                        stream.send(n).await?;
                        assert_eq!(stream.recv().await?, n);
                    }
                    Err(Error::Interrupted { signal: 2 })
                });
                inner.await
            })
            .await
    })
    .await;
    assert!(matches!(result, Err(Error::Interrupted { signal: 2 })), "{result:?}");
    assert!(start.elapsed() < Duration::from_secs(2));
    Ok(())
}

/// Sends a number every millisecond until it is told that it is enough. Then its handle is closed.
#[tractor::context]
async fn subscribed_to(ctx: Context<(), u64, String>) -> Result<u64> {
    ctx.started(()).await?;
    let (mut tx, mut rx) = ctx.open_stream().await?.split();
    let mut sent = 0;
    let talk = async {
        loop {
            tx.send(sent).await?;
            sent += 1;
            sleep(Duration::from_millis(1)).await?;
        }
    };
    let told = async {
        let said = rx.recv().await?;
        assert_eq!(said, "done");
        Ok(())
    };
    or(told, talk).await.map_err(|e: Error| e)?;
    tx.stop();
    assert!(tx.is_closed());
    match tx.send(0).await {
        Err(Error::Misuse(Misuse::Core(Core::StreamClosed))) => Ok(sent),
        other => panic!("sent after the end: {other:?}"),
    }
}

async fn count_all(mut sub: Subscription<u64>) -> Result<u64> {
    let mut count = 0;
    while let Some(n) = sub.next().await? {
        assert_eq!(n, count);
        count += 1;
    }
    Ok(count)
}

#[tractor::test(matrix)]
async fn stream_04_local_task_fanout_from_stream() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("sender").enable(module!()).await?;
        let counts = Mutex::new(Vec::new());
        let block = child.open_context(subscribed_to {}, async |ctx, ()| {
            let (mut tx, mut rx) = ctx.open_stream().await?.split();
            let subs = (0..22).map(|_| rx.subscribe()).collect::<Result<Vec<_>>>()?;
            scope::open_nursery(async |tn| {
                for sub in subs {
                    tn.start_soon(async {
                        let count = count_all(sub).await?;
                        counts.lock().unwrap().push(count);
                        Ok(())
                    });
                }
                for n in 0..50 {
                    assert_eq!(rx.recv().await?, n);
                }
                drop(rx);
                tx.send("done".into()).await
            })
            .await?;
            ctx.wait_for_result().await
        });
        let sent = scope::fail_after(Duration::from_secs(3), block).await??;
        assert!(sent >= 50, "{sent}");
        assert_eq!(*counts.lock().unwrap(), [sent; 22]);
        child.cancel_actor().await
    })
    .await
}

/// A number, then a pause, so that a receive is caught waiting as often as not.
#[tractor::stream]
async fn count_haltingly(mut out: SendHalf<u64>, to: u64) -> Result<()> {
    for n in 0..to {
        out.send(n).await?;
        for _ in 0..n % 5 {
            checkpoint().await?;
        }
        if n % 16 == 0 {
            sleep(Duration::from_micros(300)).await?;
        }
    }
    Ok(())
}

/// Suspends `n` times, and then is faster than what it races.
async fn after<T>(n: u64) -> Result<Option<Option<T>>> {
    for _ in 0..n {
        checkpoint().await?;
    }
    Ok(None)
}

/// A receive that lost a race has taken nothing, wherever it was dropped.
#[tractor::test(matrix)]
async fn receive_in_a_select_loses_nothing() -> Result<()> {
    const COUNT: u64 = 2_000;
    open_nursery(async |an| {
        let child = an.start_actor("halting").enable(module!()).await?;
        let block = child.open_stream_from(count_haltingly { to: COUNT }, async |mut rx| {
            let (mut expected, mut lost) = (0, 0);
            loop {
                let race = lost % 4;
                match or(async { Ok(Some(rx.next().await?)) }, after(race)).await? {
                    Some(Some(n)) => {
                        assert_eq!(n, expected);
                        expected += 1;
                    }
                    Some(None) => break,
                    None => lost += 1,
                }
                if race == 0 {
                    lost += 1; // so that no race is lost for ever
                }
            }
            assert_eq!(expected, COUNT);
            assert!(lost > 100, "{lost} receives were dropped");
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

/// The same for each of several readers.
#[tractor::test(matrix)]
async fn receive_of_a_subscription_in_a_select_loses_nothing() -> Result<()> {
    const COUNT: u64 = 500;
    open_nursery(async |an| {
        let child = an.start_actor("halting").enable(module!()).await?;
        let block = child.open_stream_from(count_haltingly { to: COUNT }, async |mut rx| {
            let subs = (0..4).map(|_| rx.subscribe()).collect::<Result<Vec<_>>>()?;
            drop(rx);
            scope::open_nursery(async |tn| {
                for (mut sub, offset) in subs.into_iter().zip(0..) {
                    tn.start_soon(async move {
                        let (mut expected, mut turn) = (0, offset);
                        loop {
                            turn += 1;
                            let next = async { Ok(Some(sub.next().await?)) };
                            match or(next, after(turn % 3)).await? {
                                Some(Some(n)) => {
                                    assert_eq!(n, expected);
                                    expected += 1;
                                }
                                Some(None) => break,
                                None => checkpoint().await?,
                            }
                        }
                        assert_eq!(expected, COUNT);
                        Ok(())
                    });
                }
                Ok(())
            })
            .await
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

/// Sends more than a window, to somebody who may have gone.
#[tractor::context]
async fn flood(ctx: Context<(), u64, u64>, items: u64) -> Result<u64> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    for n in 0..items {
        stream.send(n).await?;
    }
    Ok(items)
}

/// Who has dropped or closed a receiving half, or never looks at one it closed, holds up nobody.
#[tractor::test(matrix)]
async fn dropped_receiving_half_does_not_hold_the_sender() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("flooder").enable(module!()).await?;
        let block = child.open_context(flood { items: 5_000 }, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            assert_eq!(stream.recv().await?, 0);
            drop(stream);
            ctx.wait_for_result().await
        });
        assert_eq!(block.await?, 5_000);
        let block = child.open_context(flood { items: 5_000 }, async |ctx, ()| {
            let (_tx, mut rx) = ctx.open_stream().await?.split();
            rx.close();
            assert!(rx.is_closed());
            assert_eq!(rx.next().await?, None);
            ctx.wait_for_result().await
        });
        assert_eq!(block.await?, 5_000);
        // The last of several readers, too; and at the other end.
        let block = child.open_context(flood { items: 5_000 }, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            let mut sub = stream.subscribe()?;
            assert_eq!(sub.recv().await?, 0);
            drop(stream);
            drop(sub);
            ctx.wait_for_result().await
        });
        assert_eq!(block.await?, 5_000);
        let block = child.open_context(deaf {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            for n in 0..5_000 {
                stream.send(n).await?;
            }
            child.run(all_sent {}).await?;
            ctx.wait_for_result().await
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

/// Opens its end, and reads nothing.
#[tractor::context]
async fn deaf(ctx: Context<(), u64, u64>) -> Result<()> {
    ctx.started(()).await?;
    let (_tx, mut rx) = ctx.open_stream().await?.split();
    assert!(!rx.is_closed());
    rx.close();
    marks::happened("all sent").await;
    Ok(())
}

#[tractor::rpc]
async fn all_sent() {
    marks::set("all sent");
}

#[tractor::rpc]
async fn happened(mark: String) {
    marks::happened(&mark).await;
}

/// Says when its sending half is closed, and by what.
#[tractor::context]
async fn notices(ctx: Context<(), u64, u64>) -> Result<()> {
    ctx.started(()).await?;
    let (mut tx, rx) = ctx.open_stream().await?.split();
    assert!(!tx.is_closed() && !rx.is_closed());
    marks::set("open");
    rx.closed().await?;
    assert!(rx.is_closed() && !tx.is_closed(), "only what the caller sends has ended");
    tx.stop();
    assert!(tx.is_closed());
    tx.closed().await?;
    marks::set("closed");
    sleep(FOREVER).await
}

#[tractor::test(matrix)]
async fn halves_tell_when_they_are_closed() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("noticing").enable(module!()).await?;
        let there = child.clone();
        let block = child.open_context(notices {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            assert!(!stream.is_closed());
            there.run(happened { mark: "open".into() }).await?;
            stream.stop();
            there.run(happened { mark: "closed".into() }).await?;
            let (tx, rx) = stream.split();
            rx.closed().await?;
            assert!(tx.is_closed() && rx.is_closed());
            ctx.cancel().await
        });
        block.await?;
        // A context that ends closes both.
        let block = child.open_context(flood { items: 3 }, async |ctx, ()| {
            let (tx, rx) = ctx.open_stream().await?.split();
            tx.closed().await?;
            rx.closed().await?;
            let rest = rest(rx).await?;
            assert_eq!(rest, [0, 1, 2], "what came before is there");
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

async fn rest(mut rx: RecvHalf<u64>) -> Result<Vec<u64>> {
    let mut items = Vec::new();
    while let Some(n) = rx.next().await? {
        items.push(n);
    }
    Ok(items)
}

#[tractor::test(matrix)]
async fn stats_tell_how_far_a_stream_has_come() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("echo").enable(module!()).await?;
        let block = child.open_context(echo {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            for n in 0..3 {
                stream.send(n).await?;
            }
            assert_eq!(stream.recv().await?, 0);
            assert_eq!(stream.recv().await?, 1);
            let StreamStats { sending, receiving, .. } = stream.stats().unwrap();
            assert_eq!(sending.sent, 3);
            assert!(sending.peer_opened);
            let credit = sending.credit.unwrap();
            assert!(credit.items <= 1_024 - 3 && credit.bytes < 1 << 20, "{credit:?}");
            assert_eq!(receiving.received - receiving.unread, 2, "{receiving:?}");
            assert_eq!(stream.recv().await?, 2);
            let receiving = stream.stats().unwrap().receiving;
            assert_eq!((receiving.received, receiving.unread), (3, 0));
            // Also when it is read by several.
            let mut sub = stream.subscribe()?;
            stream.send(3).await?;
            assert_eq!(sub.recv().await?, 3);
            let receiving = stream.stats().unwrap().receiving;
            assert_eq!((receiving.received, receiving.unread), (4, 0));
            assert_eq!(sub.stats().unwrap().behind, 0);
            let (mut tx, rx) = stream.split();
            assert_eq!(rx.subscription_stats().unwrap().behind, 1);
            tx.stop();
            assert_eq!(ctx.wait_for_result().await?, 4);
            assert!(tx.stats().is_none() && rx.stats().is_none(), "it has ended");
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

/// A receiver that drops the oldest: its sender never waits, and it reads the youngest.
#[tractor::test(matrix)]
async fn drop_oldest_keeps_the_youngest() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("flooder").enable(module!()).await?;
        let block = child.open_context(flood { items: 5_000 }, async |ctx, ()| {
            let stream = ctx.open_stream_with(OverrunPolicy::DropOldest(8)).await?;
            assert_eq!(ctx.wait_for_result().await?, 5_000);
            rest(stream.split().1).await
        });
        assert_eq!(block.await?, (4_992..5_000).collect::<Vec<_>>());
        // One that reads on all the while gets the youngest as well, in order.
        let block = child.open_context(flood { items: 5_000 }, async |ctx, ()| {
            let mut stream = ctx.open_stream_with(OverrunPolicy::DropOldest(8)).await?;
            let mut last = None;
            while let Some(n) = stream.next().await? {
                assert!(last < Some(n), "{n} after {last:?}");
                last = Some(n);
            }
            Ok(last)
        });
        assert_eq!(block.await?, Some(4_999));
        child.cancel_actor().await
    })
    .await
}

/// A receiver for which too much is an error: its sender fails of it, and the receiver with that.
#[tractor::test(matrix)]
async fn overrun_is_an_error_where_that_was_chosen() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("flooder").enable(module!()).await?;
        let block = child.open_context(flood { items: 5_000 }, async |ctx, ()| {
            let stream = ctx.open_stream_with(OverrunPolicy::Error).await?;
            ctx.wait_for_result().await?;
            drop(stream);
            Ok(())
        });
        let error = block.await.unwrap_err();
        assert_eq!(remote_type(&error), "StreamOverrun", "{error:?}");
        // Fast enough is fast enough.
        let block = child.open_context(echo {}, async |ctx, ()| {
            let mut stream = ctx.open_stream_with(OverrunPolicy::Error).await?;
            for n in 0..500 {
                stream.send(n).await?;
                assert_eq!(stream.recv().await?, n);
            }
            stream.stop();
            ctx.wait_for_result().await
        });
        assert_eq!(block.await?, 500);
        child.cancel_actor().await
    })
    .await
}

/// The serving end may be the strict one, or the one that forgets.
#[tractor::context]
async fn overwhelmed(ctx: Context<(), u64, u64>, strict: bool) -> Result<Vec<u64>> {
    ctx.started(()).await?;
    let policy = if strict { OverrunPolicy::Error } else { OverrunPolicy::DropOldest(4) };
    let rx = ctx.open_stream_with(policy).await?.split().1;
    rx.closed().await?;
    rest(rx).await
}

#[tractor::test(matrix)]
async fn overrun_policy_of_the_serving_end() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("overwhelmed").enable(module!()).await?;
        let block = child.open_context(overwhelmed { strict: false }, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            for n in 0..3_000 {
                stream.send(n).await?;
            }
            stream.stop();
            ctx.wait_for_result().await
        });
        assert_eq!(block.await?, [2_996, 2_997, 2_998, 2_999]);
        let block = child.open_context(overwhelmed { strict: true }, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            for n in 0..3_000 {
                stream.send(n).await?;
            }
            stream.stop();
            ctx.wait_for_result().await
        });
        let error = block.await.unwrap_err();
        assert_eq!(remote_type(&error), "StreamOverrun", "{error:?}");
        child.cancel_actor().await
    })
    .await
}
