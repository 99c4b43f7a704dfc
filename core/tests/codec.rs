//! Messages to bytes and back: every variant, and every value that has its own codec.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use bytes::Bytes;
use common::samples::{CID, addrs, encoded, map, raw, samples, tcp, text, uid};
use common::{sampled, unhex};
use rmpv::Value;
use tractor_core::error::DecodeError;
use tractor_core::msg::codec::{self, RuntimeVars};
use tractor_core::msg::{
    AckOutcome, ErrorData, Features, Msg, Records, RegistryTag, RemoteError, Request, Start,
};
use tractor_core::{Cid, Uid};

/// What is left of a message when no extension is on.
fn without_extensions(msg: Msg) -> Msg {
    match msg {
        Msg::Stop { cid, .. } => Msg::Stop { cid, sent: None },
        Msg::CancelAck { cid, outcome: AckOutcome::AlreadyDone } => {
            Msg::CancelAck { cid, outcome: AckOutcome::Cancelling }
        }
        Msg::Error { cid, error } => Msg::Error { cid, error: RemoteError { data: None, ..error } },
        Msg::Request { cid, uid, request: Request::CancelActor { .. } } => {
            Msg::Request { cid, uid, request: Request::CancelActor { budget: None } }
        }
        other => other,
    }
}

#[test]
fn every_message_comes_back() {
    for msg in sampled(samples()) {
        assert_eq!(Msg::decode(encoded(&msg, Features::ALL)).as_ref(), Ok(&msg));
        let base = Msg::decode(encoded(&msg, Features::BASE)).unwrap();
        assert_eq!(base, without_extensions(msg));
    }
}

/// Each extension key is governed by its own feature and by no other.
#[test]
fn a_feature_governs_its_own_keys_only() {
    for msg in sampled(samples()) {
        let base = encoded(&msg, Features::BASE);
        let owner = match &msg {
            Msg::Stop { sent: Some(_), .. } => Features::STOP_SEQ,
            Msg::CancelAck { .. } => Features::TYPED_ACK,
            Msg::Error { error: RemoteError { data: Some(_), .. }, .. } => Features::ERROR_DATA,
            Msg::Request { request: Request::CancelActor { budget: Some(_) }, .. } => {
                Features::BUDGET
            }
            _ => Features::BASE,
        };
        for bit in (0..10).map(|n| Features(1 << n)) {
            let same = encoded(&msg, bit) == base;
            assert_eq!(same, bit != owner, "{bit:?} {msg:?}");
        }
    }
}

#[test]
fn payloads_and_texts_are_slices_of_the_body() {
    for msg in sampled(samples()) {
        let body = encoded(&msg, Features::ALL);
        let inside = |part: &[u8]| part.is_empty() || body.as_ptr_range().contains(&part.as_ptr());
        match Msg::decode(body.clone()).unwrap() {
            Msg::Yield { cid, pld } | Msg::Started { cid, pld } | Msg::Return { cid, pld } => {
                assert!(inside(&pld));
                if let Cid::Text(text) = &cid {
                    assert!(inside(text.as_str().as_bytes()));
                }
            }
            Msg::Yields { plds, .. } => assert!(inside(&plds)),
            Msg::Start(start) => assert!(inside(&start.kwargs)),
            Msg::Error { error, .. } => assert!(inside(error.traceback.as_str().as_bytes())),
            _ => {}
        }
    }
}

#[test]
fn a_head_and_its_payload_are_the_body() {
    for msg in samples() {
        let (Msg::Yield { pld, .. } | Msg::Started { pld, .. } | Msg::Return { pld, .. }) = &msg
        else {
            continue;
        };
        let mut out = Vec::new();
        codec::encode_head(&msg, &mut out);
        out.extend_from_slice(pld);
        assert_eq!(out, encoded(&msg, Features::BASE));
    }
}

