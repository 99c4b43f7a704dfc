//! What peers ask of the runtime itself: a closed set, each with its rule of who may.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{Actor, Life, NO_KWARGS, Timer};
use crate::addr::Address;
use crate::cancel::{self, plain_error};
use crate::channel::Role;
use crate::config::CancelPolicy;
use crate::dialog::table::Side;
use crate::error::Violation;
use crate::id::{Cid, ConnId, Text, Uid};
use crate::msg::{AckOutcome, Features, FuncType, Msg, Request, codec};
use crate::outbox::Payload;
use crate::output::{EndReason, Event};
use crate::registry::{Owner, Refusal, Registry, Until, Waiter};
use crate::supervise::table::Fact;

impl Actor {
    pub(super) fn on_request(
        &mut self,
        conn: ConnId,
        cid: Cid,
        request: Request,
    ) -> Result<(), Violation> {
        self.check_cid(conn, &cid)?;
        match request {
            Request::CancelTask { target } => self.on_cancel_task(conn, cid, &target),
            Request::CancelActor { budget } => self.on_cancel_actor(conn, cid, budget),
            Request::Unknown { func } => {
                let text = alloc::format!("the runtime has no function `{func}`");
                self.refuse(conn, cid, "AttributeError", &text);
            }
            Request::BadArguments { func } => {
                let text = alloc::format!("wrong arguments for the runtime's `{func}`");
                self.refuse(conn, cid, "TypeError", &text);
            }
            Request::RaiseBudget { budget } => self.on_raise_budget(conn, cid, budget),
            request => self.on_registry_request(conn, cid, request),
        }
        Ok(())
    }

    /// A child needs longer to end than we thought; then so do we.
    fn on_raise_budget(&mut self, conn: ConnId, cid: Cid, budget: core::time::Duration) {
        let Some(child) = self.child_of(conn) else {
            return self.refuse(conn, cid, "PermissionError", "only a child has a budget here");
        };
        self.raise_budget(child, budget.min(self.config.budget_max));
        self.answer(conn, cid, NIL);
    }

    fn on_cancel_task(&mut self, conn: ConnId, cid: Cid, target: &Cid) {
        let ack = Msg::StartAck { cid: cid.clone(), functype: FuncType::Call };
        self.push_control(conn, &ack);
        let Some(channel) = self.channels.get(conn) else { return };
        let Some(by) = channel.peer_uid().cloned() else { return };
        let dialog = channel.dialogs.get(target).copied();
        let callee =
            dialog.filter(|id| self.dialogs.get(*id).is_some_and(|d| d.side == Side::Callee));
        let waited = self.drop_doubts(conn, Some(target))
            || self.registry.as_mut().is_some_and(|r| r.stop_waiting(conn, target));
        let outcome = match callee {
            None if !waited => AckOutcome::AlreadyDone,
            _ => AckOutcome::Cancelling,
        };
        let waits_for_end = callee.is_some() && !self.features(conn).has(Features::TYPED_ACK);
        if waited {
            // It was the runtime itself that did the work: nothing of it is left to end.
            let error = cancel::report(&self.uid, &by);
            self.push(conn, &Msg::Error { cid: Some(target.clone()), error });
            self.push(conn, &Msg::CancelAck { cid, outcome });
        } else if let (Some(dialog), true) = (callee, waits_for_end) {
            // The base acknowledges once the task has ended; a second request waits for nothing.
            if let Some(cid) = self.tell_cancelled(dialog, by, Some(cid.detached())) {
                self.push(conn, &Msg::CancelAck { cid, outcome });
            }
        } else if self.features(conn).has(Features::TYPED_ACK) {
            self.push_control(conn, &Msg::CancelAck { cid, outcome });
            if let Some(dialog) = callee {
                self.tell_cancelled(dialog, by, None);
            }
        } else {
            // Behind the task's last word: the base takes it for the end.
            self.push(conn, &Msg::CancelAck { cid, outcome });
        }
    }

    fn on_cancel_actor(&mut self, conn: ConnId, cid: Cid, budget: Option<core::time::Duration>) {
        let ack = Msg::StartAck { cid: cid.clone(), functype: FuncType::Call };
        self.push_control(conn, &ack);
        let Some(by) = self.channels.get(conn).and_then(|c| c.peer_uid()).cloned() else { return };
        if self.config.cancel_policy == CancelPolicy::ParentOnly && self.parent != Some(conn) {
            let ack = Msg::CancelAck { cid, outcome: AckOutcome::Refused };
            return self.push_control(conn, &ack);
        }
        // Only the first waits for our end: others learn that it is under way.
        let is_ending = matches!(self.life, Life::Closing | Life::Ended);
        if self.features(conn).has(Features::TYPED_ACK) || is_ending {
            let ack = Msg::CancelAck { cid, outcome: AckOutcome::Cancelling };
            self.push_control(conn, &ack);
        } else {
            self.late_ack = Some((conn, cid));
            // A base parent that hears nothing for longer sends SIGTERM, and our children would get
            // no time to end.
            let limit = self.config.cancel_ack_timeout;
            self.timers.set(Timer::LateAck, self.now + (limit - limit / 5));
        }
        // The time is the parent's to give: from others, none would kill our children, and too much
        // would keep us for ever.
        let budget = budget.filter(|_| self.parent == Some(conn));
        let budget = budget.unwrap_or(self.config.teardown_budget);
        self.begin_end_within(EndReason::Cancelled { by }, budget);
    }

