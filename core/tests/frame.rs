//! Frames: limits, splits, large bodies, and what memory they may cost.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::Random;
use tractor_core::error::FrameError;
use tractor_core::wire::frame::{Deframer, put_frame};

const EARLY: usize = 4 << 10;
const LATE: usize = 16 << 20;
const KIB: usize = 1 << 10;

/// A body that tells which one it is at every place. Made in blocks: under Miri, a byte at a time
/// takes minutes.
fn body(seed: usize, len: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..256).map(|n| (n * 31 + seed * 7) as u8).collect();
    let mut body = block.repeat(len / 256 + 1);
    body.truncate(len);
    body
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, |out| out.extend_from_slice(body));
    out
}

/// Gives the deframer all of `bytes`, at most `most` at a time, without taking frames.
fn feed_once<'a>(deframer: &mut Deframer, bytes: &'a [u8], most: usize) -> &'a [u8] {
    let room = deframer.recv_buf();
    assert!(!room.is_empty());
    let len = most.min(room.len()).min(bytes.len());
    room[..len].copy_from_slice(&bytes[..len]);
    deframer.received(len);
    &bytes[len..]
}

#[test]
fn a_frame_is_its_length_and_its_body() {
    let mut out = vec![9];
    put_frame(&mut out, |out| out.extend_from_slice(b"abc"));
    put_frame(&mut out, |_| {});
    assert_eq!(out, b"\x09\x03\0\0\0abc\0\0\0\0");
}

#[test]
fn the_limit_is_on_the_body_and_exact() {
    for max in [1, 10, EARLY, if cfg!(miri) { 9 * KIB } else { 100 * KIB }] {
        for (len, is_fine) in [(max, true), (max + 1, false)] {
            let mut deframer = Deframer::new(max);
            let bytes = frame(&body(1, len));
            let mut rest = &bytes[..];
            let mut found = None;
            while !rest.is_empty() && found.is_none() {
                rest = feed_once(&mut deframer, rest, usize::MAX);
                found = deframer.next().transpose();
            }
            if is_fine {
                assert_eq!(found.unwrap().unwrap(), body(1, len));
            } else {
                let error = FrameError::TooLong { len: len as u64, max };
                assert_eq!(found, Some(Err(error)));
                assert_eq!(deframer.next(), Err(error), "an error is for good");
            }
        }
    }
}

#[test]
fn the_limit_is_checked_as_soon_as_the_length_is_there() {
    let mut deframer = Deframer::new(EARLY);
    feed_once(&mut deframer, &[0xff; 3], 3);
    assert_eq!(deframer.next(), Ok(None));
    feed_once(&mut deframer, &[0xff], 1);
    let error = FrameError::TooLong { len: u64::from(u32::MAX), max: EARLY };
    assert_eq!(deframer.next(), Err(error));
    assert!(!error.to_string().is_empty());
}

#[test]
fn an_empty_frame_is_an_error() {
    let mut deframer = Deframer::new(EARLY);
    feed_once(&mut deframer, &[0; 4], 4);
    assert_eq!(deframer.next(), Err(FrameError::Empty));
    assert!(!FrameError::Empty.to_string().is_empty());
}

#[test]
fn a_higher_limit_counts_from_the_next_frame_on() {
    let mut deframer = Deframer::new(EARLY);
    let bytes = [frame(b"aid"), frame(&body(2, EARLY + 1))].concat();
    let mut rest = feed_once(&mut deframer, &bytes, usize::MAX);
    assert_eq!(deframer.next().unwrap().unwrap(), b"aid"[..]);
    deframer.set_max(LATE);
    loop {
        if let Some(found) = deframer.next().unwrap() {
            assert_eq!(found, body(2, EARLY + 1));
            break;
        }
        rest = feed_once(&mut deframer, rest, usize::MAX);
    }
    assert!(!deframer.mid_frame());
}

#[test]
fn the_middle_of_a_frame_is_told() {
    for len in [5, 3 * KIB, if cfg!(miri) { 40 * KIB } else { 200 * KIB }] {
        let bytes = frame(&body(3, len));
        let mut deframer = Deframer::new(LATE);
        assert!(!deframer.mid_frame());
        let mut rest = &bytes[..];
        let mut found = None;
        while !rest.is_empty() {
            rest = feed_once(&mut deframer, rest, 1 + len / 7);
            found = deframer.next().unwrap();
            assert_eq!(deframer.mid_frame(), !rest.is_empty());
        }
        assert_eq!(found.unwrap(), body(3, len));
    }
}

