//! Many seeds, on all cores; and what there is to say of one that fails.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::caught::{Play, caught};
use super::cover::Cover;
use super::run::{Report, play_into};
use super::{Options, chart, shrink};
use crate::random::Source;

/// So many failures are enough to stop.
const FAILED_MAX: usize = 10;

/// A seed whose run broke a check.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// The check; [`PANIC`](super::caught::PANIC) when the run panicked.
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

/// Runs `count` seeds from `from` on, on all cores; less when enough have failed. `options`: others
/// than each would draw.
pub fn hunt(from: u64, count: u64, options: Option<&Options>) -> Hunt {
    let (next, found) = (AtomicU64::new(0), Mutex::new(Hunt::default()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count || !one(from.wrapping_add(n), options, &found) {
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
fn one(seed: u64, options: Option<&Options>, found: &Mutex<Hunt>) -> bool {
    let report = caught(&play_into, Source::seed(seed), options.cloned(), false);
    let mut found = found.lock().expect("no run panics here");
    found.runs += 1;
    found.events += u64::from(report.events);
    found.actors += report.actors as u64;
    found.cover.add(&report.cover);
    let broken = report.broken.into_iter().next();
    found.failed.extend(broken.map(|(check, what)| Failed { seed, check: check.into(), what }));
    found.failed.len() < FAILED_MAX
}

/// How to repeat a failure: its smallest run, its trace and its chart, which go into `dir`.
///
/// # Errors
/// Of writing them.
pub fn explain(failed: &Failed, options: Option<&Options>, dir: &Path) -> std::io::Result<String> {
    explain_by(&play_into, failed, options, dir)
}

/// As [`explain`], for runs that are played in a way of one's own.
///
/// # Errors
/// Of writing them.
pub fn explain_by(
    play: Play<'_>,
    failed: &Failed,
    options: Option<&Options>,
    dir: &Path,
) -> std::io::Result<String> {
    let Failed { seed, check, what } = failed;
    let drawn = options.cloned().unwrap_or_else(|| Options::of(*seed));
    let same = |report: &Report| report.broken.first().is_some_and(|(name, _)| name == check);
    let smallest = shrink::shrink_by(play, *seed, drawn, same);
    let report = caught(play, Source::seed(*seed), Some(smallest.clone()), true);
    let (trace, page) = files(dir, *seed);
    std::fs::create_dir_all(dir)?;
    std::fs::write(&trace, lines(&report))?;
    std::fs::write(&page, chart::page(&format!("seed {seed}: {check}"), &report))?;
    let mut text = format!("seed {seed} breaks `{check}`: {what}\n");
    let _ = writeln!(
        text,
        "  SEED={seed} OPTIONS='{smallest}' cargo test -p tractor-harness --test sim one_seed \
         -- --nocapture"
    );
    let _ = writeln!(text, "  trace: {}\n  chart: {}", trace.display(), page.display());
    let _ = writeln!(text, "  for seeds.txt:\n{}", once_failed(*seed, &smallest, check));
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

/// A line of `seeds.txt`: a run that has failed once, and of what.
pub fn once_failed(seed: u64, options: &Options, what: &str) -> String {
    format!("{seed} {options} # {what}")
}

/// The run, and what it was.
///
/// # Errors
/// What is wrong with the line.
pub fn parse_once_failed(line: &str) -> Result<(u64, Options, &str), String> {
    let (run, what) = line.split_once('#').ok_or("it does not say `# what it was`")?;
    let (seed, options) = run.split_once(' ').ok_or("a seed, and its options")?;
    let seed = seed.parse().map_err(|_| format!("`{seed}` is no seed"))?;
    Ok((seed, options.parse()?, what.trim()))
}
