//! Captured output of children: read as it comes, the last of it kept.
//!
//! One thread, `tractor-drain`, polls every captured pipe and never ends, so that no child is ever
//! blocked on a full pipe, however busy the executor is. Output that is also passed on goes through
//! a bounded queue and a thread of its own (`tractor-tee`, one per stream), because *our* stream
//! may be stuck, and that must not stop the draining.
//!
//! The same thread reaps processes whose owner was dropped before they had exited.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read};

use super::process::Exit;
use super::spawn::Output;

/// How much of a captured stream is kept. Enough for a panic with its backtrace.
pub(crate) const TAIL_BYTES_MAX: usize = 16 * 1024;

/// How much is read from one pipe in one turn, so that one loud child can't starve the others.
const TURN_BYTES_MAX: usize = 64 * 1024;

/// How much is read when the tail is asked for: as much as a pipe may hold without privileges.
const PIPE_BYTES_MAX: usize = 1024 * 1024;

/// How much may wait to be passed on. Beyond it output is dropped, and that is said.
const TEE_BYTES_MAX: usize = 256 * 1024;

/// The captured streams of one process.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// None unless captured.
    pub(super) stdout: Option<Arc<Stream>>,
    /// None unless captured.
    pub(super) stderr: Option<Arc<Stream>>,
}

/// One captured stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// Locked while reading, so that what is read is kept in the order it was written.
    state: Mutex<State>,
    /// Where else it goes.
    tee: Option<&'static Tee>,
}

/// What a captured stream holds.
#[derive(Debug)]
struct State {
    /// The read end, until end of file.
    fd: Option<Arc<OwnedFd>>,
    /// The last bytes read, at most [`TAIL_BYTES_MAX`].
    kept: VecDeque<u8>,
    /// Whether bytes were dropped at the front of `kept`.
    cut: bool,
}

/// What the drain thread looks after.
#[derive(Debug)]
struct Drain {
    /// Written to when `arrivals` changes.
    wake: OwnedFd,
    /// What the thread has not picked up yet.
    arrivals: Vec<Watched>,
}

/// One thing that the drain thread polls.
#[derive(Clone, Debug)]
enum Watched {
    /// A captured stream, until its end.
    Stream(Arc<Stream>, Arc<OwnedFd>),
    /// A process that nobody owns any more, until it is reaped.
    Orphan(Arc<Exit>),
}

/// The drain thread, once it runs. Never emptied.
static DRAIN: Mutex<Option<Drain>> = Mutex::new(None);

/// Passes output on to our standard output.
static TEE_STDOUT: Tee = Tee::new();

/// Passes output on to our standard error.
static TEE_STDERR: Tee = Tee::new();

/// Starts the drain thread if it does not run yet.
///
/// # Errors
/// When the system has no thread or descriptor left.
pub(super) fn start() -> io::Result<()> {
    lock_drain().map(drop)
}

/// Has a process reaped in the background, as soon as it exits.
pub(super) fn reap_later(exit: &Arc<Exit>) {
    if let Err(error) = watch(Watched::Orphan(Arc::clone(exit))) {
        log::warn!(target: "tractor::runtime", "a killed child stays a zombie: {error}");
    }
}

/// Waits until everything that children have written to passed-on streams, and that was read, is
/// written to ours; at most for `limit`. Call it before the process exits.
pub(crate) fn flush_tee(limit: Duration) {
    let deadline = Instant::now() + limit;
    TEE_STDOUT.flush(deadline);
    TEE_STDERR.flush(deadline);
}

impl Streams {
    /// Starts to drain the pipes that a process was given.
    pub(super) fn open(
        stdout: (Option<OwnedFd>, Output),
        stderr: (Option<OwnedFd>, Output),
    ) -> io::Result<Self> {
        let open = |(fd, output): (Option<OwnedFd>, Output), tee| match fd {
            Some(fd) => Stream::open(fd, (output == Output::Tee).then_some(tee)).map(Some),
            None => Ok(None),
        };
        Ok(Self { stdout: open(stdout, &TEE_STDOUT)?, stderr: open(stderr, &TEE_STDERR)? })
    }
}

