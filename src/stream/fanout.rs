//! One stream, many readers: each gets every item.
//!
//! ```text
//!   mailbox ──▶ inbox ──▶ ring ──▶ Reader    RecvHalf, which the stream was
//!                              ├──▶ Reader    Subscription
//!                              └──▶ Reader    Subscription
//! ```
//!
//! Nobody reads for the others. A reader that finds nothing in the ring takes the next item from
//! the inbox into it, and one that finds nothing there waits at the mailbox, as all who wait do:
//! news wakes them all, and whoever is polled first goes on. So a reader can be dropped or
//! cancelled at any moment without anybody having to take its place.
//!
//! Before a reader takes an item whose place another one's unread item has, it gives way once, so
//! that readers which run by turns and read equally fast never lose anything. It wakes them itself:
//! who brings the news does so one by one, and may be at it still, on another thread. It does not
//! wait: the fastest reader sets the pace.
//!
//! Locks: the actor's, then this one; or this one alone. What is in the ring are bytes, so that no
//! code of the program runs under it: each reader decodes its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use tractor_core::{Instant, SPLICE_LEN_MIN};

use super::inbox::Inbox;
use super::ring::{Place, Read, Ring};
use super::subscription::{OnLag, SubscriptionStats};
use crate::boxes::Mailbox;
use crate::context::RawContext;
use crate::error::{Error, Result};
use crate::shared::Inner;
use crate::sync::{Mutex, MutexGuard};

/// What the readers of one stream share.
#[derive(Debug)]
pub(crate) struct Fanout {
    inbox: Inbox,
    ring: Ring<Bytes>,
    /// Taken from the inbox, and not yet in the ring.
    next: Option<Bytes>,
    end: Option<Result<()>>,
    /// Readers that found nothing, to be woken by one that gives way. They are woken by news as
    /// well, so one that is here may have gone on long ago.
    waiting: BTreeMap<Place, Waker>,
}

/// What a reader finds.
enum Look {
    Item(Bytes),
    Lagged(u64),
    End(Result<()>),
    /// Others should have a turn first.
    GiveWay,
    /// Nothing is here.
    Empty,
}

impl Fanout {
    /// The next item for this reader, of what is here already.
    fn look(&mut self, place: Place, gave_way: &mut Option<u64>) -> Look {
        match self.ring.read(place) {
            Read::Item(item) => return Look::Item(item),
            Read::Lagged(missed) => return Look::Lagged(missed),
            Read::Nothing => {}
        }
        let Some(item) = self.next.take().or_else(|| self.inbox.ready()) else {
            return self.end.clone().map_or(Look::Empty, Look::End);
        };
        let number = self.ring.next();
        let len = item.len();
        if self.ring.is_risky(len) && gave_way.replace(number) != Some(number) {
            self.next = Some(item);
            return Look::GiveWay;
        }
        // A short one is copied: as a slice it would keep all that was received with it.
        let held = match len < SPLICE_LEN_MIN {
            true => Bytes::copy_from_slice(&item),
            false => item,
        };
        self.ring.push(held.clone(), len);
        // This reader's next one, as it had read all before it.
        self.ring.read(place);
        Look::Item(held)
    }

    /// Takes what came, for whoever reads it. `Pending`: nothing did, and the waker is left where
    /// news will find it.
    fn refill(&mut self, place: Place, inner: &mut Inner, now: Instant, waker: &Waker) -> Poll<()> {
        // Another reader may have been here since we looked.
        if self.next.is_none() {
            self.next = self.inbox.ready();
        }
        if self.next.is_some() || self.end.is_some() || self.ring.behind(place) > 0 {
            return Poll::Ready(());
        }
        match std::task::ready!(self.inbox.refill(inner, now, waker)) {
            Ok(true) => {}
            Ok(false) => self.end = Some(Ok(())),
            Err(error) => self.end = Some(Err(error)),
        }
        Poll::Ready(())
    }
}

/// The mailbox is gone: what is left in it is for the readers.
pub(crate) fn settle(shared: &Mutex<Fanout>, mailbox: &mut Mailbox) {
    let mut fanout = lock(shared);
    let end = fanout.inbox.settle(mailbox);
    fanout.end.get_or_insert(end);
}

/// One reader of a stream that has several.
pub(super) struct Reader {
    shared: Arc<Mutex<Fanout>>,
    ctx: RawContext,
    place: Place,
    /// The number of the item before which it last gave way.
    gave_way: Option<u64>,
    pub(super) on_lag: OnLag,
    /// Items missed so far.
    missed: u64,
}

