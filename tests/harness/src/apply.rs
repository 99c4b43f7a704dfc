//! An op applied to a world: the core's command or fact behind it.

use std::collections::VecDeque;

use bytes::Bytes;
use tractor_core::msg::{Features, FuncType, RegistryTag, RemoteError, Request};
use tractor_core::supervise::{ChildConfig, ExitStatus, Link};
use tractor_core::{
    Actor, Address, Call, CancelPolicy, Config, ConnId, DialogId, EndReason, Input, Payload, Text,
};

use crate::inject;
use crate::op::{Op, Opts, Side, parse_span};
use crate::show;
use crate::world::{Task, World};

/// The process of every child.
const PID: u32 = 100;

type Done = Result<(), String>;

/// What was seen of a name: `seen=<stamp>.<count>`.
fn seen(opts: &Opts) -> Result<Option<RegistryTag>, String> {
    let Some(seen) = opts.get("seen") else { return Ok(None) };
    let (stamp, count) = seen.split_once('.').ok_or("seen=stamp.count")?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| "bad number".to_string());
    Ok(Some(RegistryTag { stamp: number(stamp)?, count: number(count)? }))
}

/// A refusal as text: nothing has changed.
fn refused(e: impl std::fmt::Display) -> String {
    e.to_string()
}

/// A payload of about this many bytes, or a small number.
fn payload(opts: &Opts) -> Result<Vec<u8>, String> {
    let number = |key: &str| {
        opts.get(key).map(|v| v.parse::<usize>().map_err(|_| format!("bad {key}"))).transpose()
    };
    match (number("len")?, number("val")?) {
        (Some(len), _) => {
            let mut out = vec![0xc6];
            out.extend_from_slice(&(len as u32).to_be_bytes());
            out.extend(vec![0; len]);
            Ok(out)
        }
        (None, val) => Ok(vec![val.map_or(0xc0, |v| (v % 128) as u8)]),
    }
}

impl World {
    /// Does it. What follows is in the trace.
    ///
    /// # Errors
    /// Why the core refused it, or what in the world is missing for it.
    pub fn apply(&mut self, op: &Op) -> Done {
        match op {
            Op::Run => self.run(),
            Op::Advance { by } => self.advance(*by),
            Op::Split { bytes } => self.split = *bytes,
            op => return self.apply_actor(op),
        }
        Ok(())
    }

    fn apply_actor(&mut self, op: &Op) -> Done {
        match op {
            Op::Actor { name, opts } => self.make_actor(name, opts),
            Op::Child { parent, name, opts } => self.make_child(parent, name, opts),
            Op::Nursery { at, name, opts } => self.open_nursery(at, name, opts),
            Op::Spawn { at, name, opts } => self.spawn(at, name, opts),
            Op::Forked { name } => self.forked(name),
            Op::Spawned { name } => self.spawned(name),
            Op::SpawnFailed { name } => self.spawn_failed(name),
            Op::Exited { name, status } => self.exited(name, *status),
            Op::Boot { at } => self.boot(at),
            Op::Crash { name } => {
                let host = self.host(name)?;
                self.crash(host);
                Ok(())
            }
            Op::Join { at, nursery } => {
                let (host, id) = self.nursery(at, nursery)?;
                self.command(host, |actor, now| actor.join_nursery(now, id).map_err(refused))
            }
            Op::CancelNursery { at, nursery } => {
                let (host, id) = self.nursery(at, nursery)?;
                self.command(host, |actor, now| actor.cancel_nursery(now, id).map_err(refused))
            }
            Op::CancelChild { at, child } => {
                let (host, id) = self.child(at, child)?;
                self.command(host, |actor, now| actor.cancel_child(now, id).map_err(refused))
            }
            op => self.apply_life(op),
        }
    }

    fn apply_life(&mut self, op: &Op) -> Done {
        match op {
            Op::KillAll { at } => self.command_at(at, |actor, now| {
                actor.kill_all(now);
                Ok(())
            }),
            Op::BodyStarted { at } => self.command_at(at, |actor, _| {
                actor.body_started();
                Ok(())
            }),
            Op::BodyEnded { at } => self.command_at(at, |actor, now| {
                actor.body_ended(now);
                Ok(())
            }),
            Op::CancelSelf { at } => self.command_at(at, |actor, now| {
                actor.cancel_self(now, EndReason::Interrupted { signal: 2 }).map_err(refused)
            }),
            Op::Census { at } => self.census(at),
            Op::Stats { side } => self.stats(side),
            Op::Deadline { at } => self.deadline(at),
            op => self.apply_wire(op),
        }
    }

