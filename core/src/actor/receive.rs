//! Bytes to messages to whom they are for.

use bytes::Bytes;

use super::requests::NIL;
use super::{Actor, Timer};
use crate::channel::{Admitted, Asked, Phase, Role};
use crate::dialog::Audience;
use crate::dialog::flow::{Arrival, Flow, OverrunPolicy, Reader};
use crate::dialog::table::{Kind, Phase as DialogPhase, Side};
use crate::error::Violation;
use crate::id::{Cid, ConnId, DialogId};
use crate::msg::{AckOutcome, FuncType, Msg, RemoteError};
use crate::output::{Chunk, DialogEvent, Event, Outcome, item_cost};
use crate::supervise::table::Fact;

/// Where the reader lags, what is shorter than this is copied out of the buffer that it came in:
/// else it would keep all of that, while it is counted for itself alone.
const PINS_LEN_MIN: usize = 16 << 10;

impl Actor {
    pub(super) fn on_received(&mut self, conn: ConnId, len: usize) {
        let Some(channel) = self.channels.get_mut(conn) else { return };
        channel.deframer.received(len);
        loop {
            let Some(channel) = self.channels.get_mut(conn) else { return };
            if channel.is_ended() {
                return;
            }
            let body = match channel.deframer.next() {
                Ok(Some(body)) => body,
                Ok(None) => return,
                Err(e) => return self.violate(conn, Violation::Frame(e)),
            };
            if let Err(violation) = self.on_frame(conn, body) {
                return self.violate(conn, violation);
            }
        }
    }

    fn on_frame(&mut self, conn: ConnId, body: Bytes) -> Result<(), Violation> {
        let msg = Msg::decode(body).map_err(Violation::Decode)?;
        let Some(channel) = self.channels.get_mut(conn) else { return Ok(()) };
        match channel.admit(msg, &self.config)? {
            Admitted::Peer => {
                self.check_uid(conn)?;
                self.adopt(conn)?;
                self.on_peer(conn);
                Ok(())
            }
            Admitted::Inside(msg) => self.route(conn, msg),
            Admitted::Nothing => Ok(()),
        }
    }

    /// One uid is one process: who comes with the uid of another is not let in.
    fn check_uid(&self, conn: ConnId) -> Result<(), Violation> {
        let Some(channel) = self.channels.get(conn) else { return Ok(()) };
        let Some(aid) = channel.peer.as_ref().filter(|_| channel.role == Role::Accepted) else {
            return Ok(());
        };
        let us = aid.uid == *self.uid() && aid.pid != Some(self.config.pid);
        let mut others = self.peers().filter(|(other, _)| *other != conn);
        let another = others.any(|(_, other)| other.uid == aid.uid && other.pid != aid.pid);
        if us || another { Err(Violation::UidTaken) } else { Ok(()) }
    }

    fn on_peer(&mut self, conn: ConnId) {
        let Some(channel) = self.channels.get(conn) else { return };
        let (role, phase, peer) = (channel.role, channel.phase, channel.peer.clone());
        if role != Role::ToParent {
            self.timers.clear(Timer::Handshake(conn));
        }
        let Some(peer) = peer else { return };
        if self.probe_answered(conn, &peer) {
            return;
        }
        if peer.is_probe {
            return self.close_conn(conn, crate::output::CloseReason::ByUs);
        }
        if phase == Phase::Open || role == Role::ToParent {
            self.out.event(Event::Opened { conn, peer });
        }
        if let Some(child) = self.child_of(conn) {
            let features = self.features(conn);
            if let Some(child) = self.children.get_mut(child) {
                child.is_base = !features.has(crate::msg::Features::GOODBYE);
            }
            self.child_fact(child, Fact::HandshakeDone);
            if !features.has(crate::msg::Features::READY) {
                // A base child is usable the moment it introduced itself.
                self.child_fact(child, Fact::Ready);
            }
        }
    }

    fn route(&mut self, conn: ConnId, msg: Msg) -> Result<(), Violation> {
        match msg {
            Msg::SpawnSpec(spec) => {
                self.timers.clear(Timer::Handshake(conn));
                self.choose_parent(conn);
                self.out.event(Event::Spec(spec));
                Ok(())
            }
            Msg::Ready { addrs } => {
                self.on_ready(conn, addrs);
                Ok(())
            }
            Msg::Start(_) | Msg::Request { .. } => self.on_asked(conn, msg),
            Msg::CancelAck { cid, outcome } => self.on_cancel_ack(conn, &cid, outcome),
            Msg::Error { cid: None, error } => {
                self.on_channel_error(conn, error);
                Ok(())
            }
            msg => self.on_dialog_msg(conn, msg),
        }
    }

