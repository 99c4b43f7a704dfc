//! `#[tractor::test]` itself, looked at from outside: each test here runs this binary again.

use std::process::Command;

use tractor::scope::sleep;
use tractor::{Result, current_actor, module, open_nursery};

use crate::program::{self, Ended, again, is_program};
use crate::{FOREVER, marks};

const HERE: &str = module_path!();

/// A run of one test that is to fail: it says so, and leaves nothing.
fn failed(test: &str) -> Ended {
    let ended = program::run(again(HERE, test));
    assert_eq!(ended.code(), Some(101), "{ended:?}");
    assert!(ended.stdout.contains(&format!("harness::{test} ... FAILED")), "{ended:?}");
    ended
}

#[tractor::test]
async fn test_that_returns_an_error_is_reported() -> Result<()> {
    if is_program() {
        return open_nursery(async |an| {
            an.start_actor("child").await?;
            Err(std::io::Error::other("it does not work").into())
        })
        .await;
    }
    let ended = failed("test_that_returns_an_error_is_reported");
    assert!(ended.stderr.contains("it does not work"), "{ended:?}");
    Ok(())
}

#[tractor::test]
async fn test_that_panics_is_reported() -> Result<()> {
    if is_program() {
        let child = open_nursery(async |an| {
            let child = an.start_actor("child").await?;
            an.cancel().await?;
            Ok(child)
        });
        assert_eq!(child.await?.name(), "somebody else");
    }
    let ended = failed("test_that_panics_is_reported");
    assert!(ended.stderr.contains("somebody else"), "{ended:?}");
    Ok(())
}

/// In a nursery a panic is an error, which the test returns.
#[tractor::test]
async fn test_whose_child_panics_is_reported() -> Result<()> {
    if is_program() {
        return open_nursery(async |an| {
            an.run_in_actor(fail_an_assertion {}).await?.result().await
        })
        .await;
    }
    let ended = failed("test_whose_child_panics_is_reported");
    assert!(ended.stderr.contains("left: 1") && ended.stderr.contains("right: 2"), "{ended:?}");
    Ok(())
}

#[tractor::rpc]
async fn fail_an_assertion() {
    assert_eq!(1, 2);
}

#[tractor::test(timeout = 1)]
async fn test_over_its_limit_prints_its_tree() -> Result<()> {
    if is_program() {
        return open_nursery(async |an| {
            an.start_actor("slowpoke").await?;
            sleep(FOREVER).await
        })
        .await;
    }
    let ended = failed("test_over_its_limit_prints_its_tree");
    assert!(ended.stderr.contains("takes longer than 1s"), "{ended:?}");
    let line = ended.stderr.lines().find(|line| line.contains("slowpoke@")).unwrap();
    assert!(line.contains("pid") && line.contains("running"), "{line}");
    Ok(())
}

#[tractor::test]
async fn test_that_leaves_a_file_is_reported() -> Result<()> {
    if is_program() {
        return open_nursery(async |_| {
            let registry = current_actor()?.registry_addrs()[0].uds_path().unwrap();
            let tree = std::path::Path::new(&registry).parent().unwrap();
            std::fs::write(tree.parent().unwrap().join("litter"), "")?;
            Ok(())
        })
        .await;
    }
    let ended = failed("test_that_leaves_a_file_is_reported");
    assert!(ended.stderr.contains("litter"), "{ended:?}");
    Ok(())
}

#[tractor::rpc]
async fn registry() -> Result<Vec<String>> {
    Ok(current_actor()?.registry_addrs().iter().map(ToString::to_string).collect())
}

/// One of several tests at once. When it is told that there are others, it waits until all of them
/// are in the middle of their own tree.
async fn one_of_many(name: &str) -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        assert_eq!(an.children(), ["child"], "and none of another test");
        if is_program() {
            marks::set(name);
            for other in many::NAMES {
                marks::happened(other).await;
            }
        }
        let ours: Vec<String> =
            current_actor()?.registry_addrs().iter().map(ToString::to_string).collect();
        assert_eq!(child.run(registry {}).await?, ours, "each in a tree of its own");
        child.cancel_actor().await
    })
    .await
}

mod many {
    macro_rules! tests {
        ($($name:ident)+) => {
            pub(super) const NAMES: &[&str] = &[$(stringify!($name)),+];
            $(
                #[tractor::test]
                async fn $name() -> tractor::Result<()> {
                    super::one_of_many(stringify!($name)).await
                }
            )+
        };
    }

    tests!(first second third fourth fifth sixth seventh eighth);
}

#[test]
fn many_tests_at_once_in_one_process() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["harness::many::", "--test-threads", "8"]).env(program::ROLE_ENV, "many");
    let ended = program::run(command);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains("test result: ok. 8 passed"), "{ended:?}");
}
