//! What becomes of children, and who is told: deaths, isolation, cancelling one of them.

use tractor::error::{ChildPhase, ExitStatus};
use tractor::scope::sleep;
use tractor::{Context, Error, Result, Stdio, module, open_nursery};

use crate::{FOREVER, exists, kill};

#[tractor::rpc]
async fn answer() -> u32 {
    42
}

#[tractor::rpc]
async fn exit_with(code: i32) -> () {
    std::process::exit(code)
}

#[tractor::rpc]
async fn sleep_forever() -> Result<()> {
    sleep(FOREVER).await
}

#[tractor::test(matrix)]
async fn killed_child_fails_its_nursery_at_once() {
    let result: Result<()> = open_nursery(async |an| {
        let child = an.start_actor("victim").enable(module!()).await?;
        kill(child.pid().unwrap());
        sleep(FOREVER).await // the nursery hears of it, and cancels this body
    })
    .await;
    let Err(Error::ActorFailed(failed)) = result else { panic!("{result:?}") };
    assert_eq!(failed.name(), "victim");
    assert_eq!(failed.phase(), ChildPhase::Running);
    assert_eq!(failed.status(), Some(ExitStatus::Signal(9)));
    assert!(!exists(failed.pid().unwrap()), "reaped");
    let text = failed.to_string();
    assert!(text.contains("victim@") && text.contains("SIGKILL"), "{text}");
}

/// The call and the nursery tell the same story, once.
#[tractor::test(matrix)]
async fn child_that_exits_during_a_call_is_reported_once() {
    let result: Result<()> = open_nursery(async |an| {
        let child = an.start_actor("quitter").enable(module!()).await?;
        child.run(exit_with { code: 7 }).await
    })
    .await;
    let Err(Error::ActorFailed(failed)) = result else { panic!("bare: {result:?}") };
    assert_eq!(failed.status(), Some(ExitStatus::Code(7)));
}

#[tractor::context]
async fn linked(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    sleep(FOREVER).await
}

#[tractor::test(matrix)]
async fn child_that_is_killed_ends_the_contexts_with_it() {
    let result: Result<()> = open_nursery(async |an| {
        let child = an.start_actor("victim").enable(module!()).isolated().await?;
        let pid = child.pid().unwrap();
        let result = child.open_context(linked {}, async |_ctx, ()| {
            kill(pid);
            sleep(FOREVER).await // the context hears of it, and cancels this block
        });
        let result: Result<()> = result.await;
        assert!(matches!(result, Err(Error::ActorFailed(_))), "{result:?}");
        result
    })
    .await;
    assert!(matches!(result, Err(Error::ActorFailed(_))), "{result:?}");
}

/// An isolated child's death is reported, its portals fail, and everybody else lives on.
#[tractor::test(matrix)]
async fn isolated_child_dies_alone_and_can_be_replaced() -> Result<()> {
    open_nursery(async |an| {
        let sibling = an.start_actor("sibling").enable(module!()).await?;
        let mut worker = an.start_actor("worker").enable(module!()).isolated().await?;
        for _ in 0..2 {
            kill(worker.pid().unwrap());
            let failure = an.next_failure().await?;
            assert_eq!(failure.uid(), worker.uid());
            assert_eq!(failure.status(), Some(ExitStatus::Signal(9)));
            let late = worker.run(answer {}).await;
            assert!(matches!(late, Err(Error::ActorFailed(_))), "{late:?}");
            assert!(!worker.is_connected());
            worker = an.start_actor("worker").enable(module!()).isolated().await?;
            assert_eq!(worker.run(answer {}).await?, 42);
        }
        assert_eq!(sibling.run(answer {}).await?, 42);
        assert_eq!(an.children(), ["sibling", "worker"]);
        an.cancel().await
    })
    .await
}

#[tractor::test(matrix)]
async fn isolated_run_once_fails_alone() -> Result<()> {
    open_nursery(async |an| {
        let run = an.start_actor("once").isolated().run(exit_with { code: 3 }).await?;
        let result = run.result().await;
        assert!(matches!(result, Err(Error::ActorFailed(_))), "{result:?}");
        assert_eq!(an.next_failure().await?.status(), Some(ExitStatus::Code(3)));
        Ok(())
    })
    .await
}

#[tractor::test(matrix)]
async fn wait_closed_returns_when_the_process_is_reaped() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let pid = child.pid().unwrap();
        assert!(exists(pid) && child.is_connected());
        let closed = async {
            child.wait_closed().await?;
            assert!(!exists(pid), "reaped by then");
            Ok::<_, Error>(())
        };
        let (closed, cancelled) = futures_lite::future::zip(closed, child.cancel_actor()).await;
        closed?;
        cancelled?;
        assert!(!child.is_connected());
        child.cancel_actor().await?; // of an actor that is gone: no error
        child.wait_closed().await
    })
    .await
}

/// A call that is under way when its actor is cancelled ends as cancelled, by us.
#[tractor::test(matrix)]
async fn calls_end_when_their_actor_is_cancelled() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let call = child.run(sleep_forever {});
        let (result, cancelled) = futures_lite::future::zip(call, child.cancel_actor()).await;
        cancelled?;
        match result {
            Err(Error::ContextCancelled(error)) => {
                assert_eq!(error.canceller().unwrap().name.as_str(), "root");
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    })
    .await
}

/// The child row of the table of bad input: before it ever connects.
#[tractor::test(matrix)]
async fn child_that_never_connects_fails_at_once() {
    let result: Result<()> = open_nursery(async |an| {
        let script = "echo this is no actor >&2; exit 3";
        let shell = an.start_actor("shell").exe("/bin/sh").args(["-c", script]);
        let result = shell.stderr(Stdio::Capture).await;
        assert!(matches!(result, Err(Error::ActorFailed(_))), "{result:?}");
        result.map(|_| ())
    })
    .await;
    let Err(Error::ActorFailed(failed)) = result else { panic!("bare: {result:?}") };
    assert_eq!(failed.name(), "shell");
    assert!(failed.phase() < ChildPhase::Running, "{failed}");
    assert_eq!(failed.status(), Some(ExitStatus::Code(3)));
    assert_eq!(failed.stderr_tail(), "this is no actor\n");
}

/// The same, where nobody waits for the start: the nursery itself reports it, before its exit.
#[tractor::test(matrix)]
async fn child_that_never_connects_cancels_the_body() {
    let result: Result<()> = open_nursery(async |an| {
        let shell = an.clone();
        tractor::scope::open_nursery(async |tn| {
            tn.start_soon(async move {
                let _ = shell.start_actor("shell").exe("/bin/false").await;
                Ok(())
            });
            sleep(FOREVER).await
        })
        .await
    })
    .await;
    let Err(Error::ActorFailed(failed)) = result else { panic!("{result:?}") };
    assert_eq!(failed.status(), Some(ExitStatus::Code(1)));
}

/// Nothing keeps a child alive whose start nobody waits for any more.
#[tractor::test(matrix)]
async fn start_that_is_dropped_ends_the_child() -> Result<()> {
    open_nursery(async |an| {
        let start = std::future::IntoFuture::into_future(an.start_actor("dropped"));
        let nothing = futures_lite::future::poll_once(start).await;
        assert!(nothing.is_none(), "a process takes longer than that");
        Ok(())
    })
    .await
}
