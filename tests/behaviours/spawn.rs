//! SPAWN: the smallest programs, and what a child process is given.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tractor::scope::fail_after;
use tractor::{Error, Result, Stdio, current_actor, module, open_nursery};

use crate::program::{self, temp_dir};

/// Runs in the root and, once more, in its child.
#[tractor::rpc]
async fn same_function(in_root: bool) -> Result<u64> {
    let me = current_actor()?;
    assert_eq!((me.is_root(), me.is_registrar()), (in_root, in_root));
    if !in_root {
        return Ok(10);
    }
    open_nursery(async |an| {
        // Not by `run_in_actor`: that one may be gone before anybody looks.
        let child = an.start_actor("same").enable(module!()).await?;
        assert_eq!(an.children().len(), 1, "exactly one");
        assert!(me.peers().contains(child.uid()), "{:?}", me.peers());
        let result = child.run(same_function { in_root: false }).await?;
        child.cancel_actor().await?;
        Ok(result)
    })
    .await
}

#[tractor::test(matrix)]
async fn spawn_01_same_function_in_root_and_child() -> Result<()> {
    let result = tractor::open_root_actor(tractor::RootConfig::default(), async |_| {
        same_function(true).await
    });
    assert_eq!(result.await?, 10);
    Ok(())
}

#[tractor::rpc]
async fn movie_theatre_question() -> &'static str {
    "have you ever seen a portal?"
}

#[tractor::test(matrix)]
async fn spawn_02_movie_theatre_convo() -> Result<()> {
    open_nursery(async |an| {
        let frank = an.start_actor("frank").enable(module!()).await?;
        for _ in 0..2 {
            let question = frank.run(movie_theatre_question {}).await?;
            assert_eq!(question, "have you ever seen a portal?");
        }
        frank.cancel_actor().await
    })
    .await
}

#[tractor::rpc]
async fn cellar_door(value: Option<String>) -> Option<String> {
    value
}

async fn most_beautiful_word(value: Option<&str>) -> Result<()> {
    let value = value.map(str::to_owned);
    tractor::open_root_actor(tractor::RootConfig::default(), async |_| {
        let in_nursery = open_nursery(async |an| {
            let run = an.run_in_actor(cellar_door { value: value.clone() }).await?;
            assert_eq!(run.result().await?, value);
            Ok(run)
        });
        // A second in the reference; more here, as the machine is busy with other tests.
        let run = fail_after(Duration::from_secs(10), in_nursery).await??;
        assert_eq!(run.result().await?, value, "it is kept when the nursery has closed");
        assert_eq!(run.result().await?, value, "for good");
        Ok(())
    })
    .await
}

#[tractor::test(matrix)]
async fn spawn_03_most_beautiful_word() -> Result<()> {
    most_beautiful_word(Some("life")).await
}

#[tractor::test(matrix)]
async fn spawn_03_most_beautiful_word_none() -> Result<()> {
    most_beautiful_word(None).await
}

#[tractor::rpc]
async fn say(text: String) {
    eprintln!("{text}");
}

/// The body of `main` is the root's alone: children never run it.
mod talkative {
    use super::*;

    #[tractor::main]
    pub(super) async fn main() -> Result<()> {
        eprintln!("the body of main");
        open_nursery(async |an| {
            let daemon = an.start_actor("daemon").args(again()).enable_of::<say>().await?;
            daemon.run(say { text: "a daemon".into() }).await?;
            let once = an.start_actor("once").args(again());
            once.run(say { text: "a run-once".into() }).await?.result().await?;
            daemon.cancel_actor().await
        })
        .await
    }
}

const SPAWN_05: &str = "spawn_05_06_children_run_nothing_of_main";

fn again() -> [String; 3] {
    program::test_args(module_path!(), SPAWN_05)
}

/// Both kinds of child. In the reference a child may inherit its parent's main module, or not; here
/// it is the same program, and begins and ends at the first line of `main`.
#[test]
fn spawn_05_06_children_run_nothing_of_main() {
    if program::is_program() {
        program::exit(talkative::main());
    }
    let ended = program::run(program::again(module_path!(), SPAWN_05));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "the body of main\na daemon\na run-once\n", "{ended:?}");
}

/// What a child process was given, as it sees it.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Given {
    set: Option<String>,
    removed: Option<String>,
    cwd: PathBuf,
    args: Vec<String>,
    stdin: usize,
    argv0: String,
}

#[tractor::rpc]
async fn given() -> Result<Given> {
    use std::io::Read as _;
    let mut stdin = Vec::new();
    std::io::stdin().read_to_end(&mut stdin)?;
    Ok(Given {
        set: std::env::var("TRACTOR_TEST_SET").ok(),
        removed: std::env::var("PATH").ok(),
        cwd: std::env::current_dir()?,
        args: std::env::args().skip(1).collect(),
        stdin: stdin.len(),
        argv0: std::env::args().next().unwrap_or_default(),
    })
}