    pub(super) fn refuse(&mut self, conn: ConnId, cid: Cid, kind: &'static str, text: &str) {
        // Fitted: the text may say what the peer said.
        let error = self.fitted(plain_error(&self.uid, kind, text));
        self.push(conn, &Msg::Error { cid: Some(cid), error });
    }

    fn answer(&mut self, conn: ConnId, cid: Cid, pld: Bytes) {
        if self.check_len(&Payload::Owned(pld.clone())).is_err() {
            return self.refuse(conn, cid, "RuntimeError", TOO_MANY);
        }
        let ack = Msg::StartAck { cid: cid.clone(), functype: FuncType::Call };
        self.push(conn, &ack);
        self.push(conn, &Msg::Return { cid, pld });
    }

    fn on_registry_request(&mut self, conn: ConnId, cid: Cid, request: Request) {
        if self.registry.is_none() {
            return self.refuse(conn, cid, "RuntimeError", "this actor is not a registrar");
        }
        if !self.doubt(conn, &cid, &request) {
            self.serve_registry(conn, cid, request);
        }
    }

    /// Answers from the registry as it is.
    pub(super) fn serve_registry(&mut self, conn: ConnId, cid: Cid, request: Request) {
        let Some(asker) = self.channels.get(conn).and_then(|c| c.peer_uid()).cloned() else {
            return;
        };
        match request {
            Request::Register { uid, addr } => self.on_register(conn, cid, (uid, addr), &asker),
            Request::Unregister { uid } => {
                let done = self.registry.as_mut().map(|r| r.unregister(&uid, &asker, conn));
                self.serve_waiters();
                self.answer_registry(conn, cid, done.unwrap_or(Ok(())));
            }
            Request::Find { name } => {
                let found = self.registry.as_ref().map_or(&[][..], |r| r.find(name.as_str()));
                let pld = match found.is_empty() {
                    true => NIL,
                    false => encoded(|out| codec::encode_addrs(found, out)),
                };
                self.answer(conn, cid, pld);
            }
            Request::Wait { name } => self.on_wait(conn, cid, name, Until::Any),
            Request::Watch { name, seen } => match seen {
                Some(seen) => self.on_wait(conn, cid, name, Until::Changed(seen)),
                None => {
                    let pld = self.encode_records(name.as_str());
                    self.answer(conn, cid, pld);
                }
            },
            // Of somebody who lives, or can't be asked now: it stays.
            Request::ReportDead { .. } => self.answer_report(conn, cid, None),
            _ => {
                let pld = self.encode_registry();
                self.answer(conn, cid, pld);
            }
        }
    }

    /// Answers whose record went by a report.
    pub(super) fn answer_report(&mut self, conn: ConnId, cid: Cid, dropped: Option<Uid>) {
        let pld = dropped.map_or(NIL, |uid| encoded(|out| codec::encode_uid(&uid, out)));
        self.answer(conn, cid, pld);
    }

    fn encode_records(&self, name: &str) -> Bytes {
        let Some(registry) = &self.registry else { return NIL };
        let records: Vec<(&Uid, &[Address])> = registry.records(name).collect();
        encoded(|out| codec::encode_records(registry.tag(name), &records, out))
    }

    fn encode_registry(&self) -> Bytes {
        let Some(registry) = &self.registry else { return NO_KWARGS };
        let entries: Vec<(&Uid, &[Address])> = registry.entries().collect();
        encoded(|out| codec::encode_registry(&entries, out))
    }

    fn on_register(&mut self, conn: ConnId, cid: Cid, of: (Uid, Address), asker: &Uid) {
        let (uid, addr) = of;
        let is_ours = self.features(conn).has(Features::READY);
        let owner = if is_ours { Owner::Lease(conn) } else { Owner::Uid };
        let result =
            if uid == *asker { self.register(&uid, addr, owner) } else { Err(Refusal::NotOwner) };
        self.answer_registry(conn, cid, result);
    }

    /// Adds a record and serves who waited for it.
    pub(super) fn register(
        &mut self,
        uid: &Uid,
        addr: Address,
        owner: Owner,
    ) -> Result<(), Refusal> {
        let Some(registry) = &mut self.registry else { return Ok(()) };
        registry.register(uid, addr, owner, self.now, self.config.registry_max)?;
        self.serve_waiters();
        Ok(())
    }

