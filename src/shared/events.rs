//! The core's events, into the boxes of those they are for.

use std::sync::atomic::Ordering;

use tractor_core::supervise::ChildEnd;
use tractor_core::{ChildId, DialogEvent, DialogId, Event, NurseryEvent, NurseryId, Outcome};

use super::Inner;
use crate::boxes::{Acceptance, Awaited};
use crate::error::{ActorFailed, Error, from_outcome};
use crate::log::note;

impl Inner {
    pub(super) fn on_event(&mut self, event: Event) {
        match event {
            Event::Dialog(dialog, event) => self.on_dialog_event(dialog, event),
            Event::Nursery(nursery, event) => self.on_nursery_event(nursery, event),
            Event::Opened { conn, peer } => {
                note!(
                    self,
                    Debug,
                    "tractor::transport",
                    "connection {conn} to {} is open",
                    peer.uid
                );
                self.wake_conns();
            }
            Event::Closed { conn, why } => {
                match &why {
                    tractor_core::CloseReason::Violation(_) => {
                        note!(self, Warn, "tractor::transport", "connection {conn}: {why}");
                    }
                    _ => note!(self, Debug, "tractor::transport", "connection {conn}: {why}"),
                }
                self.cancel_answers.remove(&conn);
                self.wake_conns();
            }
            Event::CancelAcked { conn, acked } => {
                self.cancel_answers.insert(conn, acked);
                self.wake_conns();
            }
            Event::Spec(spec) => {
                self.spec = Some(spec);
                self.wake_life();
            }
            Event::Closing { why, budget } => {
                note!(self, Debug, "tractor::cancel", "this actor ends within {budget:?}: {why:?}");
                // A parent may have given us more than is usual.
                self.scopes.raise_budget(budget);
                self.ending = Some(why);
                if let Some(body) = self.body.clone() {
                    self.cancel_later(body);
                }
                self.wake_life();
            }
            Event::Ended { forced } => {
                if forced {
                    note!(
                        self,
                        Warn,
                        "tractor::cancel",
                        "the teardown budget is over: ended by force"
                    );
                }
                self.ended = true;
                self.wake_life();
            }
            Event::BudgetRaised { budget } => self.scopes.raise_budget(budget),
            Event::Probed { conn, found } => {
                if let Some(probe) = self.probes.get_mut(&conn) {
                    *probe = Some(found);
                }
                self.wake_conns();
            }
            Event::RegistryChanged => {
                let wakers = self.registry_wakers.take();
                self.wake_later(wakers);
            }
            _ => {}
        }
    }

    fn wake_conns(&mut self) {
        let wakers = self.conn_wakers.take();
        self.wake_later(wakers);
    }

    pub(crate) fn wake_life(&mut self) {
        let wakers = self.life_wakers.take();
        self.wake_later(wakers);
    }

    fn on_dialog_event(&mut self, dialog: DialogId, event: DialogEvent) {
        if let DialogEvent::Done(outcome) = event {
            return self.on_done(dialog, *outcome);
        }
        let Some(mailbox) = self.mailboxes.get_mut(&dialog) else { return };
        match event {
            DialogEvent::Accepted if mailbox.acceptance == Acceptance::Awaited => {
                mailbox.acceptance = Acceptance::Known;
            }
            DialogEvent::Started(pld) => mailbox.started = Some(pld),
            DialogEvent::Items(batch) => mailbox.items.extend(batch.chunks),
            DialogEvent::Dropped(count) => mailbox.drop_oldest(count),
            DialogEvent::Stopped => mailbox.stopped = true,
            // Whoever sends finds out by trying again.
            DialogEvent::Writable => {}
            DialogEvent::SendOverrun => mailbox.send_overrun = true,
            DialogEvent::CancelAcked => mailbox.cancel_acked = true,
            _ => return,
        }
        let wakers = mailbox.wakers.take();
        self.wake_later(wakers);
    }

    fn on_done(&mut self, dialog: DialogId, outcome: Outcome) {
        let absorbed = matches!(outcome, Outcome::Cancelled { by_us: true, .. });
        let children = &mut self.children;
        let result = from_outcome(outcome, |end| failure(children, end));
        let Some(mailbox) = self.mailboxes.get_mut(&dialog) else { return };
        // The far task failed: the block is cancelled, at once or when those who wait have seen it.
        let failed = result.is_err() && (!absorbed || mailbox.cancel_ends_block);
        let mut block = mailbox.scope.clone().filter(|_| failed);
        if mailbox.waiting > 0 {
            mailbox.then_cancel = block.take();
            self.after.put_off.extend(mailbox.then_cancel.clone());
        }
        mailbox.end(result, absorbed);
        let wakers = mailbox.wakers.take();
        self.wake_later(wakers);
        self.after.cancelled.extend(block);
    }

