//! CTX: contexts and their streams, and how they end.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_lite::FutureExt as _;
use serde::{Deserialize, Serialize};
use tractor::context::ContextState;
use tractor::error::Misuse;
use tractor::scope::{self, finally, sleep};
use tractor::{
    Absorb as _, Context, Error, OverrunPolicy, ParentContext, Portal, Raise, Result,
    current_actor, current_ctx, find_actor, module, open_nursery,
};
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

/// Who a cancellation says it comes from. Fails for any other error.
#[track_caller]
fn canceller<T: std::fmt::Debug>(result: &Result<T>) -> String {
    match result {
        Err(Error::ContextCancelled(error)) => error.canceller().unwrap().name.to_string(),
        other => panic!("not cancelled: {other:?}"),
    }
}

// CTX-01

#[tractor::context]
async fn start_twice(ctx: Context<u32, (), ()>) -> Result<()> {
    ctx.started(1).await?;
    ctx.started(2).await
}

#[tractor::context]
async fn stream_too_early(ctx: Context<u32, (), ()>) -> Result<()> {
    ctx.open_stream().await?;
    ctx.started(1).await
}

/// The misuse is an error where it happens, and so of the task, and so of the block.
#[tractor::test(matrix)]
async fn ctx_01_started_misuse() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("clumsy").enable(module!()).await?;
        let twice = child.open_context(start_twice {}, async |_, first: u32| {
            assert_eq!(first, 1);
            sleep(FOREVER).await
        });
        let error = twice.await.unwrap_err();
        assert_eq!(remote_type(&error), "RuntimeError");
        assert!(error.to_string().contains("`started` may be called only once"), "{error}");
        let early = child.open_context(stream_too_early {}, async |_, _: u32| Ok("in the block"));
        let error = early.await.unwrap_err();
        assert_eq!(remote_type(&error), "RuntimeError");
        assert!(error.to_string().contains("`started` before `open_stream`"), "{error}");
        child.cancel_actor().await
    })
    .await
}

// CTX-02

/// Whether the task below is under way, in the child.
static UNDER_WAY: AtomicBool = AtomicBool::new(false);

#[tractor::context]
async fn set_up_and_tear_down(
    ctx: Context<u32, (), ()>,
    data: u32,
    forever: bool,
) -> Result<String> {
    UNDER_WAY.store(true, Ordering::SeqCst);
    assert!(current_ctx()?.is_same(ctx.raw()));
    ctx.started(data + 1).await?;
    let body = async move {
        if forever {
            sleep(FOREVER).await?;
        }
        Ok("yo".to_owned())
    };
    finally(body, async { UNDER_WAY.store(false, Ordering::SeqCst) }).await
}

#[tractor::rpc]
async fn is_under_way() -> bool {
    UNDER_WAY.load(Ordering::SeqCst)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum OfParent {
    NoError,
    AnError,
    Interrupt,
}

async fn simple_context(
    child: &Portal,
    error: OfParent,
    forever: bool,
    stream: bool,
) -> Result<()> {
    let task = set_up_and_tear_down { data: 10, forever };
    let block = async |ctx: ParentContext<set_up_and_tear_down>, first: u32| {
        assert_eq!(first, 11);
        let open = if stream { Some(ctx.open_stream().await?) } else { None };
        match error {
            OfParent::AnError => "x".parse::<u32>().raise().map(drop)?,
            OfParent::Interrupt => return Err(Error::Interrupted { signal: 2 }),
            OfParent::NoError if forever => ctx.cancel().await?,
            OfParent::NoError => assert_eq!(ctx.wait_for_result().await?, "yo"),
        }
        drop(open);
        Ok(())
    };
    child.open_context(task, block).await
}

#[tractor::test(matrix)]
async fn ctx_02_simple_context() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("simple").enable(module!()).await?;
        for error in [OfParent::NoError, OfParent::AnError, OfParent::Interrupt] {
            for (forever, stream) in [(false, false), (false, true), (true, false), (true, true)] {
                let result = simple_context(&child, error, forever, stream).await;
                let what = format!("{error:?} {forever} {stream}: {result:?}");
                match error {
                    OfParent::NoError => assert!(result.is_ok(), "{what}"),
                    OfParent::AnError => {
                        assert_eq!(result.unwrap_err().type_name(), "ParseIntError", "{what}");
                    }
                    OfParent::Interrupt => {
                        assert!(matches!(result, Err(Error::Interrupted { signal: 2 })), "{what}");
                    }
                }
                // The far task has ended, its cleanup too, before the block did.
                assert!(!child.run(is_under_way {}).await?, "{what}");
            }
        }
        child.cancel_actor().await
    })
    .await
}

