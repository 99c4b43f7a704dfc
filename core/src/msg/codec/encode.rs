//! From a message to a body: for each message, its fields in order.

use alloc::vec::Vec;

use super::request;
use super::values::{encode_addrs, encode_uid};
use crate::id::{Cid, Text, Uid};
use crate::msg::{AckOutcome, Aid, Features, FuncType, Msg, RemoteError, SpawnSpec};
use crate::wire::pack::{put_array, put_bin, put_bool, put_map, put_nil, put_str, put_uint};

/// The bytes of a [`Msg::Yield`] before its cid, and between that and its payload, as everyone
/// writes them.
pub(super) const YIELD: &[u8] = b"\x83\xa8msg_type\xa5Yield\xa3cid";
pub(super) const PLD: &[u8] = b"\xa3pld";

/// Appends the body of `msg`.
pub(super) fn message(msg: &Msg, features: Features, out: &mut Vec<u8>) {
    match msg {
        Msg::Yield { cid, pld } => {
            encode_yield_head(cid, out);
            out.extend_from_slice(pld);
        }
        Msg::Yields { cid, count, plds } => {
            let count_at = encode_yields_head(cid, out);
            out.truncate(count_at);
            out.extend_from_slice(&count.to_be_bytes());
            out.extend_from_slice(plds);
        }
        Msg::Started { cid, pld } => {
            started_head(cid, out);
            out.extend_from_slice(pld);
        }
        Msg::Return { cid, pld } => {
            return_head(cid, out);
            out.extend_from_slice(pld);
        }
        Msg::Start(start) => request::encode_start(start, out),
        Msg::Request { cid, uid, request } => {
            request::encode_request(cid, uid, request, features, out);
        }
        Msg::StartAck { cid, functype } => start_ack(cid, *functype, out),
        Msg::Stop { cid, sent } => {
            stop(cid, sent.filter(|_| features.has(Features::STOP_SEQ)), out);
        }
        Msg::Credit { cid, items, bytes } => credit(cid, *items, *bytes, out),
        Msg::CancelAck { cid, outcome } => cancel_ack(cid, *outcome, features, out),
        Msg::Error { cid, error } => self::error(cid.as_ref(), error, features, out),
        Msg::Aid(aid) => self::aid(aid, out),
        Msg::SpawnSpec(spec) => spawn_spec(spec, out),
        Msg::Ready { addrs } => {
            out.extend_from_slice(b"\x82\xa8msg_type\xa5Ready\xa5addrs");
            encode_addrs(addrs, out);
        }
        Msg::Goodbye { reason } => {
            out.extend_from_slice(b"\x82\xa8msg_type\xa7Goodbye\xa6reason");
            put_str(out, reason.as_str());
        }
    }
}

/// Appends a [`Msg::Yield`] but for its payload, which must follow.
#[inline]
pub fn encode_yield_head(cid: &Cid, out: &mut Vec<u8>) {
    out.extend_from_slice(YIELD);
    put_cid(out, cid);
    out.extend_from_slice(PLD);
}

/// Appends a message whose last field is a payload, but for the payload, which must follow: so that
/// a long one need not be copied. For [`Msg::Started`], [`Msg::Yield`] and [`Msg::Return`]; other
/// messages have no such head, and nothing is appended for them.
#[inline]
pub fn encode_head(msg: &Msg, out: &mut Vec<u8>) {
    match msg {
        Msg::Yield { cid, .. } => encode_yield_head(cid, out),
        Msg::Started { cid, .. } => started_head(cid, out),
        Msg::Return { cid, .. } => return_head(cid, out),
        _ => debug_assert!(false, "a head was asked of a message without a payload: {msg:?}"),
    }
}

/// Appends a [`Msg::Yields`] of no items; items may follow, as many as the four bytes say
/// (big-endian) that stand in `out` from the returned place on.
#[inline]
pub fn encode_yields_head(cid: &Cid, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(b"\x83\xa8msg_type\xa6Yields\xa3cid");
    put_cid(out, cid);
    out.extend_from_slice(b"\xa4plds\xdd\0\0\0\0");
    out.len() - 4
}

fn started_head(cid: &Cid, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x83\xa8msg_type\xa7Started\xa3cid");
    put_cid(out, cid);
    out.extend_from_slice(PLD);
}

fn return_head(cid: &Cid, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x83\xa8msg_type\xa6Return\xa3cid");
    put_cid(out, cid);
    out.extend_from_slice(PLD);
}

/// A dialog's name.
#[inline]
pub(super) fn put_cid(out: &mut Vec<u8>, cid: &Cid) {
    match cid {
        Cid::Num(n) => put_uint(out, *n),
        Cid::Text(text) => put_str(out, text.as_str()),
    }
}

/// A key and a text.
pub(super) fn put_text(out: &mut Vec<u8>, key: &str, text: &Text) {
    put_str(out, key);
    put_str(out, text.as_str());
}

/// A key, and a value or nil.
pub(super) fn put_optional<T>(
    out: &mut Vec<u8>,
    key: &str,
    value: Option<T>,
    put: impl FnOnce(&mut Vec<u8>, T),
) {
    put_str(out, key);
    match value {
        Some(value) => put(out, value),
        None => put_nil(out),
    }
}

