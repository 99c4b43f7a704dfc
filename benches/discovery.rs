//! What a large registry costs: looking a name up among many, beside an empty call over the same
//! link; and a crowd that registers at once.
//!
//! ```text
//! cargo bench --bench discovery               10,000 records, 1,000 newcomers
//! cargo bench --bench discovery -- 2000 200   other numbers
//! ```
//!
//! This measures and never judges: it is no test, and does nothing when it is run as one.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use tractor::{Portal, Result, get_registry, module, query_actor, scope, unblock};
use tractor_core::msg::{Aid, Extension, Features, Msg, Request};
use tractor_core::wire::frame::put_frame;
use tractor_core::{Address, Cid, Text, Uid};

const CALLS: usize = 5_000;

#[tractor::rpc]
async fn nothing() {}

/// The middle of many, in this actor: how long it takes to look this name up, and to call nothing
/// at the root, over the same link.
#[tractor::rpc]
async fn measure(name: String) -> Result<(Duration, Duration)> {
    let root = tractor::current_actor()?.parent().expect("it is a child");
    for _ in 0..CALLS / 10 {
        query_actor(&name).await?;
        root.run(nothing {}).await?;
    }
    let (mut looks, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        let began = Instant::now();
        assert_eq!(query_actor(&name).await?.len(), 1);
        looks.push(began.elapsed());
        let began = Instant::now();
        root.run(nothing {}).await?;
        calls.push(began.elapsed());
    }
    looks.sort();
    calls.sort();
    Ok((looks[CALLS / 2], calls[CALLS / 2]))
}

fn send(socket: &mut UnixStream, msg: &Msg, features: Features) -> std::io::Result<()> {
    let mut frame = Vec::new();
    put_frame(&mut frame, |out| msg.encode(features, out));
    socket.write_all(&frame)
}

fn recv(socket: &mut UnixStream) -> std::io::Result<Msg> {
    let mut len = [0; 4];
    socket.read_exact(&mut len)?;
    let mut body = vec![0; u32::from_le_bytes(len) as usize];
    socket.read_exact(&mut body)?;
    Msg::decode(body.into()).map_err(std::io::Error::other)
}

/// An actor by hand: connected and registered. With leases its record lives as long as the socket.
fn register(registry: &str, n: usize, features: Features) -> std::io::Result<UnixStream> {
    let mut socket = UnixStream::connect(registry)?;
    let uuid = Text::from(format!("{n:08}-bench"));
    let uid = Uid { name: Text::from(format!("actor_{n}")), uuid };
    let ext = Extension { version_min: 1, version_max: 1, features, build: 0, token: None };
    let ext = (features != Features::BASE).then_some(ext);
    let pid = Some(n as u64 + 5_000_000);
    let aid = Aid { uid: uid.clone(), pid, is_registrar: Some(false), is_probe: false, ext };
    send(&mut socket, &Msg::Aid(aid), features)?;
    let addr = Address::Uds { dir: "/run/bench".into(), file: format!("{n}.sock") };
    let request = Request::Register { uid: uid.clone(), addr };
    send(&mut socket, &Msg::Request { cid: Cid::Num(1), uid, request }, features)?;
    Ok(socket)
}

/// Waits until the registrar has answered.
fn registered(socket: &mut UnixStream) -> std::io::Result<()> {
    while !matches!(recv(socket)?, Msg::Return { .. }) {}
    Ok(())
}

async fn figures(an: tractor::ActorNursery, records: usize, newcomers: usize) -> Result<()> {
    let registry = tractor::current_actor()?.addrs()[0].uds_path().unwrap_or_default();
    let asker: Portal = an.start_actor("asker").enable(module!()).await?;
    let report = |what: &str, (look, call): (Duration, Duration)| {
        let ratio = look.as_secs_f64() / call.as_secs_f64();
        println!("{what}: a look {look:.1?}, an empty call {call:.1?}, {ratio:.2} times that");
    };
    report("few records", asker.run(measure { name: "asker".into() }).await?);
    let path = registry.clone();
    unblock(move || {
        for n in 0..records {
            // Base peers close at once, and stay.
            registered(&mut register(&path, n, Features::BASE)?)?;
        }
        Ok::<_, std::io::Error>(())
    })
    .await??;
    let all = get_registry().await?.len();
    report(&format!("{all} records"), asker.run(measure { name: "asker".into() }).await?);
    let took = unblock(move || {
        let began = Instant::now();
        let each = |n| register(&registry, records + n, Features::ALL);
        let mut sockets = (0..newcomers).map(each).collect::<std::io::Result<Vec<_>>>()?;
        sockets.iter_mut().try_for_each(registered)?;
        Ok::<_, std::io::Error>(began.elapsed())
    })
    .await??;
    println!("{newcomers} actors have registered within {took:.1?}, each with a lease of its own");
    an.cancel().await
}

fn main() -> Result<()> {
    tractor::init();
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.iter().any(|arg| arg == "--test") || std::env::args().all(|arg| arg != "--bench") {
        return Ok(());
    }
    let number = |at: usize, usual| args.get(at).and_then(|n| n.parse().ok()).unwrap_or(usual);
    let (records, newcomers) = (number(0, 10_000), number(1, 1_000));
    let config = tractor::RootConfig::named("root").enable(module!());
    futures_lite::future::block_on(tractor::open_root_actor(config, async |_| {
        let tree = tractor::open_nursery(async |an| figures(an, records, newcomers).await);
        scope::fail_after(Duration::from_secs(300), tree).await?
    }))
}
