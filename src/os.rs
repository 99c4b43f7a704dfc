//! The operating system: starting children, being a child, signals and the runtime directory.
//!
//! Nothing in here knows of messages, actors or executors. What waits is a file descriptor (an
//! exit, a signal, the link), so any executor can watch it; what must not wait is a thread.
//!
//! | module | what it does | threads (one set per process, started when first needed) |
//! |---|---|---|
//! | [`mod@spawn`] | starts children: re-exec, link as fd 0, marker | `tractor-spawner` |
//! | [`process`] | one child: signal, reap, exit status, last output | |
//! | [`output`] | drains captured output, reaps what was dropped | `tractor-drain`, `tractor-tee` |
//! | [`marker`] | the environment variable by which a child knows itself | |
//! | [`child`] | the child's first acts, and its death with its parent | `tractor-lifeline` |
//! | [`pychild`] | the same for a child of a Python parent | `tractor-lifeline` |
//! | [`signals`] | SIGINT and SIGTERM of the root | |
//! | [`rtdir`] | the directory that holds a tree's sockets | |
//! | [`socklock`] | the right to a socket's path that several programs know | |
//! | `probe` | looking at processes and descriptors, for tests | |
//!
//! ```text
//!   parent                                          child
//!   spawn() -> tractor-spawner --posix_spawn-->     child_entry()
//!     socketpair: link ------------------------ fd 0: dup'ed away, then /dev/null or real stdin
//!     pidfd: exit, signals                          PDEATHSIG(KILL) + tractor-lifeline
//! ```
//!
//! # Invariants
//! 1. A child is started by a thread that lives as long as the process, for PDEATHSIG fires when
//!    the spawning *thread* exits.
//! 2. Every descriptor made here is close-on-exec: a leaked duplicate of a link's end would hide
//!    the death of its owner.
//! 3. A signal never goes to a process that was reaped; a process is reaped once.
//! 4. No child is ever blocked because nobody reads its captured output.

pub(crate) mod child;
pub(crate) mod marker;
pub(crate) mod output;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod pychild;
pub(crate) mod rtdir;
pub(crate) mod signals;
pub(crate) mod socklock;
pub(crate) mod spawn;

pub(crate) use child::{ChildLink, Entry, OnParentDeath, child_entry, is_child};
pub(crate) use marker::{Back, MARKER_ENV, Marker};
pub(crate) use output::flush_tee;
pub(crate) use process::{ExitStatus, Process, Signal};
pub(crate) use pychild::{PyAddr, PyChild, PyOrders, python_entry};
pub(crate) use rtdir::TreeDir;
pub(crate) use signals::{ROOT_SIGNALS, RootSignals};
pub(crate) use socklock::SocketLock;
pub(crate) use spawn::{ChildSpec, Output, Spawned, Stdin, remember_exe, secret, spawn};
