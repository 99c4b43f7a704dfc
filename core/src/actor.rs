//! One actor: owns the tables and routes between them. No rule of the protocol is decided here.
//!
//! | file | what of the actor |
//! |---|---|
//! | here | construction, the world's facts, what is popped |
//! | `receive` | bytes to messages to whom they are for |
//! | `requests` | what peers ask of the runtime itself |
//! | `dialogs` | what the application asks of its dialogs |
//! | `endings` | how dialogs end |
//! | `children` | nurseries and children |
//! | `closing` | connections and the actor ending |
//! | `parting` | what ends before a connection to a base peer does |
//! | `probing` | asking who is at an address |

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::addr::Address;
use crate::channel::{Channel, Phase, Role, handshake_deadline};
use crate::config::Config;
use crate::dialog::Dialog;
use crate::error::Misuse;
use crate::id::{
    Arena, ChildId, ChildTag, Cid, ConnId, ConnTag, DialogId, DialogTag, NurseryTag, Text, Uid,
};
use crate::msg::{Aid, Extension, Features, Msg, Start, fit};
use crate::outbox::{Outbound, Payload};
use crate::output::{Effect, Event, Output, Outputs};
use crate::registry::{Owner, Registry};
use crate::rng::Rng;
use crate::supervise::{Child, ExitStatus, Nursery};
use crate::time::{Deadlines, Instant};

mod children;
mod closing;
mod dialogs;
mod endings;
mod parting;
mod probing;
mod receive;
mod requests;

pub use dialogs::{Call, Progress, StreamStats};
pub use endings::relayed;

/// A fact from the world.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// The transport of a connection that we asked for stands.
    Connected {
        /// The connection.
        conn: ConnId,
    },
    /// So many bytes were read into `recv_buf`.
    Received {
        /// The connection.
        conn: ConnId,
        /// How many.
        len: usize,
    },
    /// A connection ended, or could not be made.
    Disconnected {
        /// The connection.
        conn: ConnId,
        /// What the transport says; `None` is a clean end of the stream.
        why: Option<Text>,
    },
    /// A connection could not be made, and that says nothing of whether somebody is there: we had
    /// no descriptor left, or no way.
    Unreachable {
        /// The connection.
        conn: ConnId,
        /// What the transport says.
        why: Text,
    },
    /// A child's process exists.
    Spawned {
        /// The child.
        child: ChildId,
        /// Its process id.
        pid: u32,
    },
    /// A child's process could not be made.
    SpawnFailed {
        /// The child.
        child: ChildId,
        /// Why, and what to do.
        why: Text,
    },
    /// A child's process ended and was reaped.
    ChildExited {
        /// The child.
        child: ChildId,
        /// How.
        status: ExitStatus,
    },
    /// `next_deadline` has come; early or twice is a no-op.
    Timeout,
}

/// What a deadline is for. The order breaks ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Timer {
    /// The peer must have introduced itself.
    Handshake(ConnId),
    /// The peer must have read what it asked for; or what was left when we closed.
    Unread(ConnId),
    /// The peer must have acknowledged our cancel of it.
    ActorAck(ConnId),
    /// The peer must have opened its end of the stream.
    PeerOpen(DialogId),
    /// The cancelled task over there must have ended.
    TaskEnd(DialogId),
    /// The child must be ready.
    Boot(ChildId),
    /// The child must have acknowledged its cancel.
    Ack(ChildId),
    /// The child gets SIGKILL.
    Kill(ChildId),
    /// The child is given up on.
    Report(ChildId),
    /// The other half of a child's end must have come.
    Reap(ChildId),
    /// A base peer that asked us to end is told that we do, although we have not yet.
    LateAck,
    /// The registrars must have taken note that this actor ends.
    Farewell,
    /// This actor must have ended.
    End,
}

/// The actor's own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Not ready: `Start`s are kept.
    Booting,
    /// Serves.
    Serving,
    /// Its tasks are being cancelled; nothing new may start.
    Closing,
    /// Nothing is left.
    Ended,
}

