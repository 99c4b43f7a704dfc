//! What the runs have really reached. What is listed and never reached means that a run does not do
//! what it is believed to do.

use std::collections::BTreeMap;

use tractor_core::{Signal, Timer};

use super::options::Fault;

/// How often, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    counts: BTreeMap<&'static str, u64>,
}

impl Cover {
    /// Counts one.
    pub fn hit(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// A fault came.
    pub fn fault(&mut self, fault: Fault) {
        self.hit(match fault {
            Fault::Split => "fault: split",
            Fault::Stall => "fault: stall",
            Fault::Reset => "fault: reset",
            Fault::Refuse => "fault: refuse",
            Fault::DelayConnect => "fault: delayconnect",
            Fault::HalfOpen => "fault: halfopen",
            Fault::Partition => "fault: partition",
            Fault::Kill => "fault: kill",
            Fault::KillBoot => "fault: killboot",
            Fault::Crash => "fault: crash",
            Fault::Stop => "fault: stop",
            Fault::SlowSpawn => "fault: slowspawn",
            Fault::SpawnFail => "fault: spawnfail",
            Fault::Lag => "fault: lag",
            Fault::Jump => "fault: jump",
            Fault::Interrupt => "fault: interrupt",
        });
    }

    /// A signal was sent.
    pub fn signal(&mut self, signal: Signal) {
        self.hit(match signal {
            Signal::Terminate => "signal: SIGTERM",
            Signal::Kill => "signal: SIGKILL",
        });
    }

    /// A deadline has come.
    pub fn timer(&mut self, timer: Timer) {
        self.hit(match timer {
            Timer::Handshake(_) => "deadline: handshake",
            Timer::Unread(_) => "deadline: unread",
            Timer::ActorAck(_) => "deadline: actor ack",
            Timer::PeerOpen(_) => "deadline: peer open",
            Timer::TaskEnd(_) => "deadline: task end",
            Timer::Boot(_) => "deadline: boot",
            Timer::Ack(_) => "deadline: ack",
            Timer::Kill(_) => "deadline: kill",
            Timer::Report(_) => "deadline: report",
            Timer::Reap(_) => "deadline: reap",
            Timer::LateAck => "deadline: late ack",
            Timer::Farewell => "deadline: farewell",
            Timer::End => "deadline: end",
            _ => "deadline: another",
        });
    }

    /// How often this was reached.
    pub fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Adds what another run has reached.
    pub fn add(&mut self, other: &Cover) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// By name.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().map(|(what, count)| (*what, *count))
    }
}
