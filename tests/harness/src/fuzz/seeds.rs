//! Inputs to begin with: every message there is, every recorded frame, and noise.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::inject;
use crate::op::Opts;
use crate::random::Source;
use crate::recording::{self, Recorded};
use crate::world::World;

/// Every kind of message that can be injected.
const KINDS: [&str; 23] = [
    "aid",
    "spec",
    "ready",
    "goodbye",
    "start",
    "request",
    "cancelactor",
    "canceltask",
    "startack",
    "started",
    "yield",
    "yields",
    "stop",
    "credit",
    "return",
    "cancelack",
    "error",
    "actorerror",
    "garbage",
    "array",
    "empty",
    "cut",
    "unknown",
];

/// Frames of every message there is, extensions too.
pub fn frames() -> Vec<Vec<u8>> {
    let world = World::after("actor p\nactor x raw\nconnect x p\ninject x p aid\nrun");
    let opts = Opts::from([("func".into(), "find_actor".into()), ("sent".into(), "3".into())]);
    let end = world.end("p", "x").unwrap_or_default();
    KINDS.iter().filter_map(|kind| inject::bytes(&world, end, kind, &opts).ok()).collect()
}

/// The longest recorded body that is a seed: others are the same with a longer text.
const RECORDED_LEN_MAX: usize = 4 << 10;

/// The recorded dialogs of the reference.
fn recorded() -> Vec<recording::Recording> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    recording::read_all(&root.join("../../core/tests/transcripts"))
}

/// Bodies of every message there is, and of recorded ones: of each tag and length one.
pub fn bodies() -> Vec<Vec<u8>> {
    let all = recorded();
    let mut kinds = BTreeSet::new();
    let mut is_new = |frame: &&Recorded| kinds.insert((frame.tag().to_owned(), frame.frame.len()));
    let frames_of = all.iter().flat_map(|recording| recording.frames());
    let short = frames_of.filter(|frame| frame.frame.len() <= RECORDED_LEN_MAX);
    let theirs = short.filter(|frame| is_new(frame)).map(|frame| frame.frame[4..].to_vec());
    let ours = frames().into_iter().filter_map(|frame| Some(frame.get(4..)?.to_vec()));
    ours.chain(theirs).collect()
}

/// What was said on each recorded connection, one direction of it a stream, with the byte before
/// it that says how it is cut.
pub fn streams() -> Vec<Vec<u8>> {
    let large = [&[0x90; 2], &9000_u32.to_le_bytes()[..], &[7; 9000], &[1, 0, 0, 0, 5]].concat();
    let mut all = vec![large];
    for (n, stream) in recorded_streams().into_iter().enumerate() {
        all.push([&[n as u8, 0x30], &stream[..]].concat());
    }
    all
}

/// As [`streams`], with the byte that says what kind of connection it is.
pub fn connections() -> Vec<Vec<u8>> {
    let theirs = recorded_streams();
    let both = frames().into_iter().chain(theirs).enumerate();
    both.map(|(n, stream)| [&[n as u8], &stream[..]].concat()).collect()
}

/// The beginnings of the recorded streams.
fn recorded_streams() -> Vec<Vec<u8>> {
    let mut streams: BTreeMap<(String, String, String), Vec<u8>> = BTreeMap::new();
    for recording in recorded() {
        for frame in recording.frames() {
            let key = (recording.name.clone(), frame.conn.clone(), frame.from.clone());
            let stream = streams.entry(key).or_default();
            if stream.len() + frame.frame.len() <= RECORDED_LEN_MAX {
                stream.extend_from_slice(&frame.frame);
            }
        }
    }
    streams.into_values().collect()
}

/// Bytes that say nothing, for targets that draw from them.
pub fn noise() -> Vec<Vec<u8>> {
    let of = |n: u64| {
        let mut source = Source::seed(n);
        (0..50 + 15 * n).map(|_| source.below(256) as u8).collect()
    };
    (0..20).map(of).collect()
}

/// The inputs that once failed, and what they showed: `tests/fuzz/<target>/`.
pub fn found(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(target);
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let read = |file: std::fs::DirEntry| {
        let input = std::fs::read(file.path()).expect("it can be read");
        (file.file_name().to_string_lossy().into_owned(), input)
    };
    files.map(read).collect()
}

/// A mutation: pieces of the seeds, with bytes flipped, cut and doubled.
pub fn mutated(source: &mut Source, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..=source.below(3) {
        out.extend_from_slice(&seeds[source.below(seeds.len())]);
        if source.below(2) == 0 {
            break;
        }
    }
    for _ in 0..source.below(4) {
        if out.is_empty() {
            break;
        }
        let at = source.below(out.len());
        match source.below(5) {
            0 => out[at] = source.below(256) as u8,
            1 => out[at] ^= 1 << source.below(8),
            2 => out.truncate(at + 1),
            3 => drop(out.remove(at)),
            _ => out.insert(at, source.below(256) as u8),
        }
    }
    out
}
