//! Asking at an address who is there: a connection that is closed once the answer is known.

use super::{Actor, Timer};
use crate::addr::Address;
use crate::channel::Role;
use crate::error::{Misuse, Violation};
use crate::id::{ConnId, Text, Uid};
use crate::msg::Aid;
use crate::output::{CloseReason, Event, Found};
use crate::time::Instant;

/// How far a question has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The transport does not stand yet.
    Dialling,
    /// Somebody took the connection.
    Reached,
}

/// A question that is under way.
#[derive(Debug)]
pub(super) struct Probe {
    reach: Reach,
}

/// What a probe calls itself, which nobody looks up: as in the reference.
const PROBE_NAME: Text = Text::from_static("registry-probe");

impl Actor {
    /// Asks at an address who is there, without being met as a peer. [`Event::Probed`] tells, within
    /// [`probe_timeout`](crate::Config::probe_timeout).
    ///
    /// # Errors
    /// [`Misuse::Closing`] or [`Misuse::TooMany`].
    pub fn probe(&mut self, now: Instant, addr: Address) -> Result<ConnId, Misuse> {
        self.advance(now);
        self.check_serving()?;
        if self.channels.len() >= self.config.conns_max {
            return Err(Misuse::TooMany);
        }
        let uid = Uid { name: PROBE_NAME, uuid: self.rng.uuid() };
        let aid = Aid { uid, is_registrar: None, is_probe: true, ..self.aid(Role::Connected) };
        let conn = self.open_channel_as(Role::Connected, aid);
        self.timers.set(Timer::Handshake(conn), self.now + self.config.probe_timeout);
        self.probes.insert(conn, Probe { reach: Reach::Dialling });
        self.out.effect(crate::output::Effect::Connect { conn, addr });
        Ok(conn)
    }

    /// The transport of a connection stands.
    pub(super) fn probe_reached(&mut self, conn: ConnId) {
        if let Some(probe) = self.probes.get_mut(&conn) {
            probe.reach = Reach::Reached;
        }
    }

    /// The peer introduced itself: if that was all we wanted, the connection has served. A base
    /// peer that says nothing of it is taken for a registrar, as in the reference.
    pub(super) fn probe_answered(&mut self, conn: ConnId, peer: &Aid) -> bool {
        let Some(probe) = self.probes.remove(&conn) else { return false };
        let found = match peer.is_registrar {
            Some(false) => Found::Other,
            Some(true) | None => Found::Registrar,
        };
        self.probed(conn, &probe, found);
        self.close_conn(conn, CloseReason::ByUs);
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
        self.probed(conn, &probe, found);
    }

    fn probed(&mut self, conn: ConnId, _probe: &Probe, found: Found) {
        self.out.event(Event::Probed { conn, found });
    }
}