/// One actor: its connections, dialogs and children. Does no IO and reads no clock.
///
/// # The four kinds of methods
/// * **A. Facts** of the world: [`recv_buf`](Self::recv_buf), [`handle_input`](Self::handle_input),
///   [`put_back`](Self::put_back). They never fail.
/// * **B. Commands** of the application: everything that returns `Result`. `Err` is the caller's
///   fault, and then nothing has changed.
/// * **C. What we want done**: [`poll_output`](Self::poll_output), [`next_dirty`](Self::next_dirty)
///   with [`take_outbox`](Self::take_outbox), [`next_deadline`](Self::next_deadline). They pop, and
///   decide nothing.
/// * **D. Getters**, which take `&self`.
#[derive(Debug)]
pub struct Actor {
    pub(crate) config: Config,
    uid: Uid,
    rng: Rng,
    now: Instant,
    life: Life,
    /// The application's own body has ended (a child has none of its own).
    body_done: bool,
    channels: Arena<ConnTag, Channel>,
    dialogs: Arena<DialogTag, Dialog>,
    nurseries: Arena<NurseryTag, Nursery>,
    children: Arena<ChildTag, Child>,
    registry: Option<Registry>,
    /// Questions of ours, by the connections that they are asked over.
    probes: BTreeMap<ConnId, probing::Probe>,
    /// What peers asked of the registry about those of whom it is not known whether they live.
    doubts: Vec<probing::Doubt>,
    /// Base registrars that know us, by the connections that we told them over.
    registered: BTreeSet<ConnId>,
    /// Our last words to them, as far as they are not answered.
    farewells: BTreeSet<DialogId>,
    parent: Option<ConnId>,
    /// The modules that peers may call into.
    enabled: BTreeSet<String>,
    /// Tasks asked for before we were ready.
    queued: VecDeque<(DialogId, Start)>,
    /// Tasks that the application runs for peers.
    tasks: usize,
    /// The most that a child of ours needs to end, as far as our parent knows.
    told_budget: core::time::Duration,
    /// A base peer that waits for the acknowledgement until we have ended.
    late_ack: Option<(ConnId, Cid)>,
    timers: Deadlines<Timer>,
    out: Outputs,
    dirty: VecDeque<ConnId>,
}

impl Actor {
    /// A new actor. A registrar starts serving at once when [`booted`](Self::booted) is called; a
    /// child first waits for its instructions.
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Actor {
        let mut rng = Rng::new(seed);
        let uuid = config.uuid.clone().map_or_else(|| rng.uuid(), Text::from);
        let uid = Uid { name: config.name.as_str().into(), uuid };
        let registry = config.is_registrar.then(Registry::default);
        let told_budget = config.teardown_budget;
        Actor {
            config,
            uid,
            rng,
            now,
            life: Life::Booting,
            body_done: true,
            channels: Arena::new(),
            dialogs: Arena::new(),
            nurseries: Arena::new(),
            children: Arena::new(),
            registry,
            probes: BTreeMap::new(),
            doubts: Vec::new(),
            registered: BTreeSet::new(),
            farewells: BTreeSet::new(),
            parent: None,
            enabled: BTreeSet::new(),
            queued: VecDeque::new(),
            tasks: 0,
            told_budget,
            late_ack: None,
            timers: Deadlines::new(),
            out: Outputs::default(),
            dirty: VecDeque::new(),
        }
    }

    // A. Facts.

    /// Where the driver reads this connection's bytes into; then [`Input::Received`]. `None` when
    /// the connection is gone or no longer read.
    pub fn recv_buf(&mut self, conn: ConnId) -> Option<&mut [u8]> {
        let channel = self.channels.get_mut(conn)?;
        (!channel.is_ended()).then(|| channel.deframer.recv_buf())
    }

    /// Takes a fact in. Never fails: a peer's fault becomes an event.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.advance(now);
        match input {
            Input::Connected { conn } => {
                self.probe_reached(conn);
                self.mark_dirty(conn);
            }
            Input::Received { conn, len } => self.on_received(conn, len),
            Input::Disconnected { conn, why } => self.on_disconnected(conn, why),
            Input::Unreachable { conn, why } => {
                self.probe_reached(conn);
                self.on_disconnected(conn, Some(why));
            }
            Input::Spawned { child, pid } => self.on_spawned(child, pid),
            Input::SpawnFailed { child, why } => self.on_spawn_failed(child, why),
            Input::ChildExited { child, status } => self.on_exited(child, status),
            Input::Timeout => {}
        }
        while let Some(timer) = self.timers.pop_due(self.now) {
            self.on_timer(timer);
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        use crate::error::Violation;
        use crate::supervise::table::Fact;
        match timer {
            Timer::Handshake(conn) => self.violate(conn, Violation::HandshakeTimeout),
            Timer::Unread(conn) => self.on_unread(conn),
            Timer::ActorAck(conn) => self.out.event(Event::CancelAcked { conn, acked: false }),
            Timer::PeerOpen(dialog) => self.on_peer_open_timeout(dialog),
            Timer::TaskEnd(dialog) => self.on_task_end_timeout(dialog),
            Timer::Boot(child) => self.child_fact(child, Fact::BootTimeout),
            Timer::Ack(child) => self.child_fact(child, Fact::AckTimeout),
            Timer::Kill(child) => self.child_fact(child, Fact::KillTimeout),
            Timer::Report(child) => self.on_budget_over(child),
            Timer::Reap(child) => self.on_reap_slack_over(child),
            Timer::LateAck => self.push_late_ack(),
            Timer::Farewell => self.on_farewell_timeout(),
            Timer::End => self.end(true),
        }
    }