fn start_ack(cid: &Cid, functype: FuncType, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x83\xa8msg_type\xa8StartAck\xa3cid");
    put_cid(out, cid);
    put_str(out, "functype");
    put_str(
        out,
        match functype {
            FuncType::Call => "asyncfunc",
            FuncType::Stream => "asyncgen",
            FuncType::Context => "context",
        },
    );
}

fn stop(cid: &Cid, sent: Option<u64>, out: &mut Vec<u8>) {
    put_map(out, 2 + usize::from(sent.is_some()));
    out.extend_from_slice(b"\xa8msg_type\xa4Stop\xa3cid");
    put_cid(out, cid);
    if let Some(sent) = sent {
        put_str(out, "sent");
        put_uint(out, sent);
    }
}

fn credit(cid: &Cid, items: u32, bytes: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x84\xa8msg_type\xa6Credit\xa3cid");
    put_cid(out, cid);
    put_str(out, "items");
    put_uint(out, u64::from(items));
    put_str(out, "bytes");
    put_uint(out, bytes);
}

fn cancel_ack(cid: &Cid, outcome: AckOutcome, features: Features, out: &mut Vec<u8>) {
    let typed = features.has(Features::TYPED_ACK);
    put_map(out, 3 + usize::from(typed));
    out.extend_from_slice(b"\xa8msg_type\xa9CancelAck\xa3cid");
    put_cid(out, cid);
    put_str(out, "pld");
    put_bool(out, outcome != AckOutcome::Refused);
    if typed {
        put_str(out, "outcome");
        put_str(
            out,
            match outcome {
                AckOutcome::Cancelling => "cancelling",
                AckOutcome::AlreadyDone => "already_done",
                AckOutcome::Refused => "refused",
            },
        );
    }
}

fn aid(aid: &Aid, out: &mut Vec<u8>) {
    put_map(out, 6 + usize::from(aid.ext.is_some()));
    out.extend_from_slice(b"\xa8msg_type\xa3Aid");
    put_text(out, "name", &aid.uid.name);
    put_text(out, "uuid", &aid.uid.uuid);
    put_optional(out, "pid", aid.pid, put_uint);
    put_optional(out, "is_registrar", aid.is_registrar, put_bool);
    put_str(out, "is_probe");
    put_bool(out, aid.is_probe);
    if let Some(ext) = aid.ext {
        put_str(out, "ext");
        put_map(out, 4 + usize::from(ext.token.is_some()));
        put_str(out, "v_min");
        put_uint(out, u64::from(ext.version_min));
        put_str(out, "v_max");
        put_uint(out, u64::from(ext.version_max));
        put_str(out, "features");
        put_uint(out, u64::from(ext.features.0));
        put_str(out, "build");
        put_uint(out, ext.build);
        if let Some(token) = ext.token {
            put_str(out, "token");
            put_bin(out, &token.0);
        }
    }
}

fn spawn_spec(spec: &SpawnSpec, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x86\xa8msg_type\xa9SpawnSpec");
    put_str(out, "_parent_main_data");
    out.extend_from_slice(&spec.parent_main_data);
    put_str(out, "_runtime_vars");
    out.extend_from_slice(&spec.runtime_vars);
    put_str(out, "enable_modules");
    put_map(out, spec.enable_modules.len());
    for (module, path) in &spec.enable_modules {
        put_text(out, module.as_str(), path);
    }
    put_str(out, "reg_addrs");
    encode_addrs(&spec.reg_addrs, out);
    put_optional(out, "bind_addrs", spec.bind_addrs.as_ref(), |out, addrs| {
        encode_addrs(addrs, out);
    });
}

fn error(cid: Option<&Cid>, error: &RemoteError, features: Features, out: &mut Vec<u8>) {
    let data = error.data.as_ref().filter(|_| features.has(Features::ERROR_DATA));
    let put_raw = |out: &mut Vec<u8>, raw: &bytes::Bytes| out.extend_from_slice(raw);
    let put_uid = |out: &mut Vec<u8>, uid: &Uid| encode_uid(uid, out);
    put_map(out, 12 + usize::from(data.is_some()));
    out.extend_from_slice(b"\xa8msg_type\xa5Error\xa7src_uid");
    encode_uid(&error.src, out);
    put_text(out, "src_type_str", &error.src_type);
    put_text(out, "boxed_type_str", &error.boxed_type);
    put_str(out, "relay_path");
    put_array(out, error.relay_path.len());
    for uid in &error.relay_path {
        encode_uid(uid, out);
    }
    let message = error.message.as_ref();
    put_optional(out, "message", message, |out, text| put_str(out, text.as_str()));
    put_text(out, "tb_str", &error.traceback);
    put_optional(out, "canceller", error.canceller.as_ref(), put_uid);
    put_optional(out, "sender", error.sender.as_ref(), put_uid);
    put_optional(out, "cid", cid, put_cid);
    put_optional(out, "_bad_msg", error.bad_msg.as_ref(), put_raw);
    put_optional(out, "_bad_msg_as_dict", error.bad_msg_as_dict.as_ref(), put_raw);
    if let Some(data) = data {
        put_str(out, "data");
        out.extend_from_slice(data);
    }
}