#[tractor::test(matrix)]
async fn child_gets_its_environment_directory_and_arguments() -> Result<()> {
    let dir = temp_dir();
    assert!(std::env::var_os("PATH").is_some(), "else removing it shows nothing");
    open_nursery(async |an| {
        let child = an
            .start_actor("child")
            .enable(module!())
            .env("TRACTOR_TEST_SET", "a value")
            .env_remove("PATH")
            .cwd(dir.path())
            .args([OsString::from("one"), OsString::from("two words")])
            .await?;
        let given = child.run(given {}).await?;
        assert_eq!(given.set.as_deref(), Some("a value"));
        assert_eq!(given.removed, None);
        assert_eq!(given.cwd, dir.path().canonicalize()?);
        assert!(given.args.ends_with(&["one".into(), "two words".into()]), "{given:?}");
        assert_eq!(given.stdin, 0, "its standard input is empty");
        assert_eq!(given.argv0, format!("_subactor[{}]", child.uid()));
        child.cancel_actor().await
    })
    .await
}

const NO_CHILD: &str = "program_that_a_child_starts_is_no_child";

/// A child starts this program again by itself, not as an actor of the tree.
#[tractor::rpc]
async fn start_a_program() -> String {
    let ended = program::run(program::again(MODULE, NO_CHILD));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    ended.stderr
}

/// It inherits the variable that marks a child, as every program there does, and is none.
#[tractor::test]
async fn program_that_a_child_starts_is_no_child() -> Result<()> {
    if program::is_program() {
        return open_nursery(async |_| {
            let me = current_actor()?;
            eprintln!("root: {}, parent: {:?}", me.is_root(), me.parent());
            Ok(())
        })
        .await;
    }
    open_nursery(async |an| {
        let said = an.run_in_actor(start_a_program {}).await?.result().await?;
        assert!(said.starts_with("root: true, parent: None\n"), "{said}");
        Ok(())
    })
    .await
}

#[tractor::rpc]
async fn log_and_die() -> () {
    log::warn!(target: "app", "a warning");
    log::info!(target: "app", "some info");
    log::debug!(target: "app", "a detail");
    std::process::exit(3)
}

/// What a child with this level wrote to its stderr before it died.
async fn logged_at(level: Option<&str>) -> String {
    let result: Result<()> = open_nursery(async |an| {
        let mut child = an.start_actor("logger").stderr(Stdio::Capture);
        if let Some(level) = level {
            child = child.loglevel(level);
        }
        child.run(log_and_die {}).await?.result().await
    })
    .await;
    match result {
        Err(Error::ActorFailed(failed)) => failed.stderr_tail().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tractor::test(matrix)]
async fn loglevel_of_a_child_decides_what_it_logs() {
    assert_eq!(logged_at(None).await, "", "off by default");
    let logged = logged_at(Some("info")).await;
    assert!(logged.contains("a warning") && logged.contains("some info"), "{logged}");
    assert!(!logged.contains("a detail"), "{logged}");
    let line = logged.lines().find(|line| line.contains("some info")).unwrap();
    assert!(line.starts_with("INFO ") && line.contains("logger@"), "names the actor: {line}");
    assert!(line.contains("log_and_die") && line.contains(" app: "), "and the task: {line}");
}

#[tractor::rpc]
async fn complain_and_abort() -> () {
    for n in 0..5_000 {
        eprintln!("complaint {n}");
    }
    std::process::abort()
}

/// The tail is bounded, and its end is there: what was said last is what one wants to know.
#[tractor::test(matrix)]
async fn stderr_tail_is_in_the_error() -> Result<()> {
    let result: Result<()> = open_nursery(async |an| {
        let child = an.start_actor("loud").stderr(Stdio::Capture);
        child.run(complain_and_abort {}).await?.result().await
    })
    .await;
    let Err(Error::ActorFailed(failed)) = result else { panic!("{result:?}") };
    let tail = failed.stderr_tail();
    assert!(tail.trim_end().ends_with("complaint 4999"), "{tail}");
    assert!(tail.len() <= 16 << 10, "{} bytes were kept", tail.len());
    assert!(failed.to_string().contains("| complaint 4999"), "{failed}");
    Ok(())
}

#[tractor::rpc]
async fn print(text: String) {
    println!("{text}");
}

mod printing {
    use super::*;

    #[tractor::main]
    pub(super) async fn main() -> Result<()> {
        open_nursery(async |an| {
            let outputs = [Stdio::Inherit, Stdio::Null, Stdio::Capture, Stdio::Tee];
            for (n, stdio) in outputs.into_iter().enumerate() {
                let args = program::test_args(super::MODULE, PRINTING);
                let child = an.start_actor(format!("child_{n}")).args(args).stdout(stdio);
                let child = child.enable_of::<print>().await?;
                child.run(print { text: format!("printed with {stdio:?}") }).await?;
                child.cancel_actor().await?;
                child.wait_closed().await?;
            }
            Ok(())
        })
        .await
    }
}

const MODULE: &str = module_path!();
const PRINTING: &str = "stdout_of_a_child_goes_where_it_is_told_to";

#[test]
fn stdout_of_a_child_goes_where_it_is_told_to() {
    if program::is_program() {
        program::exit(printing::main());
    }
    let ended = program::run(program::again(MODULE, PRINTING));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    // The test harness has its own lines in between.
    let printed: Vec<&str> =
        ended.stdout.lines().filter(|line| line.starts_with("printed with")).collect();
    assert_eq!(printed, ["printed with Inherit", "printed with Tee"], "{ended:?}");
}
