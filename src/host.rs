//! What an actor's process is, and what it makes other processes with: the system's own, or those
//! of a simulation. The rest of the runtime knows processes by this alone.
//!
//! ```text
//!   driver, root, child ──> dyn Host ──┬── System ──> os      processes, pidfds, sockets
//!                                      └── sim                actors of this very process
//! ```

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use tractor_core::Address;
use tractor_executors::{Executor, Readiness};
use tractor_transports::{Stream, Transport, tcp, uds};

use crate::error::{Error, Misuse, Result};
use crate::os::{self, ChildSpec, ExitStatus, Signal};
use crate::shared::Shared;
use crate::{current, init, log};

/// The name of the registry's socket in the tree's directory.
const REGISTRY_SOCKET: &str = "registry@1616";

/// The process that an actor is.
pub(crate) trait Host: fmt::Debug + Send + Sync {
    /// What its actor runs on; `chosen` is what the program wants.
    ///
    /// # Errors
    /// When there is none.
    fn executor(&self, chosen: Option<Arc<dyn Executor>>) -> Result<Arc<dyn Executor>>;

    /// Its number.
    fn pid(&self) -> u32;

    /// For names that must not collide. Nothing secret is made of it.
    fn seed(&self) -> [u8; 32];

    /// Bytes that nobody can guess.
    ///
    /// # Errors
    /// When the system has none.
    fn secret(&self) -> io::Result<[u8; 16]>;

    /// What its actor talks over.
    fn transports(&self) -> Vec<Arc<dyn Transport>>;

    /// A place for the sockets of a new tree, in `base` or where such places are.
    ///
    /// # Errors
    /// When it can't be had.
    fn home(&self, base: Option<&Path>) -> io::Result<Home>;

    /// What tells of its SIGINT and SIGTERM; `None` when there are none.
    ///
    /// # Errors
    /// When they can't be caught.
    fn signals(&self) -> io::Result<Option<os::RootSignals>>;

    /// Sets the log level of a child.
    fn log_at(&self, level: Option<&str>);

    /// Makes its actor known as one of this process.
    fn register(&self, actor: &Arc<Shared>);

    /// That it can spawn others.
    ///
    /// # Errors
    /// [`Misuse::NotInitialised`].
    fn check_spawn(&self) -> Result<()>;

    /// Starts a child and calls `done` with the outcome, on any thread. `done` must be short.
    fn spawn(&self, spec: ChildSpec, done: Done);

    /// The right to listen at an address that several programs know.
    ///
    /// # Errors
    /// Of kind `AddrInUse` when another has it.
    fn claim(&self, addr: &Address) -> io::Result<Claim>;

    /// Removes what a child that is gone may have left at its address.
    fn sweep(&self, addr: &Address);

    /// Whether it was killed: what is dropped of it then is no news.
    fn is_gone(&self) -> bool;
}

/// The right to listen at an address, while this is kept.
#[derive(Debug, Default)]
pub(crate) struct Claim {
    _lock: Option<os::SocketLock>,
}

/// What is called with the outcome of a spawn.
pub(crate) type Done = Box<dyn FnOnce(io::Result<Spawned>) + Send>;

/// A child that was started.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: u32,
    /// Our end of the link that it was born with.
    pub(crate) link: Link,
    /// Dropping the last one kills and reaps it.
    pub(crate) process: Arc<dyn Process>,
}

/// The end of a link that a child was born with.
#[derive(Debug)]
pub(crate) enum Link {
    /// Of a socketpair.
    Fd(OwnedFd),
    /// In memory.
    #[cfg(feature = "sim")]
    Stream(Box<dyn Stream>),
}

impl Link {
    /// It as a stream.
    ///
    /// # Errors
    /// When the executor refuses the descriptor.
    pub(crate) fn open(self, executor: &dyn Executor) -> io::Result<Box<dyn Stream>> {
        match self {
            Link::Fd(fd) => uds::from_fd(executor, fd, crate::LINK_SOCKETPAIR),
            #[cfg(feature = "sim")]
            Link::Stream(stream) => Ok(stream),
        }
    }
}

/// A child's process.
pub(crate) trait Process: fmt::Debug + Send + Sync {
    /// Its number.
    fn pid(&self) -> u32;

    /// What is readable once it has exited.
    ///
    /// # Errors
    /// When the executor refuses it.
    fn watch(&self, executor: &dyn Executor) -> io::Result<Box<dyn Readiness>>;

