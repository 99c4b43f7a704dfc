//! The examples in simulation: unchanged, with many seeds, they print what they do as processes.
//! With faults they may fail, and they end, with nothing left behind.

#![allow(clippy::unwrap_used, dead_code, reason = "the helpers are test code, shared by others")]

#[path = "behaviours/program.rs"]
mod program;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use program::{Ended, run};

/// Runs of each example, and as many more with faults.
const SEEDS: u64 = 25;

/// The examples that do not run in simulation, and why.
const NOT_SIMULATED: [(&str, &str); 8] = [
    ("by_hand", "it has no runtime: it drives the core alone, and is the same each time as it is"),
    ("embed", "its root is opened by a `block_on` of its own, not under `#[tractor::main]`"),
    ("join_tree", "it starts itself again as a program, by `std::process::Command`"),
    ("python_peer", "it starts Python"),
    ("service_discovery", "it starts itself again as programs, by `std::process::Command`"),
    ("sim_test", "it is a simulation"),
    ("soak", "it looks for real processes that survive real kills"),
    ("two_programs", "it starts itself again as programs, by `std::process::Command`"),
];

macro_rules! simulated {
    ($($name:ident),+ $(,)?) => {
        /// Those that do.
        const SIMULATED: &[&str] = &[$(stringify!($name)),+];

        $(
            #[test]
            fn $name() {
                prints_the_same(stringify!($name));
            }
        )+

        mod with_faults {
            $(
                #[test]
                fn $name() {
                    super::ends_whatever_fails(stringify!($name));
                }
            )+
        }
    };
}

simulated! {
    bidir_stream, cancel, cluster, digest, failures, generator, nested_tree, quickstart,
    remote_error, scopes, we_are_processes,
}

#[test]
fn each_example_is_simulated_or_says_why_not() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let there: BTreeSet<String> =
        names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let not = NOT_SIMULATED.iter().map(|(name, _)| *name);
    let listed: Vec<&str> = SIMULATED.iter().copied().chain(not).collect();
    assert_eq!(listed.len(), there.len(), "each once");
    assert_eq!(listed.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), there);
}

fn example(name: &str) -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop(); // this test's own file
    path.set_file_name("examples");
    path.push(name);
    assert!(path.exists(), "{} is built by `cargo test`", path.display());
    let mut command = Command::new(path);
    if name == "digest" {
        command.args(["--workers", "3", "--restart"]).arg(files());
    }
    command
}

/// What has a digest: files of all sizes, in directories.
fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sim")
}

fn simulated(name: &str, seed: u64) -> Command {
    let mut command = example(name);
    command.env("TRACTOR_SIM_SEED", seed.to_string()).env("TRACTOR_SIM_LOG", "error");
    command
}

/// What an example prints that is the same as processes and in simulation.
fn printed(name: &str, ended: &Ended) -> String {
    match name {
        // Files get done in any order.
        "digest" => {
            let mut lines: Vec<&str> = ended.stdout.lines().collect();
            lines.sort_unstable();
            lines.join("\n")
        }
        // It tells process ids, of which a simulation has one.
        "we_are_processes" => ended.stdout.replace(|c: char| c.is_ascii_digit(), ""),
        _ => ended.stdout.clone(),
    }
}

#[track_caller]
fn prints_the_same(name: &str) {
    let real = run(example(name));
    let code = i32::from(name == "we_are_processes"); // which fails on purpose
    assert_eq!(real.code(), Some(code), "{real:?}");
    for seed in 0..SEEDS {
        let ended = run(simulated(name, seed));
        assert_eq!(ended.code(), real.code(), "seed {seed}: {ended:?}");
        let (got, expected) = (printed(name, &ended), printed(name, &real));
        assert_eq!(got, expected, "seed {seed}: {}", ended.stderr);
    }
}

/// What the lines of a simulation say when a fault has come.
const FELT: [&str; 11] = [
    ": cut",
    "nothing arrives",
    "hears nothing",
    "apart from",
    "jumps",
    "stops",
    "its spawn fails",
    "killed by signal",
    "is refused",
    "no way",
    "longer",
];

