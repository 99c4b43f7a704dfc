//! Portals: what another actor looks like from here.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tractor_core::dialog::table::Side;
use tractor_core::msg::FuncType;
use tractor_core::{Call, ChildId, ConnId, DialogId, Uid};

use crate::context::{self, Foreign, ForeignContext, ParentContext, RawContext, Record};
use crate::endpoint::{ContextEndpoint, Rpc};
use crate::error::{Error, Result};
use crate::payload;
use crate::scope::{self, CancelScope, Ended};
use crate::shared::{Inner, Shared};
use crate::wait::{self, wait, wait_shielded};
use crate::wakers::Waiter;

/// A handle to another actor: call its functions, open contexts with it, cancel it. Cheap to clone,
/// usable from any thread. It owns nothing: dropping it ends nobody.
#[derive(Clone)]
pub struct Portal {
    pub(crate) shared: Arc<Shared>,
    pub(crate) conn: ConnId,
    pub(crate) child: Option<ChildId>,
    pub(crate) uid: Uid,
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Portal({})", self.uid)
    }
}

impl Portal {
    /// Who is at the other end.
    pub fn uid(&self) -> &Uid {
        &self.uid
    }

    /// The actor's name.
    pub fn name(&self) -> &str {
        self.uid.name.as_str()
    }

    /// The actor's process id: a child's as the system says it, another's as it said itself.
    pub fn pid(&self) -> Option<u32> {
        let inner = self.shared.lock();
        let child = self.child.and_then(|id| inner.children.get(&id));
        let known = child.and_then(|child| match &child.process {
            Some(process) => Some(process.pid()),
            None => child.failure.as_ref().and_then(|end| end.pid()),
        });
        // A child that connects back may be here before the news that it was made.
        known.or_else(|| u32::try_from(inner.core.peer(self.conn)?.pid?).ok())
    }

