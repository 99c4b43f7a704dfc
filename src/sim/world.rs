//! The processes of a simulation: actors of this very process, which end as real ones do.
//!
//! The rules are those of the system: who is killed runs not one line more, its links end, its
//! parent sees the exit, and its own children die with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tractor_core::Address;
use tractor_executors::sim::{Group, Sim};
use tractor_executors::{Executor, Readiness};
use tractor_transports::{Stream, Transport};

use super::config::Config;
use super::net::{Net, Wire};
use crate::child::{self, Born};
use crate::error::Result;
use crate::host::{Claim, Done, Home, Host, Link, Process, Spawned};
use crate::os::{ChildSpec, ExitStatus, RootSignals, Signal};
use crate::shared::{Settings, Shared};

/// The world's own tasks.
pub(super) const KERNEL: Group = Group(0);

/// The process that the program itself is.
pub(super) const ROOT: u32 = 1;

/// The parent of a program that was started beside it: none.
pub(super) const PROGRAM: u32 = 0;

/// A simulation under way.
pub(crate) struct World {
    pub(super) sim: Sim,
    pub(super) net: Arc<Net>,
    pub(super) config: Config,
    state: Mutex<State>,
}

struct State {
    next_pid: u32,
    /// Those that live, but the root.
    processes: BTreeMap<u32, Entry>,
    trees: u32,
    /// So many of the next spawns fail.
    failing_spawns: u32,
    /// The actors of this world, for people.
    actors: Vec<Weak<Shared>>,
}

struct Entry {
    name: String,
    parent: u32,
    paused: bool,
    /// How it ends when it goes on.
    pending: Option<ExitStatus>,
    exit: Arc<Exit>,
}

impl World {
    pub(super) fn new(config: Config) -> Arc<World> {
        let sim = Sim::new(config.seed, config.limits, KERNEL);
        let net = Net::new(sim.clone(), &config);
        let state = State {
            next_pid: ROOT + 1,
            processes: BTreeMap::new(),
            trees: 0,
            failing_spawns: 0,
            actors: Vec::new(),
        };
        Arc::new(World { sim, net, config, state: Mutex::new(state) })
    }

    /// The process `pid`, as its actor sees it.
    pub(super) fn host(self: &Arc<Self>, pid: u32) -> Arc<dyn Host> {
        Arc::new(SimHost { world: self.clone(), pid })
    }

    /// What the tasks of a process run on.
    pub(super) fn executor(&self, pid: u32) -> Arc<dyn Executor> {
        Arc::new(self.sim.group(Group(pid)))
    }

    /// The process whose code is running.
    pub(super) fn running(&self) -> u32 {
        self.sim.running().filter(|group| *group != KERNEL).map_or(ROOT, |group| group.0)
    }

    /// See [`Net::event`].
    pub(super) fn event(&self, what: fmt::Arguments<'_>) {
        self.net.event(what);
    }

    /// The processes that live, youngest first: the main program is none of them.
    pub(super) fn children(&self) -> Vec<(u32, String)> {
        let state = self.lock();
        state.processes.iter().rev().map(|(pid, entry)| (*pid, entry.name.clone())).collect()
    }

