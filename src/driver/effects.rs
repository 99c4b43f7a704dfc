//! What the core wants done, done in its order.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tractor_core::msg::FuncType;
use tractor_core::{ChildId, ConnId, DialogId, Effect, Input, Payload, Signal, Text};

use super::{Driver, Watched};
use crate::context::{self, RawContext, Record, task_ended};
use crate::current::{Identity, TaskName};
use crate::endpoint::{Invoke, LookupError, TaskError, TaskFuture};
use crate::error::{Error, to_wire};
use crate::host::Spawned;
use crate::log::{debug, error, warning};
use crate::os;
use crate::ready::Source;
use crate::scope::CancelScope;
use crate::shared::{Shared, SpawnReport};

impl Driver {
    /// Performs effects, and then writes. Whether that led to more effects.
    pub(super) fn perform(&mut self) -> bool {
        loop {
            let (listeners, streams, spawned, effect) = {
                let mut inner = self.shared.lock();
                let listeners = std::mem::take(&mut inner.listeners);
                let streams = std::mem::take(&mut inner.streams);
                let spawned = std::mem::take(&mut inner.spawned);
                (listeners, streams, spawned, inner.effects.pop_front())
            };
            streams.into_iter().for_each(|(conn, stream)| self.attach(conn, stream));
            listeners.into_iter().for_each(|listener| self.listen(listener));
            self.attach_spawned(spawned);
            match effect {
                Some(effect) => self.effect(effect),
                None => break,
            }
        }
        self.shared.flush_all()
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { conn, addr } => self.connect(conn, &addr),
            Effect::Close { conn } => self.close(conn),
            Effect::Abort { conn } => self.detach(conn),
            Effect::StartTask { dialog, conn, ns, func, kwargs } => {
                self.start_task(dialog, conn, &ns, &func, &kwargs);
            }
            Effect::CancelTask { dialog } => self.cancel_task(dialog),
            Effect::Spawn { child, conn } => self.spawn(child, conn),
            Effect::Signal { child, signal } => self.signal(child, signal),
            other => error!("tractor::runtime", "an order that nobody here knows: {other:?}"),
        }
    }

    // Connections.

    fn connect(&mut self, conn: ConnId, addr: &tractor_core::Address) {
        let shared = self.shared.clone();
        match shared.transports.iter().find(|t| t.serves(addr)) {
            Some(transport) => {
                let connecting = transport.connect(&shared.executor, addr);
                self.connecting.insert(conn, connecting);
                shared.ready.wake(Source::Connect(conn));
            }
            None => {
                let why = format!("no transport serves the address {addr}");
                self.fact(Input::Disconnected { conn, why: Some(Text::from(why)) });
            }
        }
    }

    fn close(&mut self, conn: ConnId) {
        self.connecting.remove(&conn);
        self.wakers.remove(&Source::Connect(conn));
        let attached = {
            let mut inner = self.shared.lock();
            inner.conns.get_mut(&conn).map(|io| io.closing = true).is_some()
        };
        match attached {
            true => self.shared.ready.wake(Source::Conn(conn)),
            false => self.fact(Input::Disconnected { conn, why: None }),
        }
    }

    // Children.

    fn spawn(&mut self, child: ChildId, conn: ConnId) {
        let plan = self.shared.lock().children.get_mut(&child).and_then(|c| c.plan.take());
        let Some(plan) = plan else {
            let why = Text::from_static("the child has no plan");
            return self.fact(Input::SpawnFailed { child, why });
        };
        let shared = self.shared.clone();
        let done = move |result| {
            shared.lock().spawned.push((child, conn, result));
            shared.ready.wake_driver();
        };
        self.spawning += 1;
        self.shared.host.spawn(plan, Box::new(done));
    }

    /// Takes in what the host made.
    fn attach_spawned(&mut self, reports: Vec<SpawnReport>) {
        for (child, conn, result) in reports {
            self.spawning -= 1;
            if let Err(e) = self.attach_child((child, conn, result)) {
                let why = Text::from(e.to_string());
                self.fact(Input::SpawnFailed { child, why });
            }
        }
    }

    fn attach_child(&mut self, (child, conn, result): SpawnReport) -> std::io::Result<()> {
        let Spawned { pid, link, process } = result?;
        let executor = self.shared.executor.clone();
        let exit = process.watch(executor.as_ref())?;
        debug!("tractor::runtime", "child {child} is process {pid}");
        let (is_known, connects_back) = {
            let mut inner = self.shared.lock();
            let known = inner.children.get_mut(&child);
            let connects_back = known.is_some_and(|known| {
                known.process = Some(process.clone());
                known.connects_back
            });
            (inner.core.is_known(conn), connects_back)
        };
        let mut lifeline = None;
        if connects_back {
            lifeline = Some(link);
        } else {
            let stream = link.open(executor.as_ref())?;
            match is_known {
                true => self.attach(conn, stream),
                // The child was given up on meanwhile: nobody would ever close the link.
                false => stream.shutdown(),
            }
        }
        self.processes.insert(child, Watched { process, exit, _lifeline: lifeline, sent: None });
        self.shared.ready.wake(Source::Child(child));
        self.fact(Input::Spawned { child, pid });
        Ok(())
    }

    fn signal(&mut self, child: ChildId, signal: Signal) {
        let Some(watched) = self.processes.get_mut(&child) else { return };
        let number = match signal {
            Signal::Terminate => os::Signal::TERM,
            Signal::Kill => os::Signal::KILL,
        };
        warning!(
            "tractor::cancel",
            "child {child} (pid {}) gets {signal:?}",
            watched.process.pid()
        );
        watched.sent = Some(number);
        if let Err(e) = watched.process.signal(number) {
            warning!("tractor::cancel", "signalling failed: {e}");
        }
    }

    // Tasks.

    fn start_task(
        &mut self,
        dialog: DialogId,
        conn: ConnId,
        ns: &Text,
        func: &Text,
        kwargs: &Bytes,
    ) {
        let shared = self.shared.clone();
        match prepare(&shared, dialog, ns, func, kwargs) {
            Ok(prepared) => run(&shared, (dialog, conn), prepared),
            Err((type_name, text)) => {
                let (now, mut inner) = shared.lock_now();
                let error = inner.core.own_error(type_name, &text);
                inner.core.fail(now, dialog, error);
                inner.drain_events();
            }
        }
    }

    fn cancel_task(&mut self, dialog: DialogId) {
        let scope = self.shared.lock().mailboxes.get(&dialog).and_then(|m| m.scope.clone());
        if let Some(scope) = scope {
            scope.cancel();
        }
    }
}

