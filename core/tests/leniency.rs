//! What we accept and what we refuse, next to what the reference does.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::samples::{encoded, full_error, map, pack, plain_error, raw, samples, text, uid};
use common::{sampled, unhex};
use rmpv::Value;
use tractor_core::error::DecodeError;
use tractor_core::msg::{Aid, Features, Msg, codec};
use tractor_core::{Cid, Uid};

fn yield_of(pld: &str) -> Msg {
    Msg::Yield { cid: Cid::Text(text("c")), pld: raw(pld) }
}

const TAG: &str = "a8 6d73675f74797065 a5 5969656c64";
const C: &str = "a3 636964 a1 63";
const PLD: &str = "a3 706c64";

/// What the reference accepts, case by case (§2.3).
#[test]
fn lenient_like_the_reference() {
    let accepted = |hex: &str| assert_eq!(Msg::decode(raw(hex)), Ok(yield_of("01")), "{hex}");
    accepted(&format!("83 {TAG} {C} {PLD} 01"));
    // The tag anywhere, keys in any order.
    accepted(&format!("83 {C} {PLD} 01 {TAG}"));
    accepted(&format!("83 {PLD} 01 {TAG} {C}"));
    accepted(&format!("83 {TAG} {PLD} 01 {C}"));
    // Unknown keys, first, in between and last.
    accepted(&format!("84 a1 7a 93 c0 c0 80 {TAG} {C} {PLD} 01"));
    accepted(&format!("84 {TAG} {C} a1 7a 81 a0 c0 {PLD} 01"));
    accepted(&format!("84 {TAG} {C} {PLD} 01 a1 7a c3"));
    // The last of equal keys.
    accepted(&format!("84 {TAG} {C} {PLD} 02 {PLD} 01"));
    accepted(&format!("84 {TAG} a3 636964 a1 62 {C} {PLD} 01"));
    // Any width of a header.
    accepted(&format!("de 0003 {TAG} {C} {PLD} 01"));
    accepted(&format!("df 00000003 {TAG} {C} {PLD} 01"));
    accepted(&format!("83 d9 08 6d73675f74797065 da 0005 5969656c64 {C} {PLD} 01"));
    accepted(&format!("83 {TAG} d9 03 636964 db 00000001 63 {PLD} 01"));
}

#[test]
fn fields_with_defaults_may_be_absent() {
    let msg = map(&[("msg_type", "Aid".into()), ("name", "n".into()), ("uuid", "u".into())]);
    let uid = Uid { name: text("n"), uuid: text("u") };
    let aid = Aid { uid: uid.clone(), pid: None, is_registrar: None, is_probe: false, ext: None };
    assert_eq!(Msg::decode(msg), Ok(Msg::Aid(aid)));

    let pair = || Value::Array(vec!["child".into(), "aa36a914-1155-44be-a503-21c2c5f1b215".into()]);
    let msg = map(&[
        ("msg_type", "Error".into()),
        ("src_uid", pair()),
        ("src_type_str", "ValueError".into()),
        ("boxed_type_str", "ValueError".into()),
        ("relay_path", Value::Array(vec![])),
    ]);
    assert_eq!(Msg::decode(msg), Ok(Msg::Error { cid: None, error: plain_error() }));

    let msg = map(&[
        ("msg_type", "Start".into()),
        ("cid", 1.into()),
        ("ns", "self".into()),
        ("func", "cancel".into()),
        ("kwargs", Value::Map(vec![])),
        ("uid", pair()),
    ]);
    assert!(matches!(Msg::decode(msg), Ok(Msg::Request { .. })));
}

#[test]
fn every_required_field_is_missed() {
    let plain = Features::BASE;
    for msg in sampled(samples()) {
        let body = encoded(&msg, plain);
        let Value::Map(entries) = rmpv::decode::read_value(&mut &body[..]).unwrap() else {
            panic!()
        };
        for left_out in 0..entries.len() {
            let mut fewer = entries.clone();
            let (key, _) = fewer.remove(left_out);
            let key = key.as_str().unwrap().to_owned();
            let optional = matches!(
                (&msg, key.as_str()),
                (Msg::Aid(_), "pid" | "is_registrar" | "is_probe" | "ext")
                    | (Msg::Start(_) | Msg::Request { .. }, "pld_spec")
                    | (Msg::Error { .. }, "message" | "tb_str" | "canceller" | "sender" | "cid")
                    | (Msg::Error { .. }, "_bad_msg" | "_bad_msg_as_dict")
            );
            match Msg::decode(pack(&Value::Map(fewer))) {
                Ok(_) => assert!(optional, "{key} of {msg:?}"),
                Err(DecodeError::Missing { field }) => {
                    assert!(!optional && field == key, "{key} of {msg:?}: {field}");
                }
                Err(other) => panic!("{key} of {msg:?}: {other}"),
            }
        }
    }
}

/// Any value of a type that the field does not have: an error that names the field.
#[test]
fn every_field_has_a_type() {
    let ext = Value::Ext(1, vec![0]);
    for msg in sampled(samples()) {
        let body = encoded(&msg, Features::ALL);
        let Value::Map(entries) = rmpv::decode::read_value(&mut &body[..]).unwrap() else {
            panic!()
        };
        for (n, (key, _)) in entries.iter().enumerate() {
            let key = key.as_str().unwrap();
            if matches!(key, "data") || (key == "pld" && !matches!(msg, Msg::CancelAck { .. })) {
                continue;
            }
            let mut wrong = entries.clone();
            wrong[n].1 = ext.clone();
            let Err(DecodeError::WrongType { field }) = Msg::decode(pack(&Value::Map(wrong)))
            else {
                panic!("{key} of {msg:?}")
            };
            assert_eq!(field, key);
        }
    }
}

