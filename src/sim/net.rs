//! The network of a simulation: links that take time, split and merge what they carry, stall, and
//! are cut. Within a link nothing is lost, doubled or overtaken before its end, as in a socket.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tractor_core::Address;
use tractor_executors::sim::Sim;
use tractor_executors::{Executor, Timer};
use tractor_transports::{BoxFuture, Listener, PeerIdentity, Stream, Transport};

use super::config::Config;

/// The kind of its links, as [`Portal::link`](crate::Portal::link) names it.
const LINK: &str = "sim";

/// Bytes that a link holds each way before a write would block.
const CAPACITY: usize = 64 << 10;

/// One read in so many is cut short, and one write.
const SPLIT_ONE_IN: u64 = 4;

/// See the module.
pub(super) struct Net {
    sim: Sim,
    latency: RangeInclusive<Duration>,
    verbose: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bound: BTreeMap<Address, (u32, Arc<Queue>)>,
    /// Pairs of processes, the older first, and until when no connection between them comes about.
    stalled: BTreeMap<[u32; 2], Duration>,
    partitions: Vec<Partition>,
    refusals: Ahead<()>,
    /// By how much connects are late.
    delays: Ahead<Duration>,
    links: Vec<Weak<Link>>,
}

/// What is ahead of connects: of so many, of those that come by then.
struct Ahead<T>(VecDeque<(u32, Duration, T)>);

impl<T> Default for Ahead<T> {
    fn default() -> Self {
        Ahead(VecDeque::new())
    }
}

impl<T: Copy> Ahead<T> {
    fn add(&mut self, count: u32, until: Duration, what: T) {
        if count > 0 {
            self.0.push_back((count, until, what));
        }
    }

    /// What one that comes now meets.
    fn take(&mut self, now: Duration) -> Option<T> {
        self.0.retain(|(_, until, _)| *until >= now);
        let (count, _, what) = self.0.front_mut()?;
        let what = *what;
        *count -= 1;
        if *count == 0 {
            self.0.pop_front();
        }
        Some(what)
    }
}

/// Processes that reach each other, and nobody else.
struct Partition {
    inside: BTreeSet<u32>,
    until: Duration,
}

impl Partition {
    fn parts(&self, one: u32, other: u32) -> bool {
        self.inside.contains(&one) != self.inside.contains(&other)
    }
}

/// Two pipes. The first end writes the first one.
struct Link {
    ends: [u32; 2],
    pipes: [Pipe; 2],
}

impl Net {
    pub(super) fn new(sim: Sim, config: &Config) -> Arc<Net> {
        let (latency, verbose) = (config.latency.clone(), config.verbose);
        Arc::new(Net { sim, latency, verbose, state: Mutex::default() })
    }

    /// Something happened: part of the trace, and shown if that is asked for.
    pub(super) fn event(&self, what: fmt::Arguments<'_>) {
        let text = what.to_string();
        self.sim.note(text.as_bytes());
        if self.verbose {
            eprintln!("sim {:>12.3?} {text}", self.sim.now());
        }
    }

    /// A new link between two processes.
    pub(super) fn link(self: &Arc<Self>, ends: [u32; 2]) -> [Box<dyn Stream>; 2] {
        let pipes = [Pipe::new(&self.sim), Pipe::new(&self.sim)];
        let link = Arc::new(Link { ends, pipes });
        let mut state = lock(&self.state);
        state.links.retain(|known| known.strong_count() > 0);
        state.links.push(Arc::downgrade(&link));
        [0, 1].map(|end| {
            Box::new(End { net: self.clone(), link: link.clone(), end }) as Box<dyn Stream>
        })
    }

    /// A random time in which bytes arrive.
    pub(super) fn delay(&self) -> Duration {
        self.sim.random_time(*self.latency.start(), *self.latency.end())
    }

    fn links(&self) -> Vec<Arc<Link>> {
        lock(&self.state).links.iter().filter_map(Weak::upgrade).collect()
    }

    /// The living links between two processes.
    fn between(&self, one: u32, other: u32) -> impl Iterator<Item = Arc<Link>> + use<> {
        let are = move |link: &Arc<Link>| {
            let [a, b] = link.ends;
            (a, b) == (one, other) || (a, b) == (other, one)
        };
        self.links().into_iter().filter(are).filter(|link| link.is_open())
    }

