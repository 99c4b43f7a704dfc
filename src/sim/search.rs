//! Looking for a seed with which a program fails.

use std::fmt::{self, Debug};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Config, SEED_ENV};
use crate::panics;

/// A seed with which a program fails, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The error, or the message of the panic.
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} fails: {} (`{SEED_ENV}={}` shows it)", self.seed, self.why, self.seed)
    }
}

/// Runs a program with each of the seeds, or of the configurations, until it fails: returns an
/// error, or panics. `None` when it never does.
///
/// With `TRACTOR_SIM_SEED=<seed>` in the environment it runs those with this seed alone, and tells
/// on stderr what becomes of processes and links.
///
/// # Panics
/// Inside of a run.
pub fn search<T, E, F, Fut, C>(configs: impl IntoIterator<Item = C>, program: F) -> Option<Failure>
where
    E: Debug,
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    C: Into<Config>,
{
    assert!(!super::is_running(), "a simulation can't run inside of another one");
    let wanted = super::asked_for().map(|config| config.seed);
    let mut chosen = configs
        .into_iter()
        .map(Into::into)
        .filter(|config: &Config| wanted.is_none_or(|seed| seed == config.seed));
    chosen.find_map(|config| {
        let (seed, verbose) = (config.seed, config.verbose || wanted.is_some());
        let run = || super::run_quietly(config.verbose(verbose), &program).result;
        let why = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(_)) => return None,
            Ok(Err(error)) => format!("{error:?}"),
            Err(panic) => format!("panic: {}", panics::report(panic).message),
        };
        Some(Failure { seed, why })
    })
}
