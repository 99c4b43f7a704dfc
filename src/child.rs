//! A process that was spawned as an actor.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tractor_core::msg::codec::RuntimeVars;
use tractor_core::msg::{SpawnSpec, Token};
use tractor_core::{Address, Config, Text};
use tractor_executors::Executor;
use tractor_transports::Stream;

use crate::ambient;
use crate::current::Identity;
use crate::discovery;
use crate::driver::Driver;
use crate::endpoint::Table;
use crate::error::{Error, Result, to_wire};
use crate::host::{Host, Link, System};
use crate::init;
use crate::os;
use crate::root::{ParentLink, over, run_deferred};
use crate::shared::{Parts, Settings, Shared, TreeInfo};
use crate::wait::wait_shielded;

pub(crate) mod python;

/// The exit code of a child that could not begin.
pub(crate) const EXIT_BOOT: i32 = 70;

/// Serves as the actor that the parent at the other end of `link` wants. Returns the exit code.
pub(crate) fn run(link: os::ChildLink) -> i32 {
    crate::panics::watch();
    match boot(link) {
        Ok((shared, driver)) => serve(&shared, driver, live(&shared)),
        Err(error) => complain(&error),
    }
}

/// Says why this process is no actor. Returns the exit code.
fn complain(error: &Error) -> i32 {
    eprintln!("tractor: this actor can't begin: {error}");
    EXIT_BOOT
}

fn boot(link: os::ChildLink) -> Result<(Arc<Shared>, Driver)> {
    let executor = init::executor(&link.executor).ok_or_else(|| {
        let name = &link.executor;
        Error::config(format!("the parent's executor `{name}` is not compiled into this program"))
    })?;
    link.arm(os::OnParentDeath::Kill)?;
    let argv0 = std::env::args_os().next().unwrap_or_default();
    let settings = Settings {
        mute_children: ambient::test_args().is_some(),
        child_args: ambient::test_args().unwrap_or_default(),
        ..Settings::default()
    };
    let argv0 = argv0.to_string_lossy();
    let back = link.back.as_ref();
    let born = Born { name: own_name(&argv0), uuid: uuid_text(link.nonce), back, settings };
    let (shared, mut driver) = born.actor(Arc::new(System), executor);
    let stream = match &link.back {
        // Bounded by the transport, and by the boot timeout of our parent.
        Some(back) => init::block_on(shared.executor.as_ref(), connect_back(&shared, back))?,
        None => Link::Fd(link.link).open(shared.executor.as_ref())?,
    };
    ambient::check_link(stream.link())?;
    attach(&shared, &mut driver, stream);
    Ok((shared, driver))
}

/// What a child knows before its parent has told it anything.
pub(crate) struct Born<'a> {
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) back: Option<&'a os::Back>,
    pub(crate) settings: Settings,
}

impl Born<'_> {
    /// The actor that it becomes, and its driver, which does not run yet.
    pub(crate) fn actor(
        self,
        host: Arc<dyn Host>,
        executor: Arc<dyn Executor>,
    ) -> (Arc<Shared>, Driver) {
        let mut config = Config::new(self.name);
        config.uuid = Some(self.uuid);
        config.pid = u64::from(host.pid());
        config.token = self.back.map(|back| Token(back.token));
        let settings = self.settings;
        let shared = Shared::new(Parts { config, host, executor, scopes: None, settings });
        shared.host.register(&shared);
        let driver = Driver::new(shared.clone());
        (shared, driver)
    }
}

/// Gives the actor the link to its parent.
pub(crate) fn attach(shared: &Arc<Shared>, driver: &mut Driver, stream: Box<dyn Stream>) {
    let now = shared.now();
    let conn = shared.lock().core.attach_parent(now);
    driver.attach(conn, stream);
}

/// The stream to our parent, made by connecting to it.
pub(crate) async fn connect_back(shared: &Arc<Shared>, back: &os::Back) -> Result<Box<dyn Stream>> {
    let no_way = |why: &dyn fmt::Display| {
        Error::config(format!("it can't connect back to its parent at {}: {why}", back.addr))
    };
    let addr: Address = back.addr.parse().map_err(|e| no_way(&e))?;
    let transport = shared.transports.iter().find(|t| t.serves(&addr));
    let transport = transport.ok_or_else(|| no_way(&"no transport serves it"))?;
    Ok(transport.connect(&shared.executor, &addr).await?)
}

/// The name in `_subactor[name@uuid8]`, which our parent started us as.
pub(crate) fn own_name(argv0: &str) -> String {
    let inner = argv0.strip_prefix("_subactor[").and_then(|rest| rest.strip_suffix(']'));
    let name = inner.and_then(|inner| inner.rsplit_once('@')).map(|(name, _)| name);
    name.unwrap_or("actor").to_owned()
}

