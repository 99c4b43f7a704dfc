//! Plants each fault of `planted.txt` into a copy of the core, and counts the seeds that the
//! simulation needs to find it. Ends with 1 when one gets through.
//!
//! ```text
//! cargo run -p tractor-harness --example planted               all of them: some minutes
//! cargo run -p tractor-harness --example planted -- outcome    those whose name has this word
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use tractor_harness::planted::{self, Planted};

/// A fault that takes more seeds than this is one that gets through.
const SEEDS: &str = "20000";

fn main() -> io::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let harness = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = harness.join("../..");
    let copy = root.join("target/planted");
    let all = planted::parse(&fs::read_to_string(harness.join("planted.txt"))?);
    let wanted = |planted: &&Planted| {
        words.is_empty() || words.iter().any(|word| planted.name.contains(word.as_str()))
    };
    let mut through = 0;
    for planted in all.iter().filter(wanted) {
        copy_tracked(&root, &copy)?;
        plant(&copy, planted)?;
        match seeds_until_found(&copy)? {
            Some((seeds, check)) => println!("| {} | {seeds} | {check} |", planted.name),
            None => {
                through += 1;
                println!("| {} | NOT FOUND | |", planted.name);
            }
        }
    }
    Ok(if through == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What git knows of, as it is in the work tree. Files that are the same are left alone, so that
/// only what changes is compiled anew.
fn copy_tracked(root: &Path, copy: &Path) -> io::Result<()> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output()?;
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root.join(name), copy.join(name));
        let Ok(wanted) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|there| there == wanted) {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap_or(copy))?;
        fs::write(&to, wanted)?;
    }
    Ok(())
}

fn plant(copy: &Path, planted: &Planted) -> io::Result<()> {
    let path: PathBuf = copy.join(&planted.file);
    let text = fs::read_to_string(&path)?;
    assert!(planted.fits(&text), "{}: its place must be there once", planted.name);
    fs::write(&path, text.replace(planted.old.as_str(), &planted.new))
}

/// How many seeds it took, and which check found it.
fn seeds_until_found(copy: &Path) -> io::Result<Option<(u64, String)>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tests = ["test", "--profile", "checked", "-p", "tractor-harness", "--test", "sim"];
    let run = |more: &[&str]| {
        let mut command = Command::new(&cargo);
        command
            .args(tests)
            .args(more)
            .current_dir(copy)
            .env("CARGO_TARGET_DIR", copy.join("target"));
        command.env_remove("RUST_BACKTRACE").env("FIRST", "1").env("SEEDS", SEEDS).output()
    };
    let built = run(&["--no-run"])?;
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let output = run(&["whatever_happens_the_checks_hold", "--", "--nocapture"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "FIRST: seed 7 breaks `no orphan`"
    let found = text.lines().find_map(|line| line.split_once("FIRST: seed ")).map(|(_, rest)| rest);
    Ok(found.and_then(|rest| {
        let (seed, rest) = rest.split_once(" breaks `")?;
        Some((seed.parse::<u64>().ok()? + 1, rest.split('`').next()?.to_string()))
    }))
}