    /// What kind of link carries this: `"socketpair"`, `"uds"`, `"tcp"`.
    pub fn link(&self) -> Option<&'static str> {
        self.shared.lock().conns.get(&self.conn).map(|io| io.stream.link())
    }

    /// Calls a function there and waits for its result.
    ///
    /// # Errors
    /// What the function failed of, as [`Error::Remote`]; [`Error::ModuleNotExposed`] when its
    /// module is not enabled there; [`Error::MsgType`]; [`Error::ActorFailed`] or
    /// [`Error::PeerLost`] when the actor is gone; [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Dropped or cancelled, it cancels the remote task.
    pub async fn run<E: Rpc>(&self, function: E) -> Result<E::Output> {
        let kwargs = encode(&function)?;
        let bytes = self.call_raw(E::PATH.ns, E::PATH.name, &kwargs).await?;
        Ok(payload::decode(&bytes)?)
    }

    /// Calls a function by its names on the wire: for peers in other languages. `kwargs` is a map
    /// or a struct, from names to values; `&()` is none.
    ///
    /// # Errors
    /// As [`run`](Self::run); [`Error::Misuse`] when `kwargs` has no names.
    ///
    /// # Cancel safety
    /// Dropped or cancelled, it cancels the remote task.
    pub async fn call<T: DeserializeOwned>(
        &self,
        ns: &str,
        name: &str,
        kwargs: &impl Serialize,
    ) -> Result<T> {
        let bytes = self.call_raw(ns, name, &encode_kwargs(kwargs)?).await?;
        Ok(payload::decode(&bytes)?)
    }

    async fn call_raw(&self, ns: &str, func: &str, kwargs: &[u8]) -> Result<Bytes> {
        scope::check()?;
        let call = Call { func_type: FuncType::Call, ns, func, kwargs };
        let dialog = self.start(&call)?;
        wait::outcome(&self.shared, dialog.id).await
    }

    /// Starts a dialog. Its guard cancels it when it is dropped before its outcome.
    pub(crate) fn start(&self, call: &Call<'_>) -> Result<Dialog> {
        self.start_with(call, |_, _| {})
    }

    /// As [`start`](Self::start). `set_up` is done in the same step: before anything that the far
    /// task does can be heard, be the driver on another thread.
    pub(crate) fn start_with(
        &self,
        call: &Call<'_>,
        set_up: impl FnOnce(&mut Inner, DialogId),
    ) -> Result<Dialog> {
        let id = self.shared.command(|inner, now| {
            let id = inner.core.start(now, self.conn, call)?;
            inner.mailbox(id);
            set_up(inner, id);
            Ok::<_, tractor_core::error::Misuse>(id)
        });
        match id {
            Ok(id) => Ok(Dialog { shared: self.shared.clone(), id }),
            Err(misuse) => Err(self.why_not(misuse)),
        }
    }

    /// Why a command was refused: an actor that is gone says how it went.
    fn why_not(&self, misuse: tractor_core::error::Misuse) -> Error {
        if misuse != tractor_core::error::Misuse::NotOpen {
            return misuse.into();
        }
        let inner = self.shared.lock();
        let child = self.child.and_then(|id| inner.children.get(&id));
        match child.and_then(|c| c.failure.clone()) {
            Some(failure) if failure.is_failure() => Error::ActorFailed(failure),
            _ => Error::PeerLost { peer: self.uid.clone() },
        }
    }

    /// Opens a context: starts the task there, and runs `body` with this end of it once it called
    /// `started`. Ends when both have: the far task is waited for, always.
    ///
    /// When `body` fails or is cancelled, the far task is cancelled and waited for first. When the
    /// far task fails, `body` is cancelled and the error is raised here. A cancellation that was
    /// asked for by `ctx.cancel()` is absorbed: the value of `body` stands. When `body` has none,
    /// because it fails of that cancellation itself, it is returned:
    /// [`absorb`](crate::Absorb::absorb) makes an `Option` of it.
    ///
    /// # Errors
    /// Those of `body`, and of the far task as [`run`](Self::run) has them;
    /// [`Error::ContextCancelled`] when somebody else cancelled it; [`Error::Misuse`] when the
    /// portal leads to this very actor.
    ///
    /// # Cancel safety
    /// Dropped by a foreign future, it cancels the far task, which the runtime waits for.
    pub async fn open_context<E, T, F, Fut>(&self, endpoint: E, body: F) -> Result<T>
    where
        E: ContextEndpoint,
        F: FnOnce(ParentContext<E>, E::Started) -> Fut,
        Fut: Future<Output = Result<T>> + Send,
    {
        let kwargs = encode(&endpoint)?;
        let body =
            move |raw, first: Bytes| Ok(body(ParentContext::new(raw), payload::decode(&first)?));
        self.open_context_raw((E::PATH.ns, E::PATH.name), &kwargs, body).await
    }

    /// As [`open_context`](Self::open_context), by the function's names on the wire: for peers in
    /// other languages. The types are those of the closure's arguments: see [`ForeignContext`].
    ///
    /// # Errors
    /// As `open_context`; [`Error::Misuse`] when `kwargs` has no names.
    ///
    /// # Cancel safety
    /// As `open_context`.
    pub async fn call_context<S, O, I, R, T, F, Fut>(
        &self,
        ns: &str,
        name: &str,
        kwargs: &impl Serialize,
        body: F,
    ) -> Result<T>
    where
        Foreign<S, O, I, R>: ContextEndpoint<Started = S>,
        S: DeserializeOwned,
        F: FnOnce(ForeignContext<S, O, I, R>, S) -> Fut,
        Fut: Future<Output = Result<T>> + Send,
    {
        let kwargs = encode_kwargs(kwargs)?;
        let body =
            move |raw, first: Bytes| Ok(body(ParentContext::new(raw), payload::decode(&first)?));
        self.open_context_raw((ns, name), &kwargs, body).await
    }

    async fn open_context_raw<T, F, Fut>(
        &self,
        (ns, func): (&str, &str),
        kwargs: &[u8],
        body: F,
    ) -> Result<T>
    where
        F: FnOnce(RawContext, Bytes) -> Result<Fut>,
        Fut: Future<Output = Result<T>> + Send,
    {
        scope::check()?;
        self.check_far()?;
        let call = Call { func_type: FuncType::Context, ns, func, kwargs };
        let block = CancelScope::new();
        let scope = block.clone();
        let mut record = None;
        let dialog = self.start_with(&call, |inner, id| {
            let made = Arc::new(Record::new(inner, id, Side::Caller, &self.uid));
            record = Some(made.clone());
            let mailbox = inner.mailbox(id);
            (mailbox.scope, mailbox.record) = (Some(scope), Some(made));
        })?;
        let record = record.expect("made when the dialog was");
        let raw = RawContext::caller(self.shared.clone(), dialog.id, record.clone());
        let task = async {
            let first = started(&dialog).await?;
            body(raw, first)?.await
        };
        let task = context::around(self.shared.clone(), dialog.id, Box::pin(task));
        let leave = |ended| leave(&dialog, &block, &record, ended);
        scope::guarded(&block, task, leave, Error::is_news).await
    }

    /// That the portal leads to another actor: two tasks can only be linked then.
    pub(crate) fn check_far(&self) -> Result<()> {
        if self.uid == self.shared.uid {
            let text = "a context links two actors, and this portal leads to its own actor";
            return Err(Error::config(text));
        }
        Ok(())
    }

    /// Asks the actor to end, as a whole, and waits until it answered, is gone, or took too
    /// long to answer: [`wait_closed`](Self::wait_closed) tells when it has ended. A child is ended
    /// by force if need be; another peer may refuse. Idempotent; one that is gone is no error.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe: the request is sent at once, and what follows from it happens by itself.
    pub async fn cancel_actor(&self) -> Result<()> {
        let asked = self.shared.command(|inner, now| match self.child {
            Some(child) => inner.core.cancel_child(now, child),
            None => inner.core.cancel_peer(now, self.conn),
        });
        if asked.is_err() {
            return Ok(());
        }
        wait(&self.shared, |inner, waker| {
            let answered = inner.cancel_answers.contains_key(&self.conn);
            if answered || inner.core.peer(self.conn).is_none() || self.is_gone(inner) {
                return Poll::Ready(());
            }
            self.register(inner, waker);
            Poll::Pending
        })
        .await
    }

    /// Leaves the waker where news of the actor will find it.
    fn register(&self, inner: &mut Inner, waker: &mut Waiter<'_>) {
        inner.conn_wakers.add(&mut *waker);
        if let Some(child) = self.child.and_then(|id| inner.children.get_mut(&id)) {
            child.wakers.add(waker);
        }
    }

    fn is_gone(&self, inner: &Inner) -> bool {
        match self.child {
            Some(id) => inner.children.get(&id).is_none_or(|child| child.ended),
            // Asked of the core, as it tells when that changes.
            None => !inner.core.is_known(self.conn),
        }
    }

    /// Waits until the actor is gone: a child's process reaped, a peer's connection closed.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub async fn wait_closed(&self) -> Result<()> {
        wait(&self.shared, |inner, waker| {
            if self.is_gone(inner) {
                return Poll::Ready(());
            }
            self.register(inner, waker);
            Poll::Pending
        })
        .await
    }

    /// Whether the actor can still be talked to.
    pub fn is_connected(&self) -> bool {
        !self.is_gone(&self.shared.lock())
    }
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    payload::encode_into(value, &mut bytes)?;
    Ok(bytes)
}

