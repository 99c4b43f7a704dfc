//! The program under test: this test binary, started again with an order in its environment.

use std::net::Ipv4Addr;

use tractor::{Address, Error, ParentLink, Result, RootConfig, open_root_actor};

use crate::on::{self, On};
use crate::orders;
use crate::tree::say;

/// The environment variable with the order.
pub(crate) const ORDER: &str = "TREE";

/// The environment variable with what the tree runs on.
pub(crate) const ON: &str = "TREE_ON";

fn on() -> On {
    let on = std::env::var(ON).unwrap_or_else(|_| on::SMOL_SOCKETPAIR.to_string());
    on.parse().unwrap_or_else(|e| panic!("{e}"))
}

/// Runs as the root of a tree, or as the child it was spawned as.
pub(crate) fn main() -> Result<()> {
    match on().executor {
        "smol" => smol::main(),
        "tokio" => tokio::main(),
        _ => tokio_multi_thread::main(),
    }
}

mod smol {
    #[tractor::main(executor = "smol")]
    pub(super) async fn main() -> tractor::Result<()> {
        super::run().await
    }
}

mod tokio {
    #[tractor::main(executor = "tokio")]
    pub(super) async fn main() -> tractor::Result<()> {
        super::run().await
    }
}

mod tokio_multi_thread {
    #[tractor::main(executor = "tokio-multi-thread")]
    pub(super) async fn main() -> tractor::Result<()> {
        super::run().await
    }
}

/// Carries the order out, in a tree with the links it is to have.
async fn run() -> Result<()> {
    let order = std::env::var(ORDER).unwrap_or_default();
    let words: Vec<&str> = order.split(' ').collect();
    let config = RootConfig::default().parent_link(ParentLink::ConnectBack);
    let result = match on().link {
        // Some orders open roots of their own.
        "socketpair" => orders::obey(&words).await,
        "uds" => open_root_actor(config, async |_| orders::obey(&words).await).await,
        _ => {
            let any = Address::Tcp { host: Ipv4Addr::LOCALHOST.into(), port: 0 };
            let config = config.registry_addrs([any]);
            open_root_actor(config, async |_| orders::obey(&words).await).await
        }
    };
    match &result {
        Ok(()) => say!("end ok"),
        Err(error) => say!("end {}", describe(error)),
    }
    result
}

/// An error in one line, for the tests to look at: every leaf with its kind and its facts.
pub(crate) fn describe(error: &Error) -> String {
    let leaves = error.leaves();
    leaves.into_iter().map(describe_leaf).collect::<Vec<_>>().join("; ")
}

fn describe_leaf(error: &Error) -> String {
    match error {
        Error::ActorFailed(e) => format!(
            "ActorFailed {} while {:?}, pid {:?}, {}, stderr {:?}, error {:?}",
            e.name(),
            e.phase(),
            e.pid(),
            e.status().map_or_else(|| "no status".to_owned(), |status| status.to_string()),
            e.stderr_tail(),
            e.error().map(|e| e.message().to_owned()),
        ),
        Error::Remote(e) => {
            let path: Vec<&str> = e.relay_path().iter().map(|uid| uid.name.as_str()).collect();
            format!("Remote {} {:?} by {}", e.type_name(), e.message(), path.join("<"))
        }
        error => format!("{} {:?}", error.type_name(), error.to_string()),
    }
}
