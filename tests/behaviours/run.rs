//! RUN: roots, and who the running code is.

use tractor::error::Misuse;
use tractor::scope::sleep;
use tractor::{
    Context, Error, Exposed, Result, RootConfig, current_actor, current_ctx, module, open_nursery,
    open_root_actor,
};

use crate::{FOREVER, marks, program, remote_type};

async fn second_root() -> Result<()> {
    open_root_actor(RootConfig::default(), async |_| Ok(())).await
}

#[tractor::rpc]
async fn open_a_second_root() -> Result<()> {
    second_root().await
}

#[tractor::test(matrix)]
async fn run_02_only_one_root_actor_in_the_root() {
    let result = open_root_actor(RootConfig::default(), async |_| second_root().await).await;
    assert!(matches!(result, Err(Error::Misuse(Misuse::RootInsideActor))), "{result:?}");
}

#[tractor::test(matrix)]
async fn run_02_only_one_root_actor_in_a_child() {
    let result =
        open_nursery(async |an| an.run_in_actor(open_a_second_root {}).await?.result().await);
    let error = result.await.unwrap_err();
    assert_eq!(remote_type(&error), "RuntimeError", "{error:?}");
}

#[tractor::test(matrix)]
async fn run_03_first_nursery_opens_the_root() -> Result<()> {
    open_nursery(async |_| {
        let root = current_actor()?;
        assert_eq!(root.name(), "root");
        assert!(root.is_root() && root.is_registrar());
        assert!(root.parent().is_none());
        // A second nursery is in the same actor.
        let uid = root.uid().clone();
        open_nursery(async |_| {
            assert_eq!(current_actor()?.uid(), &uid);
            Ok(())
        })
        .await
    })
    .await
}

/// The reference's debug flag, which a nursery sets and unsets, does not exist. What is meant by it
/// does: nothing of an actor is left around the code that ran in it.
#[tractor::test(matrix)]
async fn run_04_no_actor_is_left_after_the_root() -> Result<()> {
    let no_actor = || matches!(current_actor(), Err(Error::NoCurrentActor));
    assert!(no_actor());
    let first = open_nursery(async |_| Ok(current_actor()?.uid().clone())).await?;
    assert!(no_actor());
    let second = open_nursery(async |_| Ok(current_actor()?.uid().clone())).await?;
    assert_ne!(first, second, "each root is a new actor");
    assert!(no_actor());
    Ok(())
}

#[tractor::rpc]
async fn whoami() -> Result<(String, bool, bool, String)> {
    let me = current_actor()?;
    let parent = me.parent().expect("a child has a parent").name().to_owned();
    assert!(matches!(current_ctx(), Err(Error::NoCurrentActor)), "a call is no context");
    Ok((me.name().to_owned(), me.is_root(), me.is_registrar(), parent))
}

#[tractor::context]
async fn which_context(ctx: Context<bool, (), ()>) -> Result<bool> {
    let is_it = || Ok::<_, Error>(current_ctx()?.is_same(ctx.raw()));
    ctx.started(is_it()?).await?;
    tractor::scope::checkpoint().await?;
    is_it() // still, after it was suspended
}

#[tractor::test(matrix)]
async fn current_actor_and_context_are_the_running_tasks() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let expected = ("child".to_owned(), false, false, "root".to_owned());
        assert_eq!(child.run(whoami {}).await?, expected);
        let result = child.open_context(which_context {}, async |ctx, first: bool| {
            Ok((first, ctx.wait_for_result().await?))
        });
        assert_eq!(result.await?, (true, true));
        child.cancel_actor().await
    })
    .await
}

/// Trees in one process don't see each other.
#[tractor::test(matrix)]
async fn two_trees_in_one_process_are_apart() -> Result<()> {
    let tree = async |name: &'static str| {
        open_root_actor(RootConfig::default(), async move |root| {
            open_nursery(async move |an| {
                let child = an.start_actor(name).enable(module!()).await?;
                let who = child.run(whoami {}).await?;
                assert_eq!((who.0.as_str(), who.3.as_str()), (name, "root"));
                assert_eq!(an.children(), [name]);
                child.cancel_actor().await?;
                Ok(root.uid().clone())
            })
            .await
        })
        .await
    };
    let (one, two) = futures_lite::future::zip(tree("one"), tree("two")).await;
    assert_ne!(one?, two?);
    Ok(())
}

mod by_hand {
    #[tractor::rpc]
    pub(super) async fn hidden(mark: String) -> &'static str {
        crate::marks::set(&mark);
        "found"
    }
}

#[tractor::rpc]
async fn call_hidden_in_root(mark: String) -> Result<String> {
    let root = current_actor()?.parent().expect("a child has a parent");
    root.run(by_hand::hidden { mark }).await
}

