//! Connections and the actor ending.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Actor, Life, Timer};
use crate::cancel::plain_error;
use crate::channel::{Channel, Phase, Role};
use crate::dialog::Audience;
use crate::error::{Misuse, Violation};
use crate::id::{ChildId, ConnId, DialogId, Text, Uid};
use crate::msg::{AckOutcome, Features, Msg};
use crate::output::{CloseReason, Effect, EndReason, Event, Outcome};
use crate::time::Instant;

impl Actor {
    // Connections.

    /// The peer broke a rule of the connection: it ends, after the frame we are writing.
    pub(super) fn violate(&mut self, conn: ConnId, violation: Violation) {
        self.close_conn(conn, CloseReason::Violation(violation));
    }

    /// Ends a connection from our side: what waits is written, then it is shut down.
    pub(super) fn close_conn(&mut self, conn: ConnId, why: CloseReason) {
        let Some(channel) = self.channels.get_mut(conn) else { return };
        if channel.is_ended() {
            return;
        }
        if why == CloseReason::ByUs && channel.features.has(Features::GOODBYE) {
            // Behind all data: it is the last word.
            channel.push(&Msg::Goodbye { reason: Text::from_static("closed") });
        }
        channel.phase = Phase::Closing;
        self.timers.clear(Timer::Handshake(conn));
        self.timers.set(Timer::Unread(conn), self.now + self.config.handshake_timeout);
        self.mark_dirty(conn);
        self.out.effect(Effect::Close { conn });
        self.conn_ended(conn, why);
    }

    /// The transport says that the connection is over, or never was.
    pub(super) fn on_disconnected(&mut self, conn: ConnId, why: Option<Text>) {
        let Some(channel) = self.channels.get(conn) else { return };
        let why = match why {
            Some(why) => CloseReason::Transport(why),
            None if channel.deframer.mid_frame() => CloseReason::Violation(Violation::CutFrame),
            None => CloseReason::ByPeer,
        };
        self.drop_conn(conn, why);
    }

    /// The connection is over, whether or not anything was left to write.
    pub(super) fn drop_conn(&mut self, conn: ConnId, why: CloseReason) {
        let Some(channel) = self.channels.get_mut(conn) else { return };
        let first = !channel.is_ended();
        channel.phase = Phase::Closed;
        self.timers.clear(Timer::Handshake(conn));
        self.timers.clear(Timer::Unread(conn));
        if first {
            self.out.effect(Effect::Close { conn });
            self.conn_ended(conn, why);
        }
        self.remove_closed(conn);
    }

    /// A closed connection stays while dialogs on it wait to hear how our child ended.
    fn remove_closed(&mut self, conn: ConnId) {
        let Some(channel) = self.channels.get(conn) else { return };
        if channel.phase == Phase::Closed && channel.dialogs.is_empty() {
            self.channels.remove(conn);
        }
    }

    /// Everybody who waits on this connection hears of its end.
    fn conn_ended(&mut self, conn: ConnId, why: CloseReason) {
        self.timers.clear(Timer::ActorAck(conn));
        self.probe_ended(conn, &why);
        let violation = match &why {
            // A process that is killed may well be in the middle of a frame.
            CloseReason::Violation(v) if *v != Violation::CutFrame => Some(v.clone()),
            _ => None,
        };
        self.out.event(Event::Closed { conn, why });
        self.drop_doubts(conn, None);
        if let Some(registry) = &mut self.registry {
            registry.conn_gone(conn);
            self.serve_waiters();
        }
        self.registered.remove(&conn);
        if let Some(channel) = self.channels.get_mut(conn) {
            channel.asked.clear();
            channel.waiting.clear();
        }
        let child = self.child_of(conn);
        self.blame_child(child, violation);
        let wait_for_status = child.is_some_and(|child| self.on_link_lost(child));
        if !wait_for_status {
            self.end_conn_dialogs(conn);
        }
        if self.parent == Some(conn) {
            self.parent = self.other_link(conn).or(self.parent);
        }
        if self.parent == Some(conn) && self.life != Life::Ended {
            self.begin_end_within(EndReason::ParentLost, self.config.teardown_budget);
        }
    }

