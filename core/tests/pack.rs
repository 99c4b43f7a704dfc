//! MessagePack: against another implementation, and against noise.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use bytes::Bytes;
use common::{Random, runs, transcripts, unhex};
use rmpv::Value;
use tractor_core::error::DecodeError;
use tractor_core::msg::{Features, Msg, Request};
use tractor_core::wire::pack::{self, DEPTH_MAX, Reader, scan, scan_exact};

/// Around the lengths at which headers change; rarely a long one.
fn size(random: &mut Random) -> usize {
    let sizes = [0, 1, 15, 16, 31, 32, 33, 255, 256, 70_000];
    let likely = if random.below(50) == 0 { 10 } else { 8 };
    sizes[random.below(likely)]
}

/// A value of any shape, nested at most `depth`.
fn value(random: &mut Random, depth: usize) -> Value {
    let kinds = if depth == 0 { 8 } else { 11 };
    match random.below(kinds) {
        0 => Value::Nil,
        1 => Value::Boolean(random.below(2) == 0),
        2 => Value::from(random.next() >> random.below(64)),
        3 => Value::from(random.next() as i64 >> random.below(64)),
        4 => Value::F64(f64::from_bits(random.next())),
        5 => {
            let len = size(random);
            Value::from("aé\u{1F69C}".chars().cycle().take(len).collect::<String>())
        }
        6 => {
            let len = size(random);
            Value::Binary(random.bytes(len))
        }
        7 => {
            let len = random.below(20);
            Value::Ext(-1, random.bytes(len))
        }
        8 | 9 => {
            let len = random.below(20);
            Value::Array((0..len).map(|_| value(random, depth - 1)).collect())
        }
        _ => {
            let len = random.below(20);
            Value::Map((0..len).map(|_| (value(random, 0), value(random, depth - 1))).collect())
        }
    }
}

fn written(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).unwrap();
    out
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Map(pairs) => {
            1 + pairs.iter().map(|(k, v)| depth(k).max(depth(v))).max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Writes a value with our own functions.
fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Nil => pack::put_nil(out),
        Value::Boolean(b) => pack::put_bool(out, *b),
        Value::Integer(n) => match n.as_u64() {
            Some(n) => pack::put_uint(out, n),
            None => pack::put_int(out, n.as_i64().unwrap()),
        },
        Value::F64(x) => pack::put_float(out, *x),
        Value::String(s) => pack::put_str(out, s.as_str().unwrap()),
        Value::Binary(bytes) => pack::put_bin(out, bytes),
        Value::Array(values) => {
            pack::put_array(out, values.len());
            values.iter().for_each(|value| put(out, value));
        }
        Value::Map(pairs) => {
            pack::put_map(out, pairs.len());
            pairs.iter().for_each(|(k, v)| {
                put(out, k);
                put(out, v);
            });
        }
        Value::F32(_) | Value::Ext(..) => out.extend(written(value)),
    }
}

#[test]
fn we_write_what_rmpv_writes_and_measure_what_it_wrote() {
    let mut random = Random(0x7061_636b);
    for _ in 0..runs(3000) {
        let value = value(&mut random, 4);
        let theirs = written(&value);
        let mut ours = Vec::new();
        put(&mut ours, &value);
        assert_eq!(ours, theirs, "{value}");
        let depth = depth(&value);
        assert_eq!(scan(&theirs, DEPTH_MAX), Ok(theirs.len()));
        assert_eq!(scan(&theirs, depth), Ok(theirs.len()));
        if depth > 0 {
            assert_eq!(scan(&theirs, depth - 1), Err(DecodeError::TooDeep));
        }
        ours.push(0);
        assert_eq!(scan(&ours, DEPTH_MAX), Ok(theirs.len()));
        assert_eq!(scan_exact(&ours, DEPTH_MAX), Err(DecodeError::TrailingBytes));
        let cut = random.below(theirs.len());
        assert!(scan(&theirs[..cut], DEPTH_MAX).is_err());
    }
}

/// On noise: what we accept, rmpv reads to the same end; what we find cut short, it can't read.
#[test]
fn on_noise_we_agree_with_rmpv() {
    let mut random = Random(0x6e6f_6973);
    let (mut accepted, mut refused) = (0, 0);
    for n in 0..runs(60_000) {
        let bytes = if n % 2 == 0 {
            let len = 1 + random.below(24);
            random.bytes(len)
        } else {
            let mut bytes = written(&value(&mut random, 2));
            for _ in 0..random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.next() as u8;
            }
            bytes
        };
        let mut rest = &bytes[..];
        let theirs = rmpv::decode::read_value(&mut rest);
        match scan(&bytes, DEPTH_MAX) {
            Ok(len) => {
                assert!(theirs.is_ok(), "{bytes:x?}");
                assert_eq!(len, bytes.len() - rest.len(), "{bytes:x?}");
                accepted += 1;
            }
            Err(DecodeError::Truncated | DecodeError::BadCount) => {
                assert!(theirs.is_err(), "{bytes:x?}");
                refused += 1;
            }
            Err(DecodeError::ReservedByte | DecodeError::BadUtf8) => refused += 1,
            Err(other) => panic!("{other} for {bytes:x?}"),
        }
    }
    let many = runs(5000);
    assert!(accepted > many && refused > many, "{accepted} {refused}");
}

