//! Which descriptors are ready and which timers are due.
//!
//! One system call a wait: descriptors are registered once, edge-triggered, and the wait's own
//! timeout is the timer. Whether it also tells when a descriptor can be written is switched on by
//! the first write that has to wait, and off by the first such news that nobody waits for: a peer
//! that merely reads what was sent to it wakes nobody.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::system::event::Event;
use super::system::unix::SourceFd;
use super::system::{self, Events, Interest, Registry, Token};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard, now};
use crate::timer::Alarm;
use crate::{Direction, Readiness};

/// The token of what interrupts a wait.
const INTERRUPT: Token = Token(usize::MAX);

/// Events taken from the system at once; the others wait for the next turn.
const EVENTS_MAX: usize = 128;

/// What one executor waits for.
#[derive(Debug)]
pub(crate) struct Reactor {
    registry: Registry,
    interrupt: system::Waker,
    /// Held by the one thread that waits.
    poller: Mutex<Poller>,
    /// By their tokens. None is used twice: news of a descriptor that is watched no more must not
    /// be taken for those of another.
    sources: Mutex<HashMap<Token, Arc<Source>>>,
    last_token: AtomicUsize,
    timers: Mutex<Timers>,
    /// Set when the executor is gone: nobody waits any more.
    closed: AtomicBool,
}

/// What a wait needs.
#[derive(Debug)]
pub(crate) struct Poller {
    poll: system::Poll,
    events: Events,
}

/// Wakers that a wait found due. They are woken after it, with no lock held.
#[derive(Debug, Default)]
pub(crate) struct Due(Vec<Waker>);

