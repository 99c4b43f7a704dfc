//! The stream of a context: items both ways, each way with its own end. What a generator yields is
//! one half of one.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tractor_core::error::{Misuse, SendError};
use tractor_core::{OverrunPolicy, Payload, SPLICE_LEN_MIN};

use crate::context::RawContext;
use crate::error::{Error, Result};
use crate::payload;
use crate::scope;
use crate::shared::Inner;
use crate::wait::{Waiting, wait};
use crate::wakers::Waiter;

pub(crate) mod fanout;
mod inbox;
mod ring;
mod subscription;
#[cfg(all(test, shuttle))]
mod tests;

use fanout::Reader;
pub(crate) use inbox::Far;
use inbox::Inbox;
use subscription::CAPACITY;
pub use subscription::{OnLag, Subscription, SubscriptionStats};

/// Sends items of type `O`, receives items of type `I`. Dropped, it tells the other end that no
/// more items come, unless its task is being cancelled or panics.
pub struct MsgStream<O, I> {
    tx: SendHalf<O>,
    rx: RecvHalf<I>,
}

/// The sending half of a [`MsgStream`].
pub struct SendHalf<O> {
    ctx: RawContext,
    /// What the item is encoded into before it goes to the core.
    scratch: Vec<u8>,
    /// `scratch` is an item that `start_send` has left there.
    queued: bool,
    stopped: bool,
    types: PhantomData<fn(O)>,
}

/// The receiving half of a [`MsgStream`], or what a generator yields.
///
/// Dropped, or closed, it takes no more: what still comes is dropped, and the far task is not held
/// up; unless that is a generator, which is cancelled. What comes is for one task at a time, which
/// need not be the same: a receive that was cancelled loses nothing. When several tasks are to get
/// every item, see [`subscribe`](Self::subscribe).
pub struct RecvHalf<I> {
    ctx: RawContext,
    source: Source,
    types: PhantomData<fn() -> I>,
}

/// Where a receiving half reads.
enum Source {
    /// It is the only reader.
    Own(Inbox),
    /// There are, or were, subscriptions beside it.
    Shared(Reader),
    /// It was closed.
    Closed,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStats {
    /// Of the items that we send.
    pub sending: SendStats,
    /// Of the items that we receive.
    pub receiving: RecvStats,
}

/// How far the sending direction of a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendStats {
    /// Items sent.
    pub sent: u64,
    /// Whether the far end was opened. A base peer does not tell.
    pub peer_opened: bool,
    /// What the far end takes at the moment; `None` for a base peer, which does not say.
    pub credit: Option<Credit>,
}

/// What may be sent before the receiver has to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credit {
    /// Items.
    pub items: u64,
    /// Bytes, of which an item costs 64 more than its length.
    pub bytes: u64,
}

/// How far the receiving direction of a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecvStats {
    /// Items that came, also those that the overrun policy dropped.
    pub received: u64,
    /// Of these, the ones that are here and were not read.
    pub unread: u64,
}

impl<O, I> MsgStream<O, I> {
    pub(crate) fn new(ctx: RawContext, policy: OverrunPolicy) -> Self {
        let tx = SendHalf::new(ctx.clone());
        MsgStream { tx, rx: RecvHalf::new(ctx, Far::Context, policy) }
    }

    /// The two halves, which different tasks may use at once.
    pub fn split(self) -> (SendHalf<O>, RecvHalf<I>) {
        (self.tx, self.rx)
    }

