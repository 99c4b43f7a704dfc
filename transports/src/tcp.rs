//! TCP.
//!
//! Hosts are IP literals: names are for the program to resolve. Small messages go out at once
//! (`TCP_NODELAY`), a connection that is only lost on the way is noticed by keepalive probes, and a
//! listener takes an address again whose last connections the system still remembers
//! (`SO_REUSEADDR`).
//!
//! TCP tells nothing of who is at the other end: [`Stream::peer`] knows neither process nor user.
//! What an unknown peer may do is decided elsewhere.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, sockopt};
use tractor_core::Address;
use tractor_executors::{Direction, Executor, Readiness, Timer};

use crate::socket::listener::SocketListener;
use crate::socket::{self, at};
use crate::{BoxFuture, Listener, PeerIdentity, Stream, Transport};

/// What a connected stream of this transport calls itself.
const LINK: &str = "tcp";

/// Silence on a connection after which the system asks whether the peer is still there, and how
/// long it waits between two questions. After the system's usual count of them, 9, the connection
/// is broken: about a minute and a half.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(45), Duration::from_secs(5));

/// The transport of [`Address::Tcp`].
#[derive(Clone, Debug)]
pub struct Tcp {
    connect_wait_max: Duration,
}

impl Tcp {
    /// The transport with its default limits.
    pub fn new() -> Self {
        Self { connect_wait_max: Duration::from_secs(5) }
    }

    /// Sets how long a connect waits for an answer (5 s by default). After that it fails with
    /// [`io::ErrorKind::TimedOut`].
    #[must_use]
    pub fn connect_wait_max(mut self, wait: Duration) -> Self {
        self.connect_wait_max = wait;
        self
    }
}

impl Default for Tcp {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for Tcp {
    fn serves(&self, addr: &Address) -> bool {
        matches!(addr, Address::Tcp { .. })
    }

    /// Binds and listens. For port 0 the system chooses one: [`Listener::local_addr`] tells which.
    ///
    /// # Errors
    /// When the address can't be bound: of kind `AddrInUse` when somebody listens there. The error
    /// names the address.
    fn listen(
        &self,
        executor: &Arc<dyn Executor>,
        addr: &Address,
    ) -> io::Result<Box<dyn Listener>> {
        let listener = TcpListener::bind(executor, socket_addr(addr)?);
        Ok(Box::new(listener.map_err(|error| at("bind", addr, error))?))
    }

    fn connect(
        &self,
        executor: &Arc<dyn Executor>,
        addr: &Address,
    ) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let (executor, addr, wait_max) =
            (Arc::clone(executor), addr.clone(), self.connect_wait_max);
        Box::pin(async move {
            let to = socket_addr(&addr)?;
            let stream = connect(&*executor, to, wait_max).await;
            stream.map_err(|error| at("connect to", &addr, error))
        })
    }
}

#[derive(Debug)]
struct TcpListener {
    socket: SocketListener,
    addr: Address,
}

impl TcpListener {
    fn bind(executor: &Arc<dyn Executor>, addr: SocketAddr) -> io::Result<Self> {
        let fd = socket(&addr)?;
        sockopt::set_socket_reuseaddr(&fd, true)?;
        net::bind(&fd, &addr)?;
        let bound = SocketAddr::try_from(net::getsockname(&fd)?)?;
        let addr = Address::Tcp { host: bound.ip(), port: bound.port() };
        Ok(Self { socket: SocketListener::new(executor, fd, accepted)?, addr })
    }
}

impl Listener for TcpListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>> {
        self.socket.poll_accept(cx)
    }

    fn local_addr(&self) -> Address {
        self.addr.clone()
    }
}

/// A stream over a connected TCP socket that was made elsewhere. The descriptor is made closed
/// on exec.
///
/// # Errors
/// When `fd` is no TCP socket, or the executor can't watch it.
pub fn from_fd(executor: &dyn Executor, fd: OwnedFd) -> io::Result<Box<dyn Stream>> {
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    accepted(executor, fd)
}

