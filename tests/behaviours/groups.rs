//! Groups: as many errors as there were failures, wherever they were.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tractor::scope::{self, checkpoint, finally, sleep};
use tractor::{
    ActorBuilder, ActorNursery, Context, Error, Portal, Raise, Result, Stdio, module, open_nursery,
};

use crate::{FOREVER, kill};

const MANY: u32 = 25;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Failed {
    number: u32,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "number {} failed", self.number)
    }
}

impl std::error::Error for Failed {}

tractor::reg_error!(Failed);

/// The numbers of all failures in it: each once.
#[track_caller]
fn numbers(error: &Error) -> BTreeSet<u32> {
    let leaves = error.leaves();
    let numbers: Vec<u32> = leaves
        .iter()
        .map(|leaf| leaf.downcast::<Failed>().unwrap_or_else(|| panic!("{leaf:?}")).number)
        .collect();
    let set: BTreeSet<u32> = numbers.iter().copied().collect();
    assert_eq!(set.len(), numbers.len(), "each once: {numbers:?}");
    set
}

/// Fails when it is told to, and when it is cancelled before.
#[tractor::context]
async fn fail_in_any_case(ctx: Context<(), (), ()>, number: u32) -> Result<()> {
    let told = async {
        // From here on it is known to have begun, and so the cleanup is there.
        ctx.started(()).await?;
        ctx.open_stream().await?.next().await.map(drop)
    };
    finally(told, async move { Err(Failed { number }).raise() }).await
}

/// A child that makes no backtraces: they take longer than all the rest.
fn plain(an: &ActorNursery, name: String) -> ActorBuilder {
    an.start_actor(name).enable(module!()).env_remove("RUST_BACKTRACE")
}

/// Runs so many of them at once, in these actors, and tells one of them to fail.
async fn fail_in(actors: &[Portal], tasks: std::ops::Range<u32>) -> Result<()> {
    scope::open_nursery(async |tn| {
        let mut streams = Vec::new();
        for (number, actor) in tasks.zip(actors.iter().cycle()) {
            let block = |status: scope::Status<_>| {
                actor.open_context(fail_in_any_case { number }, async move |ctx, ()| {
                    status.started(ctx.open_stream().await?);
                    sleep(FOREVER).await
                })
            };
            streams.push(tn.start(block).await?);
        }
        streams[0].send(()).await
    })
    .await
}

/// The first failure cancels the others, which fail all the same: none of it is lost.
#[tractor::test(matrix)]
async fn twenty_five_failures_give_twenty_five_leaves() -> Result<()> {
    open_nursery(async |an| {
        let mut actors = Vec::new();
        for n in 0..MANY {
            actors.push(plain(&an, format!("child{n}")).await?);
        }
        let error = fail_in(&actors, 0..MANY).await.unwrap_err();
        assert_eq!(numbers(&error), (0..MANY).collect());
        let Error::Group(group) = &error else { panic!("{error:?}") };
        assert_eq!(group.errors().count(), MANY as usize, "a flat one");
        let text = error.to_string();
        for number in 0..MANY {
            assert!(text.contains(&format!(": number {number} failed")), "{text}");
        }
        an.cancel().await
    })
    .await
}

/// Its cleanup is what fails.
#[tractor::rpc]
async fn fail_when_cancelled(number: u32) -> Result<()> {
    let begun = async {
        BEGUN.store(true, Ordering::Release);
        sleep(FOREVER).await
    };
    finally(begun, async move { Err::<(), _>(Failed { number }).raise() }).await
}

/// In a child: its one task has begun.
static BEGUN: AtomicBool = AtomicBool::new(false);

#[tractor::rpc]
async fn has_begun() -> Result<()> {
    while !BEGUN.load(Ordering::Acquire) {
        checkpoint().await?;
    }
    Ok(())
}

/// The same with the one task that each child was made for, and with an error of the body.
#[tractor::test(matrix)]
async fn failures_of_children_that_are_cancelled_are_not_lost() {
    let result: Result<()> = open_nursery(async |an| {
        for number in 1..MANY {
            let child = plain(&an, format!("child{number}"));
            let run = child.run(fail_when_cancelled { number }).await?;
            run.portal().run(has_begun {}).await?;
        }
        Err(Failed { number: 0 }).raise()
    })
    .await;
    let error = result.unwrap_err();
    assert_eq!(numbers(&error), (0..MANY).collect());
    let Error::Group(group) = &error else { panic!("{error:?}") };
    assert_eq!(group.primary().downcast(), Some(Failed { number: 0 }), "the body's came first");
}

#[tractor::rpc]
async fn fail_with_a_group(first: u32) -> Result<()> {
    open_nursery(async |an| {
        let mut actors = Vec::new();
        for n in 0..3 {
            actors.push(plain(&an, format!("leaf{n}")).await?);
        }
        fail_in(&actors, first..first + 3).await
    })
    .await
}

/// Has two groups of its own, each from another actor.
#[tractor::rpc]
async fn fail_with_groups() -> Result<()> {
    open_nursery(async |an| {
        let left = plain(&an, "left".into()).await?;
        let right = plain(&an, "right".into()).await?;
        let left = left.run(fail_with_a_group { first: 0 }).await.unwrap_err();
        let right = right.run(fail_with_a_group { first: 3 }).await.unwrap_err();
        assert_eq!(numbers(&left).len() + numbers(&right).len(), 6);
        scope::open_nursery(async |tn| {
            tn.start_soon(async { Err(left) });
            tn.start_soon(async { Err(right) });
            Ok(())
        })
        .await
    })
    .await
}

/// A group is still one in another process, with all that its members are.
#[tractor::test(matrix)]
async fn groups_keep_their_leaves_across_processes() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let error = child.run(fail_with_groups {}).await.unwrap_err();
        assert_eq!(numbers(&error), (0..6).collect());
        let Error::Remote(group) = &error else { panic!("{error:?}") };
        assert_eq!(group.type_name(), "ExceptionGroup");
        assert_eq!(group.source_actor(), child.uid());
        assert_eq!(group.errors().len(), 6);
        for leaf in error.leaves() {
            let remote = leaf.remote().unwrap();
            assert_eq!(remote.type_name(), "Failed");
            let way: Vec<&str> = remote.relay_path().iter().map(|u| u.name.as_str()).collect();
            assert!(way[0].starts_with("leaf"), "{way:?}");
            assert!(matches!(way[1..], ["left" | "right", "child"]), "{way:?}");
            assert!(group.message().contains(remote.message()), "{group}");
            assert!(group.traceback().contains(remote.message()), "{}", group.traceback());
        }
        child.cancel_actor().await
    })
    .await
}

/// Each of many deaths is told, in the order in which they came to be known.
#[tractor::test(matrix)]
async fn deaths_of_many_isolated_children_are_all_told() -> Result<()> {
    open_nursery(async |an| {
        let mut pids = BTreeSet::new();
        for n in 0..MANY {
            let child = an.start_actor(format!("child{n}")).isolated().stderr(Stdio::Null).await?;
            pids.insert(child.pid().unwrap());
        }
        pids.iter().for_each(|pid| kill(*pid));
        for _ in 0..MANY {
            let failure = an.next_failure().await?;
            assert!(pids.remove(&failure.pid().unwrap()), "told twice: {failure}");
        }
        assert!(pids.is_empty());
        Ok(())
    })
    .await
}