    /// Another reader of what comes, for another task: see [`RecvHalf::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn subscribe(&mut self) -> Result<Subscription<I>> {
        self.rx.subscribe()
    }

    /// As [`RecvHalf::subscribe_with`].
    ///
    /// # Errors
    /// As there.
    pub fn subscribe_with(&mut self, capacity: usize) -> Result<Subscription<I>> {
        self.rx.subscribe_with(capacity)
    }

    /// Whether both directions have ended: see [`SendHalf::is_closed`] and
    /// [`RecvHalf::is_closed`].
    pub fn is_closed(&self) -> bool {
        self.tx.is_closed() && self.rx.is_closed()
    }

    /// How far it has come; `None` once the context has ended.
    pub fn stats(&self) -> Option<StreamStats> {
        Some(StreamStats { sending: self.tx.stats()?, receiving: self.rx.stats()? })
    }
}

impl<O: Serialize, I: DeserializeOwned> MsgStream<O, I> {
    /// Sends an item; waits while the receiver's window is full.
    ///
    /// # Errors
    /// As [`SendHalf::send`].
    ///
    /// # Cancel safety
    /// Safe: a send that was dropped while it waited has sent nothing.
    pub async fn send(&mut self, item: O) -> Result<()> {
        self.tx.send(item).await
    }

    /// The next item.
    ///
    /// # Errors
    /// As [`RecvHalf::recv`].
    ///
    /// # Cancel safety
    /// Safe: an item that was not returned is not lost.
    pub async fn recv(&mut self) -> Result<I> {
        self.rx.recv().await
    }

    /// The next item; `None` after the last.
    ///
    /// # Errors
    /// As [`RecvHalf::next`].
    ///
    /// # Cancel safety
    /// Safe: an item that was not returned is not lost.
    pub async fn next(&mut self) -> Result<Option<I>> {
        self.rx.next().await
    }

    /// Tells the other end that no more items come. What it sends can still be received.
    pub fn stop(&mut self) {
        self.tx.stop();
    }
}

impl<O> SendHalf<O> {
    pub(crate) fn new(ctx: RawContext) -> Self {
        SendHalf { ctx, scratch: Vec::new(), queued: false, stopped: false, types: PhantomData }
    }

    /// Whether nothing can be sent any more: it was stopped, the context has ended, or the peer
    /// never opened its end.
    pub fn is_closed(&self) -> bool {
        self.is_over(&self.ctx.shared.lock())
    }

    /// Waits until [`is_closed`](Self::is_closed).
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn closed(&self) -> Result<()> {
        wait(&self.ctx.shared, |inner, waker| match self.is_over(inner) {
            true => Poll::Ready(()),
            false => register(inner, &self.ctx, waker),
        })
        .await
    }

    fn is_over(&self, inner: &Inner) -> bool {
        let mailbox = inner.mailboxes.get(&self.ctx.dialog);
        self.stopped || mailbox.is_none_or(|m| m.outcome.is_some() || m.send_overrun)
    }

    /// How far it has come; `None` once the context has ended.
    pub fn stats(&self) -> Option<SendStats> {
        let stats = self.ctx.shared.lock().core.stream_stats(self.ctx.dialog)?;
        let credit = stats.credit.map(|(items, bytes)| Credit { items, bytes });
        Some(SendStats { sent: stats.sent, peer_opened: stats.peer_opened, credit })
    }

    /// Tells the other end that no more items come; of a generator, that its fn will send none:
    /// the stream ends when that does. Idempotent.
    pub fn stop(&mut self) {
        if !std::mem::replace(&mut self.stopped, true) {
            // A context that has ended needs no Stop.
            let _ = self.ctx.shared.command(|inner, now| inner.core.stop(now, self.ctx.dialog));
        }
    }
}

impl<O: Serialize> SendHalf<O> {
    /// Sends an item; waits while the receiver's window is full.
    ///
    /// # Errors
    /// The context's outcome when it has failed; [`Error::EndOfStream`] when the far task has
    /// returned; [`Error::Overrun`] when the peer never opened its stream; [`Error::Misuse`] after
    /// [`stop`](Self::stop), or when the item is too large for a frame; [`Error::MsgType`] when it
    /// can't be encoded; [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe: a send that was dropped while it waited has sent nothing.
    pub async fn send(&mut self, item: O) -> Result<()> {
        self.ctx.or_failure(scope::check())?;
        if self.queued {
            let flushed = scope::cancellable(poll_fn(|cx| self.poll_flush_queued(cx))).await;
            self.ctx.or_failure(flushed)?;
        }
        self.encode(&item)?;
        if let Poll::Ready(result) = self.try_send(None) {
            return result;
        }
        let sent = scope::cancellable(poll_fn(|cx| self.try_send(Some(cx)))).await;
        self.ctx.or_failure(sent)
    }

