//! Generators: both forms of `#[stream]`, and how each end of one ends.

use std::time::Duration;

use futures_core::Stream;
use futures_lite::StreamExt as _;
use futures_lite::stream;
use tractor::error::Misuse;
use tractor::scope::{checkpoint, finally, move_on_after, sleep};
use tractor::{Error, OverrunPolicy, Portal, RecvHalf, Result, SendHalf, module, open_nursery};
use tractor_core::error::Misuse as Core;

use crate::{FOREVER, marks, remote_type};

#[tractor::stream]
async fn count(mut out: SendHalf<u64>, to: u64) -> Result<()> {
    for n in 0..to {
        out.send(n).await?;
    }
    Ok(())
}

#[tractor::stream]
async fn say_nothing(_: SendHalf<String>) {}

#[tractor::stream]
fn squares(to: u64) -> impl Stream<Item = u64> + Send {
    stream::iter((0..to).map(|n| n * n))
}

/// Borrows its argument, and yields what is owned on the way.
#[tractor::stream(ns = "text", name = "words")]
fn words_of(text: &str) -> impl Stream<Item = &'static str> {
    let known = ["have", "you", "ever"];
    stream::iter(known).filter(move |word| text.contains(word))
}

#[tractor::stream]
fn numbers(text: String) -> impl Stream<Item = std::result::Result<i32, std::num::ParseIntError>> {
    stream::iter(text.split(' ').map(str::parse).collect::<Vec<_>>())
}

#[tractor::rpc]
async fn happened(mark: String) {
    marks::happened(&mark).await;
}

async fn all<T: serde::de::DeserializeOwned>(mut rx: RecvHalf<T>) -> Result<Vec<T>> {
    let mut items = Vec::new();
    while let Some(item) = rx.next().await? {
        items.push(item);
    }
    Ok(items)
}

/// A child with this module.
async fn child(name: &str, an: &tractor::ActorNursery) -> Result<Portal> {
    an.start_actor(name).enable(module!()).enable_of::<words_of>().await
}

#[tractor::test(matrix)]
async fn both_forms_yield_all_and_end() -> Result<()> {
    open_nursery(async |an| {
        let child = child("forms", &an).await?;
        let counted = child.open_stream_from(count { to: 5_000 }, all).await?;
        assert!(counted == (0..5_000).collect::<Vec<_>>(), "more than a window, in order");
        assert_eq!(child.open_stream_from(squares { to: 4 }, all).await?, [0, 1, 4, 9]);
        assert_eq!(child.open_stream_from(say_nothing {}, all).await?, [""; 0]);
        let words = child.open_stream_from(words_of { text: "ever have".into() }, all).await?;
        assert_eq!(words, ["have", "ever"]);
        // It is a `futures::Stream` too.
        let sum = child.open_stream_from(squares { to: 10 }, async |mut rx: RecvHalf<u64>| {
            rx.try_fold(0, |sum, n| Ok(sum + n)).await
        });
        assert_eq!(sum.await?, 285);
        child.cancel_actor().await
    })
    .await
}

/// The fn itself stays what it was.
#[tractor::test(matrix)]
async fn returned_stream_can_be_had_locally() -> Result<()> {
    assert_eq!(squares(3).collect::<Vec<_>>().await, [0, 1, 4]);
    Ok(())
}

