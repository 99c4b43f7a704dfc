//! No zombies: real processes, killed, stopped, stuck and dropped at any moment. Whatever happens
//! to a tree, nobody of it is left, and the right one hears the right error.
//!
//! The trees are this binary, started again with an order in the environment ([`tree_program`]).

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]
#![cfg(target_os = "linux")]

#[path = "zombies/moments.rs"]
mod moments;
#[path = "zombies/on.rs"]
mod on;
#[path = "zombies/orders.rs"]
mod orders;
#[path = "zombies/procs.rs"]
mod procs;
#[path = "zombies/program.rs"]
mod program;
#[path = "zombies/tree.rs"]
mod tree;
#[path = "zombies/watch.rs"]
mod watch;

#[path = "zombies/drops.rs"]
mod drops;
#[path = "zombies/early.rs"]
mod early;
#[path = "zombies/kills.rs"]
mod kills;
#[path = "zombies/leaks.rs"]
mod leaks;
#[path = "zombies/panics.rs"]
mod panics;
#[path = "zombies/signals.rs"]
mod signals;
#[path = "zombies/stuck.rs"]
mod stuck;

/// Not a test: the door to the program that the tests start. Without an order it is shut.
#[test]
fn tree_program() {
    let result = match std::env::var(program::ORDER) {
        Err(_) => return,
        Ok(order) if order == "uninitialised" => orders::uninitialised(),
        Ok(_) => program::main(),
    };
    // As a `main` that returns its result.
    if let Err(error) = &result {
        eprintln!("Error: {error:?}");
    }
    std::process::exit(i32::from(result.is_err()));
}