    fn encode(&mut self, item: &O) -> Result<()> {
        self.scratch.clear();
        payload::encode_into(item, &mut self.scratch)?;
        Ok(())
    }

    /// Sends what is in `scratch`, or registers to be told when it can be.
    fn try_send(&mut self, cx: Option<&mut TaskContext<'_>>) -> Poll<Result<()>> {
        let dialog = self.ctx.dialog;
        // A long item is given away, so that it is written from where it is. It comes back when it
        // could not be sent.
        let owned = (self.scratch.len() >= SPLICE_LEN_MIN)
            .then(|| Bytes::from(std::mem::take(&mut self.scratch)));
        let scratch = self.scratch.as_slice();
        let result = self.ctx.shared.command_lazily(|inner, now| {
            let payload = match &owned {
                Some(bytes) => Payload::Owned(bytes.clone()),
                None => Payload::Borrowed(scratch),
            };
            match inner.core.send(now, dialog, payload) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(SendError::Blocked) => blocked(inner, dialog, cx),
                Err(SendError::Overrun) => Poll::Ready(Err(Error::Overrun)),
                Err(SendError::Misuse(misuse)) => Poll::Ready(Err(why_not(inner, dialog, misuse))),
                // A kind of error that is new in the core: never a wait for nothing.
                Err(other) => Poll::Ready(Err(Error::config(other.to_string()))),
            }
        });
        if let (Poll::Pending, Some(bytes)) = (&result, owned) {
            self.scratch = bytes.into();
        }
        result
    }
}

fn blocked(
    inner: &mut Inner,
    dialog: tractor_core::DialogId,
    cx: Option<&mut TaskContext<'_>>,
) -> Poll<Result<()>> {
    let Some(mailbox) = inner.mailboxes.get_mut(&dialog) else {
        // Nobody will hear of room: the context is over for all who had it.
        return Poll::Ready(Err(Misuse::NoSuchDialog.into()));
    };
    if let Some(cx) = cx {
        mailbox.wakers.add(cx.waker());
    }
    Poll::Pending
}

/// A context that has failed says why; else the misuse does.
fn why_not(inner: &Inner, dialog: tractor_core::DialogId, misuse: Misuse) -> Error {
    let mailbox = inner.mailboxes.get(&dialog);
    match mailbox.and_then(|m| m.outcome.clone()) {
        Some(Err(error)) => error,
        // The far task has returned: whether it did so before or after the item is chance.
        Some(Ok(_)) => Error::EndOfStream,
        _ if mailbox.is_some_and(|m| m.send_overrun) => Error::Overrun,
        _ => misuse.into(),
    }
}

impl<O> Drop for SendHalf<O> {
    fn drop(&mut self) {
        let (shared, dialog) = (&self.ctx.shared, self.ctx.dialog);
        let cut = std::thread::panicking() || scope::check().is_err() || self.ctx.is_cut();
        // Whether its task goes on or fails is known when its poll is over.
        if !cut && !self.stopped && !crate::context::leave_word(shared, dialog) {
            self.stop();
        }
    }
}

impl<I> RecvHalf<I> {
    pub(crate) fn new(ctx: RawContext, far: Far, policy: OverrunPolicy) -> Self {
        let source = Source::Own(Inbox::new(ctx.clone(), far, policy));
        RecvHalf { ctx, source, types: PhantomData }
    }