    fn apply_wire(&mut self, op: &Op) -> Done {
        match op {
            Op::Connect { at, to } => self.connect(at, to),
            Op::Probe { at, to } => {
                let (host, now) = (self.host(at)?, self.now);
                self.actor(host)?.probe(now, address(to)).map_err(refused)?;
                self.drain(host);
                Ok(())
            }
            Op::Dialled { at, to, opts } => self.dialled(at, to, opts),
            Op::Close { at, to } => {
                let (host, conn) = self.conn(at, to)?;
                self.command(host, |actor, now| actor.close(now, conn).map_err(refused))
            }
            Op::CancelPeer { at, to } => {
                let (host, conn) = self.conn(at, to)?;
                self.command(host, |actor, now| actor.cancel_peer(now, conn).map_err(refused))
            }
            Op::Inject { at, to, what, opts } => {
                let end = self.end(to, at)?;
                let bytes = inject::bytes(self, end, what, opts)?;
                self.ends[end].inbox.extend(bytes);
                Ok(())
            }
            Op::Eof { at, to, why } => {
                let end = self.end(at, to)?;
                let (host, conn) = (self.ends[end].host, self.ends[end].conn);
                self.shut(end);
                let why = why.as_deref().filter(|w| !w.is_empty()).map(Text::from);
                self.fact(host, Input::Disconnected { conn, why });
                Ok(())
            }
            Op::Stall { at, to, on } => {
                let end = self.end(at, to)?;
                self.ends[end].stalled = *on;
                Ok(())
            }
            Op::Flush { at, to, bytes } => {
                let end = self.end(at, to)?;
                self.write(end, *bytes);
                Ok(())
            }
            Op::Deliver { at, to, bytes } => {
                let end = self.end(to, at)?;
                self.write(end ^ 1, usize::MAX);
                self.read(end, *bytes);
                Ok(())
            }
            op => self.apply_dialog(op),
        }
    }

    fn apply_dialog(&mut self, op: &Op) -> Done {
        match op {
            Op::Start { side, to, func, opts } => self.start(side, to, *func, opts),
            Op::Request { side, to, what, opts } => self.request(side, to, what, opts),
            Op::Send { side, opts } => self.send(side, opts),
            Op::Read { side, items } => self.consume(side, *items),
            Op::Accept { side, func } => {
                self.on(side, |actor, now, id| actor.accept(now, id, *func).map_err(refused))
            }
            Op::Started { side, opts } => {
                let pld = payload(opts)?;
                let pld = Payload::from(pld.as_slice());
                self.on(side, |actor, now, id| actor.started(now, id, pld).map_err(refused))
            }
            Op::Open { side, policy } => {
                self.on(side, |actor, now, id| actor.open_stream(now, id, *policy).map_err(refused))
            }
            Op::CloseReceiver { side } => self.on(side, |actor, now, id| {
                actor.close_receiver(now, id);
                Ok(())
            }),
            Op::Stop { side } => {
                self.on(side, |actor, now, id| actor.stop(now, id).map_err(refused))
            }
            Op::Cancel { side } => {
                self.on(side, |actor, now, id| actor.cancel(now, id).map_err(refused))
            }
            Op::Main { side, child } => {
                let (_, child) = self.child(&side.at, child)?;
                self.on(side, |actor, _, id| actor.set_main(child, id).map_err(refused))
            }
            op => self.apply_end(op),
        }
    }

