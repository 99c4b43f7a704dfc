//! What `#[tractor::main]` runs a program with.

use std::any::Any;
use std::future::Future;
use std::process::ExitCode;

use crate::error::Result;
use crate::{ambient, init, scope};

/// Runs a program: as the child it was spawned as, or as itself.
///
/// # Panics
/// When the executor is not compiled in.
pub fn run_main<F: Future>(executor: &'static str, body: impl FnOnce() -> F) -> F::Output
where
    F::Output: 'static,
{
    init::init();
    ambient::set_main();
    let executor = init::executor(executor)
        .unwrap_or_else(|| panic!("the executor `{executor}` needs the feature of that name"));
    let scopes = scope::Root::new(executor.clone(), scope::DEFAULT_BUDGET);
    let output = init::block_on(executor.as_ref(), scopes.run_all(body()));
    if let Some(signal) = interrupted(&output) {
        // What a shell expects of a program that a signal ended.
        std::process::exit(128 + signal);
    }
    output
}

/// The signal that ended the program, if its error says so. A program with an error type of its own
/// decides itself.
fn interrupted(output: &dyn Any) -> Option<i32> {
    let unit = output.downcast_ref::<Result<()>>().map(|result| result.as_ref().err());
    let code = output.downcast_ref::<Result<ExitCode>>().map(|result| result.as_ref().err());
    unit.or(code)??.interrupted()
}