impl Due {
    pub(crate) fn wake(&mut self) {
        for waker in self.0.drain(..) {
            // A foreign waker that panics must not cost the others their wakeup.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}

impl Reactor {
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = system::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        Ok(Self {
            interrupt: system::Waker::new(&registry, INTERRUPT)?,
            registry,
            poller: Mutex::new(Poller { poll, events: Events::with_capacity(EVENTS_MAX) }),
            sources: Mutex::default(),
            last_token: AtomicUsize::new(0),
            timers: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// What one thread at a time waits with; `None` while another one does.
    pub(crate) fn poller(&self) -> Option<MutexGuard<'_, Poller>> {
        match self.poller.try_lock() {
            Ok(poller) => Some(poller),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Ends the wait that is under way, or else the next one.
    pub(crate) fn interrupt(&self) {
        // It fails only when the counter is full, and then the wait ends anyway.
        let _ = self.interrupt.wake();
    }

    /// Takes what is ready now, without waiting.
    pub(crate) fn look(&self, poller: &mut Poller, due: &mut Due) {
        self.turn(poller, Some(Duration::ZERO), due);
    }

    /// Waits until something is due. `may_wait` is asked after every timer that is registered from
    /// then on interrupts the wait; when it says no, this only looks.
    pub(crate) fn wait(&self, poller: &mut Poller, may_wait: impl FnOnce() -> bool, due: &mut Due) {
        let timeout = lock(&self.timers).begin_wait();
        let timeout = if may_wait() { timeout } else { Some(Duration::ZERO) };
        self.turn(poller, timeout, due);
    }

    fn turn(&self, poller: &mut Poller, timeout: Option<Duration>, due: &mut Due) {
        let Poller { poll, events } = poller;
        match poll.poll(events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            Err(error) => panic!("the system does not let us wait: {error}"),
        }
        lock(&self.timers).end_wait(due);
        let sources = lock(&self.sources);
        for event in &*events {
            if let Some(source) = sources.get(&event.token()) {
                source.tell(event, &self.registry, due);
            }
        }
    }

    /// Watches `fd`, which is made non-blocking.
    ///
    /// # Errors
    /// When the system refuses the descriptor.
    pub(crate) fn watch(self: &Arc<Self>, fd: Arc<OwnedFd>) -> io::Result<Watched> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let token = Token(self.last_token.fetch_add(1, Ordering::Relaxed));
        let (read, write) = (Mutex::default(), Mutex::default());
        let source = Arc::new(Source { fd, token, read, write });
        // Under the lock: news of it must find it.
        let mut sources = lock(&self.sources);
        let interest = Interest::READABLE;
        self.registry.register(&mut SourceFd(&source.fd.as_raw_fd()), token, interest)?;
        sources.insert(token, Arc::clone(&source));
        drop(sources);
        Ok(Watched { source, reactor: Arc::clone(self) })
    }

    /// A timer that is not registered.
    pub(crate) fn timer(self: &Arc<Self>) -> Timer {
        Timer { reactor: Arc::clone(self), at: None, entry: None }
    }

    /// Nobody waits any more: who watches a descriptor is told. A timer never fires then.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let mut due = Due::default();
        for source in lock(&self.sources).values() {
            due.0.extend(lock(&source.read).waiter.take());
            due.0.extend(lock(&source.write).waiter.take());
        }
        due.wake();
    }
}

/// Puts the waker of `cx` in place, and gives back the one that was there: dropping it may run code
/// of the program, so that is to be done without a lock.
#[must_use]
fn put(slot: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => None,
        _ => slot.replace(cx.waker().clone()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic in the middle of a change runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A registered descriptor.
#[derive(Debug)]
struct Source {
    fd: Arc<OwnedFd>,
    token: Token,
    read: Mutex<Side>,
    write: Mutex<Side>,
}

/// One direction of a descriptor.
#[derive(Debug, Default)]
struct Side {
    /// Whether an attempt may make progress. Taken back by each attempt before it is made, so that
    /// news that come during it are kept.
    ready: bool,
    /// Whether it was told that the peer is gone. That is told once, and stays: an attempt after it
    /// never has to wait.
    closed: bool,
    /// Whether news of writes are switched on. Those of reads always are.
    writes_told: bool,
    waiter: Option<Waker>,
}

impl Side {
    fn set_ready(&mut self) -> Option<Waker> {
        self.ready = true;
        self.waiter.take()
    }

    /// An attempt begins.
    fn unset_ready(&mut self) {
        self.ready = self.closed;
    }
}

impl Source {
    fn side(&self, direction: Direction) -> MutexGuard<'_, Side> {
        lock(match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        })
    }

    /// The system's news of it.
    fn tell(&self, event: &Event, registry: &Registry, due: &mut Due) {
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            let mut side = self.side(Direction::Read);
            side.closed |= event.is_read_closed();
            due.0.extend(side.set_ready());
        }
        if event.is_writable() || event.is_write_closed() || event.is_error() {
            let mut side = self.side(Direction::Write);
            side.closed |= event.is_write_closed();
            match side.set_ready() {
                Some(waiter) => due.0.push(waiter),
                // Still switched on after a failure, it is only told of more than it needs.
                None if side.writes_told => {
                    side.writes_told = self.register(registry, Interest::READABLE).is_err();
                }
                None => {}
            }
        }
    }

    /// Changes what the system tells, which tells it anew.
    fn register(&self, registry: &Registry, interest: Interest) -> io::Result<()> {
        registry.reregister(&mut SourceFd(&self.fd.as_raw_fd()), self.token, interest)
    }
}

/// A descriptor that is watched until this is dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    source: Arc<Source>,
    reactor: Arc<Reactor>,
}

impl Watched {
    fn poll(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut side = self.source.side(direction);
        if self.reactor.closed.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::Error::other("the executor is gone")));
        }
        if side.ready {
            return Poll::Ready(Ok(()));
        }
        if direction == Direction::Write && !side.writes_told {
            let both = Interest::READABLE | Interest::WRITABLE;
            self.source.register(&self.reactor.registry, both)?;
            side.writes_told = true;
        }
        let old = put(&mut side.waiter, cx);
        drop(side);
        drop(old);
        Poll::Pending
    }
}

