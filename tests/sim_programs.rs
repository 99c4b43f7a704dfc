//! The examples in simulation: unchanged, with many seeds, they print what they do as processes.

#![allow(clippy::unwrap_used, dead_code, reason = "the helpers are test code, shared by others")]

#[path = "behaviours/program.rs"]
mod program;

use std::process::Command;

use program::{Ended, run};

/// Runs of each example.
const SEEDS: u64 = 25;

fn example(name: &str) -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop(); // this test's own file
    path.set_file_name("examples");
    path.push(name);
    assert!(path.exists(), "{} is built by `cargo test`", path.display());
    Command::new(path)
}

fn simulated(name: &str, seed: u64) -> Ended {
    let mut command = example(name);
    command.env("TRACTOR_SIM_SEED", seed.to_string());
    run(command)
}

/// What an example prints, as processes and in simulation.
#[track_caller]
fn prints_the_same(name: &str) {
    let real = run(example(name));
    assert_eq!(real.code(), Some(0), "{real:?}");
    for seed in 0..SEEDS {
        let ended = simulated(name, seed);
        assert_eq!(ended.code(), Some(0), "seed {seed}: {ended:?}");
        assert_eq!(ended.stdout, real.stdout, "seed {seed}: {}", ended.stderr);
    }
}

#[test]
fn quickstart() {
    prints_the_same("quickstart");
    let told = simulated("quickstart", 1).stderr;
    assert!(told.contains("frank (pid 2): spawned by pid 1"), "it is simulated: {told}");
    assert_eq!(told, simulated("quickstart", 1).stderr, "the same seed is the same run");
    assert_ne!(told, simulated("quickstart", 2).stderr, "another seed is another one");
}

#[test]
fn nested_tree() {
    prints_the_same("nested_tree");
}

#[test]
fn remote_error() {
    prints_the_same("remote_error");
}

#[test]
fn failures() {
    prints_the_same("failures");
}

#[test]
fn bidir_stream() {
    prints_the_same("bidir_stream");
}

#[test]
fn generator() {
    prints_the_same("generator");
}

#[test]
fn cancel() {
    prints_the_same("cancel");
}

#[test]
fn scopes() {
    prints_the_same("scopes");
}

#[test]
fn cluster() {
    prints_the_same("cluster");
}
