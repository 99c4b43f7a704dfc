//! Endings that took too long, never came, or came too early.

use std::future::pending;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_lite::FutureExt as _;
use tractor::error::ExitStatus;
use tractor::scope::{self, sleep};
use tractor::{Context, Error, Result, RootConfig, Stdio, module, open_nursery, open_root_actor};

use crate::{FOREVER, Flag};

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

#[tractor::context]
async fn hold_something_awkward(ctx: Context<(), (), ()>) -> Result<()> {
    let _held = PanicsWhenDropped;
    ctx.started(()).await?;
    sleep(FOREVER).await
}

/// A destructor that panics when its task is cancelled ends the task, with the panic as its error.
#[tractor::test(matrix, timeout = 10)]
async fn panic_of_a_cancelled_task_is_its_error() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let result =
            child.open_context(hold_something_awkward {}, async |ctx, ()| ctx.cancel().await);
        let Err(Error::Remote(error)) = result.await else { panic!() };
        assert_eq!(error.type_name(), "Panic");
        child.cancel_actor().await
    })
    .await
}

/// A process that comes to exist after its child was given up on is neither left nor waited for.
#[tractor::test(matrix, timeout = 10)]
async fn child_that_exists_too_late_does_not_keep_its_root() -> Result<()> {
    open_root_actor(RootConfig::default().teardown(Duration::ZERO), async |_| {
        open_nursery(async |an| {
            for _ in 0..8 {
                let polled_once = async { futures_lite::future::yield_now().await };
                async { drop(an.start_actor("late").await) }.or(polled_once).await;
            }
            // The spawner works in order: now the others exist, too.
            an.start_actor("last").await?.cancel_actor().await
        })
        .await
    })
    .await
}

#[tractor::rpc]
async fn hand_a_cleanup_over(file: String) {
    let flag = Flag::default();
    let cleanup = async move {
        sleep(Duration::from_millis(300)).await?;
        std::fs::write(file, "")?;
        Ok(())
    };
    let raise = flag.clone();
    let body = async move {
        raise.raise();
        pending::<Result<()>>().await
    };
    assert!(flag.cuts(scope::finally(body, cleanup)).await.is_none());
}

/// A file that nobody has yet: variants of a test run side by side.
fn mark_file() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(format!("tractor-mark-{pid}-{count}"))
}

/// A child finishes the cleanups that were handed over before it exits, as a root does.
#[tractor::test(matrix, timeout = 10)]
async fn child_does_not_exit_before_its_cleanups() -> Result<()> {
    let file = mark_file();
    open_nursery(async |an| {
        let file = file.display().to_string();
        an.run_in_actor(hand_a_cleanup_over { file }).await?.result().await
    })
    .await?;
    let left = std::fs::remove_file(&file);
    assert!(left.is_ok(), "the cleanup had not ended: {left:?}");
    Ok(())
}

#[tractor::rpc]
async fn nothing() {}

/// Whoever waits for a failure when the nursery closes is told that none will come.
#[tractor::test(matrix, timeout = 10)]
async fn watcher_of_failures_ends_with_the_nursery() -> Result<()> {
    scope::open_nursery(async |tn| {
        open_nursery(async |an| {
            let watched = an.clone();
            tn.start_soon(async move {
                let failure = watched.next_failure().await;
                assert!(failure.is_err(), "{failure:?}");
            });
            // The watcher waits before this block does, and so is woken first.
            an.run_in_actor(nothing {}).await?.result().await
        })
        .await
    })
    .await
}

/// An actor that has ended takes no more connections, which would keep it from closing.
#[test]
fn ended_actor_accepts_nobody() {
    use tractor_core::{Actor, Config, EndReason, Instant};
    let now = Instant::from_epoch(Duration::ZERO);
    let mut actor = Actor::new(Config::new("root"), [7; 32], now);
    actor.booted(now, Vec::new()).unwrap();
    actor.cancel_self(now, EndReason::Done).unwrap();
    assert!(actor.accepted(now).is_err());
    assert_eq!(actor.census().connections, 0);
}

