//! Byte-stream transports of tractor.
//!
//! Three small traits carry the protocol over anything that moves bytes in order: a [`Transport`]
//! makes [`Listener`]s and [`Stream`]s, and knows nothing of what flows through them.
//!
//! | transport | what it is |
//! |---|---|
//! | [`uds`] | unix domain sockets, and the socketpair between a parent and its child |
//! | [`tcp`] | TCP |
//! | [`mem`] | pipes in memory, for tests |
//!
//! Who writes another one runs [`contract::all`] over it.

use std::fmt::Debug;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tractor_core::Address;
use tractor_executors::Executor;

pub mod contract;
pub mod mem;
mod socket;
pub mod tcp;
pub mod uds;

/// A future a transport returns.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Who is at the other end, as far as the kernel vouches for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerIdentity {
    /// The process that connected or made the pair. It may be gone, and its number reused.
    pub pid: Option<u32>,
    /// The user that process ran as.
    pub uid: Option<u32>,
}

/// An ordered, reliable stream of bytes. All methods take `&self`: one reader and one writer may
/// use it at once.
pub trait Stream: Debug + Send + Sync {
    /// Reads what is there; 0 is the end of the stream. Pending registers the waker.
    ///
    /// # Errors
    /// When the connection is broken. `WouldBlock` and `Interrupted` never come out.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes without waiting, possibly only a part.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits now; anything else when the connection is broken.
    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ready when [`try_write`](Self::try_write) may make progress. Pending registers the waker.
    ///
    /// # Errors
    /// When the reactor is gone.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends both directions. The peer reads what was written, then the end.
    fn shutdown(&self);

    /// Who is at the other end.
    fn peer(&self) -> PeerIdentity;

    /// What kind of link this is: `"socketpair"`, `"uds"`, `"tcp"`, `"mem"`, ...
    fn link(&self) -> &'static str;
}

/// A bound address that accepts streams.
pub trait Listener: Debug + Send + Sync {
    /// Accepts one stream. Pending registers the waker.
    ///
    /// # Errors
    /// A failed accept. It is about that one connection (or about descriptors running out); the
    /// listener goes on.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>>;

    /// The address it is really bound to.
    fn local_addr(&self) -> Address;
}

/// Makes listeners and streams for one kind of [`Address`].
pub trait Transport: Debug + Send + Sync {
    /// Whether this transport serves addresses of this kind.
    fn serves(&self, addr: &Address) -> bool;

    /// Binds and listens.
    ///
    /// # Errors
    /// When the address can't be bound; the error names it.
    fn listen(&self, executor: &Arc<dyn Executor>, addr: &Address)
    -> io::Result<Box<dyn Listener>>;

    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there; the error names the address.
    fn connect(
        &self,
        executor: &Arc<dyn Executor>,
        addr: &Address,
    ) -> BoxFuture<io::Result<Box<dyn Stream>>>;
}