#[test]
fn packed_items_can_be_appended_and_counted_later() {
    let cid = Cid::Num(9);
    let mut out = vec![0xff; 3];
    let at = codec::encode_yields_head(&cid, &mut out);
    assert_eq!(out[at..], [0; 4]);
    out.extend(unhex("07 93 01 02 03 a0"));
    out[at..at + 4].copy_from_slice(&3u32.to_be_bytes());
    let msg = Msg::decode(out.split_off(3).into()).unwrap();
    let Msg::Yields { count: 3, plds, .. } = &msg else { panic!("{msg:?}") };
    let items: Vec<Bytes> = codec::items(plds).collect();
    assert_eq!(items, [raw("07"), raw("93 01 02 03"), raw("a0")]);
    assert!(codec::items(&Bytes::new()).next().is_none());
    // Made-up items end the iteration; they never hang it.
    assert_eq!(codec::items(&raw("01 c1 01")).count(), 2);
}

#[test]
fn golden_extensions() {
    let golden = |msg: Msg, hex: &str| {
        assert_eq!(encoded(&msg, Features::ALL), raw(hex), "{msg:?}");
        assert_eq!(Msg::decode(raw(hex)), Ok(msg));
    };
    let tag = "a8 6d73675f74797065";
    let cid = || Cid::Num(5);
    golden(
        Msg::Yields { cid: cid(), count: 2, plds: raw("01 02") },
        &format!("83 {tag} a6 5969656c6473 a3 636964 05 a4 706c6473 dd 00000002 01 02"),
    );
    golden(
        Msg::Credit { cid: cid(), items: 64, bytes: 1 << 20 },
        &format!(
            "84 {tag} a6 437265646974 a3 636964 05 a5 6974656d73 40 a5 6279746573 ce 00100000"
        ),
    );
    golden(
        Msg::Stop { cid: cid(), sent: Some(200) },
        &format!("83 {tag} a4 53746f70 a3 636964 05 a4 73656e74 cc c8"),
    );
    golden(
        Msg::CancelAck { cid: cid(), outcome: AckOutcome::Refused },
        &format!(
            "84 {tag} a9 43616e63656c41636b a3 636964 05 a3 706c64 c2 \
             a7 6f7574636f6d65 a7 72656675736564"
        ),
    );
    golden(
        Msg::Goodbye { reason: text("bye") },
        &format!("82 {tag} a7 476f6f64627965 a6 726561736f6e a3 627965"),
    );
    golden(
        Msg::Ready { addrs: vec![tcp()] },
        &format!("82 {tag} a5 5265616479 a5 6164647273 91 92 a9 3132372e302e302e31 cd 0650"),
    );
}

#[test]
fn an_unknown_outcome_is_what_the_base_says() {
    for (pld, outcome) in [(true, AckOutcome::Cancelling), (false, AckOutcome::Refused)] {
        for word in [Value::from("later"), Value::Nil] {
            let body = map(&[
                ("msg_type", "CancelAck".into()),
                ("cid", CID.into()),
                ("pld", pld.into()),
                ("outcome", word),
            ]);
            let cid = Cid::Text(text(CID));
            assert_eq!(Msg::decode(body), Ok(Msg::CancelAck { cid, outcome }));
        }
    }
}

