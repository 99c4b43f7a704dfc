//! Contexts: a task here and a task there, linked. What one end does, the other hears.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tractor_core::dialog::table::Side;
use tractor_core::error::Misuse;
use tractor_core::{DialogId, OverrunPolicy, Uid};

use crate::endpoint::ContextEndpoint;
use crate::error::{self, Error, Result};
use crate::payload;
use crate::scope;
use crate::shared::{Inner, Shared};
use crate::stream::MsgStream;
use crate::wait::{self, Waiting, wait};

mod foreign;
mod record;
mod stops;

pub use foreign::{Foreign, ForeignContext};
pub use record::ContextState;
pub(crate) use record::{Record, task_ended};
pub(crate) use stops::{around, leave_word};

/// One end of a context, without its types.
#[derive(Clone)]
pub struct RawContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dialog: DialogId,
    record: Arc<Record>,
}

impl fmt::Debug for RawContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({} with {}: {})", self.record.cid, self.record.peer, self.state())
    }
}

/// What both ends of a context tell of it, in the handles of all three kinds.
macro_rules! introspection {
    ($($raw:tt)+) => {
        /// The actor at the other end.
        pub fn peer(&self) -> &Uid {
            &self.$($raw)+.record.peer
        }

        /// The context's name on the wire.
        pub fn cid(&self) -> String {
            self.$($raw)+.record.cid.to_string()
        }

        /// Where the context is: how far it has come, or how it ended.
        pub fn state(&self) -> ContextState {
            self.$($raw)+.find_state()
        }

        /// Whether this end has asked for the cancellation: by `cancel`, or because its block
        /// failed or was cancelled.
        pub fn cancel_called(&self) -> bool {
            self.$($raw)+.record.cancel_called()
        }

        /// Whether the context ended because this end, the opening one, had asked for that: then
        /// the cancellation is absorbed.
        pub fn cancel_acked(&self) -> bool {
            self.$($raw)+.record.absorbed()
        }

        /// Who has cancelled the context's task, or asked for that; `None` while nobody did. At the
        /// opening end it is known once the task has ended.
        pub fn canceller(&self) -> Option<Uid> {
            self.$($raw)+.cancelled_by()
        }

        /// Whether it is known how the context ended.
        pub fn has_outcome(&self) -> bool {
            self.$($raw)+.record.has_outcome()
        }

        /// What the other end has failed of, or was lost of.
        pub fn remote_error(&self) -> Option<Error> {
            self.$($raw)+.record.remote_error()
        }

        /// What this end has failed of: the block, or the task. Known once it has ended.
        pub fn local_error(&self) -> Option<Error> {
            self.$($raw)+.record.local_error()
        }

        /// The error that the context ended with: that of the other end goes before ours.
        pub fn maybe_error(&self) -> Option<Error> {
            self.remote_error().or_else(|| self.local_error())
        }
    };
}

impl RawContext {
    /// The serving end of a dialog that its task is being made for.
    pub(crate) fn callee(shared: Arc<Shared>, dialog: DialogId) -> RawContext {
        let record = {
            let inner = shared.lock();
            let peer = inner.core.conn_of(dialog).and_then(|conn| inner.core.peer(conn));
            // Without a peer the task is refused in the next step.
            let peer = peer.map_or_else(|| shared.uid.clone(), |aid| aid.uid.clone());
            Arc::new(Record::new(&inner, dialog, Side::Callee, &peer))
        };
        RawContext { shared, dialog, record }
    }

    /// The opening end, whose record is in the dialog's mailbox.
    pub(crate) fn caller(shared: Arc<Shared>, dialog: DialogId, record: Arc<Record>) -> RawContext {
        RawContext { shared, dialog, record }
    }

    /// The serving end that the running task has.
    fn current(shared: Arc<Shared>, dialog: DialogId) -> Option<RawContext> {
        let record = shared.lock().mailboxes.get(&dialog)?.record.clone()?;
        Some(RawContext { shared, dialog, record })
    }