    /// Gives back what was taken from an outbox, after as much of it was written as went.
    pub fn put_back(&mut self, now: Instant, conn: ConnId, out: Outbound) {
        self.advance(now);
        let Some(channel) = self.channels.get_mut(conn) else { return };
        let before = channel.outbox.len();
        channel.outbox.put_back(out);
        let progress = channel.outbox.len() < before;
        let room = channel.has_room(&self.config);
        let waiting = if room { core::mem::take(&mut channel.waiting) } else { Vec::new() };
        for dialog in waiting {
            self.wake_sender(dialog);
        }
        self.watch_unread(conn, progress);
    }

    // B. Commands: connections. (Dialogs, children and the end have their own files.)

    /// A peer connected to us. Over `half_open_max` the one that has said nothing for the longest
    /// makes room: whoever means to say something does so at once, so a crowd of the silent locks
    /// nobody out.
    ///
    /// # Errors
    /// [`Misuse::TooMany`] over `conns_max`, [`Misuse::Closing`] after the end: drop the transport.
    pub fn accepted(&mut self, now: Instant) -> Result<ConnId, Misuse> {
        self.accepted_from(now, None)
    }

    /// As [`accepted`](Self::accepted), where the transport tells whose process connected. Only
    /// that one can be a child of ours that has nothing else to show.
    ///
    /// # Errors
    /// As `accepted`.
    pub fn accepted_from(&mut self, now: Instant, process: Option<u32>) -> Result<ConnId, Misuse> {
        self.advance(now);
        if self.life == Life::Ended {
            return Err(Misuse::Closing);
        }
        if self.channels.len() >= self.config.conns_max {
            return Err(Misuse::TooMany);
        }
        let waits = |c: &Channel| c.role == Role::Accepted && c.phase == Phase::AwaitAid;
        let half_open = || self.channels.iter().filter(|(_, c)| waits(c)).map(|(id, _)| id);
        if half_open().count() >= self.config.half_open_max {
            let oldest = half_open().min_by_key(|id| self.timers.at(Timer::Handshake(*id)));
            if let Some(oldest) = oldest {
                self.violate(oldest, crate::error::Violation::HandshakeCrowded);
            }
        }
        let conn = self.open_channel(Role::Accepted);
        if let Some(channel) = self.channels.get_mut(conn) {
            channel.process = process;
        }
        Ok(conn)
    }

    /// Connects to a peer. [`Event::Opened`] or [`Event::Closed`] tells how it went.
    ///
    /// # Errors
    /// [`Misuse::Closing`] or [`Misuse::TooMany`].
    pub fn connect(&mut self, now: Instant, addr: Address) -> Result<ConnId, Misuse> {
        self.advance(now);
        self.check_serving()?;
        if self.channels.len() >= self.config.conns_max {
            return Err(Misuse::TooMany);
        }
        let conn = self.open_channel(Role::Connected);
        self.out.effect(Effect::Connect { conn, addr });
        Ok(conn)
    }

    /// Ends a connection that we opened or accepted: what waits is written first.
    ///
    /// # Errors
    /// [`Misuse::NotOpen`] when there is none, or it is a link to a parent or child.
    pub fn close(&mut self, now: Instant, conn: ConnId) -> Result<(), Misuse> {
        self.advance(now);
        let channel = self.channels.get(conn).ok_or(Misuse::NotOpen)?;
        if matches!(channel.role, Role::ToChild | Role::ToParent) || channel.is_ended() {
            return Err(Misuse::NotOpen);
        }
        self.part(conn);
        Ok(())
    }

