//! What the core wants done: one ordered queue, which the driver pops and which is the trace.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use crate::addr::Address;
use crate::error::Violation;
use crate::id::{ChildId, ConnId, DialogId, NurseryId, Text, Uid};
use crate::msg::{Aid, FuncType, RemoteError, SpawnSpec};
use crate::supervise::{ChildEnd, ChildPhase};

/// One thing the core decided.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Something a task waits for.
    Event(Event),
    /// Something the driver must do.
    Effect(Effect),
}

/// Something a task waits for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// To the task on one side of a dialog.
    Dialog(DialogId, DialogEvent),
    /// To the owner of a nursery.
    Nursery(NurseryId, NurseryEvent),
    /// The handshake is done.
    Opened {
        /// The connection.
        conn: ConnId,
        /// The peer.
        peer: Aid,
    },
    /// The connection is gone.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Why.
        why: CloseReason,
    },
    /// A child got its instructions: bind, register, then call `booted`.
    Spec(SpawnSpec),
    /// A peer answered our cancel of it as a whole, or did not in time.
    CancelAcked {
        /// The connection.
        conn: ConnId,
        /// Whether it ends.
        acked: bool,
    },
    /// This actor is to end: its tasks are being cancelled, its own body must be.
    Closing {
        /// Why.
        why: EndReason,
        /// The time that is left.
        budget: Duration,
    },
    /// This actor has ended: no task, child or connection is left.
    Ended {
        /// Whether the budget ran out first.
        forced: bool,
    },
    /// The registry changed: somebody local may be waiting for a name.
    RegistryChanged,
    /// A child needs longer to end than is usual: whoever waits for it waits so long.
    BudgetRaised {
        /// From the first cancel of it to its report.
        budget: Duration,
    },
    /// A probe of ours is over.
    Probed {
        /// Its connection.
        conn: ConnId,
        /// Who is there.
        found: Found,
    },
}

/// Who is at an address, as far as they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// A registrar.
    Registrar,
    /// An actor that is none.
    Other,
    /// Somebody who does not answer as an actor does.
    Silent,
    /// Nobody.
    Absent,
}

/// News for one side of a dialog.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum DialogEvent {
    /// The task exists over there.
    Accepted,
    /// The context is set up; its first value.
    Started(Bytes),
    /// Stream items, in order.
    Items(Batch),
    /// The oldest so many unread items are to be dropped (policy `DropOldest`). They count as read:
    /// don't report them to `consumed`.
    Dropped(u32),
    /// The peer sends no more items.
    Stopped,
    /// A send that was blocked may be tried again.
    Writable,
    /// The peer acknowledged our cancel of its task.
    CancelAcked,
    /// Sends fail from now on: the peer never opened its stream.
    SendOverrun,
    /// The outcome: the last event of the dialog. Boxed: it is large and rare.
    Done(Box<Outcome>),
}

/// How a dialog ended, on one side.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The far task returned this.
    Returned(Bytes),
    /// It failed; or the protocol did, with `violation` set.
    Errored {
        /// The error, ours when `violation` is set.
        error: RemoteError,
        /// The rule that was broken.
        violation: Option<Violation>,
    },
    /// It was cancelled.
    Cancelled {
        /// The report that came with it.
        error: RemoteError,
        /// Whether we asked for it: then it is absorbed, not raised.
        by_us: bool,
    },
    /// The connection went first.
    PeerLost {
        /// Who was there.
        peer: Uid,
        /// How that process ended, when it was our child.
        child: Option<Box<ChildEnd>>,
    },
}

/// News for the owner of a nursery.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NurseryEvent {
    /// The child can be used.
    Ready {
        /// The child.
        child: ChildId,
    },
    /// The child is gone for good: its process is reaped, or given up on.
    Ended {
        /// The child.
        child: ChildId,
        /// How.
        end: ChildEnd,
    },
    /// The one task of a child has ended badly; its outcome is told by its dialog.
    MainFailed {
        /// The child.
        child: ChildId,
        /// Its task.
        dialog: DialogId,
    },
    /// The nursery failed: its body must be cancelled. Comes once.
    CancelBody,
    /// No child is left and none will come. The last event of the nursery.
    Closed,
}

/// Why an actor ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// Its own program is done.
    Done,
    /// A peer asked.
    Cancelled {
        /// Who.
        by: Uid,
    },
    /// The parent is gone.
    ParentLost,
    /// A signal asked.
    Interrupted {
        /// Its number.
        signal: i32,
    },
}

