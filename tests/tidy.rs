//! Mechanical checks of the tree: what a reviewer should not have to look for.
//!
//! Each test names the rule it holds the tree to; the rules are in `docs/contributing.md`.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines of code in one file.
const FILE_LINES_MAX: usize = 600;
/// Columns of a line; what rustfmt leaves longer (comments, strings) counts too.
const COLUMNS_MAX: usize = 100;

/// The crates that users run: what `unwrap` is not for.
const PRODUCT: [&str; 5] =
    ["src/", "core/src/", "executors/src/", "transports/src/", "macros/src/"];

/// A text file of the tree, by its path from the root.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it holds nothing but tests.
    fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').collect();
        parts.iter().any(|part| matches!(*part, "tests" | "tests.rs"))
    }

    /// Whether it is part of what users run.
    fn is_product(&self) -> bool {
        let path = self.path.as_str();
        self.is_rust() && !self.is_test() && PRODUCT.iter().any(|root| path.starts_with(root))
    }

    /// Its lines with their numbers, up to a test module at its end.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| {
            let is_module = pair[1].starts_with("mod ") && pair[1].ends_with('{');
            pair[0].starts_with("#[cfg(") && pair[0].contains("test") && is_module
        });
        let end = tests.unwrap_or(lines.len());
        (1..).zip(lines).take(end)
    }

    /// Of those, the lines of code: no blank ones, no comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with("//")
        })
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All text files of the tree, in order. Not what was built, and not what fuzzing found.
fn files() -> Vec<File> {
    let mut found = Vec::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(root().join(&dir)).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let path = dir.join(&name);
            let is_hidden = name.starts_with('.');
            let is_output = ["target", "corpus", "artifacts"].contains(&name.as_str());
            if entry.file_type().unwrap().is_dir() && !is_hidden && !is_output {
                dirs.push(path);
            } else if [".rs", ".md", ".txt", ".toml"].iter().any(|end| name.ends_with(end)) {
                // One that is being written over right now is there the next time.
                let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
                found.push(File { path: path.to_str().unwrap().to_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 100, "only {} files: is this the root?", found.len());
    found
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Fails with all findings at once.
#[track_caller]
fn none(findings: Vec<String>, rule: &str) {
    assert!(findings.is_empty(), "{rule}\n  {}", findings.join("\n  "));
}

#[test]
fn files_are_short() {
    let long = |file: &File| {
        let count = file.code().count();
        (count > FILE_LINES_MAX).then(|| format!("{}: {count} lines of code", file.path))
    };
    let rust = files().into_iter().filter(File::is_rust);
    none(rust.filter_map(|f| long(&f)).collect(), "a file has at most 600 lines of code");
}

#[test]
fn lines_are_short() {
    let mut findings = Vec::new();
    for file in files().iter().filter(|f| f.is_rust()) {
        for (number, line) in (1..).zip(file.text.lines()) {
            let columns = line.chars().count();
            let comment = line.trim_start();
            // A table's row, or a link, can't be broken.
            let is_row = ["//! |", "/// |", "\"|"].iter().any(|row| comment.starts_with(row));
            if columns > COLUMNS_MAX && !is_row && !line.contains("://") {
                findings.push(format!("{}:{number}: {columns} columns", file.path));
            }
        }
    }
    none(findings, "a line has at most 100 columns");
}

#[test]
fn nothing_is_left_open() {
    // Put together here, so that this file does not find itself.
    let words =
        [["to", "do!("], ["unimple", "mented!("], ["#[ig", "nore"], ["FIX", "ME"], ["X", "XX"]];
    let words = words.map(|halves| halves.concat());
    let mut findings = Vec::new();
    for file in files().iter().filter(|f| f.is_rust()) {
        for (number, line) in (1..).zip(file.text.lines()) {
            for word in words.iter().filter(|word| line.contains(*word)) {
                findings.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    none(findings, "nothing is put off in the code: it is done, or an issue");
}

#[test]
fn no_bare_unwrap() {
    let mut findings = Vec::new();
    for file in files().iter().filter(|f| f.is_product()) {
        for (number, _) in file.code().filter(|(_, line)| line.contains(".unwrap()")) {
            findings.push(format!("{}:{number}", file.path));
        }
    }
    none(findings, "`expect` says why it can't fail; `unwrap` is for tests");
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let workspace = read("Cargo.toml");
    assert!(workspace.contains("unsafe_code = \"forbid\""), "the workspace forbids unsafe code");
    let manifests = files();
    let manifests = manifests.iter().filter(|f| f.path.ends_with("Cargo.toml"));
    // The fuzz crate is outside of the workspace.
    for file in manifests.filter(|f| !f.path.starts_with("fuzz/")) {
        let inherits = file.text.contains("[lints]\nworkspace = true");
        assert!(inherits, "{} inherits the workspace's lints", file.path);
    }
}

#[test]
fn the_core_depends_on_bytes_alone() {
    let manifest = read("core/Cargo.toml");
    let rest = manifest.split("[dependencies]\n").nth(1).expect("a table of dependencies");
    let table = rest.split("\n[").next().unwrap_or_default();
    let names: Vec<&str> = table.lines().filter_map(|l| l.split(['.', ' ', '=']).next()).collect();
    assert_eq!(names.into_iter().filter(|n| !n.is_empty()).collect::<Vec<_>>(), ["bytes"]);
    let lib = read("core/src/lib.rs");
    assert!(lib.contains("#![no_std]\nextern crate alloc;\n#[cfg(test)]\nextern crate std;\n"));
}

// Documents.

/// The targets of a text's links, without those to elsewhere.
fn links(text: &str) -> Vec<&str> {
    let after = text.split("](").skip(1);
    let targets = after.filter_map(|rest| rest.split(')').next());
    targets.filter(|t| !t.contains("://") && !t.starts_with('#')).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut findings = Vec::new();
    for file in files().iter().filter(|f| f.path.ends_with(".md")) {
        let dir = root().join(&file.path);
        let dir = dir.parent().expect("a file is in a directory");
        for link in links(&file.text) {
            let path = link.split('#').next().unwrap_or_default();
            if !dir.join(path).exists() {
                findings.push(format!("{}: {link}", file.path));
            }
        }
    }
    none(findings, "a document's links exist");
}

/// The sections that a text cites: `§3`, `§6.8`.
fn citations(text: &str) -> BTreeSet<String> {
    let numbers = text.split('§').skip(1).map(|rest| {
        let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        number.trim_end_matches('.').to_owned()
    });
    numbers.filter(|number| !number.is_empty()).collect()
}

#[test]
fn cited_sections_exist() {
    let protocol = read("docs/protocol.md");
    let chapters = protocol.lines().filter_map(|l| l.strip_prefix("## ")?.split_once(". "));
    let paragraphs = protocol.split("**§").skip(1).filter_map(|rest| rest.split("**").next());
    let mut sections: BTreeSet<&str> = chapters.map(|(number, _)| number).collect();
    sections.extend(paragraphs);
    assert!(sections.contains("1") && sections.contains("6.8"), "{sections:?}");
    let mut findings = Vec::new();
    for file in files().iter().filter(|f| f.is_rust() || f.path.ends_with(".md")) {
        for number in citations(&file.text) {
            if !sections.contains(number.as_str()) {
                findings.push(format!("{}: §{number}", file.path));
            }
        }
    }
    none(findings, "a cited section is in docs/protocol.md");
}

#[test]
fn the_readme_shows_the_quickstart() {
    let readme = read("README.md");
    let blocks = readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
    let program = read("examples/quickstart.rs");
    assert_eq!(blocks.collect::<Vec<_>>(), [program.as_str()], "the program is the example");
}

#[test]
fn the_readme_names_every_example() {
    let readme = read("README.md");
    let files = files();
    let names = files.iter().filter_map(|f| f.path.strip_prefix("examples/"));
    let programs =
        names.filter_map(|name| name.strip_suffix(".rs").or(name.strip_suffix("/main.rs")));
    let programs = programs.filter(|name| !name.contains('/'));
    let missing = programs.filter(|name| !readme.contains(&format!("examples/{name}")));
    none(missing.map(str::to_owned).collect(), "every example is in the README");
}

// Errors.

/// The variants of an enum, each with the longest fixed part of what it is displayed as.
fn variants(source: &str, name: &str) -> BTreeMap<String, String> {
    let body = source.split(&format!("pub enum {name} {{\n")).nth(1).expect("the enum");
    let body = body.split("\n}").next().unwrap_or_default();
    let names = body.lines().filter_map(|line| {
        let variant = line.strip_prefix("    ")?;
        let is_name = variant.starts_with(|c: char| c.is_ascii_uppercase());
        is_name.then(|| variant.split([',', '(', ' ']).next().unwrap_or_default().to_owned())
    });
    names.map(|variant| (variant.clone(), shown(source, name, &variant))).collect()
}

/// The longest fixed part of how a variant is displayed; empty when it shows another error, which
/// is in this list itself.
fn shown(source: &str, name: &str, variant: &str) -> String {
    let arm = format!("{name}::{variant}");
    let display = source.split(&format!("fmt::Display for {name} ")).nth(1).unwrap_or_default();
    let text = display.split(&arm).nth(1).and_then(|rest| rest.split('"').nth(1));
    let parts = text.unwrap_or_default().split(['{', '}']).step_by(2);
    parts.max_by_key(|part| part.len()).unwrap_or_default().trim().to_owned()
}

#[test]
fn every_violation_and_misuse_is_tested() {
    let source = read("core/src/error.rs");
    let files = files();
    let is_evidence = |f: &&File| {
        // What the harness is made of names them all, and proves nothing.
        f.is_test() && !f.path.starts_with("tests/harness/src/") && f.path != "tests/tidy.rs"
    };
    let evidence: Vec<&File> = files.iter().filter(is_evidence).collect();
    let mut untested = Vec::new();
    for name in ["FrameError", "DecodeError", "Violation", "Misuse", "SendError"] {
        for (variant, text) in variants(&source, name) {
            let arm = format!("{name}::{variant}");
            let seen = |f: &&File| f.text.contains(&arm) || f.text.contains(&text);
            if !text.is_empty() && !evidence.iter().any(seen) {
                untested.push(format!("{arm} ({text:?})"));
            }
        }
    }
    none(untested, "every variant is in a script or a test");
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a script of this name exists, or a test: `dir/name`, `module::name`. One that ends in an
/// ellipsis begins so.
fn is_proof(files: &[File], name: &str) -> bool {
    let (name, cut) = match name.strip_suffix('…') {
        Some(begin) => (begin, true),
        None => (name, false),
    };
    if !name.contains("::") {
        let script = format!("tests/harness/tests/scripts/{name}");
        let is_it = |path: &str| match cut {
            true => path.starts_with(&script),
            false => path.strip_suffix(".txt") == Some(&script),
        };
        return files.iter().any(|file| is_it(&file.path));
    }
    let mut parts = name.rsplit("::");
    let last = parts.next().unwrap_or_default();
    let in_module = |file: &&File, module: &str| file.path.contains(&format!("/{module}"));
    let modules: Vec<&str> = parts.collect();
    let mut there = files.iter().filter(|file| file.is_rust());
    // A module by itself, or a test in one.
    let is_module = |file: &&File| in_module(file, last);
    let has_test = |file: &&File| {
        let begin = if cut { format!("fn {last}") } else { format!("fn {last}(") };
        in_module(file, modules[0]) && file.text.contains(&begin)
    };
    there.any(|file| has_test(&file) || (!cut && is_module(&file)))
}

#[test]
fn proofs_of_endings_exist() {
    let (files, page) = (files(), read("docs/endings.md"));
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let proofs: Vec<&str> = rows
        .filter_map(|row| row.split(" | ").nth(2))
        .flat_map(quoted)
        .filter(|name| name.contains('/') || name.contains("::"))
        .collect();
    assert!(proofs.len() > 60, "only {} proofs: has the table changed?", proofs.len());
    let missing = proofs.into_iter().filter(|name| !is_proof(&files, name));
    let missing: BTreeSet<String> = missing.map(str::to_owned).collect();
    none(missing.into_iter().collect(), "what docs/endings.md names exists");
}
