//! A world of actors: links that can be cut at any byte, fake processes, one clock.
//!
//! It is also a driver, in the small: it performs the cores' effects and tells them the facts.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tractor_core::msg::{Msg, RemoteError};
use tractor_core::{
    Actor, ChildId, Cid, ConnId, DialogEvent, DialogId, Effect, Event, Input, Instant,
    NurseryEvent, NurseryId, Outcome, Output, Signal,
};

use crate::show;

/// One side of a dialog, as its task sees it.
#[derive(Debug)]
pub struct Task {
    /// The dialog's label.
    pub label: String,
    /// Whether this side does the work.
    pub callee: bool,
    /// The lengths of the items that wait to be read.
    pub items: VecDeque<usize>,
    /// The outcome was told, or the callee's task has ended.
    pub over: bool,
    /// The task was told to end.
    pub told: bool,
    /// What it ended of, when that was told.
    pub error: Option<RemoteError>,
}

/// A machine's worth of an actor: the core, and what its driver and its tasks would keep.
#[derive(Debug)]
pub struct Host {
    /// How scripts call it.
    pub name: String,
    /// `None`: its process is gone, or it is a peer made by hand.
    pub actor: Option<Actor>,
    /// Its connections' ends.
    pub conns: BTreeMap<ConnId, usize>,
    /// Its sides of dialogs.
    pub tasks: BTreeMap<DialogId, Task>,
    /// The same by label.
    pub labels: BTreeMap<String, DialogId>,
    /// Its children, by the name they have here.
    pub children: BTreeMap<ChildId, String>,
    /// Its nurseries.
    pub nurseries: BTreeMap<NurseryId, String>,
    /// Whose child it is.
    pub parent: Option<(usize, ChildId)>,
    /// Whether its core said that it has ended.
    pub ended: bool,
}

/// One end of a link; the other end has the same index with the last bit flipped.
#[derive(Debug)]
pub struct End {
    /// Whose.
    pub host: usize,
    /// Its connection there.
    pub conn: ConnId,
    /// Bytes on their way here.
    pub inbox: VecDeque<u8>,
    /// What was read of the frame under way.
    partial: Vec<u8>,
    /// The socket is open.
    pub alive: bool,
    /// The other end was closed: after the inbox comes the end.
    pub fin: bool,
    /// To be closed once all is written.
    pub closing: bool,
    /// Writes to it block.
    pub stalled: bool,
}

/// The world.
#[derive(Debug, Default)]
pub struct World {
    /// The time.
    pub now: Instant,
    /// The actors.
    pub hosts: Vec<Host>,
    /// The ends of the links.
    pub ends: Vec<End>,
    /// Names of dialogs on the links, by link.
    pub names: BTreeMap<(usize, Cid), String>,
    /// What was seen since it was last taken.
    pub trace: Vec<String>,
    /// How many bytes are read at once; 0: a frame.
    pub split: usize,
    /// Settings of actors that are yet to be made.
    pub opts: BTreeMap<String, crate::op::Opts>,
    /// Connections that are being made: whose, which, and where to.
    pub dials: Vec<(usize, ConnId, tractor_core::Address)>,
    /// Signals that were asked for: whose child, which, and what.
    pub signals: Vec<(usize, ChildId, Signal)>,
    /// Whether dialogs, children and nurseries kept the rules so far.
    pub rules: crate::check::Rules,
}

impl World {
    /// An empty world.
    pub fn new() -> World {
        World::default()
    }

    /// The index of an actor.
    pub fn host(&self, name: &str) -> Result<usize, String> {
        self.hosts.iter().position(|h| h.name == name).ok_or(format!("no actor `{name}`"))
    }

    /// An actor that lives.
    pub fn actor(&mut self, host: usize) -> Result<&mut Actor, String> {
        let host = &mut self.hosts[host];
        host.actor.as_mut().ok_or(format!("`{}` does not live", host.name))
    }

    /// Adds an actor.
    pub fn add_host(&mut self, name: &str, actor: Option<Actor>) -> usize {
        self.hosts.push(Host {
            name: name.into(),
            actor,
            conns: BTreeMap::new(),
            tasks: BTreeMap::new(),
            labels: BTreeMap::new(),
            children: BTreeMap::new(),
            nurseries: BTreeMap::new(),
            parent: None,
            ended: false,
        });
        self.hosts.len() - 1
    }

    /// Links two connections.
    pub fn link(&mut self, a: (usize, ConnId), b: (usize, ConnId)) {
        for (host, conn) in [a, b] {
            self.hosts[host].conns.insert(conn, self.ends.len());
            self.ends.push(End {
                host,
                conn,
                inbox: VecDeque::new(),
                partial: Vec::new(),
                alive: true,
                fin: false,
                closing: false,
                stalled: false,
            });
        }
    }

