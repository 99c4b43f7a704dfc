//! Processes: how they are made, stopped, killed and reaped.

use std::time::Duration;

use tractor_core::msg::Features;
use tractor_core::supervise::ExitStatus;
use tractor_core::{ChildId, Config, Input, Signal};

use super::kernel::{EndId, HostId, Kernel, Process, What};
use super::mail::Mail;
use super::options::Fault;

impl Kernel {
    pub(super) fn fork(&mut self, parent: HostId, child: ChildId) {
        let Some(unborn) = self.unborn.remove(&(parent, child)) else { return };
        let uid = self.hosts[parent].actor.as_ref().and_then(|a| a.child_uid(child)).cloned();
        let Some(uid) = uid else { return };
        if self.chance(Fault::SpawnFail, 6) {
            self.hosts[parent].hurt = true;
            let why = "no such program".into();
            return self.fact(parent, Input::SpawnFailed { child, why });
        }
        let mut config = Config::new("");
        config.token = unborn.token;
        if unborn.base {
            self.speaks_base(&mut config);
            self.cover.hit("base: a child");
        }
        config.name = uid.name.to_string();
        config.uuid = Some(uid.uuid.to_string());
        let host = self.add_host(unborn.name, config);
        self.trace.born(self.now, host, &self.hosts[host].name);
        self.hosts[host].parent = Some((parent, child));
        self.hosts[parent].children.insert(child, host);
        let now = self.now;
        let conn = self.hosts[host].actor.as_mut().map(|actor| actor.attach_parent(now));
        let Some(conn) = conn else { return };
        let theirs = match unborn.token {
            Some(_) => self.hosts[parent].actor.as_mut().and_then(|a| a.accepted(now).ok()),
            None => self.hosts[parent].actor.as_ref().and_then(|a| a.child_conn(child)),
        };
        if let Some(theirs) = theirs {
            self.link((parent, theirs), (host, conn));
        }
        self.settle(host);
        self.settle(parent);
        let wait = self.moment();
        self.after(wait, What::Spawned(parent, child));
        if self.chance(Fault::KillBoot, 8) {
            self.hosts[host].hurt = true;
            let wait = self.moment();
            self.after(wait, What::Orphaned(host));
        }
    }

    /// An actor with these settings is as the reference, which asks nobody how far it is.
    pub(super) fn speaks_base(&mut self, config: &mut Config) {
        config.features = Features::BASE;
        config.base_pace = 0;
    }

    pub(super) fn signal(&mut self, host: HostId, child: ChildId, signal: Signal) {
        let Some(&child) = self.hosts[host].children.get(&child) else { return };
        self.cover.signal(signal);
        match signal {
            Signal::Kill => {
                self.hurt_tree(child);
                self.die(child, ExitStatus::Signal(9));
            }
            Signal::Terminate => {
                let hangs = self.something_hangs();
                self.checks.must("budget", hangs, || "SIGTERM, and nothing hangs".into());
                self.after(Duration::ZERO, What::Terminate(child));
            }
        }
    }

    /// A process is gone, and its tasks with it; the kernel closes its sockets and kills its
    /// children.
    pub fn die(&mut self, host: HostId, status: ExitStatus) {
        if self.hosts[host].actor.take().is_none() {
            return;
        }
        self.trace.died(self.now, host, &self.hosts[host].name, status);
        if status != ExitStatus::Code(0) {
            let when = self.hosts[host].mail.stage();
            self.cover.hit(when);
        }
        self.hosts[host].process = Process::Zombie(status);
        self.hosts[host].died = Some(self.passed());
        self.hosts[host].mail = Mail::default();
        self.checks.blocked.retain(|(waits, _), _| *waits != host);
        for what in std::mem::take(&mut self.hosts[host].held) {
            self.after(Duration::ZERO, what);
        }
        self.wake(host);
        let ends: Vec<EndId> = self.hosts[host].conns.values().copied().collect();
        for end in ends {
            self.may_cut(end ^ 1);
            self.shut(end);
        }
        let children: Vec<HostId> = self.hosts[host].children.values().copied().collect();
        for child in children {
            let wait = self.moment();
            self.after(wait, What::Orphaned(child));
        }
        let wait = self.moment();
        self.after(wait, What::Exited(host));
    }

    pub(super) fn reap(&mut self, host: HostId) {
        let Process::Zombie(status) = self.hosts[host].process else { return };
        self.hosts[host].process = Process::Reaped;
        if let Some((parent, child)) = self.hosts[host].parent {
            self.fact(parent, Input::ChildExited { child, status });
        }
    }

    /// Stops a process for a while.
    pub fn stop(&mut self, host: HostId, span: Duration) {
        if self.hosts[host].process == Process::Runs {
            self.hosts[host].process = Process::Stopped;
            self.slow(span);
            self.after(span, What::Continue(host));
        }
    }

    /// It goes on, with all that has come meanwhile.
    pub fn go_on(&mut self, host: HostId) {
        if self.hosts[host].process != Process::Stopped {
            return;
        }
        self.hosts[host].process = Process::Runs;
        self.hosts[host].lapsed = Some(self.now);
        for what in std::mem::take(&mut self.hosts[host].held) {
            self.after(Duration::ZERO, what);
        }
        self.wake(host);
    }
}
