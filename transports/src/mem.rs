//! Streams in memory, for tests: bounded, and cut into pieces as small as wanted.
//!
//! ```text
//!   one end ── try_write ─>[ pipe ]── poll_read ─> other end
//!           <─ poll_read ──[ pipe ]<─ try_write ──
//! ```
//!
//! [`pair`] makes two ends; [`Mem`] is a transport whose addresses exist only within its clones.
//! [`Pipes`] says how much a pipe holds and how much one call moves, so that a test can split what
//! is read at any byte. No system call is made and the executor is not used.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::ready;
use std::io::{self, IoSlice, Read as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use tractor_core::Address;
use tractor_executors::Executor;

use crate::{BoxFuture, Listener, PeerIdentity, Stream, Transport};

/// Connections that wait for [`Listener::poll_accept`]; a further connect is refused.
pub const BACKLOG: usize = 128;

/// The sizes of the two pipes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pipes {
    /// Bytes a pipe holds before a write would block. At least 1.
    pub capacity: usize,
    /// Bytes one read or one write moves at most. At least 1.
    pub chunk_max: usize,
}

impl Default for Pipes {
    /// 64 KiB each way, in one piece.
    fn default() -> Self {
        Self { capacity: 64 * 1024, chunk_max: usize::MAX }
    }
}

/// Two connected streams.
///
/// # Panics
/// When a size is 0: nothing could ever flow.
pub fn pair(pipes: Pipes) -> (Box<dyn Stream>, Box<dyn Stream>) {
    assert!(pipes.capacity > 0 && pipes.chunk_max > 0, "a pipe without room: {pipes:?}");
    let there = Arc::new(Pipe::new(pipes));
    let back = Arc::new(Pipe::new(pipes));
    let one = MemStream { reads: Arc::clone(&back), writes: Arc::clone(&there) };
    let other = MemStream { reads: there, writes: back };
    (Box::new(one), Box::new(other))
}

/// One direction of a connection.
#[derive(Debug)]
struct Pipe {
    pipes: Pipes,
    state: Mutex<PipeState>,
}

#[derive(Debug, Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    /// Set by either end's shutdown: no more bytes come in, those inside may be read.
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new(pipes: Pipes) -> Self {
        Self { pipes, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, PipeState> {
        lock(&self.state)
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        if state.bytes.is_empty() && !state.ended {
            let replaced = state.reader.replace(cx.waker().clone());
            drop((state, replaced));
            return Poll::Pending;
        }
        let len = buf.len().min(self.pipes.chunk_max);
        let read = state.bytes.read(&mut buf[..len]);
        let writer = state.writer.take();
        drop(state);
        wake(writer);
        Poll::Ready(read)
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.lock();
        if state.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = self.pipes.capacity - state.bytes.len();
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut left = room.min(self.pipes.chunk_max);
        let before = state.bytes.len();
        for buf in bufs {
            let part = &buf[..buf.len().min(left)];
            state.bytes.extend(part);
            left -= part.len();
            if left == 0 {
                break;
            }
        }
        let written = state.bytes.len() - before;
        let reader = state.reader.take_if(|_| written > 0);
        drop(state);
        wake(reader);
        Ok(written)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        // After the end a write makes progress too: it fails.
        if state.bytes.len() < self.pipes.capacity || state.ended {
            return Poll::Ready(Ok(()));
        }
        let replaced = state.writer.replace(cx.waker().clone());
        drop((state, replaced));
        Poll::Pending
    }

    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let (reader, writer) = (state.reader.take(), state.writer.take());
        drop(state);
        wake(reader);
        wake(writer);
    }
}

/// One end of a connection. Dropping it shuts it down.
#[derive(Debug)]
struct MemStream {
    reads: Arc<Pipe>,
    writes: Arc<Pipe>,
}