    /// The latest link's end at `at` towards `to`.
    pub fn end(&self, at: &str, to: &str) -> Result<usize, String> {
        let (at, to) = (self.host(at)?, self.host(to)?);
        let found = (0..self.ends.len())
            .rev()
            .find(|&i| self.ends[i].host == at && self.ends[i ^ 1].host == to);
        found.ok_or("no such link".into())
    }

    /// Writes a line into the trace.
    pub fn say(&mut self, line: impl Into<String>) {
        self.trace.push(line.into());
    }

    /// Tells an actor a fact, and performs what it decides.
    pub fn fact(&mut self, host: usize, input: Input) {
        let now = self.now;
        if let Some(actor) = &mut self.hosts[host].actor {
            actor.handle_input(now, input);
        }
        self.drain(host);
    }

    /// Performs what an actor decided.
    pub fn drain(&mut self, host: usize) {
        while let Some(output) = self.hosts[host].actor.as_mut().and_then(Actor::poll_output) {
            self.label_task(host, &output);
            let line = show::output(self, host, &output);
            let name = &self.hosts[host].name;
            self.trace.push(format!("{name} {line}"));
            match output {
                Output::Event(event) => self.on_event(host, &event),
                Output::Effect(effect) => self.perform(host, &effect),
                _ => {}
            }
        }
    }

    /// A callee's side is called like the function.
    fn label_task(&mut self, host: usize, output: &Output) {
        let Output::Effect(Effect::StartTask { dialog, func, .. }) = output else { return };
        let task = Task {
            label: func.to_string(),
            callee: true,
            items: VecDeque::new(),
            over: false,
            told: false,
            error: None,
        };
        let host = &mut self.hosts[host];
        host.labels.insert(task.label.clone(), *dialog);
        assert!(host.tasks.insert(*dialog, task).is_none(), "a task is started once");
    }

    fn on_event(&mut self, host: usize, event: &Event) {
        self.rules.event(&self.hosts[host], event);
        let host = &mut self.hosts[host];
        match event {
            Event::Dialog(id, DialogEvent::Done(outcome)) => {
                if let Some(task) = host.tasks.get_mut(id).filter(|t| !t.callee) {
                    task.over = true;
                    task.error = match &**outcome {
                        Outcome::Errored { error, .. } | Outcome::Cancelled { error, .. } => {
                            Some(error.clone())
                        }
                        _ => None,
                    };
                }
            }
            Event::Dialog(id, DialogEvent::Items(batch)) => {
                let Some(task) = host.tasks.get_mut(id) else { return };
                for chunk in &batch.chunks {
                    match chunk.count {
                        1 => task.items.push_back(chunk.plds.len()),
                        _ => task.items.extend(
                            tractor_core::msg::codec::items(&chunk.plds).map(|item| item.len()),
                        ),
                    }
                }
            }
            Event::Dialog(id, DialogEvent::Dropped(n)) => {
                let Some(task) = host.tasks.get_mut(id) else { return };
                task.items.drain(..*n as usize);
            }
            Event::Nursery(_, NurseryEvent::Ended { child, .. }) => {
                self.rules.child_ended(&host.name, *child);
            }
            Event::Ended { .. } => host.ended = true,
            _ => {}
        }
    }

    fn perform(&mut self, host: usize, effect: &Effect) {
        self.rules.effect(&self.hosts[host], effect);
        match effect {
            Effect::Close { conn } => self.close_end(host, *conn),
            Effect::Abort { conn } => {
                if let Some(&end) = self.hosts[host].conns.get(conn) {
                    self.ends[end].alive = false;
                    self.ends[end ^ 1].fin = true;
                }
            }
            Effect::CancelTask { dialog } => {
                if let Some(task) = self.hosts[host].tasks.get_mut(dialog) {
                    task.told = true;
                }
            }
            Effect::Connect { conn, addr } => self.dials.push((host, *conn, addr.clone())),
            Effect::Signal { child, signal } => self.signals.push((host, *child, *signal)),
            // Connections, processes and signals are left to ops: that is what is tested.
            _ => {}
        }
    }

    fn close_end(&mut self, host: usize, conn: ConnId) {
        match self.hosts[host].conns.get(&conn) {
            Some(&end) if self.ends[end].alive => self.ends[end].closing = true,
            Some(_) => {}
            None => self.fact(host, Input::Disconnected { conn, why: None }),
        }
    }

    // The wire.

    /// Writes up to `max` bytes of what waits at this end. Whether anything went.
    pub fn write(&mut self, end: usize, max: usize) -> bool {
        let (host, conn) = (self.ends[end].host, self.ends[end].conn);
        if !self.ends[end].alive || self.ends[end].stalled {
            return false;
        }
        let now = self.now;
        let Some(actor) = &mut self.hosts[host].actor else { return false };
        let mut wrote = false;
        if let Some(mut out) = actor.take_outbox(conn) {
            let bytes = crate::front(&out, max);
            out.advance(bytes.len());
            actor.put_back(now, conn, out);
            wrote = !bytes.is_empty();
            if self.ends[end ^ 1].alive {
                self.ends[end ^ 1].inbox.extend(bytes);
            }
            self.drain(host);
        }
        wrote | self.finish_closing(end)
    }

