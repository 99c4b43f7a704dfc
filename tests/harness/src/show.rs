//! Outputs and messages as lines: names instead of keys, and nothing that changes from run to run.

use bytes::Bytes;
use tractor_core::msg::{Features, Msg, RemoteError, Request, codec};
use tractor_core::supervise::ChildEnd;
use tractor_core::{
    Batch, Cid, ConnId, DialogEvent, Effect, Event, NurseryEvent, Outcome, Output, Timer, Uid,
};

use crate::world::{Host, World};

/// What an actor decided.
pub fn output(world: &World, host: usize, output: &Output) -> String {
    let own = &world.hosts[host];
    match output {
        Output::Event(event) => self::event(world, own, event),
        Output::Effect(effect) => self::effect(world, own, effect),
        _ => format!("{output:?}"),
    }
}

/// Who is at the other end.
fn peer(world: &World, own: &Host, conn: ConnId) -> String {
    let end = own.conns.get(&conn).map(|end| world.ends[end ^ 1].host);
    match end {
        Some(host) => world.hosts[host].name.clone(),
        None => format!("#{conn}"),
    }
}

fn event(world: &World, own: &Host, event: &Event) -> String {
    match event {
        Event::Dialog(id, event) => {
            let label = own.tasks.get(id).map_or("?", |t| t.label.as_str());
            format!("{label}: {}", dialog_event(event))
        }
        Event::Nursery(id, event) => {
            let name = own.nurseries.get(id).map_or("?", String::as_str);
            format!("{name}: {}", nursery_event(own, event))
        }
        Event::Opened { conn, peer } => {
            let ext = peer.ext.map_or(Features::BASE, |e| e.features);
            let base = if ext == Features::BASE { " (base)" } else { "" };
            format!("opened {} as {}{base}", self::peer(world, own, *conn), peer.uid.name)
        }
        Event::Closed { conn, why } => {
            format!("closed {}: {why}", self::peer(world, own, *conn))
        }
        Event::Spec(_) => "has its instructions".into(),
        Event::CancelAcked { conn, acked } => {
            let how = if *acked { "agreed" } else { "did not agree" };
            format!("{} {how} to end", self::peer(world, own, *conn))
        }
        Event::Closing { why, budget } => format!("must end within {budget:?}: {why:?}"),
        Event::Ended { forced: false } => "has ended".into(),
        Event::Ended { forced: true } => "has ended by force".into(),
        Event::RegistryChanged => "registry changed".into(),
        Event::BudgetRaised { budget } => format!("has a child that takes {budget:?} to end"),
        Event::Probed { conn, found } => {
            format!("probed {}: {found:?}", peer(world, own, *conn)).to_lowercase()
        }
        _ => format!("{event:?}"),
    }
}

pub(crate) fn dialog_event(event: &DialogEvent) -> String {
    match event {
        DialogEvent::Started(pld) => format!("started with {}", payload(pld)),
        DialogEvent::Items(batch) => format!("items {}", items(batch)),
        DialogEvent::Dropped(n) => format!("drop the oldest {n}"),
        DialogEvent::Done(outcome) => format!("done: {}", self::outcome(outcome)),
        event => format!("{event:?}").to_lowercase(),
    }
}

/// An outcome in a line.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Returned(pld) => format!("returned {}", payload(pld)),
        Outcome::Errored { error, violation: None } => format!("errored, {}", self::error(error)),
        Outcome::Errored { violation: Some(v), .. } => format!("violation: {v}"),
        Outcome::Cancelled { error, by_us } => {
            let whose = if *by_us { "absorbed" } else { "not ours" };
            format!("cancelled ({whose}), {}", self::error(error))
        }
        Outcome::PeerLost { peer, child: None } => format!("lost {}", peer.name),
        Outcome::PeerLost { peer, child: Some(end) } => {
            format!("lost {}: {}", peer.name, child_end(end))
        }
    }
}

fn nursery_event(own: &Host, event: &NurseryEvent) -> String {
    let name = |child| own.children.get(child).map_or("?", String::as_str);
    match event {
        NurseryEvent::Ready { child } => format!("{} is ready", name(child)),
        NurseryEvent::Ended { child, end } => format!("{} ended: {}", name(child), child_end(end)),
        NurseryEvent::MainFailed { child, dialog } => {
            let label = own.tasks.get(dialog).map_or("?", |t| t.label.as_str());
            format!("{}'s one task {label} failed", name(child))
        }
        NurseryEvent::CancelBody => "cancel the body".into(),
        NurseryEvent::Closed => "closed".into(),
        _ => format!("{event:?}"),
    }
}

