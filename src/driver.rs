//! The driver: one loop an actor. Wait, take facts in, hand decisions out, write, arm the timer.
//!
//! It decides nothing: facts go into the core, effects come out of it. A turn is bounded, so that
//! the tasks beside it get theirs.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tractor_core::{ChildId, ConnId, Input, Instant, Text};
use tractor_executors::{Direction, Readiness, Timer};
use tractor_transports::{Listener, Stream};

use crate::current::Identity;
use crate::host::{Link, Process};
use crate::keys::KeyMap;
use crate::log::{error, warning};
use crate::os;
use crate::ready::Source;
use crate::shared::{ConnIo, Inner, Shared};
use crate::sync::MutexGuard;

mod effects;
mod signals;
#[cfg(all(test, feature = "smol"))]
mod tests;

/// Rounds of one turn, before the tasks beside it get theirs: enough to empty a burst.
const ROUNDS_MAX: usize = 16;

/// Reads of one connection in one round, so that none starves the others.
const READS_MAX: usize = 8;

/// When so many bytes wait for a peer that keeps asking, its answers are written between the reads.
const RELIEF_LEN: usize = 256 << 10;

/// Connections accepted in one round: who connects as fast as it can keeps nobody else waiting, and
/// what the accepted have to say is read before more crowd in.
const ACCEPTS_MAX: usize = 16;

type Connecting = tractor_transports::BoxFuture<io::Result<Box<dyn Stream>>>;

/// A process being watched.
struct Watched {
    process: Arc<dyn Process>,
    exit: Box<dyn Readiness>,
    /// Our end of the link of a child that connects back: it dies with it, and with us.
    _lifeline: Option<Link>,
    /// The last signal that we sent it.
    sent: Option<os::Signal>,
}

impl Watched {
    /// The status, once it has exited; before that `WouldBlock`.
    fn try_reap(&self) -> io::Result<os::ExitStatus> {
        let mut status = None;
        self.exit.try_io(Direction::Read, &mut || {
            status = self.process.try_reap()?;
            status.map(|_| 0).ok_or_else(|| io::ErrorKind::WouldBlock.into())
        })?;
        status.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

/// See the module.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    identity: Identity,
    /// The waker of each source, made once.
    wakers: KeyMap<Source, Waker>,
    streams: KeyMap<ConnId, Arc<dyn Stream>>,
    processes: KeyMap<ChildId, Watched>,
    /// Orders to the spawner thread that it has not answered.
    spawning: usize,
    connecting: KeyMap<ConnId, Connecting>,
    listeners: Vec<Box<dyn Listener>>,
    signals: Option<signals::Signals>,
    timer: Box<dyn Timer>,
    due: Vec<Source>,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>) -> Driver {
        let timer = shared.executor.timer();
        let identity = Identity { actor: shared.clone(), task: "driver".into(), dialog: None };
        Driver {
            shared,
            identity,
            wakers: KeyMap::default(),
            streams: KeyMap::default(),
            processes: KeyMap::default(),
            spawning: 0,
            connecting: KeyMap::default(),
            listeners: Vec::new(),
            signals: None,
            timer,
            due: Vec::new(),
        }
    }

    /// Takes a new listener over.
    fn listen(&mut self, listener: Box<dyn Listener>) {
        self.shared.ready.wake(Source::Listener(self.listeners.len()));
        self.listeners.push(listener);
    }

    /// Gives a connection its transport, before the driver runs or by an effect.
    pub(crate) fn attach(&mut self, conn: ConnId, stream: Box<dyn Stream>) {
        let stream: Arc<dyn Stream> = Arc::from(stream);
        self.streams.insert(conn, stream.clone());
        let io = ConnIo {
            stream,
            want_write: false,
            broken: false,
            closing: false,
            burst: false,
            held_at: self.shared.now(),
            lazy: 0,
        };
        self.shared.lock().conns.insert(conn, io);
        self.shared.ready.wake(Source::Conn(conn));
    }

