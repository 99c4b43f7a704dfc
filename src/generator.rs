//! Generators: a task in another actor that is there for the items it yields.
//!
//! ```text
//!   portal.open_stream_from(count { to: 3 }, async |numbers| ..)       the far task
//!     Start ───────────────────────────────────────────────────────▶  begins
//!     block begins  ◀────────────────────────────────────── StartAck
//!     opens its end: Credit ───────────────────────────────────────▶
//!     numbers.next()  ◀─────────────────────────────── Yield, Yield
//!     block ends: Stop, cancel ────────────────────────────────────▶  is cancelled
//!     absorbed  ◀─────────────────────────────────── ContextCancelled
//! ```
//!
//! The end of the task is the end of the stream. Its failure waits for the reader behind the items
//! that came before it; a block that ends without having read so far raises it then.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_core::Stream;
use serde::Serialize;
use tractor_core::dialog::table::Side;
use tractor_core::error::Misuse;
use tractor_core::msg::FuncType;
use tractor_core::{Call, OverrunPolicy};

use crate::boxes::Acceptance;
use crate::context::{RawContext, Record};
use crate::endpoint::StreamEndpoint;
use crate::error::{BoxError, Error, Result};
use crate::payload;
use crate::portal::{self, Dialog, Portal};
use crate::scope::{self, CancelScope, Ended};
use crate::stream::{Far, RecvHalf, SendHalf};
use crate::wait::wait;

impl Portal {
    /// Starts a generator there, and runs `body` with what it yields. Ends when both have: when
    /// `body` ends first, the far task is cancelled, and waited for, and that cancellation is
    /// absorbed. The generator is held back while nobody reads.
    ///
    /// When the far task fails, the reader gets its error, behind all items that came before it. A
    /// `body` that ends without having read so far has the error raised at the block's end.
    ///
    /// # Errors
    /// Those of `body`, and of the far task as [`run`](Self::run) has them;
    /// [`Error::ContextCancelled`] when somebody else cancelled it.
    ///
    /// # Cancel safety
    /// Dropped by a foreign future, it cancels the far task, which the runtime waits for.
    pub async fn open_stream_from<E, T, F, Fut>(&self, endpoint: E, body: F) -> Result<T>
    where
        E: StreamEndpoint,
        F: FnOnce(RecvHalf<E::Item>) -> Fut,
        Fut: Future<Output = Result<T>> + Send,
    {
        self.open_stream_from_with(endpoint, OverrunPolicy::Backpressure, body).await
    }

    /// As [`open_stream_from`](Self::open_stream_from), choosing what happens to items that come
    /// faster than they are read.
    ///
    /// # Errors
    /// As `open_stream_from`.
    ///
    /// # Cancel safety
    /// As `open_stream_from`.
    pub async fn open_stream_from_with<E, T, F, Fut>(
        &self,
        endpoint: E,
        policy: OverrunPolicy,
        body: F,
    ) -> Result<T>
    where
        E: StreamEndpoint,
        F: FnOnce(RecvHalf<E::Item>) -> Fut,
        Fut: Future<Output = Result<T>> + Send,
    {
        let mut kwargs = Vec::new();
        payload::encode_into(&endpoint, &mut kwargs)?;
        self.open_stream_raw((E::PATH.ns, E::PATH.name), &kwargs, policy, body).await
    }

    /// As [`open_stream_from`](Self::open_stream_from), by the generator's names on the wire: for
    /// peers in other languages.
    ///
    /// # Errors
    /// As `open_stream_from`; [`Error::Misuse`] when `kwargs` has no names.
    ///
    /// # Cancel safety
    /// As `open_stream_from`.
    pub async fn call_stream<I, T, F, Fut>(
        &self,
        ns: &str,
        name: &str,
        kwargs: &impl Serialize,
        body: F,
    ) -> Result<T>
    where
        F: FnOnce(RecvHalf<I>) -> Fut,
        Fut: Future<Output = Result<T>> + Send,
    {
        let kwargs = portal::encode_kwargs(kwargs)?;
        self.open_stream_raw((ns, name), &kwargs, OverrunPolicy::Backpressure, body).await
    }

    async fn open_stream_raw<I, T, F, Fut>(
        &self,
        (ns, func): (&str, &str),
        kwargs: &[u8],
        policy: OverrunPolicy,
        body: F,
    ) -> Result<T>
    where
        F: FnOnce(RecvHalf<I>) -> Fut,
        Fut: Future<Output = Result<T>> + Send,
    {
        scope::check()?;
        self.check_far()?;
        let call = Call { func_type: FuncType::Stream, ns, func, kwargs };
        // The block has no scope in the mailbox: a failure does not cancel it but waits to be read.
        let mut record = None;
        let dialog = self.start_with(&call, |inner, id| {
            let made = Arc::new(Record::new(inner, id, Side::Caller, &self.uid));
            record = Some(made.clone());
            let mailbox = inner.mailbox(id);
            (mailbox.acceptance, mailbox.record) = (Acceptance::Awaited, Some(made));
        })?;
        let record = record.expect("made when the dialog was");
        let raw = RawContext::caller(self.shared.clone(), dialog.id, record.clone());
        let task = async {
            accepted(&dialog).await?;
            body(open(raw, policy)?).await
        };
        let block = CancelScope::new();
        let leave = |ended| leave(&dialog, &block, &record, ended);
        scope::guarded(&block, task, leave, Error::is_news).await
    }
}

/// Waits until the far task exists. One that has ended already may have left items.
async fn accepted(dialog: &Dialog) -> Result<()> {
    wait(&dialog.shared, |inner, waker| {
        let mailbox = inner.mailbox(dialog.id);
        match (mailbox.acceptance, &mailbox.outcome) {
            (Acceptance::Known, _) | (_, Some(Ok(_))) => Poll::Ready(Ok(())),
            (_, Some(Err(error))) => Poll::Ready(Err(error.clone())),
            (_, None) => {
                mailbox.wakers.add(waker);
                Poll::Pending
            }
        }
    })
    .await?
}

fn open<I>(raw: RawContext, policy: OverrunPolicy) -> Result<RecvHalf<I>> {
    let opened = raw.shared.command(|inner, now| inner.core.open_stream(now, raw.dialog, policy));
    match opened {
        // The far task was faster than us: what it had to say is here, to be read.
        Ok(()) | Err(Misuse::NoSuchDialog) => Ok(RecvHalf::new(raw, Far::Generator, policy)),
        Err(misuse) => Err(misuse.into()),
    }
}

/// Leaves a generator's block: nobody reads any more, so it is cancelled if it has not ended.
async fn leave<T>(
    dialog: &Dialog,
    block: &CancelScope,
    record: &Record,
    ended: Ended<Result<T>>,
) -> Result<T> {
    portal::cancel(dialog);
    let failure_read = dialog.shared.lock().mailbox(dialog.id).failure_read;
    match ended {
        // The block knows of the failure, and has made something of it.
        Ended::Value(Ok(value)) if failure_read => Ok(value),
        ended => portal::leave(dialog, block, record, ended).await,
    }
}

/// The body of a generator that returns its stream. Named by the code of `#[stream]`.
#[doc(hidden)]
pub async fn forward<S: Stream, T: Serialize>(
    stream: S,
    mut out: SendHalf<T>,
    each: impl Fn(S::Item) -> Result<T, BoxError>,
) -> Result<(), BoxError> {
    let mut stream = pin!(stream);
    while let Some(item) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
        out.send(each(item)?).await?;
    }
    Ok(())
}
