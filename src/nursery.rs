//! Nurseries of actors: child processes that live no longer than the block that opened them.

use std::ffi::OsString;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tractor_core::msg::codec::RuntimeVars;
use tractor_core::msg::{FuncType, SpawnSpec};
use tractor_core::supervise::ChildConfig;
use tractor_core::{Call, ChildId, NurseryId, Text};

use crate::boxes::{ChildBox, NurseryBox};
use crate::endpoint::{Module, Named, Rpc};
use crate::error::{ActorFailed, Error, Misuse, Result};
use crate::os;
use crate::payload;
use crate::portal::{Dialog, Portal};
use crate::root::RootConfig;
use crate::scope::{self, CancelScope, Ended};
use crate::shared::Shared;
use crate::wait::{self, wait, wait_shielded};

/// Opens a nursery of actors and runs `body` in it. Ends when `body` has and no child is left:
/// daemons live until someone cancels them.
///
/// One cancels all: when a child fails, `body` and the other children are cancelled, unless the
/// child is [`isolated`](ActorBuilder::isolated). When `body` fails, its children are cancelled.
///
/// Outside of an actor it opens a root actor first.
///
/// # Errors
/// That of `body` or of a child, bare; an [`Error::Group`] when there are several.
///
/// # Cancel safety
/// Cancelled by its scope, it ends its children first, within the teardown budget. Dropped by a
/// foreign future, the runtime ends them in the background, and the actor does not end before.
pub async fn open_nursery<T, F, Fut>(body: F) -> Result<T>
where
    T: Send,
    F: FnOnce(ActorNursery) -> Fut + Send,
    Fut: Future<Output = Result<T>> + Send,
{
    match crate::current::actor() {
        Some(shared) => open_in(&shared, body).await,
        None => {
            let root = |actor: crate::Actor| async move { open_in(&actor.shared, body).await };
            crate::root::open_root_actor(RootConfig::default(), root).await
        }
    }
}

async fn open_in<T, F, Fut>(shared: &Arc<Shared>, body: F) -> Result<T>
where
    F: FnOnce(ActorNursery) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    scope::check()?;
    let block = CancelScope::new();
    let id = shared.command(|inner, now| {
        let id = inner.core.open_nursery(now, shared.settings.teardown)?;
        inner.nurseries.insert(id, NurseryBox { body: block.clone(), ..NurseryBox::default() });
        Ok::<_, Error>(id)
    })?;
    let owner = Owner { shared: shared.clone(), id, closed: false };
    let nursery = ActorNursery { shared: shared.clone(), id };
    let task = async { body(nursery).await };
    scope::guarded(&block, task, |ended| leave(owner, ended), Error::is_news).await
}

/// The nursery's life. Dropped before it closed, the children are ended in the background.
struct Owner {
    shared: Arc<Shared>,
    id: NurseryId,
    closed: bool,
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        self.shared.command(|inner, now| {
            // It exists until its body is done, which it is only now.
            let _ = inner.core.cancel_nursery(now, self.id);
            let _ = inner.core.join_nursery(now, self.id);
            inner.nurseries.remove(&self.id);
            inner.forget_ended_children(self.id);
        });
    }
}

/// Leaves the block: sees to it that no child is left, and joins the errors.
async fn leave<T>(mut owner: Owner, ended: Ended<Result<T>>) -> Result<T> {
    let body = match ended {
        Ended::Value(result) => result,
        Ended::Panicked(payload) => Err(Error::from_panic(payload)),
        Ended::Cancelled { .. } => Err(Error::Cancelled),
    };
    owner.shared.command(|inner, now| {
        if body.is_err() {
            let _ = inner.core.cancel_nursery(now, owner.id);
        }
        let _ = inner.core.join_nursery(now, owner.id);
    });
    let failures = owner.closed().await;
    match body {
        Ok(value) if failures.is_empty() => Ok(value),
        Ok(_) => Err(Error::join(failures).unwrap_or(Error::Cancelled)),
        Err(error) => {
            let mut all = vec![error];
            all.extend(failures);
            Err(Error::join(all).unwrap_or(Error::Cancelled))
        }
    }
}

impl Owner {
    /// Waits until no child is left. Cancelled meanwhile, it ends them. Bounded by the core's
    /// teardown budget from then on.
    async fn closed(&mut self) -> Vec<Error> {
        let mut asked = false;
        loop {
            let failures = wait_shielded(&self.shared, |inner, waker| {
                let Some(nursery) = inner.nurseries.get_mut(&self.id) else {
                    return Poll::Ready(Some(Vec::new()));
                };
                if nursery.closed {
                    return Poll::Ready(Some(std::mem::take(&mut nursery.failures)));
                }
                nursery.wakers.add(waker);
                match !asked && scope::enclosing_cancelled() {
                    true => Poll::Ready(None),
                    false => Poll::Pending,
                }
            })
            .await;
            match failures {
                Some(failures) => {
                    self.forget();
                    return failures;
                }
                None => {
                    asked = true;
                    self.shared.command(|inner, now| {
                        let _ = inner.core.cancel_nursery(now, self.id);
                    });
                }
            }
        }
    }