    fn apply_end(&mut self, op: &Op) -> Done {
        match op {
            Op::Finish { side, opts } => {
                let pld = Bytes::from(payload(opts)?);
                self.on(side, |actor, now, id| {
                    actor.finish(now, id, Payload::Owned(pld)).map_err(refused)
                })?;
                self.task_over(side)
            }
            Op::Fail { side, kind, opts } => {
                let error = self.failure(side, kind, opts)?;
                self.task_over(side)?;
                self.on(side, |actor, now, id| {
                    actor.fail(now, id, error);
                    Ok(())
                })
            }
            Op::Cancelled { side } => {
                self.task_over(side)?;
                self.on(side, |actor, now, id| {
                    actor.cancelled(now, id);
                    Ok(())
                })
            }
            Op::Abandon { side } => {
                self.on(side, |actor, now, id| {
                    actor.abandon(now, id);
                    Ok(())
                })?;
                self.task_over(side)
            }
            _ => Ok(()),
        }
    }

    // Helpers: who is meant.

    fn command(
        &mut self,
        host: usize,
        run: impl FnOnce(&mut Actor, tractor_core::Instant) -> Done,
    ) -> Done {
        let now = self.now;
        let result = run(self.actor(host)?, now);
        self.drain(host);
        result
    }

    fn command_at(
        &mut self,
        at: &str,
        run: impl FnOnce(&mut Actor, tractor_core::Instant) -> Done,
    ) -> Done {
        let host = self.host(at)?;
        self.command(host, run)
    }

    fn on(
        &mut self,
        side: &Side,
        run: impl FnOnce(&mut Actor, tractor_core::Instant, DialogId) -> Done,
    ) -> Done {
        let host = self.host(&side.at)?;
        let id = self.dialog(side)?;
        self.command(host, |actor, now| run(actor, now, id))
    }

    fn dialog(&self, side: &Side) -> Result<DialogId, String> {
        let host = &self.hosts[self.host(&side.at)?];
        host.labels.get(&side.label).copied().ok_or(format!("no dialog {side}"))
    }

    fn conn(&self, at: &str, to: &str) -> Result<(usize, ConnId), String> {
        let end = &self.ends[self.end(at, to)?];
        Ok((end.host, end.conn))
    }

    fn nursery(&self, at: &str, name: &str) -> Result<(usize, tractor_core::NurseryId), String> {
        let host = self.host(at)?;
        let found = self.hosts[host].nurseries.iter().find(|(_, n)| *n == name);
        found.map(|(id, _)| (host, *id)).ok_or(format!("no nursery {name}"))
    }

    fn child(&self, at: &str, name: &str) -> Result<(usize, tractor_core::ChildId), String> {
        let host = self.host(at)?;
        let found = self.hosts[host].children.iter().find(|(_, n)| *n == name);
        found.map(|(id, _)| (host, *id)).ok_or(format!("no child {name}"))
    }

    /// What a task fails of: an error of its own, or that of another dialog of its actor.
    fn failure(&mut self, side: &Side, kind: &str, opts: &Opts) -> Result<RemoteError, String> {
        let at = self.host(&side.at)?;
        let us = self.actor(at)?.uid().clone();
        let Some(label) = opts.get("of") else {
            return Ok(inject::error(us, &Opts::from([("type".into(), kind.into())])));
        };
        let of = self.dialog(&Side { at: side.at.clone(), label: label.clone() })?;
        let error = self.hosts[at].tasks.get(&of).and_then(|task| task.error.clone());
        Ok(tractor_core::relayed(error.ok_or(format!("{label} has no error"))?, &us))
    }

    fn task_over(&mut self, side: &Side) -> Done {
        let (host, id) = (self.host(&side.at)?, self.dialog(side)?);
        if let Some(task) = self.hosts[host].tasks.get_mut(&id) {
            task.over = true;
        }
        Ok(())
    }

    // Actors.

