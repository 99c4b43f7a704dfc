//! Nurseries and children.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Actor, Life, Timer};
use crate::cancel::plain_error;
use crate::channel::Role;
use crate::dialog::Audience;
use crate::error::{Misuse, Violation};
use crate::id::{ChildId, ConnId, DialogId, NurseryId, Text, Uid};
use crate::msg::{Features, FuncType, Msg, Request};
use crate::output::{CloseReason, Effect, Event, NurseryEvent, Signal};
use crate::supervise::table::Fact;
use crate::supervise::{Child, ChildConfig, ChildPhase, ExitStatus, Link, Nursery, NurseryPhase};
use crate::time::Instant;

impl Actor {
    /// Opens a nursery. `budget` is what its children get to end; `None` is the actor's own.
    ///
    /// # Errors
    /// [`Misuse::Closing`].
    pub fn open_nursery(
        &mut self,
        now: Instant,
        budget: Option<Duration>,
    ) -> Result<NurseryId, Misuse> {
        self.advance(now);
        self.check_serving()?;
        let budget = budget.unwrap_or(self.config.teardown_budget);
        Ok(self.nurseries.insert_with(|_| Nursery::new(budget)))
    }

    /// Makes a child. [`NurseryEvent::Ready`] or [`NurseryEvent::Ended`] tells how it went.
    ///
    /// # Errors
    /// [`Misuse::Closing`], [`Misuse::NoSuchNursery`], [`Misuse::NurseryClosed`],
    /// [`Misuse::TooMany`].
    pub fn spawn(
        &mut self,
        now: Instant,
        nursery: NurseryId,
        config: ChildConfig,
    ) -> Result<(ChildId, ConnId), Misuse> {
        self.advance(now);
        self.check_serving()?;
        let owner = self.nurseries.get(nursery).ok_or(Misuse::NoSuchNursery)?;
        if owner.phase == NurseryPhase::Cancelling {
            return Err(Misuse::NurseryClosed);
        }
        if self.channels.len() >= self.config.conns_max {
            return Err(Misuse::TooMany);
        }
        let budget = config.budget.map_or(owner.budget, |own| own.max(owner.budget));
        let uid = Uid { name: Text::from(config.name), uuid: self.rng.uuid() };
        let conn = self.open_channel(Role::ToChild);
        if let Some(channel) = self.channels.get_mut(conn) {
            channel.expected = Some(uid.clone());
        }
        // The spawn race has its own deadline: `Boot` covers the handshake too.
        self.timers.clear(Timer::Handshake(conn));
        let awaited = match config.link {
            Link::ConnectBack(_) | Link::Announced => Some(Box::new(config.spec)),
            Link::Handed => {
                self.push_control(conn, &Msg::SpawnSpec(config.spec));
                None
            }
        };
        let child = self.children.insert_with(|_| Child {
            isolated: config.isolated,
            link: config.link,
            awaited,
            ..Child::new(uid, conn, nursery, budget)
        });
        if let Some(channel) = self.channels.get_mut(conn) {
            channel.child = Some(child);
        }
        if let Some(owner) = self.nurseries.get_mut(nursery) {
            owner.children.insert(child);
        }
        self.timers.set(Timer::Boot(child), self.now + self.config.boot_timeout);
        self.out.effect(Effect::Spawn { child, conn });
        self.tell_need(budget);
        Ok((child, conn))
    }

    /// A child needs so long to end.
    pub(super) fn raise_budget(&mut self, id: ChildId, budget: Duration) {
        if matches!(self.life, Life::Closing | Life::Ended) {
            return; // What its children get is decided.
        }
        let Some(child) = self.children.get_mut(id) else { return };
        if child.budget < budget {
            child.budget = budget;
            self.out.event(Event::BudgetRaised { budget });
            self.tell_need(budget);
        }
    }

    /// Our parent has to know when a child needs more than is usual: so do we, then.
    fn tell_need(&mut self, child: Duration) {
        let Some(parent) = self.parent.filter(|_| child > self.told_budget) else { return };
        if !self.features(parent).has(Features::BUDGET) {
            return;
        }
        // There is no dialog when we are ending: then it is too late for more time.
        let Ok((id, cid)) = self.open_dialog(parent, FuncType::Call) else { return };
        self.told_budget = child;
        if let Some(dialog) = self.dialogs.get_mut(id) {
            dialog.audience = Audience::Nobody;
        }
        let request =
            Request::RaiseBudget { budget: child.saturating_add(self.config.child_margin) };
        self.push(parent, &Msg::Request { cid, uid: self.uid.clone(), request });
    }