/// Time limits work outside of any actor, and wait for the tree that they cut.
#[tractor::test(matrix)]
async fn time_limit_around_a_nursery_outside_of_any_actor() {
    let limit = Duration::from_millis(50);
    let cut = tractor::scope::move_on_after(
        limit,
        open_nursery(async |an| {
            an.start_actor("daemon").await?;
            sleep(FOREVER).await
        }),
    );
    assert!(cut.await.is_none());
    assert!(tractor::current_actor().is_err(), "the tree has ended with the limit");
}

#[tractor::rpc]
async fn fail() -> Result<()> {
    Err(Error::from(tractor::BoxError::from("on purpose")))
}

/// An isolated child whose one task fails is reported like one that dies.
#[tractor::test(matrix)]
async fn failure_of_an_isolated_task_is_reported() -> Result<()> {
    open_nursery(async |an| {
        an.start_actor("worker").isolated().run(fail {}).await?;
        let failure = an.next_failure().await?;
        assert_eq!(failure.name(), "worker");
        assert_eq!(failure.error().unwrap().message(), "on purpose");
        Ok(())
    })
    .await
}

/// A start that fails is told to whoever asked for it, and not once more as a failure.
#[tractor::test(matrix)]
async fn failed_start_of_an_isolated_child_is_told_once() -> Result<()> {
    open_nursery(async |an| {
        let start = an.start_actor("gone").exe("/nonexistent/program").isolated();
        assert!(matches!(start.await, Err(Error::ActorFailed(_))));
        let again = tractor::scope::move_on_after(Duration::ZERO, an.next_failure()).await;
        assert!(again.is_none(), "{again:?}");
        Ok(())
    })
    .await
}

#[tractor::context]
async fn clean_up_slowly(ctx: Context<(), (), ()>, file: String) -> Result<()> {
    let body = async move {
        ctx.started(()).await?;
        pending::<Result<()>>().await
    };
    let cleanup = async move {
        sleep(Duration::from_secs(3)).await?;
        std::fs::write(file, "")?;
        Ok(())
    };
    scope::finally(body, cleanup).await
}

/// A child that was given more time to end has it: its cleanups, and the scopes that wait for it.
#[tractor::test(matrix)]
async fn larger_budget_of_a_child_reaches_its_cleanups() -> Result<()> {
    let file = mark_file();
    let path = file.display().to_string();
    let scope = scope::CancelScope::new();
    let begun = scope.clone();
    let cut = scope.run(open_nursery(async |an| {
        let start = an.start_actor("slow").enable(tractor::module!());
        let child = start.teardown(Duration::from_secs(8)).await?;
        let slow = clean_up_slowly { file: path };
        let block = child.open_context(slow, async |_, ()| {
            begun.cancel();
            sleep(FOREVER).await
        });
        block.await
    }));
    assert!(cut.await.is_none());
    let left = std::fs::remove_file(&file);
    assert!(left.is_ok(), "the cleanup was cut: {left:?}");
    Ok(())
}

/// Has somebody below it who needs longer to end than is usual.
#[tractor::context]
async fn shelter(ctx: Context<(), (), ()>, file: String, depth: u32) -> Result<()> {
    open_nursery(async |an| {
        let start = an.start_actor(format!("below{depth}")).enable(tractor::module!());
        if depth == 0 {
            let slow = start.teardown(Duration::from_secs(8)).await?;
            let block = slow.open_context(clean_up_slowly { file }, async |_, ()| {
                ctx.started(()).await?;
                sleep(FOREVER).await
            });
            return block.await;
        }
        let child = start.await?;
        let block = child.open_context(shelter { file, depth: depth - 1 }, async |_, ()| {
            ctx.started(()).await?;
            sleep(FOREVER).await
        });
        block.await
    })
    .await
}

