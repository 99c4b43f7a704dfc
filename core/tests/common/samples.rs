//! Messages of every kind.

use std::time::Duration;

use bytes::Bytes;
use rmpv::Value;
use tractor_core::msg::{
    AckOutcome, Aid, Extension, Features, FuncType, Msg, RegistryTag, RemoteError, Request,
    SpawnSpec, Start, Token,
};
use tractor_core::{Address, Cid, Text, Uid};

use super::unhex;

pub(crate) const CID: &str = "de383980-5874-4fc7-bc90-1d9289ff4992";

pub(crate) fn text(s: &str) -> Text {
    Text::from(s)
}

pub(crate) fn uid(name: &str) -> Uid {
    Uid { name: text(name), uuid: text("aa36a914-1155-44be-a503-21c2c5f1b215") }
}

pub(crate) fn raw(hex: &str) -> Bytes {
    unhex(hex).into()
}

pub(crate) fn tcp() -> Address {
    "/ip4/127.0.0.1/tcp/1616".parse().unwrap()
}

pub(crate) fn addrs() -> Vec<Address> {
    vec![
        tcp(),
        "/ip6/::1/tcp/65535".parse().unwrap(),
        "/unix/run/tractor/a@1.sock".parse().unwrap(),
    ]
}

pub(crate) fn plain_error() -> RemoteError {
    RemoteError {
        src: uid("child"),
        src_type: text("ValueError"),
        boxed_type: text("ValueError"),
        relay_path: vec![],
        message: None,
        traceback: text(""),
        canceller: None,
        sender: None,
        bad_msg: None,
        bad_msg_as_dict: None,
        data: None,
    }
}

pub(crate) fn full_error() -> RemoteError {
    RemoteError {
        relay_path: vec![uid("child"), uid("parent")],
        message: Some(text("schön")),
        traceback: text(&"line\n".repeat(100)),
        canceller: Some(uid("root")),
        sender: Some(uid("fast")),
        bad_msg: Some(raw("81 a1 61 01")),
        bad_msg_as_dict: Some(raw("80")),
        data: Some(raw("92 01 c0")),
        ..plain_error()
    }
}

pub(crate) fn aid(ext: Option<Extension>) -> Msg {
    Msg::Aid(Aid {
        uid: uid("a"),
        pid: Some(4_194_304),
        is_registrar: Some(false),
        is_probe: true,
        ext,
    })
}

pub(crate) fn requests() -> Vec<Request> {
    vec![
        Request::CancelActor { budget: None },
        Request::CancelActor { budget: Some(Duration::from_millis(2500)) },
        Request::CancelTask { target: Cid::Text(text(CID)) },
        Request::CancelTask { target: Cid::Num(300) },
        Request::Register { uid: uid("a"), addr: tcp() },
        Request::Unregister { uid: uid("a") },
        Request::Find { name: text("a") },
        Request::Wait { name: text("") },
        Request::List,
        Request::Watch { name: text("a"), seen: None },
        Request::Watch { name: text("a"), seen: Some(RegistryTag { stamp: 300, count: 2 }) },
        Request::ReportDead { addr: tcp() },
        Request::Unknown { func: text("__class__") },
        Request::BadArguments { func: text("find_actor") },
    ]
}

/// At least one of each variant of `Msg`, in all shapes of their optional fields.
pub(crate) fn samples() -> Vec<Msg> {
    let ext = Extension {
        version_min: 1,
        version_max: 70_000,
        features: Features::ALL,
        build: u64::MAX,
        token: None,
    };
    let spec = |modules: usize, bind_addrs| {
        Msg::SpawnSpec(SpawnSpec {
            parent_main_data: raw("80"),
            runtime_vars: raw("81 a1 78 93 01 02 03"),
            enable_modules: (0..modules).map(|n| (text(&format!("m{n}")), text("/p"))).collect(),
            reg_addrs: addrs(),
            bind_addrs,
        })
    };
    let mut samples = vec![
        aid(None),
        aid(Some(ext)),
        aid(Some(Extension { token: Some(Token([7; 16])), ..ext })),
        Msg::Aid(Aid { uid: uid(""), pid: None, is_registrar: None, is_probe: false, ext: None }),
        spec(0, None),
        spec(20, Some(vec![])),
        spec(1, Some(addrs())),
        Msg::Ready { addrs: addrs() },
        Msg::Ready { addrs: vec![] },
        Msg::Goodbye { reason: text("drained") },
    ];
    for cid in [Cid::Text(text(CID)), Cid::Text(text("")), Cid::Num(0), Cid::Num(u64::MAX)] {
        let pld = raw("c4 03 01 02 03");
        samples.extend([
            Msg::Start(Start {
                cid: cid.clone(),
                ns: text("app"),
                func: text("add"),
                kwargs: raw("81 a1 78 01"),
                uid: uid("root"),
            }),
            Msg::StartAck { cid: cid.clone(), functype: FuncType::Call },
            Msg::StartAck { cid: cid.clone(), functype: FuncType::Stream },
            Msg::StartAck { cid: cid.clone(), functype: FuncType::Context },
            Msg::Started { cid: cid.clone(), pld: raw("c0") },
            Msg::Yield { cid: cid.clone(), pld: pld.clone() },
            Msg::Yields { cid: cid.clone(), count: 3, plds: raw("01 a2 6869 92 c0 80") },
            Msg::Yields { cid: cid.clone(), count: 0, plds: Bytes::new() },
            Msg::Stop { cid: cid.clone(), sent: None },
            Msg::Stop { cid: cid.clone(), sent: Some(1 << 40) },
            Msg::Credit { cid: cid.clone(), items: u32::MAX, bytes: 1 << 20 },
            Msg::Return { cid: cid.clone(), pld },
            Msg::CancelAck { cid: cid.clone(), outcome: AckOutcome::Cancelling },
            Msg::CancelAck { cid: cid.clone(), outcome: AckOutcome::AlreadyDone },
            Msg::CancelAck { cid: cid.clone(), outcome: AckOutcome::Refused },
            Msg::Error { cid: Some(cid.clone()), error: plain_error() },
            Msg::Error { cid: Some(cid.clone()), error: full_error() },
        ]);
        samples.extend(requests().into_iter().map(|request| Msg::Request {
            cid: cid.clone(),
            uid: uid("root"),
            request,
        }));
    }
    samples.push(Msg::Error { cid: None, error: plain_error() });
    samples
}

pub(crate) fn encoded(msg: &Msg, features: Features) -> Bytes {
    let mut out = Vec::new();
    msg.encode(features, &mut out);
    out.into()
}

pub(crate) fn map(entries: &[(&str, Value)]) -> Bytes {
    let entries = entries.iter().map(|(k, v)| (Value::from(*k), v.clone())).collect();
    pack(&Value::Map(entries))
}

pub(crate) fn pack(value: &Value) -> Bytes {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).unwrap();
    out.into()
}