/// Finds the endpoint and makes its task, outside of the lock: decoding runs the program's code.
fn prepare(
    shared: &Arc<Shared>,
    dialog: DialogId,
    ns: &Text,
    func: &Text,
    kwargs: &[u8],
) -> Result<Prepared, (&'static str, String)> {
    let table = shared.lock().table.clone();
    let endpoint = table.lookup(ns.as_str(), func.as_str()).map_err(|e| match e {
        LookupError::ModuleNotExposed => {
            ("ModuleNotExposed", format!("the module `{ns}` is not enabled here"))
        }
        LookupError::NoSuchFunction => {
            ("AttributeError", format!("the module `{ns}` has no endpoint `{func}`"))
        }
    })?;
    let made = catch_unwind(AssertUnwindSafe(|| match endpoint.invoke() {
        Invoke::Call(make) => make(kwargs).map(|task| (FuncType::Call, task, None)),
        Invoke::Context(make) => {
            let raw = RawContext::callee(shared.clone(), dialog);
            let record = raw.record().clone();
            let task = make(kwargs, raw)?;
            let task: TaskFuture = Box::pin(context::around(shared.clone(), dialog, task));
            Ok((FuncType::Context, task, Some(record)))
        }
        Invoke::Stream(make) => {
            let raw = RawContext::callee(shared.clone(), dialog);
            make(kwargs, raw).map(|task| (FuncType::Stream, task, None))
        }
    }));
    match made {
        Ok(Ok((kind, task, record))) => {
            let name = TaskName::Endpoint(endpoint.path.ns, endpoint.path.name);
            Ok(Prepared { kind, name, task, record })
        }
        Ok(Err(e)) => Err(("TypeError", e.to_string())),
        Err(_) => Err(("TypeError", format!("decoding the arguments of {ns}::{func} panicked"))),
    }
}

/// A task that has not begun.
struct Prepared {
    kind: FuncType,
    name: TaskName,
    task: TaskFuture,
    /// Of a context.
    record: Option<Arc<Record>>,
}