pub(crate) fn child_end(end: &ChildEnd) -> String {
    let status = end.status.map_or("no process".into(), |s| s.to_string());
    let asked = if end.asked { ", asked" } else { "" };
    let forced = end.forced.map(|signal| format!(", forced by {signal:?}").to_lowercase());
    let forced = forced.unwrap_or_default();
    let failed = if end.failed { ", FAILED" } else { "" };
    let error = end.error.as_ref().map(|e| format!(", {}", error(e))).unwrap_or_default();
    format!("{status}, was {}{asked}{forced}{failed}{error}", end.phase)
}

fn effect(world: &World, own: &Host, effect: &Effect) -> String {
    match effect {
        Effect::Connect { addr, .. } => format!("⇒ connect to {addr}"),
        Effect::Close { conn } => format!("⇒ close {}", peer(world, own, *conn)),
        Effect::Abort { conn } => format!("⇒ abort {}", peer(world, own, *conn)),
        Effect::StartTask { ns, func, .. } => format!("⇒ start task {ns}.{func}"),
        Effect::CancelTask { dialog } => {
            let label = own.tasks.get(dialog).map_or("?", |t| t.label.as_str());
            let by = own.actor.as_ref().and_then(|a| a.cancelled_by(*dialog));
            format!("⇒ cancel task {label} by {}", by.map_or("?", |uid| uid.name.as_str()))
        }
        Effect::Spawn { child, .. } => {
            let uid = own.actor.as_ref().and_then(|a| a.child_uid(*child));
            format!("⇒ spawn {}", uid.map_or("?", |uid| uid.name.as_str()))
        }
        Effect::Signal { child, signal } => {
            let name = own.children.get(child).map_or("?", String::as_str);
            format!("⇒ {} {name}", format!("{signal:?}").to_lowercase())
        }
        _ => format!("⇒ {effect:?}"),
    }
}

/// A deadline's reason.
pub fn timer(own: &Host, timer: Timer) -> String {
    let child = |id| own.children.get(&id).map_or("?", String::as_str);
    let task = |id| own.tasks.get(&id).map_or("?", |t| t.label.as_str());
    match timer {
        Timer::Handshake(_) => "timer: handshake".into(),
        Timer::Unread(_) => "timer: unread".into(),
        Timer::ActorAck(_) => "timer: actor's ack".into(),
        Timer::PeerOpen(id) => format!("timer: {} not opened by the peer", task(id)),
        Timer::TaskEnd(id) => format!("timer: end of task {}", task(id)),
        Timer::Boot(id) => format!("timer: boot of {}", child(id)),
        Timer::Ack(id) => format!("timer: ack of {}", child(id)),
        Timer::Kill(id) => format!("timer: kill {}", child(id)),
        Timer::Report(id) => format!("timer: report {}", child(id)),
        Timer::Reap(id) => format!("timer: reap {}", child(id)),
        Timer::LateAck => "timer: acknowledge late".into(),
        Timer::End => "timer: end".into(),
        _ => format!("timer: {timer:?}"),
    }
}

/// A payload: small numbers as such, nil, everything else by its length.
pub fn payload(pld: &[u8]) -> String {
    match pld {
        [0xc0] => "nil".into(),
        [n] if *n < 0x80 => n.to_string(),
        _ => format!("{}B", pld.len()),
    }
}

fn items(batch: &Batch) -> String {
    let all = batch.chunks.iter().flat_map(|chunk| match chunk.count {
        1 => vec![chunk.plds.clone()],
        _ => codec::items(&chunk.plds).collect::<Vec<Bytes>>(),
    });
    let all: Vec<String> = all.map(|item| payload(&item)).collect();
    match all.len() {
        0..=6 => all.join(" "),
        n => format!("{n}: {} .. {}", all[0], all[n - 1]),
    }
}

/// An error: its type, where from, and what is special about it.
pub fn error(error: &RemoteError) -> String {
    let mut line = error.boxed_type.to_string();
    if error.src_type != error.boxed_type.as_str() {
        line += &format!("[{}]", error.src_type);
    }
    let path: Vec<&str> = error.relay_path.iter().map(|uid| uid.name.as_str()).collect();
    line += &format!(" via {}", path.join(","));
    let who = |key: &str, uid: &Option<Uid>| {
        uid.as_ref().map(|uid| format!(" {key}={}", uid.name)).unwrap_or_default()
    };
    line + &who("canceller", &error.canceller) + &who("sender", &error.sender)
}

