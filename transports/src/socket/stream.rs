//! A connected stream socket, and how it spares system calls.
//!
//! A reader that waits costs, per message: one call that arms the reactor, the reactor's own wait,
//! and one `recv`. The `recv` that only finds out there is nothing is saved: a read that got less
//! than it asked for has emptied the socket, so the next one waits without trying. When that was
//! wrong (more came in between), `try_io` of the reactor says so at once.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use rustix::net::{self, RecvFlags, SendAncillaryBuffer, Shutdown};
use tractor_executors::{Direction, Executor, Readiness};

use super::os;
use crate::{PeerIdentity, Stream};

/// Slices the kernel takes in one call (`UIO_MAXIOV`; `IOV_MAX` of the other systems is the same).
const SLICES_MAX: usize = 1024;

/// A stream over a connected stream socket that is closed on exec. `peer` and `link` are what
/// [`Stream::peer`] and [`Stream::link`] answer.
///
/// # Errors
/// When the executor can't watch it.
pub(crate) fn connected(
    executor: &dyn Executor,
    fd: OwnedFd,
    peer: PeerIdentity,
    link: &'static str,
) -> io::Result<Box<dyn Stream>> {
    let fd = Arc::new(fd);
    let readiness = executor.watch(Arc::clone(&fd))?;
    watched(fd, readiness, peer, link)
}

/// As [`connected`], of a socket that is watched already.
pub(crate) fn watched(
    fd: Arc<OwnedFd>,
    readiness: Box<dyn Readiness>,
    peer: PeerIdentity,
    link: &'static str,
) -> io::Result<Box<dyn Stream>> {
    os::silence_sigpipe(&fd)?;
    let maybe_readable = AtomicBool::new(true);
    Ok(Box::new(SocketStream { fd, readiness, maybe_readable, peer, link }))
}

#[derive(Debug)]
struct SocketStream {
    fd: Arc<OwnedFd>,
    readiness: Box<dyn Readiness>,
    /// Cleared by a read that emptied the socket, set by the reactor. Only the reader uses it, so
    /// no order between threads hangs on it.
    maybe_readable: AtomicBool,
    peer: PeerIdentity,
    link: &'static str,
}

impl SocketStream {
    /// Reads once. What tells an attempt that found nothing from one that found the last of it is
    /// where the result is: both tell the reactor that there is no more.
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut last = None;
        let result = self.readiness.try_io(Direction::Read, &mut || {
            let (_, len) = net::recv(&self.fd, &mut *buf, RecvFlags::empty())?;
            // The end stays readable: 0 says that it was read, not that there is nothing.
            if len == 0 || len == buf.len() {
                return Ok(len);
            }
            last = Some(len);
            Err(ErrorKind::WouldBlock.into())
        });
        self.maybe_readable.store(result.is_ok(), Ordering::Relaxed);
        last.map_or(result, Ok)
    }

    fn try_send(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.readiness.try_io(Direction::Write, &mut || {
            Ok(match bufs {
                [one] => net::send(&self.fd, one, os::NO_SIGPIPE)?,
                _ => {
                    let mut no_control = SendAncillaryBuffer::default();
                    net::sendmsg(&self.fd, bufs, &mut no_control, os::NO_SIGPIPE)?
                }
            })
        })
    }
}

impl Stream for SocketStream {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if !self.maybe_readable.load(Ordering::Relaxed) {
                ready!(self.readiness.poll_readable(cx))?;
                self.maybe_readable.store(true, Ordering::Relaxed);
            }
            match self.try_read(buf) {
                Err(error) if is_passing(&error) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bufs = &bufs[..bufs.len().min(SLICES_MAX)];
        loop {
            match self.try_send(bufs) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.readiness.poll_writable(cx)
    }

    fn shutdown(&self) {
        // It fails only when the peer is gone already, which is the state asked for.
        let _ = net::shutdown(&self.fd, Shutdown::Both);
    }

    fn peer(&self) -> PeerIdentity {
        self.peer
    }

    fn link(&self) -> &'static str {
        self.link
    }
}

/// Nothing there, or a signal came between.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