    /// The youngest living process of this name, or the one that has a root of this name.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let found = self.children().into_iter().find(|(_, known)| known == name);
        let with_root = || {
            let roots = self.roots();
            let found = roots.iter().rev().find(|a| a.uid.name == *name && !a.host.is_gone());
            found.map(|actor| actor.host.pid())
        };
        found.map(|(pid, _)| pid).or_else(with_root)
    }

    pub(super) fn name(&self, pid: u32) -> String {
        self.lock().processes.get(&pid).map_or_else(|| "root".to_owned(), |it| it.name.clone())
    }

    /// See [`Net::partition`].
    pub(super) fn partition(&self, inside: BTreeSet<u32>, time: Duration) -> usize {
        let names: Vec<String> = inside.iter().map(|pid| self.name(*pid)).collect();
        self.event(format_args!("{}: apart from all others for {time:?}", names.join(", ")));
        self.net.partition(inside, time)
    }

    /// So many more of the next spawns fail.
    pub(super) fn fail_spawns(&self, count: u32) {
        self.event(format_args!("spawns to fail: {count}"));
        let mut state = self.lock();
        state.failing_spawns = state.failing_spawns.saturating_add(count);
    }

    /// Moves the clock forward.
    pub(super) fn jump(&self, by: Duration) {
        self.event(format_args!("the clock jumps by {by:?}"));
        self.sim.jump(by);
    }

    /// The roots that were opened.
    pub(super) fn roots(&self) -> Vec<Arc<Shared>> {
        let actors: Vec<_> = self.lock().actors.iter().filter_map(Weak::upgrade).collect();
        actors.into_iter().filter(|actor| actor.settings.is_root).collect()
    }

    /// Its actors and what they hold, for people.
    pub(super) fn dump(&self) -> String {
        let actors: Vec<_> = self.lock().actors.iter().filter_map(Weak::upgrade).collect();
        actors.iter().map(|actor| actor.dump()).collect()
    }

    /// A signal for a process. False when it is gone.
    pub(super) fn signal(&self, pid: u32, signal: i32) -> bool {
        let status = ExitStatus::Signal { signal, core_dumped: false };
        match signal == Signal::KILL.as_raw() {
            true => self.kill(pid, status),
            false => self.exit(pid, status),
        }
    }

    fn kill(&self, pid: u32, status: ExitStatus) -> bool {
        let lives = self.lock().processes.contains_key(&pid);
        self.end(pid, status);
        lives
    }

    /// Ends a process as it would end itself: when it goes on. False when it is gone.
    pub(super) fn exit(&self, pid: u32, status: ExitStatus) -> bool {
        {
            let mut state = self.lock();
            let Some(entry) = state.processes.get_mut(&pid) else { return false };
            if entry.paused {
                entry.pending.get_or_insert(status);
                return true;
            }
        }
        self.end(pid, status);
        true
    }

    /// Stops a process, or lets it go on. False when it is gone.
    pub(super) fn pause(&self, pid: u32, paused: bool) -> bool {
        let pending = {
            let mut state = self.lock();
            let Some(entry) = state.processes.get_mut(&pid) else { return false };
            entry.paused = paused;
            entry.pending.take_if(|_| !paused)
        };
        self.event(format_args!("{} {}", self.name(pid), if paused { "stops" } else { "goes on" }));
        self.sim.pause(Group(pid), paused);
        if let Some(status) = pending {
            self.exit(pid, status);
        }
        true
    }

    /// A process ends, and with it those that it has started.
    pub(super) fn end(&self, pid: u32, status: ExitStatus) {
        let Some(entry) = self.lock().processes.remove(&pid) else { return };
        self.event(format_args!("{} (pid {pid}): {status}", entry.name));
        self.sim.end(Group(pid));
        self.net.forget(pid);
        let orphans: Vec<u32> = {
            let state = self.lock();
            state.processes.iter().filter(|(_, it)| it.parent == pid).map(|(pid, _)| *pid).collect()
        };
        let killed = ExitStatus::Signal { signal: Signal::KILL.as_raw(), core_dumped: false };
        orphans.into_iter().for_each(|orphan| self.end(orphan, killed));
        entry.exit.set(status);
    }

    /// A new process, and what tells of its end.
    pub(super) fn enter(&self, name: String, parent: u32) -> (u32, Arc<Exit>) {
        let exit = Arc::new(Exit::default());
        let mut state = self.lock();
        let pid = state.next_pid;
        state.next_pid += 1;
        let entry = Entry { name, parent, paused: false, pending: None, exit: exit.clone() };
        state.processes.insert(pid, entry);
        drop(state);
        self.net.enter(pid, parent);
        (pid, exit)
    }

    /// How long it takes until a new process begins.
    pub(super) fn spawn_time(&self) -> Duration {
        let (least, most) = self.config.spawn_time.clone().into_inner();
        self.sim.random_time(least, most)
    }

    /// The child's process and what its parent gets of it.
    fn start(self: &Arc<Self>, parent: u32, spec: ChildSpec) -> Spawned {
        let (pid, exit) = self.enter(child::own_name(&spec.argv0), parent);
        self.event(format_args!("{} (pid {pid}): spawned by pid {parent}", self.name(pid)));
        let [ours, theirs] = self.net.link([parent, pid]);
        let world = self.clone();
        self.executor(pid).spawn(Box::pin(async move {
            let code = live(&world, pid, &spec, theirs).await;
            world.end(pid, ExitStatus::Code(code));
        }));
        let process = Arc::new(SimProcess { world: self.clone(), pid, exit });
        Spawned { pid, link: Link::Stream(ours), process }
    }

    pub(super) fn is_alive(&self, pid: u32) -> bool {
        pid == ROOT || self.lock().processes.contains_key(&pid)
    }

    fn spawn_fails(&self) -> bool {
        let mut state = self.lock();
        let fails = state.failing_spawns > 0;
        state.failing_spawns = state.failing_spawns.saturating_sub(1);
        fails
    }

    pub(super) async fn sleep(&self, time: Duration) {
        let mut timer = self.sim.timer();
        timer.set(Some(self.sim.now().saturating_add(time)));
        poll_fn(|cx| timer.poll_expired(cx)).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World({:?})", self.config)
    }
}

