//! What is known of a context, during its life and after it: a handle may outlive its block.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tractor_core::dialog::flow::Flow;
use tractor_core::dialog::table::{Phase, Side};
use tractor_core::{Cid, DialogId, Progress, Uid};

use crate::error::{Error, Result};
use crate::shared::Inner;

/// Where a context is, as one end of it knows.
///
/// ```text
///  Starting ─▶ AwaitingStarted ─▶ Started ─▶ Streaming ─▶ StreamEnded ─┐
///                                                                      ├─▶ how it ended
///            from any of these: Cancelling ────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContextState {
    /// The far actor was asked for the task, and has not said that it exists.
    Starting,
    /// The task exists, and has not called `started`.
    AwaitingStarted,
    /// It has; this end of the stream is not open.
    Started,
    /// This end of the stream is open, in one direction at least.
    Streaming,
    /// Both directions of the stream have ended.
    StreamEnded,
    /// The task was asked to end, and has not yet.
    Cancelling,
    /// The task has returned.
    Returned,
    /// It was cancelled from this end, which absorbs that.
    SelfCancelled,
    /// It was cancelled by the actor at the other end.
    PeerCancelled,
    /// It was cancelled by somebody else: a third actor, or this one when it ended the whole actor
    /// in which the task was.
    Cancelled,
    /// The task has failed.
    Failed,
    /// The actor at the other end, or the connection to it, was gone first.
    PeerLost,
}

impl ContextState {
    /// Whether this is how it ended.
    pub fn is_end(self) -> bool {
        matches!(
            self,
            ContextState::Returned
                | ContextState::SelfCancelled
                | ContextState::PeerCancelled
                | ContextState::Cancelled
                | ContextState::Failed
                | ContextState::PeerLost
        )
    }

    /// Of a dialog that has not ended.
    fn of_live(progress: &Progress) -> ContextState {
        let ends = [progress.sending, progress.receiving];
        match progress.phase {
            // Its task may still run: it does not matter any more.
            _ if progress.cancelling => ContextState::Cancelling,
            Phase::Done => ContextState::Cancelling,
            Phase::AwaitAck => ContextState::Starting,
            Phase::AwaitStarted => ContextState::AwaitingStarted,
            Phase::AwaitEnd if progress.sending == Flow::Unopened => ContextState::Started,
            Phase::AwaitEnd if ends == [Flow::Stopped; 2] => ContextState::StreamEnded,
            Phase::AwaitEnd => ContextState::Streaming,
        }
    }

    /// Of one that has, with this error.
    fn of_error(end: &End, us: &Uid, peer: &Uid) -> ContextState {
        match &end.outcome {
            Ok(_) => ContextState::Returned,
            Err(Error::ContextCancelled(_) | Error::Cancelled) => match &end.canceller {
                _ if end.absorbed => ContextState::SelfCancelled,
                // Of one's own task there is nobody else to absorb it.
                Some(by) if by == us && !end.told => ContextState::SelfCancelled,
                Some(by) if by == peer => ContextState::PeerCancelled,
                _ => ContextState::Cancelled,
            },
            Err(Error::PeerLost { .. } | Error::ActorFailed(_)) => ContextState::PeerLost,
            Err(_) => ContextState::Failed,
        }
    }
}

impl fmt::Display for ContextState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ContextState::Starting => "starting",
            ContextState::AwaitingStarted => "awaiting started",
            ContextState::Started => "started",
            ContextState::Streaming => "streaming",
            ContextState::StreamEnded => "stream ended",
            ContextState::Cancelling => "cancelling",
            ContextState::Returned => "returned",
            ContextState::SelfCancelled => "self-cancelled",
            ContextState::PeerCancelled => "peer-cancelled",
            ContextState::Cancelled => "cancelled",
            ContextState::Failed => "failed",
            ContextState::PeerLost => "peer lost",
        })
    }
}

/// How a context ended, as one end knows.
#[derive(Debug)]
struct End {
    outcome: Result<Bytes>,
    absorbed: bool,
    canceller: Option<Uid>,
    /// By the other end; else it is about our own task.
    told: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) peer: Uid,
    pub(crate) cid: Cid,
    pub(crate) side: Side,
    cancel_called: AtomicBool,
    end: OnceLock<End>,
    /// What this end's own code failed of.
    local_error: OnceLock<Error>,
}