/// Nor does anybody further up cut it: they all know.
#[tractor::test(executors = ["smol", "tokio"])]
async fn larger_budget_of_somebody_further_down_reaches_its_cleanups() -> Result<()> {
    let file = mark_file();
    let path = file.display().to_string();
    let scope = scope::CancelScope::new();
    let begun = scope.clone();
    let cut = scope.run(open_nursery(async |an| {
        let child = an.start_actor("child").enable(tractor::module!()).await?;
        let block = child.open_context(shelter { file: path, depth: 2 }, async |_, ()| {
            begun.cancel();
            sleep(FOREVER).await
        });
        block.await
    }));
    assert!(cut.await.is_none());
    let left = std::fs::remove_file(&file);
    assert!(left.is_ok(), "the cleanup was cut: {left:?}");
    Ok(())
}

#[tractor::rpc]
async fn fail_soon() -> Result<()> {
    sleep(Duration::from_millis(20)).await?;
    Err(std::io::Error::other("on purpose").into())
}

/// Who waits for what fails sees it first. One that was polled once, and is kept and not polled,
/// has had its time for that: the cancel of its block does not wait for it for ever.
#[tractor::test(matrix, timeout = 10)]
async fn waiter_that_is_not_polled_does_not_hold_the_cancel_off() {
    let result: Result<()> = open_nursery(async |an| {
        let run = an.run_in_actor(fail_soon {}).await?;
        let mut kept = Box::pin(run.result());
        assert!(futures_lite::future::poll_once(kept.as_mut()).await.is_none());
        sleep(FOREVER).await?;
        kept.await
    })
    .await;
    let Err(Error::Remote(error)) = result else { panic!("{result:?}") };
    assert!(error.message().contains("on purpose"), "{error}");
}

#[tractor::context]
async fn crash_when_cancelled(ctx: Context<(), (), ()>, code: Option<i32>) -> Result<()> {
    ctx.started(()).await?;
    let crash = async move {
        match code {
            Some(code) => std::process::exit(code),
            None => std::process::abort(),
        }
    };
    scope::finally(pending::<Result<()>>(), crash).await
}

/// A child that is asked to end and crashes meanwhile has failed: being asked hides nothing.
#[tractor::test(matrix)]
async fn crash_of_a_child_that_was_asked_to_end_is_a_failure() {
    for code in [None, Some(3)] {
        let result: Result<()> = open_nursery(async |an| {
            let child = an.start_actor("crasher").enable(module!()).stderr(Stdio::Null).await?;
            let block = child.open_context(crash_when_cancelled { code }, async |_, ()| {
                child.cancel_actor().await?;
                sleep(FOREVER).await
            });
            block.await
        })
        .await;
        let error = result.unwrap_err();
        let [Error::ActorFailed(failed)] = error.leaves()[..] else { panic!("{error:?}") };
        assert!(failed.was_asked(), "{failed}");
        assert_eq!(failed.forced(), None, "{failed}");
        assert_eq!(failed.status(), Some(code.map_or(ExitStatus::Signal(6), ExitStatus::Code)));
        assert!(failed.to_string().contains("crashed when it was asked to end"), "{failed}");
    }
}

#[tractor::context]
async fn get_stuck(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    loop {
        std::thread::sleep(FOREVER);
    }
}

/// The report of a child that had to be killed says so.
#[tractor::test(matrix)]
async fn report_of_a_killed_child_says_that_it_was_killed() -> Result<()> {
    open_root_actor(RootConfig::default().teardown(Duration::from_secs(1)), async |_| {
        open_nursery(async |an| {
            let child = an.start_actor("stuck").enable(module!()).await?;
            let asked = child.clone();
            let block = child.open_context(get_stuck {}, async move |_, ()| {
                // Its thread is busy: an answer to this never comes.
                asked.cancel_actor().await?;
                pending::<Result<()>>().await
            });
            let result = block.await;
            let Err(Error::ActorFailed(failed)) = result else { panic!("{result:?}") };
            assert!(failed.was_asked() && failed.forced().is_some(), "{failed}");
            let text = failed.to_string();
            let terminated = text.contains("had to be terminated") && text.contains("SIGTERM");
            // On several threads it may still agree to end; then SIGTERM is not for it.
            let killed = text.contains("had to be killed") && text.contains("SIGKILL");
            assert!(terminated || killed, "{text}");
            Ok(())
        })
        .await
    })
    .await
}
