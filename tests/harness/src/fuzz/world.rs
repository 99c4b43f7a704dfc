//! A whole world: its programs, its faults and every choice in between are drawn from the bytes.

use crate::random::Source;
use crate::sim::play;

/// A run of the simulation.
pub fn run(data: &[u8]) {
    let report = play(Source::bytes(data), None, false);
    assert!(report.broken.is_empty(), "{:?}, {} processes", report.broken, report.actors);
}
