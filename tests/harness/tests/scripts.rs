//! Runs all golden scripts.

use std::path::Path;

use tractor_harness::script;

#[test]
fn every_script_goes_as_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let scripts = script::all(&dir);
    let mut faults = Vec::new();
    for path in &scripts {
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