    /// What is known of the context for good.
    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.record
    }

    introspection!(as_raw());

    fn as_raw(&self) -> &RawContext {
        self
    }

    fn find_state(&self) -> ContextState {
        let progress = self.shared.lock().core.progress(self.dialog);
        self.record.state(&self.shared.uid, progress.as_ref())
    }

    /// Who asked for this context's task to be cancelled; `None` while nobody did.
    fn cancelled_by(&self) -> Option<Uid> {
        let told = self.shared.lock().core.cancelled_by(self.dialog).cloned();
        told.or_else(|| self.record.canceller())
    }

    /// Whether this end is being cancelled: what its streams had to say is not said.
    pub(crate) fn is_cut(&self) -> bool {
        let inner = self.shared.lock();
        let scope = inner.mailboxes.get(&self.dialog).and_then(|mailbox| mailbox.scope.as_ref());
        scope.is_some_and(|scope| scope.cancel_called())
            || inner.core.cancelled_by(self.dialog).is_some()
    }

    /// Where a block is cancelled because its context has failed, that failure is the better news.
    pub(crate) fn or_failure<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Err(Error::Cancelled) => Err(self.remote_error().unwrap_or(Error::Cancelled)),
            result => result,
        }
    }

    /// Whether this is the end that serves.
    pub fn is_callee(&self) -> bool {
        self.record.side == Side::Callee
    }

    /// The same context, in another handle: equal if and only if.
    pub fn is_same(&self, other: &RawContext) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared) && self.dialog == other.dialog
    }

    async fn open_stream<Out, In>(&self, policy: OverrunPolicy) -> Result<MsgStream<Out, In>> {
        let _waiting = Waiting::on(self);
        let opened = match self.shared.command(|inner, now| self.try_open(inner, now, policy)) {
            // What it ended with says more, and comes: bounded by the core's teardown budget.
            Err(Error::Misuse(error::Misuse::Core(Misuse::AfterCancel))) => {
                self.wait_for_outcome().await?;
                // It crossed our cancel, and returned: what it had sent is here, to be read.
                self.shared.command(|inner, now| self.try_open(inner, now, policy))
            }
            opened => opened,
        };
        opened.map(|()| MsgStream::new(self.clone(), policy))
    }

    fn try_open(
        &self,
        inner: &mut Inner,
        now: tractor_core::Instant,
        policy: OverrunPolicy,
    ) -> Result<()> {
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
    }

    /// What the other end told how it ended. Kept: also after the block.
    async fn wait_for_outcome(&self) -> Result<bytes::Bytes> {
        self.or_failure(scope::check())?;
        let _waiting = Waiting::on(self);
        match self.record.outcome() {
            Some(outcome) => outcome,
            None => self.or_failure(wait::outcome(&self.shared, self.dialog).await),
        }
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
        self.raw.or_failure(scope::check())?;
        self.raw.open_stream(policy).await
    }

    /// Cancels the task that serves this context: itself, as a rule. The caller gets a
    /// cancellation that names this actor.
    ///
    /// # Cancel safety
    /// Safe: it does not suspend.
    pub async fn cancel(&self) {
        self.raw.record.set_cancel_called();
        let scope = {
            let inner = self.raw.shared.lock();
            inner.mailboxes.get(&self.raw.dialog).and_then(|m| m.scope.clone())
        };
        if let Some(scope) = scope {
            scope.cancel();
        }
    }

    introspection!(raw);
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
    /// [`Error::Misuse`] the second time; what the far task failed of, when it has; the
    /// cancellation, which is waited for, after [`cancel`](Self::cancel); [`Error::Cancelled`].
    /// Nothing has changed then.
    ///
    /// # Cancel safety
    /// Safe: it suspends only where it returns an error.
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
    /// As `open_stream`.
    pub async fn open_stream_with(
        &self,
        policy: OverrunPolicy,
    ) -> Result<MsgStream<E::FromParent, E::ToParent>> {
        self.raw.or_failure(scope::check())?;
        self.raw.open_stream(policy).await
    }

    /// Waits for the far task's result. Repeatable: the result is kept, also after the block.
    ///
    /// # Errors
    /// What the far task failed of; [`Error::ContextCancelled`] when it was cancelled, by us or
    /// anybody else; [`Error::Cancelled`]. Our own cancellation is an error here and nowhere else:
    /// the end of the block absorbs it, when the block does not fail of it.
    ///
    /// # Cancel safety
    /// Safe: the result is kept.
    pub async fn wait_for_result(&self) -> Result<E::Output> {
        let bytes = self.raw.wait_for_outcome().await?;
        Ok(payload::decode(&bytes)?)
    }

    /// The far task's result, if it is here: what [`wait_for_result`](Self::wait_for_result) would
    /// give, without waiting.
    pub fn outcome(&self) -> Option<Result<E::Output>> {
        let outcome = self.raw.record.outcome()?;
        Some(outcome.and_then(|bytes| Ok(payload::decode(&bytes)?)))
    }

    /// Cancels the far task. The cancellation it answers with is absorbed when the block ends.
    /// Returns when it is acknowledged, or too slow for that.
    ///
    /// Called inside of the block, this cancels the far task and only that: the block goes on, and
    /// hears of it where it uses the context. Called from outside of it, by another task, the block
    /// is cancelled too, once the far task has ended.
    ///
    /// # Errors
    /// [`Error::Cancelled`]. A context that has ended is no error.
    ///
    /// # Cancel safety
    /// Safe: the request is sent at once.
    pub async fn cancel(&self) -> Result<()> {
        self.raw.record.set_cancel_called();
        let inside = stops::is_inside(&self.raw.shared, self.raw.dialog);
        let asked = self.raw.shared.command(|inner, now| {
            if let Some(mailbox) = inner.mailboxes.get_mut(&self.raw.dialog) {
                mailbox.cancel_ends_block |= !inside;
            }
            inner.core.cancel(now, self.raw.dialog)
        });
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

    introspection!(raw);
}

/// The context that the running task serves: of a generator too, which is linked to its reader.
///
/// # Errors
/// [`Error::NoCurrentActor`] outside of a context's or a generator's task.
pub fn current_ctx() -> Result<RawContext> {
    let identity = crate::current::identity().ok_or(Error::NoCurrentActor)?;
    let dialog = identity.dialog.ok_or(Error::NoCurrentActor)?;
    RawContext::current(identity.actor, dialog).ok_or(Error::NoCurrentActor)
}
