//! Our MessagePack and messages against `rmpv`, which somebody else wrote: what we accept it reads
//! the same, and what we write it reads.
//!
//! Where we differ on purpose:
//!
//! | what | rmpv | we |
//! |---|---|---|
//! | the byte 0xc1 | reads nil | refuse |
//! | a text that is not UTF-8 | keeps its bytes | refuse |
//! | more than 64 levels | reads up to 1024 | refuse |
//! | bytes behind the value | are the caller's | refuse in a message |
//! | equal keys | are all kept | the last counts; a second tag is refused |
//! | unknown keys | are kept | are ignored, once they are checked |
//! | floats of 32 bits | stay such | stay such in payloads; there are none of our own |

use std::net::IpAddr;

use bytes::Bytes;
use rmpv::Value;
use tractor_core::error::DecodeError;
use tractor_core::msg::{Features, Msg, Request};
use tractor_core::wire::pack::{self, DEPTH_MAX};

/// A value or a message.
pub fn run(data: &[u8]) {
    scanned(data);
    message(data);
}

/// The value at the front as rmpv reads it, and its length.
fn read(data: &[u8]) -> Option<(Value, usize)> {
    let mut rest = data;
    let value = rmpv::decode::read_value(&mut rest).ok()?;
    Some((value, data.len() - rest.len()))
}

/// The scan and rmpv agree on what is a value and where it ends.
fn scanned(data: &[u8]) {
    match pack::scan(data, DEPTH_MAX) {
        Ok(len) => {
            let (value, theirs) = read(data).expect("rmpv reads what we accept");
            assert_eq!(len, theirs, "a value has one length");
            written(&value);
        }
        // It reads these; see the table.
        Err(DecodeError::ReservedByte | DecodeError::BadUtf8 | DecodeError::TooDeep) => {}
        Err(e) => {
            let theirs = read(data);
            assert!(theirs.is_none(), "we say `{e}`, and rmpv reads {theirs:?}");
        }
    }
}

/// Both write a value in the same bytes.
fn written(value: &Value) {
    let mut ours = Vec::new();
    if put(value, &mut ours) {
        assert_eq!(ours, theirs(value), "{value}");
    }
}

fn theirs(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).expect("a vector takes everything");
    out
}

/// Writes it with our own functions; whether there are some for all of it.
fn put(value: &Value, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Nil => pack::put_nil(out),
        Value::Boolean(value) => pack::put_bool(out, *value),
        Value::Integer(n) => match (n.as_u64(), n.as_i64()) {
            (Some(n), _) => pack::put_uint(out, n),
            (None, n) => pack::put_int(out, n.unwrap_or_default()),
        },
        Value::F64(value) => pack::put_float(out, *value),
        Value::String(text) => pack::put_str(out, text.as_str().unwrap_or_default()),
        Value::Binary(bytes) => pack::put_bin(out, bytes),
        Value::Array(values) => {
            pack::put_array(out, values.len());
            return values.iter().all(|value| put(value, out));
        }
        Value::Map(pairs) => {
            pack::put_map(out, pairs.len());
            return pairs.iter().all(|(key, value)| put(key, out) && put(value, out));
        }
        Value::F32(_) | Value::Ext(..) => return false,
    }
    true
}

/// A message that we read says the same to rmpv, and written by either it still does.
fn message(data: &[u8]) {
    let Ok(msg) = Msg::decode(Bytes::copy_from_slice(data)) else { return };
    let (read, len) = self::read(data).expect("rmpv reads what we accept");
    assert_eq!(len, data.len(), "a body is one value");
    // What did not fit is not kept, so it can't be written again.
    if matches!(&msg, Msg::Request { request: Request::BadArguments { .. }, .. }) {
        return;
    }
    let ours = map_of(&msg);
    agree(&read, &ours);
    let again = Msg::decode(theirs(&read).into()).expect("we read what rmpv writes");
    assert!(same(&map_of(&again), &ours), "{again:?} is {msg:?}");
}

/// What we write for a message, as rmpv reads it.
fn map_of(msg: &Msg) -> Value {
    let mut out = Vec::new();
    msg.encode(Features::ALL, &mut out);
    let (value, len) = read(&out).expect("rmpv reads what we write");
    assert_eq!(len, out.len(), "a body is one value");
    value
}

/// The value of a key: the last counts.
fn get<'a>(map: &'a Value, key: &str) -> &'a Value {
    let pairs = map.as_map().expect("a message is a map");
    let found = pairs.iter().rev().find(|(k, _)| k.as_str() == Some(key));
    found.map_or(&Value::Nil, |(_, value)| value)
}

/// The keys of each tag, as `docs/protocol.md` §3 has them, that keep their value as it is.
fn keys(tag: &str) -> &'static [&'static str] {
    match tag {
        "Aid" => &["name", "uuid", "pid", "is_registrar", "ext"],
        "SpawnSpec" => {
            &["_parent_main_data", "_runtime_vars", "enable_modules", "reg_addrs", "bind_addrs"]
        }
        "Start" => &["cid", "ns", "func", "uid"],
        "StartAck" => &["cid", "functype"],
        "Started" | "Yield" | "Return" => &["cid", "pld"],
        "Yields" => &["cid", "plds"],
        "Stop" => &["cid", "sent"],
        "Credit" => &["cid", "items", "bytes"],
        "CancelAck" => &["cid"],
        "Error" => &[
            "src_uid",
            "src_type_str",
            "boxed_type_str",
            "relay_path",
            "message",
            "canceller",
            "sender",
            "cid",
            "_bad_msg",
            "_bad_msg_as_dict",
            "data",
        ],
        "Ready" => &["addrs"],
        "Goodbye" => &["reason"],
        _ => panic!("we read the tag {tag}, and know no such message"),
    }
}

/// What was read and what is written of it are the same message.
fn agree(read: &Value, ours: &Value) {
    let tag = get(ours, "msg_type").as_str().expect("a tag is a text");
    assert_eq!(get(read, "msg_type").as_str(), Some(tag));
    for key in keys(tag) {
        let (read, ours) = (get(read, key), get(ours, key));
        let is_ext = *key == "ext" && read.is_map();
        assert!(is_ext || same(read, ours), "{tag}.{key}: {read} became {ours}");
    }
    if tag == "Start" && get(ours, "ns").as_str() != Some("self") {
        assert!(same(get(read, "kwargs"), get(ours, "kwargs")));
    }
    if tag == "Aid" && get(read, "ext").is_map() {
        extension(get(read, "ext"), get(ours, "ext"));
    }
}

/// Of the features only those bits are kept that we could know.
fn extension(read: &Value, ours: &Value) {
    for key in ["v_min", "v_max", "build", "token"] {
        assert!(same(get(read, key), get(ours, key)), "{key}: {read} became {ours}");
    }
    let bits = get(read, "features").as_u64().map(|bits| bits & u64::from(u32::MAX));
    assert_eq!(bits, get(ours, "features").as_u64());
}

/// Equal, where a float that is none equals itself, and so do two texts for one IP address.
fn same(a: &Value, b: &Value) -> bool {
    let ip = |value: &Value| value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    match (a, b) {
        (Value::F32(a), Value::F32(b)) => a.to_bits() == b.to_bits(),
        (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let pairs = || a.iter().zip(b);
            a.len() == b.len() && pairs().all(|(a, b)| same(&a.0, &b.0) && same(&a.1, &b.1))
        }
        (a, b) => a == b || (ip(a).is_some() && ip(a) == ip(b)),
    }
}
