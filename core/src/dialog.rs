//! One side of one dialog: its phase, its stream's two directions, and its outcome.
//!
//! ```text
//!   caller                                             callee
//!   AwaitAck      ── Start ─────────────────────────▶  AwaitAck       (application looks it up)
//!                 ◀───────────────────── StartAck ──
//!   AwaitStarted  ◀────────────────────── Started ──   AwaitStarted   (contexts only)
//!   AwaitEnd      ◀─────── Yield, Stop, Credit ────▶   AwaitEnd
//!   Done          ◀──────────────── Return | Error ──  Done
//! ```
//!
//! # Invariants
//! D1  After `Done` nothing is delivered, and nothing is sent.                  (protocol §6.8)
//! D2  A side reports at most one outcome, and it is its last event.            (§6.8)
//! D3  A callee's dialog stays until its task has ended: then it is removed.    (§6.8)

use crate::config::Config;
use crate::error::{Misuse, Violation};
use crate::id::{Cid, ConnId, Uid};
use crate::msg::{Features, FuncType};

pub mod flow;
pub mod table;

use flow::{Flow, OverrunPolicy, Rx, Tx};
use table::{Act, Cell, Kind, Phase, Side};

/// Where a request to cancel this dialog's task is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cancel {
    /// Nobody asked.
    #[default]
    Idle,
    /// Caller: we asked, and wait for the acknowledgement.
    Asked,
    /// Caller: it is acknowledged.
    Acked,
    /// Caller: no acknowledgement came in time.
    TooSlow,
    /// Callee: the peer, or somebody here, asked.
    Told {
        /// Who.
        by: Uid,
        /// The request to acknowledge once the task has ended (base peers only).
        ack: Option<Cid>,
    },
}

/// Who waits for the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A task: it gets the events.
    Task,
    /// Nobody any more: the handle was dropped.
    Nobody,
}

#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) conn: ConnId,
    pub(crate) cid: Cid,
    pub(crate) side: Side,
    /// Callee: what the application said it is; `Call` until then.
    pub(crate) func: FuncType,
    pub(crate) phase: Phase,
    pub(crate) tx: Tx,
    pub(crate) rx: Rx,
    pub(crate) cancel: Cancel,
    /// Caller: the name of our request to cancel, until the outcome.
    pub(crate) cancel_cid: Option<Cid>,
    pub(crate) audience: Audience,
    /// Caller: where in the data lane its `Start` ends, to keep a cancel behind it.
    pub(crate) start_mark: u64,
    /// Callee: what the caller said of our messages, to be answered with.
    pub(crate) complaint: Option<alloc::boxed::Box<crate::msg::RemoteError>>,
    /// Callee: its task was told the outcome, and may still be running.
    pub(crate) outcome_told: bool,
}

impl Dialog {
    pub(crate) fn new(
        conn: ConnId,
        cid: Cid,
        side: Side,
        func: FuncType,
        features: Features,
        config: &Config,
    ) -> Dialog {
        Dialog {
            conn,
            cid,
            side,
            func,
            phase: Phase::AwaitAck,
            tx: Tx::new(features, config),
            rx: Rx::new(features),
            cancel: Cancel::Idle,
            cancel_cid: None,
            audience: Audience::Task,
            start_mark: 0,
            complaint: None,
            outcome_told: false,
        }
    }

    /// Looks a message's row up and takes the step. `Ok(false)` drops the message.
    pub(crate) fn on_msg(&mut self, kind: Kind) -> Result<bool, Violation> {
        #[cfg(feature = "coverage")]
        crate::coverage::dialog_recv(self.side, self.func, self.phase, kind);
        match table::recv_with(self.side, self.func, self.phase, kind, self.rx.flow) {
            Cell::Next(phase) => {
                self.phase = phase;
                self.check();
                Ok(true)
            }
            Cell::Ignore => Ok(false),
            Cell::DialogViolation => {
                Err(Violation::Unexpected { message: kind.as_str(), phase: self.phase.as_str() })
            }
        }
    }

    /// Looks an act's row up and takes the step.
    pub(crate) fn act(&mut self, act: Act) -> Result<(), Misuse> {
        match (act, self.tx.flow) {
            (Act::Open, Flow::Open | Flow::Stopped) if self.phase != Phase::Done => {
                return Err(Misuse::SecondStream);
            }
            (Act::Send | Act::Stop, Flow::Unopened | Flow::Stopped)
                if self.phase != Phase::Done =>
            {
                return Err(Misuse::StreamClosed);
            }
            _ => {}
        }
        #[cfg(feature = "coverage")]
        crate::coverage::dialog_act(self.side, self.func, self.phase, act);
        match table::act(self.side, self.func, self.phase, act) {
            Some(phase) => {
                self.phase = phase;
                self.check();
                Ok(())
            }
            None => Err(self.misuse(act)),
        }
    }

    fn misuse(&self, act: Act) -> Misuse {
        match (act, self.phase, self.side) {
            (_, Phase::Done, _) => Misuse::NoSuchDialog,
            (Act::Start, Phase::AwaitEnd, Side::Callee) if self.func == FuncType::Context => {
                Misuse::StartedTwice
            }
            (Act::Open, Phase::AwaitStarted | Phase::AwaitAck, _) => Misuse::StreamBeforeStarted,
            _ => Misuse::WrongSide,
        }
    }

    /// Opens this side of the stream. Returns the credit to give.
    pub(crate) fn open_stream(
        &mut self,
        policy: OverrunPolicy,
        config: &Config,
    ) -> Result<Option<(u32, u64)>, Misuse> {
        self.act(Act::Open)?;
        self.tx.flow = Flow::Open;
        Ok(self.rx.open(policy, config))
    }

    /// Whether we asked for the cancellation of the far task.
    pub(crate) fn cancel_asked(&self) -> bool {
        matches!(self.cancel, Cancel::Asked | Cancel::Acked | Cancel::TooSlow)
    }

    pub(crate) fn is_callee(&self) -> bool {
        self.side == Side::Callee
    }

    fn check(&self) {
        debug_assert!(
            self.func == FuncType::Context || self.phase != Phase::AwaitStarted,
            "only contexts are set up"
        );
    }
}
