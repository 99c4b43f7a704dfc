//! The stream of a context: items both ways, each way with its own end.

use std::collections::VecDeque;
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
use tractor_core::error::SendError;
use tractor_core::msg::codec;
use tractor_core::{Chunk, OverrunPolicy, Payload, SPLICE_LEN_MIN};

use crate::context::RawContext;
use crate::error::{Error, Result};
use crate::payload;
use crate::scope;
use crate::shared::Inner;
use crate::wait::Waiting;

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

/// The receiving half of a [`MsgStream`].
pub struct RecvHalf<I> {
    ctx: RawContext,
    local: Local,
    /// Under `DropOldest` items stay in the mailbox until each is read: the oldest must be there to
    /// be dropped.
    one_by_one: bool,
    types: PhantomData<fn() -> I>,
}

/// Items that were taken out of the mailbox together, to be read one by one without the lock.
#[derive(Default)]
struct Local {
    chunks: VecDeque<Chunk>,
    open: Option<codec::Items>,
    /// Read, and not yet reported to the core.
    items: u32,
    bytes: usize,
}

impl Local {
    fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(item) = open.next() {
                    return Some(self.read(item));
                }
                self.open = None;
            }
            let chunk = self.chunks.pop_front()?;
            if chunk.count == 1 {
                return Some(self.read(chunk.plds));
            }
            self.open = Some(codec::items(&chunk.plds));
        }
    }

    fn read(&mut self, item: Bytes) -> Bytes {
        self.items += 1;
        self.bytes += item.len();
        item
    }
}

impl<O, I> MsgStream<O, I> {
    pub(crate) fn new(ctx: RawContext, policy: OverrunPolicy) -> Self {
        let tx = SendHalf {
            ctx: ctx.clone(),
            scratch: Vec::new(),
            queued: false,
            stopped: false,
            types: PhantomData,
        };
        let one_by_one = matches!(policy, OverrunPolicy::DropOldest(_));
        MsgStream {
            tx,
            rx: RecvHalf { ctx, local: Local::default(), one_by_one, types: PhantomData },
        }
    }

    /// The two halves, which different tasks may use at once.
    pub fn split(self) -> (SendHalf<O>, RecvHalf<I>) {
        (self.tx, self.rx)
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
    /// Tells the other end that no more items come. Idempotent.
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
                Err(_) => Poll::Pending,
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
        return Poll::Ready(Err(tractor_core::error::Misuse::NoSuchDialog.into()));
    };
    if let Some(cx) = cx {
        mailbox.wakers.add(cx.waker());
    }
    Poll::Pending
}

/// A context that has failed says why; else the misuse does.
fn why_not(
    inner: &Inner,
    dialog: tractor_core::DialogId,
    misuse: tractor_core::error::Misuse,
) -> Error {
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
    /// on); [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe: an item that was not returned is not lost.
    pub async fn next(&mut self) -> Result<Option<I>> {
        self.ctx.or_failure(scope::check())?;
        if let Some(item) = self.local.next() {
            return Ok(Some(payload::decode(&item)?));
        }
        let ctx = self.ctx.clone();
        let _waiting = Waiting::on(&ctx);
        let item = scope::cancellable(poll_fn(|cx| self.poll_item(cx))).await;
        let item = ctx.or_failure(item)?;
        item.map(|item| Ok(payload::decode(&item)?)).transpose()
    }

    fn poll_item(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Option<Bytes>>> {
        if self.one_by_one {
            return self.take_one(cx);
        }
        loop {
            if let Some(item) = self.local.next() {
                return Poll::Ready(Ok(Some(item)));
            }
            match self.refill(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes all items that came, and reports what was read before. `false`: no more will come.
    fn refill(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<bool>> {
        let dialog = self.ctx.dialog;
        let local = &mut self.local;
        self.ctx.shared.command(|inner, now| {
            if local.items > 0 {
                let (items, bytes) = (local.items, local.bytes);
                (local.items, local.bytes) = (0, 0);
                inner.core.consumed(now, dialog, items, bytes);
            }
            let Some(mailbox) = inner.mailboxes.get_mut(&dialog) else {
                return Poll::Ready(Ok(false));
            };
            if mailbox.items.is_empty() {
                return mailbox.poll_end(cx.waker());
            }
            std::mem::swap(&mut local.chunks, &mut mailbox.items);
            Poll::Ready(Ok(true))
        })
    }

    /// Takes the oldest item that was not dropped, and reports it as read.
    fn take_one(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Option<Bytes>>> {
        let dialog = self.ctx.dialog;
        self.ctx.shared.command(|inner, now| {
            let Some(mailbox) = inner.mailboxes.get_mut(&dialog) else {
                return Poll::Ready(Ok(None));
            };
            let Some(item) = mailbox.take_one() else {
                return mailbox.poll_end(cx.waker()).map_ok(|_| None);
            };
            inner.core.consumed(now, dialog, 1, item.len());
            Poll::Ready(Ok(Some(item)))
        })
    }
}

impl<I> Drop for RecvHalf<I> {
    fn drop(&mut self) {
        // What was read is given back as credit; what was not stays with the context.
        if self.local.items > 0 {
            let (items, bytes) = (self.local.items, self.local.bytes);
            let dialog = self.ctx.dialog;
            self.ctx.shared.command(|inner, now| inner.core.consumed(now, dialog, items, bytes));
        }
    }
}

impl<I: DeserializeOwned> Stream for RecvHalf<I> {
    type Item = Result<I>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<I>>> {
        let item = std::task::ready!(self.poll_item(cx));
        Poll::Ready(match item {
            Ok(Some(item)) => Some(payload::decode(&item).map_err(Error::from)),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })
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
