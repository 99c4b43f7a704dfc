//! One recorded actor, played by a core of ours: the driver and the application around it, which do
//! what the recording says that they did.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use tractor_core::error::Misuse;
use tractor_core::msg::{Features, Msg, RemoteError};
use tractor_core::supervise::{self, ChildConfig, ExitStatus};
use tractor_core::{
    Actor, Address, ChildId, Config, ConnId, DialogId, Input, Instant, Life, NurseryId, Payload,
    Text,
};

use super::expect::{Difference, Names, decode, difference};
use super::plan::{Identity, Link, Plan};
use super::{Differs, Hints};
use crate::recording::Recorded;

/// A connection: of which core, and its name there.
pub(super) type At = (usize, ConnId);
/// A dialog: of which core, and its name there.
pub(super) type Id = (usize, DialogId);

/// One side of a dialog, as its task sees it.
#[derive(Debug)]
pub(super) struct Task {
    /// The dialog's recorded name.
    pub(super) cid: String,
    pub(super) label: String,
    pub(super) callee: bool,
    /// It was told to end.
    pub(super) told: bool,
    pub(super) over: bool,
    pub(super) stream: Stream,
}

/// Where a task is with its end of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Unopened,
    Open,
    Left,
}

/// A task that was asked for and that the core has not mentioned yet.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) at: At,
    pub(super) cid: String,
    pub(super) func: String,
}

/// A line of what the application saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Text(String),
    /// Items in a row, however they came in pieces.
    Items(String, usize),
}

#[derive(Debug)]
pub(super) struct Player<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) hints: &'a Hints,
    pub(super) differences: Rc<[Difference]>,
    pub(super) me: usize,
    pub(super) now: Instant,
    /// The actor; behind it those of the same name that came after its end.
    pub(super) cores: Vec<Actor>,
    pub(super) conns: BTreeMap<&'a str, At>,
    /// Connections whose transport is to be shut once all is written.
    pub(super) closing: BTreeSet<At>,
    pub(super) tasks: BTreeMap<Id, Task>,
    pub(super) by_cid: BTreeMap<String, Id>,
    pub(super) asked: Vec<Asked>,
    pub(super) children: BTreeMap<usize, ChildId>,
    nursery: Option<NurseryId>,
    /// The last error that a task of its got, which it may send on.
    pub(super) received: Option<RemoteError>,
    /// The number of the step under way.
    pub(super) seq: u64,
    /// The frames that were written, with their connections.
    pub(super) written: Vec<(&'a str, Vec<u8>)>,
    /// The connections that were shut.
    pub(super) shut: Vec<&'a str>,
    /// The numbers of the `Aid`s on connections that had to be opened by another core.
    pub(super) after_its_end: BTreeSet<u64>,
    pub(super) log: Vec<Line>,
}