    /// Reaps it if it has exited; after that, the same status again.
    ///
    /// # Errors
    /// When the system refuses to tell.
    fn try_reap(&self) -> io::Result<Option<ExitStatus>>;

    /// Sends a signal. When it has exited already, nothing happens.
    ///
    /// # Errors
    /// When the system refuses it.
    fn signal(&self, signal: Signal) -> io::Result<()>;

    /// The last of its standard output, if that is captured.
    fn stdout_tail(&self) -> String;

    /// The last of its standard error, if that is captured.
    fn stderr_tail(&self) -> String;
}

/// Where the sockets of a tree are.
#[derive(Debug)]
pub(crate) struct Home {
    /// Where its registry listens if nobody says otherwise.
    pub(crate) registry: Address,
    /// Removed with it.
    pub(crate) _dir: Option<os::TreeDir>,
}

/// The process that the running code is in.
pub(crate) fn here() -> Arc<dyn Host> {
    #[cfg(feature = "sim")]
    if let Some(host) = crate::sim::host() {
        return host;
    }
    Arc::new(System)
}

/// Whether the running code is simulated.
pub(crate) fn is_simulated() -> bool {
    #[cfg(feature = "sim")]
    return crate::sim::is_running();
    #[cfg(not(feature = "sim"))]
    false
}

/// This process, as the system made it.
#[derive(Debug)]
pub(crate) struct System;

impl Host for System {
    fn executor(&self, chosen: Option<Arc<dyn Executor>>) -> Result<Arc<dyn Executor>> {
        chosen.map_or_else(init::default_executor, Ok)
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// From the process's own random state.
    fn seed(&self) -> [u8; 32] {
        use std::hash::{BuildHasher, Hasher, RandomState};
        let mut seed = [0; 32];
        for chunk in seed.chunks_exact_mut(8) {
            let word = RandomState::new().build_hasher().finish();
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        seed
    }

    fn secret(&self) -> io::Result<[u8; 16]> {
        os::secret()
    }

    fn transports(&self) -> Vec<Arc<dyn Transport>> {
        vec![Arc::new(uds::Uds::new()), Arc::new(tcp::Tcp::new())]
    }

    fn home(&self, base: Option<&Path>) -> io::Result<Home> {
        let tree_dir = os::TreeDir::create(base)?;
        let (dir, file) = tree_dir.socket_path(REGISTRY_SOCKET);
        Ok(Home { registry: Address::Uds { dir, file }, _dir: Some(tree_dir) })
    }

    fn signals(&self) -> io::Result<Option<os::RootSignals>> {
        os::RootSignals::install().map(Some)
    }

    fn log_at(&self, level: Option<&str>) {
        log::init_child(level);
    }

    fn register(&self, actor: &Arc<Shared>) {
        current::register(actor);
    }

    fn check_spawn(&self) -> Result<()> {
        match init::is_initialised() {
            true => Ok(()),
            false => Err(Error::Misuse(Misuse::NotInitialised)),
        }
    }

    fn spawn(&self, spec: ChildSpec, done: Done) {
        os::spawn(spec, Box::new(move |result| done(result.map(Spawned::from))));
    }

    fn claim(&self, addr: &Address) -> io::Result<Claim> {
        let path = addr.uds_path();
        let lock = path.map(|path| os::SocketLock::take(Path::new(&path))).transpose()?;
        Ok(Claim { _lock: lock })
    }

    fn sweep(&self, addr: &Address) {
        if let Some(path) = addr.uds_path() {
            // Mostly it is not there: the child removed it, or never bound it.
            let _ = std::fs::remove_file(path);
        }
    }

    fn is_gone(&self) -> bool {
        false
    }
}

impl From<os::Spawned> for Spawned {
    fn from(spawned: os::Spawned) -> Spawned {
        let os::Spawned { pid, link, process } = spawned;
        Spawned { pid, link: Link::Fd(link), process }
    }
}

impl Process for os::Process {
    fn pid(&self) -> u32 {
        self.pid()
    }

    fn watch(&self, executor: &dyn Executor) -> io::Result<Box<dyn Readiness>> {
        executor.watch(self.exit_fd())
    }

    fn try_reap(&self) -> io::Result<Option<ExitStatus>> {
        self.try_reap()
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        self.signal(signal)
    }

    fn stdout_tail(&self) -> String {
        self.stdout_tail()
    }

    fn stderr_tail(&self) -> String {
        self.stderr_tail()
    }
}
