//! What must hold, by name. A check that fails ends the run; none of it is in the product.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tractor_core::{
    Census, ChildId, CloseReason, ConnId, DialogEvent, DialogId, Effect, EndReason, Event, Instant,
    Life, NurseryEvent, NurseryId, Outcome, Output, Uid,
};

use tractor_core::error::Violation;
use tractor_core::msg::{FuncType, RemoteError};
use tractor_core::supervise::ChildEnd;

use super::kernel::{Host, HostId, Kernel, Process, Way};
use super::mail::DialogMail;
use super::task::{Failure, Far, LOST};

/// Credit for so many is there before a receiver says how much there is (`docs/protocol.md` §6.7).
const EARLY_ITEMS: usize = 64;

/// The same in bytes, and what each item counts on top of its length.
const EARLY_BYTES: usize = 64 << 10;
const ITEM_COST: usize = 64;

/// The number of an error that a program raised.
pub type ErrorId = u32;

/// Errors that no task raises, but a core: of who takes too long, reads too slowly, asks too much.
/// (And `ActorCancelled`, of who asks an actor that is to end.)
const BY_THE_RUNTIME: [&str; 3] = ["ActorTooSlowError", "StreamOverrun", "RuntimeError"];

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With the value of [`value`].
    Returned,
    /// With these errors.
    Failed(Vec<ErrorId>),
    /// It was told to end, and did.
    Cancelled,
}