impl Reader {
    /// The reader that the stream itself becomes.
    pub(super) fn first(inbox: Inbox, capacity: usize) -> Reader {
        let ctx = inbox.ctx().clone();
        let mut ring = Ring::new(capacity);
        let place = ring.join();
        let waiting = BTreeMap::new();
        let fanout = Fanout { inbox, ring, next: None, end: None, waiting };
        let shared = Arc::new(Mutex::new(fanout));
        if let Some(mailbox) = ctx.shared.lock().mailboxes.get_mut(&ctx.dialog) {
            mailbox.fanout = Arc::downgrade(&shared);
        }
        Reader { shared, ctx, place, gave_way: None, on_lag: OnLag::Report, missed: 0 }
    }

    /// Another one, which starts with the next item that nobody has read.
    pub(super) fn another(&self) -> Reader {
        let place = self.lock().ring.join();
        Reader {
            shared: self.shared.clone(),
            ctx: self.ctx.clone(),
            place,
            gave_way: None,
            on_lag: OnLag::Report,
            missed: 0,
        }
    }

    pub(super) fn ctx(&self) -> &RawContext {
        &self.ctx
    }

    pub(super) fn grow(&self, capacity: usize) {
        self.lock().ring.grow(capacity);
    }

    fn lock(&self) -> MutexGuard<'_, Fanout> {
        lock(&self.shared)
    }

    /// The next item, if it is in the ring.
    pub(super) fn ready(&mut self) -> Option<Result<Bytes>> {
        loop {
            let read = lock(&self.shared).ring.read(self.place);
            match read {
                Read::Item(item) => return Some(Ok(item)),
                Read::Lagged(missed) => {
                    if let Some(error) = self.lagged(missed) {
                        return Some(Err(error));
                    }
                }
                Read::Nothing => return None,
            }
        }
    }

    /// The next item; `None` after the last.
    pub(super) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Option<Bytes>>> {
        loop {
            let look = lock(&self.shared).look(self.place, &mut self.gave_way);
            match look {
                Look::Item(item) => return Poll::Ready(Ok(Some(item))),
                Look::Lagged(missed) => {
                    if let Some(error) = self.lagged(missed) {
                        return Poll::Ready(Err(error));
                    }
                }
                Look::End(end) => return Poll::Ready(end.map(|()| None)),
                Look::GiveWay => {
                    let mut waiting = std::mem::take(&mut lock(&self.shared).waiting);
                    // Us last: who is woken first has its turn first, as a rule.
                    waiting.remove(&self.place);
                    waiting.into_values().for_each(Waker::wake);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Look::Empty => {
                    self.wait(cx.waker());
                    let (shared, place) = (&self.shared, self.place);
                    std::task::ready!(self.ctx.shared.command(|inner, now| {
                        lock(shared).refill(place, inner, now, cx.waker())
                    }));
                }
            }
        }
    }

    /// Leaves the waker for one who gives way.
    fn wait(&self, waker: &Waker) {
        let mut fanout = self.lock();
        let old = match fanout.waiting.get(&self.place) {
            Some(known) if known.will_wake(waker) => None,
            _ => fanout.waiting.insert(self.place, waker.clone()),
        };
        // A waker is code of the program, also when it is dropped.
        drop(fanout);
        drop(old);
    }

    /// What the reader is told of items that it missed.
    fn lagged(&mut self, missed: u64) -> Option<Error> {
        self.missed += missed;
        match self.on_lag {
            OnLag::Report => Some(Error::Lagged(missed)),
            OnLag::Skip => None,
        }
    }

    pub(super) fn stats(&self) -> SubscriptionStats {
        let fanout = self.lock();
        let (held, capacity) = fanout.ring.size();
        SubscriptionStats {
            behind: fanout.ring.behind(self.place),
            missed: self.missed,
            held,
            capacity,
            readers: fanout.ring.readers(),
        }
    }

    pub(super) fn recv_stats(&self) -> Option<super::RecvStats> {
        let inner = self.ctx.shared.lock();
        let fanout = self.lock();
        let mut stats = fanout.inbox.stats(&inner)?;
        stats.unread += u64::from(fanout.next.is_some());
        Some(stats)
    }

    /// Whether no more will come, be there something left to read or not.
    pub(super) fn is_closed(&self, inner: &Inner) -> bool {
        let fanout = self.lock();
        fanout.end.is_some() || fanout.inbox.is_closed(inner)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut fanout = self.lock();
        fanout.ring.leave(self.place);
        let waker = fanout.waiting.remove(&self.place);
        let is_last = fanout.ring.readers() == 0;
        drop(fanout);
        drop(waker);
        if is_last {
            // Nobody is left who could make another.
            let shared = &self.shared;
            self.ctx.shared.command(|inner, now| lock(shared).inbox.close(inner, now));
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", self.place, self.ctx)
    }
}

fn lock(shared: &Mutex<Fanout>) -> MutexGuard<'_, Fanout> {
    shared.lock().expect("readers are intact: nothing panics under their lock")
}
