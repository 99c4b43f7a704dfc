//! Asking at an address who is there: a connection that is closed once the answer is known. A root
//! asks before it boots; a registrar asks whether base peers live, whose records no lease holds,
//! and who is at an address that two claim, and puts off what it was asked about them.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Actor, Timer};
use crate::addr::Address;
use crate::channel::Role;
use crate::error::{Misuse, Violation};
use crate::id::{Cid, ConnId, Text, Uid};
use crate::msg::{Aid, Request};
use crate::output::{CloseReason, Effect, Event, Found};
use crate::registry::Owner;
use crate::time::Instant;

/// How far a question has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The transport does not stand yet.
    Dialling,
    /// Somebody took the connection.
    Reached,
}

/// What a question is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    /// The application wants to know.
    Asked,
    /// Whether this actor lives, at this address.
    Proof(Uid, Address),
}

/// A question that is under way.
#[derive(Debug)]
pub(super) struct Probe {
    reach: Reach,
    purpose: Purpose,
}

/// What is put off until it is known who lives.
#[derive(Debug)]
enum Matter {
    Request(Cid, Request),
    /// The report of an address, and who had it.
    Report(Cid, Address, Uid),
    /// A child of ours is ready at an address.
    Ready(Uid, Address),
}

impl Matter {
    fn is_claim(&self) -> bool {
        matches!(self, Matter::Request(_, Request::Register { .. }) | Matter::Ready(..))
    }

    /// Where the answer goes.
    fn cid(&self) -> Option<&Cid> {
        match self {
            Matter::Request(cid, _) | Matter::Report(cid, ..) => Some(cid),
            Matter::Ready(..) => None,
        }
    }
}

/// A peer's matter that is put off.
#[derive(Debug)]
pub(super) struct Doubt {
    conn: ConnId,
    matter: Matter,
    /// The questions that are under way.
    open: BTreeSet<ConnId>,
}

/// What a probe calls itself, which nobody looks up: as in the reference.
const PROBE_NAME: Text = Text::from_static("registry-probe");

/// The part of all that is put off which one connection may have.
const DOUBTS_SHARE: usize = 4;

/// Actors that are asked at once whether they live.
const PROOFS_MAX: usize = 64;

/// Of those that one request is about.
const PROOFS_EACH_MAX: usize = 16;

impl Actor {
    /// Asks at an address who is there, without being met as a peer. [`Event::Probed`] tells,
    /// within [`probe_timeout`](crate::Config::probe_timeout).
    ///
    /// # Errors
    /// [`Misuse::Closing`] or [`Misuse::TooMany`].
    pub fn probe(&mut self, now: Instant, addr: Address) -> Result<ConnId, Misuse> {
        self.advance(now);
        self.open_probe(addr, Purpose::Asked)
    }

    /// Whether a probe is under way.
    pub fn is_probing(&self, conn: ConnId) -> bool {
        self.probes.contains_key(&conn)
    }

    /// Of a registrar: asks the base peers of this name whether they live, as far as that is not
    /// known. The answers change the registry. Returns the probes that are under way.
    pub fn prove(&mut self, now: Instant, name: &str) -> Vec<ConnId> {
        self.advance(now);
        self.prove_named(name)
    }

    /// Of a registrar: nobody answered us at this address. The base peer that has it is asked.
    pub fn report_dead(&mut self, now: Instant, addr: &Address) {
        self.advance(now);
        let held = self.registry.as_ref().and_then(|r| r.base_holder(addr)).cloned();
        if let Some(uid) = held {
            self.prove_one(&uid, addr);
        }
    }

    fn open_probe(&mut self, addr: Address, purpose: Purpose) -> Result<ConnId, Misuse> {
        self.check_serving()?;
        if self.channels.len() >= self.config.conns_max {
            return Err(Misuse::TooMany);
        }
        let uid = Uid { name: PROBE_NAME, uuid: self.rng.uuid() };
        let aid = Aid { uid, is_registrar: None, is_probe: true, ..self.aid(Role::Connected) };
        let conn = self.open_channel_as(Role::Connected, aid);
        self.timers.set(Timer::Handshake(conn), self.now + self.config.probe_timeout);
        self.probes.insert(conn, Probe { reach: Reach::Dialling, purpose });
        self.out.effect(Effect::Connect { conn, addr });
        Ok(conn)
    }

    /// The transport of a connection stands, or at least it is not known that nobody is there.
    pub(super) fn probe_reached(&mut self, conn: ConnId) {
        if let Some(probe) = self.probes.get_mut(&conn) {
            probe.reach = Reach::Reached;
        }
    }