impl<'a> Player<'a> {
    /// The actor `me` of the plan; `uuid` is the id it has here.
    pub(super) fn new(
        plan: &'a Plan<'a>,
        hints: &'a Hints,
        differences: Rc<[Difference]>,
        me: usize,
        uuid: &str,
        at: Duration,
    ) -> Player<'a> {
        let mut player = Player {
            plan,
            hints,
            differences,
            me,
            now: Instant::from_epoch(at),
            cores: Vec::new(),
            conns: BTreeMap::new(),
            closing: BTreeSet::new(),
            tasks: BTreeMap::new(),
            by_cid: BTreeMap::new(),
            asked: Vec::new(),
            children: BTreeMap::new(),
            nursery: None,
            received: None,
            seq: 0,
            written: Vec::new(),
            shut: Vec::new(),
            after_its_end: BTreeSet::new(),
            log: Vec::new(),
        };
        player.make_core(uuid);
        match player.who().parent {
            Some(_) => {
                let conn = player.cores[0].attach_parent(player.now);
                player.conns.insert(player.link_of(me), (0, conn));
            }
            None => {
                let addrs = player.addrs();
                player.cores[0].body_started();
                // It was just made: nothing can have ended it.
                let _ = player.cores[0].booted(player.now, addrs);
            }
        }
        player.settle();
        player
    }

    pub(super) fn who(&self) -> &'a Identity {
        &self.plan.actors[self.me]
    }

    fn make_core(&mut self, uuid: &str) -> usize {
        let who = self.who();
        let mut config = Config::new(who.name.as_str());
        config.uuid = Some(uuid.into());
        config.pid = who.pid;
        config.is_registrar = who.is_registrar;
        config.features = Features::BASE;
        config.base_pace = 0; // The reference asks nothing.
        // A seed of its own for each, so that no two draw the same names.
        let mut seed = [self.cores.len() as u8; 32];
        for (at, byte) in seed.iter_mut().zip(who.uuid.bytes()) {
            *at ^= byte;
        }
        self.cores.push(Actor::new(config, seed, self.now));
        self.cores.len() - 1
    }

    /// Where it listens, as far as its children were told.
    fn addrs(&self) -> Vec<Address> {
        let specs = self.plan.said_by(self.me).filter(|frame| frame.tag() == "SpawnSpec");
        let addrs = specs.filter_map(|frame| match decode(&frame.frame) {
            Ok(Msg::SpawnSpec(spec)) if self.who().is_registrar => Some(spec.reg_addrs),
            _ => None,
        });
        addrs.take(1).flatten().collect()
    }

    fn link_of(&self, child: usize) -> &'a str {
        let mut links = self.plan.links.iter();
        let link = links.find(|(_, l)| matches!(l, Link::Family { child: c, .. } if *c == child));
        link.expect("a child has a link to its parent").0
    }

    /// Lets the time pass, and what is due happen.
    pub(super) fn advance(&mut self, at: Duration) {
        let until = Instant::from_epoch(at).max(self.now);
        let due = |core: &Actor| core.next_deadline().map(|(at, _)| at).filter(|at| *at <= until);
        while let Some(at) = self.cores.iter().filter_map(due).min() {
            self.now = self.now.max(at);
            for core in &mut self.cores {
                core.handle_input(self.now, Input::Timeout);
            }
            self.settle();
        }
        self.now = until;
    }

    // Connections.

    /// The connection, made when it is new.
    pub(super) fn open(&mut self, conn: &'a str) -> Result<At, String> {
        if let Some(at) = self.conns.get(conn) {
            return Ok(*at);
        }
        let at = match self.plan.links[conn] {
            Link::Peers { opener, .. } if opener == self.me => self.connect(conn)?,
            Link::Peers { .. } => (0, self.cores[0].accepted(self.now).map_err(refused)?),
            Link::Family { .. } => return Err(format!("{conn}: a link before its process")),
        };
        self.conns.insert(conn, at);
        Ok(at)
    }

    fn connect(&mut self, conn: &'a str) -> Result<At, String> {
        let addr = Address::Uds { dir: "/run".into(), file: conn.into() };
        let mut core = 0;
        let mut made = self.cores[0].connect(self.now, addr.clone());
        if made == Err(Misuse::Closing) {
            let said = self.plan.said_by(self.me);
            let mut aids = said.filter(|frame| frame.conn == conn && frame.tag() == "Aid");
            self.after_its_end.extend(aids.next().map(|aid| aid.seq));
            let uuid = self.cores[0].uid().uuid.to_string();
            core = self.make_core(&uuid);
            made = self.cores[core].connect(self.now, addr);
        }
        Ok((core, made.map_err(refused)?))
    }

    /// Bytes came. They are read in these pieces.
    pub(super) fn hear(
        &mut self,
        conn: &'a str,
        bytes: &[u8],
        mut piece: impl FnMut() -> usize,
    ) -> Result<(), String> {
        let (core, id) = self.open(conn)?;
        let mut rest = bytes;
        while let Some(buf) = self.cores[core].recv_buf(id).filter(|_| !rest.is_empty()) {
            let len = buf.len().min(rest.len()).min(piece().max(1));
            buf[..len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            self.cores[core].handle_input(self.now, Input::Received { conn: id, len });
            self.settle();
        }
        Ok(())
    }

    /// Remembers which task a frame asks for: the core will mention it without its name.
    pub(super) fn expects(&mut self, frame: &'a Recorded) -> Result<(), String> {
        let (Some(cid), Some(func)) = (frame.cid(), frame.func()) else { return Ok(()) };
        if frame.tag() == "Start" && !self.plan.dialogs[cid].is_request {
            let at = self.open(&frame.conn)?;
            self.asked.push(Asked { at, cid: cid.into(), func });
        }
        Ok(())
    }

    /// The application closes a connection. A link has no such word: its transport fails.
    pub(super) fn closed(&mut self, conn: &str) -> Result<(), String> {
        let Some(&(core, id)) = self.conns.get(conn) else { return Ok(()) };
        let actor = &mut self.cores[core];
        if actor.is_known(id) && actor.close(self.now, id) == Err(Misuse::NotOpen) {
            self.lost(conn, Some("closed by its owner"));
        }
        self.settle();
        Ok(())
    }

    /// The transport of a connection is at its end.
    pub(super) fn lost(&mut self, conn: &str, why: Option<&str>) {
        let Some(&(core, id)) = self.conns.get(conn) else { return };
        let why = why.map(Text::from);
        self.cores[core].handle_input(self.now, Input::Disconnected { conn: id, why });
        self.settle();
        // A process that was killed could not tell the recorder.
        if let Link::Family { parent, child } = self.plan.links[conn]
            && parent == self.me
            && !self.plan.ends_itself(child)
        {
            self.reaped(child, ExitStatus::Signal(9));
        }
    }

    // Children.

    /// The process of a child begins: so it was asked for.
    pub(super) fn began(&mut self, child: usize, names: &mut Names) -> Result<(), String> {
        let who = &self.plan.actors[child];
        let conn = self.link_of(child);
        let said = self.plan.said_by(self.me);
        let mut specs = said.filter(|frame| frame.conn == conn && frame.tag() == "SpawnSpec");
        let spec = specs.next().map(|frame| decode(&frame.frame));
        let Some(Ok(Msg::SpawnSpec(spec))) = spec else {
            return Err(format!("{conn}: no instructions for {}", who.name));
        };
        let nursery = match self.nursery {
            Some(nursery) => nursery,
            None => self.cores[0].open_nursery(self.now, None).map_err(refused)?,
        };
        self.nursery = Some(nursery);
        let config = ChildConfig {
            name: who.name.clone(),
            isolated: false,
            budget: None,
            spec,
            link: supervise::Link::Handed,
        };
        let core = &mut self.cores[0];
        let (id, link) = core.spawn(self.now, nursery, config).map_err(refused)?;
        let uuid = core.child_uid(id).map(|uid| uid.uuid.to_string()).unwrap_or_default();
        names.bind(&who.uuid, &uuid)?;
        self.children.insert(child, id);
        self.conns.insert(conn, (0, link));
        core.handle_input(self.now, Input::Spawned { child: id, pid: who.pid as u32 });
        self.settle();
        Ok(())
    }

    /// The process of a child ended by itself.
    pub(super) fn exited(&mut self, child: usize) {
        let name = self.plan.actors[child].name.as_str();
        let dialog = self.plan.recording.name.as_str();
        let failed = self.hints.crashed.contains(&(dialog, name));
        self.reaped(child, ExitStatus::Code(failed.into()));
    }

    fn reaped(&mut self, child: usize, status: ExitStatus) {
        let Some(&id) = self.children.get(&child) else { return };
        self.cores[0].handle_input(self.now, Input::ChildExited { child: id, status });
        self.settle();
    }

    /// The nursery's block is done with its last child.
    pub(super) fn child_ended(&mut self, id: ChildId) {
        self.children.retain(|_, known| *known != id);
        if self.children.is_empty()
            && let Some(nursery) = self.nursery.take()
        {
            // It is open: it was not joined before.
            let _ = self.cores[0].join_nursery(self.now, nursery);
        }
    }

    // What was said.

    /// Does what makes our core write this frame. What a difference is about need not be possible.
    pub(super) fn say(&mut self, frame: &'a Recorded, names: &Names) -> Result<(), String> {
        let what = difference(&self.differences, frame.seq).map(|d| d.what);
        let done = self.command(frame, names).map_err(|e| format!("{}: {e}", frame.place));
        match what {
            Some(Differs::NotSent | Differs::CutShort | Differs::Instead(_)) => {}
            Some(Differs::FailsInstead(kind)) => {
                if done.is_ok() {
                    return Err(format!("{}: it was to be refused", frame.place));
                }
                self.fail_with(frame, kind)?;
            }
            Some(Differs::FailsBehind(kind)) => {
                done?;
                self.fail_with(frame, kind)?;
            }
            _ => done?,
        }
        self.settle();
        Ok(())
    }

    fn fail_with(&mut self, frame: &Recorded, kind: &'static str) -> Result<(), String> {
        let (core, id) = self.task(frame)?;
        let error = self.cores[core].own_error(kind, "");
        self.cores[core].fail(self.now, id, error);
        self.over((core, id));
        Ok(())
    }

    // The end.

    /// The recording is over: the actor is ended as its program would end it, and nothing of it may
    /// be left.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        self.say_line("(the recording ends)".into());
        self.seq = u64::MAX;
        for core in 0..self.cores.len() {
            self.end_core(core)?;
        }
        self.advance(self.now.since_epoch() + Duration::from_secs(60));
        for core in &self.cores {
            let left = core.census();
            if left != Default::default() || core.next_deadline().is_some() {
                let name = &self.who().name;
                return Err(format!("{name}: {left:?} and {:?} are left", core.next_deadline()));
            }
        }
        match self.tasks.values().find(|task| !task.over) {
            Some(task) => Err(format!("{}: {} has no outcome", self.who().name, task.label)),
            None => Ok(()),
        }
    }

    fn end_core(&mut self, core: usize) -> Result<(), String> {
        let callees: Vec<Id> =
            self.tasks.iter().filter(|(_, t)| t.callee && !t.over).map(|t| *t.0).collect();
        for id in callees.into_iter().filter(|id| id.0 == core) {
            self.cancelled(id);
        }
        let actor = &mut self.cores[core];
        if let Some(nursery) = self.nursery.take() {
            actor.join_nursery(self.now, nursery).map_err(refused)?;
        }
        match actor.parent() {
            Some(parent) if actor.life() != Life::Ended => {
                actor.handle_input(self.now, Input::Disconnected { conn: parent, why: None });
            }
            Some(_) => {}
            None => actor.body_ended(self.now),
        }
        self.settle();
        Ok(())
    }
}

pub(super) fn refused(misuse: impl std::fmt::Display) -> String {
    misuse.to_string()
}

/// A payload from a recorded frame.
pub(super) fn owned(pld: &bytes::Bytes) -> Payload<'static> {
    Payload::Owned(pld.clone())
}
