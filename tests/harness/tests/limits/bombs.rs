//! One frame that is more than it seems.

use tractor_core::CloseReason;
use tractor_core::error::{DecodeError, FrameError, Violation};
use tractor_core::msg::Features;
use tractor_core::msg::codec::LIST_MAX;

use crate::bodies::{claims, start_with, tagged, uid_bytes};
use crate::siege::{Damage, Manners, RECEIVE, Siege, body};

const POLITE: Manners = Manners { reads: true, obeys: true };
/// A list of a message's own: 64 bytes an entry, in a vector that doubles.
const LIST: usize = LIST_MAX * 64 * 2;

/// What one frame does, from a peer of its own.
fn burst(frame: &[u8]) -> Damage {
    let mut siege = Siege::new("");
    let conn = siege.meet(1, Features::ALL);
    siege.say(conn, frame, POLITE);
    siege.over(&[conn])
}

#[track_caller]
fn within(damage: &Damage, max: usize) {
    assert!(damage.peak <= max, "{} bytes, and {max} are allowed", damage.peak);
}

fn array32(count: usize) -> Vec<u8> {
    [&[0xdd][..], &(count as u32).to_be_bytes()].concat()
}

/// Many values in few bytes, which a tree of values would make a hundred times as large.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn decode_bombs() {
    let _alone = crate::alone();
    let len = 1 << 20;
    let nils = [array32(len), vec![0xc0; len]].concat();
    let arrays = [array32(len / 2), [0x91, 0xc0].repeat(len / 2)].concat();
    let maps = [array32(len), vec![0x80; len]].concat();
    let texts = [array32(len), vec![0xa0; len]].concat();
    for bomb in [nils, arrays, maps, texts] {
        let kwargs = [b"\x81\xa1x", &bomb[..]].concat();
        let frames = [
            start_with(1, &kwargs),
            tagged("Return", &[("cid", &[1]), ("pld", &bomb)]),
            tagged("Yields", &[("cid", &[1]), ("plds", &bomb)]),
            tagged("Yield", &[("cid", &[1]), ("pld", &bomb), ("unknown", &bomb)]),
        ];
        for frame in frames {
            within(&burst(&frame), body(frame.len()));
        }
    }
}

/// The lists that are kept entry by entry have a length of their own.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn list_bombs() {
    let _alone = crate::alone();
    let pairs = |count: usize| [array32(count), [0x92, 0xa0, 0xa0].repeat(count)].concat();
    let modules = |count: u32| {
        let entries = [0xa0, 0xa0].repeat(count as usize);
        [&[0xdf][..], &count.to_be_bytes(), &entries].concat()
    };
    let uid = uid_bytes(1);
    for count in [LIST_MAX, LIST_MAX + 1, 300_000] {
        let path = pairs(count);
        let error: &[(&str, &[u8])] = &[
            ("src_uid", &uid),
            ("src_type_str", b"\xa1x"),
            ("boxed_type_str", b"\xa1x"),
            ("cid", &[1]),
            ("relay_path", &path),
        ];
        let spec: &[(&str, &[u8])] = &[
            ("_parent_main_data", &[0x80]),
            ("_runtime_vars", &[0x80]),
            ("reg_addrs", &path),
            ("bind_addrs", &path),
            ("enable_modules", &modules(count as u32)),
        ];
        for frame in [tagged("Error", error), tagged("SpawnSpec", spec)] {
            let damage = burst(&frame);
            within(&damage, body(frame.len()) + 3 * LIST);
            if count > LIST_MAX {
                let why = damage.closed.expect("it is refused");
                let is_it = matches!(
                    why,
                    CloseReason::Violation(Violation::Decode(DecodeError::TooMany { .. }))
                );
                assert!(is_it, "{why}");
            }
        }
    }
}

/// Nesting: refused while it is scanned, without a stack.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn depth_bombs() {
    let _alone = crate::alone();
    for marker in [&[0x91][..], b"\x81\xa0", &[0xdc, 0, 1]] {
        let bomb = [&marker.repeat((1 << 20) / marker.len())[..], &[0xc0]].concat();
        let kwargs = [b"\x81\xa1x", &bomb[..]].concat();
        let frames = [
            start_with(1, &kwargs),
            tagged("Return", &[("cid", &[1]), ("pld", &bomb)]),
            tagged("Aid", &[("ext", &bomb)]),
            tagged("Error", &[("data", &bomb)]),
            tagged("Stop", &[("unknown", &bomb), ("cid", &[1])]),
        ];
        for frame in frames {
            let damage = burst(&frame);
            within(&damage, body(frame.len()));
            let deep = CloseReason::Violation(Violation::Decode(DecodeError::TooDeep));
            assert_eq!(damage.closed, Some(deep));
        }
    }
}

/// Counts that claim four thousand millions, wherever a count may stand.
#[test]
fn claimed_count_bombs() {
    let _alone = crate::alone();
    let markers = [0xdd, 0xdf, 0xdb, 0xc6, 0xc9];
    for marker in &markers[..if cfg!(miri) { 1 } else { markers.len() }] {
        let bomb = claims(*marker);
        let kwargs = [b"\x81\xa1x", &bomb[..]].concat();
        let frames = [
            start_with(1, &bomb),
            start_with(1, &kwargs),
            tagged("Return", &[("cid", &[1]), ("pld", &bomb)]),
            tagged("Yields", &[("cid", &[1]), ("plds", &bomb)]),
            tagged("Error", &[("relay_path", &bomb)]),
            tagged("SpawnSpec", &[("enable_modules", &bomb)]),
            tagged("SpawnSpec", &[("reg_addrs", &bomb)]),
            tagged("Ready", &[("addrs", &bomb)]),
            tagged("Goodbye", &[("reason", &bomb)]),
            [&[5, 0, 0, 0], &bomb[..]].concat().into(),
        ];
        for frame in frames {
            let damage = burst(&frame);
            within(&damage, RECEIVE);
            let why = damage.closed.expect("no value is that long");
            assert!(matches!(why, CloseReason::Violation(Violation::Decode(_))), "{why}");
        }
    }
}

/// A length that is over the limit is refused before a byte of the body comes; one that is not is
/// believed no sooner than its bytes are there.
#[test]
fn length_bombs() {
    let _alone = crate::alone();
    for len in [0xffff_ffff_u32, 0x7fff_ffff, (16 << 20) + 1] {
        let damage = burst(&len.to_le_bytes());
        within(&damage, RECEIVE);
        let why = damage.closed.expect("it is refused");
        let is_it =
            matches!(why, CloseReason::Violation(Violation::Frame(FrameError::TooLong { .. })));
        assert!(is_it, "{why}");
    }
    let claim = (16_u32 << 20).to_le_bytes();
    let lens = [5000, 0, 1, 100_000, 1 << 20];
    for sent in lens.into_iter().take(if cfg!(miri) { 1 } else { lens.len() }) {
        let damage = burst(&[&claim[..], &vec![0; sent]].concat());
        within(&damage, body(sent));
        assert_eq!(damage.closed, None, "the rest may come");
    }
}