    fn config(name: &str, opts: &Opts) -> Result<Config, String> {
        let mut config = Config::new(name);
        for (key, value) in opts {
            let number = || value.parse::<usize>().map_err(|_| format!("bad {key}"));
            match key.as_str() {
                // The reference asks nobody how far it is.
                "base" => (config.features, config.base_pace) = (Features::BASE, 0),
                "features" => config.features = Features(number()? as u32),
                "registrar" => config.is_registrar = true,
                "parentonly" => config.cancel_policy = CancelPolicy::ParentOnly,
                "strays" => config.strays_max = number()? as u32,
                "frame" => config.frame_len_max = number()?,
                "unread" => config.unread_bytes_max = number()?,
                "answers" => config.answers_bytes_max = number()?,
                "backlog" => config.backlog_bytes_max = number()?,
                "lane" => config.lane_bytes_max = number()?,
                "pace" => config.base_pace = number()? as u32,
                "window" => config.window_bytes = number()? as u64,
                "conns" => config.conns_max = number()?,
                "halfopen" => config.half_open_max = number()?,
                "dialogs" => config.dialogs_max = number()?,
                "queued" => config.queued_starts_max = number()?,
                "waiters" => config.waiters_max = number()?,
                "records" => config.registry_max = number()?,
                "isolated" | "budget" | "in" | "raw" | "back" | "announced" | "pid" => {}
                _ => return Err(format!("no setting `{key}`")),
            }
        }
        Ok(config)
    }

    /// Seeds differ by name, so that uids do.
    fn seed(name: &str) -> [u8; 32] {
        let mut seed = [7; 32];
        for (byte, letter) in seed.iter_mut().zip(name.bytes()) {
            *byte = letter;
        }
        seed
    }

    fn make_actor(&mut self, name: &str, opts: &Opts) -> Done {
        if opts.contains_key("raw") {
            self.opts.insert(name.into(), opts.clone());
            self.add_host(name, None);
            return Ok(());
        }
        let actor = Actor::new(World::config(name, opts)?, World::seed(name), self.now);
        let host = self.add_host(name, Some(actor));
        self.command(host, |actor, now| {
            actor.enable("app");
            actor.body_started();
            actor.booted(now, vec![address(name)]).map_err(refused)
        })
    }

    fn open_nursery(&mut self, at: &str, name: &str, opts: &Opts) -> Done {
        let host = self.host(at)?;
        let budget = opts.get("budget").map(|v| parse_span(v)).transpose()?;
        let now = self.now;
        let id = self.actor(host)?.open_nursery(now, budget).map_err(refused)?;
        self.hosts[host].nurseries.insert(id, name.into());
        Ok(())
    }

    fn spawn(&mut self, at: &str, name: &str, opts: &Opts) -> Done {
        let nursery = opts.get("in").map_or("n", String::as_str);
        let (host, nursery) = self.nursery(at, nursery)?;
        let config = ChildConfig {
            name: name.into(),
            isolated: opts.contains_key("isolated"),
            budget: opts.get("budget").map(|v| parse_span(v)).transpose()?,
            spec: inject::spec(),
            link: match (opts.contains_key("back"), opts.contains_key("announced")) {
                (true, _) => Link::ConnectBack(inject::TOKEN),
                (_, true) => Link::Announced,
                _ => Link::Handed,
            },
        };
        World::config(name, opts)?;
        let now = self.now;
        let (child, _) = self.actor(host)?.spawn(now, nursery, config).map_err(refused)?;
        self.hosts[host].children.insert(child, name.into());
        self.opts.insert(name.into(), opts.clone());
        self.drain(host);
        Ok(())
    }

    /// Whose child it is, and as which.
    fn parent_of(&self, name: &str) -> Result<(usize, tractor_core::ChildId), String> {
        let all = self.hosts.iter().enumerate();
        let mut found = all.flat_map(|(i, h)| h.children.iter().map(move |c| (i, c)));
        let found = found.find(|(_, (_, n))| *n == name);
        found.map(|(i, (id, _))| (i, *id)).ok_or(format!("no child {name}"))
    }

    /// The process runs, and its link is there; the news of it is another thing.
    fn forked(&mut self, name: &str) -> Done {
        let (parent, child) = self.parent_of(name)?;
        let mut config = World::config(name, &self.opts[name])?;
        let actor = self.actor(parent)?;
        if let Some(uid) = actor.child_uid(child) {
            config.uuid = Some(uid.uuid.to_string());
        }
        let (back, now) = (self.opts[name].contains_key("back"), self.now);
        config.token = back.then_some(inject::TOKEN);
        let announced = self.opts[name].contains_key("announced");
        let actor = self.actor(parent)?;
        let link = match back || announced {
            true => Some(actor.accepted_from(now, announced.then_some(PID)).map_err(refused)?),
            false => actor.child_conn(child),
        };
        let mut actor = Actor::new(config, World::seed(name), self.now);
        let conn = actor.attach_parent(self.now);
        let host = self.add_host(name, Some(actor));
        self.hosts[host].parent = Some((parent, child));
        if let Some(link) = link {
            self.link((parent, link), (host, conn));
        }
        Ok(())
    }

