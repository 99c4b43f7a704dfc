//! Trees of actors in simulation, by seed.
//!
//! ```text
//! SEEDS=100000 cargo test --release -p tractor-harness --test sim     so many; FROM=n: from there
//! SEED=123 cargo test -p tractor-harness --test sim one_seed -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tractor_core::coverage;
use tractor_harness::random::Source;
use tractor_harness::sim::hunt::{Hunt, explain, hunt, lines};
use tractor_harness::sim::{self, Options, chart, play, shrink};

/// So many of each kind in this many runs, or more: then that they reach none is no accident.
const OFTEN: u64 = 50;
const MANY: u64 = 20_000;

/// What is reached so rarely may be news of other seeds.
const RARE: u64 = 5;

fn env<T: std::str::FromStr>(key: &str) -> Option<T> {
    std::env::var(key).ok()?.parse().ok()
}

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim").join(name)
}

/// Where traces and charts go.
fn traces() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("sim")
}

/// What failed, with all there is to say of it.
fn report(hunt: &Hunt) {
    let failed = hunt.failed.iter().take(3);
    let told: Vec<String> =
        failed.map(|failed| explain(failed, &traces()).expect("a place for it")).collect();
    assert!(told.is_empty(), "{} of {}:\n{}", hunt.failed.len(), hunt.runs, told.concat());
}

/// What was reached: by the runs themselves, and in the tables.
fn reached(hunt: &Hunt) -> BTreeMap<String, u64> {
    let rows = coverage::rows().into_iter().map(|(row, count)| (row, u64::from(count)));
    let mut all: BTreeMap<String, u64> = rows.filter(|(_, count)| *count > 0).collect();
    all.extend(hunt.cover.counts().map(|(what, count)| (what.to_string(), count)));
    all
}

/// `reached.txt` lists what is reached often (`must`), or now and then (`may`).
fn compare(reached: &BTreeMap<String, u64>, runs: u64) {
    let path = beside("reached.txt");
    let often = OFTEN * runs.max(MANY) / MANY;
    if std::env::var_os("REWRITE").is_some() {
        let line = |(what, count): (&String, &u64)| {
            format!("{} {what}\n", if *count >= often { "must" } else { "may " })
        };
        std::fs::write(&path, reached.iter().map(line).collect::<String>())
            .expect("a writable checkout");
    }
    let list = std::fs::read_to_string(&path).expect("the list");
    let listed: BTreeMap<&str, bool> =
        list.lines().map(|line| (&line[5..], line.starts_with("must"))).collect();
    let unlisted =
        |(what, count): &(&String, &u64)| **count >= RARE && !listed.contains_key(what.as_str());
    let unlisted: Vec<_> = reached.iter().filter(unlisted).collect();
    assert!(unlisted.is_empty(), "reached, and not listed in {}: {unlisted:#?}", path.display());
    let many = runs >= MANY;
    let missed =
        listed.iter().filter(|(what, must)| many && **must && !reached.contains_key(**what));
    let missed: Vec<&&str> = missed.map(|(what, _)| what).collect();
    assert!(missed.is_empty(), "listed in {}, and not reached: {missed:#?}", path.display());
}

#[test]
fn whatever_happens_the_checks_hold() {
    let (from, count) = (env("FROM").unwrap_or(0), env("SEEDS").unwrap_or(1000));
    let started = Instant::now();
    let hunt = hunt(from, count);
    let per_second = hunt.runs as f64 / started.elapsed().as_secs_f64();
    println!(
        "{} runs, {} actors, {} events, {per_second:.0} runs a second",
        hunt.runs, hunt.actors, hunt.events
    );
    if let (Some(first), true) = (hunt.failed.first(), std::env::var_os("FIRST").is_some()) {
        println!("FIRST: seed {} breaks `{}`", first.seed, first.check);
        panic!("{}", first.what);
    }
    report(&hunt);
    let reached = reached(&hunt);
    for (what, count) in &reached {
        println!("{count:>12} {what}");
    }
    compare(&reached, hunt.runs);
}

#[test]
fn seeds_that_failed_once_do_not_again() {
    let list = std::fs::read_to_string(beside("seeds.txt")).unwrap();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let (seed, what) = line.split_once(' ').expect("a seed, and what it was");
        report(&hunt(seed.parse().unwrap_or_else(|_| panic!("no seed: {seed} ({what})")), 1));
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..100 {
        let [one, other] = [(); 2].map(|()| sim::seed(seed));
        assert_eq!((one.hash, one.events), (other.hash, other.events), "seed {seed}");
    }
}

/// Pretends that a kill is what must not be.
#[test]
fn a_run_is_shrunk_and_drawn() {
    let killed = |report: &sim::Report| report.cover.count("fault: kill") > 0;
    let seed = (0..).find(|seed| killed(&sim::seed(*seed))).unwrap();
    let drawn = Options::draw(&mut Source::seed(seed));
    let smallest = shrink::shrink(seed, drawn.clone(), killed);
    assert_eq!(smallest.faults, [sim::options::Fault::Kill], "of {drawn}");
    assert_eq!(smallest.to_string().parse::<Options>(), Ok(smallest.clone()), "as it is printed");
    let report = play(Source::seed(seed), Some(smallest), true);
    assert!(killed(&report));
    let page = chart::page("a kill", &report);
    assert!(page.contains("sequenceDiagram") && page.contains("fault: kill"), "{page}");
    assert!(lines(&report).contains("ends: Signal(9)"), "{}", lines(&report));
}

#[test]
fn one_seed() {
    let Some(seed) = env::<u64>("SEED") else { return };
    let options = std::env::var("OPTIONS").ok().map(|text| text.parse::<Options>().unwrap());
    let report = play(Source::seed(seed), options, true);
    print!("{}", lines(&report));
    assert!(report.broken.is_empty(), "{:?}", report.broken);
}