impl Stream for MemStream {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.reads.poll_read(cx, buf)
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writes.try_write(bufs)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writes.poll_writable(cx)
    }

    fn shutdown(&self) {
        self.writes.end();
        self.reads.end();
    }

    /// This process: both ends are in it. The user is not asked for.
    fn peer(&self) -> PeerIdentity {
        PeerIdentity { pid: Some(std::process::id()), uid: None }
    }

    fn link(&self) -> &'static str {
        "mem"
    }
}

impl Drop for MemStream {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// A transport within one process. Its clones share their addresses; another [`Mem::new`] has its
/// own. It serves every kind of [`Address`]; a TCP port 0 becomes a free one.
#[derive(Clone, Debug, Default)]
pub struct Mem {
    pipes: Pipes,
    bound: Arc<Mutex<BTreeMap<Address, Weak<Queue>>>>,
}

impl Mem {
    /// A hub with nothing bound, whose connections have pipes of this size.
    pub fn new(pipes: Pipes) -> Self {
        Self { pipes, bound: Arc::default() }
    }

    fn bind(&self, addr: &Address) -> io::Result<MemListener> {
        let mut bound = lock(&self.bound);
        let addr = free_addr(&bound, addr)?;
        let queue = Arc::new(Queue::default());
        bound.insert(addr.clone(), Arc::downgrade(&queue));
        Ok(MemListener { addr, queue, bound: Arc::clone(&self.bound) })
    }

    fn connect_now(&self, addr: &Address) -> io::Result<Box<dyn Stream>> {
        let queue = lock(&self.bound).get(addr).and_then(Weak::upgrade);
        let Some(queue) = queue else {
            return Err(failed(io::ErrorKind::ConnectionRefused, "nobody listens at", addr));
        };
        let (near, far) = pair(self.pipes);
        let mut state = lock(&queue.state);
        if state.waiting.len() >= BACKLOG {
            return Err(failed(io::ErrorKind::ConnectionRefused, "too many wait at", addr));
        }
        state.waiting.push_back(far);
        let acceptor = state.acceptor.take();
        drop(state);
        wake(acceptor);
        Ok(near)
    }
}

impl Transport for Mem {
    fn serves(&self, _: &Address) -> bool {
        true
    }

    fn listen(&self, _: &Arc<dyn Executor>, addr: &Address) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(self.bind(addr)?))
    }

    fn connect(
        &self,
        _: &Arc<dyn Executor>,
        addr: &Address,
    ) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(ready(self.connect_now(addr)))
    }
}

/// What waits to be accepted at one address.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<QueueState>,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<Box<dyn Stream>>,
    acceptor: Option<Waker>,
}

struct MemListener {
    addr: Address,
    queue: Arc<Queue>,
    bound: Arc<Mutex<BTreeMap<Address, Weak<Queue>>>>,
}

impl Listener for MemListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>> {
        let mut state = lock(&self.queue.state);
        match state.waiting.pop_front() {
            Some(stream) => Poll::Ready(Ok(stream)),
            None => {
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

impl fmt::Debug for MemListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemListener").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Drop for MemListener {
    fn drop(&mut self) {
        lock(&self.bound).remove(&self.addr);
    }
}

/// The address itself, or one with a free port in place of port 0.
fn free_addr(bound: &BTreeMap<Address, Weak<Queue>>, addr: &Address) -> io::Result<Address> {
    if let Address::Tcp { host, port: 0 } = *addr {
        // The range that systems take such ports from.
        let mut free = (49152..=u16::MAX).map(|port| Address::Tcp { host, port });
        return free
            .find(|addr| !bound.contains_key(addr))
            .ok_or_else(|| failed(io::ErrorKind::AddrInUse, "no port is free for", addr));
    }
    if bound.contains_key(addr) {
        return Err(failed(io::ErrorKind::AddrInUse, "somebody listens already at", addr));
    }
    Ok(addr.clone())
}

fn failed(kind: io::ErrorKind, what: &str, addr: &Address) -> io::Error {
    io::Error::new(kind, format!("{what} {addr}"))
}

/// No code that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Never under a lock: a waker is somebody else's code. So is its drop: `drop((state, replaced))`
/// above unlocks first.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
