//! Unix domain sockets, and the socketpair between a parent and its child.
//!
//! [`Uds`] binds and connects sockets in the file system; [`pair`] and [`from_fd`] make the
//! nameless link that a parent hands to its child as descriptor 0. Both give the same [`Stream`].
//!
//! * A socket's file is private to its user (mode 0600) from the moment it exists, and is removed
//!   by the listener that made it, unless someone else's file is in its place by then.
//! * A file that is already there is never removed: who may sweep what is decided elsewhere.
//! * The peer's process and user are asked of the kernel once, when the connection is made. What
//!   follows from them is decided elsewhere, too.

use std::fs;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::{Errno, FdFlags};
use rustix::net::{self, AddressFamily};
use tractor_core::Address;
use tractor_executors::Executor;

use crate::socket::listener::SocketListener;
use crate::socket::{self, at};
use crate::{BoxFuture, Listener, Stream, Transport};

mod os;

pub use os::{PATH_LEN_MAX, pair};

/// Connections the kernel keeps for [`Listener::poll_accept`]; further ones wait in `connect`.
pub const BACKLOG: i32 = socket::listener::BACKLOG;

/// First and longest wait between two attempts at a full backlog. The first is about what one turn
/// of a busy listener takes; the longest keeps a crowd of waiting clients cheap.
const CONNECT_RETRY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// What a connected stream of this transport calls itself.
const LINK: &str = "uds";

/// The transport of [`Address::Uds`].
#[derive(Clone, Debug)]
pub struct Uds {
    connect_wait_max: Duration,
}

impl Uds {
    /// The transport with its default limits.
    pub fn new() -> Self {
        Self { connect_wait_max: Duration::from_secs(5) }
    }

    /// Sets how long a connect waits while the listener's backlog is full (5 s by default). After
    /// that it fails with [`io::ErrorKind::TimedOut`].
    #[must_use]
    pub fn connect_wait_max(mut self, wait: Duration) -> Self {
        self.connect_wait_max = wait;
        self
    }
}

impl Default for Uds {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for Uds {
    fn serves(&self, addr: &Address) -> bool {
        matches!(addr, Address::Uds { .. })
    }

    /// Binds and listens, with a backlog of [`BACKLOG`].
    ///
    /// # Errors
    /// When the address can't be bound: of kind `AddrInUse` when the file exists, whoever made it,
    /// `InvalidInput` when the path is longer than [`PATH_LEN_MAX`]. The error names the path.
    fn listen(
        &self,
        executor: &Arc<dyn Executor>,
        addr: &Address,
    ) -> io::Result<Box<dyn Listener>> {
        let path = path_of(addr)?;
        let listener = UdsListener::bind(executor, addr, &path);
        Ok(Box::new(listener.map_err(|error| at("bind", &path, error))?))
    }

    fn connect(
        &self,
        executor: &Arc<dyn Executor>,
        addr: &Address,
    ) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let (executor, path, wait_max) =
            (Arc::clone(executor), path_of(addr), self.connect_wait_max);
        Box::pin(async move {
            let path = path?;
            let stream = connect(&*executor, &path, wait_max).await;
            stream.map_err(|error| at("connect to", &path, error))
        })
    }
}

/// Connects, and waits while the listener's backlog is full.
async fn connect(
    executor: &dyn Executor,
    path: &str,
    wait_max: Duration,
) -> io::Result<Box<dyn Stream>> {
    let name = os::socket_name(path)?;
    let fd = socket::os::socket(AddressFamily::UNIX)?;
    let give_up = executor.now() + wait_max;
    let (mut wait, wait_longest) = CONNECT_RETRY;
    let mut timer = None;
    loop {
        match net::connect(&fd, &name) {
            Ok(()) | Err(Errno::ISCONN) => return connected(executor, fd, LINK),
            Err(Errno::INTR) => continue,
            // Linux answers this, and only this, when the backlog is full. The socket stays usable.
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        let now = executor.now();
        if now >= give_up {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the listener's backlog stayed full for {wait_max:?}"),
            ));
        }
        let timer = timer.get_or_insert_with(|| executor.timer());
        timer.set(Some(give_up.min(now + wait)));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        wait = wait_longest.min(wait * 2);
    }
}

/// A bound socket and the file it made.
#[derive(Debug)]
struct UdsListener {
    /// First, for fields are dropped in this order and the file must go before the socket.
    _file: SocketFile,
    socket: SocketListener,
    addr: Address,
}

impl UdsListener {
    fn bind(executor: &Arc<dyn Executor>, addr: &Address, path: &str) -> io::Result<Self> {
        let name = os::socket_name(path)?;
        let fd = socket::os::socket(AddressFamily::UNIX)?;
        // Before the bind, so that there is no moment in which the file is open to others.
        os::make_private_before_bind(&fd)?;
        net::bind(&fd, &name)?;
        let file = SocketFile::made_by_bind(path)?;
        os::make_private_after_bind(path)?;
        let socket =
            SocketListener::new(executor, fd, |executor, fd| connected(executor, fd, LINK))?;
        Ok(Self { _file: file, socket, addr: addr.clone() })
    }
}

impl Listener for UdsListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>> {
        self.socket.poll_accept(cx)
    }

    fn local_addr(&self) -> Address {
        self.addr.clone()
    }
}

/// A stream over a connected unix stream socket: one end of a [`pair`], or what a parent handed
/// over. The descriptor is made non-blocking and closed on exec.
///
/// `link` is what [`Stream::link`] answers.
///
/// # Errors
/// When `fd` is no unix socket, or the executor can't watch it.
pub fn from_fd(
    executor: &dyn Executor,
    fd: OwnedFd,
    link: &'static str,
) -> io::Result<Box<dyn Stream>> {
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    connected(executor, fd, link)
}

/// As [`from_fd`], of a descriptor that this transport made closed on exec.
fn connected(
    executor: &dyn Executor,
    fd: OwnedFd,
    link: &'static str,
) -> io::Result<Box<dyn Stream>> {
    let peer = socket::os::peer(&fd)?;
    socket::stream::connected(executor, fd, peer, link)
}

/// The file that a bind made; removed on drop if it is still that one.
#[derive(Debug)]
struct SocketFile {
    path: String,
    /// Device and inode. The open socket keeps the inode in use, so its number can't come back as
    /// another file's while this is compared.
    id: (u64, u64),
}

impl SocketFile {
    fn made_by_bind(path: &str) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: Self::id_at(path)? })
    }

    fn id_at(path: &str) -> io::Result<(u64, u64)> {
        let meta = fs::symlink_metadata(path)?;
        Ok((meta.dev(), meta.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if Self::id_at(&self.path).is_ok_and(|id| id == self.id) {
            // Nobody is left to tell; a file that stays is swept by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn path_of(addr: &Address) -> io::Result<String> {
    addr.uds_path().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{addr} is no unix domain socket"))
    })
}
