//! One actor's state, shared by its driver and its tasks: the core, and what waits for it.
//!
//! Everything is behind one short lock. Under it: core commands, moving events into the boxes they
//! are for, the one read that goes straight into the core's buffer, and those of the last output of
//! a child that failed. Not under it: writes, other system calls, user code, waking. Whoever
//! changed something calls `Shared::finish`, which hands events out, writes what can be written,
//! and leaves effects to the driver.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::Duration;

use tractor_core::{
    Actor, ChildId, ConnId, DialogId, Effect, EndReason, Instant, NurseryId, Output, Uid,
};
use tractor_executors::Executor;
use tractor_transports::{Listener, Stream, Transport};

use crate::boxes::{ChildBox, Mailbox, NurseryBox, Remains};
use crate::discovery::Registrar;
use crate::endpoint::Table;
use crate::error::Result;
use crate::host::{Host, Spawned};
use crate::keys::KeyMap;
use crate::ready::Ready;
use crate::root::ParentLink;
use crate::scope::{self, CancelScope};
use crate::sync::{Mutex, MutexGuard};
use crate::wakers::Wakers;

mod events;
mod flush;

/// What the host reports back of a spawn.
pub(crate) type SpawnReport = (ChildId, ConnId, std::io::Result<Spawned>);

/// A connection's transport, and what the driver has to know of it.
#[derive(Debug)]
pub(crate) struct ConnIo {
    pub(crate) stream: Arc<dyn Stream>,
    /// The socket was full: the driver waits until it is writable.
    pub(crate) want_write: bool,
    /// Writing failed for good; reading will tell.
    pub(crate) broken: bool,
    /// Write out, then shut down.
    pub(crate) closing: bool,
    /// The driver's next turn writes here: more stream items wait for it, and what a crowd of
    /// tasks has to say.
    pub(crate) burst: bool,
    /// Since when something of a crowd waits.
    pub(crate) held_at: Instant,
    /// Tasks that were started and not polled yet: their first answer goes out with the ack.
    pub(crate) lazy: u32,
}

/// What is behind the lock.
pub(crate) struct Inner {
    pub(crate) core: Actor,
    pub(crate) conns: KeyMap<ConnId, ConnIo>,
    pub(crate) mailboxes: KeyMap<DialogId, Mailbox>,
    pub(crate) nurseries: KeyMap<NurseryId, NurseryBox>,
    pub(crate) children: KeyMap<ChildId, ChildBox>,
    /// Who waits for connections to open, close, or answer a cancel.
    pub(crate) conn_wakers: Wakers,
    /// The peers that answered our cancel of them, and what.
    pub(crate) cancel_answers: KeyMap<ConnId, bool>,
    /// Tasks that the driver's turn began.
    pub(crate) begun: usize,
    /// The driver has set several tasks going at once: until then, what they have to say goes out
    /// together.
    pub(crate) crowd_until: Instant,
    /// For the driver.
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) spawned: Vec<SpawnReport>,
    /// Listeners for the driver to take over.
    pub(crate) listeners: Vec<Box<dyn Listener>>,
    /// Connections that were made elsewhere, for the driver to take over.
    pub(crate) streams: Vec<(ConnId, Box<dyn Stream>)>,
    /// A child's instructions, once they came.
    pub(crate) spec: Option<tractor_core::msg::SpawnSpec>,
    /// Why this actor is to end, once it is.
    pub(crate) ending: Option<EndReason>,
    pub(crate) ended: bool,
    /// The driver has closed everything.
    pub(crate) driver_done: bool,
    /// The body of the root, to be cancelled when the actor is to end.
    pub(crate) body: Option<CancelScope>,
    /// The kinds of links that its children had, for tests of theirs.
    pub(crate) links_seen: std::collections::BTreeSet<&'static str>,
    /// What our probes found; `None` while they are under way.
    pub(crate) probes: KeyMap<ConnId, Option<tractor_core::Found>>,
    /// Where it is registered, besides with its parent.
    pub(crate) registrars: Vec<Registrar>,
    pub(crate) life_wakers: Wakers,
    pub(crate) registry_wakers: Wakers,
    /// When the driver's timer goes off.
    pub(crate) armed: Option<Instant>,
    /// To be woken, cancelled and dropped once the lock is released: all of it may run code that
    /// wants the lock.
    after: After,
    pub(crate) table: Arc<Table>,
    pub(crate) deferred: Vec<Box<dyn FnOnce() + Send>>,
    /// The root of the actor's scopes, to be told of a larger budget.
    scopes: Arc<scope::Root>,
}