    fn spawned(&mut self, name: &str) -> Done {
        if self.host(name).is_err() {
            self.forked(name)?;
        }
        let (parent, child) = self.parent_of(name)?;
        self.fact(parent, Input::Spawned { child, pid: PID });
        Ok(())
    }

    fn spawn_failed(&mut self, name: &str) -> Done {
        let (parent, child) = self.parent_of(name)?;
        self.fact(parent, Input::SpawnFailed { child, why: "no such program".into() });
        Ok(())
    }

    fn exited(&mut self, name: &str, status: ExitStatus) -> Done {
        let (parent, child) = self.parent_of(name)?;
        self.fact(parent, Input::ChildExited { child, status });
        Ok(())
    }

    fn boot(&mut self, at: &str) -> Done {
        self.command_at(at, |actor, now| {
            actor.enable("app");
            actor.booted(now, vec![address(at)]).map_err(refused)
        })
    }

    /// Spawns a child and lets it come up.
    fn make_child(&mut self, parent: &str, name: &str, opts: &Opts) -> Done {
        let nursery = opts.get("in").map_or("n", String::as_str);
        if self.nursery(parent, nursery).is_err() {
            self.open_nursery(parent, nursery, &Opts::new())?;
        }
        self.spawn(parent, name, opts)?;
        self.spawned(name)?;
        self.run();
        self.boot(name)?;
        self.run();
        Ok(())
    }

    // Connections.

    fn connect(&mut self, at: &str, to: &str) -> Done {
        let (host, target) = (self.host(at)?, self.host(to)?);
        let now = self.now;
        if self.hosts[host].actor.is_none() {
            // A peer by hand: its side has no core.
            let pid = self.opts.get(at).and_then(|opts| opts.get("pid")?.parse().ok());
            let accepted = self.actor(target)?.accepted_from(now, pid).map_err(refused)?;
            let conn = ConnId::from_u64(1 << 40 | self.ends.len() as u64);
            self.link((host, conn), (target, accepted));
            return Ok(());
        }
        let conn = self.actor(host)?.connect(now, address(to)).map_err(refused)?;
        self.join_ends((host, conn), target);
        Ok(())
    }

    /// The oldest connection that `at` is making to `to` stands now, or fails.
    fn dialled(&mut self, at: &str, to: &str, opts: &Opts) -> Done {
        let (host, target) = (self.host(at)?, self.host(to)?);
        let addr = address(opts.get("addr").map_or(to, String::as_str));
        let dial = self.dials.iter().position(|(of, _, to)| *of == host && *to == addr);
        let (_, conn, _) = self.dials.remove(dial.ok_or("nothing is being dialled")?);
        self.join_ends((host, conn), target);
        Ok(())
    }

    fn join_ends(&mut self, (host, conn): (usize, ConnId), target: usize) {
        let now = self.now;
        let accepted = match self.actor(target) {
            Ok(actor) => actor.accepted(now).map_err(refused),
            Err(e) => Err(e),
        };
        match accepted {
            Ok(accepted) => {
                self.link((host, conn), (target, accepted));
                self.drain(host);
                self.drain(target);
                self.fact(host, Input::Connected { conn });
            }
            Err(why) => {
                self.drain(host);
                let why = Some(Text::from(why));
                self.fact(host, Input::Disconnected { conn, why });
            }
        }
        self.dials.retain(|(of, other, _)| (*of, *other) != (host, conn));
    }

    // Dialogs.

    fn add_task(&mut self, host: usize, label: &str, id: DialogId) {
        let label = label.to_string();
        let host = &mut self.hosts[host];
        host.labels.insert(label.clone(), id);
        let items = VecDeque::new();
        let (callee, over, told, error) = (false, false, false, None);
        host.tasks.insert(id, Task { label, callee, items, over, told, error });
    }