/// The error waits behind the items; whoever reads that far gets it, and so does the caller.
#[tractor::test(matrix)]
async fn error_of_an_item_comes_behind_those_before_it() -> Result<()> {
    open_nursery(async |an| {
        let child = child("parser", &an).await?;
        let text = "1 2 x 4".to_owned();
        let failed = child.open_stream_from(numbers { text: text.clone() }, async |mut rx| {
            assert_eq!((rx.recv().await?, rx.recv().await?), (1, 2));
            let error = rx.next().await.unwrap_err();
            assert_eq!(remote_type(&error), "ParseIntError");
            assert_eq!(
                remote_type(&rx.next().await.unwrap_err()),
                "ParseIntError",
                "and so it stays"
            );
            assert!(rx.is_closed());
            Err::<(), _>(error)
        });
        let error = failed.await.unwrap_err();
        assert_eq!(error.leaves().len(), 1, "one failure, told once: {error:?}");
        assert_eq!(remote_type(&error), "ParseIntError");
        // A block that makes something of it has dealt with it.
        let handled = child.open_stream_from(numbers { text }, async |mut rx| {
            let mut sum = 0;
            while let Ok(Some(n)) = rx.next().await {
                sum += n;
            }
            Ok(sum)
        });
        assert_eq!(handled.await?, 3);
        child.cancel_actor().await
    })
    .await
}

#[tractor::stream]
async fn fails_at_once(mut out: SendHalf<u64>, after: u64) -> Result<()> {
    for n in 0..after {
        out.send(n).await?;
    }
    out.stop();
    drop(out);
    Err(std::io::Error::other("too much").into())
}

/// Having stopped its handle, a task may still fail: that is how its stream ends.
#[tractor::test(matrix)]
async fn error_after_the_handle_is_gone_is_not_lost() -> Result<()> {
    open_nursery(async |an| {
        let child = child("failing", &an).await?;
        for after in [0, 3] {
            let ended = child.open_stream_from(fails_at_once { after }, async |mut rx| {
                for n in 0..after {
                    assert_eq!(rx.recv().await?, n);
                }
                let error = rx.next().await.unwrap_err();
                assert_eq!(remote_type(&error), "OSError");
                Ok("told")
            });
            assert_eq!(ended.await?, "told");
        }
        child.cancel_actor().await
    })
    .await
}

/// A block that ends without having read of it has the failure raised at its end.
#[tractor::test(matrix)]
async fn unread_failure_is_raised_at_the_blocks_end() -> Result<()> {
    open_nursery(async |an| {
        let child = child("failing", &an).await?;
        let left = child.open_stream_from(fails_at_once { after: 3 }, async |rx| {
            rx.closed().await?;
            assert_eq!(rx.stats(), None, "it has ended");
            Ok(())
        });
        assert_eq!(remote_type(&left.await.unwrap_err()), "OSError");
        // The block is not cancelled by it: what came before is there to be read.
        let read = child.open_stream_from(fails_at_once { after: 3 }, async |mut rx| {
            rx.closed().await?;
            checkpoint().await?;
            let mut items = Vec::new();
            while let Ok(Some(n)) = rx.next().await {
                items.push(n);
            }
            Ok(items)
        });
        assert_eq!(read.await?, [0, 1, 2]);
        child.cancel_actor().await
    })
    .await
}

/// Yields for ever. Its cleanup leaves a mark, so that the test can see that it ran.
#[tractor::stream]
async fn forever(mut out: SendHalf<u64>, mark: String) -> Result<()> {
    let forever = async {
        let mut n = 0;
        loop {
            out.send(n).await?;
            n += 1;
        }
    };
    finally(forever, async move { marks::set(&mark) }).await
}

/// A block that has enough cancels the generator and waits for it; nobody fails by that.
#[tractor::test(matrix)]
async fn block_that_has_enough_cancels_the_generator() -> Result<()> {
    open_nursery(async |an| {
        let child = child("endless", &an).await?;
        let first = child.open_stream_from(forever { mark: "a".into() }, async |mut rx| {
            Ok([rx.recv().await?, rx.recv().await?])
        });
        assert_eq!(first.await?, [0, 1]);
        child.run(happened { mark: "a".into() }).await?;
        // By an error of the block's own.
        let failed = child.open_stream_from(forever { mark: "b".into() }, async |mut rx| {
            rx.recv().await?;
            Err::<(), _>(Error::EndOfStream)
        });
        assert!(matches!(failed.await, Err(Error::EndOfStream)));
        child.run(happened { mark: "b".into() }).await?;
        // By a scope around it.
        let stopped = child.open_stream_from(forever { mark: "c".into() }, async |mut rx| {
            loop {
                let n = rx.recv().await?;
                if n == 3_000 {
                    return sleep(FOREVER).await;
                }
            }
        });
        assert!(move_on_after(Duration::from_millis(100), stopped).await.is_none());
        child.run(happened { mark: "c".into() }).await?;
        // By a block that never was interested.
        child.open_stream_from(forever { mark: "d".into() }, async |_| Ok(())).await?;
        child.run(happened { mark: "d".into() }).await?;
        child.cancel_actor().await
    })
    .await
}