/// A child's life. Returns its exit code.
async fn live(world: &Arc<World>, pid: u32, spec: &ChildSpec, link: Box<dyn Stream>) -> i32 {
    let marker = &spec.marker;
    let (name, uuid) = (child::own_name(&spec.argv0), child::uuid_text(marker.nonce));
    let back = marker.back.as_ref();
    let born = Born { name, uuid, back, settings: Settings::default() };
    let (shared, mut driver) = born.actor(world.host(pid), world.executor(pid));
    let mut lifeline = None;
    let link = match back {
        Some(back) => {
            lifeline = Some(link);
            child::connect_back(&shared, back).await
        }
        None => Ok(link),
    };
    let link = match link {
        Ok(link) => link,
        Err(error) => {
            eprintln!("tractor: this actor can't begin: {error}");
            return child::EXIT_BOOT;
        }
    };
    child::attach(&shared, &mut driver, link);
    shared.executor.spawn(Box::pin(driver.run()));
    let code = child::live(&shared).await;
    drop(lifeline);
    code
}

/// One process.
#[derive(Debug)]
struct SimHost {
    world: Arc<World>,
    pid: u32,
}

impl Host for SimHost {
    fn executor(&self, _: Option<Arc<dyn Executor>>) -> Result<Arc<dyn Executor>> {
        Ok(self.world.executor(self.pid))
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        for chunk in seed.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.world.sim.random(u64::MAX).to_le_bytes());
        }
        seed
    }

    fn secret(&self) -> io::Result<[u8; 16]> {
        let mut secret = [0; 16];
        secret.copy_from_slice(&self.seed()[..16]);
        Ok(secret)
    }

    fn transports(&self) -> Vec<Arc<dyn Transport>> {
        vec![Arc::new(Wire { net: self.world.net.clone(), pid: self.pid })]
    }

    fn home(&self, _: Option<&Path>) -> io::Result<Home> {
        let mut state = self.world.lock();
        state.trees += 1;
        let dir = format!("/sim/tree-{}", state.trees);
        Ok(Home { registry: Address::Uds { dir, file: "registry.sock".into() }, _dir: None })
    }

    fn signals(&self) -> io::Result<Option<RootSignals>> {
        Ok(None)
    }

    /// What it logs is the program's own logger's, as it is the same process.
    fn log_at(&self, _: Option<&str>) {}

    fn register(&self, actor: &Arc<Shared>) {
        self.world.lock().actors.push(Arc::downgrade(actor));
    }

    fn check_spawn(&self) -> Result<()> {
        Ok(())
    }

    fn spawn(&self, spec: ChildSpec, done: Done) {
        let (world, parent) = (self.world.clone(), self.pid);
        if let Some(exe) = &spec.exe {
            let text = format!("a simulation has no other programs: {}", exe.display());
            return done(Err(io::Error::new(io::ErrorKind::Unsupported, text)));
        }
        let time = world.spawn_time();
        let starting = async move {
            world.sleep(time).await;
            if !world.is_alive(parent) {
                return;
            }
            if world.spawn_fails() {
                world.event(format_args!("{}: its spawn fails", spec.argv0));
                let text = format!("can't start {}: too many processes (simulated)", spec.argv0);
                return done(Err(io::Error::new(io::ErrorKind::WouldBlock, text)));
            }
            done(Ok(world.start(parent, spec)));
        };
        self.world.sim.spawn(Box::pin(starting));
    }

    fn claim(&self, _: &Address) -> io::Result<Claim> {
        Ok(Claim::default())
    }

    fn sweep(&self, _: &Address) {}

    fn is_gone(&self) -> bool {
        !self.world.is_alive(self.pid)
    }
}

/// A process, as whoever has started it sees it. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct SimProcess {
    pub(super) world: Arc<World>,
    pub(super) pid: u32,
    pub(super) exit: Arc<Exit>,
}

impl Process for SimProcess {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn watch(&self, _: &dyn Executor) -> io::Result<Box<dyn Readiness>> {
        Ok(Box::new(Watch(self.exit.clone())))
    }

    fn try_reap(&self) -> io::Result<Option<ExitStatus>> {
        Ok(lock(&self.exit.state).0)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        self.world.signal(self.pid, signal.as_raw());
        Ok(())
    }

    /// Nothing is captured: children write to where we do.
    fn stdout_tail(&self) -> String {
        String::new()
    }

    fn stderr_tail(&self) -> String {
        String::new()
    }
}

impl Drop for SimProcess {
    fn drop(&mut self) {
        self.world.signal(self.pid, Signal::KILL.as_raw());
    }
}

/// How a process ended, once it has, and who waits for that.
#[derive(Debug, Default)]
pub(super) struct Exit {
    state: Mutex<(Option<ExitStatus>, Option<Waker>)>,
}

impl Exit {
    fn set(&self, status: ExitStatus) {
        let mut state = lock(&self.state);
        state.0 = Some(status);
        let waker = state.1.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// How it ended, once it has. One waits.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<ExitStatus> {
        let mut state = lock(&self.state);
        if let Some(status) = state.0 {
            return Poll::Ready(status);
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// What is readable once a process has exited.
#[derive(Debug)]
struct Watch(Arc<Exit>);

impl Readiness for Watch {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll(cx).map(|_| Ok(()))
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

/// No code that can panic runs under these locks.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
