//! A whole tree: operations drawn from bytes, then rest, and nothing may be left.

use crate::random;

/// A run, as `SEED=` plays them.
pub fn run(data: &[u8]) {
    random::run_bytes(data);
}
