//! Subscriptions: a stream that several tasks read, each all of it.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures_core::Stream;
use serde::de::DeserializeOwned;
use tractor_core::error::Misuse;

use super::fanout::Reader;
use super::receive;
use crate::error::{Error, Result};
use crate::payload;
use crate::scope;

/// How many items a stream with subscriptions holds for those that are behind.
pub(super) const CAPACITY: usize = 64;

/// What a reader that was overtaken is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnLag {
    /// [`Error::Lagged`], once, in the place of what it missed.
    #[default]
    Report,
    /// Nothing: it goes on with the oldest item that is held.
    /// [`stats`](Subscription::stats) counts what it missed.
    Skip,
}

/// One of several readers of a stream, each of which gets every item: made by
/// [`RecvHalf::subscribe`](super::RecvHalf::subscribe).
///
/// All of them, and the stream that they were made from, read at their own pace from the last
/// items that came (64, or what [`subscribe_with`](super::RecvHalf::subscribe_with) says). One that
/// is so far behind that its next item is gone gets [`Error::Lagged`] once, with how many it
/// missed, and goes on at the oldest that is held: that is no end. The fastest reader sets the
/// sender's pace.
///
/// Each decodes its own copy of an item, and can be dropped at any time.
pub struct Subscription<I> {
    /// `None` once it was closed.
    reader: Option<Reader>,
    types: PhantomData<fn() -> I>,
}

/// How a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// Items that other readers got and this one has not read, be they held or gone.
    pub behind: u64,
    /// Items that it missed so far, because they were gone when it read on.
    pub missed: u64,
    /// Items that are held.
    pub held: usize,
    /// How many can be.
    pub capacity: usize,
    /// The readers of the stream: its subscriptions, and the stream itself.
    pub readers: usize,
}

impl<I> Subscription<I> {
    pub(super) fn new(reader: Reader) -> Subscription<I> {
        Subscription { reader: Some(reader), types: PhantomData }
    }

    /// What this one is told when it was overtaken: [`OnLag::Report`] unless said otherwise.
    #[must_use]
    pub fn on_lag(mut self, on_lag: OnLag) -> Subscription<I> {
        if let Some(reader) = &mut self.reader {
            reader.on_lag = on_lag;
        }
        self
    }

    /// Another subscription to the same stream. It starts with the next item that no reader has
    /// got yet.
    ///
    /// # Errors
    /// [`Error::Misuse`] after [`close`](Self::close).
    pub fn subscribe(&self) -> Result<Subscription<I>> {
        let reader = self.reader.as_ref().ok_or(Misuse::StreamClosed)?;
        Ok(Subscription::new(reader.another()))
    }

    /// Reads no more, as dropping it does. When no reader of the stream is left, what still comes
    /// is dropped, and a generator is cancelled.
    pub fn close(&mut self) {
        self.reader = None;
    }

    /// Whether no more items come, be there some left to read or not: the stream has ended, or
    /// this subscription was closed.
    pub fn is_closed(&self) -> bool {
        let Some(reader) = &self.reader else { return true };
        reader.is_closed(&reader.ctx().shared.lock())
    }

    /// How it stands; `None` once it was closed.
    pub fn stats(&self) -> Option<SubscriptionStats> {
        self.reader.as_ref().map(Reader::stats)
    }
}

impl<I: DeserializeOwned> Subscription<I> {
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
    /// [`Error::Lagged`] when items are gone that it had not read (it goes on); what the far task
    /// failed of; [`Error::MsgType`] for an item of another type (it goes on);
    /// [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe: an item that was not returned is not lost.
    pub async fn next(&mut self) -> Result<Option<I>> {
        scope::check()?;
        let Some(reader) = &mut self.reader else { return Ok(None) };
        if let Some(item) = reader.ready() {
            return Ok(Some(payload::decode(&item?)?));
        }
        let ctx = reader.ctx().clone();
        let item = receive(&ctx, |cx| reader.poll(cx)).await?;
        item.map(|item| Ok(payload::decode(&item)?)).transpose()
    }
}

/// An error that is no end ([`Error::Lagged`], [`Error::MsgType`]) is an item among others.
impl<I: DeserializeOwned> Stream for Subscription<I> {
    type Item = Result<I>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<I>>> {
        let Some(reader) = &mut self.reader else { return Poll::Ready(None) };
        let item = std::task::ready!(reader.poll(cx)).transpose();
        Poll::Ready(item.map(|item| Ok(payload::decode(&item?)?)))
    }
}

impl<I> fmt::Debug for Subscription<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reader {
            Some(reader) => write!(f, "Subscription at {reader:?}"),
            None => f.write_str("Subscription, closed"),
        }
    }
}
