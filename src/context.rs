//! Contexts: a task here and a task there, linked. What one end does, the other hears.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tractor_core::error::Misuse;
use tractor_core::{DialogId, OverrunPolicy, Uid};

use crate::endpoint::ContextEndpoint;
use crate::error::{Error, Result};
use crate::payload;
use crate::scope;
use crate::shared::Shared;
use crate::stream::MsgStream;
use crate::wait::{self, Waiting, wait};

/// One end of a context, without its types.
#[derive(Clone)]
pub struct RawContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dialog: DialogId,
    is_callee: bool,
}

impl fmt::Debug for RawContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context(dialog {} of {})", self.dialog, self.shared.uid)
    }
}

impl RawContext {
    pub(crate) fn callee(shared: Arc<Shared>, dialog: DialogId) -> RawContext {
        RawContext { shared, dialog, is_callee: true }
    }

    pub(crate) fn caller(shared: Arc<Shared>, dialog: DialogId) -> RawContext {
        RawContext { shared, dialog, is_callee: false }
    }

    /// The actor at the other end.
    pub fn peer(&self) -> Option<Uid> {
        let inner = self.shared.lock();
        let conn = inner.core.conn_of(self.dialog)?;
        inner.core.peer(conn).map(|aid| aid.uid.clone())
    }

    /// Who asked for this context's task to be cancelled; `None` while nobody did.
    pub fn cancelled_by(&self) -> Option<Uid> {
        self.shared.lock().core.cancelled_by(self.dialog).cloned()
    }

    /// Whether this is the end that serves.
    pub fn is_callee(&self) -> bool {
        self.is_callee
    }

    /// The same context, in another handle: equal if and only if.
    pub fn is_same(&self, other: &RawContext) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared) && self.dialog == other.dialog
    }

    fn open_stream<Out, In>(&self, policy: OverrunPolicy) -> Result<MsgStream<Out, In>> {
        self.shared.command(|inner, now| {
            let opened = inner.core.open_stream(now, self.dialog, policy);
            let Some(mailbox) = inner.mailboxes.get_mut(&self.dialog) else {
                return opened.map_err(Error::from);
            };
            match (opened, &mailbox.outcome) {
                // A context that has failed: its outcome says more.
                (Err(_), Some(Err(error))) => return Err(error.clone()),
                (Err(_), _) if mailbox.stream_opened => return Err(Misuse::SecondStream.into()),
                // The far task was faster than us: what it had sent is here, to be read.
                (Err(Misuse::NoSuchDialog), Some(Ok(_))) => {}
                (opened, _) => opened?,
            }
            mailbox.stream_opened = true;
            Ok(())
        })?;
        Ok(MsgStream::new(self.clone(), policy))
    }
}

/// The serving end of a context: the first parameter of a `#[tractor::context]` function.
///
/// `S` is the value of [`started`](Self::started), `O` what is sent to the caller, `I` what comes
/// from it. What the function returns is the context's result.
#[derive(Clone, Debug)]
pub struct Context<S, O, I> {
    raw: RawContext,
    types: PhantomData<fn(S, O) -> I>,
}

impl<S: Serialize, O: Serialize, I: DeserializeOwned> Context<S, O, I> {
    /// The typed form of a context.
    pub fn from_raw(raw: RawContext) -> Self {
        Context { raw, types: PhantomData }
    }

    /// The untyped form.
    pub fn raw(&self) -> &RawContext {
        &self.raw
    }

    /// Sets the context up: the caller's block begins with this value. Once, and first.
    ///
    /// # Errors
    /// [`Error::Misuse`] when called twice; [`Error::MsgType`] when the value can't be encoded;
    /// [`Error::Cancelled`]. Nothing was sent then.
    ///
    /// # Cancel safety
    /// Safe: it does not suspend.
    pub async fn started(&self, value: S) -> Result<()> {
        scope::check()?;
        let mut bytes = Vec::new();
        payload::encode_into(&value, &mut bytes)?;
        self.raw.shared.command(|inner, now| {
            inner.core.started(now, self.raw.dialog, bytes.as_slice().into())
        })?;
        Ok(())
    }

    /// Opens this end of the context's stream, with backpressure. Once, after `started`.
    ///
    /// # Errors
    /// [`Error::Misuse`] before `started` or the second time; the context's outcome when it has
    /// one; [`Error::Cancelled`]. Nothing has changed then.
    ///
    /// # Cancel safety
    /// Safe: it does not suspend.
    pub async fn open_stream(&self) -> Result<MsgStream<O, I>> {
        self.open_stream_with(OverrunPolicy::Backpressure).await
    }

    /// As [`open_stream`](Self::open_stream), choosing what happens to items that come faster than
    /// they are read.
    ///
    /// # Errors
    /// As `open_stream`.
    ///
    /// # Cancel safety
    /// Safe: it does not suspend.
    pub async fn open_stream_with(&self, policy: OverrunPolicy) -> Result<MsgStream<O, I>> {
        scope::check()?;
        self.raw.open_stream(policy)
    }