    /// The child was made for this one task: it ends with it, and fails with it.
    ///
    /// # Errors
    /// [`Misuse::NoSuchChild`].
    pub fn set_main(&mut self, child: ChildId, dialog: DialogId) -> Result<(), Misuse> {
        self.children.get_mut(child).ok_or(Misuse::NoSuchChild)?.main = Some(dialog);
        Ok(())
    }

    /// The nursery's body is done: it closes once its children have ended by themselves.
    ///
    /// # Errors
    /// [`Misuse::NoSuchNursery`].
    pub fn join_nursery(&mut self, now: Instant, id: NurseryId) -> Result<(), Misuse> {
        self.advance(now);
        let nursery = self.nurseries.get_mut(id).ok_or(Misuse::NoSuchNursery)?;
        nursery.body_done = true;
        if nursery.phase == NurseryPhase::Open {
            nursery.phase = NurseryPhase::Joining;
        }
        self.check_nursery(id);
        Ok(())
    }

    /// Ends all children of the nursery, in parallel. It takes no more.
    ///
    /// # Errors
    /// [`Misuse::NoSuchNursery`].
    pub fn cancel_nursery(&mut self, now: Instant, id: NurseryId) -> Result<(), Misuse> {
        self.advance(now);
        let nursery = self.nurseries.get_mut(id).ok_or(Misuse::NoSuchNursery)?;
        nursery.phase = NurseryPhase::Cancelling;
        let children: Vec<ChildId> = nursery.children.iter().copied().collect();
        for child in children {
            self.child_fact(child, Fact::CancelAsked);
        }
        Ok(())
    }

    /// Ends one child.
    ///
    /// # Errors
    /// [`Misuse::NoSuchChild`] when it has ended.
    pub fn cancel_child(&mut self, now: Instant, child: ChildId) -> Result<(), Misuse> {
        self.advance(now);
        if self.children.get(child).is_none() {
            return Err(Misuse::NoSuchChild);
        }
        self.child_fact(child, Fact::CancelAsked);
        Ok(())
    }

    /// Kills all children at once, without asking.
    pub fn kill_all(&mut self, now: Instant) {
        self.advance(now);
        let children: Vec<ChildId> = self.children.keys().collect();
        for child in children {
            self.child_fact(child, Fact::CancelAsked);
            self.child_fact(child, Fact::KillTimeout);
        }
    }

    /// A peer introduced itself. When it is a child of ours that connects back, the connection it
    /// came by becomes its link (`docs/protocol.md` §7.2).
    pub(super) fn adopt(&mut self, conn: ConnId) -> Result<(), Violation> {
        let Some(channel) = self.channels.get(conn) else { return Ok(()) };
        let child = channel.child.and_then(|id| self.children.get(id));
        if child.is_some_and(|child| child.awaited.is_some()) {
            // It is to come by another way, and this one stays unused.
            return Err(Violation::WrongToken);
        }
        let Some(aid) = channel.peer.as_ref().filter(|_| channel.role == Role::Accepted) else {
            return Ok(());
        };
        let shown = aid.ext.and_then(|ext| ext.token);
        let is_meant = |child: &Child| child.awaited.is_some() && child.uid == aid.uid;
        let found = self.children.iter().find(|(_, child)| is_meant(child));
        let found = found.map(|(id, child)| (id, child.is_proven(shown.as_ref(), channel.process)));
        match found {
            Some((id, true)) => self.relink(id, conn),
            None if shown.is_none() => {}
            Some(_) | None => return Err(Violation::WrongToken),
        }
        Ok(())
    }

    /// The child is told over this connection what it is to be, and has it as its link.
    fn relink(&mut self, id: ChildId, conn: ConnId) {
        let Some(child) = self.children.get_mut(id) else { return };
        let Some(awaited) = child.awaited.take() else { return };
        let unused = core::mem::replace(&mut child.conn, conn);
        self.channels.remove(unused);
        if let Some(channel) = self.channels.get_mut(conn) {
            channel.role = Role::ToChild;
            channel.child = Some(id);
        }
        self.push_control(conn, &Msg::SpawnSpec(*awaited));
    }

    // The world's facts about children.

    pub(super) fn on_spawned(&mut self, id: ChildId, pid: u32) {
        let Some(child) = self.children.get_mut(id) else {
            // It was given up on before it existed: nothing may be left of it.
            return self.out.effect(Effect::Signal { child: id, signal: Signal::Kill });
        };
        child.pid = Some(pid);
        let (conn, phase, link_lost) = (child.conn, child.phase, child.link_lost);
        self.mark_dirty(conn);
        self.child_fact(id, Fact::Spawned);
        self.check_process(id, conn);
        match phase {
            // What was decided while there was no process to signal.
            ChildPhase::Killing => self.signal(id, Signal::Kill),
            ChildPhase::Terminating => self.signal(id, Signal::Terminate),
            _ if link_lost => self.child_fact(id, Fact::LinkLost),
            _ => {}
        }
    }

