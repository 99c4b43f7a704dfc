//! The world around the cores: processes, links, one clock. It knows bytes and processes, and no
//! message.
//!
//! ```text
//!   heap of (time, order, What) ──> handle ──> facts for a core ──> its effects ──> heap
//! ```
//!
//! A host is a process with an actor in it. A link is two ends, each with what is under way to it.
//! A host that is stopped keeps what comes for it until it goes on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use tractor_core::msg::{SpawnSpec, Token};
use tractor_core::supervise::ExitStatus;
use tractor_core::{
    Actor, Address, ChildId, Config, ConnId, Effect, EndReason, Event, Input, Instant, NurseryEvent,
};

use super::check::Checks;
use super::cover::Cover;
use super::mail::Mail;
use super::options::{Fault, Options};
use super::trace::Trace;
use crate::random::Source;

/// Bytes that fit into a socket.
pub const SOCKET_BYTES: usize = 64 << 10;

/// What the clock says when a run begins.
const BEGIN: Duration = Duration::from_secs(1);

/// How long what was slow may have consequences: one budget to end, a farewell.
const SLOW_FOR: Duration = Duration::from_millis(3200);

/// The number of a host.
pub type HostId = usize;

/// The number of a link's end; the other one differs in the last bit.
pub type EndId = usize;

/// Something that happens at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Bytes have come to this end, or its end.
    Arrive(EndId),
    /// This end can take bytes again.
    Write(EndId),
    /// An actor's deadline.
    Deadline(HostId),
    /// A task's alarm.
    Alarm(HostId),
    /// A child's process is made.
    Fork(HostId, ChildId),
    /// The parent learns of it.
    Spawned(HostId, ChildId),
    /// The parent learns that it has ended.
    Exited(HostId),
    /// The kernel kills a process whose parent is gone.
    Orphaned(HostId),
    /// A connect reaches the other host.
    Connect(HostId, ConnId, HostId),
    /// It stands.
    Connected(HostId, ConnId),
    /// It is refused.
    Refused(HostId, ConnId),
    /// It gets SIGTERM.
    Terminate(HostId),
    /// A stopped process goes on.
    Continue(HostId),
    /// A fault.
    Fault,
    /// From now on nothing goes wrong, and what hung goes on.
    Heal,
    /// All programs are interrupted.
    End,
}

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// It runs.
    Runs,
    /// It is stopped.
    Stopped,
    /// It has ended, and nobody knows yet.
    Zombie(ExitStatus),
    /// It is gone.
    Reaped,
}

/// A process, and the actor in it.
#[derive(Debug)]
pub struct Host {
    /// What it is called.
    pub name: String,
    /// `None`: the process is gone.
    pub actor: Option<Actor>,
    /// The process.
    pub process: Process,
    /// Whose child it is.
    pub parent: Option<(HostId, ChildId)>,
    /// Its children's processes.
    pub children: BTreeMap<ChildId, HostId>,
    /// The ends of its connections.
    pub conns: BTreeMap<ConnId, EndId>,
    /// What its core has told, and its tasks have not taken.
    pub mail: Mail,
    /// What came while it was stopped.
    pub(super) held: Vec<What>,
    /// Whether something went wrong with it or its links: an error that passes by may be lost.
    pub hurt: bool,
    /// When it last went on after it had been stopped, or its clock had jumped.
    pub lapsed: Option<Instant>,
    /// It ended itself: it could not register, or was interrupted alone.
    pub quits: bool,
    /// It was not given the time to end well.
    pub forced: bool,
    /// When its process ended.
    pub died: Option<Duration>,
    /// Connections that may end in the middle of a frame.
    pub cut: Vec<ConnId>,
    /// Connects whose answer is under way.
    pub(super) connecting: BTreeSet<ConnId>,
    /// The deadline that is on the heap.
    deadline: Option<Instant>,
}

/// One end of a link.
#[derive(Debug)]
pub struct End {
    /// Whose.
    pub host: HostId,
    /// Its connection there.
    pub conn: ConnId,
    /// What is under way to it, and when it comes.
    pub inbox: VecDeque<(Instant, Vec<u8>)>,
    /// The socket is open here.
    pub alive: bool,
    /// It was closed over there: after the inbox comes the end.
    pub fin: bool,
    /// To be closed once all is written.
    pub(super) closing: bool,
    /// It takes no bytes before then.
    pub(super) stalled: Option<Instant>,
    /// Nothing that is sent from here comes there any more.
    pub mute: bool,
    /// When it was connected, if it was (and not handed over).
    pub dialed: Option<Instant>,
    /// How long bytes take to this end.
    pub(super) latency: Duration,
}