    /// The link to our parent, which exists before we do. A child that came too early for its
    /// parent to see it may come again: then the link is the connection that its instructions come
    /// on, and the others are closed.
    pub fn attach_parent(&mut self, now: Instant) -> ConnId {
        self.advance(now);
        let conn = self.open_channel(Role::ToParent);
        self.parent = Some(conn);
        conn
    }

    fn open_channel(&mut self, role: Role) -> ConnId {
        let aid = self.aid(role);
        self.open_channel_as(role, aid)
    }

    fn open_channel_as(&mut self, role: Role, aid: Aid) -> ConnId {
        let config = &self.config;
        let conn = self.channels.insert_with(|_| Channel::new(role, config));
        self.timers.set(Timer::Handshake(conn), handshake_deadline(self.now, role, config));
        self.push_control(conn, &Msg::Aid(aid));
        conn
    }

    fn aid(&self, role: Role) -> Aid {
        let extension = Extension {
            version_min: 1,
            version_max: 1,
            features: self.config.features,
            build: self.config.build,
            token: self.config.token.filter(|_| role == Role::ToParent),
        };
        Aid {
            uid: self.uid.clone(),
            pid: Some(self.config.pid),
            is_registrar: Some(self.config.is_registrar),
            is_probe: false,
            ext: (extension.features != Features::BASE).then_some(extension),
        }
    }

    /// Lets peers call into this module.
    pub fn enable(&mut self, ns: &str) {
        self.enabled.insert(ns.into());
    }

    /// Keeps the registry from now on: for a root that finds that nobody else does.
    ///
    /// # Errors
    /// [`Misuse::Closing`] unless it is still booting.
    pub fn keep_registry(&mut self) -> Result<(), Misuse> {
        if self.life != Life::Booting {
            return Err(Misuse::Closing);
        }
        self.config.is_registrar = true;
        self.registry.get_or_insert_default();
        Ok(())
    }

    /// This actor is bound to these addresses and ready: its parent is told, kept `Start`s run. A
    /// registrar registers itself.
    ///
    /// # Errors
    /// [`Misuse::Closing`] when it is to end already.
    pub fn booted(&mut self, now: Instant, addrs: Vec<Address>) -> Result<(), Misuse> {
        self.advance(now);
        if self.life != Life::Booting {
            return Err(Misuse::Closing);
        }
        self.life = Life::Serving;
        let uid = self.uid.clone();
        for addr in &addrs {
            // Our own addresses are fresh: nobody else can have them.
            let _ = self.register(&uid, addr.clone(), Owner::Us);
        }
        if let Some(parent) = self.parent
            && self.features(parent).has(Features::READY)
        {
            self.push(parent, &Msg::Ready { addrs });
        }
        while let Some((dialog, start)) = self.queued.pop_front() {
            self.run_task(dialog, start);
        }
        Ok(())
    }

    // C. What we want done.

    /// The next thing to do, in the order it was decided.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// Whether [`poll_output`](Self::poll_output) has something.
    pub fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// The next connection that has something to write since it was last named here.
    pub fn next_dirty(&mut self) -> Option<ConnId> {
        self.dirty.pop_front()
    }

    /// Takes all that waits to be written on a connection: control first, whole frames. `None` when
    /// there is nothing, or it is out already. Then [`put_back`](Self::put_back).
    pub fn take_outbox(&mut self, conn: ConnId) -> Option<Outbound> {
        self.channels.get_mut(conn)?.outbox.take()
    }

    /// How many bytes wait to be written there, taken out or not.
    pub fn outbox_len(&self, conn: ConnId) -> usize {
        self.channels.get(conn).map_or(0, |c| c.outbox.len())
    }