    fn on_nursery_event(&mut self, nursery: NurseryId, event: NurseryEvent) {
        match event {
            NurseryEvent::Ready { child } => {
                let conn = self.core.child_conn(child);
                let io = conn.and_then(|conn| self.conns.get(&conn));
                self.links_seen.extend(io.map(|io| io.stream.link()));
                if let Some(child) = self.children.get_mut(&child) {
                    child.ready = true;
                }
                self.wake_child(child);
            }
            NurseryEvent::Ended { child, end } => self.on_child_ended(nursery, child, end),
            NurseryEvent::MainFailed { child, dialog } => {
                let error = self.outcome(dialog).and_then(Result::err);
                let isolated = self.children.get(&child).is_some_and(|c| c.isolated);
                if let Some(child) = self.children.get_mut(&child).filter(|c| c.isolated) {
                    // Told with the child's end, which follows.
                    let remote = error.as_ref().and_then(Error::remote);
                    child.main_error = remote.map(|e| Box::new(e.raw().clone()));
                }
                let awaited = self.mailboxes.get(&dialog).is_some_and(|m| m.waiting > 0);
                if let (Some(error), Some(owner), false) =
                    (error, self.nurseries.get_mut(&nursery), isolated)
                {
                    owner.failures.push(error);
                    owner.cancel_called.store(true, Ordering::Relaxed);
                    owner.awaited = awaited.then_some(Awaited::Main(dialog));
                }
            }
            NurseryEvent::CancelBody => {
                self.cancel_body(nursery);
            }
            NurseryEvent::Closed => {
                if let Some(owner) = self.nurseries.get_mut(&nursery) {
                    owner.closed = true;
                }
            }
            _ => {}
        }
        self.wake_nursery(nursery);
    }

    /// Cancels the body of a nursery: at once, or when it has seen what it waits for.
    fn cancel_body(&mut self, nursery: NurseryId) {
        let Some(owner) = self.nurseries.get_mut(&nursery) else { return };
        let body = owner.body.clone();
        let then_cancel = match owner.awaited.take() {
            Some(Awaited::Main(dialog)) => {
                self.mailboxes.get_mut(&dialog).map(|mailbox| &mut mailbox.then_cancel)
            }
            Some(Awaited::Start(child)) => {
                self.children.get_mut(&child).map(|child| &mut child.then_cancel)
            }
            None => None,
        };
        match then_cancel {
            Some(then_cancel) => {
                *then_cancel = Some(body.clone());
                self.after.put_off.push(body);
            }
            None => self.cancel_later(body),
        }
    }

    pub(crate) fn mark_cancelled(&mut self, nursery: NurseryId) {
        if let Some(owner) = self.nurseries.get(&nursery) {
            owner.cancel_called.store(true, Ordering::Relaxed);
        }
    }

    fn on_child_ended(&mut self, nursery: NurseryId, id: ChildId, end: ChildEnd) {
        note!(
            self,
            Debug,
            "tractor::runtime",
            "{} ended: {:?}, asked: {}",
            end.uid,
            end.status,
            end.asked
        );
        let failed = end.failed;
        let Some(child) = self.children.get_mut(&id) else { return };
        child.ended = true;
        let (isolated, starting) = (child.isolated, child.starting);
        let failed = failed || (isolated && child.main_error.is_some());
        let mut end = end;
        end.error = end.error.or_else(|| child.main_error.take());
        // Also when it was asked to end: a portal that waits for it wants to know how.
        let report = child.fail(end);
        self.after.remains.push(child.remains());
        if let (true, Some(owner)) = (failed, self.nurseries.get_mut(&nursery)) {
            match isolated {
                // Whoever waits for its start is told there.
                true if starting => {}
                true => owner.isolated.push_back(report),
                false => {
                    owner.failures.push(Error::ActorFailed(report));
                    owner.awaited = starting.then_some(Awaited::Start(id));
                    owner.cancel_called.store(true, Ordering::Relaxed);
                }
            }
        }
        self.wake_child(id);
        if !self.nurseries.contains_key(&nursery) {
            self.forget_ended_children(nursery);
        }
    }

    fn wake_child(&mut self, child: ChildId) {
        if let Some(child) = self.children.get_mut(&child) {
            let wakers = child.wakers.take();
            self.wake_later(wakers);
        }
    }

    fn wake_nursery(&mut self, nursery: NurseryId) {
        if let Some(owner) = self.nurseries.get_mut(&nursery) {
            let wakers = owner.wakers.take();
            self.wake_later(wakers);
        }
    }
}

/// The one report of this child's failure.
fn failure(
    children: &mut crate::keys::KeyMap<ChildId, crate::boxes::ChildBox>,
    end: ChildEnd,
) -> ActorFailed {
    let child = children
        .values_mut()
        .find(|c| c.process.as_ref().is_some_and(|p| Some(p.pid()) == end.pid) && !c.ended);
    match child {
        Some(child) => child.fail(end),
        None => ActorFailed::new(end, String::new(), String::new()),
    }
}