// Messages.

/// A message on its way to this end. Learns the names of dialogs by their `Start`.
pub fn message(world: &mut World, end: usize, msg: &Msg) -> String {
    let link = end / 2;
    match msg {
        Msg::Start(start) => {
            world.names.insert((link, start.cid.clone()), start.func.to_string());
            format!("Start {} {}.{}", start.func, start.ns, start.func)
        }
        Msg::Request { cid, request, .. } => {
            let text = self::request(world, link, request);
            let name = match request {
                Request::CancelTask { .. } | Request::CancelActor { .. } => {
                    text.split(" budget").next().unwrap_or_default().to_string()
                }
                _ => text.clone(),
            };
            world.names.insert((link, cid.clone()), format!("({name})"));
            format!("Start self.{text}")
        }
        msg => rest(world, link, msg),
    }
}

fn request(world: &World, link: usize, request: &Request) -> String {
    match request {
        Request::CancelActor { budget: None } => "cancel".into(),
        Request::CancelActor { budget: Some(budget) } => format!("cancel budget={budget:?}"),
        Request::CancelTask { target } => format!("_cancel_task {}", name(world, link, target)),
        Request::Register { uid, addr } => format!("register_actor {} {addr}", uid.name),
        Request::Unregister { uid } => format!("unregister_actor {}", uid.name),
        Request::Find { name } => format!("find_actor {name}"),
        Request::Wait { name } => format!("wait_for_actor {name}"),
        Request::List => "get_registry".into(),
        Request::Watch { name, seen: None } => format!("watch_actor {name}"),
        Request::Watch { name, seen: Some(seen) } => {
            format!("watch_actor {name} seen {}:{}", seen.stamp, seen.count)
        }
        Request::ReportDead { addr } => format!("delete_addr {addr}"),
        Request::RaiseBudget { budget } => format!("raise_budget {budget:?}"),
        Request::Unknown { func } => format!("{func} (unknown)"),
        Request::BadArguments { func } => format!("{func} (bad arguments)"),
    }
}

fn name(world: &World, link: usize, cid: &Cid) -> String {
    match (world.names.get(&(link, cid.clone())), cid) {
        (Some(name), _) => name.clone(),
        (None, Cid::Num(n)) => format!("#{n}"),
        (None, Cid::Text(_)) => "#text".into(),
    }
}

fn rest(world: &World, link: usize, msg: &Msg) -> String {
    let of = |cid: &Cid| name(world, link, cid);
    match msg {
        Msg::Aid(aid) if aid.is_probe => "Aid (probe)".into(),
        Msg::Aid(aid) => format!("Aid {}", aid.uid.name),
        Msg::SpawnSpec(_) => "SpawnSpec".into(),
        Msg::Ready { addrs } if addrs.is_empty() => "Ready".into(),
        Msg::Ready { addrs } => format!("Ready {}", addrs[0]),
        Msg::StartAck { cid, functype } => format!("StartAck {} {}", of(cid), functype.as_str()),
        Msg::Started { cid, pld } => format!("Started {} {}", of(cid), payload(pld)),
        Msg::Yield { cid, pld } => format!("Yield {} {}", of(cid), payload(pld)),
        Msg::Yields { cid, count, plds } => format!("Yields {} {count}: {}B", of(cid), plds.len()),
        Msg::Stop { cid, sent: None } => format!("Stop {}", of(cid)),
        Msg::Stop { cid, sent: Some(n) } => format!("Stop {} after {n}", of(cid)),
        Msg::Credit { cid, items, bytes } => format!("Credit {} {items}, {bytes}B", of(cid)),
        Msg::Return { cid, pld } => format!("Return {} {}", of(cid), payload(pld)),
        Msg::CancelAck { cid, outcome } => {
            format!("CancelAck {} {}", of(cid), format!("{outcome:?}").to_lowercase())
        }
        Msg::Error { cid, error } => {
            let of = cid.as_ref().map_or("(actor)".into(), of);
            format!("Error {of} {}", self::error(error))
        }
        Msg::Goodbye { .. } => "Goodbye".into(),
        Msg::Start(_) | Msg::Request { .. } => String::new(),
    }
}
