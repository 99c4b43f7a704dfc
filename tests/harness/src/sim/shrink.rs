//! The smallest run that fails the same way: options are taken away as long as it does.

use super::Options;
use super::run::play;
use crate::random::Source;

/// Smaller options under which this seed still breaks the same check.
pub fn shrink(seed: u64, options: Options, check: &str) -> Options {
    let breaks = |options: &Options| {
        let report = play(Source::seed(seed), Some(options.clone()), false);
        report.broken.first().is_some_and(|(name, _)| *name == check)
    };
    let mut best = options;
    loop {
        let Some(smaller) = best.smaller().into_iter().find(breaks) else { return best };
        best = smaller;
    }
}