impl Record {
    pub(crate) fn new(inner: &Inner, dialog: DialogId, side: Side, peer: &Uid) -> Record {
        let cid = inner.core.progress(dialog).map_or(Cid::Num(0), |progress| progress.cid);
        Record {
            peer: peer.clone(),
            cid: cid.detached(),
            side,
            cancel_called: AtomicBool::new(false),
            end: OnceLock::new(),
            local_error: OnceLock::new(),
        }
    }

    pub(crate) fn set_cancel_called(&self) {
        self.cancel_called.store(true, Ordering::Relaxed);
    }

    pub(super) fn cancel_called(&self) -> bool {
        self.cancel_called.load(Ordering::Relaxed)
    }

    /// The other end has told how it ended. The first news count.
    pub(crate) fn set_outcome(&self, outcome: Result<Bytes>, absorbed: bool) {
        let canceller = match &outcome {
            Err(Error::ContextCancelled(error)) => error.canceller().cloned(),
            _ => None,
        };
        let _ = self.end.set(End { outcome, absorbed, canceller, told: true });
    }

    /// This end's own code failed.
    pub(crate) fn set_local_error(&self, error: &Error) {
        let _ = self.local_error.set(error.clone());
    }

    fn set_task_end(&self, result: Result<()>, canceller: Option<Uid>) {
        if let Err(error) = &result {
            self.set_local_error(error);
        }
        let outcome = result.map(|()| Bytes::new());
        let _ = self.end.set(End { outcome, absorbed: false, canceller, told: false });
    }

    /// The outcome, of the far task where this is the opening end.
    pub(super) fn outcome(&self) -> Option<Result<Bytes>> {
        self.end.get().map(|end| end.outcome.clone())
    }

    pub(super) fn has_outcome(&self) -> bool {
        self.end.get().is_some()
    }

    pub(super) fn absorbed(&self) -> bool {
        self.end.get().is_some_and(|end| end.absorbed)
    }

    pub(super) fn remote_error(&self) -> Option<Error> {
        let end = self.end.get().filter(|end| end.told)?;
        end.outcome.as_ref().err().cloned()
    }

    pub(super) fn local_error(&self) -> Option<Error> {
        self.local_error.get().cloned()
    }

    pub(super) fn canceller(&self) -> Option<Uid> {
        self.end.get()?.canceller.clone()
    }

    /// Where the context is. `live` is what the core knows of it.
    pub(super) fn state(&self, us: &Uid, live: Option<&Progress>) -> ContextState {
        match (self.end.get(), live) {
            (Some(end), _) => ContextState::of_error(end, us, &self.peer),
            (None, Some(progress)) => ContextState::of_live(progress),
            // Nobody waited for it: it was cancelled and left to itself.
            (None, None) => ContextState::SelfCancelled,
        }
    }
}

/// A task of ours that serves a context has ended. Said before the core is told.
pub(crate) fn task_ended(inner: &Inner, dialog: DialogId, result: Result<()>) {
    let record = inner.mailboxes.get(&dialog).and_then(|mailbox| mailbox.record.as_ref());
    if let Some(record) = record {
        let by = inner.core.cancelled_by(dialog).cloned();
        let cancelled = matches!(result, Err(Error::Cancelled));
        let by = by.or_else(|| cancelled.then(|| inner.core.uid().clone()));
        record.set_task_end(result, by.filter(|_| cancelled));
    }
}

#[cfg(test)]
mod tests {
    use tractor_core::Text;
    use tractor_core::msg::RemoteError as Raw;

    use super::*;

    fn uid(name: &'static str) -> Uid {
        Uid { name: Text::from_static(name), uuid: Text::from_static("u") }
    }

    fn record() -> Record {
        Record {
            peer: uid("peer"),
            cid: Cid::Num(1),
            side: Side::Caller,
            cancel_called: AtomicBool::new(false),
            end: OnceLock::new(),
            local_error: OnceLock::new(),
        }
    }