#[test]
fn integers_take_their_shortest_form() {
    let forms: &[(i64, &str)] = &[
        (0, "00"),
        (127, "7f"),
        (128, "cc80"),
        (255, "ccff"),
        (256, "cd0100"),
        (65_535, "cdffff"),
        (65_536, "ce00010000"),
        (0xffff_ffff, "ceffffffff"),
        (1 << 32, "cf0000000100000000"),
        (-1, "ff"),
        (-32, "e0"),
        (-33, "d0df"),
        (-128, "d080"),
        (-129, "d1ff7f"),
        (-32_768, "d18000"),
        (-32_769, "d2ffff7fff"),
        (-(1 << 31), "d280000000"),
        (-(1 << 31) - 1, "d3ffffffff7fffffff"),
        (i64::MIN, "d38000000000000000"),
    ];
    for (n, hex) in forms {
        let mut out = Vec::new();
        pack::put_int(&mut out, *n);
        assert_eq!(out, unhex(hex), "{n}");
        let read = Reader::new(&out).uint("n");
        assert_eq!(read, u64::try_from(*n).map_err(|_| DecodeError::WrongType { field: "n" }));
    }
}

#[test]
fn integers_are_read_in_any_form() {
    for hex in ["05", "cc05", "cd0005", "ce00000005", "cf0000000000000005", "d005", "d10005"] {
        let bytes = unhex(hex);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.uint("n"), Ok(5), "{hex}");
        assert_eq!((reader.at(), reader.end()), (bytes.len(), Ok(())));
        for cut in 0..bytes.len() {
            assert_eq!(Reader::new(&bytes[..cut]).uint("n"), Err(DecodeError::Truncated));
        }
    }
    assert_eq!(Reader::new(&unhex("cfffffffffffffffff")).uint("n"), Ok(u64::MAX));
    let wrong = Err(DecodeError::WrongType { field: "n" });
    assert_eq!(Reader::new(&unhex("cf0000000100000000")).uint32("n"), wrong);
    for hex in ["cb0000000000000000", "a105", "c0", "d0ff", "e0"] {
        assert_eq!(Reader::new(&unhex(hex)).uint("n"), Err(DecodeError::WrongType { field: "n" }));
    }
}

#[test]
fn depth_is_counted_in_arrays_and_maps() {
    let nested = |marker: &str, levels| unhex(&format!("{} 90", marker.repeat(levels)));
    assert_eq!(scan(&unhex("05"), 0), Ok(1));
    assert_eq!(scan(&unhex("90"), 0), Err(DecodeError::TooDeep));
    assert_eq!(scan(&unhex("90"), 1), Ok(1));
    for marker in ["91", "81 c0"] {
        assert!(scan(&nested(marker, 63), 64).is_ok());
        assert_eq!(scan(&nested(marker, 64), 64), Err(DecodeError::TooDeep));
        // No limit can be asked for that is above ours.
        assert_eq!(scan(&nested(marker, 64), 1000), Err(DecodeError::TooDeep));
    }
    // Siblings don't add up.
    assert!(scan(&unhex(&format!("dc 0100 {}", "91 90".repeat(256))), 3).is_ok());
}

/// 100,000 damaged frames: nothing panics, and what is accepted is understood the same way again.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn damaged_frames_do_no_harm() {
    let mut random = Random(0x6461_6d61_6765);
    let mut bodies: Vec<Vec<u8>> = transcripts()
        .into_iter()
        .flat_map(|(_, frames)| frames)
        .map(|frame| frame.frame[4..].to_vec())
        .filter(|body| body.len() < 3000)
        .collect();
    for hex in [
        "83 a8 6d73675f74797065 a6 5969656c6473 a3 636964 05 a4 706c6473 dd 00000002 01 02",
        "84 a8 6d73675f74797065 a6 437265646974 a3 636964 05 a5 6974656d73 40 a5 6279746573 00",
        "82 a8 6d73675f74797065 a7 476f6f64627965 a6 726561736f6e a3 627965",
        "82 a8 6d73675f74797065 a5 5265616479 a5 6164647273 91 92 a7 312e312e312e31 cd 0650",
    ] {
        bodies.extend(std::iter::repeat_n(unhex(hex), 50));
    }
    let mut accepted = 0;
    for _ in 0..100_000 {
        let mut body = bodies[random.below(bodies.len())].clone();
        for _ in 0..1 + random.below(3) {
            damage(&mut random, &mut body);
        }
        let Ok(msg) = Msg::decode(Bytes::from(body)) else { continue };
        accepted += 1;
        // Which arguments did not fit is not kept, so they may fit when written again.
        if matches!(msg, Msg::Request { request: Request::BadArguments { .. }, .. }) {
            continue;
        }
        let mut out = Vec::new();
        msg.encode(Features::ALL, &mut out);
        assert_eq!(Msg::decode(out.into()), Ok(msg));
    }
    assert!(accepted > 3000, "{accepted}");
}

fn damage(random: &mut Random, body: &mut Vec<u8>) {
    if body.is_empty() {
        return;
    }
    let at = random.below(body.len());
    match random.below(6) {
        0 => body[at] = random.next() as u8,
        1 => body[at] ^= 1 << random.below(8),
        2 => body.truncate(at),
        3 => drop(body.remove(at)),
        4 => body.insert(at, 0x80 | random.next() as u8),
        _ => {
            let len = random.below(body.len() - at).min(50);
            let part = body[at..at + len].to_vec();
            let to = random.below(body.len());
            body.splice(to..to, part);
        }
    }
}