    /// The peer introduced itself: if that was all we wanted, the connection has served. A base
    /// peer that says nothing of it is taken for a registrar, as in the reference.
    pub(super) fn probe_answered(&mut self, conn: ConnId, peer: &Aid) -> bool {
        let Some(probe) = self.probes.remove(&conn) else { return false };
        let found = match (&probe.purpose, peer.is_registrar) {
            (Purpose::Proof(uid, _), _) if *uid != peer.uid => Found::Absent,
            (Purpose::Asked, Some(true) | None) => Found::Registrar,
            _ => Found::Other,
        };
        self.close_conn(conn, CloseReason::ByUs);
        self.probed(conn, probe.purpose, found);
        true
    }

    /// The connection has ended: without an answer, if it was to bring one.
    pub(super) fn probe_ended(&mut self, conn: ConnId, why: &CloseReason) {
        let Some(probe) = self.probes.remove(&conn) else { return };
        let timed_out = *why == CloseReason::Violation(Violation::HandshakeTimeout);
        let found = match probe.reach {
            // Where dialling takes that long somebody is too busy, or far away.
            Reach::Dialling if !timed_out => Found::Absent,
            Reach::Dialling | Reach::Reached => Found::Silent,
        };
        self.probed(conn, probe.purpose, found);
    }

    fn probed(&mut self, conn: ConnId, purpose: Purpose, found: Found) {
        match purpose {
            Purpose::Asked => self.out.event(Event::Probed { conn, found }),
            Purpose::Proof(uid, addr) => {
                self.proven(&uid, &addr, found);
                self.settle_doubts(conn);
            }
        }
    }

    // The registrar's.

    fn proven(&mut self, uid: &Uid, addr: &Address, found: Found) {
        let now = self.now;
        let Some(registry) = &mut self.registry else { return };
        match found {
            Found::Absent => {
                registry.drop_dead(uid, addr);
                self.serve_waiters();
            }
            // A process has the address, which may be busy: nothing is proven.
            Found::Silent => registry.asked(uid, now),
            Found::Registrar | Found::Other => {
                registry.prove(uid, addr, now);
                self.serve_waiters();
            }
        }
        // Whether it has or not: somebody local may wait for this answer.
        self.out.event(Event::RegistryChanged);
    }

    fn prove_one(&mut self, uid: &Uid, addr: &Address) -> Option<ConnId> {
        let purpose = Purpose::Proof(uid.clone(), addr.clone());
        if let Some((conn, _)) = self.probes.iter().find(|(_, probe)| probe.purpose == purpose) {
            return Some(*conn);
        }
        let proofs = self.probes.values().filter(|probe| probe.purpose != Purpose::Asked);
        if proofs.count() >= PROOFS_MAX {
            return None;
        }
        self.open_probe(addr.clone(), purpose).ok()
    }

    fn prove_named(&mut self, name: &str) -> Vec<ConnId> {
        let since = self.stale_since();
        let Some(registry) = &self.registry else { return Vec::new() };
        let unproven = registry.unproven(name, since).take(PROOFS_EACH_MAX);
        let unproven = unproven.map(|(uid, addr)| (uid.clone(), addr.clone())).collect();
        self.prove_all(unproven)
    }

    /// Asks whether those are still there who keep the registry full.
    fn prove_stalest(&mut self) -> Vec<ConnId> {
        let since = self.stale_since();
        let Some(registry) = &self.registry else { return Vec::new() };
        let stalest = registry.stalest(since).take(PROOFS_EACH_MAX);
        let stalest = stalest.map(|(uid, addr)| (uid.clone(), addr.clone())).collect();
        self.prove_all(stalest)
    }

    fn prove_all(&mut self, actors: Vec<(Uid, Address)>) -> Vec<ConnId> {
        actors.iter().filter_map(|(uid, addr)| self.prove_one(uid, addr)).collect()
    }

    /// Who was heard of since then need not be asked.
    fn stale_since(&self) -> Instant {
        let fresh = self.config.record_fresh;
        Instant::from_epoch(self.now.since_epoch().saturating_sub(fresh))
    }

    /// Asks what decides whether this actor can have this address: whether it is there, where
    /// another one has it; whether others live, where there is no room for it.
    fn prove_claim(&mut self, uid: &Uid, addr: &Address) -> Vec<ConnId> {
        let Some(registry) = &self.registry else { return Vec::new() };
        if registry.rival(uid, addr).is_some() {
            return self.prove_one(uid, addr).into_iter().collect();
        }
        match registry.is_full_for(uid, self.config.registry_max) {
            true => self.prove_stalest(),
            false => Vec::new(),
        }
    }