/// One actor of this process.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// The process that it is.
    pub(crate) host: Arc<dyn Host>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) transports: Vec<Arc<dyn Transport>>,
    pub(crate) scopes: Arc<scope::Root>,
    /// What tasks of this actor share.
    pub(crate) cache: Arc<crate::cache::Cache>,
    pub(crate) ready: Arc<Ready>,
    pub(crate) uid: Uid,
    pub(crate) settings: Settings,
    /// A child's log level, from its instructions: its children's too.
    inherited_level: OnceLock<Option<String>>,
    /// Set once the instructions are here; a root's at once.
    pub(crate) tree: OnceLock<TreeInfo>,
    /// Where it listens itself. As `tree`.
    pub(crate) own_addrs: OnceLock<Vec<tractor_core::Address>>,
}

/// What a root chose, and its children inherit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) is_root: bool,
    pub(crate) loglevel: Option<String>,
    pub(crate) teardown: Option<Duration>,
    /// Extra arguments for every child, such as the test to run.
    pub(crate) child_args: Vec<std::ffi::OsString>,
    pub(crate) mute_children: bool,
    /// The interpreter of Python children.
    pub(crate) python: Option<std::path::PathBuf>,
}

/// What all actors of a tree know.
#[derive(Clone, Debug, Default)]
pub(crate) struct TreeInfo {
    pub(crate) registry_addrs: Vec<tractor_core::Address>,
    pub(crate) root_addrs: Vec<tractor_core::Address>,
    /// How its children come to their links.
    pub(crate) parent_link: ParentLink,
}

/// Refuses an address that other machines can reach.
pub(crate) fn check_reach(addr: &tractor_core::Address) -> Result<()> {
    match tractor_transports::tcp::is_loopback(addr) {
        true => Ok(()),
        false => Err(crate::error::Error::config(format!(
            "{addr} can be reached from other machines, and nothing would tell who connects: \
             listen on 127.0.0.1 or ::1"
        ))),
    }
}

impl TreeInfo {
    /// Where an actor of the tree listens that was not told where: at an address of each kind that
    /// the root has.
    pub(crate) fn own_addresses(&self, name: &str, pid: u32) -> Vec<tractor_core::Address> {
        let places = match self.root_addrs.is_empty() {
            true => &self.registry_addrs,
            false => &self.root_addrs,
        };
        let mut own: Vec<tractor_core::Address> = Vec::new();
        // The last socket of the root is in the tree's own directory.
        for place in places.iter().rev() {
            let addr = crate::child::own_address(place, name, pid);
            let both_uds = |other: &tractor_core::Address| {
                other.uds_path().is_some() && addr.uds_path().is_some()
            };
            if !own.iter().any(|other| *other == addr || both_uds(other)) {
                own.insert(0, addr);
            }
        }
        own
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Actor({})", self.uid)
    }
}

/// How long a task that waits for what has failed has time to see it, before its block is cancelled
/// because of it. One that is polled needs a moment; one that is kept and not polled never looks.
const NEWS_TIME: Duration = Duration::from_millis(500);

/// What has to wait until the lock is released.
#[derive(Default)]
pub(crate) struct After {
    woken: Vec<Waker>,
    cancelled: Vec<CancelScope>,
    /// To be cancelled when those who wait have seen why, or had their time for that.
    put_off: Vec<CancelScope>,
    dropped: Vec<ChildBox>,
    remains: Vec<Remains>,
    notes: Vec<crate::log::Note>,
}

impl After {
    /// How many tasks this wakes.
    fn woken(&self) -> usize {
        self.woken.len()
    }

    pub(crate) fn run(self, executor: &Arc<dyn Executor>) {
        self.notes.into_iter().for_each(crate::log::Note::write);
        for scope in self.cancelled {
            scope.cancel();
        }
        for waker in self.woken {
            waker.wake();
        }
        if !self.put_off.is_empty() {
            let mut timer = executor.timer();
            timer.set(Some(executor.now().saturating_add(NEWS_TIME)));
            let scopes = self.put_off;
            executor.spawn(Box::pin(async move {
                std::future::poll_fn(|cx| timer.poll_expired(cx)).await;
                scopes.iter().for_each(CancelScope::cancel);
            }));
        }
    }
}

