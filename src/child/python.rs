//! A process that a Python parent has started as an actor of its tree.
//!
//! It differs from a child of ours in what it knows beforehand (its command line, see
//! [`pychild`](crate::os::pychild)), in how it comes to its link (it connects), and in the
//! registry: a base registrar holds no leases, so a record is made over a connection of its own,
//! and taken back the same way, as the last thing before the exit.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tractor_core::msg::codec::RuntimeVars;
use tractor_core::msg::{Features, Request, SpawnSpec};
use tractor_core::{Address, Config, EndReason, Uid};
use tractor_executors::Executor;
use tractor_transports::{Stream, tcp, uds};

use super::{Born, attach, complain, live_as, own_address, serve, settle, vars};
use crate::current::Identity;
use crate::discovery::{self, Link};
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::host::System;
use crate::init;
use crate::log::warning;
use crate::os::{PyAddr, PyChild, PyOrders};
use crate::root::over;
use crate::shared::{Parts, Settings, Shared};
use crate::wait;

/// How long taking a record back may take, as a base child gives it (protocol §6.6).
const UNREGISTER_MAX: Duration = Duration::from_millis(500);

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
    let mut registered = Vec::new();
    let set_up = async |spec| {
        let done = set_up(shared, &orders, &spec, &mut registered).await;
        // A Python parent does not look at what we tell it of this.
        done.inspect_err(|error| {
            complain(error);
        })
    };
    let code = live_as(shared, set_up).await;
    if !registered.is_empty() {
        unregister(shared, registered).await;
    }
    code
}

async fn set_up(
    shared: &Arc<Shared>,
    orders: &PyOrders,
    spec: &SpawnSpec,
    registered: &mut Vec<Address>,
) -> Result<()> {
    if orders.asyncio {
        // Only now: a parent that nobody connects to waits for ever.
        let text = "the parent wants a child on Python's asyncio (`--asyncio`), and this is not a \
                    Python program: start it without `infect_asyncio`";
        return Err(Error::config(text));
    }
    let vars = vars(spec)?;
    settle(shared, spec, &vars, orders.loglevel.as_deref().map(level))?;
    let addrs = bind(shared, orders, spec, &vars)?;
    shared.own_addrs.get_or_init(|| addrs.clone());
    register(shared, &spec.reg_addrs, &addrs, registered).await?;
    // To be ending already is no error: nothing more will be asked of us.
    let _ = shared.command(|inner, now| inner.core.booted(now, addrs));
    Ok(())
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

/// Listens where the parent said, else on the kinds of addresses that it named.
fn bind(
    shared: &Arc<Shared>,
    orders: &PyOrders,
    spec: &SpawnSpec,
    vars: &RuntimeVars,
) -> Result<Vec<Address>> {
    let wanted = match &spec.bind_addrs {
        Some(addrs) => addrs.clone(),
        None => {
            // In a directory that somebody of the tree has a socket in already.
            let parent = address(&orders.parent);
            let mut known = spec.reg_addrs.clone();
            known.extend(vars.root_mailbox.clone());
            known.push(parent.clone());
            let mut kinds: Vec<&str> = vars.enable_tpts.iter().map(|kind| kind.as_str()).collect();
            if kinds.is_empty() {
                kinds.push(kind(&parent));
            }
            let own = |wanted: &&str| beside(shared, &known, wanted);
            kinds.iter().filter_map(own).collect()
        }
    };
    wanted.iter().map(|addr| shared.listen(addr)).collect()
}

/// Our own address of this kind, beside a known one.
fn beside(shared: &Shared, known: &[Address], wanted: &str) -> Option<Address> {
    let same: Vec<Address> = known.iter().filter(|addr| kind(addr) == wanted).cloned().collect();
    let own = own_address(&same, shared.uid.name.as_str(), shared.host.pid());
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

/// Makes this actor known to each registrar; `registered` are those that hold no lease, as they
/// come. One that is not there is left out, if there is another.
async fn register(
    shared: &Arc<Shared>,
    registrars: &[Address],
    own: &[Address],
    registered: &mut Vec<Address>,
) -> Result<()> {
    let mut failed = None;
    let mut known = false;
    for registrar in registrars {
        match register_at(shared, registrar, own).await {
            Ok(leased) => {
                known = true;
                registered.extend((!leased).then(|| registrar.clone()));
            }
            Err(error) => {
                warning!("tractor::runtime", "can't register at {registrar}: {error}");
                failed = Some(error);
            }
        }
    }
    failed.filter(|_| !known).map_or(Ok(()), Err)
}

/// Whether it holds our record as long as the connection, which stays open then.
async fn register_at(shared: &Arc<Shared>, registrar: &Address, own: &[Address]) -> Result<bool> {
    let conn = discovery::connect(shared, registrar).await?.ok_or_else(nobody)?;
    let link = Link::new(shared, conn);
    for addr in own {
        let request = Request::Register { uid: shared.uid.clone(), addr: addr.clone() };
        let dialog = discovery::start(shared, conn, request)?;
        wait::outcome(shared, dialog.id).await?;
    }
    let ext = shared.lock().core.peer(conn).and_then(|aid| aid.ext);
    let leased = ext.is_some_and(|ext| ext.features.has(Features::READY));
    if leased {
        link.keep();
    }
    Ok(leased)
}

fn nobody() -> Error {
    Error::config("the tree's registrar can't be reached")
}

/// Takes our records back. The actor has ended and opens no connection any more: what does is one
/// more of the same name, that does nothing else.
async fn unregister(ended: &Arc<Shared>, registrars: Vec<Address>) {
    let mut config = Config::new(ended.uid.name.as_str());
    config.uuid = Some(ended.uid.uuid.to_string());
    config.pid = u64::from(ended.host.pid());
    config.teardown_budget = UNREGISTER_MAX;
    let (host, executor) = (ended.host.clone(), ended.executor.clone());
    let parts = Parts { config, host, executor, scopes: None, settings: Settings::default() };
    let last = Shared::new(parts);
    last.executor.spawn(Box::pin(Driver::new(last.clone()).run()));
    let identity = Identity { actor: last.clone(), task: "unregister".into(), dialog: None };
    let all = async {
        for registrar in &registrars {
            let asked = unregister_at(&last, registrar, &ended.uid);
            // One that is gone, or does not answer: our record is found dead when it is used.
            let _ = within(last.executor.as_ref(), UNREGISTER_MAX, asked).await;
        }
    };
    identity.scope(all).await;
    let _ = last.command(|inner, now| inner.core.cancel_self(now, EndReason::Done));
    over(&last).await;
}

async fn unregister_at(shared: &Arc<Shared>, registrar: &Address, uid: &Uid) -> Result<()> {
    let conn = discovery::connect(shared, registrar).await?.ok_or_else(nobody)?;
    let _link = Link::new(shared, conn);
    let dialog = discovery::start(shared, conn, Request::Unregister { uid: uid.clone() })?;
    wait::outcome(shared, dialog.id).await?;
    Ok(())
}

/// What the future has to say, if it does so in time.
async fn within<F: Future>(
    executor: &dyn Executor,
    limit: Duration,
    future: F,
) -> Option<F::Output> {
    let mut timer = executor.timer();
    timer.set(Some(executor.now().saturating_add(limit)));
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.poll_expired(cx).map(|()| None),
    })
    .await
}
