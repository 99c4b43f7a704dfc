//! Checks of interleavings: the hand-over of the reactor between threads, and of the tasks between
//! the threads inside `block_on` and the helper. See docs/testing.md.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

use std::fs::File;
use std::future::{Future, poll_fn};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::park::Parking;
use super::reactor::{Reactor, Watched};
use crate::sync::{Condvar, Mutex, thread};
use crate::tests::clock;
use crate::timer::Alarm as _;
use crate::{Direction, Readiness as _};

mod driving;
mod handover;
pub(super) mod system;

/// Something that happens once, and that a future or a thread waits for.
#[derive(Clone, Default)]
struct Signal(Arc<(Mutex<SignalState>, Condvar)>);

#[derive(Default)]
struct SignalState {
    set: bool,
    waker: Option<Waker>,
}

impl Signal {
    fn set(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.set = true;
        let waker = state.waker.take();
        drop(state);
        self.0.1.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.0.lock().unwrap();
        if state.set {
            return Poll::Ready(());
        }
        let old = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }

    async fn wait(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Waits without an executor.
    fn block(&self) {
        let state = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(state, |state| !state.set).unwrap());
    }
}

/// Threads that wait for one reactor, and its kernel.
struct World {
    parking: Parking,
    kernel: Arc<system::Kernel>,
}

impl World {
    fn new() -> Arc<World> {
        clock::reset();
        let reactor = Reactor::new().unwrap();
        let kernel = system::kernel();
        Arc::new(World { parking: Parking::new(Arc::new(reactor)), kernel })
    }

    fn block_on(&self, future: impl Future<Output = ()>) {
        self.parking.block_on(pin!(future));
    }

    fn watch(self: &Arc<World>) -> Pipe {
        let fd = Arc::new(OwnedFd::from(File::open("/dev/null").unwrap()));
        let raw = fd.as_raw_fd();
        let watched = self.parking.reactor().watch(fd).unwrap();
        Pipe { kernel: self.kernel.clone(), raw, watched }
    }

    async fn sleep(&self, time: Duration) {
        let mut timer = self.parking.reactor().timer();
        timer.register(Some(clock::now() + time));
        poll_fn(|cx| timer.poll(cx)).await;
    }
}

/// A descriptor that bytes come in at, and go out.
struct Pipe {
    kernel: Arc<system::Kernel>,
    raw: RawFd,
    watched: Watched,
}

impl Pipe {
    fn put(&self) {
        self.kernel.put(self.raw);
    }

    fn make_room(&self, room: usize) {
        self.kernel.make_room(self.raw, room);
    }

    /// Reads one byte.
    async fn read(&self) {
        let mut read = || self.kernel.read(self.raw);
        while self.watched.try_io(Direction::Read, &mut read).is_err() {
            poll_fn(|cx| self.watched.poll_readable(cx)).await.unwrap();
        }
    }

    /// Writes one byte.
    async fn write(&self) {
        let mut write = || self.kernel.write(self.raw);
        while self.watched.try_io(Direction::Write, &mut write).is_err() {
            poll_fn(|cx| self.watched.poll_writable(cx)).await.unwrap();
        }
    }
}

/// Runs it on a thread of its own.
fn spawn(run: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(run)
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
