//! Random runs by seed. `SEED=n` replays one and prints it; `SEEDS=n` makes it so many.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tractor_harness::random::{Run, Source, run};
use tractor_harness::runs;

fn env(key: &str) -> Option<u64> {
    std::env::var(key).ok()?.parse().ok()
}

/// One seed, with its log when it fails.
fn replay(seed: u64) -> Vec<String> {
    let mut run = Run::new(Source::seed(seed));
    let result = catch_unwind(AssertUnwindSafe(|| run.play()));
    println!("{}", run.log.join("\n"));
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
    run.log
}

#[test]
fn whatever_happens_nothing_is_left() {
    if let Some(seed) = env("SEED") {
        replay(seed);
        return;
    }
    let mut failed = Vec::new();
    for seed in 0..env("SEEDS").unwrap_or(runs(2000)) {
        if catch_unwind(|| run(seed)).is_err() {
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "replay with SEED={}; all: {failed:?}", failed[0]);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..runs(20) {
        assert_eq!(run(seed), run(seed), "C6: SEED={seed}");
    }
}