// CTX-04

#[tractor::context]
async fn open_and_close(ctx: Context<(), (), String>) -> Result<()> {
    ctx.started(()).await?;
    drop(ctx.open_stream().await?);
    Ok(())
}

#[tractor::test(matrix)]
async fn ctx_04_child_exits_ctx_after_stream_open() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("closer").enable(module!()).await?;
        for send_first in [false, true] {
            let block = child.open_context(open_and_close {}, async |ctx, ()| {
                let mut stream = ctx.open_stream().await?;
                if send_first {
                    // Into a stream that is closing: it gets there, or is told that it can't.
                    let sent = stream.send("yo".into()).await;
                    assert!(matches!(sent, Ok(()) | Err(Error::EndOfStream)), "{sent:?}");
                }
                assert_eq!(stream.next().await?, None, "no item, and no error");
                assert!(matches!(stream.recv().await, Err(Error::EndOfStream)));
                assert_eq!(misuse(ctx.open_stream().await), Core::SecondStream);
                ctx.wait_for_result().await?;
                let late = stream.send("yo".into()).await;
                assert!(matches!(late, Err(Error::EndOfStream)), "{late:?}");
                Ok(())
            });
            block.await?;
        }
        child.cancel_actor().await
    })
    .await
}

// CTX-05

/// What the cancelled task saw, in the child.
static SEEN_BY_CHILD: AtomicBool = AtomicBool::new(false);

#[tractor::context]
async fn echo_until_cancelled(ctx: Context<(), String, String>, send_first: bool) -> Result<()> {
    SEEN_BY_CHILD.store(false, Ordering::SeqCst);
    ctx.started(()).await?;
    let told = ctx.clone();
    let body = async move {
        let mut stream = ctx.open_stream().await?;
        if send_first {
            stream.send("yo".into()).await?;
        }
        while let Some(text) = stream.next().await? {
            stream.send(text).await?;
        }
        sleep(FOREVER).await
    };
    let cleanup = async move {
        let by_parent = told.canceller().as_ref() == Some(told.peer());
        let unaware = told.maybe_error().is_none() && !told.has_outcome() && !told.cancel_called();
        let cancelling = told.state() == ContextState::Cancelling;
        SEEN_BY_CHILD.store(by_parent && unaware && cancelling, Ordering::SeqCst);
    };
    finally(body, cleanup).await
}