/// What a task returns: a number, which is that of its way.
pub fn value(way: usize) -> [u8; 5] {
    let [a, b, c, d] = (way as u32).to_be_bytes();
    [0xce, a, b, c, d]
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Checks {
    base: bool,
    /// What did not hold, by the name of the check.
    pub broken: Vec<(&'static str, String)>,
    done: BTreeSet<(String, DialogId)>,
    told: BTreeSet<(String, DialogId)>,
    opened: BTreeSet<(String, ConnId)>,
    closed: BTreeSet<(String, ConnId)>,
    ended: BTreeSet<(String, ChildId)>,
    nurseries: BTreeSet<(String, NurseryId)>,
    /// Since when an actor is to end, and its time for that.
    closing: BTreeMap<String, (Instant, Duration)>,
    /// Errors that programs raised: where they pass by on their way up.
    pub raised: BTreeMap<ErrorId, Way>,
    /// Pieces of tasks that were dropped: nobody hears what they fail of.
    pub dropped: BTreeSet<u32>,
    /// Actors that ended, or a task of them, without being told to by another.
    pub ended_itself: BTreeSet<Uid>,
    /// How the tasks ended that were asked for, as they did it themselves, by their ways' numbers.
    pub endings: BTreeMap<usize, Ending>,
    /// Who has asked for the end of anything, be it its own.
    askers: BTreeSet<Uid>,
    /// Who asked an actor to end at last, by whom that is.
    cancels: BTreeMap<HostId, (Instant, HostId)>,
    /// Senders that wait for room, and since when.
    pub blocked: BTreeMap<(HostId, DialogId), Duration>,
    /// Those of a task that nobody waits for any more: its dialog has ended before.
    pub unheard: BTreeSet<ErrorId>,
    /// How often each was told to somebody who handles it.
    pub reported: BTreeMap<ErrorId, u32>,
}

/// The checks, and what each is about.
pub const ALL: &[(&str, &str)] = &[
    ("one outcome", "each side of a dialog has exactly one outcome, and hears nothing after it"),
    ("told once", "a task is told to end once, while it runs"),
    ("one end", "a child is reported once, a connection opens and closes once, in this order"),
    ("no message after closed", "a nursery that has closed says nothing more"),
    ("budget", "an actor has ended when its time for that is over"),
    ("a deadline", "an actor that is to end has one for whatever it waits for, a handshake, too"),
    ("no orphan", "an actor that has ended has no child that lives"),
    ("nothing left", "an actor that ends keeps no dialog, child, nursery, connection or deadline"),
    ("liveness", "after everything was told to end, everything has ended, in bounded time"),
    ("errors are kept", "an error is told exactly once to who handles it, unless its way was cut"),
    ("no error from nowhere", "only errors that were raised are told"),
    ("no failure from nowhere", "a child has failed only where something went wrong with it"),
    ("order", "the items of a stream come in order, without a gap"),
    ("all items", "a stream that ended well has brought all of its items"),
    ("who cancelled", "a cancellation names somebody who asked for it"),
    ("no violation", "actors of ours break no rule of the protocol"),
    ("as it ended", "an outcome is what the task did, or somebody on its way was cut off"),
    ("nothing new at the end", "an actor that is to end starts nothing, nor does a nursery"),
    ("credit", "no more items wait to be read than there was credit for"),
    ("no ghosts", "the registry does not tell of an actor that is gone for long"),
    ("nobody works for the gone", "a task whose outcome is known before it ends is told to end"),
    ("no stall", "where nothing hangs, no sender waits for room for long"),
    ("no livelock", "the world comes to rest after a bounded number of events"),
];

impl Checks {
    /// Nothing was seen. `base`: some actors speak the base protocol only, and know no credit.
    pub fn new(base: bool) -> Checks {
        Checks { base, ..Checks::default() }
    }

    /// Something does not hold.
    pub fn fail(&mut self, check: &'static str, what: String) {
        debug_assert!(ALL.iter().any(|(name, _)| *name == check), "{check} is not listed");
        self.broken.push((check, what));
    }

    /// It has to hold.
    pub fn must(&mut self, check: &'static str, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(check, what());
        }
    }

    /// Checks what a core has decided against what it had before. `hangs`: somebody may be slow.
    pub fn output(&mut self, host: &Host, output: &Output, hangs: bool) {
        match output {
            Output::Event(Event::Dialog(id, event)) => self.dialog(host, *id, event),
            Output::Event(Event::Nursery(id, event)) => self.nursery(host, *id, event),
            Output::Event(event) => self.life(host, event, hangs),
            Output::Effect(Effect::StartTask { func, .. }) => {
                let ending = self.closing.contains_key(&host.name);
                self.must("nothing new at the end", !ending, || format!("{}: {func}", host.name));
            }
            Output::Effect(Effect::Spawn { child, .. }) => {
                let ending = self.closing.contains_key(&host.name);
                self.must("nothing new at the end", !ending, || {
                    format!("{}: {child:?}", host.name)
                });
            }
            Output::Effect(Effect::CancelTask { dialog }) => {
                let fresh = self.told.insert((host.name.clone(), *dialog));
                self.must("told once", fresh, || format!("{}: {dialog:?}", host.name));
            }
            _ => {}
        }
    }

    fn dialog(&mut self, host: &Host, id: DialogId, event: &DialogEvent) {
        let key = (host.name.clone(), id);
        let over = self.done.contains(&key);
        self.must("one outcome", !over, || format!("{}: {event:?} after it", host.name));
        if let DialogEvent::Done(_) = event {
            self.done.insert(key);
        }
        let unread = host.mail.dialogs.get(&id).map_or(0, |mail| mail.items.len());
        let most = host.actor.as_ref().map_or(0, |actor| actor.config().window_items as usize);
        let holds = unread <= most.max(EARLY_ITEMS);
        self.must("credit", holds, || format!("{}: {unread} unread", host.name));
        self.credit_in_bytes(host, id);
    }

    /// One item may be longer than all the room.
    fn credit_in_bytes(&mut self, host: &Host, id: DialogId) {
        let Some((mail, actor)) = host.mail.dialogs.get(&id).zip(host.actor.as_ref()) else {
            return;
        };
        let costs = mail.items.iter().map(|(_, len)| len + ITEM_COST);
        let longest = costs.clone().max().unwrap_or(0);
        let most = EARLY_BYTES.max(actor.config().window_bytes as usize) + longest;
        let unread: usize = costs.sum();
        let holds = unread <= most || self.base || !mail.brakes;
        self.must("credit", holds, || format!("{}: {unread} of {most} bytes", host.name));
    }

    /// Whoever ends has a deadline for it, whatever he waits for.
    pub fn check_deadline(&mut self, host: &Host) {
        let Some(actor) = &host.actor else { return };
        let holds = actor.life() != Life::Closing || actor.next_deadline().is_some();
        self.must("a deadline", holds, || format!("{} waits for ever", host.name));
    }

    fn nursery(&mut self, host: &Host, id: NurseryId, event: &NurseryEvent) {
        let key = (host.name.clone(), id);
        let over = self.nurseries.contains(&key);
        self.must("no message after closed", !over, || format!("{}: {event:?}", host.name));
        match event {
            NurseryEvent::Closed => drop(self.nurseries.insert(key)),
            NurseryEvent::CancelBody => self.asks(host),
            NurseryEvent::Ended { child, .. } => {
                let fresh = self.ended.insert((host.name.clone(), *child));
                self.must("one end", fresh, || format!("{}: {event:?}", host.name));
            }
            _ => {}
        }
    }

    fn life(&mut self, host: &Host, event: &Event, hangs: bool) {
        let name = || host.name.clone();
        match event {
            Event::Opened { conn, .. } => {
                let key = (name(), *conn);
                let fresh = !self.closed.contains(&key) && self.opened.insert(key);
                self.must("one end", fresh, || format!("{}: {event:?}", host.name));
            }
            Event::Closed { conn, why } => {
                let fresh = self.closed.insert((name(), *conn));
                self.must("one end", fresh, || format!("{}: {event:?}", host.name));
                self.closed_by(host, *conn, why, hangs);
            }
            Event::Closing { budget, why } => {
                let now = host.actor.as_ref().map_or(Instant::default(), |actor| actor.now());
                self.closing.insert(name(), (now, *budget));
                self.asks(host);
                let us = host.actor.as_ref().map(|actor| actor.uid().clone());
                let by_another = |by: &Uid| us.as_ref() != Some(by);
                if !matches!(why, EndReason::Cancelled { by } if by_another(by)) {
                    self.ended_itself.extend(us);
                }
            }
            Event::Ended { .. } => self.has_ended(host),
            _ => {}
        }
    }

    /// Bytes that were cut, or a process too slow for its limits, are the world's fault.
    fn closed_by(&mut self, host: &Host, conn: ConnId, why: &CloseReason, hangs: bool) {
        let CloseReason::Violation(violation) = why else { return };
        let text = violation.to_string();
        let excused = match violation {
            Violation::CutFrame => host.cut.contains(&conn),
            Violation::HandshakeTimeout | Violation::NotReading => hangs,
            // It was given up on while it was on its way.
            Violation::WrongToken => true,
            _ => false,
        };
        self.must("no violation", excused, || format!("{}: {text}", host.name));
    }

    fn has_ended(&mut self, host: &Host) {
        // Timers are late by a moment each; a clock that jumped or a stopped process is excused.
        const LATE: Duration = Duration::from_millis(20);
        let Some((since, budget)) = self.closing.get(&host.name) else { return };
        let now = host.actor.as_ref().map_or(*since, |actor| actor.now());
        let took = since.until(now);
        let in_time = took <= *budget + LATE || host.lapsed >= Some(*since);
        let text = format!("{} took {took:?} of {budget:?}", host.name);
        self.must("budget", in_time, || text);
    }

    /// It asks for the end of something.
    pub fn asks(&mut self, host: &Host) {
        self.askers.extend(host.actor.as_ref().map(|actor| actor.uid().clone()));
    }

    /// A program raises an error; its way up is what has to be well for it to come through.
    pub fn raise(&mut self, way: &Way) -> ErrorId {
        let id = self.raised.len() as ErrorId;
        self.raised.insert(id, way.clone());
        id
    }

    /// Somebody handles these.
    pub fn report(&mut self, ids: &[ErrorId]) {
        for id in ids {
            let known = self.raised.contains_key(id);
            self.must("no error from nowhere", known, || format!("error {id}"));
            *self.reported.entry(*id).or_default() += 1;
        }
    }
}

/// Everything must have ended, and every error be told.
pub fn at_rest(kernel: &mut Kernel) {
    for id in 0..kernel.hosts.len() {
        let host = &kernel.hosts[id];
        let reaped = host.process == Process::Reaped;
        let text = format!("{}: {:?}, {:?}", host.name, host.process, census(host));
        kernel.checks.must("liveness", reaped, || text);
    }
    errors_are_kept(kernel);
}

impl Kernel {
    /// Whether something in this world takes longer than it should, so that limits may be reached.
    pub fn something_hangs(&self) -> bool {
        self.stuck || self.is_slow()
    }

    /// An actor that has ended, and whose connections are closed, keeps nothing.
    pub fn check_nothing_left(&mut self, host: HostId) {
        let left = census(&self.hosts[host]);
        let actor = self.hosts[host].actor.as_ref();
        let deadline = actor.and_then(tractor_core::Actor::next_deadline);
        let nothing = left.is_none_or(|(_, left)| left == Census::default()) && deadline.is_none();
        let holds = nothing || self.hosts[host].forced;
        let text = format!("{} has {left:?}, {deadline:?}", self.hosts[host].name);
        self.checks.must("nothing left", holds, || text);
    }

    /// A connection on which nobody introduces himself ends, before the world gets well.
    pub fn check_handshakes(&mut self) {
        const LATE: Duration = Duration::from_millis(20);
        for end in &self.ends {
            let host = &self.hosts[end.host];
            let Some((dialed, actor)) = end.dialed.zip(host.actor.as_ref()) else { continue };
            let most = actor.config().handshake_timeout + LATE;
            let due = dialed.until(self.now) > most && host.lapsed < Some(dialed);
            let waits = end.alive && !host.mail.conns.contains_key(&end.conn);
            let holds = !(due && waits) || host.process != Process::Runs;
            self.checks.must("a deadline", holds, || format!("{}: {:?}", host.name, end.conn));
        }
    }

    /// No plan has a child fail: that needs a fault, or a registrar that has ended before.
    pub fn check_child(&mut self, host: HostId, child: ChildId, end: &ChildEnd) {
        let is_hurt = |host: HostId| self.hosts[host].hurt || self.hosts[host].forced;
        let born = self.hosts[host].children.get(&child).copied();
        let quits = born.is_some_and(|born| self.hosts[born].quits);
        let excused = is_hurt(host) || born.is_some_and(is_hurt) || quits;
        let holds = !end.failed || excused || self.something_hangs();
        let text = format!("{}: {child:?}: {end:?}", self.hosts[host].name);
        self.checks.must("no failure from nowhere", holds, || text);
    }

    /// A cancellation that is not ours names who asked for it.
    pub fn check_canceller(&mut self, host: HostId, error: &RemoteError, asked: bool) {
        let us = self.hosts[host].actor.as_ref().map(|actor| actor.uid().clone());
        let ours = asked && error.canceller == us && us.is_some();
        let itself = error.canceller.as_ref() == Some(&error.src);
        let known = match &error.canceller {
            Some(uid) if itself => self.checks.ended_itself.contains(uid),
            Some(uid) => !ours && self.checks.askers.contains(uid),
            None => false,
        };
        let text = || format!("host {host}, which asked: {asked}: {error:?}");
        self.checks.must("who cancelled", known, text);
    }

    /// Somebody asks an actor to end.
    pub fn cancels(&mut self, host: HostId, conn: ConnId) {
        self.checks.asks(&self.hosts[host]);
        let Some(target) = self.host_at(host, conn) else { return };
        let is_child = |parent: HostId, child: HostId| {
            self.hosts[child].parent.is_some_and(|(of, _)| of == parent)
        };
        self.cover.hit(if host == target {
            "cancel: of an actor by itself"
        } else if is_child(host, target) {
            "cancel: of a child"
        } else if is_child(target, host) {
            "cancel: of the parent"
        } else {
            "cancel: of a third actor"
        });
        let last = self.checks.cancels.insert(target, (self.now, host));
        if let Some((at, by)) = last
            && at.until(self.now) < Duration::from_millis(20)
        {
            self.cover.hit(if by == host { "cancel: twice" } else { "cancel: by two at once" });
        }
    }

    /// A task returns.
    pub fn returns(&mut self, host: HostId, dialog: DialogId, way: usize) {
        self.checks.endings.insert(way, Ending::Returned);
        let mail = self.hosts[host].mail.dialogs.get(&dialog);
        if mail.is_some_and(|mail| mail.cancelled) {
            self.cover.hit("race: it is to be cancelled, and has returned");
        }
    }

    /// An outcome is what the task did; or who was asked is gone, or on its way out.
    pub fn check_ending(&mut self, host: HostId, far: Far, outcome: &Outcome) {
        let ending = self.checks.endings.get(&far.way);
        let is_out = |host: HostId| {
            let host = &self.hosts[host];
            host.hurt || host.died.is_some() || host.mail.closing
        };
        let cut = is_out(host) || far.to.is_none_or(is_out);
        let holds = match outcome {
            Outcome::Returned(pld) => {
                let is_gen = far.func == FuncType::Stream;
                let is_its = if is_gen { pld[..] == [0xc0] } else { pld[..] == value(far.way) };
                // A base peer says the same of a generator that was cancelled.
                let did = ending == Some(&Ending::Returned) || (is_gen && self.options.base);
                did && is_its
            }
            Outcome::Errored { error, violation: None } => match Failure::parse(error) {
                told if told.ids.is_empty() && error.src_type != LOST => {
                    let is_late = error.src_type == "ActorCancelled" && cut;
                    is_late || BY_THE_RUNTIME.iter().any(|name| error.src_type == *name)
                }
                told => ending == Some(&Ending::Failed(told.ids)),
            },
            Outcome::Cancelled { by_us: true, .. } => ending != Some(&Ending::Returned),
            Outcome::Cancelled { .. } => ending == Some(&Ending::Cancelled) || cut,
            Outcome::PeerLost { .. } => cut,
            _ => true,
        };
        let text = format!("host {host}, at {far:?}: {outcome:?}, and it {ending:?}");
        self.checks.must("as it ended", holds, || text);
    }

    /// A task that was cancelled has its outcome within its budget, be the far end alive or not.
    pub fn check_cancelled(&mut self, host: HostId, since: Instant) {
        const LATE: Duration = Duration::from_millis(100);
        let host = &self.hosts[host];
        let budget = host.actor.as_ref().map_or(LATE, |actor| actor.config().teardown_budget);
        let took = since.until(self.now);
        let in_time = took <= budget + LATE || host.lapsed >= Some(since);
        let text = format!("{}: a cancelled task took {took:?}", host.name);
        self.checks.must("budget", in_time, || text);
    }

    /// Everything is told to end: by now, whoever could go on has.
    pub fn check_stalls(&mut self) {
        const LONG: Duration = Duration::from_secs(2);
        let now = self.passed();
        let stalled = |(_, since): &(&(HostId, DialogId), &Duration)| now - **since > LONG;
        let stalled: Vec<_> = self.checks.blocked.iter().filter(stalled).collect();
        let holds = stalled.is_empty() || self.something_hangs();
        let text = format!("{stalled:?}");
        self.checks.must("no stall", holds, || text);
        for host in &self.hosts {
            let vain = |mail: &DialogMail| mail.callee && mail.done.is_some() && !mail.cancelled;
            let works = host.mail.dialogs.values().any(vain);
            self.checks.must("nobody works for the gone", !works, || host.name.clone());
        }
    }
}

/// What is left of an actor.
fn census(host: &Host) -> Option<(tractor_core::Life, tractor_core::Census)> {
    host.actor.as_ref().map(|actor| (actor.life(), actor.census()))
}

fn errors_are_kept(kernel: &mut Kernel) {
    let raised: Vec<(ErrorId, Way)> =
        kernel.checks.raised.iter().map(|(id, way)| (*id, way.clone())).collect();
    for (id, way) in raised {
        let times = kernel.checks.reported.get(&id).copied().unwrap_or(0);
        let cut = kernel.checks.unheard.contains(&id)
            || way.pieces.iter().any(|piece| kernel.checks.dropped.contains(piece))
            || way.hosts.iter().any(|host| kernel.hosts[*host].hurt);
        let name = |host: &HostId| kernel.hosts[*host].name.as_str();
        let names: Vec<&str> = way.hosts.iter().map(name).collect();
        let text = format!("error {id}, on its way up {names:?}, was told {times} times");
        let kept = times == 1 || (times == 0 && cut);
        kernel.checks.must("errors are kept", kept, || text);
    }
}