    fn on_asked(&mut self, conn: ConnId, msg: Msg) -> Result<(), Violation> {
        let before = self.outbox_len(conn);
        match msg {
            Msg::Start(start) => self.on_start(conn, start)?,
            Msg::Request { cid, request, .. } => self.on_request(conn, cid, request)?,
            _ => {}
        }
        let Some(channel) = self.channels.get_mut(conn) else { return Ok(()) };
        channel.count_answers(before, &self.config)
    }

    /// The peer's runtime failed as a whole: only a child's report means something to us.
    fn on_channel_error(&mut self, conn: ConnId, error: RemoteError) {
        if let Some(child) = self.child_of(conn).and_then(|id| self.children.get_mut(id)) {
            child.error = Some(alloc::boxed::Box::new(error));
        }
    }

    fn on_cancel_ack(
        &mut self,
        conn: ConnId,
        cid: &Cid,
        outcome: AckOutcome,
    ) -> Result<(), Violation> {
        let Some(channel) = self.channels.get_mut(conn) else { return Ok(()) };
        let Some(asked) = channel.asked.get(cid).copied() else {
            return match channel.dialogs.get(cid).copied() {
                Some(dialog) => {
                    self.foreign_ack(dialog);
                    Ok(())
                }
                None => channel.stray(cid, &self.config),
            };
        };
        match asked {
            // It is asked again by the same name.
            Asked::Pace => drop(channel.asked.remove(cid)),
            Asked::Task(_) | Asked::Actor => channel.forget(cid),
        }
        match asked {
            Asked::Task(dialog) => self.task_acked(dialog),
            Asked::Actor => self.actor_acked(conn, outcome),
            Asked::Pace => self.pace_answered(conn),
        }
        Ok(())
    }

    /// An acknowledgement answers a cancel request, and no dialog is one.
    fn foreign_ack(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get(id) else { return };
        let phase = dialog.phase.as_str();
        self.dialog_violation(id, Violation::Unexpected { message: "CancelAck", phase });
    }

    fn actor_acked(&mut self, conn: ConnId, outcome: AckOutcome) {
        self.timers.clear(Timer::ActorAck(conn));
        let acked = outcome != AckOutcome::Refused;
        self.out.event(Event::CancelAcked { conn, acked });
        if let Some(child) = self.child_of(conn).filter(|_| acked) {
            self.timers.clear(Timer::Ack(child));
        }
    }

    /// A message about a dialog: look it up, look its row up, do what the row says.
    fn on_dialog_msg(&mut self, conn: ConnId, msg: Msg) -> Result<(), Violation> {
        let (cid, kind) = match &msg {
            Msg::StartAck { cid, .. } => (cid, Kind::StartAck),
            Msg::Started { cid, .. } => (cid, Kind::Started),
            Msg::Yield { cid, .. } | Msg::Yields { cid, .. } => (cid, Kind::Yield),
            Msg::Stop { cid, .. } => (cid, Kind::Stop),
            Msg::Credit { cid, .. } => (cid, Kind::Credit),
            Msg::Return { cid, .. } => (cid, Kind::Return),
            Msg::Error { cid: Some(cid), .. } => (cid, Kind::Error),
            _ => return Ok(()),
        };
        let Some(channel) = self.channels.get_mut(conn) else { return Ok(()) };
        let Some(&id) = channel.dialogs.get(cid) else {
            return match (channel.asked.contains_key(cid), kind) {
                // The answers to a cancel request are its acknowledgement and, refused, an error.
                (true, Kind::StartAck) => Ok(()),
                (true, Kind::Error) => self.on_cancel_ack(conn, &cid.clone(), AckOutcome::Refused),
                _ => channel.stray(cid, &self.config),
            };
        };
        let Some(dialog) = self.dialogs.get_mut(id) else { return Ok(()) };
        match dialog.on_msg(kind) {
            Ok(true) => self.deliver(id, msg),
            Ok(false) => {}
            Err(violation) => self.dialog_violation(id, violation),
        }
        Ok(())
    }

    /// The row was taken: set fields, tell the task.
    fn deliver(&mut self, id: DialogId, msg: Msg) {
        match msg {
            Msg::StartAck { functype, .. } => self.on_start_ack(id, functype),
            Msg::Started { pld, .. } => self.tell(id, DialogEvent::Started(pld)),
            Msg::Yield { pld, .. } => self.on_items(id, Chunk { count: 1, plds: pld }),
            Msg::Yields { count, plds, .. } => self.on_items(id, Chunk { count, plds }),
            Msg::Stop { sent, .. } => self.on_stop(id, sent),
            Msg::Credit { items, bytes, .. } => self.on_credit(id, items, bytes),
            Msg::Return { pld, .. } => self.on_return(id, pld),
            Msg::Error { error, .. } => self.on_error(id, error),
            _ => {}
        }
    }