/// What stands for the arguments must be a map: anything else would cost us the connection.
pub(crate) fn encode_kwargs(kwargs: &impl Serialize) -> Result<Vec<u8>> {
    /// MessagePack's nil, and a map without entries.
    const NIL: [u8; 1] = [0xc0];
    const EMPTY_MAP: [u8; 1] = [0x80];
    let bytes = encode(kwargs)?;
    match bytes.first() {
        Some(0x80..=0x8f | 0xde | 0xdf) => Ok(bytes),
        _ if bytes == NIL => Ok(EMPTY_MAP.to_vec()),
        _ => Err(Error::config("the arguments of a call are a map or a struct: each has a name")),
    }
}

/// A dialog of ours: dropped before its outcome, its task is cancelled and forgotten.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: DialogId,
}

impl Drop for Dialog {
    fn drop(&mut self) {
        // An error in it may be the program's: it is dropped without the lock.
        let _mailbox = self.shared.command(|inner, now| {
            let mailbox = inner.remove_mailbox(self.id);
            if mailbox.as_ref().is_none_or(|m| m.outcome.is_none()) {
                inner.core.abandon(now, self.id);
            }
            mailbox
        });
    }
}

/// The value that the far task called `started` with.
async fn started(dialog: &Dialog) -> Result<Bytes> {
    wait(&dialog.shared, |inner, waker| {
        let mailbox = inner.mailbox(dialog.id);
        if let Some(first) = mailbox.started.take() {
            return Poll::Ready(Ok(first));
        }
        if let Some(Err(error)) = &mailbox.outcome {
            return Poll::Ready(Err(error.clone()));
        }
        mailbox.wakers.add(waker);
        Poll::Pending
    })
    .await?
}