#[tractor::rpc]
async fn seen_by_child() -> bool {
    SEEN_BY_CHILD.load(Ordering::SeqCst)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum CancelAt {
    PreStream,
    PostStreamOpen,
    PostStreamClose,
    AfterATimeout,
}

type EchoCtx = ParentContext<echo_until_cancelled>;

/// The block of CTX-05.
async fn cancel_at(ctx: EchoCtx, at: CancelAt, wait_first: bool, send_first: bool) -> Result<()> {
    if at == CancelAt::PreStream {
        ctx.cancel().await?;
        // Refused, with what the context ended of: also when an item is here to be read.
        assert_eq!(canceller(&ctx.open_stream().await), "root");
        return Ok(());
    }
    assert_eq!(ctx.state(), ContextState::Started);
    let mut stream = ctx.open_stream().await?;
    assert_eq!(ctx.state(), ContextState::Streaming);
    if wait_first {
        if !send_first {
            stream.send("yo".into()).await?;
        }
        assert_eq!(stream.recv().await?, "yo");
    }
    match at {
        CancelAt::PostStreamOpen => {
            ctx.cancel().await?;
            assert_eq!(canceller(&ctx.wait_for_result().await), "root");
            assert_eq!(canceller(&stream.send("late".into()).await), "root");
        }
        CancelAt::PostStreamClose => {
            drop(stream);
            ctx.cancel().await?;
        }
        _ => {
            let waits = scope::move_on_after(Duration::from_millis(30), ctx.wait_for_result());
            assert!(waits.await.is_none(), "it echoes for ever");
            ctx.cancel().await?;
        }
    }
    Ok(())
}

async fn ctx_05(child: &Portal, at: CancelAt, wait_first: bool, send_first: bool) -> Result<()> {
    let what = format!("{at:?}, waits {wait_first}, child sends {send_first}");
    let mut kept = None;
    let task = echo_until_cancelled { send_first };
    let block = child.open_context(task, async |ctx: EchoCtx, ()| {
        kept = Some(ctx.clone());
        cancel_at(ctx, at, wait_first, send_first).await
    });
    block.await?;
    let ctx = kept.unwrap();
    assert!(ctx.cancel_called() && ctx.cancel_acked() && ctx.has_outcome(), "{what}");
    assert_eq!(ctx.state(), ContextState::SelfCancelled, "{what}");
    assert_eq!(ctx.canceller().as_ref(), Some(current_actor()?.uid()), "{what}");
    assert_eq!(canceller(&ctx.outcome().unwrap()), "root");
    for error in [ctx.remote_error(), ctx.maybe_error(), ctx.wait_for_result().await.err()] {
        let Some(Error::ContextCancelled(ctxc)) = error else { panic!("{what}: {error:?}") };
        assert!(ctxc.is_own_cancel(), "{what}");
    }
    assert!(ctx.local_error().is_none(), "{what}: the block itself is fine");
    assert!(child.run(seen_by_child {}).await?, "{what}");
    Ok(())
}

#[tractor::test(matrix)]
async fn ctx_05_parent_exits_ctx_after_child_enters_stream() -> Result<()> {
    use CancelAt::{AfterATimeout, PostStreamClose, PostStreamOpen, PreStream};
    open_nursery(async |an| {
        let child = an.start_actor("echo").enable(module!()).await?;
        for at in [PreStream, PostStreamOpen, PostStreamClose, AfterATimeout] {
            for (wait_first, send_first) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                ctx_05(&child, at, wait_first, send_first).await?;
            }
        }
        assert!(child.is_connected());
        child.cancel_actor().await
    })
    .await
}

// CTX-06

/// One task of the parent cancels while another one reads.
#[tractor::test(matrix)]
async fn ctx_06_multitask_parent_cancels_from_nonroot_task() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("echo").enable(module!()).await?;
        scope::open_nursery(async |tn| {
            let mut seen = Vec::new();
            let task = echo_until_cancelled { send_first: false };
            let block = child.open_context(task, async |ctx: EchoCtx, ()| {
                let (mut tx, mut rx) = ctx.open_stream().await?.split();
                let canceller = ctx.clone();
                tn.start_soon(async move {
                    tx.send("yo".into()).await?;
                    scope::checkpoint().await?;
                    canceller.cancel().await
                });
                loop {
                    let item = rx.next().await;
                    seen.push(item.as_ref().map(|_| ()).map_err(Clone::clone));
                    item?;
                }
                #[expect(unreachable_code, reason = "the type of the block")]
                Ok(())
            });
            // The reading task fails of it, so that there is no value: it is absorbed all the same.
            assert!(block.await.absorb()?.is_none());
            let ctxc = seen.pop().unwrap();
            assert_eq!(canceller(&ctxc), "root");
            assert!(seen.iter().all(Result::is_ok), "{seen:?}");
            Ok(())
        })
        .await?;
        assert!(child.is_connected());
        child.cancel_actor().await
    })
    .await
}

/// Nests too deep to be sent when it is a list of that many lists.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nested(Vec<Nested>);

fn nested(depth: u32) -> Nested {
    (0..depth).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner]))
}

#[tractor::context]
async fn start_with_something_else_then(ctx: Context<Nested, (), ()>) -> Result<()> {
    let refused = ctx.started(nested(100)).await;
    assert!(matches!(refused, Err(Error::MsgType(_))), "{refused:?}");
    ctx.started(nested(3)).await
}

