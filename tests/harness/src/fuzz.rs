//! The bodies of the fuzz targets. A plain `cargo test` smoke-runs them; `fuzz/` runs them for
//! long.

use bytes::Bytes;
use tractor_core::msg::{ErrorData, Features, Msg, RemoteError, Request};
use tractor_core::wire::frame::Deframer;

use crate::op::Opts;
use crate::world::World;
use crate::{inject, random};

/// Frames: whatever the pieces in which bytes come, the same bodies come out.
pub fn frame(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else { return };
    let whole = cut(data, usize::MAX);
    let pieces = cut(data, usize::from(size) + 1);
    assert_eq!(whole, pieces, "the pieces make no difference");
    let len: usize = whole.0.iter().map(|body| body.len() + 4).sum();
    assert!(len <= data.len(), "no more comes out than came in");
}

/// The bodies in `data`, read in pieces of this size, and whether it broke.
fn cut(mut data: &[u8], size: usize) -> (Vec<Bytes>, bool) {
    let mut deframer = Deframer::new(4096);
    let mut bodies = Vec::new();
    while !data.is_empty() {
        let buf = deframer.recv_buf();
        let len = buf.len().min(data.len()).min(size);
        buf[..len].copy_from_slice(&data[..len]);
        deframer.received(len);
        data = &data[len..];
        loop {
            match deframer.next() {
                Ok(Some(body)) => bodies.push(body),
                Ok(None) => break,
                Err(_) => return (bodies, true),
            }
        }
    }
    (bodies, false)
}

/// Messages: a body that can be read is written so that it reads the same.
pub fn msg(data: &[u8]) {
    let Ok(msg) = Msg::decode(Bytes::copy_from_slice(data)) else { return };
    // What did not fit is not kept, so it can't be written again.
    if matches!(&msg, Msg::Request { request: Request::BadArguments { .. }, .. }) {
        return;
    }
    let mut out = Vec::new();
    msg.encode(Features::ALL, &mut out);
    match Msg::decode(Bytes::from(out)) {
        Ok(again) => assert_eq!(msg, again, "what is written reads the same"),
        Err(e) => panic!("what was written can't be read: {e}: {msg:?}"),
    }
    if let Msg::Error { error: RemoteError { data: Some(data), .. }, .. } = msg {
        error_data(&data);
    }
}

/// What an error carries along is a peer's too: read, it is written so that it reads the same.
fn error_data(raw: &Bytes) {
    let Ok(data) = ErrorData::decode(raw) else { return };
    let mut out = Vec::new();
    data.encode(&mut out);
    let again = ErrorData::decode(&out.into());
    let (type_path, value) = data.type_path.clone().zip(data.value.clone()).unzip();
    assert_eq!(again, Ok(ErrorData { type_path, value, ..data }));
}

/// Bytes into a connection in various states. Whatever they do to it, another connection's dialog
/// goes on, and in the end nothing is left.
pub fn channel(data: &[u8]) {
    let Some((&mode, data)) = data.split_first() else { return };
    let setup = match mode % 4 {
        0 => "actor p\nactor x raw\nconnect x p",
        1 => "actor p\nactor x raw\nconnect x p\ninject x p aid\nrun",
        2 => "actor p registrar\nactor x raw\nconnect x p\ninject x p aid base\nrun",
        _ => "actor p\nnursery p n\nspawn p x\nforked x\ndeliver x p",
    };
    let mut world = World::after(setup);
    for line in ["actor r", "connect r p", "run", "start r.b p call", "run"] {
        must(&mut world, line);
    }
    if mode % 4 < 3 {
        let _ = world.step("start p.a x context");
    }
    let Ok(end) = world.end("p", "x") else { return };
    world.split = usize::from(mode / 4);
    world.ends[end].inbox.extend(data);
    world.run();
    end_all(&mut world);
    must(&mut world, "accept p.b call");
    must(&mut world, "finish p.b val=1");
    world.run();
    assert!(world.trace.iter().any(|line| line == "r b: done: returned 1"), "isolation");
}

fn must(world: &mut World, line: &str) {
    if let Err(e) = world.step(line) {
        panic!("{line}: {e}");
    }
}

/// Ends the tasks that the bytes may have started.
fn end_all(world: &mut World) {
    let tasks: Vec<String> = world.hosts[0]
        .tasks
        .values()
        .filter(|t| t.callee && t.label != "b")
        .map(|t| format!("cancelled p.{}", t.label))
        .collect();
    for line in tasks {
        // A label may hold blanks or come twice: then it is another's, or none.
        let _ = world.step(&line);
    }
}

/// Operations drawn from bytes, then rest: nothing may be left.
pub fn ops(data: &[u8]) {
    random::run_bytes(data);
}

/// Frames of every message there is, as seeds for mutation.
pub fn seeds() -> Vec<Vec<u8>> {
    let world = World::after("actor p\nactor x raw\nconnect x p\ninject x p aid\nrun");
    let kinds = [
        "aid",
        "spec",
        "ready",
        "goodbye",
        "start",
        "request",
        "cancelactor",
        "canceltask",
        "startack",
        "started",
        "yield",
        "yields",
        "stop",
        "credit",
        "return",
        "cancelack",
        "error",
        "actorerror",
        "garbage",
        "array",
        "empty",
        "cut",
        "unknown",
    ];
    let opts = Opts::from([("func".into(), "find_actor".into()), ("sent".into(), "3".into())]);
    let end = world.end("p", "x").unwrap_or_default();
    kinds.iter().filter_map(|kind| inject::bytes(&world, end, kind, &opts).ok()).collect()
}

/// A mutation: pieces of the seeds, with bytes flipped, cut and doubled.
pub fn mutated(source: &mut random::Source, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![source.below(256) as u8];
    for _ in 0..=source.below(5) {
        out.extend_from_slice(&seeds[source.below(seeds.len())]);
    }
    for _ in 0..source.below(4) {
        let at = source.below(out.len());
        match source.below(4) {
            0 => out[at] = source.below(256) as u8,
            1 => out[at] ^= 1 << source.below(8),
            2 => out.truncate(at + 1),
            _ => out.insert(at, source.below(256) as u8),
        }
    }
    out
}
