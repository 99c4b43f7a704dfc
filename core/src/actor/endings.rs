//! How dialogs end: a task's last message, an outcome, and who hears of it.

use alloc::boxed::Box;

use super::{Actor, NO_KWARGS, Timer};
use crate::cancel::{self, plain_error};
use crate::dialog::flow::{Flow, Reader};
use crate::dialog::table::{Act, Phase, Side};
use crate::dialog::{Audience, Cancel, Dialog};
use crate::error::Violation;
use crate::id::{ChildId, Cid, ConnId, DialogId, Text, Uid};
use crate::msg::{AckOutcome, Features, FuncType, Msg, RemoteError, fit};
use crate::outbox::Payload;
use crate::output::{DialogEvent, Effect, Outcome};

impl Actor {
    // The callee's side.

    /// A task's last message, its acknowledgement if one is due, and its removal (D3).
    pub(super) fn end_task<'a>(
        &mut self,
        id: DialogId,
        act: Act,
        end: impl FnOnce(&mut Dialog) -> TaskEnd<'a>,
    ) {
        let Some(dialog) = self.dialogs.get_mut(id).filter(|d| d.side == Side::Callee) else {
            return;
        };
        let (conn, cid) = (dialog.conn, dialog.cid.clone());
        if dialog.act(act).is_ok() {
            let end = end(dialog);
            self.push_end(id, conn, &cid, end);
        }
        self.remove_task(id, conn, &cid);
    }

    fn push_end(&mut self, id: DialogId, conn: ConnId, cid: &Cid, end: TaskEnd<'_>) {
        let is_base = !self.features(conn).has(Features::TYPED_ACK);
        let Some(dialog) = self.dialogs.get(id) else { return };
        let is_gen = dialog.func == FuncType::Stream;
        // The base sends no `Stop` to a caller that sent one, but does so before a cancellation.
        // The answer to a complaint is none: the task failed of what the caller said.
        let crossed = is_base && !is_gen && dialog.rx.flow == Flow::Stopped;
        let ends_stream = match &end {
            TaskEnd::Returned(_) => !crossed,
            TaskEnd::Cancelled(error) => is_base && !crossed && cancel::is_cancellation(error),
            TaskEnd::Failed(_) => false,
        };
        // A generator's `Stop` is its end, and so waits for it.
        if ends_stream && (is_gen || dialog.tx.flow == Flow::Open) {
            self.push_stop(id);
        }
        match end {
            TaskEnd::Returned(_) if is_gen => {}
            TaskEnd::Cancelled(error) if is_gen && is_base && cancel::is_cancellation(&error) => {}
            TaskEnd::Returned(pld) => {
                let msg = Msg::Return { cid: cid.clone(), pld: NO_KWARGS };
                self.push_payload(conn, &msg, pld);
            }
            TaskEnd::Failed(error) | TaskEnd::Cancelled(error) => {
                let error = self.fitted(error);
                self.push(conn, &Msg::Error { cid: Some(cid.clone()), error });
            }
        }
    }

    /// An error whose message fits into a frame: a report is cut rather than lost.
    pub(super) fn fitted(&self, mut error: RemoteError) -> RemoteError {
        fit::fit(&mut error, self.config.frame_len_max);
        error
    }

    fn remove_task(&mut self, id: DialogId, conn: ConnId, cid: &Cid) {
        let Some(dialog) = self.dialogs.remove(id) else { return };
        self.timers.clear(Timer::PeerOpen(id));
        if let Some(channel) = self.channels.get_mut(conn)
            && channel.dialogs.get(cid) == Some(&id)
        {
            channel.forget(cid);
        }
        if let Cancel::Told { ack: Some(ack), .. } = dialog.cancel {
            // The base acknowledges a cancel once the task has ended.
            self.push(conn, &Msg::CancelAck { cid: ack, outcome: AckOutcome::Cancelling });
        }
        self.tasks -= 1;
        self.check_end();
    }

    /// Somebody wants this task cancelled. One that was not begun yet ends here. Returns `ack` when
    /// an earlier request's is owed already.
    pub(super) fn tell_cancelled(
        &mut self,
        id: DialogId,
        by: Uid,
        ack: Option<Cid>,
    ) -> Option<Cid> {
        let dialog = self.dialogs.get_mut(id)?;
        if let Cancel::Told { ack: first, .. } = &mut dialog.cancel {
            if first.is_some() {
                return ack;
            }
            *first = ack;
            return None;
        }
        dialog.cancel = Cancel::Told { by, ack };
        if let Some(at) = self.queued.iter().position(|(queued, _)| *queued == id) {
            self.queued.remove(at);
            self.cancelled(self.now, id);
        } else {
            self.out.effect(Effect::CancelTask { dialog: id });
        }
        None
    }

    /// An event for whoever waits on the dialog, if anybody still does.
    pub(super) fn tell(&mut self, id: DialogId, event: DialogEvent) {
        let listens = |d: &Dialog| d.audience == Audience::Task && !d.outcome_told;
        if self.dialogs.get(id).is_some_and(listens) {
            self.out.dialog(id, event);
        }
    }

    /// The caller complains about what we sent: the task is cancelled, and answers with it.
    pub(super) fn on_complaint(&mut self, id: DialogId, error: RemoteError) {
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        dialog.complaint = Some(Box::new(error));
        let by = self.channels.get(dialog.conn).and_then(|c| c.peer_uid()).cloned();
        if let Some(by) = by {
            self.tell_cancelled(id, by, None);
        }
    }

    // Endings.

    /// An error from the callee ends the caller's dialog: as a failure, or as a cancellation.
    pub(super) fn end_by_error(&mut self, id: DialogId, error: RemoteError) {
        let Some(dialog) = self.dialogs.get(id) else { return };
        let peer = self.channels.get(dialog.conn).and_then(|c| c.peer_uid());
        let outcome = if cancel::is_cancellation(&error) {
            let asked = dialog.cancel_asked();
            let by_us = peer.is_some_and(|p| cancel::is_absorbed(&error, asked, &self.uid, p));
            Outcome::Cancelled { error, by_us }
        } else {
            Outcome::Errored { error, violation: None }
        };
        self.end_dialog(id, outcome);
    }

    /// Our receiving end is full: the sender is told, by the base's rule.
    pub(super) fn report_overrun(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get(id) else { return };
        let (conn, cid, side) = (dialog.conn, dialog.cid.clone(), dialog.side);
        let error = self.overrun_error(id);
        self.push(conn, &Msg::Error { cid: Some(cid), error: error.clone() });
        if side == Side::Callee {
            // For the caller that was the outcome; so it is for us.
            self.end_dialog(id, Outcome::Errored { error, violation: None });
        } else if let Some(dialog) = self.dialogs.get_mut(id) {
            // The callee fails of it, and that is our outcome. What still comes is not taken.
            dialog.rx.reader = Reader::Overrun;
        }
    }

    /// That too much came, and from whom.
    pub(super) fn overrun_error(&self, id: DialogId) -> RemoteError {
        let mut error = plain_error(&self.uid, "StreamOverrun", "the stream's receiver is full");
        let conn = self.dialogs.get(id).map(|dialog| dialog.conn);
        let channel = conn.and_then(|conn| self.channels.get(conn));
        error.sender = channel.and_then(|channel| channel.peer_uid()).cloned();
        error
    }

    /// The peer broke a rule of this dialog: it ends, with that, on both sides.
    pub(super) fn dialog_violation(&mut self, id: DialogId, violation: Violation) {
        let Some(dialog) = self.dialogs.get(id) else { return };
        let (conn, cid) = (dialog.conn, dialog.cid.clone());
        let error = plain_error(&self.uid, "Violation", &alloc::format!("{violation}"));
        self.push(conn, &Msg::Error { cid: Some(cid), error: error.clone() });
        self.end_dialog(id, Outcome::Errored { error, violation: Some(violation) });
    }

    /// The outcome (D2). A caller's dialog is gone with it; a callee's task is cancelled.
    pub(super) fn end_dialog(&mut self, id: DialogId, outcome: Outcome) {
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        let was_done = dialog.side == Side::Callee && dialog.outcome_told;
        if was_done {
            return;
        }
        dialog.phase = Phase::Done;
        dialog.outcome_told = true;
        let (conn, cid, side) = (dialog.conn, dialog.cid.clone(), dialog.side);
        let told = dialog.audience == Audience::Task;
        // Who never acknowledges must not make us remember for ever: a late one is free. (Not where
        // names are texts, of which only the last are known to have been.)
        let cancel_cid = dialog.cancel_cid.take().filter(|cid| matches!(cid, Cid::Num(_)));
        self.timers.clear(Timer::PeerOpen(id));
        self.timers.clear(Timer::TaskEnd(id));
        if let Some(channel) = self.channels.get_mut(conn) {
            channel.forget(&cid);
            channel.pace.forget(id);
            if let Some(cid) = cancel_cid {
                channel.forget(&cid);
            }
        }
        let failed = is_failure(&outcome);
        let cancelled = matches!(outcome, Outcome::Cancelled { .. });
        // A task that was not begun hears nothing: it never will be.
        let begun = self.queued.iter().all(|(queued, _)| *queued != id);
        if told && begun {
            self.out.dialog(id, DialogEvent::Done(Box::new(outcome)));
        }
        if side == Side::Caller {
            self.dialogs.remove(id);
            self.farewell_ended(id);
            self.main_ended(conn, id, failed, cancelled);
            self.part_further(conn);
            self.check_end();
        } else {
            self.abort_task(id, conn);
        }
    }

    fn abort_task(&mut self, id: DialogId, conn: ConnId) {
        let by = self.channels.get(conn).and_then(|c| c.peer_uid()).unwrap_or(&self.uid).clone();
        self.tell_cancelled(id, by, None);
    }

    /// The one task of a child: the child ends with it.
    fn main_ended(&mut self, conn: ConnId, id: DialogId, failed: Option<bool>, cancelled: bool) {
        let Some(child) = self.child_of(conn) else { return };
        let Some(asked) = self.children.get(child).filter(|c| c.main == Some(id)).map(|c| c.asked)
        else {
            return;
        };
        if let Some(failed) = failed {
            // Its cancellation is what we asked for when we asked the child to end: no failure.
            self.on_main_ended(child, id, failed && !(asked && cancelled));
        }
    }

    /// Which child a connection is the link to.
    pub(super) fn child_of(&self, conn: ConnId) -> Option<ChildId> {
        let child = self.channels.get(conn)?.child?;
        self.children.get(child).map(|_| child)
    }
}

/// How a task ended, with its message's content.
pub(super) enum TaskEnd<'a> {
    Returned(Payload<'a>),
    Failed(RemoteError),
    Cancelled(RemoteError),
}

/// Whether a child whose one task ended like this has failed. `None`: its own end will tell.
fn is_failure(outcome: &Outcome) -> Option<bool> {
    match outcome {
        Outcome::Returned(_) | Outcome::Cancelled { by_us: true, .. } => Some(false),
        Outcome::Errored { .. } | Outcome::Cancelled { .. } => Some(true),
        Outcome::PeerLost { .. } => None,
    }
}

/// An error from elsewhere that is sent on: the source is kept, the path grows.
pub fn relayed(mut error: RemoteError, us: &Uid) -> RemoteError {
    if !cancel::is_cancellation(&error) {
        error.boxed_type = Text::from_static("RemoteActorError");
    }
    error.relay_path.push(us.clone());
    error
}