    /// Pairs of processes with an open link.
    pub(super) fn pairs(&self) -> Vec<[u32; 2]> {
        self.links().iter().filter(|link| link.is_open()).map(|link| link.ends).collect()
    }

    /// Breaks the links between two processes: what is under way is lost. How many there were.
    pub(super) fn cut(&self, one: u32, other: u32) -> usize {
        self.between(one, other).map(|link| link.pipes.iter().for_each(Pipe::cut)).count()
    }

    /// Keeps everything between two processes from arriving for so long. How many links there were.
    pub(super) fn stall(&self, one: u32, other: u32, time: Duration) -> usize {
        let now = self.sim.now();
        let until = now.saturating_add(time);
        {
            let stalled = &mut lock(&self.state).stalled;
            stalled.retain(|_, until| *until > now);
            let pair = stalled.entry([one.min(other), one.max(other)]).or_default();
            *pair = (*pair).max(until);
        }
        let stall = |link: Arc<Link>| link.pipes.iter().for_each(|pipe| pipe.stall(until));
        self.between(one, other).map(stall).count()
    }

    /// Keeps what `from` says on its open links to `to` from arriving for so long, and so the news
    /// of its end. How many links there are.
    pub(super) fn silence(&self, from: u32, to: u32, time: Duration) -> usize {
        let until = self.sim.now().saturating_add(time);
        let silence = |link: Arc<Link>| {
            let said = usize::from(link.ends[0] != from);
            link.pipes[said].stall(until);
        };
        self.between(from, to).map(silence).count()
    }

    /// Parts these processes, and the children that they start from now on, from all others for so
    /// long. How many links there are between the two sides.
    pub(super) fn partition(&self, inside: BTreeSet<u32>, time: Duration) -> usize {
        let now = self.sim.now();
        let partition = Partition { inside, until: now.saturating_add(time) };
        let parted = |link: &Arc<Link>| partition.parts(link.ends[0], link.ends[1]);
        let links = self.links().into_iter().filter(parted).filter(|link| link.is_open());
        let stall =
            |link: Arc<Link>| link.pipes.iter().for_each(|pipe| pipe.stall(partition.until));
        let count = links.map(stall).count();
        let partitions = &mut lock(&self.state).partitions;
        partitions.retain(|partition| partition.until > now);
        partitions.push(partition);
        count
    }

    /// A process was started: it is where its parent is.
    pub(super) fn enter(&self, pid: u32, parent: u32) {
        for partition in &mut lock(&self.state).partitions {
            if partition.inside.contains(&parent) {
                partition.inside.insert(pid);
            }
        }
    }

    /// So many more of the next connects are refused, which come within that time.
    pub(super) fn refuse(&self, count: u32, within: Duration) {
        self.event(format_args!("connects to be refused: {count}"));
        let until = self.sim.now().saturating_add(within);
        lock(&self.state).refusals.add(count, until, ());
    }

    /// So many more of the next connects take so much longer, which come within that time.
    pub(super) fn delay_connects(&self, count: u32, time: Duration, within: Duration) {
        self.event(format_args!("connects to be late by {time:?}: {count}"));
        let until = self.sim.now().saturating_add(within);
        lock(&self.state).delays.add(count, until, time);
    }

    /// How long a connect takes, that begins now.
    fn connect_time(&self, pid: u32, addr: &Address) -> Duration {
        let late = lock(&self.state).delays.take(self.sim.now());
        if let Some(late) = late {
            self.event(format_args!("pid {pid}: a connect to {addr} takes {late:?} longer"));
        }
        self.delay().saturating_add(late.unwrap_or_default())
    }