impl Readiness for Watched {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(Direction::Read, cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(Direction::Write, cx)
    }

    fn try_io(
        &self,
        direction: Direction,
        op: &mut dyn FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let attempt = Attempt::begin(&self.source, direction);
        let result = op();
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            attempt.found_nothing();
        }
        result
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // In this order: news that are still under way find nobody whom they could register anew.
        let source = lock(&self.reactor.sources).remove(&self.source.token);
        drop(source);
        // Closing the descriptor would do as well, but others may hold it, too.
        let _ = self.reactor.registry.deregister(&mut SourceFd(&self.source.fd.as_raw_fd()));
    }
}

/// An attempt that is under way. Unless it found nothing, there may be more for the next one: also
/// when it panicked.
struct Attempt<'a> {
    source: &'a Source,
    direction: Direction,
}

impl<'a> Attempt<'a> {
    fn begin(source: &'a Source, direction: Direction) -> Self {
        source.side(direction).unset_ready();
        Self { source, direction }
    }

    fn found_nothing(self) {
        std::mem::forget(self);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let waiter = self.source.side(self.direction).set_ready();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

/// The timers by their times, and how long the wait under way takes.
#[derive(Debug, Default)]
struct Timers {
    wakers: BTreeMap<(Instant, u64), Waker>,
    /// Tells timers of the same time apart.
    last: u64,
    wait: Wait,
}

#[derive(Debug, Default)]
enum Wait {
    /// Nobody waits.
    #[default]
    None,
    /// Until this time at most.
    Until(Option<Instant>),
}

impl Timers {
    /// A wait begins: how long may it take at most?
    fn begin_wait(&mut self) -> Option<Duration> {
        let first = self.wakers.first_key_value().map(|((at, _), _)| *at);
        self.wait = Wait::Until(first);
        first.map(|at| at.saturating_duration_since(now()))
    }

    /// It is over.
    fn end_wait(&mut self, due: &mut Due) {
        self.wait = Wait::None;
        let Some((&(first, _), _)) = self.wakers.first_key_value() else { return };
        let now = now();
        if first > now {
            return;
        }
        let later = self.wakers.split_off(&(now, u64::MAX));
        due.0.extend(std::mem::replace(&mut self.wakers, later).into_values());
    }

    /// Registers a waker, and says whether the wait under way would come too late for it.
    fn insert(&mut self, at: Instant, waker: Waker) -> ((Instant, u64), bool) {
        self.last += 1;
        let entry = (at, self.last);
        self.wakers.insert(entry, waker);
        let too_late = match self.wait {
            Wait::None => false,
            Wait::Until(end) => end.is_none_or(|end| at < end),
        };
        (entry, too_late)
    }
}

/// A timer of the reactor.
#[derive(Debug)]
pub(crate) struct Timer {
    reactor: Arc<Reactor>,
    at: Option<Instant>,
    /// Where its waker is. It may have been woken and be gone.
    entry: Option<(Instant, u64)>,
}

impl Timer {
    fn forget(&mut self) {
        if let Some(entry) = self.entry.take() {
            let waker = lock(&self.reactor.timers).wakers.remove(&entry);
            drop(waker);
        }
    }
}

impl Alarm for Timer {
    fn register(&mut self, at: Option<Instant>) {
        self.forget();
        self.at = at;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        if now() >= at {
            self.register(None);
            return Poll::Ready(());
        }
        let mut timers = lock(&self.reactor.timers);
        let registered = self.entry.and_then(|entry| timers.wakers.get_mut(&entry));
        if registered.is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let old = self.entry.and_then(|entry| timers.wakers.remove(&entry));
        let (entry, too_late) = timers.insert(at, cx.waker().clone());
        drop(timers);
        drop(old);
        self.entry = Some(entry);
        if too_late {
            self.reactor.interrupt();
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.forget();
    }
}
