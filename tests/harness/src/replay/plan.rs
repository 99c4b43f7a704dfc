//! Who is who in a recording, and what each of its dialogs is.

use std::collections::BTreeMap;

use tractor_core::msg::FuncType;

use crate::recording::{Recorded, Recording, What};

/// One recorded actor.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name, not unique.
    pub name: String,
    /// Its id.
    pub uuid: String,
    /// Its process.
    pub pid: u64,
    /// What its handshake says of the registry.
    pub is_registrar: bool,
    /// It only asked "are you a registrar?".
    pub is_probe: bool,
    /// Who spawned it.
    pub parent: Option<usize>,
}

/// What a recorded connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Joins a parent and its child.
    Family {
        /// The parent.
        parent: usize,
        /// The child.
        child: usize,
    },
    /// Was opened by one actor to another.
    Peers {
        /// Who opened it.
        opener: usize,
        /// Who accepted it.
        other: usize,
    },
}

/// One recorded dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// The function, with a number from the second time on.
    pub label: String,
    /// What kind of function answered; a call when nothing did.
    pub func_type: FuncType,
    /// The runtime answers it, and no task.
    pub is_request: bool,
}

/// A step as one actor sees it.
#[derive(Clone, Copy, Debug)]
pub enum Mine<'a> {
    /// It wrote a frame.
    Says(&'a Recorded),
    /// A frame came.
    Hears(&'a Recorded),
    /// The process of a child of its began.
    Began {
        /// The child.
        child: usize,
    },
    /// The process of a child of its ended.
    Exited {
        /// The child.
        child: usize,
    },
    /// It closed a connection.
    Closed(&'a str),
    /// It found a connection at its end, or broken.
    Ended(&'a str, Option<&'a str>),
}

/// A recording, understood.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The recording.
    pub recording: &'a Recording,
    /// Its actors, as they appeared.
    pub actors: Vec<Identity>,
    /// Its connections.
    pub links: BTreeMap<&'a str, Link>,
    /// Its dialogs by name.
    pub dialogs: BTreeMap<&'a str, Dialog>,
    /// Who is at which end of a connection.
    ends: BTreeMap<(&'a str, &'a str), usize>,
}

impl<'a> Plan<'a> {
    /// Understands a recording.
    pub fn new(recording: &'a Recording) -> Plan<'a> {
        let mut plan = Plan {
            recording,
            actors: Vec::new(),
            links: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            ends: BTreeMap::new(),
        };
        for aid in recording.frames().filter(|frame| frame.tag() == "Aid") {
            plan.meet(aid);
        }
        let conns: Vec<&str> = recording.frames().map(|frame| frame.conn.as_str()).collect();
        for conn in conns {
            let link = plan.link(conn);
            plan.links.insert(conn, link);
        }
        for link in plan.links.values() {
            if let Link::Family { parent, child } = *link {
                plan.actors[child].parent = Some(parent);
            }
        }
        for start in recording.frames().filter(|frame| frame.tag() == "Start") {
            plan.begin(start);
        }
        plan
    }

    fn meet(&mut self, aid: &'a Recorded) {
        let uuid = aid.text("uuid").unwrap_or_default();
        let known = self.actors.iter().position(|actor| actor.uuid == uuid);
        self.ends.insert((&aid.conn, &aid.from), known.unwrap_or(self.actors.len()));
        if known.is_none() {
            self.actors.push(Identity {
                name: aid.from.clone(),
                uuid: uuid.into(),
                pid: aid.msg["pid"].as_u64().unwrap_or_default(),
                is_registrar: aid.msg["is_registrar"] == true,
                is_probe: aid.msg["is_probe"] == true,
                parent: None,
            });
        }
    }

    /// Instructions tell a child's link. Elsewhere the side that asks first is the one that opened
    /// it, and a probe is one that asks nothing.
    fn link(&self, conn: &str) -> Link {
        let on = || self.recording.frames().filter(move |frame| frame.conn == conn);
        let ends = |frame: &Recorded| (self.end(conn, &frame.from), self.end(conn, &frame.to));
        if let Some(spec) = on().find(|frame| frame.tag() == "SpawnSpec") {
            let (parent, child) = ends(spec);
            return Link::Family { parent, child };
        }
        let opened = on().find(|frame| frame.tag() == "Start");
        let opened = opened.or_else(|| on().find(|frame| frame.msg["is_probe"] == true));
        let first = on().next().expect("a connection has frames");
        let (opener, other) = ends(opened.unwrap_or(first));
        Link::Peers { opener, other }
    }

    fn begin(&mut self, start: &'a Recorded) {
        let (Some(cid), Some(func)) = (start.cid(), start.func()) else { return };
        let answers = || self.recording.frames().filter(|frame| frame.cid() == Some(cid));
        let func_type = match answers().find_map(|frame| frame.text("functype")) {
            Some("context") => FuncType::Context,
            Some("asyncgen") => FuncType::Stream,
            _ => FuncType::Call,
        };
        let same = |dialog: &&Dialog| dialog.label.split('#').next() == Some(func.as_str());
        let label = match self.dialogs.values().filter(same).count() {
            0 => func.clone(),
            before => format!("{func}#{}", before + 1),
        };
        let is_request = func.starts_with("self.");
        self.dialogs.insert(cid, Dialog { label, func_type, is_request });
    }

    /// Which actor an end of a connection is, by the name it has there.
    pub fn end(&self, conn: &str, name: &str) -> usize {
        let found = self.ends.get(&(conn, name)).copied();
        found.expect("each end of a connection introduced itself")
    }

    /// The other end of a connection.
    pub fn other(&self, conn: &str, me: usize) -> usize {
        match self.links[conn] {
            Link::Family { parent: a, child: b } | Link::Peers { opener: a, other: b } => {
                if a == me { b } else { a }
            }
        }
    }

    /// A step as this actor sees it, when it is about it.
    pub fn of(&self, me: usize, what: &'a What) -> Option<Mine<'a>> {
        match what {
            What::Frame(frame) if self.end(&frame.conn, &frame.from) == me => {
                Some(Mine::Says(frame))
            }
            What::Frame(frame) if self.end(&frame.conn, &frame.to) == me => {
                Some(Mine::Hears(frame))
            }
            What::Began { child: Some((_, uuid)), .. } => {
                self.child(me, |child| child.uuid == *uuid).map(|child| Mine::Began { child })
            }
            What::Exited { pid } => {
                self.child(me, |child| child.pid == *pid).map(|child| Mine::Exited { child })
            }
            What::Closed { conn, by } if self.end(conn, by) == me => Some(Mine::Closed(conn)),
            What::Ended { conn, by, why } if self.end(conn, by) == me => {
                Some(Mine::Ended(conn, why.as_deref()))
            }
            _ => None,
        }
    }

    fn child(&self, me: usize, is: impl Fn(&Identity) -> bool) -> Option<usize> {
        self.actors.iter().position(|actor| actor.parent == Some(me) && is(actor))
    }

    /// Whether the recorder saw this actor's process end. What was killed it did not see.
    pub fn ends_itself(&self, actor: usize) -> bool {
        let pid = self.actors[actor].pid;
        let is_end = |what: &What| matches!(what, What::Exited { pid: ended } if *ended == pid);
        self.recording.steps.iter().any(|step| is_end(&step.what))
    }

    /// The frames of this actor, on the wire.
    pub fn said_by(&self, me: usize) -> impl Iterator<Item = &'a Recorded> {
        let frames = self.recording.frames().filter(|frame| frame.sent);
        frames.filter(move |frame| self.end(&frame.conn, &frame.from) == me)
    }

    /// The frames of this actor in this dialog, behind the one with this number.
    pub fn said_later(&self, me: usize, cid: &str, seq: u64) -> impl Iterator<Item = &'a Recorded> {
        self.said_by(me).filter(move |f| f.cid() == Some(cid) && f.seq > seq)
    }

    /// Whether this dialog is one with a stream that this actor takes part in.
    pub fn streams(&self, cid: &str) -> bool {
        let mut on = self.recording.frames().filter(|frame| frame.cid() == Some(cid));
        on.any(|frame| matches!(frame.tag(), "Yield" | "Stop"))
    }

    /// The frame with this number.
    pub fn frame(&self, seq: u64) -> Option<&'a Recorded> {
        self.recording.frames().find(|frame| frame.seq == seq)
    }

    /// What a dialog is called.
    pub fn label(&self, cid: Option<&str>) -> &str {
        let dialog = cid.and_then(|cid| self.dialogs.get(cid));
        dialog.map_or("(actor)", |dialog| dialog.label.as_str())
    }
}