/// Whether one has come: no other line of the program's counts, and a crash has a code of its own.
fn felt(said: &str) -> bool {
    let mut lines = said.lines().filter(|line| line.starts_with("sim "));
    lines.any(|line| {
        let crashed = line.split_once(": exit code ").is_some_and(|(_, code)| code != "0");
        crashed || FELT.iter().any(|word| line.contains(word))
    })
}

/// Lines that tell of faults that have come, and those that do not.
#[test]
fn a_fault_is_felt_in_what_a_simulation_tells() {
    let no = "sim 1ms connects to be refused: 1\nsim 2ms a (pid 2): exit code 0\n\
              the connection is refused, by signal, which stops: exit code 7\n";
    assert!(!felt(no));
    for line in ["a (pid 2): exit code 7", "pid 2: a connect to b is refused", "a stops"] {
        assert!(felt(&format!("{no}sim 3ms {line}\n")), "{line}");
    }
}

/// With faults it may end with an error, but it ends, and soon; nothing is left, which a simulation
/// checks itself, and nothing is logged as an error.
#[track_caller]
fn ends_whatever_fails(name: &str) {
    let mut felt = 0;
    for seed in 1000..1000 + SEEDS {
        let mut command = simulated(name, seed);
        command.env("TRACTOR_SIM_FAULTS", "all,kills=2,cuts=2,within=60");
        let ended = run(command);
        let said = &ended.stderr;
        assert!(matches!(ended.code(), Some(0 | 1)), "{name}, seed {seed}: {ended:?}");
        assert!(!said.contains("ERROR ("), "{name}, seed {seed}: {said}");
        assert!(seconds(said) < 60.0, "{name}, seed {seed}: {said}");
        felt += u64::from(self::felt(said));
    }
    // One has no actors: there the clock alone can fail.
    let least = if name == "scopes" { 1 } else { SEEDS / 2 };
    assert!(felt >= least, "{name}: something failed in {felt} of {SEEDS} runs");
}

/// The last time that a run tells: 0 when it is less than a second.
fn seconds(said: &str) -> f64 {
    let mut times = said.lines().filter_map(|line| line.strip_prefix("sim "));
    let last = times.next_back().and_then(|line| line.split_whitespace().next()).unwrap_or("0s");
    last.strip_suffix('s').and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

#[test]
fn quickstart_is_simulated() {
    let told = run(simulated("quickstart", 1)).stderr;
    assert!(told.contains("frank (pid 2): spawned by pid 1"), "it is simulated: {told}");
    assert_eq!(told, run(simulated("quickstart", 1)).stderr, "the same seed is the same run");
    assert_ne!(told, run(simulated("quickstart", 2)).stderr, "another seed is another one");
}

/// What a program says that is asked for a simulation which nobody can make of it.
fn refused(variable: &str, value: &str) -> String {
    let mut command = simulated("quickstart", 1);
    command.env(variable, value);
    let ended = run(command);
    assert_eq!(ended.code(), Some(101), "{variable}={value}: {ended:?}");
    ended.stderr
}

/// It is no run without faults, without a log, or for real.
#[test]
fn what_nobody_understands_is_told() {
    let told = refused("TRACTOR_SIM_FAULTS", "kills,earthquakes");
    assert!(told.contains("`earthquakes` is no kind of faults"), "{told}");
    assert!(told.contains("failing_spawns, clock_jumps"), "{told}");
    let told = refused("TRACTOR_SIM_LOG", "verbose");
    assert!(told.contains("TRACTOR_SIM_LOG: `verbose` is no level"), "{told}");
    assert!(told.contains("`info`"), "{told}");
    let told = refused("TRACTOR_SIM_SEED", "many");
    assert!(told.contains("TRACTOR_SIM_SEED is no number"), "{told}");
}

/// A variable that is set to nothing is a run without faults.
#[test]
fn no_faults_are_no_faults() {
    let mut command = simulated("quickstart", 1);
    command.env("TRACTOR_SIM_FAULTS", "");
    assert_eq!(run(command).stderr, run(simulated("quickstart", 1)).stderr);
}
