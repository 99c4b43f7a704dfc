//! A socket that accepts.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net;
use tractor_executors::{Direction, Executor, Readiness, Timer};

use super::os;
use crate::Stream;

/// Connections the kernel keeps until they are accepted; further ones wait, or are refused.
pub(crate) const BACKLOG: i32 = 128;

/// How long a listener rests after an accept that failed for want of descriptors or memory. The
/// connection stays in the backlog, so without a rest the listener would spin.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Makes a stream of an accepted socket.
type Make = fn(&dyn Executor, OwnedFd) -> io::Result<Box<dyn Stream>>;

/// A bound socket that listens.
#[derive(Debug)]
pub(crate) struct SocketListener {
    /// Watches what was accepted, and gives the timer to rest with.
    executor: Arc<dyn Executor>,
    fd: Arc<OwnedFd>,
    readiness: Box<dyn Readiness>,
    /// False once an accept found nothing: wait for readiness first.
    maybe_ready: AtomicBool,
    /// There while the listener rests after a failed accept.
    rest: Mutex<Option<Box<dyn Timer>>>,
    make: Make,
}

impl SocketListener {
    /// Listens on a bound socket.
    pub(crate) fn new(executor: &Arc<dyn Executor>, fd: OwnedFd, make: Make) -> io::Result<Self> {
        net::listen(&fd, BACKLOG)?;
        let fd = Arc::new(fd);
        Ok(Self {
            executor: Arc::clone(executor),
            readiness: executor.watch(Arc::clone(&fd))?,
            fd,
            maybe_ready: AtomicBool::new(true),
            rest: Mutex::new(None),
            make,
        })
    }

    /// As [`Listener::poll_accept`](crate::Listener::poll_accept).
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>> {
        ready!(self.poll_rested(cx));
        loop {
            if !self.maybe_ready.load(Ordering::Relaxed) {
                ready!(self.readiness.poll_readable(cx)).map_err(|error| self.failed(error))?;
                self.maybe_ready.store(true, Ordering::Relaxed);
            }
            match self.try_accept() {
                Ok(fd) => {
                    let stream = (self.make)(&*self.executor, fd);
                    return Poll::Ready(stream.map_err(|error| self.failed(error)));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.maybe_ready.store(false, Ordering::Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(self.failed(error))),
            }
        }
    }

    fn try_accept(&self) -> io::Result<OwnedFd> {
        let mut accepted = None;
        self.readiness.try_io(Direction::Read, &mut || {
            accepted = Some(os::accept(&self.fd)?);
            Ok(0)
        })?;
        accepted.ok_or_else(|| ErrorKind::WouldBlock.into())
    }

    /// Ready when the rest after a failed accept, if there was one, is over.
    fn poll_rested(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(timer) = &mut *rest {
            ready!(timer.poll_expired(cx));
            *rest = None;
        }
        Poll::Ready(())
    }

    /// Rests, except after an error that took its connection off the backlog.
    fn failed(&self, error: io::Error) -> io::Error {
        if error.kind() != ErrorKind::ConnectionAborted {
            let mut timer = self.executor.timer();
            timer.set(Some(self.executor.now() + ACCEPT_REST));
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(timer);
        }
        error
    }
}
