//! Runs a scenario in many interleavings of its threads. One in which nobody can go on fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

/// The changes of threads that PCT plans.
const PCT_DEPTH: usize = 3;

/// A core is large, and more so in a debug build.
const STACK_LEN: usize = 1 << 18;

/// Runs `scenario` so many times in random interleavings, and as often in those of PCT, which finds
/// what takes few but rare changes of threads.
pub(crate) fn explore(runs: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let scenario = Arc::new(scenario);
    let again = scenario.clone();
    explore_fairly(runs, move || again());
    let runs = runs * factor();
    run("PCT", PctScheduler::new(PCT_DEPTH, runs), move || scenario());
}

/// The random ones alone: for a scenario that spins until another thread has done something, which
/// PCT may never let run.
pub(crate) fn explore_fairly(runs: usize, scenario: impl Fn() + Send + Sync + 'static) {
    run("random", RandomScheduler::new(runs * factor()), scenario);
}

/// `RUNS=100` in the environment: a hundred times as many.
fn factor() -> usize {
    std::env::var("RUNS").map_or(1, |text| text.parse().expect("RUNS is a number"))
}

fn run(
    how: &'static str,
    scheduler: impl Scheduler + 'static,
    scenario: impl Fn() + Send + Sync + 'static,
) {
    let count = Arc::new(AtomicUsize::new(0));
    let _told = Told { how, count: count.clone() };
    let mut config = Config::new();
    config.stack_size = STACK_LEN;
    config.silence_warnings = true; // Atomics of ours that are shared are all `SeqCst`.
    Runner::new(scheduler, config).run(move || {
        count.fetch_add(1, Relaxed);
        scenario();
    });
}

/// Says how many interleavings there were: of interest when the last one failed.
struct Told {
    how: &'static str,
    count: Arc<AtomicUsize>,
}

impl Drop for Told {
    fn drop(&mut self) {
        eprintln!("{} {} interleavings", self.count.load(Relaxed), self.how);
    }
}