    /// Puts a request off until the actors that it is about were asked. Whether it did.
    pub(super) fn doubt(&mut self, conn: ConnId, cid: &Cid, request: &Request) -> bool {
        if !self.may_doubt(conn) {
            return false;
        }
        let mut reported = None;
        let open = match request {
            Request::Find { name } | Request::Wait { name } => self.prove_named(name.as_str()),
            Request::Watch { name, seen: None } => self.prove_named(name.as_str()),
            Request::Register { .. } if !self.may_claim(conn) => return false,
            Request::Register { uid, addr }
                if self.channels.get(conn).and_then(|c| c.peer_uid()) == Some(uid) =>
            {
                self.prove_claim(uid, addr)
            }
            Request::ReportDead { addr } => {
                reported = self.registry.as_ref().and_then(|r| r.base_holder(addr)).cloned();
                let probe = reported.as_ref().and_then(|uid| self.prove_one(uid, addr));
                probe.into_iter().collect()
            }
            _ => return false,
        };
        let cid = cid.detached();
        let matter = match (request, reported) {
            (Request::ReportDead { addr }, Some(uid)) => Matter::Report(cid, addr.clone(), uid),
            (request, _) => Matter::Request(cid, request.detached()),
        };
        self.put_off(conn, matter, open)
    }

    /// A child of ours is ready at an address that another actor has in the registry.
    pub(super) fn doubt_ready(&mut self, conn: ConnId, uid: &Uid, addr: Address) {
        if self.may_claim(conn) {
            let open = self.prove_claim(uid, &addr);
            self.put_off(conn, Matter::Ready(uid.clone(), addr), open);
        }
    }

    fn may_doubt(&self, conn: ConnId) -> bool {
        let max = self.config.waiters_max;
        let of_conn = self.doubts.iter().filter(|doubt| doubt.conn == conn).count();
        self.doubts.len() < max && of_conn < max.div_ceil(DOUBTS_SHARE)
    }

    /// As [`may_doubt`](Self::may_doubt), for claims: a peer chooses where they are asked about.
    fn may_claim(&self, conn: ConnId) -> bool {
        let of_conn = self.doubts.iter().filter(|doubt| doubt.conn == conn);
        let claims = of_conn.filter(|doubt| doubt.matter.is_claim());
        self.may_doubt(conn) && claims.count() < PROOFS_EACH_MAX
    }

    /// Whether there is anything to wait for.
    fn put_off(&mut self, conn: ConnId, matter: Matter, open: Vec<ConnId>) -> bool {
        if open.is_empty() {
            return false;
        }
        let open = open.into_iter().collect();
        self.doubts.push(Doubt { conn, matter, open });
        true
    }

    /// Serves the requests that waited for this probe alone.
    fn settle_doubts(&mut self, probe: ConnId) {
        let mut settled = Vec::new();
        let mut at = 0;
        while at < self.doubts.len() {
            let open = &mut self.doubts[at].open;
            match open.remove(&probe) && open.is_empty() {
                true => settled.push(self.doubts.remove(at)),
                false => at += 1,
            }
        }
        for Doubt { conn, matter, .. } in settled {
            self.settle(conn, matter);
        }
    }

    fn settle(&mut self, conn: ConnId, matter: Matter) {
        // What was settled before it may have been its end: a lease would never end then.
        if self.channels.get(conn).is_none_or(|channel| channel.is_ended()) {
            return;
        }
        match matter {
            Matter::Request(cid, request) => {
                self.answer_late(conn, |us| us.serve_registry(conn, cid, request));
            }
            Matter::Report(cid, addr, uid) => {
                let held = self.registry.as_ref().and_then(|r| r.base_holder(&addr));
                let dropped = (held != Some(&uid)).then_some(uid);
                self.answer_late(conn, |us| us.answer_report(conn, cid, dropped));
            }
            Matter::Ready(uid, addr) => {
                // Refused: another actor is there, and the child can be used all the same.
                let _ = self.register(&uid, addr, Owner::Lease(conn));
            }
        }
    }

    /// Forgets the requests of a connection, or one of them. Whether there was any.
    pub(super) fn drop_doubts(&mut self, conn: ConnId, cid: Option<&Cid>) -> bool {
        let before = self.doubts.len();
        self.doubts
            .retain(|d| d.conn != conn || cid.is_some_and(|cid| d.matter.cid() != Some(cid)));
        before != self.doubts.len()
    }

    pub(super) fn has_doubt(&self, conn: ConnId, cid: &Cid) -> bool {
        self.doubts.iter().any(|doubt| doubt.conn == conn && doubt.matter.cid() == Some(cid))
    }
}
