//! The two directions of a stream: who may send how much, and what happens to too much.
//!
//! # Invariants
//! W1  A receiver that gives credit never holds more than its window, plus one item.
//!                                                                          (protocol §6.7)
//! W2  What was charged for an item is given back for it, once, when it is read or dropped.
//! W3  After `Stopped` nothing is sent, or received, in that direction.

use crate::config::Config;
use crate::msg::Features;
use crate::output::item_cost;

/// What a receiver does when items come faster than they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverrunPolicy {
    /// The sender waits. (With a peer that has no credit: as `Error`.)
    #[default]
    Backpressure,
    /// The dialog fails with an overrun once the base's 64 items wait unread.
    Error,
    /// The oldest unread items are dropped, so that no more than this many wait.
    DropOldest(u32),
}

/// Where one direction of a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// Its own end has not been opened by the application.
    #[default]
    Unopened,
    /// Items may flow.
    Open,
    /// It ended, for good.
    Stopped,
}

/// What keeps a sender from being faster than its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brake {
    /// The receiver gives credit.
    Credit,
    /// It can't: after so many items its runtime is asked something, and answers behind them.
    Question { every: u32 },
    /// Nothing, but the lane.
    None,
}

/// The sending direction.
#[derive(Debug)]
pub(crate) struct Tx {
    pub(crate) flow: Flow,
    brake: Brake,
    /// That may be sent before more credit, or the next answer.
    items: u64,
    /// Below zero after an item that was larger than the window.
    bytes: i64,
    window: i64,
    /// Items sent, for `Stop`.
    pub(crate) sent: u64,
    /// Whether the application waits to be told that it may send.
    pub(crate) blocked: bool,
    /// Whether the peer ever opened its end.
    pub(crate) opened_by_peer: bool,
    /// Whether the peer never did, for too long.
    pub(crate) overrun: bool,
}

impl Tx {
    pub(crate) fn new(features: Features, config: &Config) -> Tx {
        let window = signed(EARLY_BYTES);
        let (brake, items) = match (features.has(Features::CREDIT), config.base_pace) {
            (true, _) => (Brake::Credit, EARLY_ITEMS),
            (false, 0) => (Brake::None, 0),
            (false, every) => (Brake::Question { every }, every),
        };
        Tx {
            flow: Flow::Unopened,
            brake,
            items: u64::from(items),
            bytes: window,
            window,
            sent: 0,
            blocked: false,
            opened_by_peer: false,
            overrun: false,
        }
    }

    /// Whether an item of `len` bytes may go now. One that is larger than the window may go when
    /// nothing is under way, which is when three quarters are here: a receiver may sit on the rest.
    pub(crate) fn may_send(&self, len: usize) -> bool {
        let cost = signed(item_cost(1, len));
        let idle = self.window - self.window / 4;
        match self.brake {
            Brake::Credit => self.items > 0 && (self.bytes >= cost || self.bytes >= idle),
            Brake::Question { .. } => self.items > 0,
            Brake::None => true,
        }
    }

    pub(crate) fn charge(&mut self, len: usize) {
        self.sent += 1;
        match self.brake {
            Brake::Credit => {
                self.items -= 1;
                self.bytes -= signed(item_cost(1, len));
            }
            Brake::Question { .. } => self.items -= 1,
            Brake::None => {}
        }
    }

    /// Whether the last item that was charged was the last before an answer.
    pub(crate) fn waits_for_answer(&self) -> bool {
        matches!(self.brake, Brake::Question { .. }) && self.items == 0
    }

    /// The question is answered.
    pub(crate) fn answered(&mut self) {
        if let Brake::Question { every } = self.brake {
            self.items = u64::from(every);
        }
    }

    /// Whether it waits for a receiver that has not opened its end, as far as that is told.
    pub(crate) fn waits_for_opening(&self) -> bool {
        self.brake == Brake::Credit && !self.opened_by_peer
    }

    /// What is left of the credit, in items and bytes; `None` where the peer gives none.
    pub(crate) fn credit(&self) -> Option<(u64, u64)> {
        (self.brake == Brake::Credit).then(|| (self.items, u64::try_from(self.bytes).unwrap_or(0)))
    }

    /// More credit came. The first is what the window grew by when its receiver opened it; all
    /// others give back what was charged.
    pub(crate) fn grant(&mut self, items: u32, bytes: u64) {
        if !self.opened_by_peer {
            self.window = self.window.saturating_add(signed(bytes));
        }
        self.opened_by_peer = true;
        self.items = self.items.saturating_add(u64::from(items));
        self.bytes = self.bytes.saturating_add(signed(bytes));
    }
}

/// The receiving direction.
#[derive(Debug)]
pub(crate) struct Rx {
    pub(crate) flow: Flow,
    pub(crate) policy: OverrunPolicy,
    credited: bool,
    /// Given to the application and not read yet.
    unread_items: u32,
    unread_bytes: u64,
    /// Read, or dropped, and not yet given back as credit.
    owed_items: u32,
    owed_bytes: u64,
    window_items: u32,
    window_bytes: u64,
    /// Items received, to be compared with `Stop`.
    pub(crate) received: u64,
    pub(crate) reader: Reader,
}

/// Who takes what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The application.
    Reads,
    /// Nobody: too much came, and its sender was told.
    Overrun,
    /// Nobody: the application has closed its end. What comes counts as read, so that the sender,
    /// who is not told, never waits for it.
    Gone,
}

/// What becomes of items that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Take,
    /// Take them, after the oldest so many unread ones are dropped.
    TakeDropping(u32),
    Overrun,
    Discard,
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Credit that a stream starts with, before its receiver opened it. Both ends must know it, so it
/// is the protocol's and not the configuration's.
const EARLY_ITEMS: u32 = 64;
const EARLY_BYTES: u64 = 64 << 10;