/// Why a connection is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed it on a frame's boundary.
    ByPeer,
    /// We closed it.
    ByUs,
    /// The peer broke a rule.
    Violation(Violation),
    /// The transport failed.
    Transport(Text),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::ByPeer => f.write_str("closed by the peer"),
            CloseReason::ByUs => f.write_str("closed by us"),
            CloseReason::Violation(v) => write!(f, "violation: {v}"),
            CloseReason::Transport(t) => write!(f, "transport failed: {t}"),
        }
    }
}

/// Something the driver must do, in the order it comes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Connect there; then `Input::Connected` or `Input::Disconnected`.
    Connect {
        /// The connection it is for.
        conn: ConnId,
        /// Where to.
        addr: Address,
    },
    /// Write the outbox out, then shut the connection down. Nothing more comes for it.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// Drop the connection's transport at once: nothing more will be written.
    Abort {
        /// The connection.
        conn: ConnId,
    },
    /// Run this task. Then `accept` or `fail`, and in the end `finish`, `fail` or `cancelled`.
    StartTask {
        /// The callee's side of the dialog.
        dialog: DialogId,
        /// Where it came from.
        conn: ConnId,
        /// The endpoint's module.
        ns: Text,
        /// The endpoint.
        func: Text,
        /// Its arguments, raw.
        kwargs: Bytes,
    },
    /// Cancel that task. It still ends by `finish`, `fail` or `cancelled`.
    CancelTask {
        /// The callee's side of the dialog.
        dialog: DialogId,
    },
    /// Make the process of this child and the link to it; then `Input::Spawned` or `SpawnFailed`.
    Spawn {
        /// The child.
        child: ChildId,
        /// The connection of the link.
        conn: ConnId,
    },
    /// Send it a signal.
    Signal {
        /// The child.
        child: ChildId,
        /// Which.
        signal: Signal,
    },
}

/// The signals of the escalation ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// Stream items that arrived together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The chunks, oldest first.
    pub chunks: Vec<Chunk>,
}

/// One or more items in one piece of memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// How many items; 1 means that `plds` is the item.
    pub count: u32,
    /// The items, raw, one after another.
    pub plds: Bytes,
}

impl Chunk {
    /// What the items cost in credit.
    pub fn cost(&self) -> u64 {
        item_cost(self.count, self.plds.len())
    }
}

/// What `count` items of `len` bytes together cost in credit. Linear, so that both ends agree
/// however the items were packed.
pub(crate) fn item_cost(count: u32, len: usize) -> u64 {
    len as u64 + u64::from(count) * crate::config::ITEM_COST_MIN
}

/// The one queue. Only this type adds to it.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    queue: VecDeque<Output>,
}

impl Outputs {
    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.queue.push_back(Output::Event(event));
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.queue.push_back(Output::Effect(effect));
    }

    pub(crate) fn dialog(&mut self, id: DialogId, event: DialogEvent) {
        self.event(Event::Dialog(id, event));
    }

    pub(crate) fn nursery(&mut self, id: NurseryId, event: NurseryEvent) {
        self.event(Event::Nursery(id, event));
    }

    /// Items of one dialog that arrive in a row make one event.
    pub(crate) fn items(&mut self, id: DialogId, chunk: Chunk) {
        if let Some(Output::Event(Event::Dialog(last, DialogEvent::Items(batch)))) =
            self.queue.back_mut()
            && *last == id
        {
            batch.chunks.push(chunk);
            return;
        }
        self.dialog(id, DialogEvent::Items(Batch { chunks: alloc::vec![chunk] }));
    }
}

/// The phase names that reports use.
impl fmt::Display for ChildPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChildPhase::Spawning => "spawning",
            ChildPhase::Connecting => "connecting",
            ChildPhase::Booting => "booting",
            ChildPhase::Running => "running",
            ChildPhase::Cancelling => "cancelling",
            ChildPhase::Terminating => "terminating",
            ChildPhase::Killing => "killing",
            ChildPhase::Reaped => "reaped",
        })
    }
}

/// The kinds' names as they stand on the wire.
impl FuncType {
    /// `"asyncfunc"`, `"asyncgen"` or `"context"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            FuncType::Call => "asyncfunc",
            FuncType::Stream => "asyncgen",
            FuncType::Context => "context",
        }
    }
}