    /// The registry may have changed: who waited for that is answered, or told.
    pub(super) fn serve_waiters(&mut self) {
        let Some(served) = self.registry.as_mut().and_then(Registry::take_changes) else {
            return;
        };
        for waiter in served {
            self.answer_late(waiter.conn, |us| us.serve_waiter(waiter));
        }
        self.out.event(Event::RegistryChanged);
    }

    /// Its request was acknowledged when it came.
    fn serve_waiter(&mut self, waiter: Waiter) {
        let Waiter { conn, cid, name, until } = waiter;
        let pld = match until {
            Until::Any => {
                let addrs = self.find_all(name.as_str());
                encoded(|out| codec::encode_addrs(&addrs, out))
            }
            Until::Changed(_) => self.encode_records(name.as_str()),
        };
        match self.check_len(&Payload::Owned(pld.clone())) {
            Ok(()) => self.push(conn, &Msg::Return { cid, pld }),
            Err(_) => self.refuse(conn, cid, "RuntimeError", TOO_MANY),
        }
    }

    /// Answers what was asked before: what that queues counts as if it were asked now.
    pub(super) fn answer_late(&mut self, conn: ConnId, answer: impl FnOnce(&mut Actor)) {
        let before = self.outbox_len(conn);
        answer(self);
        let Some(channel) = self.channels.get_mut(conn) else { return };
        if let Err(violation) = channel.count_answers(before, &self.config) {
            self.violate(conn, violation);
        }
    }

    fn answer_registry(&mut self, conn: ConnId, cid: Cid, result: Result<(), Refusal>) {
        match result {
            Ok(()) => self.answer(conn, cid, NIL),
            Err(refusal) => self.refuse(conn, cid, refusal.kind(), refusal.as_str()),
        }
    }

    fn on_wait(&mut self, conn: ConnId, cid: Cid, name: Text, until: Until) {
        let Some(registry) = &self.registry else { return };
        let tag = registry.tag(name.as_str());
        match until {
            Until::Any if tag.count > 0 => {
                let addrs = self.find_all(name.as_str());
                let pld = encoded(|out| codec::encode_addrs(&addrs, out));
                return self.answer(conn, cid, pld);
            }
            Until::Changed(seen) if tag != seen => {
                let pld = self.encode_records(name.as_str());
                return self.answer(conn, cid, pld);
            }
            _ => {}
        }
        let waiter = Waiter { conn, cid: cid.detached(), name: name.detached(), until };
        let max = self.config.waiters_max;
        match self.registry.as_mut().map(|r| r.wait(waiter, max)) {
            Some(Err(refusal)) => self.refuse(conn, cid, refusal.kind(), refusal.as_str()),
            _ => self.push(conn, &Msg::StartAck { cid, functype: FuncType::Call }),
        }
    }

    /// A child is bound and ready; when we keep the registry, that registers it.
    pub(super) fn on_ready(&mut self, conn: ConnId, addrs: Vec<Address>) {
        let Some(uid) = self.channels.get(conn).and_then(|c| c.peer_uid()).cloned() else { return };
        for addr in addrs {
            // We know the process: it listens there, so the base peer that had it has ended.
            if let Some(registry) = &mut self.registry {
                registry.take_from_base(&uid, &addr);
            }
            if self.register(&uid, addr.clone(), Owner::Lease(conn)).is_err() {
                self.doubt_ready(conn, &uid, addr);
            }
        }
        if let Some(child) = self.child_of(conn) {
            self.child_fact(child, Fact::Ready);
        }
    }

    pub(super) fn role(&self, conn: ConnId) -> Option<Role> {
        self.channels.get(conn).map(|c| c.role)
    }

    /// The addresses of all actors of this name that our own registry knows.
    pub fn find_all(&self, name: &str) -> Vec<Address> {
        self.registry.as_ref().map(|r| r.find_all(name)).unwrap_or_default()
    }

    /// All actors of this name that our own registry knows, the oldest first.
    pub fn records(&self, name: &str) -> Vec<(Uid, Vec<Address>)> {
        let records = self.registry.iter().flat_map(|r| r.records(name));
        records.map(|(uid, addrs)| (uid.clone(), addrs.to_vec())).collect()
    }

    /// All records of our own registry.
    pub fn registry(&self) -> impl Iterator<Item = (&Uid, &[Address])> {
        self.registry.iter().flat_map(|r| r.entries())
    }
}

/// What does not fit into a frame.
const TOO_MANY: &str = "so many actors don't fit into a frame: ask for them by name";

pub(super) const NIL: Bytes = Bytes::from_static(&[0xc0]);

fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::new();
    write(&mut out);
    Bytes::from(out)
}