    /// Cancels the task that serves this context: itself, as a rule. The caller gets a
    /// cancellation that names this actor.
    ///
    /// # Cancel safety
    /// Safe: it does not suspend.
    pub async fn cancel(&self) {
        let scope = {
            let inner = self.raw.shared.lock();
            inner.mailboxes.get(&self.raw.dialog).and_then(|m| m.scope.clone())
        };
        if let Some(scope) = scope {
            scope.cancel();
        }
    }

    /// The actor that opened the context.
    pub fn peer(&self) -> Option<Uid> {
        self.raw.peer()
    }

    /// Who asked for this task to be cancelled; `None` while nobody did.
    pub fn cancelled_by(&self) -> Option<Uid> {
        self.raw.cancelled_by()
    }
}

/// The opening end of a context, in its block.
pub struct ParentContext<E: ContextEndpoint> {
    raw: RawContext,
    endpoint: PhantomData<fn() -> E>,
}

impl<E: ContextEndpoint> Clone for ParentContext<E> {
    fn clone(&self) -> Self {
        ParentContext::new(self.raw.clone())
    }
}

impl<E: ContextEndpoint> fmt::Debug for ParentContext<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.raw, f)
    }
}

impl<E: ContextEndpoint> ParentContext<E> {
    pub(crate) fn new(raw: RawContext) -> Self {
        ParentContext { raw, endpoint: PhantomData }
    }

    /// The untyped form.
    pub fn raw(&self) -> &RawContext {
        &self.raw
    }

    /// Opens this end of the context's stream, with backpressure. Once.
    ///
    /// # Errors
    /// [`Error::Misuse`] the second time; the context's outcome when it has one;
    /// [`Error::Cancelled`]. Nothing has changed then.
    ///
    /// # Cancel safety
    /// Safe: it does not suspend.
    pub async fn open_stream(&self) -> Result<MsgStream<E::FromParent, E::ToParent>> {
        self.open_stream_with(OverrunPolicy::Backpressure).await
    }

    /// As [`open_stream`](Self::open_stream), choosing what happens to items that come faster than
    /// they are read.
    ///
    /// # Errors
    /// As `open_stream`.
    ///
    /// # Cancel safety
    /// Safe: it does not suspend.
    pub async fn open_stream_with(
        &self,
        policy: OverrunPolicy,
    ) -> Result<MsgStream<E::FromParent, E::ToParent>> {
        scope::check()?;
        self.raw.open_stream(policy)
    }

    /// Waits for the far task's result. Repeatable: the result is kept.
    ///
    /// # Errors
    /// What the far task failed of; [`Error::ContextCancelled`] when it was cancelled, by us or
    /// anybody else; [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe: the result is kept.
    pub async fn wait_for_result(&self) -> Result<E::Output> {
        let bytes = self.wait_for_outcome().await?;
        Ok(payload::decode(&bytes)?)
    }

    async fn wait_for_outcome(&self) -> Result<bytes::Bytes> {
        let _waiting = Waiting::on(&self.raw);
        wait::outcome(&self.raw.shared, self.raw.dialog).await
    }

    /// Cancels the far task, and only that: this block goes on. The cancellation it answers with is
    /// absorbed when the block ends. Returns when it is acknowledged, or too slow for that.
    ///
    /// # Errors
    /// [`Error::Cancelled`]. A context that has ended is no error.
    ///
    /// # Cancel safety
    /// Safe: the request is sent at once.
    pub async fn cancel(&self) -> Result<()> {
        let asked = self.raw.shared.command(|inner, now| inner.core.cancel(now, self.raw.dialog));
        if asked.is_err() {
            return Ok(()); // It has ended.
        }
        let dialog = self.raw.dialog;
        wait(&self.raw.shared, |inner, waker| {
            let Some(mailbox) = inner.mailboxes.get_mut(&dialog) else { return Poll::Ready(()) };
            if mailbox.cancel_acked || mailbox.outcome.is_some() {
                return Poll::Ready(());
            }
            mailbox.wakers.add(waker);
            Poll::Pending
        })
        .await
    }

    /// The actor that serves the context.
    pub fn peer(&self) -> Option<Uid> {
        self.raw.peer()
    }
}

/// The context that the running task serves: of a generator too, which is linked to its reader.
///
/// # Errors
/// [`Error::NoCurrentActor`] outside of a context's or a generator's task.
pub fn current_ctx() -> Result<RawContext> {
    let identity = crate::current::identity().ok_or(Error::NoCurrentActor)?;
    let dialog = identity.dialog.ok_or(Error::NoCurrentActor)?;
    Ok(RawContext::callee(identity.actor, dialog))
}