    /// Another connection on which our parent may give us our instructions.
    fn other_link(&self, conn: ConnId) -> Option<ConnId> {
        let other =
            |(id, c): &(ConnId, &Channel)| *id != conn && c.role == Role::ToParent && !c.is_ended();
        self.channels.iter().find(other).map(|(id, _)| id)
    }

    /// Our instructions came on this one: it is the link, and there is no other.
    pub(super) fn choose_parent(&mut self, conn: ConnId) {
        self.parent = Some(conn);
        while let Some(other) = self.other_link(conn) {
            self.close_conn(other, CloseReason::ByUs);
        }
    }

    /// A child that broke a rule of its link has that in its report.
    fn blame_child(&mut self, child: Option<ChildId>, violation: Option<Violation>) {
        let Some(child) = child.and_then(|id| self.children.get_mut(id)) else { return };
        let Some(violation) = violation.filter(|_| child.error.is_none()) else { return };
        let text = alloc::format!("{violation}");
        child.error = Some(Box::new(plain_error(&self.uid, "Violation", &text)));
    }

    /// The outcome of every dialog on a connection that is gone.
    pub(super) fn end_conn_dialogs(&mut self, conn: ConnId) {
        let Some(channel) = self.channels.get(conn) else { return };
        let unknown = || Uid { name: Text::from_static("?"), uuid: Text::default() };
        let peer = channel.peer_uid().or(channel.expected.as_ref()).cloned();
        let peer = peer.unwrap_or_else(unknown);
        let dialogs: Vec<DialogId> = channel.dialogs.values().copied().collect();
        let child = self.child_of(conn).and_then(|id| self.children.get(id));
        let child = child.map(|c| Box::new(c.end()));
        for id in dialogs {
            let outcome = Outcome::PeerLost { peer: peer.clone(), child: child.clone() };
            self.end_dialog(id, outcome);
        }
        self.remove_closed(conn);
    }

    /// The peer has left what we have for it unread for too long.
    pub(super) fn on_unread(&mut self, conn: ConnId) {
        let Some(channel) = self.channels.get(conn) else { return };
        if !channel.is_ended() {
            self.violate(conn, Violation::NotReading);
        }
        // Nothing more will be written: the driver drops it.
        self.out.effect(Effect::Abort { conn });
        self.drop_conn(conn, CloseReason::ByUs);
    }

    // The actor.

    /// The application has a body of its own: the actor ends only after
    /// [`body_ended`](Self::body_ended).
    pub fn body_started(&mut self) {
        self.body_done = false;
    }

    /// The application's body is done: whatever is left is cancelled, and the actor ends.
    pub fn body_ended(&mut self, now: Instant) {
        self.advance(now);
        self.body_done = true;
        self.begin_end(EndReason::Done, self.own_budget());
        self.check_end();
    }

    /// Ends this actor: cancels its tasks and children, then closes its connections.
    ///
    /// # Errors
    /// [`Misuse::Closing`] when it is ending already.
    pub fn cancel_self(&mut self, now: Instant, why: EndReason) -> Result<(), Misuse> {
        self.advance(now);
        self.check_serving()?;
        self.begin_end(why, self.own_budget());
        Ok(())
    }

    /// What we give ourselves: time to see our slowest child reported.
    fn own_budget(&self) -> Duration {
        let children = self.children.iter().map(|(_, child)| child.budget);
        let slowest = children.max().unwrap_or_default();
        self.config.teardown_budget.max(slowest).saturating_add(self.config.reap_slack)
    }

    /// A parent gave us this much: we end before it kills us, our children before that.
    pub(super) fn begin_end_within(&mut self, why: EndReason, budget: Duration) {
        let children = budget.saturating_sub(self.config.child_margin);
        for (_, child) in self.children.iter_mut() {
            child.budget = child.budget.min(children);
        }
        let killed_in = budget.saturating_sub(self.config.kill_margin.min(budget / 4));
        self.begin_end(why, killed_in.saturating_sub(self.config.child_margin / 2));
    }

