//! Trees of actors in simulation, by seed.
//!
//! ```text
//! SEEDS=100000 cargo test --release -p tractor-harness --test sim        many
//! SEED=123 cargo test -p tractor-harness --test sim -- --nocapture       one, shrunk and drawn
//! SEED=123 OPTIONS="faults=kill count=1 .." cargo test ..                one as it was printed
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};

use tractor_harness::random::Source;
use tractor_harness::sim::cover::Cover;
use tractor_harness::sim::{self, Options};

fn env<T: std::str::FromStr>(key: &str) -> Option<T> {
    std::env::var(key).ok()?.parse().ok()
}

#[test]
fn whatever_happens_the_checks_hold() {
    let (from, count) = (env("FROM").unwrap_or(0), env("SEEDS").unwrap_or(1000));
    let mut cover = Cover::default();
    let mut failed = 0;
    let started = std::time::Instant::now();
    let (mut events, mut actors) = (0_u64, 0);
    for seed in from..from + count {
        let result = catch_unwind(AssertUnwindSafe(|| sim::seed(seed)));
        match result {
            Ok(report) => {
                events += u64::from(report.events);
                actors += report.actors;
                cover.add(&report.cover);
                if let Some((check, what)) = report.broken.first() {
                    failed += 1;
                    println!("SEED={seed}: {check}: {what}");
                }
            }
            Err(_) => {
                failed += 1;
                println!("SEED={seed}: panicked");
            }
        }
        if failed >= 20 {
            break;
        }
    }
    println!("{} events, {} actors, {:?}", events, actors, started.elapsed());
    for (what, count) in cover.counts() {
        println!("{count:>10} {what}");
    }
    assert_eq!(failed, 0);
}

#[test]
fn one_seed() {
    let Some(seed) = env::<u64>("SEED") else { return };
    let options = std::env::var("OPTIONS").ok().map(|text| text.parse::<Options>().unwrap());
    let report = sim::play(Source::seed(seed), options, true);
    for (at, note) in &report.notes {
        println!("{at:?} {note:?}");
    }
    println!("{:?}", report.broken);
}