/// Dropping or closing the stream is having enough of it; the block goes on.
#[tractor::test(matrix)]
async fn dropped_or_closed_stream_cancels_the_generator() -> Result<()> {
    open_nursery(async |an| {
        let child = child("endless", &an).await?;
        let there = child.clone();
        let block = child.open_stream_from(forever { mark: "dropped".into() }, async |rx| {
            drop(rx);
            there.run(happened { mark: "dropped".into() }).await
        });
        block.await?;
        let block = child.open_stream_from(forever { mark: "closed".into() }, async |mut rx| {
            assert_eq!(rx.recv().await?, 0);
            assert!(!rx.is_closed());
            rx.close();
            rx.close(); // idempotent
            assert!(rx.is_closed());
            rx.closed().await?;
            assert_eq!(rx.next().await?, None);
            assert!(matches!(rx.recv().await, Err(Error::EndOfStream)));
            there.run(happened { mark: "closed".into() }).await
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

/// Whoever else cancels a generator is named in the error, behind the items before.
#[tractor::stream]
async fn cancelled_by_itself(mut out: SendHalf<u64>) -> Result<()> {
    out.send(1).await?;
    tractor::current_actor()?.cancel();
    sleep(FOREVER).await
}

#[tractor::test(matrix)]
async fn generator_of_an_actor_that_ends_is_cancelled_by_it() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("suicidal").enable(module!()).isolated().await?;
        let uid = child.uid().clone();
        let block = child.open_stream_from(cancelled_by_itself {}, async |mut rx| {
            assert_eq!(rx.recv().await?, 1);
            rx.next().await.map(|_| ())
        });
        match block.await {
            Err(Error::ContextCancelled(error)) => assert_eq!(error.canceller(), Some(&uid)),
            other => panic!("not the child's own cancel: {other:?}"),
        }
        an.cancel().await
    })
    .await
}

/// A generator whose actor is killed: the reader hears of it at once.
#[tractor::test(matrix)]
async fn killed_generator_fails_its_reader_at_once() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("victim").enable(module!()).isolated().await?;
        let pid = child.pid().unwrap();
        let block = child.open_stream_from(forever { mark: "never".into() }, async |mut rx| {
            assert_eq!(rx.recv().await?, 0);
            crate::kill(pid);
            loop {
                rx.recv().await?;
            }
        });
        let ended: Result<()> = block.await;
        assert!(matches!(ended, Err(Error::ActorFailed(_))), "{ended:?}");
        an.cancel().await
    })
    .await
}

