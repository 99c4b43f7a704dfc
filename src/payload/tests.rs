use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DecodeError, decode, decode_map, encode_into};

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum Step {
    Go,
    Left(u32),
    Turn { by: u8 },
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct Args {
    a: u64,
    list: Vec<(String, u8)>,
    step: Option<Step>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Nest(Vec<Nest>);

fn nest(depth: usize) -> Nest {
    (1..depth).fold(Nest(Vec::new()), |inner, _| Nest(vec![inner]))
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes).unwrap();
    bytes
}

/// The error of a map whose entries are encoded already.
fn refused(entries: &[(&str, Vec<u8>)]) -> String {
    let mut bytes = vec![0x80 + u8::try_from(entries.len()).unwrap()];
    for (name, value) in entries {
        bytes.extend(encode(name));
        bytes.extend(value);
    }
    decode_map::<Args>(&bytes).unwrap_err().to_string()
}

#[test]
fn structs_are_maps() {
    let args = Args { a: 1, list: vec![("x".into(), 2)], step: Some(Step::Go) };
    let bytes = encode(&args);
    assert_eq!(bytes, b"\x83\xa1a\x01\xa4list\x91\x92\xa1x\x02\xa4step\xa2Go");
    assert_eq!(decode_map::<Args>(&bytes).unwrap(), args);
    assert_eq!(decode::<u128>(&encode(&u128::MAX)).unwrap(), u128::MAX);
}

#[test]
fn errors_say_where() {
    let (one, list) = (("a", vec![1]), ("list", encode(&[("x", 2)])));
    let step = |bytes: Vec<u8>| refused(&[one.clone(), list.clone(), ("step", bytes)]);
    assert_eq!(refused(&[("a", vec![1])]), "missing field `list`");
    assert_eq!(refused(&[one.clone(), ("b", vec![1])]), "unknown field `b`");
    assert_eq!(refused(&[one.clone(), one.clone()]), "`a` is there twice");
    assert_eq!(refused(&[("a", encode("x"))]), "`a`: expected u64, got string");
    assert_eq!(refused(&[("a", encode(&-1))]), "`a`: expected u64, got integer `-1`");
    assert_eq!(refused(&[("a", encode(&()))]), "`a`: expected u64, got nil");
    let pairs = encode(&[("x", 2), ("y", 256)]);
    assert_eq!(refused(&[("list", pairs)]), "`list[1][1]`: expected u8, got integer `256`");
    let three = encode(&[("x", 2, 3)]);
    assert_eq!(refused(&[("list", three)]), "`list[0]`: expected 2 elements, got 3");
    let left = encode(&BTreeMap::from([("Left", "x")]));
    assert_eq!(step(left), "`step.Left`: expected u32, got string");
    let turn = encode(&BTreeMap::from([("Turn", BTreeMap::from([("by", true)]))]));
    assert_eq!(step(turn), "`step.Turn.by`: expected u8, got `true`");
    let known = "known are `Go`, `Left`, `Turn`";
    assert_eq!(step(encode("Stop")), format!("`step`: unknown variant `Stop`, {known}"));
    let after_wide = encode(&(7_u128, "x"));
    let error = decode::<(u128, u8)>(&after_wide).unwrap_err();
    assert_eq!(error.to_string(), "`[1]`: expected u8, got string");
}

#[test]
fn a_peers_words_are_short_and_printable() {
    let error = refused(&[(&"\n".repeat(100), vec![1])]);
    assert_eq!(error, format!("unknown field `{}..`", "\\n".repeat(64)));
}

#[test]
fn only_one_whole_value_within_the_limits() {
    let mut bytes = encode(&nest(64));
    assert_eq!(decode::<Nest>(&bytes).unwrap(), nest(64));
    bytes.insert(0, 0x91);
    assert!(decode::<Nest>(&bytes).is_err());
    let mut buffer = vec![1, 2];
    assert!(encode_into(&nest(65), &mut buffer).is_err());
    assert_eq!(buffer, [1, 2], "nothing is appended");
    for bad in [&[][..], &[0x81], &[0xc1], &[1, 1], &[0xdd, 255, 255, 255, 255]] {
        assert!(decode::<Vec<u8>>(bad).is_err() && decode_map::<Args>(bad).is_err());
    }
    assert_eq!(
        decode_map::<Args>(&encode(&(1, 2))).unwrap_err(),
        DecodeError::whole("expected a map from names to values")
    );
}

/// An extension nests nothing, so it may stand where nothing else may begin.
#[test]
fn an_extension_may_be_in_the_deepest_level() {
    let deepest = [&[0x91; 64][..], &[0xd4, 1, 0]].concat();
    assert!(decode::<serde::de::IgnoredAny>(&deepest).is_ok());
    assert!(decode::<serde::de::IgnoredAny>(&[&[0x91][..], &deepest].concat()).is_err());
}
