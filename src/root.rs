//! The root actor: the first of a tree, which keeps its registry and hears its signals.

use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tractor_core::{Address, Config, EndReason, Uid};
use tractor_executors::Executor;

use crate::ambient;
use crate::current::{self, Identity};
use crate::discovery::Plan;
use crate::driver::Driver;
use crate::endpoint::{Exposed, Module, Table};
use crate::error::{Error, Misuse, Result};
use crate::host::{self, Home};
use crate::os;
use crate::portal::Portal;
use crate::scope::{self, CancelScope, Ended};
use crate::shared::{Parts, Settings, Shared};
use crate::wait::wait_shielded;

/// What a root actor is to be.
#[derive(Clone)]
pub struct RootConfig {
    pub(crate) name: String,
    pub(crate) modules: Vec<Module>,
    pub(crate) exposed: Exposed,
    pub(crate) signals: Option<bool>,
    pub(crate) executor: Option<Arc<dyn Executor>>,
    pub(crate) registry_addrs: Vec<Address>,
    pub(crate) bind_addrs: Vec<Address>,
    pub(crate) ensure_registry: bool,
    pub(crate) parent_link: ParentLink,
    pub(crate) runtime_dir: Option<PathBuf>,
    pub(crate) teardown: Option<Duration>,
    pub(crate) loglevel: Option<String>,
    pub(crate) child_args: Vec<OsString>,
    pub(crate) mute_children: bool,
    pub(crate) python: Option<PathBuf>,
    /// Where a test finds the roots that were opened in it.
    pub(crate) opened: Option<Arc<Mutex<Vec<Arc<Shared>>>>>,
}

impl Default for RootConfig {
    fn default() -> Self {
        ambient::root_config().unwrap_or_else(|| RootConfig::named("root"))
    }
}

impl fmt::Debug for RootConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

impl RootConfig {
    /// A root actor of this name.
    pub fn named(name: impl Into<String>) -> Self {
        RootConfig {
            name: name.into(),
            modules: Vec::new(),
            exposed: Exposed::new(),
            signals: None,
            executor: None,
            registry_addrs: Vec::new(),
            bind_addrs: Vec::new(),
            ensure_registry: false,
            parent_link: ParentLink::default(),
            runtime_dir: None,
            teardown: None,
            loglevel: None,
            child_args: Vec::new(),
            mute_children: false,
            python: None,
            opened: None,
        }
    }

    /// Its name, by which others find it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Lets others call the functions of this module in the root.
    pub fn enable(mut self, module: Module) -> Self {
        self.modules.push(module);
        self
    }

    /// Endpoints of the root that are registered by hand.
    pub fn expose(mut self, exposed: Exposed) -> Self {
        self.exposed = exposed;
        self
    }

    /// Whether SIGINT and SIGTERM cancel the tree, and a second one ends the program at once.
    /// `#[tractor::main]` turns it on; else it is off, and the program's own handlers stay.
    pub fn signals(mut self, on: bool) -> Self {
        self.signals = Some(on);
        self
    }

    /// The executor of the root's own driver and tasks. By default the tokio runtime that the code
    /// is in, if it is in one and the feature `tokio` is on; else the process-wide smol one, or
    /// tokio one without the feature `smol`. Its children get one of the same name.
    pub fn executor(mut self, executor: Arc<dyn Executor>) -> Self {
        self.executor = Some(executor);
        self
    }

    /// How children come to the link to their parent. A socketpair that they are born with by
    /// default.
    pub fn parent_link(mut self, link: ParentLink) -> Self {
        self.parent_link = link;
        self
    }

    /// Where the registry is. By default the root keeps one of the tree's own, at a socket in the
    /// tree's own directory. With addresses that other programs know too, all of them share it: a
    /// root that finds a registrar at one of the addresses is its client, with all its tree; one
    /// that finds none anywhere is the registrar, at all of them. When that one ends, its clients
    /// wait for the next: they register with whoever takes an address over.
    ///
    /// Several addresses are several ways to one registrar. A root that joins uses those at which
    /// one answers, and registers with each that there is; it does not care what is at the others.
    ///
    /// All actors of the tree listen on the kinds of address that its root has: for TCP on the same
    /// host, each on a port of its own; the sockets of a tree are in its own directory.
    ///
    /// Whoever can connect to an actor can call what it exposes. A socket's file is private to its
    /// user; a TCP port is open to all users of the machine, so only loopback addresses are taken.
    /// Any of them can call, register names, and keep children from connecting in time: use TCP
    /// where all users of the machine are trusted.
    pub fn registry_addrs(mut self, addrs: impl IntoIterator<Item = Address>) -> Self {
        self.registry_addrs = addrs.into_iter().collect();
        self
    }

    /// Where the root listens: besides the registry's addresses when it keeps the registry, and
    /// instead of an address of the registry's kind when it does not. All actors of its tree listen
    /// on the kinds of address that it has.
    pub fn bind_addrs(mut self, addrs: impl IntoIterator<Item = Address>) -> Self {
        self.bind_addrs = addrs.into_iter().collect();
        self
    }

