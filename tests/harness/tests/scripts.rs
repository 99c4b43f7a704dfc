//! Runs all golden scripts; under Miri, where they take half an hour, one in 40: `EVERY=1` runs all
//! there too, and `FROM=n` begins with another one.

use std::path::Path;

use tractor_harness::script;

fn env(key: &str) -> Option<usize> {
    std::env::var(key).ok()?.parse().ok()
}

#[test]
fn every_script_goes_as_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let scripts = script::all(&dir);
    let mut faults = Vec::new();
    let step = env("EVERY").unwrap_or(if cfg!(miri) { 40 } else { 1 });
    for path in scripts.iter().skip(env("FROM").unwrap_or(0)).step_by(step) {
        let result = std::panic::catch_unwind(|| script::check(path));
        match result {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => faults.push(fault),
            Err(_) => faults.push(format!("{}: panicked", path.display())),
        }
    }
    assert!(scripts.len() >= 50, "only {} scripts", scripts.len());
    assert!(faults.is_empty(), "\n{}\nREWRITE=1 accepts what is new", faults.join("\n"));
}