    /// A closing end with nothing left to write is shut.
    fn finish_closing(&mut self, end: usize) -> bool {
        let End { host, conn, closing, alive, .. } = self.ends[end];
        let left = self.hosts[host].actor.as_ref().map_or(0, |a| a.outbox_len(conn));
        if !closing || !alive || left > 0 {
            return false;
        }
        self.shut(end);
        self.fact(host, Input::Disconnected { conn, why: None });
        true
    }

    /// The socket is gone at this end; the other one reads what is under way, and then the end.
    pub fn shut(&mut self, end: usize) {
        self.ends[end].alive = false;
        self.ends[end].inbox.clear();
        self.ends[end ^ 1].fin = true;
    }

    /// Reads up to `max` bytes at this end. Whether there was anything.
    pub fn read(&mut self, end: usize, max: usize) -> bool {
        if !self.ends[end].alive {
            return false;
        }
        let len = self.ends[end].inbox.len().min(max);
        if len == 0 {
            return self.read_end(end);
        }
        let inbox = &mut self.ends[end].inbox;
        let rest = inbox.split_off(len);
        let bytes = Vec::from(std::mem::replace(inbox, rest));
        let (host, conn) = (self.ends[end].host, self.ends[end].conn);
        self.see(end, &bytes);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let now = self.now;
            let Some(actor) = &mut self.hosts[host].actor else { break };
            let Some(buf) = actor.recv_buf(conn) else { break };
            let len = buf.len().min(rest.len());
            buf[..len].copy_from_slice(&rest[..len]);
            actor.handle_input(now, Input::Received { conn, len });
            rest = &rest[len..];
            self.drain(host);
        }
        true
    }

    fn read_end(&mut self, end: usize) -> bool {
        if !self.ends[end].fin {
            return false;
        }
        self.ends[end].alive = false;
        let (host, conn) = (self.ends[end].host, self.ends[end].conn);
        self.fact(host, Input::Disconnected { conn, why: None });
        true
    }

    /// Puts the frames that are whole now into the trace.
    fn see(&mut self, end: usize, bytes: &[u8]) {
        self.ends[end].partial.extend_from_slice(bytes);
        let from = self.hosts[self.ends[end ^ 1].host].name.clone();
        let to = self.hosts[self.ends[end].host].name.clone();
        while let Some(len) = frame_len(&self.ends[end].partial) {
            if self.ends[end].partial.len() < len {
                return;
            }
            let rest = self.ends[end].partial.split_off(len);
            let frame = std::mem::replace(&mut self.ends[end].partial, rest);
            let line = match Msg::decode(bytes::Bytes::from(frame).slice(4..)) {
                Ok(msg) => show::message(self, end, &msg),
                Err(e) => format!("({e})"),
            };
            self.trace.push(format!("{from} → {to} {line}"));
        }
    }

    /// How much makes the next frame at this end whole.
    fn next_chunk(&self, end: usize) -> usize {
        if self.split > 0 {
            return self.split;
        }
        let End { partial, inbox, .. } = &self.ends[end];
        let header: Vec<u8> = partial.iter().chain(inbox.iter()).take(4).copied().collect();
        frame_len(&header).map_or(usize::MAX, |len| len - partial.len())
    }

    /// Lets everything that is under way arrive, frame by frame, and all that follows from it.
    pub fn run(&mut self) {
        for _ in 0..1_000_000 {
            let mut any = false;
            for end in 0..self.ends.len() {
                any |= self.write(end, usize::MAX);
            }
            for end in 0..self.ends.len() {
                let chunk = self.next_chunk(end);
                any |= self.read(end, chunk);
            }
            if !any {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    // Time and processes.

    /// The earliest deadline and whose it is.
    pub fn next_deadline(&self) -> Option<(Instant, usize)> {
        let actors = self.hosts.iter().enumerate();
        let all = actors.filter_map(|(i, h)| Some((h.actor.as_ref()?.next_deadline()?.0, i)));
        all.min()
    }

    /// Lets time pass; deadlines fire when they are due.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some((at, host)) = self.next_deadline().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            let timer = self.hosts[host].actor.as_ref().and_then(Actor::next_deadline);
            if let Some((_, timer)) = timer {
                let line = show::timer(&self.hosts[host], timer);
                let (time, name) = (self.now.since_epoch(), &self.hosts[host].name);
                self.trace.push(format!("@{time:?} {name} {line}"));
            }
            self.fact(host, Input::Timeout);
        }
        self.now = self.now.max(until);
    }

    /// An actor's process is gone: the kernel closes its sockets.
    pub fn crash(&mut self, host: usize) {
        self.hosts[host].actor = None;
        for end in 0..self.ends.len() {
            if self.ends[end].host == host && self.ends[end].alive {
                self.shut(end);
            }
        }
    }
}

/// The length of the frame that begins here, with its prefix.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*prefix) as usize + 4)
}