impl Stream {
    /// Starts to drain a pipe.
    fn open(fd: OwnedFd, tee: Option<&'static Tee>) -> io::Result<Arc<Self>> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        if let Some(tee) = tee {
            tee.start(if std::ptr::eq(tee, &TEE_STDOUT) { to_stdout } else { to_stderr })?;
        }
        let fd = Arc::new(fd);
        let state = State { fd: Some(Arc::clone(&fd)), kept: VecDeque::new(), cut: false };
        let stream = Arc::new(Self { state: Mutex::new(state), tee });
        watch(Watched::Stream(Arc::clone(&stream), fd))?;
        Ok(stream)
    }

    /// The last of what was written, including what nobody has read yet.
    pub(super) fn tail(&self) -> String {
        let mut state = self.pump(PIPE_BYTES_MAX);
        let cut = state.cut;
        let mut bytes: &[u8] = state.kept.make_contiguous();
        // A cut may have gone through a character: leave out what remains of it.
        while let [first, rest @ ..] = bytes
            && cut
            && first & 0xC0 == 0x80
        {
            bytes = rest;
        }
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Reads what there is, at most about `limit`, without blocking.
    fn pump(&self, limit: usize) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = [0; 8192];
        let mut total = 0;
        while total < limit
            && let Some(fd) = &state.fd
        {
            match read(fd, &mut buffer) {
                Ok(0) => state.fd = None,
                Ok(len) => {
                    total += len;
                    state.keep(&buffer[..len]);
                    if let Some(tee) = self.tee {
                        tee.push(&buffer[..len]);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => state.fd = None,
            }
        }
        state
    }
}

impl State {
    /// Appends bytes, and drops the oldest ones beyond the limit.
    fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
        let excess = self.kept.len().saturating_sub(TAIL_BYTES_MAX);
        self.kept.drain(..excess);
        self.cut |= excess > 0;
    }
}

impl Watched {
    /// The descriptor to poll.
    fn fd(&self) -> &OwnedFd {
        match self {
            Self::Stream(_, fd) => fd,
            Self::Orphan(exit) => exit.fd(),
        }
    }

    /// Does what there is to do. Returns whether there will be more.
    fn turn(&self) -> bool {
        match self {
            Self::Stream(stream, _) => stream.pump(TURN_BYTES_MAX).fd.is_some(),
            Self::Orphan(exit) => matches!(exit.try_reap(), Ok(None)),
        }
    }
}

/// Hands something to the drain thread.
fn watch(what: Watched) -> io::Result<()> {
    let mut guard = lock_drain()?;
    if let Some(drain) = &mut *guard {
        drain.arrivals.push(what);
        // A full pipe has woken it already.
        let _ = rustix::io::write(&drain.wake, &[0]);
    }
    Ok(())
}

/// Locks the drain, with its thread running.
fn lock_drain() -> io::Result<MutexGuard<'static, Option<Drain>>> {
    let mut guard = DRAIN.lock().unwrap_or_else(PoisonError::into_inner);
    if guard.is_none() {
        let (woken, wake) = io::pipe()?;
        let (woken, wake) = (OwnedFd::from(woken), OwnedFd::from(wake));
        for end in [&woken, &wake] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        thread::Builder::new().name("tractor-drain".into()).spawn(move || drain(&woken))?;
        *guard = Some(Drain { wake, arrivals: Vec::new() });
    }
    Ok(guard)
}

/// The drain thread. It waits without a limit, for it lives as long as the process.
fn drain(woken: &OwnedFd) {
    let mut watched: Vec<Watched> = Vec::new();
    loop {
        for index in wait(woken, &watched).into_iter().rev() {
            if !watched[index].turn() {
                watched.swap_remove(index);
            }
        }
        // Only when nothing is left to read of the wake-up may we look, or we would miss one.
        while matches!(read(woken, &mut [0; 64]), Ok(1..)) {}
        if let Some(drain) = &mut *DRAIN.lock().unwrap_or_else(PoisonError::into_inner) {
            watched.append(&mut drain.arrivals);
        }
    }
}

/// Blocks until something can be done, and returns the indices of what, in ascending order.
fn wait(woken: &OwnedFd, watched: &[Watched]) -> Vec<usize> {
    let fds = std::iter::once(woken).chain(watched.iter().map(Watched::fd));
    let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    match poll(&mut fds, None) {
        Ok(_) => {
            let ready = fds.iter().skip(1).enumerate().filter(|(_, fd)| !fd.revents().is_empty());
            ready.map(|(index, _)| index).collect()
        }
        Err(Errno::INTR) => Vec::new(),
        Err(_) => {
            // Out of kernel memory, or more than `ulimit -n` after it was lowered: try them all,
            // for a turn never blocks, but not in a hot loop.
            thread::sleep(Duration::from_millis(10));
            (0..watched.len()).collect()
        }
    }
}

