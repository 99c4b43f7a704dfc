//! Errors that are lost, told twice, or take something with them.

use std::fmt;
use std::future::pending;

use futures_lite::FutureExt as _;
use tractor::context::ParentContext;
use tractor::{Error, Result, current_actor, find_actor, module, open_nursery, scope};

use crate::idle;

/// An error of a program, whose text is made by code of the program.
#[derive(Debug)]
enum Awkward {
    Panics,
    AsksTheRuntime,
}

impl fmt::Display for Awkward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Awkward::Panics => panic!("no text today"),
            Awkward::AsksTheRuntime => {
                let peers = current_actor().map(|actor| actor.peers().len());
                write!(f, "{} peers", peers.unwrap_or_default())
            }
        }
    }
}

impl std::error::Error for Awkward {}

#[tractor::rpc]
async fn fail_awkwardly(panics: bool) -> Result<(), Awkward> {
    Err(if panics { Awkward::Panics } else { Awkward::AsksTheRuntime })
}

#[tractor::rpc]
async fn answer() -> u32 {
    42
}

/// The text of an error is made outside of the actor's lock, and a panic in it costs the text only.
#[tractor::test(matrix, timeout = 10)]
async fn error_with_awkward_text_is_an_error_and_no_more() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let Err(error) = child.run(fail_awkwardly { panics: false }).await else { panic!() };
        assert_eq!(error.remote().unwrap().message(), "1 peers");
        let Err(error) = child.run(fail_awkwardly { panics: true }).await else { panic!() };
        assert_eq!(error.remote().unwrap().type_name(), "Awkward");
        assert_eq!(child.run(answer {}).await?, 42, "the actor lives on");
        child.cancel_actor().await
    })
    .await
}

#[tractor::rpc]
async fn take_in(data: String) -> usize {
    data.len()
}

/// A child whose one function can't be started has no reason to live: nobody could end it.
#[tractor::test(matrix, timeout = 10)]
async fn run_that_can_not_be_started_leaves_no_child() -> Result<()> {
    open_nursery(async |an| {
        let refused = an.run_in_actor(take_in { data: "x".repeat(17 << 20) }).await;
        assert!(matches!(refused, Err(Error::Misuse(_))), "{refused:?}");
        Ok(())
    })
    .await
}

#[tractor::rpc]
async fn exit() -> () {
    std::process::exit(0)
}

/// Opens a context with another actor, ends that, and counts what it hears of it.
#[tractor::rpc]
async fn errors_of_a_lost_peer(name: String) -> Result<usize> {
    find_actor(&name, async |portal| {
        let portal = portal.unwrap();
        let lost: Result<()> = portal
            .open_context(idle {}, async |ctx, ()| {
                let ends = async {
                    let _ = portal.run(exit {}).await;
                    pending().await
                };
                ctx.wait_for_result().or(ends).await
            })
            .await;
        Ok(lost.err().map_or(0, |error| error.leaves().len()))
    })
    .await
}

/// What the block and the far end both tell is one piece of news.
#[tractor::test(matrix, timeout = 10)]
async fn lost_peer_is_reported_once() -> Result<()> {
    open_nursery(async |an| {
        an.start_actor("other").enable_of::<idle>().enable(module!()).isolated().await?;
        let child = an.start_actor("child").enable(module!()).await?;
        assert_eq!(child.run(errors_of_a_lost_peer { name: "other".into() }).await?, 1);
        an.cancel().await
    })
    .await
}

/// A death that several tasks see is one piece of news, in however many groups they are.
#[tractor::test(matrix, timeout = 10)]
async fn death_that_several_tasks_see_is_reported_once() -> Result<()> {
    let seen = open_nursery(async |an| {
        let child = an.start_actor("child").enable_of::<idle>().enable(module!()).await?;
        let watch = async |ctx: ParentContext<idle>, ()| ctx.wait_for_result().await;
        scope::open_nursery(async |tn| {
            for _ in 0..2 {
                tn.start_soon(child.open_context(idle {}, watch));
            }
            let inner = scope::open_nursery(async |tn| {
                tn.start_soon(child.open_context(idle {}, watch));
                child.run(exit {}).await
            });
            inner.await
        })
        .await
    });
    let error = seen.await.expect_err("the child has exited");
    assert_eq!(error.leaves().len(), 1, "{error:?}");
    Ok(())
}

#[tractor::rpc]
async fn exit_at_once() -> () {
    std::process::exit(3)
}

/// With threads, the child may be gone before the call that started it has returned.
#[tractor::test(matrix)]
async fn isolated_child_that_is_gone_at_once_is_reported() -> Result<()> {
    open_nursery(async |an| {
        for _ in 0..30 {
            let run = an.start_actor("hasty").isolated().run(exit_at_once {}).await?;
            assert!(matches!(run.result().await, Err(Error::ActorFailed(_))));
            let told = scope::move_on_after(std::time::Duration::from_secs(5), an.next_failure());
            let failure = told.await.expect("told in time")?;
            assert_eq!(failure.status(), Some(tractor::error::ExitStatus::Code(3)));
        }
        Ok(())
    })
    .await
}