#[test]
fn strict_like_the_reference() {
    let wrong = |field| DecodeError::WrongType { field };
    let cases: &[(String, DecodeError)] = &[
        // The body is a map with text keys.
        (format!("83 {TAG} {C} c4 03 706c64 01"), wrong("key")),
        (format!("83 {TAG} {C} 05 01"), wrong("key")),
        ("93 a5 5969656c64 a1 63 01".into(), wrong("message")),
        ("05".into(), wrong("message")),
        (format!("83 a8 6d73675f74797065 05 {C} {PLD} 01"), wrong("msg_type")),
        (format!("83 a8 6d73675f74797065 c4 05 5969656c64 {C} {PLD} 01"), wrong("msg_type")),
        // No float, negative or binary where a cid is.
        (format!("83 {TAG} a3 636964 cb 4000000000000000 {PLD} 01"), wrong("cid")),
        (format!("83 {TAG} a3 636964 ff {PLD} 01"), wrong("cid")),
        (format!("83 {TAG} a3 636964 d0 80 {PLD} 01"), wrong("cid")),
        (format!("83 {TAG} a3 636964 c4 01 63 {PLD} 01"), wrong("cid")),
        (format!("83 {TAG} a3 636964 c0 {PLD} 01"), wrong("cid")),
    ];
    for (hex, error) in cases {
        assert_eq!(Msg::decode(raw(hex)), Err(*error), "{hex}");
    }
}

/// Each variant of `DecodeError`, by one input that has that fault and no other.
#[test]
fn each_fault_has_its_error() {
    let nested = |levels: usize| format!("83 {TAG} {C} {PLD} {} c0", "91".repeat(levels));
    let cases: &[(String, DecodeError)] = &[
        (String::new(), DecodeError::Truncated),
        (format!("83 {TAG} {C} {PLD}"), DecodeError::Truncated),
        (format!("83 {TAG} {C} {PLD} cd 01"), DecodeError::Truncated),
        (format!("83 {TAG} {C} {PLD} a5 61"), DecodeError::Truncated),
        (format!("83 {TAG} {C} {PLD} 01 c0"), DecodeError::TrailingBytes),
        (format!("83 {TAG} {C} {PLD} c1"), DecodeError::ReservedByte),
        (format!("83 {TAG} a3 636964 c1 {PLD} 01"), DecodeError::ReservedByte),
        (nested(64), DecodeError::TooDeep),
        (format!("83 {TAG} {C} {PLD} a1 ff"), DecodeError::BadUtf8),
        (format!("83 {TAG} a3 636964 a1 ff {PLD} 01"), DecodeError::BadUtf8),
        (format!("84 {TAG} a1 ff c0 {C} {PLD} 01"), DecodeError::BadUtf8),
        (format!("83 {TAG} {C} {PLD} dc 0002 01"), DecodeError::BadCount),
        ("df ffffffff".into(), DecodeError::BadCount),
        (format!("83 {TAG} a3 636964 90 {PLD} 01"), DecodeError::WrongType { field: "cid" }),
        (format!("82 {TAG} {C}"), DecodeError::Missing { field: "pld" }),
        (format!("82 {C} {PLD} 01"), DecodeError::Missing { field: "msg_type" }),
        ("80".into(), DecodeError::Missing { field: "msg_type" }),
        (format!("84 {TAG} {C} {TAG} {PLD} 01"), DecodeError::DuplicateTag),
        (format!("84 {C} {TAG} {PLD} 01 {TAG}"), DecodeError::DuplicateTag),
        ("81 a8 6d73675f74797065 a1 58".into(), DecodeError::UnknownTag),
    ];
    for (hex, error) in cases {
        assert_eq!(Msg::decode(raw(hex)), Err(*error), "{hex}");
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(Msg::decode(raw(&nested(63))), Ok(yield_of(&format!("{} c0", "91".repeat(63)))));
}

#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn lists_have_a_limit() {
    let path = |n: usize| {
        let mut error = full_error();
        error.relay_path = vec![uid("a"); n];
        Msg::decode(encoded(&Msg::Error { cid: None, error }, Features::ALL))
    };
    assert!(path(codec::LIST_MAX).is_ok());
    assert_eq!(path(codec::LIST_MAX + 1), Err(DecodeError::TooMany { field: "relay_path" }));
}

#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn bombs_are_refused_at_once() {
    let mut bombs: Vec<Vec<u8>> = ["dd", "df", "c6", "db", "c9"]
        .iter()
        .map(|marker| unhex(&format!("83 {TAG} {C} {PLD} {marker} ffffffff")))
        .collect();
    for level in ["dd ffffffff", "df ffffffff", "dc ffff", "91", "81 91"] {
        for levels in [510, 1023, 300_000] {
            bombs.push(unhex(&format!("83 {TAG} {C} {PLD} {}", level.repeat(levels))));
            bombs.push(unhex(&format!("83 {TAG} {C} a1 78 {} {PLD} 01", level.repeat(levels))));
            bombs.push(unhex(&level.repeat(levels)));
            bombs.push(unhex(&format!("82 a1 78 {} {TAG}", level.repeat(levels))));
        }
    }
    let started = Instant::now();
    for bomb in &bombs {
        assert!(Msg::decode(Bytes::from(bomb.clone())).is_err());
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}
