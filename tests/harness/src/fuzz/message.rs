//! Messages: a body that can be read is written so that it reads the same. So are the values that
//! messages carry for the runtime.

use bytes::Bytes;
use tractor_core::msg::codec::{self, RuntimeVars};
use tractor_core::msg::{ErrorData, Features, Msg, RemoteError, Request};

/// A body, and a value.
pub fn run(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    value(&body);
    let Ok(msg) = Msg::decode(body) else { return };
    // What did not fit is not kept, so it can't be written again.
    if matches!(&msg, Msg::Request { request: Request::BadArguments { .. }, .. }) {
        return;
    }
    match Msg::decode(written(&msg, Features::ALL)) {
        Ok(again) => assert_eq!(msg, again, "what is written reads the same"),
        Err(e) => panic!("what was written can't be read: {e}: {msg:?}"),
    }
    let base = Msg::decode(written(&msg, Features::BASE));
    assert!(base.is_ok(), "nor for a base peer: {base:?}: {msg:?}");
    carried(&msg);
}

/// What reading a body may have allocated at a time for each of its bytes: an entry of two bytes
/// takes 96, in a vector that doubles.
const COST_OF_BYTE: usize = 100;
/// The same for a body of any length: what an error says.
const COST_OF_BODY: usize = 1 << 10;

/// Reads a body as anything that it may be; `peak` runs that, and says how much was allocated.
pub fn costs(data: &[u8], peak: impl FnOnce(&dyn Fn()) -> usize) {
    let body = Bytes::copy_from_slice(data);
    let cost = peak(&|| {
        drop(Msg::decode(body.clone()));
        drop(ErrorData::decode(&body));
        drop(RuntimeVars::decode(&body));
        drop(codec::decode_addrs(&body));
        drop(codec::decode_registry(&body));
        drop(codec::decode_records(&body));
    });
    let max = COST_OF_BODY + COST_OF_BYTE * data.len();
    assert!(cost <= max, "{cost} bytes for {}, and {max} are allowed", data.len());
}

fn written(msg: &Msg, features: Features) -> Bytes {
    let mut out = Vec::new();
    msg.encode(features, &mut out);
    out.into()
}

/// What a message carries.
fn carried(msg: &Msg) {
    match msg {
        Msg::Error { error: RemoteError { data: Some(data), .. }, .. } => error_data(data),
        Msg::SpawnSpec(spec) => runtime_vars(&spec.runtime_vars),
        Msg::Return { pld, .. } => value(pld),
        Msg::Yields { count, plds, .. } => {
            let items: Vec<Bytes> = codec::items(plds).collect();
            assert_eq!(items.len(), *count as usize, "as many items as it says");
            assert_eq!(items.concat(), plds[..], "and nothing but items");
        }
        _ => {}
    }
}

/// Bytes that may be any of the runtime's values.
fn value(raw: &Bytes) {
    error_data(raw);
    runtime_vars(raw);
    if let Ok(addrs) = codec::decode_addrs(raw) {
        let mut out = Vec::new();
        codec::encode_addrs(&addrs, &mut out);
        assert_eq!(codec::decode_addrs(&out), Ok(addrs));
    }
    if let Ok(entries) = codec::decode_registry(raw) {
        let mut out = Vec::new();
        let lent: Vec<_> = entries.iter().map(|(uid, addrs)| (uid, addrs.as_slice())).collect();
        codec::encode_registry(&lent, &mut out);
        assert_eq!(codec::decode_registry(&out.into()), Ok(entries));
    }
}

fn error_data(raw: &Bytes) {
    let Ok(data) = ErrorData::decode(raw) else { return };
    let mut out = Vec::new();
    data.encode(&mut out);
    let again = ErrorData::decode(&out.into());
    // One goes without the other never.
    let (type_path, value) = data.type_path.clone().zip(data.value.clone()).unzip();
    assert_eq!(again, Ok(ErrorData { type_path, value, ..data }));
}

fn runtime_vars(raw: &Bytes) {
    let Ok(vars) = RuntimeVars::decode(raw) else { return };
    let mut out = Vec::new();
    vars.encode(&mut out);
    assert_eq!(RuntimeVars::decode(&out.into()), Ok(vars));
}
