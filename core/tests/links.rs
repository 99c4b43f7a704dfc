//! A child that comes to its parent more than once (protocol §7.8).

use bytes::Bytes;
use tractor_core::msg::{Aid, Features, Msg, SpawnSpec};
use tractor_core::wire::frame::put_frame;
use tractor_core::{Actor, Config, ConnId, Effect, Event, Input, Instant, Output, Uid};

fn now() -> Instant {
    Instant::from_epoch(std::time::Duration::ZERO)
}

fn child() -> Actor {
    Actor::new(Config::new("child"), [7; 32], now())
}

/// What a base parent says first.
fn aid() -> Msg {
    let uid = Uid { name: "parent".into(), uuid: "0f".into() };
    Msg::Aid(Aid { uid, pid: Some(1), is_registrar: Some(false), is_probe: false, ext: None })
}

fn spec() -> Msg {
    let map = Bytes::from_static(&[0x80]);
    Msg::SpawnSpec(SpawnSpec {
        parent_main_data: map.clone(),
        runtime_vars: map,
        enable_modules: Vec::new(),
        reg_addrs: Vec::new(),
        bind_addrs: None,
    })
}

/// The outputs that follow from these messages.
fn hear(actor: &mut Actor, conn: ConnId, msgs: &[Msg]) -> Vec<Output> {
    let mut bytes = Vec::new();
    for msg in msgs {
        put_frame(&mut bytes, |out| msg.encode(Features::BASE, out));
    }
    let buf = actor.recv_buf(conn).expect("it is read");
    buf[..bytes.len()].copy_from_slice(&bytes);
    actor.handle_input(now(), Input::Received { conn, len: bytes.len() });
    outputs(actor)
}

fn outputs(actor: &mut Actor) -> Vec<Output> {
    std::iter::from_fn(|| actor.poll_output()).collect()
}

fn closes(outputs: &[Output], conn: ConnId) -> bool {
    let close = |o: &Output| matches!(o, Output::Effect(Effect::Close { conn: c }) if *c == conn);
    outputs.iter().any(close)
}

fn is_ending(outputs: &[Output]) -> bool {
    outputs.iter().any(|o| matches!(o, Output::Event(Event::Closing { .. })))
}

#[test]
fn the_link_is_the_one_that_the_instructions_come_on() {
    for told_on in [0, 1] {
        let mut actor = child();
        let conns = [actor.attach_parent(now()), actor.attach_parent(now())];
        hear(&mut actor, conns[0], &[aid()]);
        let outputs = hear(
            &mut actor,
            conns[told_on],
            &match told_on {
                0 => vec![spec()],
                _ => vec![aid(), spec()],
            },
        );
        assert_eq!(actor.parent(), Some(conns[told_on]));
        assert!(closes(&outputs, conns[1 - told_on]));
        assert!(!is_ending(&outputs) && !closes(&outputs, conns[told_on]));
    }
}

#[test]
fn the_parent_is_lost_with_the_last_of_them() {
    let mut actor = child();
    let conns = [actor.attach_parent(now()), actor.attach_parent(now())];
    actor.handle_input(now(), Input::Disconnected { conn: conns[1], why: None });
    assert!(!is_ending(&outputs(&mut actor)));
    assert_eq!(actor.parent(), Some(conns[0]));
    actor.handle_input(now(), Input::Disconnected { conn: conns[0], why: None });
    assert!(is_ending(&outputs(&mut actor)));
}
