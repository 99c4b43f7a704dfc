//! Distributed structured concurrency: a program is a tree of processes, and a process is a tree of
//! tasks.
//!
//! Nurseries spawn processes; calls, contexts and streams link a task here with a task there;
//! errors and cancellation cross the border between processes exactly as they cross a nursery;
//! nothing outlives the scope that started it. There is no zombie, ever.
//!
//! ```no_run
//! #[tractor::rpc]
//! async fn add(a: u64, b: u64) -> u64 {
//!     a + b
//! }
//!
//! #[tractor::main]
//! async fn main() -> tractor::Result<()> {
//!     tractor::open_nursery(async |an| {
//!         let child = an.start_actor("adder").enable(tractor::module!()).await?;
//!         println!("{}", child.run(add { a: 3, b: 4 }).await?);
//!         child.cancel_actor().await
//!     })
//!     .await
//! }
//! ```
//!
//! # Where to look
//! | you want to | see |
//! |---|---|
//! | spawn processes | [`open_nursery`], [`ActorNursery`], [`ActorBuilder`] |
//! | find an actor by name, also of another program | [`find_actor`], [`watch`], [`run_daemon`] |
//! | call and stream | [`Portal`], [`mod@context`], [`MsgStream`], [`macro@stream`], [`Subscription`] |
//! | structure tasks inside an actor | [`scope`] |
//! | know what failed | [`Error`] |
//! | embed it in a program | [`init()`], [`open_root_actor`], [`RootConfig`] |
//! | test a program of actors | [`test`](macro@test); with the feature `sim` the module `sim` |

#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate self as tractor;

mod ambient;
mod blocking;
mod boxes;
mod cache;
mod child;
mod cluster;
pub mod context;
mod current;
mod daemon;
mod discovery;
mod driver;
pub mod endpoint;
mod entry;
pub mod error;
mod generator;
mod host;
mod init;
mod keys;
mod log;
mod nursery;
mod oneshot;
mod os;
mod panics;
mod payload;
mod portal;
mod ready;
mod root;
pub mod scope;
mod shared;
#[cfg(feature = "sim")]
#[cfg_attr(docsrs, doc(cfg(feature = "sim")))]
pub mod sim;
mod slab;
mod stream;
mod sync;
mod testing;
#[cfg(all(test, shuttle))]
mod tests;
mod wait;
mod wakers;

pub use blocking::{UNBLOCK_THREADS_MAX, unblock};
pub use cache::{Cached, maybe_open_context, maybe_open_context_in};
pub use cluster::{Cluster, Portals, gather_contexts, open_actor_cluster};
pub use context::{Context, ForeignContext, ParentContext, current_ctx};
pub use daemon::run_daemon;
pub use discovery::{
    Change, Watch, find_actor, get_registry, get_root, query_actor, wait_for_actor, watch,
};
pub use endpoint::{Exposed, Module};
pub use error::{
    Absorb, ActorFailed, BoxError, Error, Raise, RemoteError, Result, WireError, reg_error,
};
pub use init::{init, init_exposing, init_with};
pub use nursery::{ActorBuilder, ActorNursery, PythonBuilder, RunHandle, Stdio, open_nursery};
pub use portal::Portal;
pub use root::{Actor, ParentLink, RootConfig, current_actor, open_root_actor};
pub use stream::{Credit, RecvStats, SendStats, StreamStats, SubscriptionStats};
pub use stream::{MsgStream, OnLag, RecvHalf, SendHalf, Subscription};
pub use tractor_core::{Address, OverrunPolicy, Uid};
pub use tractor_macros::{context, main, remote, rpc, stream, test};

/// What it is given, if the feature `smol` is on. For the macros' code.
#[cfg(feature = "smol")]
#[doc(hidden)]
#[macro_export]
macro_rules! __if_smol {
    ($($tokens:tt)*) => { $($tokens)* };
}
#[cfg(not(feature = "smol"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __if_smol {
    ($($tokens:tt)*) => {};
}

/// What it is given, if the feature `tokio` is on. For the macros' code.
#[cfg(feature = "tokio")]
#[doc(hidden)]
#[macro_export]
macro_rules! __if_tokio {
    ($($tokens:tt)*) => { $($tokens)* };
}
#[cfg(not(feature = "tokio"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __if_tokio {
    ($($tokens:tt)*) => {};
}

/// The kind of the link between a parent and its child, as [`Portal::link`] names it.
pub(crate) const LINK_SOCKETPAIR: &str = "socketpair";

/// What the macros' code names. Not for people.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use serde;

    pub use crate::context::Context;
    pub use crate::endpoint::{
        Checked, ContextEndpoint, Endpoint, EndpointPath, Fallible, Module, Named, Plain, Probe,
        Rpc, StreamEndpoint,
    };
    pub use crate::entry::run_main;
    pub use crate::error::{BoxError, ErrorType};
    pub use crate::generator::forward;
    pub use crate::stream::SendHalf;
    pub use crate::testing::{TestSpec, run_test};

    /// What a call gets here of a function that `remote!` has only declared.
    pub fn elsewhere<E: Named>() -> BoxError {
        format!("`{}` is only declared in this program: it runs in another one", E::PATH).into()
    }

    /// `#[main]` and `#[test]` without an executor.
    pub const DEFAULT_EXECUTOR: &str = if cfg!(feature = "smol") { "smol" } else { "tokio" };
    /// `#[test]` without a limit.
    pub const TEST_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
}