    /// Another reader of the stream, for another task: both get every item that comes from now on.
    ///
    /// With the first subscription the stream itself becomes one of several readers, for good: the
    /// last 64 items are held for those that are behind (fewer when they are longer than 16 KiB on
    /// average), and what is said of a [`Subscription`] is
    /// true for it too, above all that [`next`](Self::next) fails with [`Error::Lagged`] when it
    /// was overtaken.
    ///
    /// # Errors
    /// [`Error::Misuse`] after [`close`](Self::close).
    pub fn subscribe(&mut self) -> Result<Subscription<I>> {
        Ok(Subscription::new(self.share(CAPACITY)?.another()))
    }

    /// As [`subscribe`](Self::subscribe), and at least so many items are held from now on, for all
    /// readers of the stream. (The first one to subscribe can ask for less than 64.)
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_with(&mut self, capacity: usize) -> Result<Subscription<I>> {
        let reader = self.share(capacity)?;
        reader.grow(capacity);
        Ok(Subscription::new(reader.another()))
    }

    /// From now on it is one of several readers. `capacity` counts if it was the only one so far.
    fn share(&mut self, capacity: usize) -> Result<&Reader> {
        let source = std::mem::replace(&mut self.source, Source::Closed);
        self.source = match source {
            Source::Own(inbox) => Source::Shared(Reader::first(inbox, capacity)),
            source => source,
        };
        match &self.source {
            Source::Shared(reader) => Ok(reader),
            Source::Own(_) | Source::Closed => Err(Misuse::StreamClosed.into()),
        }
    }

    /// Takes no more items, as dropping it does: what is unread, and what still comes, is dropped.
    /// The sender is not held up by that; a generator is cancelled. When there are subscriptions,
    /// they go on, and the last of them to be dropped does that. Idempotent.
    pub fn close(&mut self) {
        match std::mem::replace(&mut self.source, Source::Closed) {
            Source::Own(inbox) => {
                drop(self.ctx.shared.command(|inner, now| inbox.close(inner, now)));
            }
            Source::Shared(reader) => drop(reader),
            Source::Closed => {}
        }
    }

    /// Whether no more items come, be there some left to read or not: the far end has stopped, the
    /// context has ended, or this half was closed.
    pub fn is_closed(&self) -> bool {
        self.is_over(&self.ctx.shared.lock())
    }

    /// Waits until [`is_closed`](Self::is_closed).
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn closed(&self) -> Result<()> {
        wait(&self.ctx.shared, |inner, waker| match self.is_over(inner) {
            true => Poll::Ready(()),
            false => register(inner, &self.ctx, waker),
        })
        .await
    }

    fn is_over(&self, inner: &Inner) -> bool {
        match &self.source {
            Source::Own(inbox) => inbox.is_closed(inner),
            Source::Shared(reader) => reader.is_closed(inner),
            Source::Closed => true,
        }
    }

    /// How far it has come; `None` once it was closed, or the context has ended.
    pub fn stats(&self) -> Option<RecvStats> {
        match &self.source {
            Source::Own(inbox) => inbox.stats(&self.ctx.shared.lock()),
            Source::Shared(reader) => reader.recv_stats(),
            Source::Closed => None,
        }
    }

    /// How it stands among the readers of the stream; `None` before the first
    /// [`subscribe`](Self::subscribe), and once it was closed.
    pub fn subscription_stats(&self) -> Option<SubscriptionStats> {
        match &self.source {
            Source::Shared(reader) => Some(reader.stats()),
            Source::Own(_) | Source::Closed => None,
        }
    }
}

impl<I: DeserializeOwned> RecvHalf<I> {
    /// The next item.
    ///
    /// # Errors
    /// [`Error::EndOfStream`] after the last; else as [`next`](Self::next).
    ///
    /// # Cancel safety
    /// Safe: an item that was not returned is not lost.
    pub async fn recv(&mut self) -> Result<I> {
        self.next().await?.ok_or(Error::EndOfStream)
    }