/// The parts of a new actor.
pub(crate) struct Parts {
    pub(crate) config: tractor_core::Config,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) executor: Arc<dyn Executor>,
    /// The tree of scopes that it runs in, when there is one already.
    pub(crate) scopes: Option<Arc<scope::Root>>,
    pub(crate) settings: Settings,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Arc<Shared> {
        let Parts { config, host, executor, scopes, settings } = parts;
        let now = Instant::from_epoch(executor.now());
        let budget = config.teardown_budget;
        let own = || scope::Root::new(executor.clone(), budget);
        let scopes = scopes.unwrap_or_else(own);
        scopes.raise_budget(budget);
        let core = Actor::new(config, host.seed(), now);
        let uid = core.uid().clone();
        let inner = Inner {
            core,
            conns: KeyMap::default(),
            mailboxes: KeyMap::default(),
            nurseries: KeyMap::default(),
            children: KeyMap::default(),
            conn_wakers: Wakers::default(),
            cancel_answers: KeyMap::default(),
            begun: 0,
            crowd_until: now,
            effects: VecDeque::new(),
            spawned: Vec::new(),
            listeners: Vec::new(),
            streams: Vec::new(),
            spec: None,
            ending: None,
            ended: false,
            driver_done: false,
            body: None,
            links_seen: std::collections::BTreeSet::new(),
            probes: KeyMap::default(),
            registrars: Vec::new(),
            life_wakers: Wakers::default(),
            registry_wakers: Wakers::default(),
            armed: None,
            after: After::default(),
            table: Arc::default(),
            deferred: Vec::new(),
            scopes: scopes.clone(),
        };
        Arc::new(Shared {
            inner: Mutex::new(inner),
            scopes,
            cache: Arc::default(),
            executor,
            transports: host.transports(),
            host,
            ready: Ready::new(),
            uid,
            settings,
            inherited_level: OnceLock::new(),
            tree: OnceLock::new(),
            own_addrs: OnceLock::new(),
        })
    }

    /// The endpoints that peers may call from now on.
    pub(crate) fn use_table(&self, table: Table) {
        let mut inner = self.lock();
        for ns in table.namespaces() {
            inner.core.enable(ns);
        }
        inner.table = Arc::new(table);
    }

    /// What a child's own children inherit from its instructions.
    pub(crate) fn inherit(&self, loglevel: Option<&str>) {
        self.inherited_level.get_or_init(|| loglevel.map(str::to_owned));
    }

    /// Binds an address. It listens once that is [served](Self::serve).
    ///
    /// # Errors
    /// When other machines can reach the address, no transport serves it, or it can't be bound.
    pub(crate) fn bind(&self, addr: &tractor_core::Address) -> Result<Box<dyn Listener>> {
        check_reach(addr)?;
        let transport = self.transports.iter().find(|t| t.serves(addr)).ok_or_else(|| {
            crate::error::Error::config(format!("no transport serves the address {addr}"))
        })?;
        Ok(transport.listen(&self.executor, addr)?)
    }

    /// The driver accepts from now on what comes there, unless it is through already.
    pub(crate) fn serve(&self, listeners: Vec<Box<dyn Listener>>) {
        let mut inner = self.lock();
        if inner.driver_done {
            drop(inner);
            return drop(listeners);
        }
        inner.listeners.extend(listeners);
        drop(inner);
        self.ready.wake_driver();
    }

    /// The driver is gone for good: whoever waits here is told that the actor has ended.
    pub(crate) fn give_up(&self) {
        let mut inner = self.lock();
        inner.ended = true;
        inner.conns.clear();
        let mut wakers = inner.conn_wakers.take();
        for nursery in inner.nurseries.values_mut() {
            nursery.closed = true;
            wakers.extend(nursery.wakers.take());
        }
        for mailbox in inner.mailboxes.values_mut() {
            mailbox.end(Err(crate::error::Error::Cancelled), mailbox.absorbed);
            wakers.extend(mailbox.wakers.take());
        }
        wakers.extend(inner.registry_wakers.take());
        let mut children = inner.children.drain().map(|(_, child)| child).collect::<Vec<_>>();
        for child in &mut children {
            wakers.extend(child.wakers.take());
        }
        let body = inner.body.clone();
        drop(inner);
        drop(children);
        body.into_iter().for_each(|body| body.cancel());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The log level for children that are given none.
    pub(crate) fn loglevel(&self) -> Option<String> {
        let inherited = self.inherited_level.get().cloned().flatten();
        inherited.or_else(|| self.settings.loglevel.clone())
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_epoch(self.executor.now())
    }

    /// Takes the lock. A panic under it is a bug of ours: whoever comes next reports it too.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("the actor's state is intact: nothing panics under its lock")
    }

    /// Takes the lock, and then reads the clock: so the core sees time go forward, whoever comes.
    pub(crate) fn lock_now(&self) -> (Instant, MutexGuard<'_, Inner>) {
        let inner = self.lock();
        (self.now(), inner)
    }

    /// Gives the core a command, and sees to what follows from it.
    pub(crate) fn command<T>(&self, run: impl FnOnce(&mut Inner, Instant) -> T) -> T {
        let (now, mut inner) = self.lock_now();
        let value = run(&mut inner, now);
        self.finish(now, inner, flush::Urgency::Now);
        value
    }

    /// As [`command`](Self::command), for stream items: the first of a burst goes out at once, the
    /// rest with the driver's next turn, in one write.
    pub(crate) fn command_lazily<T>(&self, run: impl FnOnce(&mut Inner, Instant) -> T) -> T {
        let (now, mut inner) = self.lock_now();
        let value = run(&mut inner, now);
        self.finish(now, inner, flush::Urgency::Burst);
        value
    }

    /// Looks at the state, for a future that waits: `Pending` means that the closure has left the
    /// waker where it will be found.
    pub(crate) fn poll<T>(&self, look: impl FnOnce(&mut Inner) -> Poll<T>) -> Poll<T> {
        look(&mut self.lock())
    }

    /// Hands out events, writes, wakes, and leaves the effects to the driver.
    fn finish<'a>(
        &'a self,
        now: Instant,
        mut inner: MutexGuard<'a, Inner>,
        urgency: flush::Urgency,
    ) {
        inner.drain_events();
        inner = self.flush_dirty(now, inner, urgency);
        let driver_needed = !inner.effects.is_empty() || inner.deadline_moved() || inner.ended;
        let after = std::mem::take(&mut inner.after);
        drop(inner);
        after.run(&self.executor);
        if driver_needed {
            self.ready.wake_driver();
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.lock().ended
    }

    /// The actor and its children, for people.
    pub(crate) fn dump(&self) -> String {
        use std::fmt::Write as _;
        let Ok(inner) = self.inner.try_lock() else {
            return format!("{} (busy)\n", self.uid);
        };
        let mut text = format!("{} {:?} {:?}\n", self.uid, inner.core.life(), inner.core.census());
        for (_, uid, phase, pid) in inner.core.children() {
            // Writing to a String can't fail.
            let _ = writeln!(text, "  {uid} pid {pid:?}: {phase}");
        }
        text
    }

    /// The connection to our parent.
    pub(crate) fn parent(&self) -> Option<ConnId> {
        self.lock().core.parent()
    }
}

