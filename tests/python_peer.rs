//! Actors of ours in a tree of Python's, and Python's actors in a tree of ours: with a peer in
//! Python that speaks the base protocol and is as strict as the reference is where that ends it
//! (tests/python/README.md).
//!
//! It needs a Python with `msgspec` and `trio`: `$TRACTOR_TEST_PYTHON`, else `python3`. Where there
//! is none, that is said, and only what needs none is tested: a parent by hand. Where
//! `$TRACTOR_TEST_REFERENCE` is a Python with the reference itself, children of it are tried, too.
//!
//! A Python parent starts this very program with arguments that no test harness would take, so it
//! has its own `main`.

#![allow(clippy::unwrap_used, dead_code, reason = "test code, some of it shared by others")]

#[path = "python_peer/any.rs"]
mod any;
#[path = "python_peer/children.rs"]
mod children;
#[path = "python_peer/example.rs"]
mod example;
#[path = "python_peer/functions.rs"]
mod functions;
#[path = "python_peer/orders.rs"]
mod orders;
#[path = "python_peer/parents.rs"]
mod parents;
#[path = "behaviours/program.rs"]
mod program;
#[path = "python_peer/programs.rs"]
mod programs;
#[path = "python_peer/python.rs"]
mod python;
#[path = "python_peer/raw.rs"]
mod raw;
#[path = "python_peer/runner.rs"]
mod runner;

fn main() -> std::process::ExitCode {
    // A child of either kind goes no further, nor does a program that was given an order.
    orders::main();
    let mut tests = raw::tests();
    match python::find() {
        Some(python) => {
            tests.extend(children::tests(&python));
            tests.extend(parents::tests(&python, "python"));
            tests.extend(programs::tests(&python));
            tests.push(raw::tests_with(&python, "python"));
        }
        None => {
            println!("\nno Python with `msgspec` and `trio` (TRACTOR_TEST_PYTHON, else python3):");
            println!("NOTHING IS TESTED WITH A PYTHON PEER");
        }
    }
    let reference = python::find_reference();
    if let Some((python, _dir)) = &reference {
        tests.extend(parents::tests(python, "the_reference"));
        tests.push(raw::tests_with(python, "the_reference"));
        tests.extend(example::tests(python));
    }
    runner::run(&tests)
}