fn accepted(executor: &dyn Executor, fd: OwnedFd) -> io::Result<Box<dyn Stream>> {
    set_up(&fd)?;
    socket::stream::connected(executor, fd, PeerIdentity::default(), LINK)
}

/// What holds for every connection. A peer that is gone by then is found by reading.
fn set_up(fd: &OwnedFd) -> io::Result<()> {
    let (idle, interval) = KEEPALIVE;
    sockopt::set_tcp_nodelay(fd, true)?;
    sockopt::set_socket_keepalive(fd, true)?;
    sockopt::set_tcp_keepidle(fd, idle)?;
    Ok(sockopt::set_tcp_keepintvl(fd, interval)?)
}

async fn connect(
    executor: &dyn Executor,
    to: SocketAddr,
    wait_max: Duration,
) -> io::Result<Box<dyn Stream>> {
    let fd = socket(&to)?;
    set_up(&fd)?;
    let started = net::connect(&fd, &to);
    let fd = Arc::new(fd);
    // Watched only now: a socket that was not connected yet counts as hung up.
    let readiness = executor.watch(Arc::clone(&fd))?;
    match started {
        Ok(()) => {}
        // Interrupted, it goes on all the same.
        Err(Errno::INPROGRESS | Errno::INTR) => {
            let mut timer = executor.timer();
            timer.set(Some(executor.now() + wait_max));
            let answer = poll_fn(|cx| poll_answer(&fd, &*readiness, &mut *timer, cx)).await;
            answer.unwrap_or_else(|| Err(no_answer(wait_max)))?;
        }
        Err(error) => return Err(error.into()),
    }
    socket::stream::watched(fd, readiness, PeerIdentity::default(), LINK)
}

fn no_answer(wait_max: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {wait_max:?}"))
}

/// Ready when the peer has answered, with how; or, with `None`, when the time is over.
fn poll_answer(
    fd: &OwnedFd,
    readiness: &dyn Readiness,
    timer: &mut dyn Timer,
    cx: &mut Context<'_>,
) -> Poll<Option<io::Result<()>>> {
    loop {
        if readiness.poll_writable(cx)?.is_pending() {
            ready!(timer.poll_expired(cx));
            return Poll::Ready(None);
        }
        // Whatever the reactor took for readiness: no peer's name means no connection, and no
        // error means none yet.
        match (sockopt::socket_error(fd)?, net::getpeername(fd)) {
            (Err(error), _) => return Poll::Ready(Some(Err(error.into()))),
            (Ok(()), Ok(_)) => return Poll::Ready(Some(Ok(()))),
            (Ok(()), Err(Errno::NOTCONN)) => {
                // Not an attempt at anything: it tells the reactor to wait.
                let nothing = &mut || Err(io::ErrorKind::WouldBlock.into());
                let _ = readiness.try_io(Direction::Write, nothing);
            }
            (Ok(()), Err(error)) => return Poll::Ready(Some(Err(error.into()))),
        }
    }
}

/// A new socket for connections with `addr`.
fn socket(addr: &SocketAddr) -> io::Result<OwnedFd> {
    socket::os::socket(if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 })
}

fn socket_addr(addr: &Address) -> io::Result<SocketAddr> {
    match addr {
        Address::Tcp { host, port } => Ok(SocketAddr::new(*host, *port)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{addr} is no TCP address"))),
    }
}

/// Whether only this machine can reach the address.
pub fn is_loopback(addr: &Address) -> bool {
    match addr {
        Address::Tcp { host: IpAddr::V6(host), .. } => {
            host.is_loopback() || host.to_ipv4_mapped().is_some_and(|host| host.is_loopback())
        }
        Address::Tcp { host, .. } => host.is_loopback(),
        Address::Uds { .. } => true,
        _ => false,
    }
}
