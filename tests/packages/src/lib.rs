//! What the packages show to those who use them, read from their source.
//!
//! ```text
//!   src/**/*.rs ─source─▶ Krate ─names─▶ what a path means ─listing, bare─▶ the public API
//! ```
//!
//! No compiler is asked, so it works with every toolchain and costs nothing. What only a compiler
//! knows is not seen: items made by macros (there is no public one), and whether a type is `Send`.

pub mod bare;
pub mod licence;
pub mod listing;
pub mod names;
pub mod source;

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate is two directories below").to_owned()
}

/// The packages that users get: where they are, and the names of their crates.
pub const PUBLISHED: [(&str, &str); 5] = [
    (".", "tractor"),
    ("core", "tractor_core"),
    ("executors", "tractor_executors"),
    ("transports", "tractor_transports"),
    ("macros", "tractor_macros"),
];