    /// Whether this connect is one of those that fail although somebody listens.
    fn check_connect(&self, pid: u32, addr: &Address) -> io::Result<()> {
        let (refused, apart) = {
            let (now, mut state) = (self.sim.now(), lock(&self.state));
            // Where nobody listens it is refused anyway.
            let listens = state.bound.contains_key(addr);
            let refused = listens && state.refusals.take(now).is_some();
            (refused, state.apart_until(pid, addr, now).is_some())
        };
        if refused {
            self.event(format_args!("pid {pid}: a connect to {addr} is refused"));
            return Err(failed(io::ErrorKind::ConnectionRefused, "refused (simulated) at", addr));
        }
        // One that crosses a partition fails, or hangs until it heals.
        if apart && self.sim.random(2) == 0 {
            self.event(format_args!("pid {pid}: no way to {addr}"));
            return Err(failed(io::ErrorKind::HostUnreachable, "no way (simulated) to", addr));
        }
        Ok(())
    }

    /// A process is gone: its links end after what it had written, and it listens no more.
    pub(super) fn forget(&self, pid: u32) {
        let gone: Vec<(u32, Arc<Queue>)> = {
            let mut state = lock(&self.state);
            let mine = |(_, (owner, _)): (&Address, &(u32, _))| *owner == pid;
            let addrs: Vec<Address> =
                state.bound.iter().filter(|it| mine(*it)).map(|(addr, _)| addr.clone()).collect();
            addrs.iter().filter_map(|addr| state.bound.remove(addr)).collect()
        };
        for (_, queue) in &gone {
            let waiting = std::mem::take(&mut lock(&queue.state).waiting);
            waiting.iter().for_each(|stream| stream.shutdown());
        }
        for link in self.links().into_iter().filter(|link| link.ends.contains(&pid)) {
            link.pipes.iter().for_each(|pipe| pipe.end(self.delay()));
        }
    }

    fn bind(self: &Arc<Self>, pid: u32, addr: &Address) -> io::Result<Bound> {
        let mut state = lock(&self.state);
        let addr = free_addr(&state.bound, addr)?;
        let queue = Arc::new(Queue::default());
        state.bound.insert(addr.clone(), (pid, queue.clone()));
        Ok(Bound { net: self.clone(), addr, queue })
    }

    /// When a connection from this process to that address can come about, if not now.
    fn hangs_until(&self, pid: u32, addr: &Address) -> Option<Duration> {
        let (now, state) = (self.sim.now(), lock(&self.state));
        state.stalled_until(pid, addr, now).max(state.apart_until(pid, addr, now))
    }

    fn connect(self: &Arc<Self>, pid: u32, addr: &Address) -> io::Result<Box<dyn Stream>> {
        let bound = lock(&self.state).bound.get(addr).cloned();
        let Some((owner, queue)) = bound else {
            return Err(failed(io::ErrorKind::ConnectionRefused, "nobody listens at", addr));
        };
        let [near, far] = self.link([pid, owner]);
        let mut state = lock(&queue.state);
        state.waiting.push_back(far);
        let acceptor = state.acceptor.take();
        drop(state);
        wake(acceptor);
        Ok(near)
    }
}

impl State {
    fn stalled_until(&self, pid: u32, addr: &Address, now: Duration) -> Option<Duration> {
        let owner = self.bound.get(addr)?.0;
        let until = *self.stalled.get(&[pid.min(owner), pid.max(owner)])?;
        (until > now).then_some(until)
    }

    fn apart_until(&self, pid: u32, addr: &Address, now: Duration) -> Option<Duration> {
        let owner = self.bound.get(addr)?.0;
        let parting = self.partitions.iter().filter(|it| it.until > now && it.parts(pid, owner));
        parting.map(|it| it.until).max()
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("latency", &self.latency).finish_non_exhaustive()
    }
}

impl Link {
    fn is_open(&self) -> bool {
        self.pipes.iter().all(|pipe| !pipe.is_ended())
    }
}

/// One direction of a link.
struct Pipe {
    sim: Sim,
    state: Mutex<PipeState>,
}

struct PipeState {
    /// What was written, and when it arrives: in order, so never before what was written earlier.
    flying: VecDeque<(Duration, VecDeque<u8>)>,
    len: usize,
    last_at: Duration,
    /// When the end arrives, once there is one.
    end_at: Option<Duration>,
    /// Until when nothing arrives, so that nobody is told either that the writing side is gone.
    silent_until: Duration,
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Wakes the reader when the next bytes arrive.
    timer: Box<dyn Timer>,
}