    /// Who came with the child's uid before its process was known was another one.
    fn check_process(&mut self, id: ChildId, conn: ConnId) {
        let process = self.channels.get(conn).and_then(|channel| channel.process);
        let is_child = |child: &Child| child.link != Link::Announced || child.may_be(process);
        if !self.children.get(id).is_none_or(is_child) {
            self.violate(conn, Violation::WrongToken);
        }
    }

    /// Signals a child; one that does not exist yet gets it from `on_spawned`.
    fn signal(&mut self, id: ChildId, signal: Signal) {
        let Some(child) = self.children.get_mut(id) else { return };
        child.forced = Some(signal);
        if child.pid.is_some() {
            self.out.effect(Effect::Signal { child: id, signal });
        }
    }

    pub(super) fn on_spawn_failed(&mut self, id: ChildId, why: Text) {
        let error = plain_error(&self.uid, "SpawnError", why.as_str());
        let Some(child) = self.children.get_mut(id) else { return };
        child.error = Some(Box::new(error));
        child.link_lost = true;
        let conn = child.conn;
        self.drop_conn(conn, CloseReason::Transport(why));
        self.child_fact(id, Fact::SpawnFailed);
    }

    pub(super) fn on_exited(&mut self, id: ChildId, status: ExitStatus) {
        let Some(child) = self.children.get_mut(id) else { return };
        child.status = Some(status);
        self.child_fact(id, Fact::Exited);
    }

    /// The process would not go away: it is reported, and its link cut.
    pub(super) fn on_budget_over(&mut self, id: ChildId) {
        let Some(child) = self.children.get_mut(id) else { return };
        child.status = Some(ExitStatus::Unknown);
        let conn = child.conn;
        self.child_fact(id, Fact::BudgetOver);
        self.drop_conn(conn, CloseReason::ByUs);
        self.check_child(id);
    }

    /// The link to a child ended; whether its dialogs may still wait for how the process ended.
    pub(super) fn on_link_lost(&mut self, id: ChildId) -> bool {
        let Some(child) = self.children.get_mut(id) else { return false };
        child.link_lost = true;
        child.said_goodbye |= self.channels.get(child.conn).is_some_and(|c| c.said_goodbye);
        let waits = child.status.is_none();
        if waits {
            self.timers.set(Timer::Reap(id), self.now + self.config.reap_slack);
        }
        self.child_fact(id, Fact::LinkLost);
        self.check_child(id);
        waits
    }

    /// One half of the child's end came, and the other takes too long.
    pub(super) fn on_reap_slack_over(&mut self, id: ChildId) {
        let Some(child) = self.children.get_mut(id) else { return };
        let conn = child.conn;
        if child.link_lost {
            // The link is gone and the process lingers: whoever waits is told without its status,
            // and the siblings don't wait for it to be reaped.
            child.lingers = true;
            let failed = !(child.asked || child.said_goodbye || child.isolated);
            let nursery = child.nursery;
            self.end_conn_dialogs(conn);
            if failed {
                self.fail_nursery(nursery);
            }
        } else {
            child.link_lost = true;
            self.drop_conn(conn, CloseReason::ByPeer);
        }
        self.check_child(id);
    }

    /// Looks the fact's row up, takes the step, and does what the new phase asks for.
    pub(super) fn child_fact(&mut self, id: ChildId, fact: Fact) {
        let Some(child) = self.children.get_mut(id) else { return };
        if fact == Fact::CancelAsked {
            // Who was found dead before was not ended by this: a cancel never hides a failure (P3).
            child.asked |= child.status.is_none() && !child.link_lost;
        }
        if !child.step(fact) {
            return;
        }
        match child.phase {
            ChildPhase::Spawning | ChildPhase::Connecting | ChildPhase::Booting => {}
            ChildPhase::Running => self.on_running(id),
            ChildPhase::Cancelling => self.on_cancelling(id, fact),
            ChildPhase::Terminating => self.signal(id, Signal::Terminate),
            ChildPhase::Killing => self.on_killing(id),
            ChildPhase::Reaped => self.on_reaped(id),
        }
    }

    fn on_running(&mut self, id: ChildId) {
        self.timers.clear(Timer::Boot(id));
        if let Some(child) = self.children.get(id) {
            self.out.nursery(child.nursery, NurseryEvent::Ready { child: id });
        }
    }

