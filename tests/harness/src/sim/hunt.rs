//! Many seeds, on all cores; and what there is to say of one that fails.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::cover::Cover;
use super::run::{Report, play};
use super::{Options, chart, shrink};
use crate::random::Source;

/// So many failures are enough to stop.
const FAILED_MAX: usize = 10;

/// A seed whose run broke a check.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// The check; `panic` when the run panicked.
    pub check: String,
    /// What was seen.
    pub what: String,
}

/// What came out of many runs.
#[derive(Debug, Default)]
pub struct Hunt {
    /// How many there were.
    pub runs: u64,
    /// How much happened in them.
    pub events: u64,
    /// How many processes they had.
    pub actors: u64,
    /// What they reached.
    pub cover: Cover,
    /// Those that failed.
    pub failed: Vec<Failed>,
}

/// Runs `count` seeds from `from` on, on all cores; less when enough have failed.
pub fn hunt(from: u64, count: u64) -> Hunt {
    let (next, found) = (AtomicU64::new(0), Mutex::new(Hunt::default()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count || !one(from.wrapping_add(n), &found) {
                        return;
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().expect("no run panics here");
    found.failed.sort_by_key(|failed| failed.seed);
    found
}

/// One run. False when enough have failed.
fn one(seed: u64, found: &Mutex<Hunt>) -> bool {
    let result = catch_unwind(AssertUnwindSafe(|| super::seed(seed)));
    let mut found = found.lock().expect("no run panics here");
    found.runs += 1;
    let broken = match result {
        Ok(report) => {
            found.events += u64::from(report.events);
            found.actors += report.actors as u64;
            found.cover.add(&report.cover);
            report.broken.into_iter().next().map(|(check, what)| (check.to_string(), what))
        }
        Err(_) => Some(("panic".into(), "see above".into())),
    };
    found.failed.extend(broken.map(|(check, what)| Failed { seed, check, what }));
    found.failed.len() < FAILED_MAX
}

/// How to repeat a failure: its smallest run, its trace and its chart, which go into `dir`.
///
/// # Errors
/// Of writing them.
pub fn explain(failed: &Failed, dir: &Path) -> std::io::Result<String> {
    let Failed { seed, check, what } = failed;
    let mut text = format!("seed {seed} breaks `{check}`: {what}\n");
    let drawn = Options::draw(&mut Source::seed(*seed));
    let repeat = |options: &Options| {
        format!(
            "SEED={seed} OPTIONS='{options}' cargo test -p tractor-harness --test sim one_seed \
             -- --nocapture"
        )
    };
    if check == "panic" {
        let _ = writeln!(text, "  {}", repeat(&drawn));
        return Ok(text);
    }
    let same = |report: &Report| report.broken.first().is_some_and(|(name, _)| name == check);
    let smallest = shrink::shrink(*seed, drawn, same);
    let report = play(Source::seed(*seed), Some(smallest.clone()), true);
    let (trace, page) = files(dir, *seed);
    std::fs::create_dir_all(dir)?;
    std::fs::write(&trace, lines(&report))?;
    std::fs::write(&page, chart::page(&format!("seed {seed}: {check}"), &report))?;
    let _ = writeln!(text, "  {}", repeat(&smallest));
    let _ = writeln!(text, "  trace: {}\n  chart: {}", trace.display(), page.display());
    Ok(text)
}

fn files(dir: &Path, seed: u64) -> (PathBuf, PathBuf) {
    (dir.join(format!("{seed}.txt")), dir.join(format!("{seed}.html")))
}

/// The trace as text.
pub fn lines(report: &Report) -> String {
    let mut text = String::new();
    for (at, note) in &report.notes {
        let _ = writeln!(text, "{at:?} {}", note.line(&report.names));
    }
    for (check, what) in &report.broken {
        let _ = writeln!(text, "broken: {check}: {what}");
    }
    text
}
