//! Trees of actors in simulation, by seed.
//!
//! ```text
//! FROM=0 SEEDS=100000 cargo test --profile checked -p tractor-harness --test sim     so many
//! OPTIONS='faults=halfopen base=true' cargo test -p tractor-harness --test sim whatever   of these
//! SEED=123 cargo test -p tractor-harness --test sim one_seed -- --nocapture
//! ```

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::str::FromStr;
use std::time::Instant;

use tractor_core::coverage;
use tractor_harness::planted;
use tractor_harness::random::Source;
use tractor_harness::runs;
use tractor_harness::sim::caught::{PANIC, caught};
use tractor_harness::sim::hunt::{
    Failed, Hunt, explain, explain_by, hunt, lines, once_failed, parse_once_failed,
};
use tractor_harness::sim::options::Fault;
use tractor_harness::sim::trace::{Kept, Note};
use tractor_harness::sim::{self, Options, Report, chart, play, play_into, shrink};

/// So many of each kind in this many runs, or more: then that they reach none is no accident.
const OFTEN: u64 = 50;
const MANY: u64 = 20_000;

/// What is reached so rarely may be news of other seeds.
const RARE: u64 = 5;

fn env<T: FromStr<Err: Debug>>(key: &str) -> Option<T> {
    let text = std::env::var(key).ok()?;
    Some(text.parse().unwrap_or_else(|why| panic!("{key}={text}: {why:?}")))
}

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim").join(name)
}

/// Where traces and charts go.
fn traces() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("sim")
}

/// What failed, with all there is to say of it.
fn report(hunt: &Hunt, options: Option<&Options>) {
    let failed = hunt.failed.iter().take(3);
    let told: Vec<String> =
        failed.map(|failed| explain(failed, options, &traces()).expect("a place for it")).collect();
    assert!(told.is_empty(), "{} of {}:\n{}", hunt.failed.len(), hunt.runs, told.concat());
}

/// What was reached, and how often: by the runs themselves, and in the tables. Those rows of the
/// tables that do something are there, and all kinds of faults, reached or not.
fn reached(hunt: &Hunt) -> BTreeMap<String, u64> {
    let rows = coverage::rows().into_iter().filter(|row| row.count > 0 || row.is_step);
    let mut all: BTreeMap<String, u64> = rows.map(|row| (row.name, u64::from(row.count))).collect();
    all.extend(Fault::ALL.iter().map(|fault| (format!("fault: {}", fault.word()), 0)));
    all.extend(hunt.cover.counts().map(|(what, count)| (what.to_string(), count)));
    all
}

/// `reached.txt` lists what is reached often (`must`), now and then (`may`), or never (`not`), with
/// the reason.
fn compare(reached: &BTreeMap<String, u64>, runs: u64) {
    let path = beside("reached.txt");
    let list = std::fs::read_to_string(&path).expect("the list");
    let was: BTreeMap<&str, &str> = list.lines().map(|line| named(&line[5..])).collect();
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(&path, listing(reached, runs, &was)).expect("a writable checkout");
    }
    let list = std::fs::read_to_string(&path).expect("the list");
    let listed: BTreeMap<&str, &str> =
        list.lines().map(|line| (named(&line[5..]).0, line)).collect();
    let mut wrong = Vec::new();
    for (what, count) in reached {
        match listed.get(what.as_str()) {
            None if *count >= RARE || *count == 0 => {
                wrong.push(format!("not listed: {count} {what}"))
            }
            Some(line) if line.starts_with("not") && *count >= RARE => {
                wrong.push(format!("reached: {count} {what}"));
            }
            Some(line) if line.starts_with("not") && named(line).1.is_empty() => {
                wrong.push(format!("why not: {what}"));
            }
            _ => {}
        }
    }
    let missed = |(what, line): &(&&str, &&str)| {
        line.starts_with("must") && reached.get(**what).is_none_or(|count| *count == 0)
    };
    let stale =
        |(what, line): &(&&str, &&str)| line.starts_with("not") && !reached.contains_key(**what);
    wrong.extend(listed.iter().filter(stale).map(|(what, _)| format!("no such step: {what}")));
    if runs >= MANY {
        wrong.extend(listed.iter().filter(missed).map(|(what, _)| format!("not reached: {what}")));
    }
    assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
}

/// A line's name and reason.
fn named(line: &str) -> (&str, &str) {
    line.split_once(" # ").unwrap_or((line, ""))
}

/// The list as it should be, with the reasons that it had.
fn listing(reached: &BTreeMap<String, u64>, runs: u64, was: &BTreeMap<&str, &str>) -> String {
    let often = OFTEN * runs.max(MANY) / MANY;
    let line = |(what, count): (&String, &u64)| {
        let why = was.get(what.as_str()).unwrap_or(&"");
        match *count {
            0 => format!("not  {what} # {why}\n"),
            count if count >= often => format!("must {what}\n"),
            _ => format!("may  {what}\n"),
        }
    };
    reached.iter().map(line).collect()
}

#[test]
fn whatever_happens_the_checks_hold() {
    let (from, count) = (env("FROM").unwrap_or(0), env("SEEDS").unwrap_or(runs(1000)));
    let started = Instant::now();
    let options = env::<Options>("OPTIONS");
    let hunt = hunt(from, count, options.as_ref());
    let per_second = hunt.runs as f64 / started.elapsed().as_secs_f64();
    println!(
        "{} runs, {} actors, {} events, {per_second:.0} runs a second",
        hunt.runs, hunt.actors, hunt.events
    );
    if let (Some(first), true) = (hunt.failed.first(), std::env::var_os("FIRST").is_some()) {
        println!("FIRST: seed {} breaks `{}`", first.seed, first.check);
        panic!("{}", first.what);
    }
    report(&hunt, options.as_ref());
    let reached = reached(&hunt);
    for (what, count) in &reached {
        println!("{count:>12} {what}");
    }
    if options.is_none() {
        compare(&reached, hunt.runs);
    }
}

