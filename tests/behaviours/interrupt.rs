//! CANCEL-08 and CANCEL-09: real signals, to whole programs.

use rustix::process::Signal;
use tractor::scope::{self, sleep};
use tractor::{Result, open_nursery};

use crate::FOREVER;
use crate::program::{self, Ended, again, is_program, test_args};

const HERE: &str = module_path!();

/// Signals the program as soon as it says that it is ready.
fn interrupted(test: &str, signal: Signal) -> (Ended, std::time::Duration) {
    let running = program::start(again(HERE, test));
    running.says("ready");
    assert!(running.processes().len() > 1, "it has children: {:?}", running.processes());
    let at = std::time::Instant::now();
    running.signal(signal);
    (running.ended(), at.elapsed())
}

const TEARDOWN: std::time::Duration = std::time::Duration::from_secs(2);

mod idle_daemon {
    use super::*;

    #[tractor::main]
    pub(super) async fn main() -> Result<()> {
        let name = std::env::var("TRACTOR_TEST_ROLE").unwrap();
        let result = open_nursery(async |an| {
            an.start_actor("sleeper").args(test_args(HERE, &name)).await?;
            eprintln!("ready");
            sleep(FOREVER).await
        })
        .await;
        eprintln!("main ends with: {result:?}");
        result
    }
}

#[test]
fn cancel_08_via_sigint() {
    if is_program() {
        program::exit(idle_daemon::main());
    }
    let (ended, took) = interrupted("cancel_08_via_sigint", Signal::INT);
    assert_eq!(ended.code(), Some(130), "{ended:?}");
    assert!(ended.stderr.ends_with("main ends with: Err(interrupted by signal 2)\n"), "{ended:?}");
    assert!(took < TEARDOWN, "{took:?}");
}

#[test]
fn cancel_08_via_sigterm() {
    if is_program() {
        program::exit(idle_daemon::main());
    }
    let (ended, took) = interrupted("cancel_08_via_sigterm", Signal::TERM);
    assert_eq!(ended.code(), Some(143), "{ended:?}");
    assert!(ended.stderr.ends_with("main ends with: Err(interrupted by signal 15)\n"), "{ended:?}");
    assert!(took < TEARDOWN, "{took:?}");
}

mod namesakes {
    use super::*;

    #[tractor::rpc]
    pub(super) async fn sleeper() -> Result<()> {
        sleep(FOREVER).await
    }

    /// Three children of one name, in a nursery that is in another task than `main`.
    async fn spawn_and_sleep() -> Result<()> {
        open_nursery(async |an| {
            for _ in 0..3 {
                let child = an.start_actor("namesake").args(test_args(HERE, super::CANCEL_09));
                child.run(sleeper {}).await?;
            }
            eprintln!("ready");
            Ok(())
        })
        .await
    }

    #[tractor::main]
    pub(super) async fn main() -> Result<()> {
        let result = tractor::open_root_actor(tractor::RootConfig::default(), async |_| {
            scope::open_nursery(async |tn| {
                tn.start_soon(spawn_and_sleep());
                sleep(FOREVER).await
            })
            .await
        })
        .await;
        eprintln!("main ends with: {result:?}");
        result
    }
}

const CANCEL_09: &str = "cancel_09_via_sigint_in_another_task";

#[test]
fn cancel_09_via_sigint_in_another_task() {
    if is_program() {
        program::exit(namesakes::main());
    }
    let (ended, took) = interrupted(CANCEL_09, Signal::INT);
    assert_eq!(ended.code(), Some(130), "{ended:?}");
    assert!(ended.stderr.ends_with("main ends with: Err(interrupted by signal 2)\n"), "{ended:?}");
    assert!(took < TEARDOWN, "{took:?}");
}

mod other_types {
    //! Programs whose `main` has another error type than ours.

    use std::process::ExitCode;

    use super::*;

    /// Waits for the signal.
    async fn wait_for_it(name: &str) -> Result<()> {
        open_nursery(async |an| {
            an.start_actor("sleeper").args(test_args(HERE, name)).await?;
            eprintln!("ready");
            sleep(FOREVER).await
        })
        .await
    }

    pub(super) mod boxed {
        use super::*;

        #[tractor::main]
        pub(in super::super) async fn main() -> Result<(), Box<dyn std::error::Error>> {
            Ok(wait_for_it("interrupted_program_with_a_boxed_error_exits_with_130").await?)
        }
    }

    pub(super) mod text {
        use super::*;

        #[tractor::main]
        pub(in super::super) async fn main() -> Result<(), String> {
            let result =
                wait_for_it("interrupted_program_with_a_text_as_error_exits_with_130").await;
            result.map_err(|error| error.to_string())
        }
    }

    pub(super) mod code {
        use super::*;

        #[tractor::main]
        pub(in super::super) async fn main() -> ExitCode {
            let name = "interrupted_program_that_chooses_its_code_has_it";
            if wait_for_it(name).await.is_err() { ExitCode::from(7) } else { ExitCode::SUCCESS }
        }
    }

    pub(super) mod handled {
        use super::*;

        #[tractor::main]
        pub(in super::super) async fn main() -> ExitCode {
            let result = wait_for_it("interrupted_program_that_returns_is_a_success").await;
            assert!(result.is_err());
            ExitCode::SUCCESS
        }
    }
}

/// What `main` would print and exit with, were it `main`.
fn exit_like_main(output: impl std::process::Termination) -> ! {
    let code = output.report();
    let number = (0..=u8::MAX).find(|n| std::process::ExitCode::from(*n) == code);
    std::process::exit(i32::from(number.unwrap()))
}

#[test]
fn interrupted_program_with_a_boxed_error_exits_with_130() {
    if is_program() {
        exit_like_main(other_types::boxed::main());
    }
    let name = "interrupted_program_with_a_boxed_error_exits_with_130";
    let (ended, _) = interrupted(name, Signal::INT);
    assert_eq!(ended.code(), Some(130), "{ended:?}");
    assert!(ended.stderr.ends_with("Error: interrupted by signal 2\n"), "{ended:?}");
}

#[test]
fn interrupted_program_with_a_text_as_error_exits_with_130() {
    if is_program() {
        exit_like_main(other_types::text::main());
    }
    let name = "interrupted_program_with_a_text_as_error_exits_with_130";
    let (ended, _) = interrupted(name, Signal::TERM);
    assert_eq!(ended.code(), Some(143), "{ended:?}");
}

#[test]
fn interrupted_program_that_chooses_its_code_has_it() {
    if is_program() {
        exit_like_main(other_types::code::main());
    }
    let (ended, _) = interrupted("interrupted_program_that_chooses_its_code_has_it", Signal::INT);
    assert_eq!(ended.code(), Some(7), "{ended:?}");
}

#[test]
fn interrupted_program_that_returns_is_a_success() {
    if is_program() {
        exit_like_main(other_types::handled::main());
    }
    let (ended, _) = interrupted("interrupted_program_that_returns_is_a_success", Signal::INT);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}