    /// Runs until the actor has ended and everything is closed.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send {
        let identity = self.identity.clone();
        identity.scope(Running(self))
    }

    /// One turn. Ready when there is nothing left to drive.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut again = false;
        for _ in 0..ROUNDS_MAX {
            let mut due = std::mem::take(&mut self.due);
            let woken = self.shared.ready.take(cx.waker(), &mut due);
            if !woken && !again && !self.arm_timer() {
                self.due = due;
                return Poll::Pending;
            }
            due.sort_unstable();
            due.dedup();
            for source in due.drain(..) {
                self.look_at(source);
            }
            self.due = due;
            again = self.perform();
            if self.is_over() {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_over(&mut self) -> bool {
        let inner = self.shared.lock();
        let over = inner.ended
            && inner.conns.is_empty()
            && self.processes.is_empty()
            && self.spawning == 0
            && inner.effects.is_empty();
        drop(inner);
        over && !self.expects_signal()
    }

    /// The waker to poll this source with.
    fn waker(&mut self, source: Source) -> Waker {
        let ready = &self.shared.ready;
        self.wakers.entry(source).or_insert_with(|| ready.waker(source)).clone()
    }

    fn look_at(&mut self, source: Source) {
        match source {
            Source::Conn(conn) => self.look_at_conn(conn),
            Source::Child(child) => self.look_at_child(child),
            Source::Connect(conn) => self.look_at_connecting(conn),
            Source::Listener(index) => self.look_at_listener(index),
            Source::Signals => self.look_at_signals(),
            Source::Timer => {
                // A timer may wake before its time, and then wants to be looked at again.
                self.shared.lock().armed = None;
                self.fact(Input::Timeout);
            }
        }
    }

    /// Takes one fact in.
    fn fact(&self, input: Input) {
        let (now, mut inner) = self.shared.lock_now();
        inner.core.handle_input(now, input);
        inner.drain_events();
    }

    // Connections.

    fn look_at_conn(&mut self, conn: ConnId) {
        let Some(stream) = self.streams.get(&conn).cloned() else { return };
        let waker = self.waker(Source::Conn(conn));
        let cx = &mut Context::from_waker(&waker);
        self.write(conn, stream.as_ref(), cx);
        for _ in 0..READS_MAX {
            match self.read(conn, stream.as_ref(), cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) | Poll::Pending => return,
            }
        }
        self.shared.ready.wake(Source::Conn(conn));
    }

    /// Reads once, into the core's own buffer. Whether to read again.
    fn read(&mut self, conn: ConnId, stream: &dyn Stream, cx: &mut Context<'_>) -> Poll<bool> {
        let mut inner = self.shared.lock();
        let Some(buf) = inner.core.recv_buf(conn) else { return Poll::Ready(false) };
        let input = match stream.poll_read(cx, buf) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => Input::Disconnected { conn, why: None },
            Poll::Ready(Ok(len)) => Input::Received { conn, len },
            // A peer that closed with something unread resets: an end like any other.
            Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::ConnectionReset => {
                Input::Disconnected { conn, why: None }
            }
            Poll::Ready(Err(e)) => {
                Input::Disconnected { conn, why: Some(Text::from(e.to_string())) }
            }
        };
        let go_on = matches!(input, Input::Received { .. });
        let now = self.shared.now();
        inner.core.handle_input(now, input);
        inner.drain_events();
        if go_on && inner.core.outbox_len(conn) >= RELIEF_LEN {
            self.relieve(inner, conn);
        }
        Poll::Ready(go_on)
    }

    /// Tries to write when much waits: the reactor would tell that the socket takes more only after
    /// this turn, in which much more may be asked for than one write takes. A peer that reads as
    /// fast as it asks would seem to be one that does not read.
    fn relieve<'a>(&'a self, mut inner: MutexGuard<'a, Inner>, conn: ConnId) {
        let Some(io) = inner.conns.get_mut(&conn).filter(|io| !io.broken) else { return };
        // Set again when the socket is still full.
        io.want_write = false;
        inner = self.shared.write_out(inner, conn);
        inner.drain_events();
    }

    /// Writes what waits: a burst's rest, or after the socket was full.
    fn write(&mut self, conn: ConnId, stream: &dyn Stream, cx: &mut Context<'_>) {
        let mut inner = self.shared.lock();
        let Some(io) = inner.conns.get_mut(&conn) else { return };
        let burst = std::mem::take(&mut io.burst);
        if io.want_write {
            match stream.poll_writable(cx) {
                Poll::Pending => return,
                Poll::Ready(_) => io.want_write = false,
            }
        }
        if !io.broken && (burst || io.lazy == 0) {
            inner = self.shared.write_out(inner, conn);
            inner.drain_events();
            if inner.conns.get(&conn).is_some_and(|io| io.want_write) {
                // Registers for when the socket takes more; ready at once means another look.
                if stream.poll_writable(cx).is_ready() {
                    self.shared.ready.wake(Source::Conn(conn));
                }
            }
        }
        let done = inner.core.outbox_len(conn) == 0;
        let Some(io) = inner.conns.get(&conn) else { return };
        let (closing, broken) = (io.closing, io.broken);
        drop(inner);
        if closing && (done || broken) {
            self.detach(conn);
        }
    }

    /// Shuts a transport down, and tells the core that it is gone.
    fn detach(&mut self, conn: ConnId) {
        if let Some(stream) = self.streams.remove(&conn) {
            stream.shutdown();
        }
        self.wakers.remove(&Source::Conn(conn));
        self.shared.lock().conns.remove(&conn);
        self.fact(Input::Disconnected { conn, why: None });
    }

    fn look_at_connecting(&mut self, conn: ConnId) {
        let waker = self.waker(Source::Connect(conn));
        let Some(connecting) = self.connecting.get_mut(&conn) else { return };
        let Poll::Ready(result) = connecting.as_mut().poll(&mut Context::from_waker(&waker)) else {
            return;
        };
        self.connecting.remove(&conn);
        self.wakers.remove(&Source::Connect(conn));
        match result {
            Ok(stream) if is_foreign(stream.as_ref()) => {
                stream.shutdown();
                let why = Some(Text::from_static("another user listens there"));
                self.fact(Input::Disconnected { conn, why });
            }
            Ok(stream) => {
                self.attach(conn, stream);
                self.fact(Input::Connected { conn });
            }
            Err(e) => self.fact(not_connected(conn, &e)),
        }
    }

    fn look_at_listener(&mut self, index: usize) {
        let waker = self.waker(Source::Listener(index));
        for _ in 0..ACCEPTS_MAX {
            let Some(listener) = self.listeners.get(index) else { return };
            match listener.poll_accept(&mut Context::from_waker(&waker)) {
                Poll::Pending => return,
                Poll::Ready(Ok(stream)) => self.accept(stream),
                // About one connection, or about descriptors: the listener rests and goes on.
                Poll::Ready(Err(e)) => warning!("tractor::transport", "accepting failed: {e}"),
            }
        }
        self.shared.ready.wake(Source::Listener(index));
    }

    fn accept(&mut self, stream: Box<dyn Stream>) {
        if is_foreign(stream.as_ref()) {
            warning!("tractor::transport", "refused a connection of another user: {stream:?}");
            return stream.shutdown();
        }
        let accepted = {
            let (now, mut inner) = self.shared.lock_now();
            inner.core.accepted_from(now, stream.peer().pid)
        };
        match accepted {
            Ok(conn) => self.attach(conn, stream),
            Err(misuse) => {
                warning!("tractor::transport", "refused a connection: {misuse}");
                stream.shutdown();
            }
        }
    }

    // Processes.

    fn look_at_child(&mut self, child: ChildId) {
        let waker = self.waker(Source::Child(child));
        let Some(watched) = self.processes.get(&child) else { return };
        let status = loop {
            match watched.try_reap() {
                Ok(status) => break status,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => {
                    warning!("tractor::runtime", "waiting for a child failed: {e}");
                    break os::ExitStatus::Unknown;
                }
            }
            if watched.exit.poll_readable(&mut Context::from_waker(&waker)).is_pending() {
                return;
            }
        };
        let (pid, sent) = (watched.process.pid(), watched.sent);
        self.processes.remove(&child);
        self.wakers.remove(&Source::Child(child));
        self.sweep_socket(child, pid);
        let status = match status {
            os::ExitStatus::Code(code) => tractor_core::supervise::ExitStatus::Code(code),
            os::ExitStatus::Signal { signal, .. } => {
                if sent.map(os::Signal::as_raw) != Some(signal) {
                    self.expect_signal(signal);
                }
                tractor_core::supervise::ExitStatus::Signal(signal)
            }
            os::ExitStatus::Unknown => tractor_core::supervise::ExitStatus::Unknown,
        };
        self.fact(Input::ChildExited { child, status });
    }

    /// Removes the socket of a child that is gone: one that was killed could not.
    fn sweep_socket(&self, child: ChildId, pid: u32) {
        let Some(tree) = self.shared.tree.get() else { return };
        let (name, bound) = {
            let inner = self.shared.lock();
            let known = inner.children.get(&child);
            known.map(|c| (c.name.clone(), c.bound.clone())).unwrap_or_default()
        };
        let own = || tree.own_addresses(&name, pid);
        for addr in bound.map_or_else(own, |addr| vec![addr]) {
            self.shared.host.sweep(&addr);
        }
    }

    // The timer.

    /// Arms for the core's next deadline; whether it has come already.
    fn arm_timer(&mut self) -> bool {
        let next = {
            let mut inner = self.shared.lock();
            let next = inner.core.next_deadline().map(|(at, _)| at);
            if next == inner.armed && next.is_none_or(|at| at > self.shared.now()) {
                return false;
            }
            inner.armed = next;
            next
        };
        self.timer.set(next.map(Instant::since_epoch));
        let waker = self.waker(Source::Timer);
        if self.timer.poll_expired(&mut Context::from_waker(&waker)).is_ready() {
            self.shared.lock().armed = None;
            self.fact(Input::Timeout);
            return true;
        }
        false
    }
}