#[tractor::test(matrix)]
async fn reader_that_does_not_read_holds_the_generator_back() -> Result<()> {
    open_nursery(async |an| {
        let child = child("endless", &an).await?;
        let there = child.clone();
        let block = child.open_stream_from(forever { mark: "left".into() }, async |mut rx| {
            assert_eq!(rx.recv().await?, 0);
            // It answers other calls meanwhile: a held generator holds nobody else.
            for _ in 0..5 {
                assert_eq!(there.open_stream_from(count { to: 2 }, all).await?, [0, 1]);
            }
            let stats = rx.stats().unwrap();
            assert!(stats.received <= 2_048, "a window, and what one more grant allows: {stats:?}");
            assert!(stats.unread < stats.received, "{stats:?}");
            // And it was only held.
            for n in 1..5_000 {
                assert_eq!(rx.recv().await?, n);
            }
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

/// The reader chooses what happens to too much; the generator then never waits.
#[tractor::test(matrix)]
async fn overrun_policy_of_a_generator_is_the_readers_choice() -> Result<()> {
    open_nursery(async |an| {
        let child = child("counting", &an).await?;
        let keep = OverrunPolicy::DropOldest(10);
        let last = child.open_stream_from_with(count { to: 5_000 }, keep, async |rx| {
            rx.closed().await?;
            all(rx).await
        });
        assert_eq!(last.await?, (4_990..5_000).collect::<Vec<_>>());
        let strict = OverrunPolicy::Error;
        let overrun = child.open_stream_from_with(count { to: 5_000 }, strict, async |rx| {
            rx.closed().await?;
            Ok(())
        });
        let error = overrun.await.unwrap_err();
        assert_eq!(remote_type(&error), "StreamOverrun", "{error:?}");
        child.cancel_actor().await
    })
    .await
}

#[tractor::stream]
async fn misuses_its_handle(mut out: SendHalf<u64>) -> Result<()> {
    out.send(1).await?;
    assert!(!out.is_closed());
    out.stop();
    out.stop(); // idempotent
    assert!(out.is_closed());
    out.closed().await?;
    match out.send(2).await {
        Err(Error::Misuse(Misuse::Core(Core::StreamClosed))) => Ok(()),
        other => panic!("sent after stop: {other:?}"),
    }
}

#[tractor::test(matrix)]
async fn stopped_generator_sends_no_more() -> Result<()> {
    open_nursery(async |an| {
        let child = child("stopping", &an).await?;
        assert_eq!(child.open_stream_from(misuses_its_handle {}, all).await?, [1]);
        child.cancel_actor().await
    })
    .await
}

mod not_enabled {
    #[tractor::stream]
    pub(super) async fn hidden(_: tractor::SendHalf<u64>) {}
}

/// What is refused before it begins is raised before the block begins.
#[tractor::test(matrix)]
async fn refused_generator_has_no_block() -> Result<()> {
    open_nursery(async |an| {
        let child = child("closed", &an).await?;
        let refused = child.open_stream_from(not_enabled::hidden {}, async |_| -> Result<()> {
            panic!("there is nothing to read");
        });
        assert!(matches!(refused.await, Err(Error::ModuleNotExposed(_))));
        child.cancel_actor().await
    })
    .await
}

#[tractor::stream]
async fn panics(mut out: SendHalf<u64>) {
    let _ = out.send(1).await;
    std::panic::resume_unwind(Box::new("no more")); // off the terminal
}

#[tractor::test(matrix)]
async fn panic_of_a_generator_is_an_error_of_its_reader() -> Result<()> {
    open_nursery(async |an| {
        let child = child("panicking", &an).await?;
        let failed = child.open_stream_from(panics {}, all).await;
        assert_eq!(remote_type(&failed.unwrap_err()), "Panic");
        child.cancel_actor().await
    })
    .await
}

/// The reader's task may be another one than the block's, and outlive neither.
#[tractor::test(matrix)]
async fn stream_may_be_read_by_another_task() -> Result<()> {
    open_nursery(async |an| {
        let child = child("counting", &an).await?;
        let sum = std::sync::atomic::AtomicU64::new(0);
        let block = child.open_stream_from(count { to: 100 }, async |rx| {
            tractor::scope::open_nursery(async |tn| {
                tn.start_soon(async {
                    let all = all(rx).await?;
                    sum.store(all.iter().sum(), std::sync::atomic::Ordering::Relaxed);
                    Ok(())
                });
                Ok(())
            })
            .await
        });
        block.await?;
        assert_eq!(sum.into_inner(), 4_950);
        child.cancel_actor().await
    })
    .await
}
