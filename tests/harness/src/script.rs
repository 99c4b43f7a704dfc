//! Golden scripts: a line is an op, and below it stands every fact that followed. They are the
//! review documents of the protocol's behaviour.
//!
//! `REWRITE=1` writes what comes out into the scripts; then read the diff.

use std::error::Error;
use std::path::{Path, PathBuf};

use goldenscript::{Argument, Command, Context, Runner};

use crate::op::Op;
use crate::world::World;

/// Runs one script in a world of its own.
#[derive(Debug, Default)]
pub struct Script {
    world: World,
}

impl Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let words: Vec<String> = command
            .args
            .iter()
            .map(|arg| match arg {
                Argument::KeyValue(key, value) => format!("{key}={value}"),
                Argument::Positional(word) => word.clone(),
                other => other.to_string(),
            })
            .collect();
        let op = Op::parse(&command.name, &words)?;
        assert_eq!(op, reparsed(&op), "an op prints as it is read");
        let refused = self.world.apply(&op).err();
        let mut lines = std::mem::take(&mut self.world.trace);
        lines.extend(refused.map(|e| format!("! {e}")));
        Ok(lines.join("\n"))
    }
}

fn reparsed(op: &Op) -> Op {
    let line = op.to_string();
    let words: Vec<String> = line.split_whitespace().map(String::from).collect();
    match Op::parse(&words[0], &words[1..]) {
        Ok(op) => op,
        Err(e) => panic!("{line}: {e}"),
    }
}

/// All scripts below a directory, sorted.
pub fn all(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(all(&path));
        } else if path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')) {
            found.push(path);
        }
    }
    // As texts: part by part takes minutes under Miri.
    found.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    found
}

/// Runs one script, and compares or rewrites it. Returns what differs.
pub fn check(path: &Path) -> Result<(), String> {
    let read = |e: std::io::Error| format!("{}: {e}", path.display());
    let golden = std::fs::read_to_string(path).map_err(read)?;
    let output = goldenscript::generate(&mut Script::default(), &golden).map_err(read)?;
    if output == golden {
        return Ok(());
    }
    if rewrite() {
        return std::fs::write(path, output).map_err(read);
    }
    let (at, (was, is)) = golden
        .lines()
        .chain(std::iter::repeat("(end)"))
        .zip(output.lines().chain(std::iter::repeat("(end)")))
        .enumerate()
        .find(|(_, (was, is))| was != is)
        .unwrap_or_default();
    Err(format!("{}:{}\n  was: {was}\n  is:  {is}", path.display(), at + 1))
}

/// Whether golden files are to be rewritten.
pub fn rewrite() -> bool {
    ["REWRITE", "UPDATE_GOLDENFILES"].iter().any(|key| std::env::var(key).is_ok_and(|v| v == "1"))
}
