//! Whole trees of actors in simulation: many programs, processes, links and one virtual clock, with
//! faults drawn from a seed, and checks that hold whatever happens.
//!
//! | module | what |
//! |---|---|
//! | [`options`] | what a run is made of: sizes, and which kinds of faults may come |
//! | [`plan`] | what every task of every actor does |
//! | [`kernel`] | processes, links, the clock |
//! | [`links`] | how bytes come from one host to another |
//! | [`processes`] | how processes are made, stopped, killed and reaped |
//! | [`faults`] | what goes wrong |
//! | [`mail`] | what a core has told its tasks |
//! | [`task`] | tasks, their scopes, their errors |
//! | [`program`] | the steps of a plan, done |
//! | [`streams`] | what both sides of a stream write and read |
//! | [`serve`] | tasks that are asked for, and the bodies of roots and children |
//! | [`registry`] | what programs ask the registry |
//! | [`drops`] | pieces of tasks that are dropped from outside |
//! | [`check`] | what must hold |
//! | [`cover`] | what was really reached |
//! | [`trace`] | what happened |
//! | [`run`] | a run from its beginning to its end |
//! | [`caught`] | a run that panics, as a report |
//! | [`shrink`] | the smallest run that fails the same way |
//! | [`chart`] | a run, drawn |
//! | [`hunt`] | many seeds, and what there is to say of one that fails |
//!
//! A run is a function of its seed and options: the same ones give the same trace hash.

pub mod caught;
pub mod chart;
pub mod check;
pub mod cover;
pub mod drops;
pub mod faults;
pub mod hunt;
pub mod kernel;
pub mod links;
pub mod mail;
pub mod options;
pub mod plan;
pub mod processes;
pub mod program;
pub mod registry;
pub mod run;
pub mod serve;
pub mod shrink;
pub mod streams;
pub mod task;
pub mod trace;

pub use options::Options;
pub use run::{Report, play, play_into};

use crate::random::Source;

/// Plays the run of a seed.
pub fn seed(seed: u64) -> Report {
    play(Source::seed(seed), None, false)
}