impl Inner {
    /// Pops everything the core decided: events into their boxes, effects to the driver.
    pub(crate) fn drain_events(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Event(event) => self.on_event(event),
                Output::Effect(effect) => self.effects.push_back(effect),
                _ => {}
            }
        }
    }

    /// Whether the driver has to arm its timer for an earlier time than it did.
    fn deadline_moved(&mut self) -> bool {
        match (self.core.next_deadline(), self.armed) {
            (Some((at, _)), Some(armed)) => at < armed,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Forgets the children of a nursery that has closed.
    pub(crate) fn forget_children(&mut self, nursery: NurseryId) {
        let gone = self.children.extract_if(|_, child| child.nursery == nursery);
        self.after.dropped.extend(gone.map(|(_, child)| child));
    }

    /// Forgets the children of a nursery that nobody owns any more, as far as they have ended.
    pub(crate) fn forget_ended_children(&mut self, nursery: NurseryId) {
        let gone = self.children.extract_if(|_, c| c.nursery == nursery && c.ended);
        self.after.dropped.extend(gone.map(|(_, child)| child));
    }

    pub(crate) fn note(&mut self, note: crate::log::Note) {
        self.after.notes.push(note);
    }

    pub(crate) fn cancel_later(&mut self, scope: CancelScope) {
        self.after.cancelled.push(scope);
    }

    pub(crate) fn wake_later(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        self.after.woken.extend(wakers);
    }

    /// The mailbox of a live dialog of ours.
    pub(crate) fn mailbox(&mut self, dialog: DialogId) -> &mut Mailbox {
        self.mailboxes.entry(dialog).or_default()
    }

    /// Removes the mailbox of a dialog whose owner is gone. Who waits on it besides looks again.
    #[must_use = "to be dropped without the lock: an error in it may be the program's"]
    pub(crate) fn remove_mailbox(&mut self, dialog: DialogId) -> Option<Mailbox> {
        let mut mailbox = self.mailboxes.remove(&dialog)?;
        if let Some(fanout) = mailbox.fanout.upgrade() {
            crate::stream::fanout::settle(&fanout, &mut mailbox);
        }
        let wakers = mailbox.wakers.take();
        self.wake_later(wakers);
        Some(mailbox)
    }

    /// Removes what came for a nursery that has closed, or that nobody owns. As above.
    pub(crate) fn remove_nursery(&mut self, nursery: NurseryId) {
        if let Some(mut gone) = self.nurseries.remove(&nursery) {
            self.wake_later(gone.wakers.take());
        }
    }

    /// What a dialog ended with, if it did.
    pub(crate) fn outcome(&self, dialog: DialogId) -> Option<Result<bytes::Bytes>> {
        self.mailboxes.get(&dialog).and_then(|m| m.outcome.clone())
    }
}
