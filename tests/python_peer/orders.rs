//! This program as an actor: a child of a Python parent, or the root of a tree with Python in it.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use tractor::{Address, Result, RootConfig, open_root_actor};

use crate::{functions, parents, programs, python};

/// The name of the executor that it runs on.
pub(crate) const EXECUTOR: &str = "PYTHON_PEER_EXECUTOR";

/// What it is to do as a root: a word; and over which kind of address.
const ORDER: &str = "PYTHON_PEER_ORDER";
const LINK: &str = "PYTHON_PEER_LINK";
/// Where the registry is that it shares with others.
pub(crate) const REGISTRY: &str = "PYTHON_PEER_REGISTRY";

/// There was an order.
static OBEYED: AtomicBool = AtomicBool::new(false);

/// Becomes what it was started as; returns in the program that runs the tests.
pub(crate) fn main() {
    let ended = match std::env::var(EXECUTOR).as_deref() {
        Ok("tokio") => tokio::main(),
        Ok("tokio-multi-thread") => tokio_multi_thread::main(),
        _ => smol::main(),
    };
    match ended {
        Ok(()) if OBEYED.load(Ordering::Relaxed) => std::process::exit(0),
        Ok(()) => {}
        Err(error) => {
            eprintln!("Error: {error:?}");
            std::process::exit(1);
        }
    }
}

/// This program as the root of a tree, with this order.
pub(crate) fn root(
    python: &python::Python,
    order: &str,
    (executor, link): (&str, &str),
) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(EXECUTOR, executor).env(ORDER, order).env(LINK, link);
    command.env("TRACTOR_PYTHON", &python.interpreter).env("PYTHONPATH", &python.modules);
    command
}

/// Carries the order out, if there is one.
async fn obey() -> Result<()> {
    let Ok(order) = std::env::var(ORDER) else { return Ok(()) };
    OBEYED.store(true, Ordering::Relaxed);
    let mut config = RootConfig::default();
    if std::env::var(LINK).as_deref() == Ok("tcp") {
        let any = Address::Tcp { host: Ipv4Addr::LOCALHOST.into(), port: 0 };
        config = config.registry_addrs([any]);
    }
    if let Ok(addr) = std::env::var(REGISTRY) {
        let addr: Address = addr.parse().expect("an address");
        config = config.registry_addrs([addr]).enable(functions::module());
    }
    open_root_actor(config, async move |_| match order.as_str() {
        "join" => programs::join().await,
        "serve" => programs::serve().await,
        order => parents::obey(order).await,
    })
    .await
}

mod smol {
    #[tractor::main(executor = "smol")]
    pub(super) async fn main() -> tractor::Result<()> {
        super::obey().await
    }
}

mod tokio {
    #[tractor::main(executor = "tokio")]
    pub(super) async fn main() -> tractor::Result<()> {
        super::obey().await
    }
}

mod tokio_multi_thread {
    #[tractor::main(executor = "tokio-multi-thread")]
    pub(super) async fn main() -> tractor::Result<()> {
        super::obey().await
    }
}
