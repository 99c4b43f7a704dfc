//! Bad input of a user, in contexts and streams: an error at the call, and nothing has changed.

use tractor::error::Misuse;
use tractor::scope::sleep;
use tractor::{Context, Error, OverrunPolicy, Result, module, open_nursery};
use tractor_core::error::Misuse as Core;

use crate::{FOREVER, remote_type};

/// The command that was refused.
#[track_caller]
fn misuse<T: std::fmt::Debug>(result: Result<T>) -> Core {
    match result {
        Err(Error::Misuse(Misuse::Core(misuse))) => misuse,
        other => panic!("no misuse: {other:?}"),
    }
}

/// Does everything too early or too often, in between what is right.
#[tractor::context]
async fn clumsy(ctx: Context<u32, u32, u32>) -> Result<u32> {
    assert_eq!(misuse(ctx.open_stream().await), Core::StreamBeforeStarted);
    ctx.started(7).await?;
    assert_eq!(misuse(ctx.started(8).await), Core::StartedTwice);
    let mut stream = ctx.open_stream().await?;
    assert_eq!(misuse(ctx.open_stream().await), Core::SecondStream);
    let other_policy = ctx.open_stream_with(OverrunPolicy::Error).await;
    assert_eq!(misuse(other_policy), Core::SecondStream);
    assert_eq!(misuse(ctx.started(9).await), Core::StartedTwice);
    let n = stream.recv().await?;
    stream.send(n + 1).await?;
    stream.stop();
    stream.stop(); // idempotent
    assert_eq!(misuse(stream.send(0).await), Core::StreamClosed);
    Ok(n)
}

#[tractor::test(matrix)]
async fn misuse_of_a_context_is_refused_and_changes_nothing() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("clumsy").enable(module!()).await?;
        let done = child.open_context(clumsy {}, async |ctx, first: u32| {
            assert_eq!(first, 7);
            let mut stream = ctx.open_stream().await?;
            assert_eq!(misuse(ctx.open_stream().await), Core::SecondStream);
            stream.send(41).await?;
            assert_eq!(stream.recv().await?, 42);
            assert_eq!(stream.next().await?, None);
            ctx.wait_for_result().await
        });
        assert_eq!(done.await?, 41);
        child.cancel_actor().await
    })
    .await
}

#[tractor::context]
async fn never_started(_ctx: Context<u32, (), ()>) -> Result<()> {
    Ok(())
}

/// The value that the block begins with was never sent.
#[tractor::test(matrix)]
async fn context_that_returns_before_started_fails() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let block = child.open_context(never_started {}, async |_, _: u32| Ok("in the block"));
        let error = block.await.unwrap_err();
        assert_eq!(remote_type(&error), "RuntimeError");
        assert!(error.to_string().contains("`started`"), "{error}");
        child.cancel_actor().await
    })
    .await
}

#[tractor::context]
async fn echo_forever(ctx: Context<(), u32, u32>) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    while let Some(n) = stream.next().await? {
        stream.send(n).await?;
    }
    sleep(FOREVER).await
}

/// After the context was cancelled everything says so; cancelling it again is no error.
#[tractor::test(matrix)]
async fn use_after_cancel_says_that_it_was_cancelled() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let block = child.open_context(echo_forever {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            stream.send(1).await?;
            assert_eq!(stream.recv().await?, 1);
            ctx.cancel().await?;
            let result = ctx.wait_for_result().await;
            assert!(matches!(result, Err(Error::ContextCancelled(_))), "{result:?}");
            let sent = stream.send(2).await;
            assert!(matches!(sent, Err(Error::ContextCancelled(_))), "{sent:?}");
            let received = stream.recv().await;
            assert!(matches!(received, Err(Error::ContextCancelled(_))), "{received:?}");
            ctx.cancel().await?;
            Ok("absorbed")
        });
        assert_eq!(block.await?, "absorbed");
        let block = child.open_context(echo_forever {}, async |ctx, ()| {
            ctx.cancel().await?;
            let _ = ctx.wait_for_result().await;
            let stream = ctx.open_stream().await;
            assert!(matches!(stream, Err(Error::ContextCancelled(_))), "{stream:?}");
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

#[tractor::context]
async fn measure(ctx: Context<(), usize, String>) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    while let Some(text) = stream.next().await? {
        stream.send(text.len()).await?;
    }
    Ok(())
}

#[tractor::rpc]
async fn len(text: &str) -> usize {
    text.len()
}

/// A frame's limit is 16 MiB: what is larger is refused where it is sent, naming the limit.
#[tractor::test(matrix)]
async fn payload_over_the_limit_is_refused_where_it_is_sent() -> Result<()> {
    let too_large = "x".repeat((16 << 20) + 1);
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let refused = child.run(len { text: too_large.clone() }).await.unwrap_err();
        assert!(refused.to_string().contains("over the frame limit of"), "{refused}");
        assert!(matches!(misuse::<()>(Err(refused)), Core::TooLarge { .. }));
        let block = child.open_context(measure {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            let refused = stream.send(too_large.clone()).await;
            assert!(matches!(misuse(refused), Core::TooLarge { .. }));
            stream.send("abc".to_owned()).await?;
            assert_eq!(stream.recv().await?, 3, "the stream goes on");
            Ok(())
        });
        block.await?;
        assert_eq!(child.run(len { text: "x".into() }).await?, 1, "and the connection");
        child.cancel_actor().await
    })
    .await
}

/// An item of another type than the receiver's: an error for that item, and the stream goes on.
#[tractor::context]
async fn mixed_items(ctx: Context<(), String, ()>) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    for item in ["one", "two"] {
        stream.send(item.to_owned()).await?;
    }
    Ok(())
}

/// `mixed_items`, as somebody would have it who expects numbers.
#[derive(serde::Serialize, serde::Deserialize)]
struct Mistaken {}

impl tractor::endpoint::Named for Mistaken {
    const PATH: tractor::endpoint::EndpointPath = mixed_items::PATH;
}

impl tractor::endpoint::ContextEndpoint for Mistaken {
    type Started = ();
    type ToParent = u64;
    type FromParent = ();
    type Output = ();

    async fn call(self, _: Context<(), u64, ()>) -> Result<(), tractor::BoxError> {
        unreachable!("it is not registered")
    }
}

/// What a far task had to say that was faster than the block is there, though it has ended.
#[tractor::test(matrix)]
async fn stream_opened_after_the_far_end_has_what_was_sent() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let block = child.open_context(mixed_items {}, async |ctx, ()| {
            ctx.wait_for_result().await?;
            let mut stream = ctx.open_stream().await?;
            assert_eq!(misuse(ctx.open_stream().await), Core::SecondStream);
            assert_eq!(stream.recv().await?, "one");
            assert_eq!(stream.recv().await?, "two");
            assert_eq!(stream.next().await?, None);
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

#[tractor::test(matrix)]
async fn item_of_another_type_is_an_error_and_the_stream_goes_on() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let block = child.open_context(Mistaken {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            for _ in 0..2 {
                let item = stream.next().await;
                assert!(matches!(item, Err(Error::MsgType(_))), "{item:?}");
            }
            assert!(matches!(stream.next().await, Ok(None)));
            ctx.wait_for_result().await
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}