#[test]
fn seeds_that_failed_once_do_not_again() {
    let list = std::fs::read_to_string(beside("seeds.txt")).unwrap();
    let lines: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(!lines.is_empty(), "it has those that have failed");
    for line in lines {
        let (seed, options, what) =
            parse_once_failed(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        assert_eq!(once_failed(seed, &options, what), line, "as it is printed, nothing left out");
        let report = play(Source::seed(seed), Some(options), false);
        assert!(report.broken.is_empty(), "{line}: {:?}", report.broken);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..runs(100) {
        let [one, other] = [(); 2].map(|()| sim::seed(seed));
        assert_eq!((one.hash, one.events), (other.hash, other.events), "seed {seed}");
    }
}

/// What `examples/planted.rs` plants can be planted.
#[test]
fn planted_faults_have_their_places() {
    let harness = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let all = planted::parse(&read(&harness.join("planted.txt")));
    assert!(all.len() >= 15, "only {}", all.len());
    for fault in all {
        let text = read(&harness.join("../..").join(&fault.file));
        assert!(fault.fits(&text), "{}: its place must be there once", fault.name);
        assert_ne!(fault.old, fault.new, "{}", fault.name);
    }
}

/// Pretends that a kill is what must not be.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn a_run_is_shrunk_and_drawn() {
    let killed = |report: &sim::Report| report.cover.count("fault: kill") > 0;
    let seed = (0..).find(|seed| killed(&sim::seed(*seed))).unwrap();
    let drawn = Options::of(seed);
    let smallest = shrink::shrink(seed, drawn.clone(), killed);
    assert_eq!(smallest.faults, [sim::options::Fault::Kill], "of {drawn}");
    assert_eq!(smallest.to_string().parse::<Options>(), Ok(smallest.clone()), "as it is printed");
    let report = play(Source::seed(seed), Some(smallest), true);
    assert!(killed(&report));
    let page = chart::page("a kill", &report);
    assert!(page.contains("sequenceDiagram") && page.contains("fault: kill"), "{page}");
    assert!(lines(&report).contains("ends: Signal(9)"), "{}", lines(&report));
}

/// A run in which a kill panics, in the middle of whatever comes of it.
fn play_shy(source: Source, options: Option<Options>, kept: Option<Rc<Kept>>) -> Report {
    let kept = kept.unwrap_or_default();
    kept.watch.set(Some(|note: &Note| match note {
        Note::World(text) if text == "fault: kill" => panic!("no kill, please"),
        _ => {}
    }));
    play_into(source, options, Some(kept))
}

/// As one that breaks a check.
#[test]
fn a_run_that_panics_is_shrunk_and_drawn() {
    let panics =
        |seed: &u64| !caught(&play_shy, Source::seed(*seed), None, false).broken.is_empty();
    let seed = (0..).find(panics).unwrap();
    let report = caught(&play_shy, Source::seed(seed), None, true);
    let (check, what) = report.broken[0].clone();
    assert!(what.contains("no kill, please at ") && what.contains("tests/sim.rs"), "{what}");
    let failed = Failed { seed, check: check.into(), what };
    let dir = traces().join("panics");
    let told = explain_by(&play_shy, &failed, None, &dir).unwrap();
    assert!(told.contains("breaks `panic`: no kill, please at "), "{told}");
    let line = told.lines().last().unwrap();
    let (again, options, what) = parse_once_failed(line).unwrap();
    assert_eq!((again, what), (seed, "panic"), "{line}");
    assert_eq!(options.faults, [sim::options::Fault::Kill], "{told}");
    let [trace, page] = ["txt", "html"]
        .map(|kind| std::fs::read_to_string(dir.join(format!("{seed}.{kind}"))).unwrap());
    assert!(trace.contains("root0#0 is made"), "{trace}");
    assert!(trace.ends_with(&format!("broken: panic: {}\n", failed.what)), "{trace}");
    assert!(trace.lines().rev().nth(1).unwrap().ends_with("fault: kill"), "{trace}");
    assert!(page.contains("sequenceDiagram") && page.contains("BROKEN: panic: no kill"), "{page}");
}

thread_local! {
    /// Notes until a run panics.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// Wherever it panics: within a core, a task, or between them.
#[test]
fn a_run_may_panic_anywhere() {
    let play = |source, options, kept: Option<Rc<Kept>>| {
        let kept = kept.unwrap_or_default();
        kept.watch.set(Some(|_: &Note| {
            LEFT.set(LEFT.get().saturating_sub(1));
            assert!(LEFT.get() > 0, "here");
        }));
        play_into(source, options, Some(kept))
    };
    let mut panicked = 0;
    for seed in 0..300 {
        LEFT.set(1 + seed * seed % 199);
        let report = caught(&play, Source::seed(seed), None, false);
        let Some((check, what)) = report.broken.first() else { continue };
        assert!(*check == PANIC && what.starts_with("here at "), "{check}: {what}");
        panicked += 1;
    }
    assert!(panicked > 100, "{panicked} have panicked");
}

#[test]
fn one_seed() {
    let Some(seed) = env::<u64>("SEED") else { return };
    let options = env("OPTIONS");
    let report = play(Source::seed(seed), options, true);
    print!("{}", lines(&report));
    assert!(report.broken.is_empty(), "{:?}", report.broken);
}