    fn cancelled_by(name: &'static str) -> Error {
        Error::ContextCancelled(crate::RemoteError::new(Raw {
            src: uid("peer"),
            src_type: Text::from_static("ContextCancelled"),
            boxed_type: Text::from_static("ContextCancelled"),
            relay_path: vec![uid("peer")],
            message: None,
            traceback: Text::default(),
            canceller: Some(uid(name)),
            sender: None,
            bad_msg: None,
            bad_msg_as_dict: None,
            data: None,
        }))
    }

    #[test]
    fn live_states_follow_the_core() {
        let at = |phase, cancelling, sending, receiving| {
            let progress = Progress { cid: Cid::Num(1), phase, cancelling, sending, receiving };
            record().state(&uid("us"), Some(&progress))
        };
        use Flow::{Open, Stopped, Unopened};
        use Phase::{AwaitAck, AwaitEnd, AwaitStarted, Done};
        let table = [
            (at(AwaitAck, false, Unopened, Unopened), ContextState::Starting),
            (at(AwaitStarted, false, Unopened, Unopened), ContextState::AwaitingStarted),
            (at(AwaitEnd, false, Unopened, Unopened), ContextState::Started),
            // The other end has stopped before ours was opened.
            (at(AwaitEnd, false, Unopened, Stopped), ContextState::Started),
            (at(AwaitEnd, false, Open, Open), ContextState::Streaming),
            (at(AwaitEnd, false, Stopped, Open), ContextState::Streaming),
            (at(AwaitEnd, false, Open, Stopped), ContextState::Streaming),
            (at(AwaitEnd, false, Stopped, Stopped), ContextState::StreamEnded),
            (at(AwaitStarted, true, Unopened, Unopened), ContextState::Cancelling),
            (at(AwaitEnd, true, Open, Open), ContextState::Cancelling),
            (at(Done, false, Open, Open), ContextState::Cancelling),
        ];
        for (state, expected) in table {
            assert_eq!(state, expected);
            assert!(!state.is_end());
        }
    }

    #[test]
    fn ends_are_told_apart() {
        let told = |outcome: Result<Bytes>, absorbed| {
            let record = record();
            record.set_outcome(outcome, absorbed);
            let state = record.state(&uid("us"), None);
            assert!(state.is_end());
            state
        };
        let lost = Error::PeerLost { peer: uid("peer") };
        let table = [
            (told(Ok(Bytes::new()), false), ContextState::Returned),
            (told(Err(cancelled_by("us")), true), ContextState::SelfCancelled),
            // We ended the whole actor: not absorbed.
            (told(Err(cancelled_by("us")), false), ContextState::Cancelled),
            (told(Err(cancelled_by("peer")), false), ContextState::PeerCancelled),
            (told(Err(cancelled_by("third")), false), ContextState::Cancelled),
            (told(Err(Error::Overrun), false), ContextState::Failed),
            (told(Err(lost), false), ContextState::PeerLost),
        ];
        for (state, expected) in table {
            assert_eq!(state, expected);
        }
    }

    #[test]
    fn ends_of_ones_own_task_are_told_apart() {
        let ended = |result: Result<()>, by: Option<&'static str>| {
            let record = record();
            record.set_task_end(result, by.map(uid));
            assert!(record.remote_error().is_none(), "it is ours");
            record.state(&uid("us"), None)
        };
        let table = [
            (ended(Ok(()), None), ContextState::Returned),
            (ended(Err(Error::Cancelled), Some("us")), ContextState::SelfCancelled),
            (ended(Err(Error::Cancelled), Some("peer")), ContextState::PeerCancelled),
            (ended(Err(Error::Cancelled), Some("third")), ContextState::Cancelled),
            (ended(Err(Error::TooSlow), None), ContextState::Failed),
        ];
        for (state, expected) in table {
            assert_eq!(state, expected);
        }
    }

    #[test]
    fn the_first_news_count_and_the_other_end_s_go_first() {
        let record = record();
        record.set_local_error(&Error::TooSlow);
        record.set_outcome(Err(Error::Overrun), false);
        record.set_outcome(Ok(Bytes::new()), false);
        assert!(matches!(record.outcome(), Some(Err(Error::Overrun))));
        assert!(matches!(record.remote_error(), Some(Error::Overrun)));
        assert!(matches!(record.local_error(), Some(Error::TooSlow)));
    }
}
