//! The receiving end of a stream, without its type: items as bytes, as they came.

use std::collections::VecDeque;
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use tractor_core::msg::codec;
use tractor_core::{Chunk, Instant, OverrunPolicy};

use super::RecvStats;
use crate::boxes::Mailbox;
use crate::context::RawContext;
use crate::error::Result;
use crate::shared::Inner;

/// Whose end it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Far {
    /// The far end is that of a context: it goes on without the stream.
    Context,
    /// It is a generator, which is there for its stream: nobody reads, so it is cancelled.
    Generator,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Inbox {
    ctx: RawContext,
    far: Far,
    local: Local,
    /// Under `DropOldest` items stay in the mailbox until each is read: the oldest must be there to
    /// be dropped.
    one_by_one: bool,
}

/// Items that were taken out of the mailbox together, to be read one by one without the lock.
#[derive(Debug, Default)]
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

impl Inbox {
    pub(super) fn new(ctx: RawContext, far: Far, policy: OverrunPolicy) -> Inbox {
        let one_by_one = matches!(policy, OverrunPolicy::DropOldest(_));
        Inbox { ctx, far, local: Local::default(), one_by_one }
    }

    pub(super) fn ctx(&self) -> &RawContext {
        &self.ctx
    }

    /// The next item, if it is here already.
    pub(super) fn ready(&mut self) -> Option<Bytes> {
        self.local.next()
    }

    /// The next item; `None` after the last.
    pub(super) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Option<Bytes>>> {
        loop {
            if let Some(item) = self.ready() {
                return Poll::Ready(Ok(Some(item)));
            }
            let shared = self.ctx.shared.clone();
            match shared.command(|inner, now| self.refill(inner, now, cx.waker())) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes what came, and reports what was read before. `false`: no more will come.
    pub(super) fn refill(
        &mut self,
        inner: &mut Inner,
        now: Instant,
        waker: &Waker,
    ) -> Poll<Result<bool>> {
        let dialog = self.ctx.dialog;
        let read = (self.local.items, self.local.bytes);
        (self.local.items, self.local.bytes) = (0, 0);
        if read.0 > 0 && !self.one_by_one {
            inner.core.consumed(now, dialog, read.0, read.1);
        }
        let Some(mailbox) = inner.mailboxes.get_mut(&dialog) else {
            return Poll::Ready(Ok(false));
        };
        if mailbox.items.is_empty() {
            return self.poll_end(mailbox, waker);
        }
        if !self.one_by_one {
            std::mem::swap(&mut self.local.chunks, &mut mailbox.items);
        } else if let Some(item) = mailbox.take_one() {
            // Reported at once: what the core takes for unread may be dropped.
            inner.core.consumed(now, dialog, 1, item.len());
            self.local.chunks.push_back(Chunk { count: 1, plds: item });
        }
        Poll::Ready(Ok(true))
    }

    /// No item is here: whether more can come.
    fn poll_end(&self, mailbox: &mut Mailbox, waker: &Waker) -> Poll<Result<bool>> {
        let end = mailbox.poll_end(waker);
        match end {
            Poll::Ready(Err(_)) if self.is_left(mailbox) => Poll::Ready(Ok(false)),
            end => end,
        }
    }

    /// Whether it is a generator that ended because we had enough of it.
    fn is_left(&self, mailbox: &Mailbox) -> bool {
        self.far == Far::Generator && mailbox.absorbed
    }

    /// The mailbox is gone: takes what is left in it. Returns how the stream ended.
    pub(super) fn settle(&mut self, mailbox: &mut Mailbox) -> Result<()> {
        self.local.chunks.append(&mut mailbox.items);
        match &mailbox.outcome {
            Some(Err(error)) if !self.is_left(mailbox) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Takes no more. Returns what was unread, to be dropped without the lock.
    pub(super) fn close(&self, inner: &mut Inner, now: Instant) -> VecDeque<Chunk> {
        let dialog = self.ctx.dialog;
        inner.core.close_receiver(now, dialog);
        if self.far == Far::Generator {
            // One that has ended needs no cancel.
            let _ = inner.core.cancel(now, dialog);
        }
        let mailbox = inner.mailboxes.get_mut(&dialog);
        mailbox.map(|mailbox| std::mem::take(&mut mailbox.items)).unwrap_or_default()
    }

    /// What the core knows, less what was read since it was told.
    pub(super) fn stats(&self, inner: &Inner) -> Option<RecvStats> {
        let stats = inner.core.stream_stats(self.ctx.dialog)?;
        let read = if self.one_by_one { 0 } else { u64::from(self.local.items) };
        let unread = u64::from(stats.unread).saturating_sub(read);
        Some(RecvStats { received: stats.received, unread })
    }

    /// Whether no more will come, be there something left to read or not.
    pub(super) fn is_closed(&self, inner: &Inner) -> bool {
        let mailbox = inner.mailboxes.get(&self.ctx.dialog);
        mailbox.is_none_or(|mailbox| mailbox.stopped || mailbox.outcome.is_some())
    }
}