/// What a child is to be, until it is made.
#[derive(Clone, Debug)]
pub struct Unborn {
    /// Its number.
    pub name: usize,
    /// It speaks the base only.
    pub base: bool,
    /// What it shows when it connects back.
    pub token: Option<Token>,
}

/// What an error passes by on its way up.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// The actors, the root first.
    pub hosts: Vec<HostId>,
    /// Pieces of tasks that may be dropped.
    pub pieces: Vec<u32>,
}

/// The world.
#[derive(Debug)]
pub struct Kernel {
    /// The time, as actors see it.
    pub now: Instant,
    /// How far their clock has jumped ahead of what really passed.
    jumped: Duration,
    heap: BinaryHeap<Reverse<(Instant, u64, What)>>,
    order: u64,
    /// The processes that there ever were.
    pub hosts: Vec<Host>,
    /// The ends of links that there ever were.
    pub ends: Vec<End>,
    /// Children that are asked for.
    pub unborn: BTreeMap<(HostId, ChildId), Unborn>,
    /// What decides.
    pub source: Source,
    /// What the run is made of.
    pub options: Options,
    /// Whether faults may still come.
    pub troubled: bool,
    /// Until when which hosts can't reach the others.
    pub parted: Option<(Instant, Vec<bool>)>,
    /// Whether a task is never over.
    pub stuck: bool,
    /// Until when something takes longer than it should.
    pub slow_until: Duration,
    /// What was reached.
    pub cover: Cover,
    /// What must hold.
    pub checks: Checks,
    /// What happened.
    pub trace: Trace,
    /// Whom the tasks belong to that may go on.
    pub ready: Vec<HostId>,
    /// What an error of a task passes by, by the number that its function carries.
    pub ways: Vec<Way>,
    /// How many pieces of tasks there were that might be dropped.
    pub pieces: u32,
    /// Actors by the number of their name, the newest last.
    pub named: BTreeMap<usize, Vec<HostId>>,
}

impl Kernel {
    /// An empty world.
    pub fn new(source: Source, options: Options, trace: Trace) -> Kernel {
        Kernel {
            now: Instant::from_epoch(BEGIN),
            jumped: Duration::ZERO,
            heap: BinaryHeap::new(),
            order: 0,
            hosts: Vec::new(),
            ends: Vec::new(),
            unborn: BTreeMap::new(),
            source,
            checks: Checks::new(options.base),
            options,
            troubled: true,
            parted: None,
            stuck: false,
            slow_until: Duration::ZERO,
            cover: Cover::default(),
            trace,
            ready: Vec::new(),
            ways: Vec::new(),
            pieces: 0,
            named: BTreeMap::new(),
        }
    }

    /// Lets something happen later.
    pub fn after(&mut self, wait: Duration, what: What) {
        self.at(self.now + wait, what);
    }

    pub(super) fn at(&mut self, time: Instant, what: What) {
        self.order += 1;
        let really = Instant::from_epoch(time.since_epoch().saturating_sub(self.jumped));
        self.heap.push(Reverse((really, self.order, what)));
    }

    /// Whether this kind of fault comes now: it is on, and the dice say so.
    pub fn chance(&mut self, fault: Fault, once_in: usize) -> bool {
        let comes = self.troubled && self.options.has(fault) && self.source.once_in(once_in);
        if comes {
            self.cover.fault(fault);
        }
        comes
    }

    /// A moment that bytes, processes and news take.
    pub fn moment(&mut self) -> Duration {
        Duration::from_micros([5, 20, 100, 700, 3000][self.source.below(5)])
    }

    /// The next thing that happens, after which the world looks different. `None`: nothing will.
    pub fn pop(&mut self) -> Option<What> {
        let Reverse((time, _, what)) = self.heap.pop()?;
        self.now = self.now.max(time + self.jumped);
        Some(what)
    }

    /// What really passed.
    pub fn passed(&self) -> Duration {
        self.now.since_epoch().saturating_sub(self.jumped)
    }

    /// What passed since the run began.
    pub fn ran(&self) -> Duration {
        self.passed().saturating_sub(BEGIN)
    }

    /// The clock jumps: what is due by then is found to be.
    pub fn jump(&mut self, by: Duration) {
        self.now = self.now + by;
        self.jumped += by;
        for host in 0..self.hosts.len() {
            self.hosts[host].lapsed = Some(self.now);
            self.after(Duration::ZERO, What::Deadline(host));
            self.after(Duration::ZERO, What::Alarm(host));
        }
    }

    /// Something takes so long from now on.
    pub fn slow(&mut self, span: Duration) {
        self.slow_until = self.slow_until.max(self.ran() + span);
    }

    /// Whether there was ever anything.
    pub fn was_slow(&self) -> bool {
        self.slow_until > Duration::ZERO
    }