/// Frames of all sizes, cut anywhere, with and without somebody holding on to bodies.
#[test]
fn bodies_come_out_whole_and_in_order() {
    for (seed, hold) in [(1, 0), (2, 1), (3, 40), (4, usize::MAX)] {
        let mut random = Random(0xf00d + seed);
        let sizes = [1, 10, 90, 3000, 9000, 33 * KIB, 70 * KIB, 300 * KIB];
        let sizes = if cfg!(miri) { &sizes[..5] } else { &sizes };
        let bodies: Vec<Vec<u8>> = (0..if cfg!(miri) { 10 } else { 300 })
            .map(|n| {
                let size = sizes[random.below(sizes.len())];
                body(n, 1 + random.below(size))
            })
            .collect();
        let stream = bodies.iter().map(|body| frame(body)).collect::<Vec<_>>().concat();
        let mut deframer = Deframer::new(EARLY);
        deframer.set_max(LATE);
        let mut rest = &stream[..];
        let mut held = std::collections::VecDeque::new();
        let mut count = 0;
        while !rest.is_empty() {
            let many = if random.below(2) == 0 { 100 * KIB } else { 200 };
            let most = 1 + random.below(many);
            rest = feed_once(&mut deframer, rest, most);
            while let Some(found) = deframer.next().unwrap() {
                held.push_back((count, found));
                count += 1;
                while held.len() > hold {
                    let (n, found) = held.pop_front().unwrap();
                    assert_eq!(found, bodies[n]);
                }
            }
        }
        assert_eq!(count, bodies.len());
        assert!(held.iter().all(|(n, found)| *found == bodies[*n]), "a held body changed");
        assert!(!deframer.mid_frame());
    }
}

/// A caller that takes its frames late loses nothing and is never offered an empty buffer.
#[test]
fn frames_may_be_taken_late() {
    for size in if cfg!(miri) { &[100, 5 * KIB][..] } else { &[100, 20 * KIB, 100 * KIB] } {
        let bodies: Vec<Vec<u8>> = (0..50).map(|n| body(n, *size + n)).collect();
        let stream = bodies.iter().map(|body| frame(body)).collect::<Vec<_>>().concat();
        let mut deframer = Deframer::new(LATE);
        let mut rest = &stream[..];
        let mut found = Vec::new();
        while found.len() < bodies.len() {
            for _ in 0..13 {
                rest = feed_once(&mut deframer, rest, 7777);
            }
            while let Some(body) = deframer.next().unwrap() {
                found.push(body);
            }
        }
        assert!(found.iter().zip(&bodies).all(|(found, body)| found == body));
    }
}

#[test]
fn a_half_open_connection_costs_little() {
    let mut deframer = Deframer::new(EARLY);
    assert!(deframer.recv_buf().len() <= 8 * KIB);
    // Not even a peer that fills all it is offered makes it more.
    let bytes = frame(&body(1, EARLY)).repeat(20);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        rest = feed_once(&mut deframer, rest, usize::MAX);
        while deframer.next().unwrap().is_some() {}
        assert!(deframer.recv_buf().len() <= 8 * KIB);
    }
}

/// A claimed length alone earns one step; received bytes earn as many again.
#[test]
#[cfg_attr(miri, ignore = "16 MiB take minutes there")]
fn memory_follows_what_was_received() {
    let bytes = frame(&body(1, LATE));
    let mut deframer = Deframer::new(LATE);
    let mut rest = feed_once(&mut deframer, &bytes, 4);
    assert_eq!(deframer.next(), Ok(None));
    let (mut received, mut reads) = (4, 0);
    loop {
        let room = deframer.recv_buf().len();
        assert!(room <= received.max(64 * KIB), "{room} bytes offered after {received}");
        rest = feed_once(&mut deframer, rest, usize::MAX);
        received = bytes.len() - rest.len();
        reads += 1;
        if let Some(found) = deframer.next().unwrap() {
            assert_eq!(found.len(), LATE);
            break;
        }
    }
    assert!(reads <= 12, "{reads} reads for a large frame");
}

/// A large body is read into its own buffer: what is offered ends where the body ends.
#[test]
fn a_large_body_has_its_own_buffer() {
    let bytes = [frame(&body(1, 150 * KIB)), frame(b"next")].concat();
    let mut deframer = Deframer::new(LATE);
    let mut rest = feed_once(&mut deframer, &bytes, usize::MAX);
    assert_eq!(deframer.next(), Ok(None));
    let large = loop {
        let at = deframer.recv_buf().as_ptr();
        rest = feed_once(&mut deframer, rest, usize::MAX);
        if let Some(found) = deframer.next().unwrap() {
            assert!(found.as_ptr_range().contains(&at), "the body was copied");
            break found;
        }
    };
    assert_eq!(large, body(1, 150 * KIB));
    assert_eq!(rest, frame(b"next"));
    feed_once(&mut deframer, rest, usize::MAX);
    assert_eq!(deframer.next().unwrap().unwrap(), b"next"[..]);
}

/// Small frames share a chunk, and the chunk is used again when nobody holds a slice.
#[test]
#[cfg_attr(miri, ignore = "10,000 frames take minutes there")]
fn chunks_are_used_again() {
    let bytes = frame(&body(1, 80)).repeat(100);
    let places = |hold: bool| {
        let mut deframer = Deframer::new(EARLY);
        let mut held = Vec::new();
        let mut places = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                rest = feed_once(&mut deframer, rest, 1000);
                while let Some(found) = deframer.next().unwrap() {
                    places.insert(found.as_ptr() as usize / (8 * KIB));
                    if hold {
                        held.push(found);
                    }
                }
            }
        }
        places.len()
    };
    assert!(places(false) <= 4, "{} chunks for one", places(false));
    assert!(places(true) >= 100);
}