    fn on_cancelling(&mut self, id: ChildId, fact: Fact) {
        let Some(child) = self.children.get(id) else { return };
        let (conn, budget) = (child.conn, child.budget);
        // What a smaller budget leaves of the usual times.
        let ack = self.config.cancel_ack_timeout.min(budget / 4);
        let kill = budget.saturating_sub(self.config.kill_margin.min(budget / 4));
        if !child.said_goodbye {
            self.timers.set(Timer::Ack(id), self.now + ack);
        }
        self.timers.set(Timer::Kill(id), self.now + kill);
        self.timers.set(Timer::Report(id), self.now + budget);
        if fact == Fact::CancelAsked {
            self.push_cancel_actor(conn, budget);
        }
    }

    fn on_killing(&mut self, id: ChildId) {
        let Some(child) = self.children.get(id) else { return };
        let budget = child.budget;
        for timer in [Timer::Boot(id), Timer::Ack(id), Timer::Kill(id)] {
            self.timers.clear(timer);
        }
        if !self.timers.is_set(Timer::Report(id)) {
            self.timers.set(Timer::Report(id), self.now + budget);
        }
        self.signal(id, Signal::Kill);
    }

    fn on_reaped(&mut self, id: ChildId) {
        for timer in [Timer::Boot(id), Timer::Ack(id), Timer::Kill(id), Timer::Report(id)] {
            self.timers.clear(timer);
        }
        let Some(child) = self.children.get(id) else { return };
        if !child.link_lost {
            self.timers.set(Timer::Reap(id), self.now + self.config.reap_slack);
        }
        self.check_child(id);
    }

    /// Reports a child once both halves of its end are known (P2).
    fn check_child(&mut self, id: ChildId) {
        let Some(child) = self.children.get(id) else { return };
        if !child.is_over() {
            return;
        }
        let (conn, nursery, isolated, end) =
            (child.conn, child.nursery, child.isolated, child.end());
        self.timers.clear(Timer::Reap(id));
        self.timers.clear(Timer::ActorAck(conn));
        self.end_conn_dialogs(conn);
        self.children.remove(id);
        if let Some(registry) = &mut self.registry {
            registry.process_gone(&end.uid);
            self.serve_waiters();
        }
        let failed = end.failed && !isolated;
        self.out.nursery(nursery, NurseryEvent::Ended { child: id, end });
        if let Some(owner) = self.nurseries.get_mut(nursery) {
            owner.children.remove(&id);
        }
        if failed {
            self.fail_nursery(nursery);
        }
        self.check_nursery(nursery);
        self.check_end();
    }

    pub(super) fn on_main_ended(&mut self, id: ChildId, dialog: DialogId, failed: bool) {
        let Some(child) = self.children.get(id) else { return };
        let (nursery, isolated) = (child.nursery, child.isolated);
        if failed {
            self.out.nursery(nursery, NurseryEvent::MainFailed { child: id, dialog });
        }
        self.child_fact(id, Fact::CancelAsked);
        if failed && !isolated {
            self.fail_nursery(nursery);
        }
    }

    /// One cancels all.
    fn fail_nursery(&mut self, id: NurseryId) {
        let Some(nursery) = self.nurseries.get(id) else { return };
        if nursery.phase != NurseryPhase::Cancelling && !nursery.body_done {
            self.out.nursery(id, NurseryEvent::CancelBody);
        }
        // It exists: just looked up.
        let _ = self.cancel_nursery(self.now, id);
    }

    fn check_nursery(&mut self, id: NurseryId) {
        if self.nurseries.get(id).is_some_and(Nursery::is_over) {
            self.nurseries.remove(id);
            self.out.nursery(id, NurseryEvent::Closed);
            self.check_end();
        }
    }

    pub(super) fn cancel_all_nurseries(&mut self) {
        let nurseries: Vec<NurseryId> = self.nurseries.keys().collect();
        for id in nurseries {
            // It exists: just listed.
            let _ = self.cancel_nursery(self.now, id);
        }
    }

    /// The children: who, where they are, their process, and the link to them.
    pub fn children(&self) -> impl Iterator<Item = (ChildId, &Uid, ChildPhase, Option<u32>)> {
        self.children.iter().map(|(id, c)| (id, &c.uid, c.phase, c.pid))
    }

    /// Who a child is.
    pub fn child_uid(&self, id: ChildId) -> Option<&Uid> {
        self.children.get(id).map(|c| &c.uid)
    }

    /// The link to a child.
    pub fn child_conn(&self, id: ChildId) -> Option<ConnId> {
        self.children.get(id).map(|c| c.conn)
    }

    /// A name that no child of ours has: `base`, or `base_2`, ...
    pub fn free_child_name(&self, base: &str) -> String {
        let taken = |name: &str| self.children.iter().any(|(_, c)| c.uid.name == *name);
        let mut name = String::from(base);
        let mut n = 1;
        while taken(&name) {
            n += 1;
            name = alloc::format!("{base}_{n}");
        }
        name
    }
}
