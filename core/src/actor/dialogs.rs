//! What the application asks of its dialogs.

use super::endings::{TaskEnd, relayed};
use super::{Actor, Life, NO_KWARGS, Timer};
use crate::cancel::{self, plain_error};
use crate::channel::Asked;
use crate::dialog::flow::{Flow, OverrunPolicy};
use crate::dialog::table::{Act, Phase, Side};
use crate::dialog::{Audience, Cancel, Dialog};
use crate::error::{Misuse, SendError, Violation};
use crate::id::{Cid, ConnId, DialogId, Uid};
use crate::msg::{Features, FuncType, Msg, RemoteError, Request, Start};
use crate::outbox::Payload;
use crate::output::{DialogEvent, Effect, Event, Outcome};
use crate::time::Instant;

/// A function to be called at a peer.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// What kind of function it is.
    pub func_type: FuncType,
    /// Its module.
    pub ns: &'a str,
    /// Its name.
    pub func: &'a str,
    /// Its arguments: a MessagePack map of name to value.
    pub kwargs: &'a [u8],
}

/// How far a stream has come, on one side of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStats {
    /// Items sent.
    pub sent: u64,
    /// Items received, also those that the overrun policy dropped.
    pub received: u64,
    /// Of these, the ones that the application has not reported as read.
    pub unread: u32,
    /// Whether the peer has opened its end. A base peer does not tell.
    pub peer_opened: bool,
    /// What may be sent now: items, and bytes, where an item costs 64 more than its length. `None`
    /// with a base peer, which gives no credit.
    pub credit: Option<(u64, u64)>,
}

/// Where a live dialog is, for people and their handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its name on the wire.
    pub cid: Cid,
    /// What it waits for.
    pub phase: Phase,
    /// Whether its task is to end: we asked the peer for that, or somebody asked us.
    pub cancelling: bool,
    /// Our end of its stream, as to what we send.
    pub sending: Flow,
    /// The same, as to what we receive.
    pub receiving: Flow,
}

impl Actor {
    // The caller's side.

    /// Starts a task at the peer.
    ///
    /// # Errors
    /// [`Misuse::NotOpen`], [`Misuse::Closing`], [`Misuse::TooMany`] or [`Misuse::TooLarge`];
    /// nothing has changed.
    pub fn start(
        &mut self,
        now: Instant,
        conn: ConnId,
        call: &Call<'_>,
    ) -> Result<DialogId, Misuse> {
        self.advance(now);
        self.check_len(&Payload::Borrowed(call.kwargs))?;
        let (id, cid) = self.open_dialog(conn, call.func_type)?;
        let start = Start {
            cid,
            ns: call.ns.into(),
            func: call.func.into(),
            kwargs: bytes::Bytes::copy_from_slice(call.kwargs),
            uid: self.uid.clone(),
        };
        self.push(conn, &Msg::Start(start));
        self.mark_started(conn, id);
        Ok(id)
    }