    pub(super) fn begin_end(&mut self, why: EndReason, budget: Duration) {
        if matches!(self.life, Life::Closing | Life::Ended) {
            return;
        }
        self.say_farewell();
        self.life = Life::Closing;
        self.timers.set(Timer::End, self.now + budget);
        let by = match &why {
            EndReason::Cancelled { by } => by.clone(),
            _ => self.uid.clone(),
        };
        self.event_closing(why, budget);
        self.cancel_all_tasks(&by);
        self.cancel_all_nurseries();
        self.check_end();
    }

    /// Takes our record back where no lease does that: over the connection that it was made over,
    /// as an actor that ends opens none.
    fn say_farewell(&mut self) {
        for conn in core::mem::take(&mut self.registered) {
            let request = crate::msg::Request::Unregister { uid: self.uid.clone() };
            let Ok(id) = self.request(self.now, conn, request) else { continue };
            if let Some(dialog) = self.dialogs.get_mut(id) {
                dialog.audience = Audience::Nobody;
            }
            self.farewells.insert(id);
        }
        if !self.farewells.is_empty() {
            self.timers.set(Timer::Farewell, self.now + self.config.farewell_timeout);
        }
    }

    /// A dialog has ended: was it the last that was waited for?
    pub(super) fn farewell_ended(&mut self, id: DialogId) {
        if self.farewells.remove(&id) && self.farewells.is_empty() {
            self.timers.clear(Timer::Farewell);
            self.check_end();
        }
    }

    pub(super) fn on_farewell_timeout(&mut self) {
        self.farewells.clear();
        self.check_end();
    }

    fn cancel_all_tasks(&mut self, by: &Uid) {
        let callees = self.dialogs.iter().filter(|(_, d)| d.is_callee());
        let tasks: Vec<DialogId> = callees.map(|(id, _)| id).collect();
        for id in tasks {
            self.tell_cancelled(id, by.clone(), None);
        }
    }

    /// Ends the actor when nothing of it is left.
    pub(super) fn check_end(&mut self) {
        let idle = self.tasks == 0
            && self.children.is_empty()
            && self.nurseries.is_empty()
            && self.farewells.is_empty();
        if self.life == Life::Closing && self.body_done && idle && !self.stays_for_peers() {
            self.end(false);
        }
    }

    /// A peer's closing connection is dropped by then, if it was to have longer. (Our parent gets
    /// our last words while it lets us live.)
    fn hurry(&mut self, conn: ConnId, until: Instant) {
        let timer = Timer::Unread(conn);
        let is_peer = matches!(self.role(conn), Some(Role::Accepted | Role::Connected));
        if is_peer && self.timers.at(timer).is_some_and(|at| at > until) {
            self.timers.set(timer, until);
        }
    }

    pub(super) fn push_late_ack(&mut self) {
        self.timers.clear(Timer::LateAck);
        if let Some((conn, cid)) = self.late_ack.take() {
            let ack = Msg::CancelAck { cid, outcome: AckOutcome::Cancelling };
            self.push(conn, &ack);
        }
    }

    /// The end: said goodbye, written out, closed. When forced, children are killed first.
    pub(super) fn end(&mut self, forced: bool) {
        if self.life == Life::Ended {
            return;
        }
        self.life = Life::Ended;
        // What was asked for and is not read is for the budget, too: a peer that does not read must
        // not keep us. Late as it is, there is a moment left to write without waiting.
        let left = self.timers.at(Timer::End).unwrap_or(self.now);
        let until = left.max(self.now + self.config.child_margin / 4);
        self.timers.clear(Timer::End);
        if forced {
            self.kill_all(self.now);
        }
        self.push_late_ack();
        let conns: Vec<ConnId> = self.channels.keys().collect();
        for conn in conns {
            if forced || self.role(conn) != Some(Role::ToChild) {
                self.close_conn(conn, CloseReason::ByUs);
                self.hurry(conn, until);
            }
        }
        self.out.event(Event::Ended { forced });
    }
}