    fn forget(&mut self) {
        self.closed = true;
        self.shared.command(|inner, _| {
            inner.nurseries.remove(&self.id);
            inner.forget_children(self.id);
        });
    }
}

/// The handle of a nursery, in its block. Cheap to clone.
#[derive(Clone)]
pub struct ActorNursery {
    shared: Arc<Shared>,
    id: NurseryId,
}

impl fmt::Debug for ActorNursery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorNursery({} of {})", self.id, self.shared.uid)
    }
}

impl ActorNursery {
    /// Starts a daemon: a child that lives until someone cancels it. Await the builder.
    pub fn start_actor(&self, name: impl Into<String>) -> ActorBuilder {
        ActorBuilder {
            nursery: self.clone(),
            name: name.into(),
            modules: Vec::new(),
            exe: None,
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: os::Stdin::Null,
            stdout: Stdio::default(),
            stderr: Stdio::default(),
            loglevel: None,
            isolated: false,
            teardown: None,
        }
    }

    /// Runs one function in a child of its own, which ends with it. The child is named after it.
    ///
    /// # Errors
    /// As starting an actor. What the function fails of is an error of the nursery, and of
    /// [`RunHandle::result`].
    ///
    /// # Cancel safety
    /// Dropped before the child is ready, it ends the child.
    pub async fn run_in_actor<E: Rpc>(&self, function: E) -> Result<RunHandle<E::Output>> {
        let name = self.shared.lock().core.free_child_name(E::PATH.name);
        self.start_actor(name).run(function).await
    }

    /// Cancels all children, in parallel, and waits until they are gone. The nursery takes no more.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe: the children are ended all the same.
    pub async fn cancel(&self) -> Result<()> {
        self.shared.command(|inner, now| {
            if let Some(nursery) = inner.nurseries.get_mut(&self.id) {
                nursery.cancel_called = true;
            }
            // A nursery that is closed has no children.
            let _ = inner.core.cancel_nursery(now, self.id);
        });
        wait(&self.shared, |inner, waker| {
            let left = inner.children.values().any(|c| c.nursery == self.id && !c.ended);
            let Some(nursery) = inner.nurseries.get_mut(&self.id) else {
                return Poll::Ready(());
            };
            if !left {
                return Poll::Ready(());
            }
            nursery.wakers.add(waker);
            Poll::Pending
        })
        .await
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn cancel_called(&self) -> bool {
        self.shared.lock().nurseries.get(&self.id).is_some_and(|n| n.cancel_called)
    }

    /// The children that are not gone yet, by name.
    pub fn children(&self) -> Vec<String> {
        let inner = self.shared.lock();
        let mine = inner.children.values().filter(|c| c.nursery == self.id && !c.ended);
        let mut names: Vec<String> = mine.map(|c| c.name.clone()).collect();
        names.sort();
        names
    }

    /// The next failure of an [isolated](ActorBuilder::isolated) child: waits for one.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe: a failure that was not returned is kept.
    pub async fn next_failure(&self) -> Result<ActorFailed> {
        wait(&self.shared, |inner, waker| {
            let Some(nursery) = inner.nurseries.get_mut(&self.id) else {
                return Poll::Ready(Err(Error::Cancelled));
            };
            if let Some(failure) = nursery.isolated.pop_front() {
                return Poll::Ready(Ok(failure));
            }
            nursery.wakers.add(waker);
            Poll::Pending
        })
        .await?
    }
}

/// Where one of a child's output streams goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// To where ours goes.
    #[default]
    Inherit,
    /// Nowhere.
    Null,
    /// Into a ring buffer of 16 KiB, whose end is in [`ActorFailed::stderr_tail`].
    Capture,
    /// Into that ring buffer, and on to ours.
    Tee,
}

impl From<Stdio> for os::Output {
    fn from(stdio: Stdio) -> os::Output {
        match stdio {
            Stdio::Inherit => os::Output::Inherit,
            Stdio::Null => os::Output::Null,
            Stdio::Capture => os::Output::Capture,
            Stdio::Tee => os::Output::Tee,
        }
    }
}

