//! `Start` both ways: asking for a task of the application, or for something of the runtime.
//!
//! On the wire both are a `Start`; what is asked of the runtime itself has the namespace `self`
//! (`docs/protocol.md` §3.3). An unknown function or arguments that don't fit are a request too, so
//! that the asker can be told; arguments that we don't know are ignored.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::encode::{put_cid, put_optional, put_text};
use super::input::{Fields, required};
use super::values::{encode_addr, encode_tag, encode_uid, tag};
use crate::error::DecodeError;
use crate::id::{Cid, Text, Uid};
use crate::msg::{Features, Msg, RegistryTag, Request, Start};
use crate::wire::pack::{put_map, put_str, put_uint};

/// The namespace of the runtime's own functions.
const SELF: &str = "self";
/// The type of payload that is asked for; the reference reads it and ignores it.
const PLD_SPEC: &str = "typing.Any";

/// A `Start`, or the request that it stands for.
pub(super) fn start(mut fields: Fields<'_>) -> Result<Msg, DecodeError> {
    let (mut cid, mut ns, mut func, mut kwargs, mut uid) = (None, None, None, None, None);
    while let Some(key) = fields.key()? {
        match key {
            b"cid" => cid = Some(fields.cid()?),
            b"ns" => ns = Some(fields.text("ns")?),
            b"func" => func = Some(fields.text("func")?),
            b"kwargs" => kwargs = Some(fields.raw_map("kwargs")?),
            b"uid" => uid = Some(fields.uid("uid")?),
            b"pld_spec" => drop(fields.reader.str("pld_spec")?),
            _ => fields.skip(key)?,
        }
    }
    let (cid, ns, func) = (required(cid, "cid")?, required(ns, "ns")?, required(func, "func")?);
    let (kwargs, uid) = (required(kwargs, "kwargs")?, required(uid, "uid")?);
    if ns == SELF {
        return Ok(Msg::Request { cid, uid, request: request(func, &kwargs) });
    }
    Ok(Msg::Start(Start { cid, ns, func, kwargs, uid }))
}

/// What is asked of the runtime.
fn request(func: Text, kwargs: &Bytes) -> Request {
    // The map is well-formed: only types and absences can be wrong.
    let Ok(kwargs) = arguments(kwargs) else { return Request::BadArguments { func } };
    let Arguments { cid, uid, addr, name, budget, seen } = kwargs;
    let request = match func.as_str() {
        "cancel" => Some(Request::CancelActor { budget }),
        "_cancel_task" => cid.map(|target| Request::CancelTask { target }),
        "register_actor" => uid.zip(addr).map(|(uid, addr)| Request::Register { uid, addr }),
        "unregister_actor" => uid.map(|uid| Request::Unregister { uid }),
        "find_actor" => name.map(|name| Request::Find { name }),
        "wait_for_actor" => name.map(|name| Request::Wait { name }),
        "watch_actor" => name.map(|name| Request::Watch { name, seen }),
        "get_registry" => Some(Request::List),
        "delete_addr" => addr.map(|addr| Request::ReportDead { addr }),
        "raise_budget" => budget.map(|budget| Request::RaiseBudget { budget }),
        _ => return Request::Unknown { func },
    };
    request.unwrap_or(Request::BadArguments { func })
}

/// All arguments that any request has.
#[derive(Default)]
struct Arguments {
    cid: Option<Cid>,
    uid: Option<Uid>,
    addr: Option<crate::addr::Address>,
    name: Option<Text>,
    budget: Option<Duration>,
    seen: Option<RegistryTag>,
}

