//! A connected unix stream socket, and how it spares system calls.
//!
//! A reader that waits costs, per message: one call that arms the reactor, the reactor's own wait,
//! and one `recv`. The `recv` that only finds out there is nothing is saved: a read that got less
//! than it asked for has emptied the socket, so the next one waits without trying. When that was
//! wrong (more came in between), a level-triggered reactor says so at once.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, FdFlags};
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, Shutdown};
use tractor_executors::{Executor, Readiness};

use super::os;
use crate::{PeerIdentity, Stream};

/// Slices the kernel takes in one call (`UIO_MAXIOV`; `IOV_MAX` of the other systems is the same).
const SLICES_MAX: usize = 1024;

/// A stream over a connected unix stream socket: one end of a [`pair`](super::pair), or what a
/// parent handed over. The descriptor is made non-blocking and closed on exec.
///
/// `link` is what [`Stream::link`] answers.
///
/// # Errors
/// When `fd` is no socket, or the executor can't watch it.
pub fn from_fd(
    executor: &dyn Executor,
    fd: OwnedFd,
    link: &'static str,
) -> io::Result<Box<dyn Stream>> {
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    connected(executor, fd, link)
}

/// As [`from_fd`], of a descriptor that this transport made closed on exec.
pub(super) fn connected(
    executor: &dyn Executor,
    fd: OwnedFd,
    link: &'static str,
) -> io::Result<Box<dyn Stream>> {
    let peer = os::peer(&fd)?;
    os::silence_sigpipe(&fd)?;
    let fd = Arc::new(fd);
    let readiness = executor.watch(Arc::clone(&fd))?;
    Ok(Box::new(UdsStream { fd, readiness, maybe_readable: AtomicBool::new(true), peer, link }))
}

#[derive(Debug)]
struct UdsStream {
    fd: Arc<OwnedFd>,
    readiness: Box<dyn Readiness>,
    /// Cleared by a read that emptied the socket, set by the reactor. Only the reader uses it, so
    /// no order between threads hangs on it.
    maybe_readable: AtomicBool,
    peer: PeerIdentity,
    link: &'static str,
}

impl Stream for UdsStream {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if !self.maybe_readable.load(Ordering::Relaxed) {
                ready!(self.readiness.poll_readable(cx))?;
                self.maybe_readable.store(true, Ordering::Relaxed);
            }
            match net::recv(&self.fd, &mut *buf, RecvFlags::empty()) {
                Ok((_, len)) => {
                    // The end stays readable: 0 says that it was read, not that there is nothing.
                    let emptied = len > 0 && len < buf.len();
                    self.maybe_readable.store(!emptied, Ordering::Relaxed);
                    return Poll::Ready(Ok(len));
                }
                Err(Errno::AGAIN) => {
                    self.maybe_readable.store(false, Ordering::Relaxed);
                    self.readiness.clear_readable();
                }
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bufs = &bufs[..bufs.len().min(SLICES_MAX)];
        loop {
            let sent = match bufs {
                [one] => net::send(&self.fd, one, os::NO_SIGPIPE),
                _ => {
                    let mut no_control = SendAncillaryBuffer::default();
                    net::sendmsg(&self.fd, bufs, &mut no_control, os::NO_SIGPIPE)
                }
            };
            match sent {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.readiness.clear_writable();
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                sent => return Ok(sent?),
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