/// Accepts the task and spawns it, under a scope of its own.
fn run(shared: &Arc<Shared>, (dialog, conn): (DialogId, ConnId), prepared: Prepared) {
    let Prepared { kind, name, task, record } = prepared;
    let scope = CancelScope::new();
    {
        let (now, mut inner) = shared.lock_now();
        if inner.core.accept(now, dialog, kind).is_err() {
            // The peer is gone already.
            inner.core.cancelled(now, dialog);
            return;
        }
        let mailbox = inner.mailbox(dialog);
        (mailbox.scope, mailbox.record) = (Some(scope.clone()), record);
        if let Some(io) = inner.conns.get_mut(&conn) {
            io.lazy += 1;
        }
        inner.begun += 1;
    }
    debug!("tractor::runtime", "task {name} begins");
    let is_linked = kind != FuncType::Call;
    let identity =
        Identity { actor: shared.clone(), task: name, dialog: is_linked.then_some(dialog) };
    let body = shared.scopes.run(&scope, task);
    let owner = shared.clone();
    let task = identity.scope(async move {
        let result = catch_panic(pin!(body)).await;
        finish(&owner, dialog, result);
    });
    let first = FirstPoll { shared: shared.clone(), conn, polled: false, task };
    shared.executor.spawn(Box::pin(first));
}

/// Tells the core how a task ended. `Ok(None)`: it was cancelled.
fn finish(
    shared: &Arc<Shared>,
    dialog: DialogId,
    result: std::thread::Result<Option<Result<Vec<u8>, TaskError>>>,
) {
    let error = match result {
        Ok(None) => None,
        Ok(Some(Ok(value))) => return returned(shared, dialog, value),
        Ok(Some(Err(TaskError::User(error)))) => Some(Error::from(error)),
        Ok(Some(Err(TaskError::Unencodable(error)))) => Some(Error::config(error.to_string())),
        Err(panic) => Some(Error::from_panic(panic)),
    };
    let is_own_cancel = matches!(error, Some(Error::Cancelled));
    // Before the lock: the texts of an error, and its destructor, are code of the program.
    let raw = error.as_ref().map(|error| to_wire(error, &shared.uid));
    let ended = error.unwrap_or(Error::Cancelled);
    // And so what might be the last of the error outlives the lock.
    let _kept = ended.clone();
    let _mailbox = shared.command(|inner, now| {
        let told = inner.core.cancelled_by(dialog).is_some();
        task_ended(inner, dialog, Err(ended));
        match raw {
            Some(raw) if !(told && is_own_cancel) => inner.core.fail(now, dialog, raw),
            _ => inner.core.cancelled(now, dialog),
        }
        inner.remove_mailbox(dialog)
    });
}

fn returned(shared: &Arc<Shared>, dialog: DialogId, value: Vec<u8>) {
    let _mailbox = shared.command(|inner, now| {
        let payload = match value.len() >= tractor_core::SPLICE_LEN_MIN {
            true => Payload::Owned(Bytes::from(value)),
            false => Payload::Borrowed(&value),
        };
        let finished = inner.core.finish(now, dialog, payload);
        task_ended(inner, dialog, finished.map_err(Error::from));
        if let Err(misuse) = finished {
            let text = match misuse {
                tractor_core::error::Misuse::WrongSide => {
                    "the context returned without having called `started`".to_owned()
                }
                misuse => format!("the result can't be sent: {misuse}"),
            };
            let error = inner.core.own_error("RuntimeError", &text);
            inner.core.fail(now, dialog, error);
        }
        inner.remove_mailbox(dialog)
    });
}

/// Turns a panic of the task into a value: of its poll, and of its destructors when its scope drops
/// it.
async fn catch_panic<F: Future>(mut task: Pin<&mut F>) -> std::thread::Result<F::Output> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// Sends the ack of a new task along with what its first poll had to say: mostly its result.
struct FirstPoll<F> {
    shared: Arc<Shared>,
    conn: ConnId,
    polled: bool,
    task: F,
}

impl<F: Future<Output = ()> + Unpin> Future for FirstPoll<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let result = Pin::new(&mut self.task).poll(cx);
        if !std::mem::replace(&mut self.polled, true) {
            self.shared.flush_lazy(self.conn);
        }
        result
    }
}