/// A first value that can't be sent is an error where it is given, and may be given again.
#[tractor::test(matrix)]
async fn started_value_that_is_refused_may_be_tried_again() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let task = start_with_something_else_then {};
        let first = child.open_context(task, async |_, first: Nested| Ok(first)).await?;
        assert_eq!(first, nested(3));
        child.cancel_actor().await
    })
    .await
}

#[tractor::rpc]
async fn answer() {}

/// Cancels it once its far task has begun: an answer to what was asked later is here.
async fn cut_once_begun<T>(child: &Portal, opens: impl Future<Output = T>) -> Option<T> {
    let cut = scope::CancelScope::new();
    let cancel = async {
        child.run(answer {}).await.unwrap();
        cut.cancel();
        pending().await
    };
    cut.run(opens).or(cancel).await
}

/// Never starts, and fails when it is cancelled.
#[tractor::context]
async fn fail_instead_of_starting(_ctx: Context<(), (), ()>) -> Result<()> {
    finally(sleep(FOREVER), async { "x".parse::<u32>().raise().map(drop) }).await
}

/// ER-10. Cancelled while it waits for `started`: what the far task fails of is raised, and not the
/// cancellation.
#[tractor::test(matrix)]
async fn cancel_while_starting_raises_what_the_task_fails_of() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let opens = child.open_context(fail_instead_of_starting {}, async |_, ()| Ok(()));
        let cut = cut_once_begun(&child, opens).await;
        let Some(Err(error)) = cut else { panic!("{cut:?}") };
        assert_eq!(remote_type(&error), "ParseIntError");
        // Nothing of the kind where it ends as it was asked to.
        let opens = child.open_context(never_start {}, async |_, ()| Ok(()));
        let cut = cut_once_begun(&child, opens).await;
        assert!(cut.is_none(), "{cut:?}");
        child.cancel_actor().await
    })
    .await
}

#[tractor::context]
async fn never_start(_ctx: Context<(), (), ()>) -> Result<()> {
    sleep(FOREVER).await
}

// CTX-07

#[tractor::context]
async fn cancel_self(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.cancel().await;
    ctx.open_stream().await.unwrap_err();
    assert!(scope::checkpoint().await.is_err(), "its own scope is cancelled");
    sleep(FOREVER).await
}

#[tractor::test(matrix)]
async fn ctx_07_child_cancels_before_started() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("cancels_self").enable(module!()).await?;
        let block = child.open_context(cancel_self {}, async |ctx, ()| {
            ctx.open_stream().await?;
            sleep(FOREVER).await
        });
        let result = block.await;
        assert_eq!(canceller(&result), "cancels_self");
        let error = result.unwrap_err();
        assert!(error.to_string().contains("itself"), "{error}");
        child.cancel_actor().await
    })
    .await
}

// CTX-09

const BATCH: u64 = 100;

/// Sends back what comes; slowly, when it is to be the slower one.
#[tractor::context]
async fn echo_batches(
    ctx: Context<(), u64, u64>,
    policy: u32,
    slow: bool,
    stays: bool,
) -> Result<String> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream_with(policy_of(policy)).await?;
    if slow {
        sleep(Duration::from_millis(60)).await?;
    }
    while let Some(n) = stream.next().await? {
        stream.send(n).await?;
    }
    if stays {
        sleep(FOREVER).await?;
    }
    Ok("yo".into())
}

fn policy_of(number: u32) -> OverrunPolicy {
    match number {
        0 => OverrunPolicy::Backpressure,
        1 => OverrunPolicy::Error,
        n => OverrunPolicy::DropOldest(n),
    }
}

/// Sends everything, and only then reads, when the parent is to be the slower one.
async fn batches(child: &Portal, policies: (u32, u32), slow_child: bool) -> Result<Vec<u64>> {
    batches_of(child, policies, slow_child, false).await
}

