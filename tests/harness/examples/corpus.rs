//! Writes the seeds of every fuzz target, and the inputs that once failed, to where `cargo fuzz`
//! looks for them: `fuzz/corpus`.

use std::io;
use std::path::Path;

use tractor_harness::fuzz::{TARGETS, seeds};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for target in &TARGETS {
        let dir = root.join(target.name);
        std::fs::create_dir_all(&dir)?;
        let seeds = (target.seeds)();
        for (what, input) in seeds::found(target.name) {
            std::fs::write(dir.join(what), input)?;
        }
        for (n, seed) in seeds.iter().enumerate() {
            std::fs::write(dir.join(format!("seed-{n}")), seed)?;
        }
        println!("{}: {} seeds", target.name, seeds.len());
    }
    Ok(())
}