    /// Whether something takes longer than it should, or has until so shortly before that what was
    /// due then has not ended yet.
    pub fn is_slow(&self) -> bool {
        self.was_slow() && self.ran() < self.slow_until + SLOW_FOR
    }

    /// Does it.
    pub fn handle(&mut self, what: What) {
        if let Some(host) = self.host_of(what)
            && self.hosts[host].process == Process::Stopped
        {
            self.hosts[host].held.push(what);
            return;
        }
        match what {
            What::Arrive(end) => self.arrive(end),
            What::Write(end) => self.write(end),
            What::Deadline(host) => self.deadline(host),
            What::Alarm(host) => self.wake(host),
            What::Fork(host, child) => self.fork(host, child),
            What::Spawned(host, child) => {
                let pid = self.hosts[host].children.get(&child).map_or(0, |host| *host as u32);
                self.fact(host, Input::Spawned { child, pid });
            }
            What::Exited(host) => self.reap(host),
            What::Orphaned(host) => self.die(host, ExitStatus::Signal(9)),
            What::Connect(host, conn, to) => self.connected(host, conn, to),
            What::Connected(host, conn) => self.fact(host, Input::Connected { conn }),
            What::Refused(host, conn) => {
                self.hosts[host].connecting.remove(&conn);
                self.wake(host);
                let why = Some("connection refused".into());
                self.fact(host, Input::Disconnected { conn, why });
            }
            What::Terminate(host) => {
                let why = EndReason::Interrupted { signal: 15 };
                self.command(host, |actor, now| actor.cancel_self(now, why).ok());
            }
            What::Continue(host) => self.go_on(host),
            What::Fault => self.fault(),
            What::Heal => self.heal(),
            What::End => self.end_all(),
        }
    }

    /// Who must run for it to happen.
    fn host_of(&self, what: What) -> Option<HostId> {
        match what {
            What::Arrive(end) | What::Write(end) => Some(self.ends[end].host),
            What::Deadline(host)
            | What::Alarm(host)
            | What::Fork(host, _)
            | What::Spawned(host, _)
            | What::Terminate(host)
            | What::Connected(host, _)
            | What::Refused(host, _)
            | What::Connect(_, _, host) => Some(host),
            What::Exited(host) => self.hosts[host].parent.map(|(parent, _)| parent),
            _ => None,
        }
    }

    // Hosts.

    /// Makes a process with an actor in it.
    pub fn add_host(&mut self, name: usize, mut config: Config) -> HostId {
        let id = self.hosts.len();
        if self.options.tight && self.source.once_in(2) {
            config.lane_bytes_max = [200, 3000][self.source.below(2)];
            config.window_items = [1, 65, 200][self.source.below(3)];
            config.window_bytes = [64, 66_000][self.source.below(2)];
        }
        let mut seed = [0x5a; 32];
        seed[..8].copy_from_slice(&(id as u64).to_le_bytes());
        seed[8..].fill_with(|| self.source.below(256) as u8);
        let text = config.name.clone();
        let actor = Actor::new(config, seed, self.now);
        self.hosts.push(Host {
            name: format!("{text}#{id}"),
            actor: Some(actor),
            process: Process::Runs,
            parent: None,
            children: BTreeMap::new(),
            conns: BTreeMap::new(),
            mail: Mail::default(),
            held: Vec::new(),
            hurt: false,
            lapsed: None,
            quits: false,
            forced: false,
            died: None,
            cut: Vec::new(),
            connecting: BTreeSet::new(),
            deadline: None,
        });
        self.named.entry(name).or_default().push(id);
        id
    }

    /// Its tasks may go on.
    pub fn wake(&mut self, host: HostId) {
        if !self.ready.contains(&host) {
            self.ready.push(host);
        }
    }

    /// Who is at the other end of a connection.
    pub fn host_at(&self, host: HostId, conn: ConnId) -> Option<HostId> {
        let end = self.hosts[host].conns.get(&conn)?;
        Some(self.ends[end ^ 1].host)
    }

    /// Whether it has a socket that is not closed yet.
    pub(super) fn has_open(&self, host: HostId) -> bool {
        let host = &self.hosts[host];
        !host.connecting.is_empty() || host.conns.values().any(|end| self.ends[*end].alive)
    }

    /// Tells an actor a fact.
    pub fn fact(&mut self, host: HostId, input: Input) {
        let now = self.now;
        let Some(actor) = &mut self.hosts[host].actor else { return };
        actor.handle_input(now, input);
        self.settle(host);
    }

    /// A command of a task, and what follows; `None` when the process is gone.
    pub fn command<T>(
        &mut self,
        host: HostId,
        run: impl FnOnce(&mut Actor, Instant) -> T,
    ) -> Option<T> {
        let now = self.now;
        let result = run(self.hosts[host].actor.as_mut()?, now);
        self.settle(host);
        Some(result)
    }

