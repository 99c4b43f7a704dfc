//! What the attribute macros accept and refuse, and what a user reads then.
//!
//! * `pass/`: programs with every form that is accepted. They run, as root and as child.
//! * `fail/`: every form that a macro refuses, and all that the compiler says of it, to the letter.
//!   Those are our own words, the same with every compiler. `TRYBUILD=overwrite` writes them anew.
//! * `types/`: what the type checker refuses. It uses its own words, which change, so only the
//!   part that helps is compared: a comment `//~ words` says what is said of its line.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// What `#[tractor::test]` accepts: these run, so they need no case of their own.
mod accepted {
    mod renamed {
        pub(super) use ::tractor as elsewhere;
    }

    #[tractor::test]
    async fn nothing_returned() {}

    #[tractor::test]
    async fn result() -> tractor::Result<()> {
        Ok(())
    }

    #[tractor::test()]
    async fn own_error() -> Result<(), std::num::ParseIntError> {
        "1".parse::<u8>().map(drop)
    }

    #[tractor::test(timeout = 5)]
    async fn whole_seconds() {}

    #[tractor::test(timeout = 2.5)]
    async fn parts_of_seconds() {}

    #[tractor::test(crate = "renamed::elsewhere")]
    async fn another_path() {}

    /// Documented.
    #[tractor::test]
    #[should_panic(expected = "as it should")]
    async fn other_attributes() {
        panic!("as it should");
    }
}

#[test]
fn macros_accept_and_refuse() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/trybuild/pass/*.rs");
    cases.compile_fail("tests/trybuild/fail/*.rs");
}

#[test]
fn compiler_refuses() {
    let library = library();
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir("tests/trybuild/types").unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    let wrong: Vec<String> = cases.iter().flat_map(|case| check(case, &library)).collect();
    assert!(cases.len() > 5 && wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The library that this test was built with: the newest, as it is made anew after every change.
fn library() -> PathBuf {
    let dir = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let libraries = files.filter(|file| {
        let name = file.file_name().into_string().unwrap_or_default();
        name.starts_with("libtractor-") && name.ends_with(".rlib")
    });
    let newest = libraries.max_by_key(|file| file.metadata().and_then(|m| m.modified()).ok());
    newest.expect("`cargo test` has built it").path()
}

/// Compiles a case, and says what was said other than expected.
fn check(case: &Path, library: &Path) -> Vec<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let dependencies = library.parent().unwrap().display();
    let output = Command::new(rustc)
        .args(["--edition=2024", "--crate-type=bin", "--emit=metadata", "--error-format=short"])
        .args(["--allow=warnings", "-o", "/dev/null"])
        .arg(format!("-Ldependency={dependencies}"))
        .arg(format!("--extern=tractor={}", library.display()))
        .arg(case)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let mut wrong = compare(&std::fs::read_to_string(case).unwrap(), &errors(&said));
    if output.status.success() {
        wrong.push("it compiles".to_owned());
    }
    if !wrong.is_empty() {
        wrong.insert(0, format!("{}:", case.display()));
        wrong.push(said);
    }
    wrong
}

/// The errors with their lines: of `file:line:column: error: text`.
fn errors(said: &str) -> Vec<(usize, &str)> {
    let error = |line| {
        let (place, text) = str::split_once(line, ": error")?;
        Some((place.split(':').nth(1)?.parse().ok()?, text))
    };
    said.lines().filter_map(error).collect()
}

/// The lines of a case whose error is missing, is another one, or was not expected. An error that
/// is of the whole fn may be told at its attribute.
fn compare(case: &str, errors: &[(usize, &str)]) -> Vec<String> {
    let lines: Vec<&str> = case.lines().collect();
    let words = |line: &str| line.split_once("//~").map(|(_, words)| words.trim().to_owned());
    let mut wrong = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let mut here = errors.iter().filter(|(at, _)| *at == index + 1).map(|(_, text)| *text);
        let above = line.trim_start().starts_with("#[");
        let is_told_below = above && lines.get(index + 1).is_some_and(|l| words(l).is_some());
        let fits = match words(line) {
            Some(words) => here.any(|text| text.contains(&words)),
            None => is_told_below || here.next().is_none(),
        };
        if !fits {
            wrong.push(format!("  line {} is not as expected: {}", index + 1, line.trim()));
        }
    }
    wrong
}