    /// The next item; `None` after the last.
    ///
    /// # Errors
    /// What the far task failed of; [`Error::MsgType`] for an item of another type (the stream goes
    /// on); [`Error::Lagged`] when there are subscriptions, and faster ones (the stream goes on);
    /// [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe: an item that was not returned is not lost.
    pub async fn next(&mut self) -> Result<Option<I>> {
        self.ctx.or_failure(scope::check())?;
        if let Some(item) = self.source.ready() {
            return Ok(Some(payload::decode(&item?)?));
        }
        let source = &mut self.source;
        let item = receive(&self.ctx, |cx| source.poll(cx)).await;
        let item = self.ctx.or_failure(item)?;
        item.map(|item| Ok(payload::decode(&item)?)).transpose()
    }
}

impl Source {
    /// The next item, if it is here already.
    fn ready(&mut self) -> Option<Result<Bytes>> {
        match self {
            Source::Own(inbox) => inbox.ready().map(Ok),
            Source::Shared(reader) => reader.ready(),
            Source::Closed => None,
        }
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Option<Bytes>>> {
        match self {
            Source::Own(inbox) => inbox.poll(cx),
            Source::Shared(reader) => reader.poll(cx),
            Source::Closed => Poll::Ready(Ok(None)),
        }
    }
}

/// Waits for the next item, as one who will see why the stream failed.
async fn receive(
    ctx: &RawContext,
    poll: impl FnMut(&mut TaskContext<'_>) -> Poll<Result<Option<Bytes>>>,
) -> Result<Option<Bytes>> {
    let _waiting = Waiting::on(ctx);
    scope::cancellable(poll_fn(poll)).await
}

/// Leaves the waker where news of the context will find it.
fn register<T>(inner: &mut Inner, ctx: &RawContext, waker: &mut Waiter<'_>) -> Poll<T> {
    if let Some(mailbox) = inner.mailboxes.get_mut(&ctx.dialog) {
        mailbox.wakers.add(waker);
    }
    Poll::Pending
}

impl<I> Drop for RecvHalf<I> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<I: DeserializeOwned> Stream for RecvHalf<I> {
    type Item = Result<I>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<I>>> {
        let item = std::task::ready!(self.source.poll(cx)).transpose();
        Poll::Ready(item.map(|item| Ok(payload::decode(&item?)?)))
    }
}

impl<O: Serialize> Sink<O> for SendHalf<O> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        self.poll_flush_queued(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, item: O) -> Result<()> {
        self.encode(&item)?;
        self.queued = true;
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        self.poll_flush_queued(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        std::task::ready!(self.poll_flush_queued(cx))?;
        self.stop();
        Poll::Ready(Ok(()))
    }
}

impl<O: Serialize> SendHalf<O> {
    /// Sends the item that `start_send` left, if any.
    fn poll_flush_queued(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        if !self.queued {
            return Poll::Ready(Ok(()));
        }
        let result = std::task::ready!(self.try_send(Some(cx)));
        self.queued = false;
        Poll::Ready(result)
    }
}

impl<O, I: DeserializeOwned> Stream for MsgStream<O, I> {
    type Item = Result<I>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<I>>> {
        Pin::new(&mut self.rx).poll_next(cx)
    }
}

impl<O: Serialize, I> Sink<O> for MsgStream<O, I> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.tx).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, item: O) -> Result<()> {
        Pin::new(&mut self.tx).start_send(item)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.tx).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.tx).poll_close(cx)
    }
}

impl<O, I> fmt::Debug for MsgStream<O, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MsgStream of {:?}", self.tx.ctx)
    }
}
impl<O> fmt::Debug for SendHalf<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendHalf of {:?}", self.ctx)
    }
}
impl<I> fmt::Debug for RecvHalf<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecvHalf of {:?}", self.ctx)
    }
}