    /// Whether this root must keep the registry itself: then it fails when somebody else does.
    pub fn ensure_registry(mut self, ensure: bool) -> Self {
        self.ensure_registry = ensure;
        self
    }

    /// The directory for the tree's sockets. `$XDG_RUNTIME_DIR/tractor` or its like by default.
    pub fn runtime_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.runtime_dir = Some(dir.into());
        self
    }

    /// What the whole tree gets to end, from the first cancel to the report. 2.5 s by default.
    pub fn teardown(mut self, budget: Duration) -> Self {
        self.teardown = Some(budget);
        self
    }

    /// The log level of the children: `off`, `error`, `warn`, `info`, `debug`, `trace`.
    pub fn loglevel(mut self, level: impl Into<String>) -> Self {
        self.loglevel = Some(level.into());
        self
    }
}

impl RootConfig {
    /// The interpreter of the tree's Python children, for [`ActorNursery::start_python`]. By
    /// default what `$TRACTOR_PYTHON` names, else `python3` in `$PATH`.
    ///
    /// [`ActorNursery::start_python`]: crate::ActorNursery::start_python
    pub fn python(mut self, path: impl Into<PathBuf>) -> Self {
        self.python = Some(path.into());
        self
    }
}

/// How a child comes to the link to its parent, which carries all that they say to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParentLink {
    /// It is born with one end of a socketpair: no address, nothing to wait for.
    #[default]
    Socketpair,
    /// It connects to an address of its parent, of the kind that the tree's registry has, and shows
    /// a token there that was made for it alone. The socketpair is there all the same, and each
    /// still sees the other's death by it; but every message goes over the transport.
    ConnectBack,
}

/// An actor, as seen from inside of it.
#[derive(Clone)]
pub struct Actor {
    pub(crate) shared: Arc<Shared>,
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actor({})", self.shared.uid)
    }
}

impl Actor {
    /// Who it is.
    pub fn uid(&self) -> &Uid {
        &self.shared.uid
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.shared.uid.name.as_str()
    }

    /// Whether it is the root of its tree.
    pub fn is_root(&self) -> bool {
        self.shared.settings.is_root
    }

    /// Whether it keeps the tree's registry.
    pub fn is_registrar(&self) -> bool {
        self.shared.lock().core.config().is_registrar
    }

    /// The actors it is connected to.
    pub fn peers(&self) -> Vec<Uid> {
        self.shared.lock().core.peers().map(|(_, aid)| aid.uid.clone()).collect()
    }

    /// Where it listens.
    pub fn addrs(&self) -> Vec<Address> {
        self.shared.own_addrs.get().cloned().unwrap_or_default()
    }

    /// Where the tree's registry is.
    pub fn registry_addrs(&self) -> Vec<Address> {
        self.shared.tree.get().map(|t| t.registry_addrs.clone()).unwrap_or_default()
    }

    /// A portal to the actor that spawned this one; `None` in a root.
    pub fn parent(&self) -> Option<Portal> {
        let conn = self.shared.parent()?;
        let uid = self.shared.lock().core.peer(conn)?.uid.clone();
        Some(Portal { shared: self.shared.clone(), conn, child: None, uid })
    }

    /// Runs `cleanup` when this actor has ended, after all its tasks, in reverse order. Not when it
    /// is killed.
    pub fn defer(&self, cleanup: impl FnOnce() + Send + 'static) {
        self.shared.lock().deferred.push(Box::new(cleanup));
    }

    /// Ends this actor: its tasks are cancelled, its children ended.
    pub fn cancel(&self) {
        self.shared.command(|inner, now| {
            // Already ending is fine.
            let _ = inner.core.cancel_self(now, EndReason::Done);
        });
    }
}

/// The actor that the running code belongs to.
///
/// # Errors
/// [`Error::NoCurrentActor`] outside of any, or in code that is not polled by one when there are
/// several in the process.
pub fn current_actor() -> Result<Actor> {
    current::actor().map(|shared| Actor { shared }).ok_or(Error::NoCurrentActor)
}