/// What a child is to be. Await it to start the child: ready means connected, set up and serving.
#[derive(Clone, Debug)]
#[must_use = "a child starts when its builder is awaited"]
pub struct ActorBuilder {
    nursery: ActorNursery,
    name: String,
    modules: Vec<Module>,
    exe: Option<PathBuf>,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    cwd: Option<PathBuf>,
    stdin: os::Stdin,
    stdout: Stdio,
    stderr: Stdio,
    loglevel: Option<String>,
    isolated: bool,
    teardown: Option<Duration>,
}

impl ActorBuilder {
    /// Lets others call the functions of this module there: `tractor::module!()`.
    pub fn enable(mut self, module: Module) -> Self {
        self.modules.push(module);
        self
    }

    /// Lets others call the functions of this endpoint's module there.
    pub fn enable_of<E: Named>(self) -> Self {
        self.enable(Module::of::<E>())
    }

    /// Another program than this one. It must call `tractor::init()` too.
    pub fn exe(mut self, path: impl Into<PathBuf>) -> Self {
        self.exe = Some(path.into());
        self
    }

    /// Adds arguments, which `std::env::args` shows there.
    pub fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable there.
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), Some(value.into())));
        self
    }

    /// Removes an environment variable there.
    pub fn env_remove(mut self, key: impl Into<OsString>) -> Self {
        self.env.push((key.into(), None));
        self
    }

    /// The working directory there. Ours by default.
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Shares our standard input with it. `/dev/null` by default.
    pub fn stdin_inherit(mut self) -> Self {
        self.stdin = os::Stdin::Inherit;
        self
    }

    /// Where its standard output goes.
    pub fn stdout(mut self, stdio: Stdio) -> Self {
        self.stdout = stdio;
        self
    }

    /// Where its standard error goes.
    pub fn stderr(mut self, stdio: Stdio) -> Self {
        self.stderr = stdio;
        self
    }

    /// Its log level: `off`, `error`, `warn`, `info`, `debug`, `trace`. Ours by default.
    pub fn loglevel(mut self, level: impl Into<String>) -> Self {
        self.loglevel = Some(level.into());
        self
    }

    /// Keeps its death local: its portals fail, [`ActorNursery::next_failure`] reports it, and its
    /// siblings live on.
    pub fn isolated(mut self) -> Self {
        self.isolated = true;
        self
    }

    /// What it gets to end, from the first cancel to the report, when that is more than the
    /// nursery's.
    pub fn teardown(mut self, budget: Duration) -> Self {
        self.teardown = Some(budget);
        self
    }

    /// Runs one function in it: it ends with the function.
    ///
    /// # Errors
    /// As starting it; the function's own errors are the nursery's and the handle's.
    ///
    /// # Cancel safety
    /// Dropped before the child is ready, it ends the child.
    pub async fn run<E: Rpc>(self, function: E) -> Result<RunHandle<E::Output>> {
        let portal = self.enable_of::<E>().start().await?;
        let mut kwargs = Vec::new();
        payload::encode_into(&function, &mut kwargs)?;
        let call =
            Call { func_type: FuncType::Call, ns: E::PATH.ns, func: E::PATH.name, kwargs: &kwargs };
        let dialog = Arc::new(portal.start(&call)?);
        if let Some(child) = portal.child {
            portal.shared.command(|inner, _| {
                if let Some(known) = inner.children.get_mut(&child) {
                    known.main = Some(dialog.clone());
                }
                inner.core.set_main(child, dialog.id)
            })?;
        }
        Ok(RunHandle { portal, dialog, result: std::marker::PhantomData })
    }

    async fn start(self) -> Result<Portal> {
        scope::check()?;
        if !crate::init::is_initialised() {
            return Err(Error::Misuse(Misuse::NotInitialised));
        }
        let shared = self.nursery.shared.clone();
        let mut starting = self.spawn()?;
        let child = starting.child;
        wait(&shared, |inner, waker| {
            let Some(child) = inner.children.get_mut(&child) else {
                return Poll::Ready(Err(Error::Cancelled));
            };
            if child.ready {
                return Poll::Ready(Ok(()));
            }
            if child.ended {
                return Poll::Ready(Err(ended_early(child)));
            }
            child.wakers.add(waker);
            Poll::Pending
        })
        .await??;
        starting.done = true;
        Ok(starting.portal())
    }

    /// Gives the core the order, and the driver the plan.
    fn spawn(self) -> Result<Starting> {
        let ActorNursery { shared, id } = self.nursery.clone();
        let config = ChildConfig {
            name: self.name.clone(),
            isolated: self.isolated,
            budget: self.teardown,
            spec: self.spec(&shared),
        };
        let spawned = shared.command(|inner, now| {
            let (child, conn) = inner.core.spawn(now, id, config)?;
            let uid = inner.core.child_uid(child).cloned();
            let plan = uid.as_ref().map(|uid| self.plan(&shared, uid));
            let known = ChildBox {
                nursery: id,
                name: self.name.clone(),
                isolated: self.isolated,
                process: None,
                plan,
                main: None,
                ready: false,
                ended: false,
                failure: None,
                wakers: crate::boxes::Wakers::default(),
            };
            inner.children.insert(child, known);
            Ok::<_, Error>((child, conn, uid))
        });
        let (child, conn, uid) = spawned?;
        let uid = uid.ok_or(Error::Cancelled)?;
        Ok(Starting { shared, child, conn, uid, done: false })
    }

    /// What the child is told over the link.
    fn spec(&self, shared: &Shared) -> SpawnSpec {
        let tree = shared.tree.get().cloned().unwrap_or_default();
        let loglevel = self.loglevel.clone().or_else(|| shared.loglevel());
        let vars = RuntimeVars {
            registry_addrs: tree.registry_addrs.clone(),
            root_mailbox: tree.root_addrs.first().cloned(),
            root_addrs: tree.root_addrs,
            loglevel: loglevel.map(Text::from),
            ..RuntimeVars::default()
        };
        let mut raw = Vec::new();
        vars.encode(&mut raw);
        SpawnSpec {
            parent_main_data: bytes::Bytes::from_static(&[0x80]),
            runtime_vars: raw.into(),
            enable_modules: self
                .modules
                .iter()
                .map(|module| (Text::from(module.name()), Text::default()))
                .collect(),
            reg_addrs: tree.registry_addrs,
            bind_addrs: None,
        }
    }

    /// How its process is made.
    fn plan(&self, shared: &Shared, uid: &tractor_core::Uid) -> os::ChildSpec {
        let mut args = shared.settings.child_args.clone();
        args.extend(self.args.iter().cloned());
        let stdout = match (self.stdout, shared.settings.mute_children) {
            (Stdio::Inherit, true) => os::Output::Null,
            (stdio, _) => stdio.into(),
        };
        let nonce = u128::from_str_radix(&uid.uuid.as_str().replace('-', ""), 16);
        os::ChildSpec {
            argv0: format!("_subactor[{}@{}]", uid.name, uid.short()),
            exe: self.exe.clone(),
            args,
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            stdin: self.stdin,
            stdout,
            stderr: self.stderr.into(),
            // We made this uuid: it is 32 hexadecimal digits.
            marker: os::Marker::new(nonce.unwrap_or_default(), shared.executor.name()),
        }
    }
}