    fn start(&mut self, side: &Side, to: &str, func: FuncType, opts: &Opts) -> Done {
        let (host, conn) = self.conn(&side.at, to)?;
        let mut kwargs = vec![0x80];
        if opts.contains_key("len") {
            kwargs = vec![0x81, 0xa1, b'x'];
            kwargs.extend(payload(opts)?);
        }
        let ns = opts.get("ns").map_or("app", String::as_str);
        let call = Call { func_type: func, ns, func: &side.label, kwargs: &kwargs };
        let now = self.now;
        let id = self.actor(host)?.start(now, conn, &call).map_err(refused)?;
        self.add_task(host, &side.label, id);
        self.drain(host);
        Ok(())
    }

    fn request(&mut self, side: &Side, to: &str, what: &str, opts: &Opts) -> Done {
        let (host, conn) = self.conn(&side.at, to)?;
        let name = opts.get("name").map_or(side.at.as_str(), String::as_str);
        let uid = match self.host(name) {
            Ok(i) if self.hosts[i].actor.is_some() => self.actor(i)?.uid().clone(),
            _ => self.actor(host)?.uid().clone(),
        };
        let addr = address(opts.get("addr").map_or(name, String::as_str));
        let request = match what {
            "register" => Request::Register { uid, addr },
            "unregister" => Request::Unregister { uid },
            "find" => Request::Find { name: name.into() },
            "wait" => Request::Wait { name: name.into() },
            "list" => Request::List,
            "watch" => Request::Watch { name: name.into(), seen: seen(opts)? },
            "dead" => Request::ReportDead { addr },
            func => Request::Unknown { func: func.into() },
        };
        let now = self.now;
        let id = self.actor(host)?.request(now, conn, request).map_err(refused)?;
        self.add_task(host, &side.label, id);
        self.drain(host);
        Ok(())
    }

    fn send(&mut self, side: &Side, opts: &Opts) -> Done {
        let count: usize = opts.get("n").map_or(Ok(1), |n| n.parse()).map_err(|_| "bad n")?;
        let pld = Bytes::from(payload(opts)?);
        for sent in 0..count {
            let pld = Payload::Owned(pld.clone());
            self.on(side, |actor, now, id| {
                actor.send(now, id, pld).map_err(|e| match sent {
                    0 => e.to_string(),
                    _ => format!("{e}, after {sent}"),
                })
            })?;
        }
        Ok(())
    }

    fn consume(&mut self, side: &Side, items: u32) -> Done {
        let (host, id) = (self.host(&side.at)?, self.dialog(side)?);
        let task = self.hosts[host].tasks.get_mut(&id).ok_or("no task")?;
        let count = task.items.len().min(items as usize);
        let len: usize = task.items.drain(..count).sum();
        self.on(side, |actor, now, id| {
            actor.consumed(now, id, count as u32, len);
            Ok(())
        })
    }

    // Looking.

    fn census(&mut self, at: &str) -> Done {
        let host = self.host(at)?;
        let c = self.actor(host)?.census();
        self.say(format!(
            "{at} has {} tasks, {} dialogs, {} children, {} nurseries, {} connections",
            c.tasks, c.dialogs, c.children, c.nurseries, c.connections
        ));
        Ok(())
    }

    fn stats(&mut self, side: &Side) -> Done {
        let (host, id) = (self.host(&side.at)?, self.dialog(side)?);
        let stats = self.actor(host)?.stream_stats(id).ok_or("it has ended")?;
        let opened = if stats.peer_opened { "open" } else { "not open" };
        let credit = stats.credit.map_or("no credit".into(), |(n, b)| format!("credit {n}, {b}B"));
        self.say(format!(
            "{side} sent {}, received {}, {} unread, the peer is {opened}, {credit}",
            stats.sent, stats.received, stats.unread
        ));
        Ok(())
    }

    fn deadline(&mut self, at: &str) -> Done {
        let host = self.host(at)?;
        let line = match self.actor(host)?.next_deadline() {
            Some((time, timer)) => {
                format!("in {:?} {}", self.now.until(time), show::timer(&self.hosts[host], timer))
            }
            None => "none".into(),
        };
        self.say(format!("{at} {line}"));
        Ok(())
    }
}

/// Where an actor of this name listens.
fn address(name: &str) -> Address {
    Address::Uds { dir: "/run".into(), file: format!("{name}.sock") }
}