fn request(func: &str, kwargs: &str) -> Request {
    let start = Start {
        cid: Cid::Num(1),
        ns: text("self"),
        func: text(func),
        kwargs: raw(kwargs),
        uid: uid("a"),
    };
    match Msg::decode(encoded(&Msg::Start(start), Features::BASE)) {
        Ok(Msg::Request { request, .. }) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn arguments_that_do_not_fit_are_a_request_too() {
    let bad = |func: &str| Request::BadArguments { func: text(func) };
    for func in [
        "_cancel_task",
        "register_actor",
        "unregister_actor",
        "find_actor",
        "wait_for_actor",
        "watch_actor",
        "delete_addr",
    ] {
        assert_eq!(request(func, "80"), bad(func));
    }
    // A number for a name, a name for an address, a host name, a port too large, a third element.
    assert_eq!(request("find_actor", "81 a4 6e616d65 05"), bad("find_actor"));
    assert_eq!(request("delete_addr", "81 a4 61646472 a1 78"), bad("delete_addr"));
    let host = "81 a4 61646472 92 a9 6c6f63616c686f7374 05";
    assert_eq!(request("delete_addr", host), bad("delete_addr"));
    let port = "81 a4 61646472 92 a9 3132372e302e302e31 ce 00010000";
    assert_eq!(request("delete_addr", port), bad("delete_addr"));
    let three = "81 a4 61646472 93 a9 3132372e302e302e31 05 05";
    assert_eq!(request("delete_addr", three), bad("delete_addr"));
    assert_eq!(request("cancel", "81 a9 6275646765745f6d73 a1 78"), bad("cancel"));
    let one = "82 a4 6e616d65 a1 78 a4 7365656e 91 05";
    assert_eq!(request("watch_actor", one), bad("watch_actor"));
    // Unknown arguments are ignored, and so is a budget of nil.
    assert_eq!(request("get_registry", "81 a1 78 05"), Request::List);
    let nil = "81 a9 6275646765745f6d73 c0";
    assert_eq!(request("cancel", nil), Request::CancelActor { budget: None });
}

#[test]
fn nothing_is_looked_up_by_name() {
    for func in ["", "__class__", "Cancel", "cancel ", "_cancel", "main"] {
        assert_eq!(request(func, "80"), Request::Unknown { func: text(func) });
    }
}

#[test]
fn runtime_vars_come_back() {
    let full = RuntimeVars {
        is_root: true,
        root_mailbox: Some(tcp()),
        root_addrs: addrs(),
        enable_tpts: vec![text("tcp"), text("uds")],
        registry_addrs: addrs(),
        debug_mode: true,
        is_infected_aio: true,
        loglevel: Some(text("DEBUG")),
        budget_ms: Some(2250),
        connect_back: true,
    };
    for vars in [full, RuntimeVars::default()] {
        let mut out = Vec::new();
        vars.encode(&mut out);
        assert_eq!(RuntimeVars::decode(&out.into()), Ok(vars));
    }
    // A pair of nils is how Python says that there is no root yet.
    let none = raw("81 ad 5f726f6f745f6d61696c626f78 92 c0 c0");
    assert_eq!(RuntimeVars::decode(&none), Ok(RuntimeVars::default()));
    assert_eq!(RuntimeVars::decode(&raw("80 c0")), Err(DecodeError::TrailingBytes));
    assert_eq!(RuntimeVars::decode(&raw("90")), Err(DecodeError::WrongType { field: "map" }));
}

#[test]
fn addresses_come_back() {
    let mut out = Vec::new();
    codec::encode_addrs(&addrs(), &mut out);
    assert_eq!(codec::decode_addrs(&out), Ok(addrs()));
    for addr in addrs() {
        let mut out = Vec::new();
        codec::encode_addr(&addr, &mut out);
        assert_eq!(codec::decode_addrs(&out), Ok(vec![addr]));
    }
    assert_eq!(codec::decode_addrs(&unhex("c0")), Ok(vec![]));
    assert_eq!(codec::decode_addrs(&unhex("90")), Ok(vec![]));
    assert_eq!(codec::decode_addrs(&unhex("90 90")), Err(DecodeError::TrailingBytes));
    for wrong in ["05", "91 05", "92 a1 78 05", "92 a9 3132372e302e302e31 ff", "80"] {
        let error = Err(DecodeError::WrongType { field: "addrs" });
        assert_eq!(codec::decode_addrs(&unhex(wrong)), error, "{wrong}");
    }
}

#[test]
fn the_registry_comes_back() {
    let dotted = Uid { name: text("a.b"), uuid: text("u") };
    let (some, none) = (addrs(), vec![]);
    let other = uid("x");
    let mut out = Vec::new();
    codec::encode_registry(&[(&dotted, &some), (&other, &none)], &mut out);
    let entries = codec::decode_registry(&out.into()).unwrap();
    assert_eq!(entries, [(dotted, some), (other, none)]);
    let error = Err(DecodeError::WrongType { field: "registry" });
    assert_eq!(codec::decode_registry(&raw("81 a1 78 90")), error);
}

#[test]
fn the_records_of_a_name_come_back() {
    let (some, tag) = (addrs(), RegistryTag { stamp: 5, count: 1 });
    let mut out = Vec::new();
    codec::encode_records(tag, &[(&uid("x"), &some)], &mut out);
    let records = codec::decode_records(&out.into()).unwrap();
    assert_eq!(records, Records { tag, actors: vec![(uid("x"), some)] });
    let golden = "82 a4 7365656e 92 00 00 a6 6163746f7273 90";
    let mut out = Vec::new();
    codec::encode_records(RegistryTag::default(), &[], &mut out);
    assert_eq!(out, raw(golden));
    assert_eq!(codec::decode_records(&raw(golden)), Ok(Records::default()));
    for wrong in ["80", "81 a4 7365656e 92 00 00", "82 a4 7365656e 05 a6 6163746f7273 90"] {
        codec::decode_records(&raw(wrong)).unwrap_err();
    }
    let claim = "82 a4 7365656e 92 00 00 a6 6163746f7273 dd ffffffff";
    codec::decode_records(&raw(claim)).unwrap_err();
}

#[test]
fn data_of_an_error_comes_back() {
    let member = |n: u8| RemoteError {
        message: Some(text(&format!("member {n}"))),
        data: Some(raw("81 a1 78 01")),
        ..common::samples::plain_error()
    };
    let full = ErrorData {
        type_path: Some(text("shop::OutOfCheese")),
        value: Some(raw("81 a4 6b696e64 a4 62726965")),
        causes: vec![text("no delivery"), text("strike")],
        errors: vec![member(1), member(2)],
    };
    let parts = [
        ErrorData::default(),
        ErrorData { causes: vec![], errors: vec![], ..full.clone() },
        ErrorData { causes: full.causes.clone(), ..ErrorData::default() },
        ErrorData { errors: full.errors.clone(), ..ErrorData::default() },
        full,
    ];
    for data in parts {
        let mut out = Vec::new();
        data.encode(&mut out);
        assert_eq!(ErrorData::decode(&out.into()), Ok(data));
    }
}

#[test]
fn golden_data_of_an_error() {
    let data = ErrorData {
        type_path: Some(text("a::E")),
        value: Some(raw("07")),
        causes: vec![text("x")],
        errors: vec![],
    };
    let golden = "83 a4 74797065 a4 613a3a45 a5 76616c7565 07 a6 636175736573 91 a1 78";
    let mut out = Vec::new();
    data.encode(&mut out);
    assert_eq!(Bytes::from(out), raw(golden));
    // A value without a type says nothing.
    let mut out = Vec::new();
    ErrorData { type_path: None, ..data }.encode(&mut out);
    assert_eq!(Bytes::from(out), raw("81 a6 636175736573 91 a1 78"));
}

/// Data is a peer's: what is no map of ours is an error, and what we don't know is ignored.
#[test]
fn data_of_somebody_else_is_refused_or_ignored() {
    assert_eq!(ErrorData::decode(&raw("81 a3 6f6464 92 01 02")), Ok(ErrorData::default()));
    for bad in ["c0", "07", "90", "81 a4 74797065 01", "81 a6 6572726f7273 91 80", "80 80", "c1"] {
        assert!(ErrorData::decode(&raw(bad)).is_err(), "{bad}");
    }
    let stop = encoded(&Msg::Stop { cid: Cid::Num(1), sent: None }, Features::BASE);
    let mut wrong = unhex("81 a6 6572726f7273 91");
    wrong.extend_from_slice(&stop);
    assert!(ErrorData::decode(&wrong.into()).is_err(), "a member is an error");
}