/// The text of the uuid that our parent made for us.
pub(crate) fn uuid_text(n: u128) -> String {
    let hex = format!("{n:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Lives as a child, beside its driver. Returns the exit code.
fn serve(shared: &Arc<Shared>, driver: Driver, live: impl Future<Output = i32>) -> i32 {
    let executor: Arc<dyn Executor> = shared.executor.clone();
    executor.spawn(Box::pin(driver.run()));
    init::block_on(executor.as_ref(), live)
}

/// The life of a child of one of ours. Returns the exit code.
pub(crate) async fn live(shared: &Arc<Shared>) -> i32 {
    live_as(shared, async |spec| set_up(shared, &spec).await).await
}

/// A child's life, which begins with its instructions. Returns the exit code.
async fn live_as(shared: &Arc<Shared>, set_up: impl AsyncFnOnce(SpawnSpec) -> Result<()>) -> i32 {
    live_told(shared, spec(shared), set_up).await
}

/// As [`live_as`], where more is done for the instructions than waiting.
async fn live_told(
    shared: &Arc<Shared>,
    told: impl Future<Output = Option<SpawnSpec>>,
    set_up: impl AsyncFnOnce(SpawnSpec) -> Result<()>,
) -> i32 {
    let identity = Identity { actor: shared.clone(), task: "main".into(), dialog: None };
    let task = identity.scope(async {
        if let Some(spec) = told.await
            && let Err(error) = set_up(spec).await
        {
            return refuse(shared, &error);
        }
        EXIT_OK
    });
    let code = task.await;
    over(shared).await;
    // What was handed over by frames that are gone: bounded by the teardown budget.
    shared.scopes.idle().await;
    run_deferred(std::mem::take(&mut shared.lock().deferred));
    code
}

const EXIT_OK: i32 = 0;

/// Waits for our instructions; `None` when we are to end before. Bounded: without them the parent
/// ends us after its boot timeout, and the handshake's deadline ends the link.
async fn spec(shared: &Arc<Shared>) -> Option<SpawnSpec> {
    wait_shielded(shared, |inner, waker| {
        if let Some(spec) = inner.spec.take() {
            return Poll::Ready(Some(spec));
        }
        if inner.ended || inner.ending.is_some() {
            return Poll::Ready(None);
        }
        inner.life_wakers.add(waker);
        Poll::Pending
    })
    .await
}

async fn set_up(shared: &Arc<Shared>, spec: &SpawnSpec) -> Result<()> {
    let vars = vars(spec)?;
    let level = vars.loglevel.as_ref().map(Text::as_str);
    settle(shared, spec, &vars, level)?;
    let tree = shared.tree.get().cloned().unwrap_or_default();
    let own = || tree.own_addresses(shared.uid.name.as_str(), shared.host.pid());
    begin(shared, spec.bind_addrs.clone().unwrap_or_else(own)).await
}

/// Listens there, makes itself known, and is ready.
async fn begin(shared: &Arc<Shared>, wanted: Vec<Address>) -> Result<()> {
    let bound: Vec<_> = wanted.iter().map(|addr| shared.bind(addr)).collect::<Result<_>>()?;
    let addrs: Vec<Address> = bound.iter().map(|listener| listener.local_addr()).collect();
    shared.serve(bound);
    shared.own_addrs.get_or_init(|| addrs.clone());
    discovery::register(shared).await?;
    // To be ending already is no error: nothing more will be asked of us.
    let _ = shared.command(|inner, now| inner.core.booted(now, addrs));
    Ok(())
}

fn vars(spec: &SpawnSpec) -> Result<RuntimeVars> {
    RuntimeVars::decode(&spec.runtime_vars)
        .map_err(|e| Error::config(format!("the parent's runtime variables: {e}")))
}

/// What of the instructions needs nobody else: the log, what may be called, the tree's facts.
fn settle(
    shared: &Arc<Shared>,
    spec: &SpawnSpec,
    vars: &RuntimeVars,
    level: Option<&str>,
) -> Result<()> {
    shared.host.log_at(level);
    if let Some(budget) = vars.budget_ms {
        shared.scopes.raise_budget(Duration::from_millis(budget));
    }
    let modules = spec.enable_modules.iter().map(|(name, _)| name.as_str());
    crate::error::check_registered()?;
    let table = Table::build(modules, &init::exposed())?;
    shared.use_table(table);
    shared.tree.get_or_init(|| TreeInfo {
        registry_addrs: spec.reg_addrs.clone(),
        root_addrs: vars.root_addrs.clone(),
        parent_link: match vars.connect_back {
            true => ParentLink::ConnectBack,
            false => ParentLink::Socketpair,
        },
    });
    shared.inherit(level);
    Ok(())
}

/// Where the actor of this name and process listens: beside another one.
pub(crate) fn own_address(beside: &Address, name: &str, pid: u32) -> Address {
    match beside {
        Address::Uds { dir, .. } => {
            let file = os::rtdir::socket_file(dir, &format!("{name}@{pid}"));
            Address::Uds { dir: dir.clone(), file }
        }
        Address::Tcp { host, .. } => Address::Tcp { host: *host, port: 0 },
        other => other.clone(),
    }
}

/// Reports to the parent why this actor can't begin.
fn refuse(shared: &Arc<Shared>, error: &Error) -> i32 {
    let raw = to_wire(error, &shared.uid);
    shared.command(|inner, now| {
        inner.core.report_to_parent(now, raw);
        let _ = inner.core.cancel_self(now, tractor_core::EndReason::Done);
    });
    EXIT_BOOT
}
