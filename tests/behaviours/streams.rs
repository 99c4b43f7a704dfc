//! TWOWAY, and the stream of a context as `futures` has it: a `Stream`, a `Sink`, two halves.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_lite::StreamExt as _;
use futures_sink::Sink;
use tractor::scope::fail_after;
use tractor::{Context, Error, Portal, Result, module, open_nursery};

/// The two forms of the reference's server: a loop around `recv`, and a loop until `None`.
#[tractor::context]
async fn simple_rpc(ctx: Context<u64, String, String>, n: u64, explicit: bool) -> Result<u64> {
    ctx.started(n + 1).await?;
    let mut stream = ctx.open_stream().await?;
    let mut count = 0;
    loop {
        let ping = match explicit {
            true => match stream.recv().await {
                Err(Error::EndOfStream) => break,
                ping => Some(ping?),
            },
            false => stream.next().await?,
        };
        let Some(ping) = ping else { break };
        assert_eq!(ping, "ping");
        count += 1;
        stream.send("pong".to_owned()).await?;
    }
    assert_eq!(count, 10);
    Ok(count)
}

/// Ten times ping, then pong.
async fn ask_in_turn(portal: &Portal, explicit: bool) -> Result<u64> {
    portal
        .open_context(simple_rpc { n: 10, explicit }, async |ctx, first: u64| {
            assert_eq!(first, 11);
            let mut stream = ctx.open_stream().await?;
            for _ in 0..10 {
                stream.send("ping".to_owned()).await?;
                assert_eq!(stream.recv().await?, "pong");
            }
            drop(stream);
            ctx.wait_for_result().await
        })
        .await
}

/// One ping ahead: the block is left with the last of them unanswered.
async fn ask_ahead(portal: &Portal, explicit: bool) -> Result<u64> {
    portal
        .open_context(simple_rpc { n: 10, explicit }, async |ctx, first: u64| {
            assert_eq!(first, 11);
            let mut stream = ctx.open_stream().await?;
            stream.send("ping".to_owned()).await?;
            let mut count = 0;
            while let Some(pong) = stream.next().await? {
                assert_eq!(pong, "pong");
                count += 1;
                stream.send("ping".to_owned()).await?;
                if count == 9 {
                    break;
                }
            }
            assert_eq!(count, 9);
            drop(stream);
            ctx.wait_for_result().await
        })
        .await
}

async fn two_way(explicit: bool, ahead: bool) -> Result<()> {
    open_nursery(async |an| {
        let server = an.start_actor("rpc_server").enable(module!()).await?;
        let count = fail_after(Duration::from_secs(6), async {
            match ahead {
                true => ask_ahead(&server, explicit).await,
                false => ask_in_turn(&server, explicit).await,
            }
        });
        assert_eq!(count.await??, 10);
        server.cancel_actor().await
    })
    .await
}

#[tractor::test(matrix)]
async fn twoway_01_loop_server_and_client_in_turn() -> Result<()> {
    two_way(true, false).await
}

#[tractor::test(matrix)]
async fn twoway_01_loop_server_and_client_ahead() -> Result<()> {
    two_way(true, true).await
}

#[tractor::test(matrix)]
async fn twoway_01_for_server_and_client_in_turn() -> Result<()> {
    two_way(false, false).await
}

#[tractor::test(matrix)]
async fn twoway_01_for_server_and_client_ahead() -> Result<()> {
    two_way(false, true).await
}

/// Sends every number back, doubled.
#[tractor::context]
async fn doubler(ctx: Context<(), u64, u64>) -> Result<u64> {
    ctx.started(()).await?;
    let (mut tx, mut rx) = ctx.open_stream().await?.split();
    let mut count = 0;
    while let Some(n) = rx.next().await? {
        tx.send(2 * n).await?;
        count += 1;
    }
    Ok(count)
}

async fn send_all<S: Sink<u64, Error = Error> + Unpin>(sink: &mut S, count: u64) -> Result<()> {
    for n in 0..count {
        poll_fn(|cx| Pin::new(&mut *sink).poll_ready(cx)).await?;
        Pin::new(&mut *sink).start_send(n)?;
    }
    poll_fn(|cx| Pin::new(&mut *sink).poll_close(cx)).await
}

/// More items than the window holds, both ways at once: each half on its own task.
#[tractor::test(matrix)]
async fn stream_is_a_futures_stream_and_sink() -> Result<()> {
    const COUNT: u64 = 5_000;
    open_nursery(async |an| {
        let child = an.start_actor("doubler").enable(module!()).await?;
        let done = child.open_context(doubler {}, async |ctx, ()| {
            let (mut tx, rx) = ctx.open_stream().await?.split();
            let sent = send_all(&mut tx, COUNT);
            let received = rx.try_collect::<u64, Error, Vec<u64>>();
            let (sent, received) = futures_lite::future::zip(sent, received).await;
            sent?;
            let expected: Vec<u64> = (0..COUNT).map(|n| 2 * n).collect();
            assert!(received? == expected, "all of them, in order");
            ctx.wait_for_result().await
        });
        assert_eq!(done.await?, COUNT);
        // Not split: the stream itself is both.
        let done = child.open_context(doubler {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            send_all(&mut stream, 3).await?;
            let received: Vec<u64> = stream.try_collect().await?;
            assert_eq!(received, [0, 2, 4]);
            ctx.wait_for_result().await
        });
        assert_eq!(done.await?, 3);
        child.cancel_actor().await
    })
    .await
}

/// The halves end apart: a sender that is dropped lets the receiver go on.
#[tractor::test(matrix)]
async fn dropped_sending_half_ends_only_its_own_direction() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("doubler").enable(module!()).await?;
        let done = child.open_context(doubler {}, async |ctx, ()| {
            let (mut tx, mut rx) = ctx.open_stream().await?.split();
            tx.send(21).await?;
            drop(tx);
            assert_eq!(rx.next().await?, Some(42));
            assert_eq!(rx.next().await?, None);
            assert!(matches!(rx.recv().await, Err(Error::EndOfStream)), "and so it stays");
            ctx.wait_for_result().await
        });
        assert_eq!(done.await?, 1);
        child.cancel_actor().await
    })
    .await
}

/// Sends numbers until it is told to stop, by the end of the parent's direction.
#[tractor::context]
async fn counter(ctx: Context<(), u64, ()>) -> Result<u64> {
    ctx.started(()).await?;
    let (mut tx, mut rx) = ctx.open_stream().await?.split();
    let mut sent = 0;
    let stop = async { rx.next().await.map(|_| true) };
    let send = async {
        loop {
            tx.send(sent).await?;
            sent += 1;
        }
    };
    futures_lite::future::or(stop, send).await?;
    Ok(sent)
}

/// Backpressure: a sender whose receiver does not read is held, and loses nothing.
#[tractor::test(matrix)]
async fn slow_reader_holds_the_sender_back() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("counter").enable(module!()).await?;
        let done = child.open_context(counter {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            assert_eq!(stream.recv().await?, 0);
            // It is asked for other things meanwhile, and answers: a held sender blocks nobody.
            for _ in 0..3 {
                child.run(still_there {}).await?;
            }
            stream.stop();
            let mut expected = 1;
            while let Some(n) = stream.next().await? {
                assert_eq!(n, expected);
                expected += 1;
            }
            assert_eq!(ctx.wait_for_result().await?, expected);
            Ok(expected)
        });
        // 1,024 items of window, and what one more grant allows.
        let sent = done.await?;
        assert!(sent <= 4_096, "{sent} items were sent to somebody who did not read");
        child.cancel_actor().await
    })
    .await
}

#[tractor::rpc]
async fn still_there() {}