impl Pipe {
    fn new(sim: &Sim) -> Pipe {
        let state = PipeState {
            flying: VecDeque::new(),
            len: 0,
            last_at: Duration::ZERO,
            end_at: None,
            silent_until: Duration::ZERO,
            broken: false,
            reader: None,
            writer: None,
            timer: sim.timer(),
        };
        Pipe { sim: sim.clone(), state: Mutex::new(state) }
    }

    fn is_ended(&self) -> bool {
        let state = lock(&self.state);
        state.broken || state.end_at.is_some()
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let now = self.sim.now();
        let most = self.split(buf.len());
        let mut state = lock(&self.state);
        if state.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let read = state.take(now, &mut buf[..most]);
        if read > 0 {
            let writer = state.writer.take();
            drop(state);
            wake(writer);
            return Poll::Ready(Ok(read));
        }
        if state.flying.is_empty() && state.end_at.is_some_and(|at| at <= now) {
            return Poll::Ready(Ok(0));
        }
        state.reader = Some(cx.waker().clone());
        state.arm();
        Poll::Pending
    }

    /// Whether nothing arrives by it, the news of an end neither.
    fn is_silent(&self) -> bool {
        self.sim.now() < lock(&self.state).silent_until
    }

    /// `hears`: whether the news of an end would have reached who writes.
    fn try_write(&self, bufs: &[IoSlice<'_>], delay: Duration, hears: bool) -> io::Result<usize> {
        let (now, all) = (self.sim.now(), bufs.iter().map(|buf| buf.len()).sum::<usize>());
        let most = self.split(all);
        let mut state = lock(&self.state);
        if state.broken || state.end_at.is_some() {
            // Who hears nothing writes into the void.
            let void = !state.broken && !hears;
            return if void { Ok(most) } else { Err(io::ErrorKind::BrokenPipe.into()) };
        }
        let mut left = most.min(CAPACITY - state.len);
        if left == 0 && all > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut bytes = VecDeque::with_capacity(left);
        for buf in bufs {
            let part = &buf[..buf.len().min(left)];
            self.sim.note(part);
            bytes.extend(part);
            left -= part.len();
        }
        let written = bytes.len();
        let at = state.last_at.max(now.saturating_add(delay));
        state.last_at = at;
        state.len += written;
        state.flying.push_back((at, bytes));
        state.arm();
        Ok(written)
    }

    /// How much of `len` bytes one call moves: all of them mostly, and at least one.
    fn split(&self, len: usize) -> usize {
        match self.sim.random(SPLIT_ONE_IN) {
            0 if len > 1 => 1 + self.sim.random(len as u64) as usize,
            _ => len,
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        // After the end a write makes progress too: it fails.
        if state.len < CAPACITY || state.broken || state.end_at.is_some() {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// No more is written: the end arrives after what was.
    fn end(&self, delay: Duration) {
        let now = self.sim.now();
        let mut state = lock(&self.state);
        let at = state.last_at.max(now.saturating_add(delay));
        state.end_at.get_or_insert(at);
        state.arm();
        let writer = state.writer.take();
        drop(state);
        wake(writer);
    }

    fn cut(&self) {
        let mut state = lock(&self.state);
        state.broken = true;
        state.flying.clear();
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().for_each(wake);
    }

    fn stall(&self, until: Duration) {
        let mut state = lock(&self.state);
        state.silent_until = state.silent_until.max(until);
        state.last_at = state.last_at.max(until);
        state.flying.iter_mut().for_each(|(at, _)| *at = (*at).max(until));
        state.end_at = state.end_at.map(|at| at.max(until));
        state.arm();
    }
}

impl PipeState {
    /// Takes what has arrived.
    fn take(&mut self, now: Duration, buf: &mut [u8]) -> usize {
        let mut read = 0;
        while let Some((at, bytes)) = self.flying.front_mut().filter(|_| read < buf.len()) {
            if *at > now {
                break;
            }
            // Reading from memory can't fail.
            read += io::Read::read(bytes, &mut buf[read..]).unwrap_or(0);
            if bytes.is_empty() {
                self.flying.pop_front();
            }
        }
        self.len -= read;
        read
    }

    /// Has the reader woken when the next bytes, or the end, arrive.
    fn arm(&mut self) {
        let next = self.flying.front().map(|(at, _)| *at).or(self.end_at);
        let Some(reader) = &self.reader else { return };
        self.timer.set(next);
        if self.timer.poll_expired(&mut Context::from_waker(reader)).is_ready() {
            // The wakers of our drivers only note who is due: they take no lock of a pipe.
            wake(self.reader.take());
        }
    }
}

/// One end of a link. Dropping it shuts it down.
struct End {
    net: Arc<Net>,
    link: Arc<Link>,
    end: usize,
}

impl Stream for End {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.link.pipes[1 - self.end].poll_read(cx, buf)
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let hears = !self.link.pipes[1 - self.end].is_silent();
        self.link.pipes[self.end].try_write(bufs, self.net.delay(), hears)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.pipes[self.end].poll_writable(cx)
    }

    fn shutdown(&self) {
        self.link.pipes.iter().for_each(|pipe| pipe.end(self.net.delay()));
    }

    fn peer(&self) -> PeerIdentity {
        let mut peer = PeerIdentity::default();
        peer.pid = Some(self.link.ends[1 - self.end]);
        peer
    }

    fn link(&self) -> &'static str {
        LINK
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = (self.link.ends[self.end], self.link.ends[1 - self.end]);
        write!(f, "End({ours} -> {theirs})")
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// The network, as one process sees it. It serves every kind of address.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) net: Arc<Net>,
    pub(super) pid: u32,
}

impl Transport for Wire {
    fn serves(&self, _: &Address) -> bool {
        true
    }

    fn listen(&self, _: &Arc<dyn Executor>, addr: &Address) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(self.net.bind(self.pid, addr)?))
    }

    fn connect(
        &self,
        executor: &Arc<dyn Executor>,
        addr: &Address,
    ) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let (net, pid, addr) = (self.net.clone(), self.pid, addr.clone());
        let mut timer = executor.timer();
        timer.set(Some(executor.now().saturating_add(net.connect_time(pid, &addr))));
        Box::pin(async move {
            poll_fn(|cx| timer.poll_expired(cx)).await;
            net.check_connect(pid, &addr)?;
            while let Some(until) = net.hangs_until(pid, &addr) {
                timer.set(Some(until));
                poll_fn(|cx| timer.poll_expired(cx)).await;
            }
            net.connect(pid, &addr)
        })
    }
}

