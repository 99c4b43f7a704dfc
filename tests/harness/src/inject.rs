//! Messages that no actor of ours would send: put on the wire behind the core's back.

use bytes::Bytes;
use tractor_core::msg::{
    AckOutcome, Aid, Extension, Features, FuncType, Msg, RemoteError, Request, SpawnSpec, Start,
    Token,
};
use tractor_core::wire::frame::put_frame;
use tractor_core::{Cid, Uid};

use crate::op::Opts;
use crate::world::World;

/// The bytes of what is injected at the end `end`, as if its peer had sent them.
pub fn bytes(world: &World, end: usize, what: &str, opts: &Opts) -> Result<Vec<u8>, String> {
    let number = |key: &str| opts.get(key).and_then(|v| v.parse::<u32>().ok());
    Ok(match what {
        "garbage" => framed(&[0xc1]),
        "array" => framed(&[0x93, 1, 2, 3]),
        "empty" => vec![0; 4],
        "header" => number("len").ok_or("len=")?.to_le_bytes().to_vec(),
        "cut" => vec![40, 0, 0, 0, 0x83],
        "unknown" => framed(b"\x81\xa8msg_type\xa3Foo"),
        _ => {
            let mut out = Vec::new();
            let msg = message(world, end, what, opts)?;
            put_frame(&mut out, |out| msg.encode(Features::ALL, out));
            out
        }
    })
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, |out| out.extend_from_slice(body));
    out
}

/// Who the peer says it is, or another: anybody, or a child of who hears it.
fn uid(world: &World, end: usize, opts: &Opts) -> Uid {
    if let Some(uid) = opts.get("child").and_then(|name| child_uid(world, end, name)) {
        return uid;
    }
    if let Some(name) = opts.get("uid") {
        return Uid { name: name.as_str().into(), uuid: "00000000-raw".into() };
    }
    let host = &world.hosts[world.ends[end ^ 1].host];
    match &host.actor {
        Some(actor) => actor.uid().clone(),
        None => Uid { name: host.name.as_str().into(), uuid: "00000000-raw".into() },
    }
}

fn child_uid(world: &World, end: usize, name: &str) -> Option<Uid> {
    let host = &world.hosts[world.ends[end].host];
    let (id, _) = host.children.iter().find(|(_, known)| *known == name)?;
    host.actor.as_ref()?.child_uid(*id).cloned()
}

fn cid(world: &World, end: usize, opts: &Opts) -> Cid {
    let cancel = opts.get("cancelof").map(|label| format!("(_cancel_task {label})"));
    let label = cancel.as_ref().or(opts.get("cid")).map_or("99", String::as_str);
    let known = world.names.iter().find(|((link, _), name)| *link == end / 2 && *name == label);
    match (known, label.parse()) {
        (Some(((_, cid), _)), _) => cid.clone(),
        (None, Ok(n)) => Cid::Num(n),
        (None, Err(_)) => Cid::Text(label.into()),
    }
}

fn message(world: &World, end: usize, what: &str, opts: &Opts) -> Result<Msg, String> {
    let (cid, uid) = (cid(world, end, opts), uid(world, end, opts));
    let pld = Bytes::from_static(&[7]);
    let count = opts.get("n").and_then(|v| v.parse().ok()).unwrap_or(1);
    Ok(match what {
        "aid" => Msg::Aid(aid(uid, opts)),
        "spec" => Msg::SpawnSpec(spec()),
        "ready" => Msg::Ready { addrs: Vec::new() },
        "goodbye" => Msg::Goodbye { reason: "bye".into() },
        "start" => {
            let func = opts.get("func").map_or("raw", String::as_str).into();
            let kwargs = Bytes::from_static(&[0x80]);
            Msg::Start(Start { cid, ns: "app".into(), func, kwargs, uid })
        }
        "request" => {
            let func = opts.get("func").ok_or("func=")?.as_str().into();
            Msg::Request { cid, uid, request: Request::Unknown { func } }
        }
        "cancelactor" => Msg::Request { cid, uid, request: Request::CancelActor { budget: None } },
        "raisebudget" => {
            let budget = std::time::Duration::from_secs(9);
            Msg::Request { cid, uid, request: Request::RaiseBudget { budget } }
        }
        "canceltask" => {
            let target = cid;
            let own = opts.get("as").and_then(|v| v.parse().ok()).map_or(Cid::Num(97), Cid::Num);
            Msg::Request { cid: own, uid, request: Request::CancelTask { target } }
        }
        "startack" => {
            let is_call = opts.contains_key("call");
            let functype = if is_call { FuncType::Call } else { FuncType::Context };
            Msg::StartAck { cid, functype }
        }
        "started" => Msg::Started { cid, pld },
        "yield" => Msg::Yield { cid, pld },
        "yields" => Msg::Yields { cid, count, plds: vec![7; count as usize].into() },
        "stop" => Msg::Stop { cid, sent: opts.get("sent").and_then(|v| v.parse().ok()) },
        "credit" => Msg::Credit { cid, items: count, bytes: u64::from(count) * 64 },
        "return" => Msg::Return { cid, pld },
        "cancelack" => Msg::CancelAck { cid, outcome: AckOutcome::Cancelling },
        "error" => Msg::Error { cid: Some(cid), error: error(uid, opts) },
        "actorerror" => Msg::Error { cid: None, error: error(uid, opts) },
        _ => return Err(format!("nothing to inject is called `{what}`")),
    })
}

fn aid(uid: Uid, opts: &Opts) -> Aid {
    let version = opts.get("version").and_then(|v| v.parse().ok()).unwrap_or(1);
    let features = if opts.contains_key("base") { Features::BASE } else { Features::ALL };
    let token = opts.get("token").map(|text| Token([text.parse().unwrap_or_default(); 16]));
    let ext = Extension { version_min: version, version_max: version, features, build: 0, token };
    Aid {
        uid,
        pid: Some(opts.get("pid").and_then(|v| v.parse().ok()).unwrap_or(1)),
        is_registrar: None,
        is_probe: opts.contains_key("probe"),
        ext: (!opts.contains_key("base")).then_some(ext),
    }
}

/// Instructions without content.
pub fn spec() -> SpawnSpec {
    let map = Bytes::from_static(&[0x80]);
    SpawnSpec {
        parent_main_data: map.clone(),
        runtime_vars: map,
        enable_modules: Vec::new(),
        reg_addrs: Vec::new(),
        bind_addrs: None,
    }
}

/// An error of this type from this actor.
pub fn error(uid: Uid, opts: &Opts) -> RemoteError {
    let kind = opts.get("type").map_or("ValueError", String::as_str);
    RemoteError {
        src: uid.clone(),
        src_type: kind.into(),
        boxed_type: kind.into(),
        relay_path: vec![uid],
        message: Some("".into()),
        traceback: "".into(),
        canceller: None,
        sender: None,
        bad_msg: None,
        bad_msg_as_dict: None,
        data: None,
    }
}

/// What the children of scripts show when they connect back.
pub const TOKEN: Token = Token([9; 16]);