/// Naming an endpoint by hand enables it, and only it.
#[tractor::test(matrix)]
async fn endpoint_exposed_by_hand_can_be_called() -> Result<()> {
    let config = RootConfig::default().expose(Exposed::new().rpc::<by_hand::hidden>());
    open_root_actor(config, async |_| {
        open_nursery(async |an| {
            let mark = "exposed by hand".to_owned();
            let child = an.start_actor("child").enable(module!()).await?;
            let answer = child.run(call_hidden_in_root { mark: mark.clone() }).await?;
            assert_eq!(answer, "found");
            marks::happened(&mark).await;
            let other = child.run(by_hand::hidden { mark }).await;
            assert!(matches!(other, Err(Error::ModuleNotExposed(_))), "{other:?}");
            child.cancel_actor().await
        })
        .await
    })
    .await
}

#[tractor::rpc]
async fn defer_notes(path: std::path::PathBuf) -> Result<()> {
    use std::io::Write as _;
    let me = current_actor()?;
    for name in ["first", "second", "third"] {
        let path = path.clone();
        me.defer(move || {
            let file = std::fs::File::options().append(true).create(true).open(path);
            writeln!(file.unwrap(), "{name}").unwrap();
        });
    }
    Ok(())
}

/// The lifetime stack: the last deferred is the first to run, when the actor has ended.
#[tractor::test(matrix)]
async fn deferred_cleanups_run_in_reverse_in_a_child() -> Result<()> {
    let dir = program::temp_dir();
    let path = dir.path().join("notes");
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        child.run(defer_notes { path: path.clone() }).await?;
        assert!(!path.exists(), "not before it ends");
        child.cancel_actor().await?;
        child.wait_closed().await
    })
    .await?;
    assert_eq!(std::fs::read_to_string(&path)?, "third\nsecond\nfirst\n");
    Ok(())
}

#[tractor::test(matrix)]
async fn deferred_cleanups_run_in_reverse_in_the_root_after_its_children() -> Result<()> {
    let notes = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let result: Result<()> = open_root_actor(RootConfig::default(), async |root| {
        for name in ["first", "second"] {
            let notes = notes.clone();
            root.defer(move || notes.lock().unwrap().push(name));
        }
        root.defer(|| panic!("a cleanup that fails does not stop the others"));
        open_nursery(async |an| {
            an.start_actor("child").await?;
            assert!(notes.lock().unwrap().is_empty());
            Err(std::io::Error::other("the body fails").into())
        })
        .await
    })
    .await;
    assert!(matches!(result, Err(Error::Io(_))), "{result:?}");
    assert_eq!(*notes.lock().unwrap(), ["second", "first"]);
    Ok(())
}

mod exposing {
    use super::*;

    /// A program with an endpoint that it names by hand, in every actor, and no module enabled.
    pub(super) fn main() -> Result<()> {
        tractor::init_exposing(Exposed::new().rpc::<by_hand::hidden>());
        futures_lite::future::block_on(open_nursery(async |an| {
            let child = an.start_actor("child").args(program::test_args(MODULE, EXPOSING)).await?;
            let answer = child.run(by_hand::hidden { mark: "in the child".into() }).await?;
            let other = child.run(whoami {}).await;
            eprintln!("{answer}, {}", matches!(other, Err(Error::ModuleNotExposed(_))));
            child.cancel_actor().await
        }))
    }
}

const MODULE: &str = module_path!();
const EXPOSING: &str = "endpoint_exposed_by_hand_can_be_called_in_a_child";

/// Also the test of a plain `main`, which calls `init` and then runs whatever executor it likes.
#[test]
fn endpoint_exposed_by_hand_can_be_called_in_a_child() {
    if program::is_program() {
        program::exit(exposing::main());
    }
    let ended = program::run(program::again(MODULE, EXPOSING));
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), "found, true\n"), "{ended:?}");
}

/// Leaves a file behind, which is wiped when its actor ends.
#[tractor::context]
async fn crash_and_clean_up(
    ctx: Context<(), (), ()>,
    path: std::path::PathBuf,
    fails: bool,
) -> Result<()> {
    std::fs::write(&path, "")?;
    let wiped = path.clone();
    current_actor()?.defer(move || std::fs::remove_file(wiped).unwrap());
    ctx.started(()).await?;
    assert!(!fails, "on purpose");
    sleep(FOREVER).await
}

/// What the nursery ended of. It is wiped by then.
async fn run_01(fails: bool) -> Result<()> {
    let path = std::env::temp_dir().join(marks::unique(&format!("tractor {}", std::process::id())));
    let result = open_nursery(async |an| {
        let child = an.start_actor("messy").enable(module!()).await?;
        let task = crash_and_clean_up { path: path.clone(), fails };
        let block = child.open_context(task, async |ctx, ()| {
            if fails {
                return ctx.wait_for_result().await;
            }
            assert!(path.exists());
            an.cancel().await
        });
        match block.await {
            Err(Error::ContextCancelled(_)) if !fails => Ok(()),
            result => result,
        }
    })
    .await;
    assert!(!path.exists(), "wiped");
    result
}

#[tractor::test(matrix)]
async fn run_01_lifetime_stack_wipes_tmpfile_of_a_child_that_fails() {
    assert_eq!(remote_type(&run_01(true).await.unwrap_err()), "Panic");
}

#[tractor::test(matrix)]
async fn run_01_lifetime_stack_wipes_tmpfile_of_a_child_that_is_cancelled() -> Result<()> {
    run_01(false).await
}