/// A child that ended before it was ready: it failed, or its nursery was cancelled meanwhile.
fn ended_early(child: &ChildBox) -> Error {
    match &child.failure {
        Some(failure) if failure.0.end.failed => Error::ActorFailed(failure.clone()),
        _ => Error::Cancelled,
    }
}

impl IntoFuture for ActorBuilder {
    type Output = Result<Portal>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Portal>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// A child that is not ready yet. Dropped, it is ended: nobody would have a handle to it.
struct Starting {
    shared: Arc<Shared>,
    child: ChildId,
    conn: tractor_core::ConnId,
    uid: tractor_core::Uid,
    done: bool,
}

impl Starting {
    fn portal(&self) -> Portal {
        Portal {
            shared: self.shared.clone(),
            conn: self.conn,
            child: Some(self.child),
            uid: self.uid.clone(),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if !self.done {
            // It may have ended by itself.
            let _ = self.shared.command(|inner, now| inner.core.cancel_child(now, self.child));
        }
    }
}

/// A function that runs in a child of its own.
pub struct RunHandle<T> {
    portal: Portal,
    dialog: Arc<Dialog>,
    result: std::marker::PhantomData<fn() -> T>,
}

impl<T> Clone for RunHandle<T> {
    fn clone(&self) -> Self {
        RunHandle {
            portal: self.portal.clone(),
            dialog: self.dialog.clone(),
            result: std::marker::PhantomData,
        }
    }
}

impl<T> fmt::Debug for RunHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunHandle({})", self.portal.uid)
    }
}

impl<T: serde::de::DeserializeOwned> RunHandle<T> {
    /// Waits for the function's result. Repeatable, also after the nursery has closed.
    ///
    /// # Errors
    /// As [`Portal::run`].
    ///
    /// # Cancel safety
    /// Safe: the result is kept.
    pub async fn result(&self) -> Result<T> {
        let bytes = wait::outcome(&self.dialog.shared, self.dialog.id).await?;
        Ok(payload::decode(&bytes)?)
    }

    /// The child it runs in.
    pub fn portal(&self) -> &Portal {
        &self.portal
    }
}
