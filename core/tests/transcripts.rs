//! We read what the reference writes, and write what it would write: byte for byte, every recorded
//! frame, without exception.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Random, Recorded, transcripts};
use serde_json::Value;
use tractor_core::error::DecodeError;
use tractor_core::msg::codec::{RuntimeVars, decode_addrs, decode_registry, encode_addrs};
use tractor_core::msg::{Features, Msg, Request};
use tractor_core::wire::frame::{Deframer, put_frame};
use tractor_core::{Cid, Uid};

const FRAME_MAX: usize = 16 << 20;

fn all() -> Vec<Recorded> {
    transcripts().into_iter().flat_map(|(_, frames)| frames).collect()
}

fn tag(msg: &Msg) -> &'static str {
    match msg {
        Msg::Aid(_) => "Aid",
        Msg::SpawnSpec(_) => "SpawnSpec",
        Msg::Start(_) | Msg::Request { .. } => "Start",
        Msg::StartAck { .. } => "StartAck",
        Msg::Started { .. } => "Started",
        Msg::Yield { .. } => "Yield",
        Msg::Stop { .. } => "Stop",
        Msg::Return { .. } => "Return",
        Msg::CancelAck { .. } => "CancelAck",
        Msg::Error { .. } => "Error",
        _ => "an extension",
    }
}

#[test]
fn every_recorded_frame_comes_out_again_byte_for_byte() {
    let recorded = all();
    assert!(recorded.len() > if cfg!(miri) { 5 } else { 1500 }, "only {} frames", recorded.len());
    for frame in recorded {
        let msg = Msg::decode(frame.body()).unwrap_or_else(|e| panic!("{}: {e}", frame.place));
        for features in [Features::BASE, Features(Features::ALL.0 & !Features::TYPED_ACK.0)] {
            let mut out = vec![7];
            put_frame(&mut out, |out| msg.encode(features, out));
            assert_eq!(out[1..], frame.frame, "{}: {msg:?}", frame.place);
        }
    }
}

#[test]
fn every_recorded_frame_is_the_message_that_the_recorder_saw() {
    for frame in all() {
        let msg = Msg::decode(frame.body()).unwrap();
        assert_eq!(tag(&msg), frame.msg["msg_type"], "{}", frame.place);
        let cid = msg.cid().map_or(Value::Null, |cid| Value::from(cid.to_string()));
        assert_eq!(cid, frame.msg["cid"], "{}", frame.place);
        let is_request = frame.msg["ns"] == "self";
        assert_eq!(matches!(msg, Msg::Request { .. }), is_request, "{}", frame.place);
        if let Msg::Request { request, .. } = &msg {
            let unknown = frame.msg["func"] == "nope_method";
            assert_eq!(matches!(request, Request::Unknown { .. }), unknown, "{}", frame.place);
            assert!(!matches!(request, Request::BadArguments { .. }), "{}", frame.place);
        }
    }
}

#[test]
fn the_deframer_finds_the_frames_wherever_the_stream_is_cut() {
    let mut random = Random(0x7261_6e64_6f6d);
    for (name, frames) in transcripts() {
        let stream: Vec<u8> = frames.iter().flat_map(|f| f.frame.clone()).collect();
        let sizes = [1, 3, 4, 5, 64, 1000, 100_000];
        for most in sizes {
            let mut deframer = Deframer::new(FRAME_MAX);
            let mut found = frames.iter();
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let room = deframer.recv_buf();
                let len = (1 + random.below(most)).min(room.len()).min(rest.len());
                room[..len].copy_from_slice(&rest[..len]);
                deframer.received(len);
                rest = &rest[len..];
                while let Some(body) = deframer.next().unwrap() {
                    assert_eq!(body, found.next().unwrap().frame[4..], "{name}");
                }
            }
            assert!(found.next().is_none() && !deframer.mid_frame(), "{name}");
        }
    }
}

#[test]
fn the_handshake_fits_the_limit_before_it() {
    let longest = all().iter().filter(|f| f.msg["msg_type"] == "Aid").map(|f| f.frame.len()).max();
    assert!(longest.unwrap() < 4096);
}

#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn the_runtime_variables_come_out_again_byte_for_byte() {
    let mut seen = 0;
    for frame in all() {
        let Msg::SpawnSpec(spec) = Msg::decode(frame.body()).unwrap() else { continue };
        let vars = RuntimeVars::decode(&spec.runtime_vars).unwrap();
        assert!(!vars.is_root && vars.root_mailbox.is_some() && !vars.enable_tpts.is_empty());
        let mut out = Vec::new();
        vars.encode(&mut out);
        assert_eq!(out, spec.runtime_vars, "{}", frame.place);
        seen += 1;
    }
    assert_eq!(seen, 41);
}

#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn answers_of_the_registrar_are_understood() {
    let mut asked: Vec<(Cid, Request)> = Vec::new();
    let (mut finds, mut lists) = (0, 0);
    for frame in all() {
        match Msg::decode(frame.body()).unwrap() {
            Msg::Request { cid, request, .. } => asked.push((cid, request)),
            Msg::Return { cid, pld } => match asked.iter().find(|(asked, _)| *asked == cid) {
                Some((_, Request::Find { .. } | Request::Wait { .. })) => {
                    let addrs = decode_addrs(&pld).unwrap();
                    let mut out = Vec::new();
                    encode_addrs(&addrs, &mut out);
                    assert!(out == pld || (addrs.is_empty() && pld == [0xc0][..]));
                    finds += 1;
                }
                Some((_, Request::List)) => {
                    let entries = decode_registry(&pld).unwrap();
                    assert_eq!(entries.len(), 6);
                    let entries: Vec<(&Uid, &[_])> =
                        entries.iter().map(|(uid, addrs)| (uid, &addrs[..])).collect();
                    let mut out = Vec::new();
                    tractor_core::msg::codec::encode_registry(&entries, &mut out);
                    assert_eq!(out, pld);
                    lists += 1;
                }
                _ => {}
            },
            _ => {}
        }
    }
    assert!(finds >= 10 && lists == 1, "{finds} {lists}");
}

/// Any prefix of a body is an error, and so is any byte after it.
#[test]
fn a_body_has_one_length() {
    for frame in all().iter().filter(|f| f.frame.len() < 600).step_by(7) {
        let body = frame.body();
        for len in 0..body.len() {
            assert!(Msg::decode(body.slice(..len)).is_err(), "{} cut at {len}", frame.place);
        }
        let mut longer = body.to_vec();
        longer.push(0xc0);
        assert_eq!(Msg::decode(longer.into()), Err(DecodeError::TrailingBytes));
    }
}