/// A reader that has more than this to read lags.
const LAG_ITEMS: u32 = 16;

impl Rx {
    pub(crate) fn new(features: Features) -> Rx {
        Rx {
            flow: Flow::Unopened,
            policy: OverrunPolicy::Backpressure,
            credited: features.has(Features::CREDIT),
            unread_items: 0,
            unread_bytes: 0,
            owed_items: 0,
            owed_bytes: 0,
            window_items: EARLY_ITEMS,
            window_bytes: EARLY_BYTES,
            received: 0,
            reader: Reader::Reads,
        }
    }

    /// The application opened its end. Returns the credit to give: what the window grew by.
    pub(crate) fn open(&mut self, policy: OverrunPolicy, config: &Config) -> Option<(u32, u64)> {
        self.policy = policy;
        if self.flow == Flow::Unopened {
            self.flow = Flow::Open;
        }
        if !self.credited {
            return None;
        }
        let grown = (
            config.window_items.saturating_sub(self.window_items),
            config.window_bytes.saturating_sub(self.window_bytes),
        );
        self.window_items += grown.0;
        self.window_bytes += grown.1;
        Some(grown)
    }

    /// What came before the application chose a policy that makes no sender wait. Returns how many
    /// of it to drop, and the credit to give back.
    pub(crate) fn catch_up(&mut self) -> (u32, Option<(u32, u64)>) {
        let dropped = match self.policy {
            OverrunPolicy::Backpressure => return (0, None),
            OverrunPolicy::Error => 0,
            OverrunPolicy::DropOldest(keep) => self.unread_items.saturating_sub(keep),
        };
        let credit = self.owe(self.unread_items, self.unread_bytes);
        self.unread_items -= dropped;
        (dropped, credit)
    }

    /// Items came.
    pub(crate) fn arrive(&mut self, count: u32, len: usize, config: &Config) -> Arrival {
        self.received += u64::from(count);
        if self.reader != Reader::Reads {
            return Arrival::Discard;
        }
        self.unread_items = self.unread_items.saturating_add(count);
        self.unread_bytes += item_cost(count, len);
        match self.policy {
            OverrunPolicy::Backpressure if self.credited => self.check_window(count, len),
            OverrunPolicy::Backpressure | OverrunPolicy::Error => {
                match self.unread_items > config.base_items {
                    true => Arrival::Overrun,
                    false => Arrival::Take,
                }
            }
            OverrunPolicy::DropOldest(keep) => match self.unread_items.saturating_sub(keep) {
                0 => Arrival::Take,
                extra => {
                    // Told once: the application need not report them as read.
                    self.unread_items -= extra;
                    Arrival::TakeDropping(extra)
                }
            },
        }
    }

    /// A peer with credit that sends more than it was given broke the rules (W1).
    fn check_window(&self, count: u32, len: usize) -> Arrival {
        let items = self.unread_items.saturating_add(self.owed_items);
        let bytes = self.unread_bytes + self.owed_bytes;
        let before = bytes - item_cost(count, len);
        let alone = count == 1 && before <= self.window_bytes / 4;
        match items <= self.window_items && (alone || bytes <= self.window_bytes) {
            true => Arrival::Take,
            false => Arrival::Overrun,
        }
    }

    /// The application read, or dropped, so much. Returns the credit to give back, once it is worth
    /// a message.
    pub(crate) fn read(&mut self, items: u32, bytes: u64) -> Option<(u32, u64)> {
        self.unread_items = self.unread_items.saturating_sub(items);
        self.unread_bytes = self.unread_bytes.saturating_sub(bytes);
        match self.policy {
            // Closing the end has reported it.
            _ if self.reader == Reader::Gone => None,
            OverrunPolicy::Backpressure => self.owe(items, bytes),
            // Their sender never waits: `arrived` gave the credit back.
            OverrunPolicy::Error | OverrunPolicy::DropOldest(_) => None,
        }
    }

    /// What came counts as read at once where nobody reads, or the policy makes no sender wait.
    pub(crate) fn arrived(&mut self, count: u32, len: usize) -> Option<(u32, u64)> {
        match (self.reader, self.policy) {
            (Reader::Reads, OverrunPolicy::Backpressure) => None,
            (Reader::Reads | Reader::Overrun | Reader::Gone, _) => {
                self.owe(count, item_cost(count, len))
            }
        }
    }

    /// The application closed its end: what it had not read counts as read. Returns the credit to
    /// give back.
    pub(crate) fn close(&mut self) -> Option<(u32, u64)> {
        self.reader = Reader::Gone;
        let (items, bytes) = (self.unread_items, self.unread_bytes);
        (self.unread_items, self.unread_bytes) = (0, 0);
        match self.policy {
            OverrunPolicy::Backpressure => self.owe(items, bytes),
            // It was given back on arrival.
            OverrunPolicy::Error | OverrunPolicy::DropOldest(_) => None,
        }
    }

    /// Whether the application is behind with reading.
    pub(crate) fn lags(&self) -> bool {
        self.unread_items > LAG_ITEMS
    }

    /// Items that the application was given, and has not reported as read.
    pub(crate) fn unread(&self) -> u32 {
        self.unread_items
    }

    fn owe(&mut self, items: u32, bytes: u64) -> Option<(u32, u64)> {
        if !self.credited || self.flow != Flow::Open {
            return None;
        }
        self.owed_items = self.owed_items.saturating_add(items);
        self.owed_bytes += bytes;
        let worth =
            self.owed_items >= self.window_items / 4 || self.owed_bytes >= self.window_bytes / 4;
        worth.then(|| {
            let owed = (self.owed_items, self.owed_bytes);
            (self.owed_items, self.owed_bytes) = (0, 0);
            owed
        })
    }
}
