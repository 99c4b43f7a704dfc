//! A short run of every fuzz body, over noise, over its seeds and over mutations of them; and what
//! fuzzing has found, again.

use std::path::Path;

use tractor_harness::fuzz::{TARGETS, Target, seeds};
use tractor_harness::random::Source;
use tractor_harness::runs;

fn noise(source: &mut Source) -> Vec<u8> {
    (0..source.below(200)).map(|_| source.below(256) as u8).collect()
}

fn target(name: &str) -> Target {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("no target {name}"))
}

/// Runs the body; prints the input that fails.
fn check(target: &Target, what: &str, input: &[u8]) {
    let result = std::panic::catch_unwind(|| (target.body)(input));
    assert!(result.is_ok(), "{}, {what}: {input:?}", target.name);
}

/// All seeds, and so many inputs made of them; under Miri a few of each.
fn smoke(name: &str, count: u64) {
    let target = target(name);
    let seeds = (target.seeds)();
    assert!(seeds.len() >= 10 || cfg!(miri), "{} seeds", seeds.len());
    let step = if cfg!(miri) { seeds.len().div_ceil(3) } else { 1 };
    for (n, seed) in seeds.iter().enumerate().step_by(step) {
        check(&target, &format!("seed {n}"), seed);
    }
    for n in 0..runs(count) {
        let mut source = Source::seed(n);
        let input = match n % 4 {
            0 => noise(&mut source),
            _ => seeds::mutated(&mut source, &seeds),
        };
        check(&target, &format!("input {n}"), &input);
    }
}

#[test]
fn deframer() {
    smoke("deframer", 4000);
}

#[test]
fn message() {
    smoke("message", 8000);
}

#[test]
fn round_trip() {
    smoke("round_trip", 8000);
}

#[test]
fn payload() {
    smoke("payload", 8000);
}

#[test]
fn channel() {
    smoke("channel", 2000);
}

#[test]
fn dialog() {
    smoke("dialog", 400);
}

#[test]
fn actor() {
    smoke("actor", 4000);
}

#[test]
fn registry() {
    smoke("registry", 800);
}

#[test]
fn world() {
    smoke("world", 300);
}

/// The inputs that once failed: `tests/fuzz/<target>/<what it showed>`.
#[test]
fn what_was_found_stays_mended() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    for dir in std::fs::read_dir(root).expect("a directory").flatten() {
        let target = target(&dir.file_name().to_string_lossy());
        let found = seeds::found(target.name);
        assert!(!found.is_empty(), "{} has none", target.name);
        for (what, input) in found {
            check(&target, &what, &input);
        }
    }
}

/// What `cargo fuzz` runs is what is in the table, and calls the body of that name.
#[test]
fn each_target_has_its_binary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let manifest = read("Cargo.toml");
    for target in &TARGETS {
        let name = target.name;
        let path = format!("fuzz_targets/{name}.rs");
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{name} is in the manifest");
        assert!(read(&path).contains(&format!("fuzz::{name}::run(data)")), "{path} runs it");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len(), "and no other");
}