/// What waits to be accepted at one address.
#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<Box<dyn Stream>>,
    acceptor: Option<Waker>,
}

struct Bound {
    net: Arc<Net>,
    addr: Address,
    queue: Arc<Queue>,
}

impl Listener for Bound {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>> {
        let mut state = lock(&self.queue.state);
        match state.waiting.pop_front() {
            Some(stream) => Poll::Ready(Ok(stream)),
            None => {
                // Dropping a waker may drop a task, which may look in here.
                let replaced = state.acceptor.replace(cx.waker().clone());
                drop((state, replaced));
                Poll::Pending
            }
        }
    }

    fn local_addr(&self) -> Address {
        self.addr.clone()
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let mut state = lock(&self.net.state);
        // One that has been killed may find another one at its old address.
        let is_ours = |(_, queue): &(u32, Arc<Queue>)| Arc::ptr_eq(queue, &self.queue);
        let ours = state.bound.get(&self.addr).is_some_and(is_ours);
        let gone = ours.then(|| state.bound.remove(&self.addr));
        drop(state);
        drop(gone);
    }
}

/// The address itself, or one with a free port in place of port 0.
fn free_addr<T>(bound: &BTreeMap<Address, T>, addr: &Address) -> io::Result<Address> {
    let addr = match *addr {
        Address::Tcp { host, port: 0 } => {
            let mut free = (49152..=u16::MAX).map(|port| Address::Tcp { host, port });
            free.find(|addr| !bound.contains_key(addr)).unwrap_or_else(|| addr.clone())
        }
        _ => addr.clone(),
    };
    match bound.contains_key(&addr) {
        true => Err(failed(io::ErrorKind::AddrInUse, "somebody listens already at", &addr)),
        false => Ok(addr),
    }
}

fn failed(kind: io::ErrorKind, what: &str, addr: &Address) -> io::Error {
    io::Error::new(kind, format!("{what} {addr}"))
}

/// No code that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