fn arguments(kwargs: &Bytes) -> Result<Arguments, DecodeError> {
    let mut fields = Fields::of_map(kwargs)?;
    let mut arguments = Arguments::default();
    while let Some(key) = fields.key()? {
        match key {
            b"cid" => arguments.cid = Some(fields.cid()?),
            b"uid" => arguments.uid = Some(fields.uid("uid")?),
            b"addr" => arguments.addr = Some(fields.addr("addr")?),
            b"name" => arguments.name = Some(fields.text("name")?),
            b"budget_ms" => {
                let budget = fields.optional(|fields| fields.reader.uint("budget_ms"))?;
                arguments.budget = budget.map(Duration::from_millis);
            }
            b"seen" => arguments.seen = fields.optional(|fields| tag(&mut fields.reader))?,
            _ => fields.skip(key)?,
        }
    }
    Ok(arguments)
}

/// Appends the body of a `Start`.
pub(super) fn encode_start(start: &Start, out: &mut Vec<u8>) {
    let Start { cid, ns, func, kwargs, uid } = start;
    put_start(cid, ns.as_str(), func.as_str(), uid, out, |out| out.extend_from_slice(kwargs));
}

/// Appends the body of the `Start` that a request is on the wire.
pub(super) fn encode_request(
    cid: &Cid,
    uid: &Uid,
    request: &Request,
    features: Features,
    out: &mut Vec<u8>,
) {
    let name = |name: &Text, out: &mut Vec<u8>| {
        put_map(out, 1);
        put_text(out, "name", name);
    };
    put_start(cid, SELF, func(request), uid, out, |out| match request {
        Request::CancelActor { budget: Some(budget) } if features.has(Features::BUDGET) => {
            put_budget(*budget, out);
        }
        Request::RaiseBudget { budget } => put_budget(*budget, out),
        Request::CancelTask { target } => {
            put_map(out, 1);
            put_str(out, "cid");
            put_cid(out, target);
        }
        Request::Register { uid, addr } => {
            put_map(out, 2);
            put_str(out, "uid");
            encode_uid(uid, out);
            put_str(out, "addr");
            encode_addr(addr, out);
        }
        Request::Unregister { uid } => {
            put_map(out, 1);
            put_str(out, "uid");
            encode_uid(uid, out);
        }
        Request::Find { name: of } | Request::Wait { name: of } => name(of, out),
        Request::Watch { name: of, seen } => {
            put_map(out, 2);
            put_text(out, "name", of);
            put_optional(out, "seen", seen.as_ref(), |out, seen| encode_tag(*seen, out));
        }
        Request::ReportDead { addr } => {
            put_map(out, 1);
            put_str(out, "addr");
            encode_addr(addr, out);
        }
        Request::CancelActor { .. }
        | Request::List
        | Request::Unknown { .. }
        | Request::BadArguments { .. } => put_map(out, 0),
    });
}

fn put_budget(budget: Duration, out: &mut Vec<u8>) {
    put_map(out, 1);
    put_str(out, "budget_ms");
    put_uint(out, u64::try_from(budget.as_millis()).unwrap_or(u64::MAX));
}

/// The name of a request.
fn func(request: &Request) -> &str {
    match request {
        Request::CancelActor { .. } => "cancel",
        Request::CancelTask { .. } => "_cancel_task",
        Request::Register { .. } => "register_actor",
        Request::Unregister { .. } => "unregister_actor",
        Request::Find { .. } => "find_actor",
        Request::Wait { .. } => "wait_for_actor",
        Request::Watch { .. } => "watch_actor",
        Request::List => "get_registry",
        Request::ReportDead { .. } => "delete_addr",
        Request::RaiseBudget { .. } => "raise_budget",
        Request::Unknown { func } | Request::BadArguments { func } => func.as_str(),
    }
}

fn put_start(
    cid: &Cid,
    ns: &str,
    func: &str,
    uid: &Uid,
    out: &mut Vec<u8>,
    put_kwargs: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(b"\x87\xa8msg_type\xa5Start\xa3cid");
    put_cid(out, cid);
    put_str(out, "ns");
    put_str(out, ns);
    put_str(out, "func");
    put_str(out, func);
    put_str(out, "kwargs");
    put_kwargs(out);
    put_str(out, "uid");
    encode_uid(uid, out);
    put_str(out, "pld_spec");
    put_str(out, PLD_SPEC);
}