    /// Performs what an actor decided, writes what it wants written, and sees to its deadline.
    pub(super) fn settle(&mut self, host: HostId) {
        while let Some(output) = self.hosts[host].actor.as_mut().and_then(Actor::poll_output) {
            self.trace.output(self.now, host, &output);
            let hangs = self.something_hangs();
            self.checks.output(&self.hosts[host], &output, hangs);
            match &output {
                tractor_core::Output::Event(Event::Ended { forced: true }) => self.forced(host),
                tractor_core::Output::Event(Event::Nursery(
                    _,
                    NurseryEvent::Ended { child, end },
                )) => self.check_child(host, *child, end),
                _ => {}
            }
            match output {
                tractor_core::Output::Effect(effect) => self.perform(host, effect),
                tractor_core::Output::Event(event) => self.hosts[host].mail.put(event),
                _ => {}
            }
            self.wake(host);
        }
        while let Some(conn) = self.hosts[host].actor.as_mut().and_then(Actor::next_dirty) {
            if let Some(&end) = self.hosts[host].conns.get(&conn) {
                self.write(end);
            }
        }
        self.checks.check_deadline(&self.hosts[host]);
        self.set_deadline(host);
    }

    /// An actor was not given the time to end well: something that it waited for is to blame, and
    /// what it had to say is lost.
    fn forced(&mut self, host: HostId) {
        let to_blame = self.something_hangs();
        let name = self.hosts[host].name.clone();
        self.checks.must("budget", to_blame, || format!("{name} was forced, and nothing hung"));
        self.hosts[host].hurt = true;
        self.hosts[host].forced = true;
    }

    fn set_deadline(&mut self, host: HostId) {
        let next = self.hosts[host].actor.as_ref().and_then(Actor::next_deadline);
        let Some((at, _)) = next else { return };
        let known = self.hosts[host].deadline;
        if known.is_none_or(|known| at < known || known < self.now) {
            self.hosts[host].deadline = Some(at);
            // Nobody is woken to the microsecond.
            let late = self.moment();
            self.at(at.max(self.now) + late, What::Deadline(host));
        }
    }

    fn deadline(&mut self, host: HostId) {
        self.hosts[host].deadline = None;
        if let Some(actor) = &self.hosts[host].actor
            && let Some((at, timer)) = actor.next_deadline()
            && at <= self.now
        {
            self.cover.timer(timer);
        }
        self.fact(host, Input::Timeout);
        self.set_deadline(host);
    }

    fn perform(&mut self, host: HostId, effect: Effect) {
        match effect {
            Effect::Connect { conn, addr } => self.connect(host, conn, &addr),
            Effect::Close { conn } => match self.hosts[host].conns.get(&conn) {
                Some(&end) if self.ends[end].alive => {
                    self.ends[end].closing = true;
                    self.after(Duration::ZERO, What::Write(end));
                }
                Some(_) => {}
                None => self.after(Duration::ZERO, What::Refused(host, conn)),
            },
            Effect::Abort { conn } => {
                if let Some(&end) = self.hosts[host].conns.get(&conn) {
                    self.may_cut(end ^ 1);
                    self.shut(end);
                }
            }
            Effect::StartTask { dialog, func, .. } => {
                self.hosts[host].mail.start(dialog, func.as_str())
            }
            Effect::CancelTask { dialog } => self.hosts[host].mail.cancel(dialog),
            Effect::Spawn { child, .. } => {
                let mut wait = Duration::from_millis(1) + self.moment();
                if self.chance(Fault::SlowSpawn, 3) {
                    wait += Duration::from_secs([1, 11][self.source.below(2)]);
                    self.hosts[host].hurt = true;
                    self.slow(wait);
                }
                self.after(wait, What::Fork(host, child));
            }
            Effect::Signal { child, signal } => self.signal(host, child, signal),
            _ => {}
        }
    }
}

/// Where an actor listens.
pub fn address(host: HostId) -> Address {
    Address::Uds { dir: "/run".into(), file: format!("{host}.sock") }
}

/// Who listens there.
pub fn listener(addr: &Address) -> Option<HostId> {
    match addr {
        Address::Uds { file, .. } => file.strip_suffix(".sock")?.parse().ok(),
        _ => None,
    }
}

/// What a child is told first.
pub fn spec(registrar: HostId) -> SpawnSpec {
    SpawnSpec {
        parent_main_data: bytes::Bytes::from_static(&[0x80]),
        runtime_vars: bytes::Bytes::from_static(&[0x80]),
        enable_modules: vec![("app".into(), "app".into())],
        reg_addrs: vec![address(registrar)],
        bind_addrs: None,
    }
}