/// The driver as a future.
struct Running(Driver);

impl Future for Running {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let turn = catch_unwind(AssertUnwindSafe(|| self.0.turn(cx)));
        let done = turn.unwrap_or_else(|panic| {
            // A logger or a waker of the program's, or a bug of ours. Nobody drives this actor any
            // more: it ends here, with its processes, which die with their handles.
            let report = crate::panics::report(panic);
            error!("tractor::runtime", "the driver panicked: {}", report.message);
            self.0.shared.give_up();
            Poll::Ready(())
        });
        if done.is_ready() {
            // What they made in the file system goes before anybody hears that we are done.
            self.0.listeners.clear();
            self.tell_done();
        }
        done
    }
}

/// Whether another user is at the other end, where the transport tells.
fn is_foreign(stream: &dyn Stream) -> bool {
    let us = rustix::process::geteuid().as_raw();
    stream.peer().uid.is_some_and(|uid| uid != us)
}

/// What a connect that failed says of who is there.
fn not_connected(conn: ConnId, error: &io::Error) -> Input {
    let why = Text::from(error.to_string());
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            Input::Disconnected { conn, why: Some(why) }
        }
        _ => Input::Unreachable { conn, why },
    }
}

impl Running {
    fn tell_done(&self) {
        // Some may have come too late to be taken over.
        let late = std::mem::take(&mut self.0.shared.lock().listeners);
        drop(late);
        let wakers = {
            let mut inner = self.0.shared.lock();
            inner.driver_done = true;
            inner.life_wakers.take()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// An executor that goes away drops its tasks. The actor ends with its driver then, and who waits
/// for it elsewhere is told.
impl Drop for Running {
    fn drop(&mut self) {
        if !self.0.shared.lock().driver_done {
            if self.0.shared.host.is_gone() {
                return;
            }
            error!("tractor::runtime", "the executor dropped the driver: its actor ends here");
            self.0.shared.give_up();
            self.tell_done();
        }
    }
}
