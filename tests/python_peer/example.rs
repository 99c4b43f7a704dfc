//! With the reference: examples/python_peer as its README says, and a tree of both kinds.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::children::ON;
use crate::orders::EXECUTOR;
use crate::program::run;
use crate::python::Python;
use crate::runner::{Test, test};

pub(crate) fn tests(reference: &Python) -> Vec<Test> {
    let (one, other) = (reference.clone(), reference.clone());
    let mut tests = vec![
        test("example_with_the_reference_as_a_parent", move || is_parent(&one)),
        test("example_with_the_reference_as_a_child", move || is_child(&other)),
    ];
    for (executor, link) in ON {
        let python = reference.clone();
        let name = format!("tree_of_both_kinds::{}_{link}", executor.replace('-', "_"));
        tests.push(test(name, move || is_one_tree(&python, (executor, link))));
    }
    tests
}

/// Python at the root, Rust below it, and below that one of each kind.
fn is_one_tree(python: &Python, (executor, link): (&str, &str)) {
    let mut command = Command::new(&python.interpreter);
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python_peer/tree.py");
    command.arg(tree).arg(std::env::current_exe().unwrap()).arg(link).env(EXECUTOR, executor);
    command.env("TRACTOR_PYTHON", &python.interpreter).env("PYTHONPATH", &python.modules);
    let ended = run(command);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stdout, "3\n42\n[42, 42]\nall gone\n", "{ended:?}");
}

/// Built by `cargo test` of everything.
fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.push("python_peer");
    assert!(path.exists(), "{}: `cargo build --example python_peer`", path.display());
    path
}

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python_peer/README.md");
    std::fs::read_to_string(path).unwrap()
}

/// The program prints what is shown of it.
fn prints_what_is_shown(command: Command) {
    let ended = run(command);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(readme().contains(&format!("\n{}```", ended.stdout)), "{ended:?}");
}

fn is_parent(python: &Python) {
    let mut command = Command::new(&python.interpreter);
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python_peer/tree.py");
    command.arg(tree).arg(program());
    prints_what_is_shown(command);
}

fn is_child(python: &Python) {
    let mut command = Command::new(program());
    command.arg("python").env("TRACTOR_PYTHON", &python.interpreter);
    prints_what_is_shown(command);
}
