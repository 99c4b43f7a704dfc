//! What the tests of the wire share: recorded frames and a small random generator.
#![allow(dead_code, clippy::unwrap_used, reason = "a test, and each uses a part of this")]

pub(crate) mod samples;

#[allow(unreachable_pub, missing_docs, reason = "it is a module of the harness, too")]
#[path = "../../../tests/harness/src/recording.rs"]
pub(crate) mod recording;

use std::path::Path;

pub(crate) use recording::{Recorded, unhex};

/// Every recorded frame, file by file.
pub(crate) fn transcripts() -> Vec<(String, Vec<Recorded>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let all = recording::read_all(&dir).into_iter();
    all.map(|r| (r.name.clone(), r.frames().cloned().collect())).collect()
}

/// So many; under Miri, which is a thousand times slower, a few of them.
pub(crate) fn runs(count: usize) -> usize {
    if cfg!(miri) { count.div_ceil(300) } else { count }
}

/// All of them; under Miri one in seven.
pub(crate) fn sampled<T>(all: Vec<T>) -> impl Iterator<Item = T> {
    all.into_iter().step_by(if cfg!(miri) { 7 } else { 1 })
}

/// Marsaglia's xorshift64: the same numbers on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