/// Leaves a context's block: sees to it that the far task ends, and joins both ends' results.
pub(crate) async fn leave<T>(
    dialog: &Dialog,
    block: &CancelScope,
    record: &Record,
    ended: Ended<Result<T>>,
) -> Result<T> {
    let body = match ended {
        Ended::Value(result) => result,
        Ended::Panicked(payload) => Err(Error::from_panic(payload)),
        Ended::Cancelled { .. } => Err(Error::Cancelled),
    };
    if let Err(error) = &body {
        record.set_local_error(error);
        record.set_cancel_called();
        cancel(dialog);
    }
    let (outcome, absorbed) = far_end(dialog, record).await;
    match (body, outcome) {
        (Ok(value), Ok(_)) => Ok(value),
        (Ok(value), Err(_)) if absorbed => Ok(value),
        (Ok(_), Err(error)) => Err(error),
        // Whoever ends us asked that actor to end too, and it had to be killed: no failure.
        (Err(Error::Cancelled), Err(error))
            if error.is_of_asked_actor() && scope::enclosing_cancelled() =>
        {
            Err(Error::Cancelled)
        }
        // The block was cancelled because of this, or never saw it.
        (Err(Error::Cancelled), Err(error)) if !absorbed || block.cancel_called() => Err(error),
        (Err(error), Err(other)) if !absorbed && !matches!(other, Error::ContextCancelled(_)) => {
            Err(Error::join(vec![error, other]).unwrap_or(Error::Cancelled))
        }
        (Err(error), _) => Err(error),
    }
}

pub(crate) fn cancel(dialog: &Dialog) {
    // A context that has ended needs no cancel.
    let _ = dialog.shared.command(|inner, now| inner.core.cancel(now, dialog.id));
}

/// Waits for the far task, also when cancelled meanwhile: then it is cancelled too. Bounded by the
/// core's teardown budget.
async fn far_end(dialog: &Dialog, record: &Record) -> (Result<Bytes>, bool) {
    let mut asked = false;
    loop {
        let ended = wait_shielded(&dialog.shared, |inner, waker| {
            let mailbox = inner.mailbox(dialog.id);
            if let Some(outcome) = &mailbox.outcome {
                return Poll::Ready(Some((outcome.clone(), mailbox.absorbed)));
            }
            mailbox.wakers.add(waker);
            match !asked && scope::enclosing_cancelled() {
                true => Poll::Ready(None),
                false => Poll::Pending,
            }
        })
        .await;
        match ended {
            Some(ended) => return ended,
            None => {
                asked = true;
                record.set_cancel_called();
                cancel(dialog);
            }
        }
    }
}