    /// Asks the peer's runtime itself, such as a registrar. Answered like a call.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn request(
        &mut self,
        now: Instant,
        conn: ConnId,
        request: Request,
    ) -> Result<DialogId, Misuse> {
        self.advance(now);
        let (id, cid) = self.open_dialog(conn, FuncType::Call)?;
        let leased = self.features(conn).has(Features::READY);
        if matches!(request, Request::Register { .. }) && !leased {
            self.registered.insert(conn);
        }
        self.push(conn, &Msg::Request { cid, uid: self.uid.clone(), request });
        self.mark_started(conn, id);
        Ok(id)
    }

    pub(super) fn open_dialog(
        &mut self,
        conn: ConnId,
        func: FuncType,
    ) -> Result<(DialogId, Cid), Misuse> {
        self.check_serving()?;
        let channel = self.channels.get_mut(conn).ok_or(Misuse::NotOpen)?;
        if !channel.is_open() {
            return Err(Misuse::NotOpen);
        }
        if channel.dialogs.len() >= self.config.dialogs_max {
            return Err(Misuse::TooMany);
        }
        let rng = &mut self.rng;
        let cid = channel.new_cid(|| rng.uuid());
        let features = channel.features;
        let dialog = Dialog::new(conn, cid.clone(), Side::Caller, func, features, &self.config);
        let id = self.dialogs.insert_with(|_| dialog);
        channel.dialogs.insert(cid.clone(), id);
        Ok((id, cid))
    }

    fn mark_started(&mut self, conn: ConnId, id: DialogId) {
        let mark = self.channels.get(conn).map_or(0, |c| c.outbox.data_mark());
        if let Some(dialog) = self.dialogs.get_mut(id) {
            dialog.start_mark = mark;
        }
    }

    /// Asks the peer to cancel the dialog's task. Idempotent; never fails to be sent.
    ///
    /// # Errors
    /// [`Misuse::NoSuchDialog`] when it has ended, [`Misuse::WrongSide`] for a callee.
    pub fn cancel(&mut self, now: Instant, id: DialogId) -> Result<(), Misuse> {
        self.advance(now);
        let dialog = self.dialogs.get(id).ok_or(Misuse::NoSuchDialog)?;
        if dialog.side == Side::Callee {
            return Err(Misuse::WrongSide);
        }
        if dialog.cancel == Cancel::Idle {
            self.ask_cancel(id);
        }
        Ok(())
    }

    pub(super) fn ask_cancel(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get(id) else { return };
        if dialog.func == FuncType::Stream && dialog.tx.flow == Flow::Open {
            // Who has enough of a generator says so first.
            if let Some((conn, stop)) = self.stopping(id) {
                self.push_control(conn, &stop);
            }
        }
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        dialog.cancel = Cancel::Asked;
        let (conn, target, mark) = (dialog.conn, dialog.cid.clone(), dialog.start_mark);
        let Some(channel) = self.channels.get_mut(conn) else { return };
        let rng = &mut self.rng;
        let cid = channel.new_cid(|| rng.uuid());
        channel.asked.insert(cid.clone(), Asked::Task(id));
        dialog.cancel_cid = Some(cid.clone());
        let overtakes = channel.outbox.is_past(mark);
        let request = Request::CancelTask { target };
        let msg = Msg::Request { cid, uid: self.uid.clone(), request };
        let end = self.now + self.task_budget(conn);
        self.timers.set(Timer::TaskEnd(id), end);
        // A cancel passes all data, except the `Start` it is about.
        if overtakes { self.push_control(conn, &msg) } else { self.push(conn, &msg) }
    }

    /// What a cancelled task gets to end there: a child may have been given more than is usual.
    fn task_budget(&self, conn: ConnId) -> core::time::Duration {
        let child = self.child_of(conn).and_then(|id| self.children.get(id));
        let own = child.map_or(core::time::Duration::ZERO, |child| child.budget);
        self.config.teardown_budget.max(own)
    }

    /// The handle of a dialog was dropped: its task is cancelled, and nobody hears of it any more.
    pub fn abandon(&mut self, now: Instant, id: DialogId) {
        self.advance(now);
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        if dialog.side == Side::Callee {
            return;
        }
        dialog.audience = Audience::Nobody;
        self.timers.clear(Timer::PeerOpen(id));
        if dialog.cancel == Cancel::Idle {
            self.ask_cancel(id);
        }
    }

    pub(super) fn task_acked(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        dialog.cancel = Cancel::Acked;
        let conn = dialog.conn;
        self.tell(id, DialogEvent::CancelAcked);
        if self.features(conn).has(Features::TYPED_ACK) {
            return;
        }
        // The base acknowledges once the task has ended, and says nothing else of a plain call.
        if let Some(peer) = self.channels.get(conn).and_then(|c| c.peer_uid()) {
            let error = cancel::report(peer, &self.uid);
            self.end_dialog(id, Outcome::Cancelled { error, by_us: true });
        }
    }

    /// The far task did not end within the budget: it is given up on.
    pub(super) fn on_task_end_timeout(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        dialog.cancel = Cancel::TooSlow;
        let text = "the remote task did not end within the teardown budget";
        let error = plain_error(&self.uid, "ActorTooSlowError", text);
        self.end_dialog(id, Outcome::Errored { error, violation: None });
    }

    // Both sides: the stream.

    /// Opens this side of the context's stream; its receiver chooses what happens to too much.
    ///
    /// # Errors
    /// [`Misuse::StreamBeforeStarted`], [`Misuse::SecondStream`], [`Misuse::NoSuchDialog`];
    /// [`Misuse::AfterCancel`] when we have asked for the far task's cancellation.
    pub fn open_stream(
        &mut self,
        now: Instant,
        id: DialogId,
        policy: OverrunPolicy,
    ) -> Result<(), Misuse> {
        self.advance(now);
        let dialog = self.dialogs.get_mut(id).ok_or(Misuse::NoSuchDialog)?;
        if dialog.cancel_asked() {
            return Err(Misuse::AfterCancel);
        }
        let credit = dialog.open_stream(policy, &self.config)?;
        let (dropped, back) = dialog.rx.catch_up();
        self.give_credit(id, credit);
        self.give_credit(id, back);
        if dropped > 0 {
            self.tell(id, DialogEvent::Dropped(dropped));
        }
        Ok(())
    }

    /// Sends a stream item.
    ///
    /// # Errors
    /// [`SendError::Blocked`] until [`DialogEvent::Writable`]; [`SendError::Overrun`] when the peer
    /// never opened its stream; [`SendError::Misuse`]. Nothing has changed.
    pub fn send(&mut self, now: Instant, id: DialogId, item: Payload<'_>) -> Result<(), SendError> {
        self.advance(now);
        self.check_len(&item)?;
        let dialog = self.dialogs.get_mut(id).ok_or(Misuse::NoSuchDialog)?;
        if dialog.tx.overrun {
            return Err(SendError::Overrun);
        }
        dialog.act(Act::Send)?;
        let len = item.as_slice().len();
        let channel = self.channels.get_mut(dialog.conn).ok_or(Misuse::NotOpen)?;
        if !dialog.tx.may_send(len) {
            dialog.tx.blocked = true;
            if dialog.tx.waits_for_opening() && !self.timers.is_set(Timer::PeerOpen(id)) {
                self.timers.set(Timer::PeerOpen(id), self.now + self.config.peer_open_timeout);
            }
            return Err(SendError::Blocked);
        }
        if !channel.has_room(&self.config) {
            if !channel.waiting.contains(&id) {
                channel.waiting.push(id);
            }
            dialog.tx.blocked = true;
            return Err(SendError::Blocked);
        }
        dialog.tx.charge(len);
        let (conn, is_to_wait) = (dialog.conn, dialog.tx.waits_for_answer());
        channel.push_item(&dialog.cid, item);
        let is_to_ask = is_to_wait && channel.pace.waits(id);
        self.after_push(conn);
        if is_to_ask {
            self.ask_pace(conn);
        }
        Ok(())
    }

    /// Asks a peer without credit for the cancellation of nothing: it answers when it has handed
    /// our items so far to their readers, who are then less far behind. All that there is: nothing
    /// in the base tells what was read.
    fn ask_pace(&mut self, conn: ConnId) {
        let Some(channel) = self.channels.get_mut(conn) else { return };
        let rng = &mut self.rng;
        let (cid, target) = channel.pace_names(|| rng.uuid());
        channel.asked.insert(cid.clone(), Asked::Pace);
        let request = Request::CancelTask { target };
        self.push(conn, &Msg::Request { cid, uid: self.uid.clone(), request });
    }

    pub(super) fn pace_answered(&mut self, conn: ConnId) {
        let Some(channel) = self.channels.get_mut(conn) else { return };
        let (senders, ask_again) = channel.pace.answered();
        if ask_again {
            self.ask_pace(conn);
        }
        for id in senders {
            if let Some(dialog) = self.dialogs.get_mut(id) {
                dialog.tx.answered();
                self.wake_sender(id);
            }
        }
    }

    pub(super) fn wake_sender(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        if core::mem::take(&mut dialog.tx.blocked) {
            self.tell(id, DialogEvent::Writable);
        }
    }

    pub(super) fn on_peer_open_timeout(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        dialog.tx.flow = Flow::Stopped;
        dialog.tx.overrun = true;
        self.tell(id, DialogEvent::SendOverrun);
    }

    /// Sends no more items. The peer is told at once; of a generator, when its task ends: how that
    /// ends is how the stream does.
    ///
    /// # Errors
    /// [`Misuse::StreamClosed`] when the stream was not open, or stopped before.
    pub fn stop(&mut self, now: Instant, id: DialogId) -> Result<(), Misuse> {
        self.advance(now);
        let dialog = self.dialogs.get_mut(id).ok_or(Misuse::NoSuchDialog)?;
        dialog.act(Act::Stop)?;
        let (conn, theirs) = (dialog.conn, dialog.rx.flow);
        let is_generator = dialog.func == FuncType::Stream && dialog.is_callee();
        let is_base = !self.features(conn).has(Features::STOP_SEQ);
        // In the base only the first of the two says it.
        if is_generator || (theirs == Flow::Stopped && is_base) {
            if let Some(dialog) = self.dialogs.get_mut(id) {
                dialog.tx.flow = Flow::Stopped;
            }
        } else {
            self.push_stop(id);
        }
        Ok(())
    }

    pub(super) fn push_stop(&mut self, id: DialogId) {
        if let Some((conn, stop)) = self.stopping(id) {
            self.push(conn, &stop);
        }
    }

    /// This side sends no more: its `Stop`, and to whom.
    fn stopping(&mut self, id: DialogId) -> Option<(ConnId, Msg)> {
        let dialog = self.dialogs.get_mut(id)?;
        dialog.tx.flow = Flow::Stopped;
        let (conn, cid, sent) = (dialog.conn, dialog.cid.clone(), dialog.tx.sent);
        let sent = self.features(conn).has(Features::STOP_SEQ).then_some(sent);
        Some((conn, Msg::Stop { cid, sent }))
    }

    /// Receives no more items: what is unread, and what still comes, is dropped and counts as read.
    /// The peer is not told, and never waits for us. Idempotent; nothing after the outcome.
    pub fn close_receiver(&mut self, now: Instant, id: DialogId) {
        self.advance(now);
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        let credit = dialog.rx.close();
        self.give_credit(id, credit);
    }

    /// How far a live dialog's stream has come.
    pub fn stream_stats(&self, id: DialogId) -> Option<StreamStats> {
        let dialog = self.dialogs.get(id)?;
        Some(StreamStats {
            sent: dialog.tx.sent,
            received: dialog.rx.received,
            unread: dialog.rx.unread(),
            peer_opened: dialog.tx.opened_by_peer,
            credit: dialog.tx.credit(),
        })
    }

    // The callee's side.

    pub(super) fn check_cid(&mut self, conn: ConnId, cid: &Cid) -> Result<(), Violation> {
        let Some(channel) = self.channels.get(conn) else { return Ok(()) };
        if channel.is_ours(cid) {
            return Err(Violation::DuplicateCid);
        }
        let waits = self.registry.as_ref().is_some_and(|r| r.has_waiter(conn, cid));
        let live = waits
            || self.has_doubt(conn, cid)
            || channel.dialogs.contains_key(cid)
            || channel.asked.contains_key(cid);
        if live { Err(Violation::DuplicateCid) } else { Ok(()) }
    }

    pub(super) fn on_start(&mut self, conn: ConnId, start: Start) -> Result<(), Violation> {
        self.check_cid(conn, &start.cid)?;
        let Some(channel) = self.channels.get(conn) else { return Ok(()) };
        let refusal = if matches!(self.life, Life::Closing | Life::Ended) {
            Some(("ActorCancelled", "this actor is ending"))
        } else if channel.dialogs.len() >= self.config.dialogs_max {
            Some(("RuntimeError", "too many dialogs on this connection"))
        } else if channel.outbox.len() > self.config.backlog_bytes_max {
            Some(("RuntimeError", "too many answers on this connection were not read"))
        } else if self.queued.len() >= self.config.queued_starts_max
            || self.queued_bytes() + start.kwargs.len() > self.config.backlog_bytes_max
        {
            Some(("RuntimeError", "too many calls before this actor is ready"))
        } else {
            None
        };
        if let Some((kind, text)) = refusal {
            self.refuse(conn, start.cid, kind, text);
            return Ok(());
        }
        let id = self.open_task(conn, &start.cid);
        match self.life {
            Life::Booting => self.queued.push_back((id, start)),
            _ => self.run_task(id, start),
        }
        Ok(())
    }

    /// The arguments of the calls that wait until we are ready.
    fn queued_bytes(&self) -> usize {
        self.queued.iter().map(|(_, start)| start.kwargs.len()).sum()
    }

    fn open_task(&mut self, conn: ConnId, cid: &Cid) -> DialogId {
        let features = self.features(conn);
        // Kept for as long as the task runs, and so without the frame it came in.
        let cid = &cid.detached();
        let (side, func) = (Side::Callee, FuncType::Call);
        let dialog = Dialog::new(conn, cid.clone(), side, func, features, &self.config);
        let id = self.dialogs.insert_with(|_| dialog);
        if let Some(channel) = self.channels.get_mut(conn) {
            channel.began(cid);
            channel.dialogs.insert(cid.clone(), id);
        }
        self.tasks += 1;
        id
    }

    pub(super) fn run_task(&mut self, id: DialogId, start: Start) {
        if !self.enabled.contains(start.ns.as_str()) {
            let text = alloc::format!("the module `{}` is not enabled here", start.ns);
            let error = plain_error(&self.uid, "ModuleNotExposed", &text);
            return self.end_task(id, Act::Fail, |_| TaskEnd::Failed(error));
        }
        let Some(dialog) = self.dialogs.get(id) else { return };
        let (conn, ns, func, kwargs) = (dialog.conn, start.ns, start.func, start.kwargs);
        self.out.effect(Effect::StartTask { dialog: id, conn, ns, func, kwargs });
    }

    /// Takes the task: it exists, and is of this kind.
    ///
    /// # Errors
    /// [`Misuse::NoSuchDialog`] when the peer is gone: then don't run it, but call
    /// [`cancelled`](Self::cancelled).
    pub fn accept(&mut self, now: Instant, id: DialogId, func: FuncType) -> Result<(), Misuse> {
        self.advance(now);
        let dialog = self.dialogs.get_mut(id).ok_or(Misuse::NoSuchDialog)?;
        let before = core::mem::replace(&mut dialog.func, func);
        if let Err(misuse) = dialog.act(Act::Accept) {
            dialog.func = before;
            return Err(misuse);
        }
        if func == FuncType::Stream {
            dialog.tx.flow = Flow::Open;
        }
        let msg = Msg::StartAck { cid: dialog.cid.clone(), functype: func };
        let conn = dialog.conn;
        self.push(conn, &msg);
        Ok(())
    }

    /// Sets the context up, with its first value.
    ///
    /// # Errors
    /// [`Misuse::StartedTwice`], [`Misuse::WrongSide`], [`Misuse::NoSuchDialog`],
    /// [`Misuse::TooLarge`].
    pub fn started(&mut self, now: Instant, id: DialogId, pld: Payload<'_>) -> Result<(), Misuse> {
        self.advance(now);
        self.check_len(&pld)?;
        let dialog = self.dialogs.get_mut(id).ok_or(Misuse::NoSuchDialog)?;
        dialog.act(Act::Start)?;
        let msg = Msg::Started { cid: dialog.cid.clone(), pld: NO_KWARGS };
        let conn = dialog.conn;
        self.push_payload(conn, &msg, pld);
        Ok(())
    }

    /// The task returned.
    ///
    /// # Errors
    /// [`Misuse::TooLarge`] (then call [`fail`](Self::fail)), [`Misuse::WrongSide`] when it never
    /// called [`accept`](Self::accept), or [`started`](Self::started).
    pub fn finish(&mut self, now: Instant, id: DialogId, pld: Payload<'_>) -> Result<(), Misuse> {
        self.advance(now);
        self.check_len(&pld)?;
        let dialog = self.dialogs.get(id).ok_or(Misuse::NoSuchDialog)?;
        let early = matches!(dialog.phase, Phase::AwaitAck | Phase::AwaitStarted);
        if early || dialog.side == Side::Caller {
            return Err(Misuse::WrongSide);
        }
        self.end_task(id, Act::Finish, |_| TaskEnd::Returned(pld));
        Ok(())
    }

    /// The task failed.
    pub fn fail(&mut self, now: Instant, id: DialogId, error: RemoteError) {
        self.advance(now);
        self.end_task(id, Act::Fail, |_| TaskEnd::Failed(error));
    }

    /// The task ended by being cancelled.
    pub fn cancelled(&mut self, now: Instant, id: DialogId) {
        self.advance(now);
        let us = self.uid.clone();
        self.end_task(id, Act::Fail, |dialog| {
            TaskEnd::Cancelled(match (dialog.complaint.take(), &dialog.cancel) {
                (Some(complaint), _) => relayed(*complaint, &us),
                (None, Cancel::Told { by, .. }) => cancel::report(&us, by),
                (None, _) => cancel::report(&us, &us),
            })
        });
    }

    /// Asks a peer to end as a whole. [`Event::CancelAcked`] tells of the answer.
    ///
    /// # Errors
    /// [`Misuse::NotOpen`].
    pub fn cancel_peer(&mut self, now: Instant, conn: ConnId) -> Result<(), Misuse> {
        self.advance(now);
        let channel = self.channels.get_mut(conn).ok_or(Misuse::NotOpen)?;
        if !channel.is_open() {
            return Err(Misuse::NotOpen);
        }
        if !self.timers.is_set(Timer::ActorAck(conn)) {
            self.timers.set(Timer::ActorAck(conn), self.now + self.config.cancel_ack_timeout);
            self.push_cancel_actor(conn, self.config.teardown_budget);
        }
        Ok(())
    }

    pub(super) fn push_cancel_actor(&mut self, conn: ConnId, budget: core::time::Duration) {
        let Some(channel) = self.channels.get_mut(conn) else { return };
        let rng = &mut self.rng;
        let cid = channel.new_cid(|| rng.uuid());
        channel.asked.insert(cid.clone(), Asked::Actor);
        let budget = channel.features.has(Features::BUDGET).then_some(budget);
        let request = Request::CancelActor { budget };
        self.push_control(conn, &Msg::Request { cid, uid: self.uid.clone(), request });
    }

    /// An error of the runtime's own, from this actor.
    pub fn own_error(&self, type_name: &'static str, message: &str) -> RemoteError {
        plain_error(&self.uid, type_name, message)
    }

    /// Whether a task was told to end, and by whom.
    pub fn cancelled_by(&self, id: DialogId) -> Option<&Uid> {
        match &self.dialogs.get(id)?.cancel {
            Cancel::Told { by, .. } => Some(by),
            _ => None,
        }
    }

    /// The connection of a live dialog.
    pub fn conn_of(&self, id: DialogId) -> Option<ConnId> {
        self.dialogs.get(id).map(|d| d.conn)
    }

    /// Where a live dialog is.
    pub fn progress(&self, id: DialogId) -> Option<Progress> {
        let dialog = self.dialogs.get(id)?;
        Some(Progress {
            cid: dialog.cid.clone(),
            phase: dialog.phase,
            cancelling: dialog.cancel != Cancel::Idle,
            sending: dialog.tx.flow,
            receiving: dialog.rx.flow,
        })
    }

    /// Tells everybody about a channel-level error of ours: only a parent listens.
    pub fn report_to_parent(&mut self, now: Instant, error: RemoteError) {
        self.advance(now);
        if let Some(parent) = self.parent {
            let error = self.fitted(error);
            self.push(parent, &Msg::Error { cid: None, error });
        }
    }

    pub(super) fn event_closing(
        &mut self,
        why: crate::output::EndReason,
        budget: core::time::Duration,
    ) {
        self.out.event(Event::Closing { why, budget });
    }
}