/// A bounded queue of bytes and the thread that writes them to one of our own streams.
#[derive(Debug)]
pub(super) struct Tee {
    queue: Mutex<Queue>,
    /// Told when bytes arrive.
    filled: Condvar,
    /// Told when all bytes are written.
    emptied: Condvar,
}

/// What waits to be passed on.
#[derive(Debug)]
struct Queue {
    bytes: Vec<u8>,
    /// How many bytes did not fit since the last write.
    dropped: usize,
    /// Whether the thread is writing what it took out.
    writing: bool,
    /// Whether the thread runs.
    started: bool,
}

impl Tee {
    /// An empty queue without a thread.
    const fn new() -> Self {
        let queue = Queue { bytes: Vec::new(), dropped: 0, writing: false, started: false };
        Self { queue: Mutex::new(queue), filled: Condvar::new(), emptied: Condvar::new() }
    }

    /// Starts the thread if it does not run yet.
    fn start(&'static self, write: fn(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut queue = self.lock();
        if !queue.started {
            let run = move || self.run(write);
            thread::Builder::new().name("tractor-tee".into()).spawn(run)?;
            queue.started = true;
        }
        Ok(())
    }

    /// Queues bytes to be written, or drops them when too many wait already. Never blocks.
    fn push(&self, bytes: &[u8]) {
        let mut queue = self.lock();
        if queue.bytes.len() + bytes.len() > TEE_BYTES_MAX {
            queue.dropped += bytes.len();
        } else {
            queue.bytes.extend_from_slice(bytes);
        }
        self.filled.notify_one();
    }

    /// Waits until all that was queued is written, or until the deadline.
    fn flush(&self, deadline: Instant) {
        let mut queue = self.lock();
        while queue.writing || !queue.bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.emptied.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The thread: writes what is queued. A stream that is closed or broken loses it.
    fn run(&self, write: fn(&[u8]) -> io::Result<()>) {
        let mut queue = self.lock();
        loop {
            while queue.bytes.is_empty() && queue.dropped == 0 {
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            let mut bytes = std::mem::take(&mut queue.bytes);
            let dropped = std::mem::take(&mut queue.dropped);
            queue.writing = true;
            drop(queue);
            if dropped > 0 {
                let text = format!("\n[tractor: {dropped} bytes of a child's output dropped]\n");
                bytes.extend_from_slice(text.as_bytes());
            }
            let _ = write(&bytes);
            queue = self.lock();
            queue.writing = false;
            self.emptied.notify_all();
        }
    }

    /// The queue. No code that may panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes to our standard output.
fn to_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write_patiently(&mut stdout, bytes)?;
    stdout.flush()
}

/// Writes to our standard error.
fn to_stderr(bytes: &[u8]) -> io::Result<()> {
    write_patiently(&mut io::stderr().lock(), bytes)
}

/// Writes it all, also to a stream that something has made non-blocking.
fn write_patiently(stream: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => bytes = &bytes[len..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_end_of_what_was_written() {
        let (from, mut to) = io::pipe().unwrap();
        let stream = Stream::open(from.into(), None).unwrap();
        // Far more than a pipe holds: it only ends because somebody reads.
        for line in 0..40_000 {
            writeln!(to, "line {line} ä").unwrap();
        }
        write!(to, "the end").unwrap();
        let tail = stream.tail();
        assert!(tail.ends_with("line 39999 ä\nthe end"), "{tail}");
        assert!(tail.len() <= TAIL_BYTES_MAX && tail.len() > TAIL_BYTES_MAX - 8);
        assert!(!tail.contains('\u{FFFD}'));
        assert_eq!(stream.tail(), tail, "asking twice tells the same");
    }

    #[test]
    fn the_tail_waits_for_nobody() {
        let (from, to) = io::pipe().unwrap();
        let stream = Stream::open(from.into(), None).unwrap();
        assert_eq!(stream.tail(), "");
        rustix::io::write(&to, b"half").unwrap();
        assert_eq!(stream.tail(), "half");
    }

    #[test]
    fn a_stuck_stream_drops_and_says_so() {
        static STUCK: Tee = Tee::new();
        static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        STUCK.push(&vec![b'x'; TEE_BYTES_MAX]);
        STUCK.push(b"too much");
        STUCK.start(|bytes| WRITTEN.lock().unwrap().write_all(bytes)).unwrap();
        STUCK.flush(Instant::now() + Duration::from_secs(10));
        let written = String::from_utf8(WRITTEN.lock().unwrap().clone()).unwrap();
        assert_eq!(
            written.trim_start_matches('x').trim(),
            "[tractor: 8 bytes of a child's output dropped]"
        );
    }
}
