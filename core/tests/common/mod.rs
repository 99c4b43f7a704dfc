//! What the tests of the wire share: recorded frames and a small random generator.
#![allow(dead_code, clippy::unwrap_used, reason = "a test, and each uses a part of this")]

pub(crate) mod samples;

use std::path::PathBuf;

use serde_json::Value;

/// One recorded frame.
pub(crate) struct Recorded {
    /// Where it is from, for failures.
    pub(crate) place: String,
    /// With its length prefix.
    pub(crate) frame: Vec<u8>,
    /// The body as the recorder understood it.
    pub(crate) msg: Value,
}

impl Recorded {
    pub(crate) fn body(&self) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(&self.frame[4..])
    }
}

/// Every recorded frame, file by file.
pub(crate) fn transcripts() -> Vec<(String, Vec<Recorded>)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "jsonl"));
    files.sort();
    files.iter().map(read_transcript).collect()
}

fn read_transcript(path: &PathBuf) -> (String, Vec<Recorded>) {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let frames = text.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let frame = unhex(line.get("hex")?.as_str().unwrap());
        assert_eq!(frame.len() as u64 - 4, line["len"].as_u64().unwrap());
        Some(Recorded {
            place: format!("{name} seq {}", line["seq"]),
            frame,
            msg: line["msg"].clone(),
        })
    });
    (name.clone(), frames.collect())
}

/// Bytes from hex; blanks are for the reader.
pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
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
