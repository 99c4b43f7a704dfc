//! What goes wrong, and how it gets well again.

use std::time::Duration;

use tractor_core::EndReason;
use tractor_core::supervise::ExitStatus;

use super::kernel::{EndId, HostId, Kernel, Process, What};
use super::options::Fault;
use super::run;

impl Kernel {
    /// One of the faults that are on, somewhere.
    pub fn fault(&mut self) {
        if !self.troubled || self.options.faults.is_empty() {
            return;
        }
        let fault = self.options.faults[self.source.below(self.options.faults.len())];
        let happened = match fault {
            Fault::Stall | Fault::Reset | Fault::HalfOpen => self.hurt_a_link(fault),
            Fault::Kill | Fault::Crash | Fault::Stop | Fault::Interrupt => self.hurt_a_host(fault),
            Fault::Partition => self.partition(),
            Fault::Jump => {
                let by = [1, 60, 3600][self.source.below(3)];
                // What is under way may be given up on.
                for end in 0..self.ends.len() {
                    if !self.ends[end].inbox.is_empty() || self.ends[end].fin {
                        self.hurt_link(end);
                    }
                }
                self.jump(Duration::from_secs(by));
                self.slow(Duration::ZERO);
                true
            }
            // The others come where they belong: at each write, connect and spawn.
            _ => false,
        };
        if happened {
            self.cover.fault(fault);
            self.trace.fault(self.now, fault);
        }
    }

    fn living_link(&mut self) -> Option<EndId> {
        let living = |end: &EndId| self.ends[*end].alive && self.ends[*end ^ 1].alive;
        let all: Vec<EndId> = (0..self.ends.len()).filter(living).collect();
        (!all.is_empty()).then(|| all[self.source.below(all.len())])
    }

    fn hurt_a_link(&mut self, fault: Fault) -> bool {
        let Some(end) = self.living_link() else { return false };
        self.hurt_link(end);
        match fault {
            Fault::Stall => {
                let span = [50, 600, 3000, 7000][self.source.below(4)];
                self.stall(end, Duration::from_millis(span));
            }
            Fault::HalfOpen => {
                self.slow(run::HEAL.saturating_sub(self.ran()));
                // In one direction, or in both.
                self.ends[end].mute = true;
                self.ends[end ^ 1].mute |= self.source.below(2) == 1;
            }
            _ => self.reset(end),
        }
        true
    }

    /// Both ends hear of it, each in its time; what was under way is cut somewhere.
    fn reset(&mut self, end: EndId) {
        for end in [end, end ^ 1] {
            let keep = self.source.below(self.ends[end].inbox.len() + 1);
            self.ends[end].inbox.truncate(keep);
            if let Some((_, bytes)) = self.ends[end].inbox.back_mut() {
                let len = self.source.below(bytes.len().max(1));
                bytes.truncate(len);
            }
            self.ends[end].fin = true;
            self.may_cut(end);
            let wait = self.moment();
            self.after(wait + Duration::from_millis(4), What::Arrive(end));
        }
    }

    fn hurt_a_host(&mut self, fault: Fault) -> bool {
        let lives = |id: &HostId| self.hosts[*id].process == Process::Runs;
        let all: Vec<HostId> = (0..self.hosts.len()).filter(lives).collect();
        if all.is_empty() {
            return false;
        }
        let host = all[self.source.below(all.len())];
        if fault == Fault::Interrupt {
            let why = EndReason::Interrupted { signal: 2 };
            self.hosts[host].quits = true;
            return self.command(host, |actor, now| actor.cancel_self(now, why)).is_some();
        }
        self.hurt_tree(host);
        match fault {
            Fault::Kill => self.die(host, ExitStatus::Signal(9)),
            Fault::Crash => self.die(host, ExitStatus::Code(3)),
            _ => {
                let span = [100, 700, 2600, 8000][self.source.below(4)];
                self.stop(host, Duration::from_millis(span));
            }
        }
        true
    }

    /// What happens to a process happens to those it made, too.
    pub(super) fn hurt_tree(&mut self, host: HostId) {
        self.hosts[host].hurt = true;
        let children: Vec<HostId> = self.hosts[host].children.values().copied().collect();
        children.into_iter().for_each(|child| self.hurt_tree(child));
    }

    /// Some hosts can't reach the others for a while; nobody is told.
    fn partition(&mut self) -> bool {
        let cut: Vec<bool> = self.hosts.iter().map(|_| self.source.below(2) == 1).collect();
        let span = Duration::from_millis([300, 1500, 6000][self.source.below(3)]);
        let mut any = false;
        self.parted = Some((self.now + span, cut.clone()));
        for end in 0..self.ends.len() {
            let (here, there) = (self.ends[end].host, self.ends[end ^ 1].host);
            if cut[here] != cut[there] && self.ends[end].alive {
                self.hurt_link(end);
                self.stall(end, span);
                any = true;
            }
        }
        any
    }

    /// From now on nothing goes wrong: what hung goes on, and silent links are found to be broken,
    /// as the system does sooner or later.
    pub fn heal(&mut self) {
        self.check_handshakes();
        self.troubled = false;
        self.parted = None;
        for host in 0..self.hosts.len() {
            self.go_on(host);
        }
        for end in 0..self.ends.len() {
            self.stall(end, Duration::ZERO);
            // Also where it was silent in one direction only: what is said now has a gap before it.
            if std::mem::take(&mut self.ends[end].mute) {
                for end in [end, end ^ 1] {
                    self.ends[end].fin = true;
                    self.may_cut(end);
                    self.after(Duration::ZERO, What::Arrive(end));
                }
            }
        }
    }

    /// All programs that still run are interrupted.
    pub fn end_all(&mut self) {
        self.check_stalls();
        for host in 0..self.hosts.len() {
            if self.hosts[host].parent.is_none() {
                let why = EndReason::Interrupted { signal: 2 };
                self.command(host, |actor, now| actor.cancel_self(now, why).ok());
            }
        }
    }
}
