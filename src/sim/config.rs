//! What a simulation is like: its seed, how long things take, how far it may go, what fails.

use std::ops::RangeInclusive;
use std::time::Duration;

use tractor_executors::sim::Limits;

use super::faults::Faults;

/// What a run is like. Made of a seed alone, it is a world without faults.
#[derive(Clone, Debug)]
#[must_use = "it is for `run`"]
pub struct Config {
    pub(super) seed: u64,
    pub(super) latency: RangeInclusive<Duration>,
    pub(super) spawn_time: RangeInclusive<Duration>,
    pub(super) limits: Limits,
    pub(super) faults: Faults,
    pub(super) verbose: bool,
}

impl Config {
    /// A world without faults, in which everything that can be one way or another follows from
    /// `seed`.
    pub fn new(seed: u64) -> Self {
        Config {
            seed,
            latency: Duration::from_micros(5)..=Duration::from_micros(500),
            spawn_time: Duration::from_micros(500)..=Duration::from_millis(5),
            limits: Limits::default(),
            faults: Faults::none(),
            verbose: false,
        }
    }

    /// How long bytes take from one process to another: 5 to 500 µs by default. What is written
    /// later arrives later, or at once with it.
    pub fn latency(mut self, range: RangeInclusive<Duration>) -> Self {
        self.latency = range;
        self
    }

    /// How long it takes until a process that is spawned begins to run: 0.5 to 5 ms by default.
    pub fn spawn_time(mut self, range: RangeInclusive<Duration>) -> Self {
        self.spawn_time = range;
        self
    }

    /// Fails a run that takes longer, in its own time. A day by default.
    pub fn time_max(mut self, time: Duration) -> Self {
        self.limits.time = time;
        self
    }

    /// Fails a run in which tasks were polled more often. 10 million times by default.
    pub fn steps_max(mut self, steps: u64) -> Self {
        self.limits.steps = steps;
        self
    }

    /// What fails, besides what the program makes fail itself.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Tells on stderr what becomes of processes and links, with the time of the run.
    pub fn verbose(mut self, on: bool) -> Self {
        self.verbose = on;
        self
    }
}

impl From<u64> for Config {
    fn from(seed: u64) -> Self {
        Config::new(seed)
    }
}