/// Makes this program the root of a tree, and runs `body` as its task. Ends when `body` has, and
/// nothing that was started in it is left.
///
/// # Errors
/// Those of `body`; [`Error::Interrupted`] when a signal asked for the end;
/// [`Error::Misuse`] inside of an actor; [`Error::Io`] when the runtime directory or an address
/// can't be had, and [`Error::Registrar`] when the registry's is held by something else, before
/// anything is spawned.
///
/// # Cancel safety
/// Dropped by a foreign future, the runtime ends the tree in the background.
pub async fn open_root_actor<T, F, Fut>(config: RootConfig, body: F) -> Result<T>
where
    F: FnOnce(Actor) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    if os::is_child() || current::identity().is_some() {
        return Err(Error::Misuse(Misuse::RootInsideActor));
    }
    crate::panics::watch();
    let opened = config.opened.clone();
    let (shared, driver, home, plan) = boot(config)?;
    shared.host.register(&shared);
    if let Some(opened) = opened {
        opened.lock().unwrap_or_else(PoisonError::into_inner).push(shared.clone());
    }
    let block = CancelScope::new();
    shared.command(|inner, _| {
        inner.core.body_started();
        inner.body = Some(block.clone());
    });
    // After that: on a thread of its own it may hear a signal before we do anything else.
    shared.executor.spawn(Box::pin(driver.run()));
    let owner = Owner { shared: shared.clone(), _home: home };
    let identity = Identity { actor: shared.clone(), task: "main".into(), dialog: None };
    let actor = Actor { shared: shared.clone() };
    let task = async {
        if let Some(plan) = plan {
            plan.settle(&actor.shared).await?;
        }
        body(actor).await
    };
    let guarded = scope::guarded(&block, task, |ended| leave(owner, ended), Error::is_news);
    if scope::current_root().is_some() {
        // Part of the caller's tree of scopes: what cancels that waits for us.
        return identity.scope(guarded).await;
    }
    let top = CancelScope::new();
    let tree = shared.scopes.run(&top, guarded);
    identity.scope(tree).await.unwrap_or(Err(Error::Cancelled))
}

/// Makes the root's parts: core, directory, signals, and the registry, unless somebody else may
/// keep that: then there is a plan how to find out. Nothing is spawned yet.
fn boot(config: RootConfig) -> Result<(Arc<Shared>, Driver, Home, Option<Plan>)> {
    let host = host::here();
    let executor = host.executor(config.executor.clone())?;
    let home = host.home(config.runtime_dir.as_deref())?;
    let plan = Plan::new(&config, &home)?;
    let mut core = Config::new(config.name.clone());
    core.pid = u64::from(host.pid());
    if let Some(budget) = config.teardown {
        core.teardown_budget = budget;
    }
    let settings = Settings {
        is_root: true,
        loglevel: config.loglevel.clone(),
        teardown: config.teardown,
        child_args: config.child_args.clone(),
        mute_children: config.mute_children,
        python: config.python.clone(),
    };
    crate::error::check_registered()?;
    let table = Table::build(config.modules.iter().map(Module::name), &config.exposed)?;
    let scopes = scope::current_root();
    let shared = Shared::new(Parts { config: core, host, executor, scopes, settings });
    shared.use_table(table);
    let mut driver = Driver::new(shared.clone());
    let plan = match plan.is_open() {
        true => Some(plan),
        false => {
            plan.keep(&shared)?;
            None
        }
    };
    if config.signals.unwrap_or_else(ambient::signals)
        && let Some(signals) = shared.host.signals()?
    {
        driver.watch_signals(signals)?;
    }
    Ok((shared, driver, home, plan))
}

/// The root's life. Dropped before its end, the runtime ends the tree in the background.
struct Owner {
    shared: Arc<Shared>,
    _home: Home,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.command(|inner, now| inner.core.body_ended(now));
    }
}

/// Leaves the root's block: ends what is left, and says why it ended.
async fn leave<T>(owner: Owner, ended: Ended<Result<T>>) -> Result<T> {
    let body = match ended {
        Ended::Value(result) => result,
        Ended::Panicked(payload) => Err(Error::from_panic(payload)),
        Ended::Cancelled { .. } => Err(Error::Cancelled),
    };
    let shared = &owner.shared;
    shared.command(|inner, now| inner.core.body_ended(now));
    shared.scopes.idle().await;
    over(shared).await;
    let (why, deferred) = {
        let mut inner = shared.lock();
        (inner.ending.clone(), std::mem::take(&mut inner.deferred))
    };
    run_deferred(deferred);
    os::flush_tee(Duration::from_millis(100));
    match why {
        Some(EndReason::Interrupted { signal }) => {
            ambient::set_interrupted(signal);
            let mut errors = vec![Error::Interrupted { signal }];
            errors.extend(body.err());
            Err(Error::join(errors).unwrap_or(Error::Cancelled))
        }
        _ => body,
    }
}

/// Waits until the driver has closed everything. Bounded by the core's own deadlines, except for
/// a process that the kernel can't end although it was killed.
pub(crate) async fn over(shared: &Arc<Shared>) {
    wait_shielded(shared, |inner, waker| {
        if inner.driver_done {
            return Poll::Ready(());
        }
        inner.life_wakers.add(waker);
        Poll::Pending
    })
    .await;
}

/// Runs what was put off to the actor's end, the last first. A panic in one does not stop the rest.
pub(crate) fn run_deferred(deferred: Vec<Box<dyn FnOnce() + Send>>) {
    for cleanup in deferred.into_iter().rev() {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(cleanup)).is_err() {
            crate::log::error!("tractor::runtime", "a deferred cleanup panicked");
        }
    }
}
