//! A process that a Python parent has started as an actor of its tree.
//!
//! It differs from a child of ours in what it knows beforehand (its command line, see
//! [`pychild`](crate::os::pychild)), in how it comes to its link (it connects), and in where it
//! listens.

use std::sync::Arc;

use tractor_core::Address;
use tractor_core::msg::SpawnSpec;
use tractor_core::msg::codec::RuntimeVars;
use tractor_transports::{Stream, tcp, uds};

use super::{Born, attach, begin, complain, live_as, own_address, serve, settle, vars};
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::host::System;
use crate::init;
use crate::os::{PyAddr, PyChild, PyOrders};
use crate::shared::{Settings, Shared};

/// Serves as the actor that a Python parent wants. Returns the exit code.
pub(crate) fn run(child: PyChild, executor: &str) -> i32 {
    crate::panics::watch();
    match boot(&child, executor) {
        Ok((shared, driver)) => serve(&shared, driver, live(&shared, child.orders)),
        Err(error) => complain(&error),
    }
}

fn boot(child: &PyChild, executor: &str) -> Result<(Arc<Shared>, Driver)> {
    let executor = init::executor(executor).map_or_else(init::default_executor, Ok)?;
    let PyOrders { name, uuid, parent, .. } = &child.orders;
    let link = child.connect().map_err(|e| {
        let parent = address(parent);
        Error::config(format!("it can't connect to its parent at {parent}: {e}"))
    })?;
    child.arm(&link)?;
    let stream: Box<dyn Stream> = match parent {
        PyAddr::Tcp(_) => tcp::from_fd(executor.as_ref(), link)?,
        PyAddr::Uds { .. } => uds::from_fd(executor.as_ref(), link, "uds")?,
    };
    let (name, uuid) = (name.clone(), uuid.clone());
    let born = Born { name, uuid, back: None, settings: Settings::default() };
    let (shared, mut driver) = born.actor(Arc::new(System), executor);
    attach(&shared, &mut driver, stream);
    Ok((shared, driver))
}

fn address(parent: &PyAddr) -> Address {
    match parent.clone() {
        PyAddr::Tcp(addr) => Address::Tcp { host: addr.ip(), port: addr.port() },
        PyAddr::Uds { dir, file } => Address::Uds { dir, file },
    }
}

async fn live(shared: &Arc<Shared>, orders: PyOrders) -> i32 {
    let set_up = async |spec| {
        let done = set_up(shared, &orders, &spec).await;
        // A Python parent does not look at what we tell it of this.
        done.inspect_err(|error| {
            complain(error);
        })
    };
    live_as(shared, set_up).await
}

async fn set_up(shared: &Arc<Shared>, orders: &PyOrders, spec: &SpawnSpec) -> Result<()> {
    if orders.asyncio {
        // Only now: a parent that nobody connects to waits for ever.
        let text = "the parent wants a child on Python's asyncio (`--asyncio`), and this is not a \
                    Python program: start it without `infect_asyncio`";
        return Err(Error::config(text));
    }
    let vars = vars(spec)?;
    settle(shared, spec, &vars, orders.loglevel.as_deref().map(level))?;
    let own = || places(shared, orders, spec, &vars);
    begin(shared, spec.bind_addrs.clone().unwrap_or_else(own)).await
}

/// Our name of a level of Python's `logging`, or of those that the reference adds to it.
fn level(theirs: &str) -> &'static str {
    match theirs.to_ascii_uppercase().as_str() {
        "NOTSET" | "TRANSPORT" => "trace",
        "DEBUG" | "RUNTIME" | "DEVX" => "debug",
        "INFO" | "CANCEL" => "info",
        "WARN" | "WARNING" => "warn",
        _ => "error",
    }
}

/// Where to listen when the parent does not say: one address of each kind that it names, in a
/// directory that somebody of the tree has a socket in already.
fn places(
    shared: &Shared,
    orders: &PyOrders,
    spec: &SpawnSpec,
    vars: &RuntimeVars,
) -> Vec<Address> {
    let parent = address(&orders.parent);
    let mut known = spec.reg_addrs.clone();
    known.extend(vars.root_mailbox.clone());
    known.push(parent.clone());
    let mut kinds: Vec<&str> = vars.enable_tpts.iter().map(|kind| kind.as_str()).collect();
    if kinds.is_empty() {
        kinds.push(kind(&parent));
    }
    kinds.iter().filter_map(|wanted| beside(shared, &known, wanted)).collect()
}

/// Our own address of this kind, beside a known one.
fn beside(shared: &Shared, known: &[Address], wanted: &str) -> Option<Address> {
    let same = known.iter().find(|addr| kind(addr) == wanted);
    let (name, pid) = (shared.uid.name.as_str(), shared.host.pid());
    let own = same.map(|addr| own_address(addr, name, pid));
    // A port of another machine's address is not ours to listen on.
    match own {
        Some(Address::Tcp { host, .. }) if !host.is_loopback() => None,
        own => own,
    }
    .or_else(|| {
        let host = std::net::Ipv4Addr::LOCALHOST.into();
        (wanted == "tcp").then_some(Address::Tcp { host, port: 0 })
    })
}

/// Python's name of a kind of address.
fn kind(addr: &Address) -> &'static str {
    match addr {
        Address::Tcp { .. } => "tcp",
        Address::Uds { .. } => "uds",
        _ => "",
    }
}