    fn on_start_ack(&mut self, id: DialogId, functype: FuncType) {
        let Some(dialog) = self.dialogs.get(id) else { return };
        if dialog.func != functype {
            let message = "StartAck of another kind of function";
            let phase = DialogPhase::AwaitAck.as_str();
            return self.dialog_violation(id, Violation::Unexpected { message, phase });
        }
        self.tell(id, DialogEvent::Accepted);
    }

    fn on_items(&mut self, id: DialogId, mut chunk: Chunk) {
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        let (count, len) = (chunk.count, chunk.plds.len());
        if count == 0 || dialog.audience == Audience::Nobody {
            return;
        }
        if dialog.rx.lags() && len < PINS_LEN_MIN {
            chunk.plds = Bytes::copy_from_slice(&chunk.plds);
        }
        let arrival = dialog.rx.arrive(count, len, &self.config);
        let credit = dialog.rx.arrived(count, len);
        match arrival {
            Arrival::Take => self.out.items(id, chunk),
            Arrival::TakeDropping(extra) => {
                self.out.items(id, chunk);
                self.out.dialog(id, DialogEvent::Dropped(extra));
            }
            Arrival::Overrun => return self.on_overrun(id),
            Arrival::Discard => {}
        }
        self.give_credit(id, credit);
    }

    /// The sender was too fast. With credit that is a violation; without it, the base's rule.
    fn on_overrun(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get(id) else { return };
        let credited = self.features(dialog.conn).has(crate::msg::Features::CREDIT);
        if credited && dialog.rx.policy == OverrunPolicy::Backpressure {
            return self.dialog_violation(id, Violation::Overrun);
        }
        self.report_overrun(id);
    }

    fn on_stop(&mut self, id: DialogId, sent: Option<u64>) {
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        dialog.rx.flow = Flow::Stopped;
        if sent.is_some_and(|sent| sent != dialog.rx.received) {
            let message = "Stop with another number of items than came";
            let phase = dialog.phase.as_str();
            return self.dialog_violation(id, Violation::Unexpected { message, phase });
        }
        let is_end = dialog.func == FuncType::Stream && dialog.side == Side::Caller;
        if dialog.rx.reader != Reader::Overrun {
            // Else items were lost: the outcome will say so.
            self.tell(id, DialogEvent::Stopped);
        }
        if is_end {
            self.on_return(id, NIL);
        }
    }

    /// The task has returned; but a stream of which items were lost has failed, whatever its sender
    /// knew of that (§6.7).
    fn on_return(&mut self, id: DialogId, pld: Bytes) {
        let Some(dialog) = self.dialogs.get(id) else { return };
        let outcome = match dialog.rx.reader {
            Reader::Overrun => Outcome::Errored { error: self.overrun_error(id), violation: None },
            Reader::Reads | Reader::Gone => Outcome::Returned(pld),
        };
        self.end_dialog(id, outcome);
    }

    fn on_credit(&mut self, id: DialogId, items: u32, bytes: u64) {
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        dialog.tx.grant(items, bytes);
        self.timers.clear(Timer::PeerOpen(id));
        self.wake_sender(id);
    }

    fn on_error(&mut self, id: DialogId, error: RemoteError) {
        let Some(dialog) = self.dialogs.get(id) else { return };
        match dialog.side {
            Side::Caller => self.end_by_error(id, error),
            Side::Callee => self.on_complaint(id, error),
        }
    }

    pub(super) fn give_credit(&mut self, id: DialogId, credit: Option<(u32, u64)>) {
        let Some((items, bytes)) = credit else { return };
        let Some(dialog) = self.dialogs.get(id) else { return };
        if dialog.phase == DialogPhase::Done {
            return; // D1: its task still reads, but nobody sends.
        }
        let msg = Msg::Credit { cid: dialog.cid.clone(), items, bytes };
        self.push_control(dialog.conn, &msg);
    }

    /// The application read so many items, of so many bytes together.
    pub fn consumed(&mut self, now: crate::time::Instant, id: DialogId, items: u32, len: usize) {
        self.advance(now);
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        let credit = dialog.rx.read(items, item_cost(items, len));
        self.give_credit(id, credit);
    }
}
