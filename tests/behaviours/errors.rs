//! Errors: panics, groups, and what is left of an error on its way through the tree.

use tractor::scope::{finally, sleep};
use tractor::{Context, Error, Raise, Result, Stdio, module, open_nursery};

use crate::{FOREVER, kill, remote_type};

#[tractor::rpc]
async fn panic_with(text: String) {
    panic!("{text}")
}

/// The line of the panic above, as the report has it.
const PANIC_AT: &str = "tests/behaviours/errors.rs:10:5";

#[tractor::test(matrix)]
async fn panic_of_a_remote_task_is_an_error_with_its_location() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).stderr(Stdio::Null).await?;
        let error = child.run(panic_with { text: "boom".into() }).await.unwrap_err();
        let Error::Remote(remote) = &error else { panic!("{error:?}") };
        assert_eq!(remote.type_name(), "Panic");
        assert!(remote.message().contains("boom"), "{remote}");
        assert!(remote.message().contains(PANIC_AT), "{remote}");
        assert!(remote.traceback().contains(PANIC_AT), "{}", remote.traceback());
        assert_eq!(remote.source_actor(), child.uid());
        // A task has failed; the actor goes on.
        let again = child.run(panic_with { text: "again".into() }).await.unwrap_err();
        assert!(again.remote().unwrap().message().contains("again"), "{again:?}");
        child.cancel_actor().await
    })
    .await
}

#[tractor::test(matrix)]
async fn panic_of_a_body_ends_its_children_and_is_an_error() {
    let result: Result<()> = open_nursery(async |an| {
        an.start_actor("child").await?;
        std::panic::panic_any("on purpose")
    })
    .await;
    let Err(Error::Panic(report)) = result else { panic!("{result:?}") };
    assert_eq!(report.message, "on purpose");
    assert!(report.location.unwrap().starts_with("tests/behaviours/errors.rs:"));
}

/// An error of the program's own: with a text, and a cause.
#[derive(Debug)]
struct OutOfCheese(std::num::ParseIntError);

impl std::fmt::Display for OutOfCheese {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("please reinstall the universe")
    }
}

impl std::error::Error for OutOfCheese {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[tractor::rpc]
async fn fail(number: &str) -> Result<u32, OutOfCheese> {
    number.parse().map_err(OutOfCheese)
}

#[tractor::test(matrix)]
async fn error_keeps_its_type_text_and_cause() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        assert_eq!(child.run(fail { number: "7".into() }).await?, 7);
        let error = child.run(fail { number: "seven".into() }).await.unwrap_err();
        let Error::Remote(remote) = &error else { panic!("{error:?}") };
        assert_eq!(remote.type_name(), "OutOfCheese");
        assert_eq!(remote.message(), "please reinstall the universe");
        assert!(remote.traceback().contains("caused by: invalid digit"), "{}", remote.traceback());
        let path: Vec<_> = remote.relay_path().iter().collect();
        assert_eq!(path, [child.uid()]);
        child.cancel_actor().await
    })
    .await
}

#[tractor::rpc]
async fn relay(number: String) -> Result<u32> {
    open_nursery(async |an| an.run_in_actor(fail { number }).await?.result().await).await
}

/// Through one actor more: the error is the same, and knows its way.
#[tractor::test(matrix)]
async fn relayed_error_keeps_its_source() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let error = child.run(relay { number: "seven".into() }).await.unwrap_err();
        let remote = error.remote().unwrap();
        assert_eq!(remote.type_name(), "OutOfCheese");
        assert_eq!(remote.source_actor().name.as_str(), "fail");
        let path: Vec<&str> = remote.relay_path().iter().map(|uid| uid.name.as_str()).collect();
        assert_eq!(path, ["fail", "child"]);
        assert_ne!(remote.boxed_type_name(), remote.type_name(), "it arrived in another's hands");
        child.cancel_actor().await
    })
    .await
}

/// Several failures are a group: the body's own first, then the children's, each once.
#[tractor::test(matrix)]
async fn several_failures_are_a_group_of_each_once() {
    let result: Result<()> = open_nursery(async |an| {
        let bad = an.start_actor("bad").stderr(Stdio::Null);
        let run = bad.run(panic_with { text: "child".into() }).await?;
        let seen = run.result().await.unwrap_err();
        assert_eq!(remote_type(&seen), "Panic");
        "x".parse::<u32>().raise()?; // and the body fails of something else
        Err(seen)
    })
    .await;
    let Err(Error::Group(group)) = &result else { panic!("{result:?}") };
    let types: Vec<&str> = group.errors().map(Error::type_name).collect();
    assert_eq!(types, ["ParseIntError", "Panic"]);
    assert_eq!(group.primary().type_name(), "ParseIntError");
    assert_eq!(group.suppressed().len(), 1);
    let text = result.unwrap_err().to_string();
    assert!(text.starts_with("2 errors:\n- invalid digit"), "{text}");
}

/// Cancellation never masks an error: not that of the child, nor that of the cleanup it set off.
#[tractor::test(matrix)]
async fn cancelled_body_whose_cleanup_fails_adds_to_the_group() {
    let result: Result<()> = open_nursery(async |an| {
        let child = an.start_actor("victim").await?;
        kill(child.pid().unwrap());
        finally(sleep(FOREVER), async { "x".parse::<u32>().raise().map(|_| ()) }).await
    })
    .await;
    let error = result.unwrap_err();
    let types: Vec<&str> = error.leaves().into_iter().map(Error::type_name).collect();
    assert!(types.contains(&"ActorFailed") && types.contains(&"ParseIntError"), "{error:?}");
    assert_eq!(types.len(), 2, "{error:?}");
}

#[tractor::context]
async fn fail_when_started(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    "x".parse::<u32>().raise()?;
    Ok(())
}

/// The far task's failure cancels the block, and is what the block fails of.
#[tractor::test(matrix)]
async fn failure_of_a_context_cancels_its_block() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let block = child.open_context(fail_when_started {}, async |_, ()| sleep(FOREVER).await);
        let error = block.await.unwrap_err();
        assert_eq!(remote_type(&error), "ParseIntError", "{error:?}");
        child.cancel_actor().await
    })
    .await
}

#[tractor::rpc]
async fn grandparent() -> Result<()> {
    open_nursery(async |an| {
        let victim = an.start_actor("victim").await?;
        kill(victim.pid().unwrap());
        sleep(FOREVER).await
    })
    .await
}

/// The death of a grandchild says who died, and of what, also in its grandparent.
#[tractor::test(matrix)]
async fn death_of_a_grandchild_reaches_the_root() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let error = child.run(grandparent {}).await.unwrap_err();
        let remote = error.remote().unwrap();
        assert_eq!(remote.type_name(), "ActorFailed");
        assert!(remote.message().contains("victim@"), "{remote}");
        assert!(remote.message().contains("SIGKILL"), "{remote}");
        assert_eq!(remote.source_actor(), child.uid());
        child.cancel_actor().await
    })
    .await
}
