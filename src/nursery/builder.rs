//! What a child is to be, and how it is started.

use std::ffi::OsString;
use std::future::{Future, IntoFuture};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tractor_core::msg::codec::RuntimeVars;
use tractor_core::msg::{FuncType, SpawnSpec, Token};
use tractor_core::supervise::{ChildConfig, Link};
use tractor_core::{Address, Call, ChildId, ConnId, Text};

use super::python::{self, Program, Python};
use super::{ActorNursery, RunHandle};
use crate::boxes::ChildBox;
use crate::endpoint::{Module, Named, Rpc};
use crate::error::{Error, Result};
use crate::os;
use crate::payload;
use crate::portal::Portal;
use crate::root::ParentLink;
use crate::scope;
use crate::shared::Shared;
use crate::wait::wait;

/// Where one of a child's output streams goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// To where ours goes.
    #[default]
    Inherit,
    /// Nowhere.
    Null,
    /// Into a ring buffer of 16 KiB, whose end is in
    /// [`stderr_tail`](crate::ActorFailed::stderr_tail).
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
    /// A Python interpreter that it is run by; what is enabled are modules there.
    pub(super) python: Option<Python>,
}

impl ActorBuilder {
    pub(super) fn new(nursery: ActorNursery, name: String) -> Self {
        ActorBuilder {
            nursery,
            name,
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
            python: None,
        }
    }

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
        let mut kwargs = Vec::new();
        payload::encode_into(&function, &mut kwargs)?;
        let call =
            Call { func_type: FuncType::Call, ns: E::PATH.ns, func: E::PATH.name, kwargs: &kwargs };
        // A call that is refused drops it, and so ends the child: it would have nothing to do.
        let (mut starting, conn) = self.enable_of::<E>().ready().await?;
        let (portal, child) = (starting.portal(conn), starting.child);
        let dialog = portal.start_with(&call, |inner, id| {
            // A child that is gone by now has no use for it.
            let _ = inner.core.set_main(child, id);
        })?;
        starting.done = true;
        let dialog = Arc::new(dialog);
        portal.shared.command(|inner, _| {
            if let Some(known) = inner.children.get_mut(&child).filter(|c| !c.ended) {
                known.main = Some(dialog.clone());
            }
        });
        Ok(RunHandle::new(portal, dialog))
    }

    pub(super) async fn start(self) -> Result<Portal> {
        let (mut starting, conn) = self.ready().await?;
        starting.done = true;
        Ok(starting.portal(conn))
    }

    /// Spawns the child and waits until it is ready, which it says on its link.
    async fn ready(self) -> Result<(Starting, ConnId)> {
        scope::check()?;
        let shared = self.nursery.shared.clone();
        shared.host.check_spawn()?;
        let starting = self.spawn()?;
        let child = starting.child;
        let conn = wait(&shared, |inner, waker| {
            let conn = inner.core.child_conn(child);
            let Some(child) = inner.children.get_mut(&child) else {
                return Poll::Ready(Err(Error::Cancelled));
            };
            match conn.filter(|_| child.ready) {
                Some(conn) => {
                    // From here on its failure is not told as that of its start.
                    child.starting = false;
                    return Poll::Ready(Ok(conn));
                }
                None if child.ended => return Poll::Ready(Err(ended_early(child))),
                None => {}
            }
            child.wakers.add(waker);
            Poll::Pending
        })
        .await??;
        Ok((starting, conn))
    }

    /// Gives the core the order, and the driver the plan.
    fn spawn(self) -> Result<Starting> {
        let ActorNursery { shared, id, .. } = self.nursery.clone();
        if let Some(budget) = self.teardown {
            shared.scopes.raise_budget(budget);
        }
        let (link, back) = match &self.python {
            Some(_) => (Link::Announced, None),
            None => link(&shared)?,
        };
        let program = self.program(&shared)?;
        let bound = self.python.as_ref().and_then(|_| Python::address(&shared, &self.name));
        let config = ChildConfig {
            name: self.name.clone(),
            isolated: self.isolated,
            budget: self.teardown,
            spec: self.spec(&shared, bound.as_ref()),
            link,
        };
        let spawned = shared.command(|inner, now| {
            let (child, _) = inner.core.spawn(now, id, config).map_err(|misuse| {
                // Closed by a failure that its body is about to hear of.
                match inner.nurseries.get(&id).is_some_and(|owner| !owner.failures.is_empty()) {
                    true => Error::Cancelled,
                    false => misuse.into(),
                }
            })?;
            let uid = inner.core.child_uid(child).cloned();
            let connects_back = link != Link::Handed;
            let plan = uid.as_ref().map(|uid| self.plan(&shared, uid, back, &program));
            let known = ChildBox {
                nursery: id,
                name: self.name.clone(),
                isolated: self.isolated,
                connects_back,
                bound,
                process: None,
                plan,
                main: None,
                main_error: None,
                starting: true,
                then_cancel: None,
                ready: false,
                ended: false,
                failure: None,
                wakers: crate::wakers::Wakers::default(),
            };
            inner.children.insert(child, known);
            Ok::<_, Error>((child, uid))
        });
        let (child, uid) = spawned?;
        let uid = uid.ok_or(Error::Cancelled)?;
        Ok(Starting { shared, child, uid, done: false })
    }

    /// What the child is told over the link.
    fn spec(&self, shared: &Shared, bound: Option<&Address>) -> SpawnSpec {
        if let Some(python) = &self.python {
            return python.spec(shared, bound);
        }
        let tree = shared.tree.get().cloned().unwrap_or_default();
        let loglevel = self.loglevel.clone().or_else(|| shared.loglevel());
        let budget = self.teardown.or(shared.settings.teardown);
        let vars = RuntimeVars {
            registry_addrs: tree.registry_addrs.clone(),
            root_mailbox: tree.root_addrs.first().cloned(),
            root_addrs: tree.root_addrs,
            loglevel: loglevel.map(Text::from),
            budget_ms: budget.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            connect_back: tree.parent_link == ParentLink::ConnectBack,
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
    fn plan(
        &self,
        shared: &Shared,
        uid: &tractor_core::Uid,
        back: Option<os::Back>,
        python: &Option<Program>,
    ) -> os::ChildSpec {
        // They lead this very program to where it becomes the child: nothing for another one.
        let own = self.exe.is_none().then(|| shared.settings.child_args.clone());
        let mut args = own.unwrap_or_default();
        args.extend(self.args.iter().cloned());
        let stdout = match (self.stdout, shared.settings.mute_children) {
            (Stdio::Inherit, true) => os::Output::Null,
            (stdio, _) => stdio.into(),
        };
        let nonce = u128::from_str_radix(&uid.uuid.as_str().replace('-', ""), 16);
        // We made this uuid: it is 32 hexadecimal digits.
        let mut marker = os::Marker::new(nonce.unwrap_or_default(), shared.executor.name(), back);
        let exec = python.as_ref().map(|python| python.command_line(uid)).unwrap_or_default();
        marker.exec = !exec.is_empty();
        let mut env = self.env.clone();
        if let Some(python) = &shared.settings.python {
            // The user's own come later, and count.
            env.insert(0, (python::ENV.into(), Some(python.clone().into())));
        }
        os::ChildSpec {
            argv0: format!("_subactor[{}@{}]", uid.name, uid.short()),
            exe: self.exe.clone(),
            args,
            env,
            cwd: self.cwd.clone(),
            stdin: self.stdin,
            stdout,
            stderr: self.stderr.into(),
            marker,
            exec,
        }
    }

    /// The Python program that it is, if it is one.
    fn program(&self, shared: &Shared) -> Result<Option<Program>> {
        let level = self.loglevel.clone().or_else(|| shared.loglevel());
        let program = |python: &Python| python.program(shared, level.as_deref());
        self.python.as_ref().map(program).transpose()
    }
}

/// How children of this tree come to their link, and where to.
fn link(shared: &Shared) -> Result<(Link, Option<os::Back>)> {
    let link = shared.tree.get().map(|tree| tree.parent_link).unwrap_or_default();
    if link == ParentLink::Socketpair {
        return Ok((Link::Handed, None));
    }
    let back = os::Back { token: shared.host.secret()?, addr: own_addr(shared)?.to_string() };
    Ok((Link::ConnectBack(Token(back.token)), Some(back)))
}

/// Where those connect that were not born with their link.
pub(super) fn own_addr(shared: &Shared) -> Result<Address> {
    let addr = shared.own_addrs.get().and_then(|addrs| addrs.first());
    addr.cloned().ok_or_else(|| Error::config("this actor has no address to connect back to"))
}

/// A child that ended before it was ready: it failed, or its nursery was cancelled meanwhile.
fn ended_early(child: &ChildBox) -> Error {
    match &child.failure {
        Some(failure) if failure.is_failure() => Error::ActorFailed(failure.clone()),
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
    uid: tractor_core::Uid,
    done: bool,
}

impl Starting {
    fn portal(&self, conn: ConnId) -> Portal {
        let (shared, uid) = (self.shared.clone(), self.uid.clone());
        Portal { shared, conn, child: Some(self.child), uid }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.shared.command(|inner, now| {
            if let Some(child) = inner.children.get_mut(&self.child) {
                child.starting = false;
                let body = child.then_cancel.take();
                body.into_iter().for_each(|body| inner.cancel_later(body));
            }
            if !self.done {
                // It may have ended by itself.
                let _ = inner.core.cancel_child(now, self.child);
            }
        });
    }
}