async fn batches_of(
    child: &Portal,
    policies: (u32, u32),
    slow_child: bool,
    stays: bool,
) -> Result<Vec<u64>> {
    let task = echo_batches { policy: policies.1, slow: slow_child, stays };
    let block = child.open_context(task, async |ctx, ()| {
        let stream = ctx.open_stream_with(policy_of(policies.0)).await?;
        let (mut tx, mut rx) = stream.split();
        let send = async move {
            for n in 0..BATCH {
                tx.send(n).await?;
            }
            Ok::<_, Error>(())
        };
        let read = async move {
            if !slow_child {
                sleep(Duration::from_millis(60)).await?;
            }
            let mut all = Vec::new();
            while let Some(n) = rx.next().await? {
                all.push(n);
            }
            Ok::<_, Error>(all)
        };
        let (sent, read) = futures_lite::future::zip(send, read).await;
        let read = read?;
        sent?;
        assert_eq!(ctx.wait_for_result().await?, "yo");
        Ok(read)
    });
    block.await
}

/// The sender waits for the receiver: nothing is lost, whoever is slow.
#[tractor::test(matrix)]
async fn ctx_09_allow_overruns_backpressure() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("echo").enable(module!()).await?;
        for slow_child in [false, true] {
            let all = batches(&child, (0, 0), slow_child).await?;
            assert_eq!(all, (0..BATCH).collect::<Vec<_>>());
        }
        child.cancel_actor().await
    })
    .await
}

/// Without: the one who is too slow tells the sender, who fails of it.
#[tractor::test(matrix)]
async fn ctx_09_allow_overruns_none() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("echo").enable(module!()).await?;
        // The child is slow: that is the far task's own error.
        let error = batches(&child, (0, 1), true).await.unwrap_err();
        assert_eq!(remote_type(&error), "StreamOverrun", "{error:?}");
        assert_eq!(error.remote().unwrap().boxed_type_name(), "StreamOverrun");
        // The parent is slow: it told the far task, which failed of that, and sent it back.
        // Or it had returned by then, which makes it no success.
        for stays in [true, false] {
            let error = batches_of(&child, (1, 0), false, stays).await.unwrap_err();
            let remote = error.remote().unwrap();
            assert_eq!(remote.type_name(), "StreamOverrun", "{error:?}");
            assert_eq!(remote.source_actor().name.as_str(), "root");
            if stays {
                assert_eq!(remote.boxed_type_name(), "RemoteActorError");
            }
        }
        child.cancel_actor().await
    })
    .await
}

/// The oldest may be dropped: what is left is in order, and ends with the last.
#[tractor::test(matrix)]
async fn ctx_09_allow_overruns_drop_oldest() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("echo").enable(module!()).await?;
        for slow_child in [false, true] {
            let policies = if slow_child { (0, 10) } else { (10, 0) };
            let all = batches(&child, policies, slow_child).await?;
            assert!(all.is_sorted() && all.last() == Some(&(BATCH - 1)), "{all:?}");
            assert!(all.len() >= 10, "{all:?}");
        }
        child.cancel_actor().await
    })
    .await
}

/// Cancelled in the middle of it all, whatever the policy: the cancellation is what it ends with.
#[tractor::test(matrix)]
async fn ctx_09_allow_overruns_cancelled() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("echo").enable(module!()).await?;
        for policy in [0, 1, 10] {
            let task = echo_batches { policy, slow: true, stays: false };
            let block = child.open_context(task, async |ctx, ()| {
                let mut stream = ctx.open_stream_with(policy_of(policy)).await?;
                for n in 0..50 {
                    stream.send(n).await?;
                }
                ctx.cancel().await?;
                assert_eq!(canceller(&ctx.wait_for_result().await), "root");
                Ok(())
            });
            block.await?;
        }
        child.cancel_actor().await
    })
    .await
}

// CTX-10

/// There is nobody else at the other end.
#[tractor::test(matrix)]
async fn ctx_10_ctx_with_self_actor() -> Result<()> {
    open_nursery(async |_| {
        find_actor("root", async |portal| {
            let portal = portal.expect("it is registered");
            assert_eq!(portal.uid(), current_actor()?.uid());
            let task = echo_until_cancelled { send_first: false };
            let block = portal.open_context(task, async |_, ()| Ok("in the block"));
            let error = block.await.unwrap_err();
            assert!(matches!(error, Error::Misuse(_)), "{error:?}");
            assert!(error.to_string().contains("its own actor"), "{error}");
            Ok(())
        })
        .await
    })
    .await
}
