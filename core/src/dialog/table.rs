//! The dialog's two transition tables, nothing else.
//!
//! One row a cell, in protocol order (`docs/protocol.md` §6), both sides in one table, so that a
//! test can check that what one side may send the other may receive.

use super::flow::Flow;
use crate::msg::FuncType;

/// Which end of the dialog: who asked, or who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Sent the `Start`.
    Caller,
    /// Received it.
    Callee,
}

/// What a side waits for, in protocol order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The task to be accepted: `StartAck`.
    AwaitAck,
    /// The context to be set up: `Started`.
    AwaitStarted,
    /// The end: `Return`, `Error`, or a generator's `Stop`. Items flow meanwhile.
    AwaitEnd,
    /// Nothing: the outcome is known.
    Done,
}

/// The messages of a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named like the messages")]
pub enum Kind {
    StartAck,
    Started,
    Yield,
    Stop,
    Credit,
    Return,
    Error,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Take it, and go there.
    Next(Phase),
    /// Drop it: it is harmless here.
    Ignore,
    /// It breaks a rule: the dialog ends with a violation.
    DialogViolation,
}

use Cell::{DialogViolation as No, Ignore as Skip, Next};
use FuncType::{Call, Context, Stream};
use Phase::{AwaitAck, AwaitEnd, AwaitStarted, Done};
use Side::{Callee, Caller};

/// What `side` of a dialog of this type does with a message. Whether items may flow is asked of
/// [`flow`](super::flow) besides.
pub const fn recv(side: Side, func: FuncType, phase: Phase, kind: Kind) -> Cell {
    match (side, phase, kind, func) {
        (_, Done, _, _) => Skip,

        (Caller, AwaitAck, Kind::StartAck, Context) => Next(AwaitStarted),
        (Caller, AwaitAck, Kind::StartAck, Call | Stream) => Next(AwaitEnd),
        // Credit is on the control lane: it may overtake `StartAck` and `Started`.
        (Caller, AwaitAck, Kind::Credit, Context) => Next(AwaitAck),
        (Caller, AwaitAck, Kind::Error, _) => Next(Done),
        (Caller, AwaitAck, _, _) => No,

        (Caller, AwaitStarted, Kind::Started, _) => Next(AwaitEnd),
        (Caller, AwaitStarted, Kind::Error, _) => Next(Done),
        (Caller, AwaitStarted, Kind::Credit, _) => Next(AwaitStarted),
        (Caller, AwaitStarted, _, _) => No,

        (Caller, AwaitEnd, Kind::Yield, Context | Stream) => Next(AwaitEnd),
        (Caller, AwaitEnd, Kind::Stop, Context) => Next(AwaitEnd),
        (Caller, AwaitEnd, Kind::Stop, Stream) => Next(Done),
        (Caller, AwaitEnd, Kind::Credit, Context) => Next(AwaitEnd),
        (Caller, AwaitEnd, Kind::Return, Call | Context) => Next(Done),
        (Caller, AwaitEnd, Kind::Error, _) => Next(Done),
        (Caller, AwaitEnd, _, _) => No,

        // Nothing can come before we answered, except a fault of the caller's own.
        (Callee, AwaitAck, Kind::Error, _) => Next(AwaitAck),
        (Callee, AwaitAck, _, _) => No,

        (Callee, AwaitStarted, Kind::Error, _) => Next(AwaitStarted),
        (Callee, AwaitStarted, _, _) => No,

        (Callee, AwaitEnd, Kind::Yield, Context) => Next(AwaitEnd),
        (Callee, AwaitEnd, Kind::Stop, Context) => Next(AwaitEnd),
        // A caller that has enough of a generator says so before it cancels it.
        (Callee, AwaitEnd, Kind::Stop, Stream) => Skip,
        (Callee, AwaitEnd, Kind::Credit, Context | Stream) => Next(AwaitEnd),
        (Callee, AwaitEnd, Kind::Error, _) => Next(AwaitEnd),
        (Callee, AwaitEnd, _, _) => No,
    }
}

/// [`recv`], and what the stream's receiving direction says to it: after the peer's `Stop` it sends
/// no item and no second `Stop` (W3).
pub const fn recv_with(side: Side, func: FuncType, phase: Phase, kind: Kind, rx: Flow) -> Cell {
    match (recv(side, func, phase, kind), kind, rx) {
        (Next(_), Kind::Yield | Kind::Stop, Flow::Stopped) => No,
        (cell, _, _) => cell,
    }
}

/// What the application may ask of its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Take the task: sends `StartAck`.
    Accept,
    /// Set the context up: sends `Started`.
    Start,
    /// Open this side of the stream: may send `Credit`.
    Open,
    /// Send an item: `Yield`.
    Send,
    /// Send no more items: `Stop`.
    Stop,
    /// The task's result: `Return`, or a generator's `Stop`.
    Finish,
    /// The task's failure, or a caller's complaint: `Error`.
    Fail,
}

/// Where `side` goes by an act of its application; `None` is a misuse.
pub const fn act(side: Side, func: FuncType, phase: Phase, act: Act) -> Option<Phase> {
    match (side, phase, act, func) {
        (Callee, AwaitAck, Act::Accept, Context) => Some(AwaitStarted),
        (Callee, AwaitAck, Act::Accept, Call | Stream) => Some(AwaitEnd),
        (Callee, AwaitAck, Act::Fail, _) => Some(Done),

        (Callee, AwaitStarted, Act::Start, _) => Some(AwaitEnd),
        (Callee, AwaitStarted, Act::Fail, _) => Some(Done),

        (Callee, AwaitEnd, Act::Open | Act::Send | Act::Stop, Context | Stream) => Some(AwaitEnd),
        (Callee, AwaitEnd, Act::Finish | Act::Fail, _) => Some(Done),

        (Caller, AwaitEnd, Act::Open | Act::Stop, Context | Stream) => Some(AwaitEnd),
        (Caller, AwaitEnd, Act::Send, Context) => Some(AwaitEnd),
        // A complaint about the callee's messages; its answer is still awaited.
        (Caller, AwaitStarted, Act::Fail, Context) => Some(AwaitStarted),
        (Caller, AwaitEnd, Act::Fail, Context) => Some(AwaitEnd),

        (_, _, _, _) => None,
    }
}

/// All values, for tests that walk the tables.
pub mod all {
    use super::*;

    /// Both sides.
    pub const SIDES: [Side; 2] = [Caller, Callee];
    /// All function types.
    pub const FUNCS: [FuncType; 3] = [Call, Stream, Context];
    /// All phases.
    pub const PHASES: [Phase; 4] = [AwaitAck, AwaitStarted, AwaitEnd, Done];
    /// All messages.
    pub const KINDS: [Kind; 7] = [
        Kind::StartAck,
        Kind::Started,
        Kind::Yield,
        Kind::Stop,
        Kind::Credit,
        Kind::Return,
        Kind::Error,
    ];
    /// All acts.
    pub const ACTS: [Act; 7] =
        [Act::Accept, Act::Start, Act::Open, Act::Send, Act::Stop, Act::Finish, Act::Fail];
}

impl Phase {
    /// The name, for reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            AwaitAck => "AwaitAck",
            AwaitStarted => "AwaitStarted",
            AwaitEnd => "AwaitEnd",
            Done => "Done",
        }
    }
}

impl Kind {
    /// The message's tag.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::StartAck => "StartAck",
            Kind::Started => "Started",
            Kind::Yield => "Yield",
            Kind::Stop => "Stop",
            Kind::Credit => "Credit",
            Kind::Return => "Return",
            Kind::Error => "Error",
        }
    }
}
