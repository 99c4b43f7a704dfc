//! What `#[tractor::main]` runs a program with.

use std::any::Any;
use std::future::Future;
use std::process::{ExitCode, Termination};

use crate::error::{Error, Result};
use crate::{ambient, init, scope};

/// Runs a program: as the child it was spawned as, or as itself. One that a signal ended, and that
/// fails because of it, exits with the code that a shell expects: 128 and the signal's number.
///
/// # Panics
/// When the executor is not compiled in.
pub fn run_main<F: Future>(executor: &'static str, body: impl FnOnce() -> F) -> F::Output
where
    F::Output: Termination + 'static,
{
    init::init_on(executor);
    ambient::set_main();
    let output = run(executor, body);
    if let Some(known) = own_result(&output) {
        return match known.and_then(Error::interrupted) {
            Some(signal) => exit_interrupted(known, signal),
            None => output,
        };
    }
    let Some(signal) = ambient::interrupted() else { return output };
    // An error of another type does not tell what it is about: that it is the usual failure must
    // do. What else a program has chosen is its own business.
    match output.report() {
        ExitCode::FAILURE => std::process::exit(128 + signal),
        code => std::process::exit(number(code)),
    }
}

/// Runs the body: in simulation, if that is there and asked for.
fn run<F: Future>(executor: &'static str, body: impl FnOnce() -> F) -> F::Output {
    #[cfg(feature = "sim")]
    if let Some(config) = crate::sim::asked_for() {
        return crate::sim::run_main(config, body);
    }
    let executor = init::executor(executor)
        .unwrap_or_else(|| panic!("the executor `{executor}` needs the feature of that name"));
    let scopes = scope::Root::new(executor.clone(), scope::DEFAULT_BUDGET);
    init::block_on(executor.as_ref(), scopes.run_all(body()))
}

/// How a program ends, where its type can be known: with an error of ours, or none.
fn own_result(output: &dyn Any) -> Option<Option<&Error>> {
    let unit = output.downcast_ref::<Result<()>>().map(|result| result.as_ref().err());
    let code = output.downcast_ref::<Result<ExitCode>>().map(|result| result.as_ref().err());
    unit.or(code)
}

/// Exits as a shell expects it. That there was a signal is no news to who sent it; what else
/// happened is.
fn exit_interrupted(error: Option<&Error>, signal: i32) -> ! {
    if let Some(error) = error.filter(|error| error.leaves().len() > 1) {
        eprintln!("Error: {error:?}");
    }
    std::process::exit(128 + signal)
}

/// An exit code as a number: there is no other way to leave with one from here.
fn number(code: ExitCode) -> i32 {
    let found = (0..=u8::MAX).find(|number| ExitCode::from(*number) == code);
    found.map_or(1, i32::from)
}
