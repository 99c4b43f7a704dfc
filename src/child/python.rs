//! A process that a Python parent has started as an actor of its tree.
//!
//! It differs from a child of ours in what it knows beforehand (its command line, see
//! [`pychild`](crate::os::pychild)), in how it comes to its link (it connects), and in where it
//! listens.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tractor_core::msg::SpawnSpec;
use tractor_core::msg::codec::RuntimeVars;
use tractor_core::{Address, ConnId};
use tractor_executors::Executor;
use tractor_transports::{Stream, tcp, uds};

use super::{Born, attach, begin, complain, live_told, own_address, serve, settle, spec, vars};
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::host::System;
use crate::init;
use crate::log::warning;
use crate::os::{PyAddr, PyChild, PyOrders};
use crate::shared::{Settings, Shared};
use crate::wait::within;

/// How long a child waits for its instructions before it comes again; then twice as long each time.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How often it comes.
const TIMES_MAX: usize = 5;

/// Serves as the actor that a Python parent wants. Returns the exit code.
pub(crate) fn run(child: PyChild, executor: &str) -> i32 {
    crate::panics::watch();
    match boot(&child, executor) {
        Ok((shared, driver, links)) => {
            let links = Links { shared: shared.clone(), child, links };
            serve(&shared, driver, live(&shared, links))
        }
        Err(error) => complain(&error),
    }
}

/// An actor, its driver, and its first connection to the parent.
type Booted = (Arc<Shared>, Driver, Vec<(ConnId, OwnedFd)>);

fn boot(child: &PyChild, executor: &str) -> Result<Booted> {
    let executor = init::executor(executor).map_or_else(init::default_executor, Ok)?;
    child.arm()?;
    let (stream, link) = connect(child, executor.as_ref())?;
    let (name, uuid) = (child.orders.name.clone(), child.orders.uuid.clone());
    let born = Born { name, uuid, back: None, settings: Settings::default() };
    let (shared, mut driver) = born.actor(Arc::new(System), executor);
    attach(&shared, &mut driver, stream);
    let conn = shared.parent();
    Ok((shared, driver, conn.zip(Some(link)).into_iter().collect()))
}

/// A connection to the parent, and another descriptor of it.
fn connect(child: &PyChild, executor: &dyn Executor) -> Result<(Box<dyn Stream>, OwnedFd)> {
    let parent = &child.orders.parent;
    let link = child.connect().map_err(|e| {
        let parent = address(parent);
        Error::config(format!("it can't connect to its parent at {parent}: {e}"))
    })?;
    let other = rustix::io::fcntl_dupfd_cloexec(&link, 3).map_err(std::io::Error::from)?;
    let stream = match parent {
        PyAddr::Tcp(_) => tcp::from_fd(executor, link)?,
        PyAddr::Uds { .. } => uds::from_fd(executor, link, "uds")?,
    };
    Ok((stream, other))
}

/// The connections to the parent, of which one becomes the link.
struct Links {
    shared: Arc<Shared>,
    child: PyChild,
    links: Vec<(ConnId, OwnedFd)>,
}

impl Links {
    /// Waits for our instructions. A Python parent begins to look for its child only after it has
    /// started it, and never sees one that was faster: so a child that hears nothing comes again.
    async fn told(&mut self) -> Option<SpawnSpec> {
        let shared = self.shared.clone();
        let mut wait = AGAIN_AFTER;
        loop {
            let told = spec(&shared);
            if let Some(told) = within(shared.executor.as_ref(), wait, told).await {
                self.choose();
                return told;
            }
            wait *= 2;
            // Bounded: each connection has its deadline, and there are only so many.
            match self.links.len() < TIMES_MAX {
                true => self.come_again(),
                false => return spec(&shared).await,
            }
        }
    }

    fn come_again(&mut self) {
        match connect(&self.child, self.shared.executor.as_ref()) {
            Ok((stream, link)) => {
                let conn = self.shared.command(|inner, now| {
                    let conn = inner.core.attach_parent(now);
                    inner.streams.push((conn, stream));
                    conn
                });
                self.shared.ready.wake_driver();
                self.links.push((conn, link));
            }
            // The one that we have may still do.
            Err(error) => warning!("tractor::runtime", "{error}"),
        }
    }

    /// Our life hangs on the link, now that it is known which one that is.
    fn choose(&mut self) {
        let parent = self.shared.parent();
        let link = self.links.drain(..).find(|(conn, _)| Some(*conn) == parent);
        if let Some((_, link)) = link
            && let Err(error) = self.child.hang_on(link)
        {
            warning!("tractor::runtime", "nothing watches the link: {error}");
        }
    }
}

fn address(parent: &PyAddr) -> Address {
    match parent.clone() {
        PyAddr::Tcp(addr) => Address::Tcp { host: addr.ip(), port: addr.port() },
        PyAddr::Uds { dir, file } => Address::Uds { dir, file },
    }
}

async fn live(shared: &Arc<Shared>, mut links: Links) -> i32 {
    let orders = links.child.orders.clone();
    let set_up = async |spec| {
        let done = set_up(shared, &orders, &spec).await;
        // A Python parent does not look at what we tell it of this.
        done.inspect_err(|error| {
            complain(error);
        })
    };
    live_told(shared, links.told(), set_up).await
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
