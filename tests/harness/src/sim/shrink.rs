//! The smallest run that fails the same way: options are taken away as long as it does.

use super::Options;
use super::caught::{Play, caught};
use super::run::{Report, play_into};
use crate::random::Source;

/// The smallest options under which this seed's run still is as `fails` says.
pub fn shrink(seed: u64, options: Options, fails: impl Fn(&Report) -> bool) -> Options {
    shrink_by(&play_into, seed, options, fails)
}

/// As [`shrink`], for runs that are played in a way of one's own.
pub fn shrink_by(
    play: Play<'_>,
    seed: u64,
    options: Options,
    fails: impl Fn(&Report) -> bool,
) -> Options {
    let still =
        |options: &Options| fails(&caught(play, Source::seed(seed), Some(options.clone()), false));
    let mut best = options;
    loop {
        let Some(smaller) = best.smaller().into_iter().find(still) else { return best };
        best = smaller;
    }
}