    /// When to call with [`Input::Timeout`], and why.
    pub fn next_deadline(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    // D. Getters.

    /// Who this actor is.
    pub fn uid(&self) -> &Uid {
        &self.uid
    }

    /// The time of the last fact or command.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Where its life is.
    pub fn life(&self) -> Life {
        self.life
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The peer of an open connection.
    pub fn peer(&self, conn: ConnId) -> Option<&Aid> {
        self.channels.get(conn).and_then(|c| c.peer.as_ref())
    }

    /// What both sides of a connection can do beyond the base: nothing until the handshake.
    pub fn negotiated(&self, conn: ConnId) -> crate::msg::Features {
        self.features(conn)
    }

    /// Whether there is such a connection, in any phase but closed.
    pub fn is_known(&self, conn: ConnId) -> bool {
        self.channels.get(conn).is_some_and(|c| !c.is_ended())
    }

    /// The peers that we chose to be connected to: the parent, children, those that we connected to
    /// ourselves. Not those that came to us, which can say of themselves what they like.
    pub fn chosen_peers(&self) -> impl Iterator<Item = (ConnId, &Aid)> {
        let came = |conn| self.channels.get(conn).is_some_and(|c| c.role == Role::Accepted);
        self.peers().filter(move |(conn, _)| !came(*conn))
    }

    /// The open connections and their peers.
    pub fn peers(&self) -> impl Iterator<Item = (ConnId, &Aid)> {
        let open = self.channels.iter().filter(|(_, c)| c.is_open());
        open.filter_map(|(id, c)| Some((id, c.peer.as_ref()?)))
    }

    /// The link to the parent.
    pub fn parent(&self) -> Option<ConnId> {
        self.parent
    }

    /// What is left: tasks for peers, dialogs, children, nurseries, connections.
    pub fn census(&self) -> Census {
        Census {
            tasks: self.tasks,
            dialogs: self.dialogs.len(),
            children: self.children.len(),
            nurseries: self.nurseries.len(),
            connections: self.channels.len(),
        }
    }

    // Shared by the other files.

    fn advance(&mut self, now: Instant) {
        debug_assert!(now >= self.now, "C1: time never goes back");
        self.now = self.now.max(now);
    }

    fn check_serving(&self) -> Result<(), Misuse> {
        match self.life {
            Life::Booting | Life::Serving => Ok(()),
            Life::Closing | Life::Ended => Err(Misuse::Closing),
        }
    }

    fn features(&self, conn: ConnId) -> Features {
        self.channels.get(conn).map(|c| c.features).unwrap_or_default()
    }

    fn mark_dirty(&mut self, conn: ConnId) {
        if self.dirty.back() != Some(&conn) {
            self.dirty.push_back(conn);
        }
    }

    fn push_control(&mut self, conn: ConnId, msg: &Msg) {
        if let Some(channel) = self.channels.get_mut(conn) {
            channel.push_control(msg);
            self.after_push(conn);
        }
    }

    fn push(&mut self, conn: ConnId, msg: &Msg) {
        let Some(channel) = self.channels.get_mut(conn) else { return };
        match msg {
            Msg::Error { cid, error } if !channel.features.has(Features::ERROR_DATA) => {
                let (cid, mut error) = (cid.clone(), error.for_base());
                fit::fit(&mut error, self.config.frame_len_max);
                channel.push(&Msg::Error { cid, error });
            }
            msg => channel.push(msg),
        }
        self.after_push(conn);
    }

    fn push_payload(&mut self, conn: ConnId, msg: &Msg, payload: Payload<'_>) {
        if let Some(channel) = self.channels.get_mut(conn) {
            channel.push_payload(msg, payload);
            self.after_push(conn);
        }
    }

    fn after_push(&mut self, conn: ConnId) {
        self.mark_dirty(conn);
        self.watch_unread(conn, false);
    }

    /// A peer that leaves too much unread, without any progress, for too long loses its connection.
    fn watch_unread(&mut self, conn: ConnId, progress: bool) {
        let Some(channel) = self.channels.get(conn) else { return };
        if channel.is_ended() {
            return; // The deadline that closing set stays.
        }
        let timer = Timer::Unread(conn);
        if channel.outbox.len() <= self.config.unread_bytes_max {
            if self.timers.is_set(timer) {
                self.timers.clear(timer);
            }
        } else if progress || !self.timers.is_set(timer) {
            self.timers.set(timer, self.now + self.config.unread_timeout);
        }
    }

    /// A payload must fit into a frame with its envelope.
    fn check_len(&self, payload: &Payload<'_>) -> Result<(), Misuse> {
        const ENVELOPE_MAX: usize = 1024;
        let max = self.config.frame_len_max.saturating_sub(ENVELOPE_MAX);
        match payload.as_slice().len() {
            len if len > max => Err(Misuse::TooLarge { len, max }),
            _ => Ok(()),
        }
    }
}

/// What an actor holds, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Tasks that run for peers.
    pub tasks: usize,
    /// Dialogs, either side.
    pub dialogs: usize,
    /// Child processes.
    pub children: usize,
    /// Nurseries.
    pub nurseries: usize,
    /// Connections, in any phase.
    pub connections: usize,
}

/// An empty argument map.
pub(crate) const NO_KWARGS: Bytes = Bytes::from_static(&[0x80]);
