//! Random runs: a few actors, random operations at random moments, bytes cut anywhere, processes
//! that die at any time; then everything is let come to rest, and nothing may be left.

use std::collections::BTreeMap;
use std::time::Duration;

use tractor_core::Signal;
use tractor_core::msg::Features;
use tractor_core::supervise::ExitStatus;

use crate::check;
use crate::op::Op;
use crate::world::World;

/// Where decisions come from.
#[derive(Debug)]
pub enum Source {
    /// A generator: xorshift64*.
    Seed(u64),
    /// Somebody's bytes, such as a fuzzer's; afterwards zeros.
    Bytes(Vec<u8>),
}

impl Source {
    /// A generator. Seeds next to each other give runs that have nothing in common.
    pub fn seed(seed: u64) -> Source {
        Source::Seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03)
    }

    /// Somebody's bytes, the first of them first.
    pub fn bytes(data: &[u8]) -> Source {
        Source::Bytes(data.iter().rev().copied().collect())
    }

    /// One for something else, whose needs may change and leave this one as it is.
    #[must_use]
    pub fn beside(&mut self) -> Source {
        match self {
            Source::Seed(state) => Source::Seed(state.rotate_left(32) ^ 0x94d0_49bb_1331_11eb),
            Source::Bytes(bytes) => Source::Bytes(bytes.split_off(bytes.len().saturating_sub(32))),
        }
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        match self {
            Source::Seed(state) => {
                *state ^= *state >> 12;
                *state ^= *state << 25;
                *state ^= *state >> 27;
                (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
            }
            Source::Bytes(bytes) => bytes.pop().map_or(0, usize::from) % n,
        }
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// Whether there is nothing left to draw from.
    pub fn is_empty(&self) -> bool {
        matches!(self, Source::Bytes(bytes) if bytes.is_empty())
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { Some(&from[self.below(from.len())]) }
    }
}

/// Where the process of a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    Asked,
    Forked,
    Known,
    /// It has ended, and nobody knows yet.
    Dead(ExitStatus),
    Gone,
}

/// One run.
#[derive(Debug)]
pub struct Run {
    /// What it is about.
    pub world: World,
    /// Every op, and all that followed.
    pub log: Vec<String>,
    source: Source,
    processes: BTreeMap<String, Process>,
    labels: usize,
    /// What kind of function each dialog was asked for.
    funcs: BTreeMap<String, &'static str>,
    /// How far each side's task has come: accepted, started, stream opened.
    stages: BTreeMap<String, usize>,
    /// Whether things go wrong in this run.
    troubled: bool,
    /// Roots that are connected as peers.
    roots: Vec<String>,
}

impl Run {
    /// A root, one to three children, perhaps a peer; which of them speak only the base, and what
    /// goes wrong in this run, is drawn too.
    pub fn new(source: Source) -> Run {
        let mut run = Run {
            world: World::new(),
            log: Vec::new(),
            source,
            processes: BTreeMap::new(),
            labels: 0,
            funcs: BTreeMap::new(),
            stages: BTreeMap::new(),
            troubled: true,
            roots: vec!["p".into()],
        };
        let speaks = run.speaks();
        run.line(&format!("actor p{speaks}"));
        run.line("nursery p n");
        for i in 0..=run.source.below(2) {
            run.spawn(&format!("c{i}"));
        }
        if run.source.below(2) == 1 {
            let speaks = run.speaks();
            run.line(&format!("actor q{speaks} lane=2000"));
            run.line("connect q p");
            run.roots.push("q".into());
        }
        if run.source.below(4) > 0 {
            run.come_up();
        }
        run.troubled = run.source.below(2) == 1;
        run
    }

    /// What an actor speaks: all there is, the base, or the base and any of the extensions.
    fn speaks(&mut self) -> String {
        match self.source.below(4) {
            0 => " base".into(),
            1 => format!(" features={}", self.source.below(Features::ALL.0 as usize + 1)),
            _ => String::new(),
        }
    }

    /// All processes come up.
    fn come_up(&mut self) {
        let names: Vec<String> = self.processes.keys().cloned().collect();
        for name in names {
            self.line(&format!("spawned {name}"));
            self.processes.insert(name, Process::Known);
        }
        self.line("run");
        self.housekeeping();
        self.line("run");
    }

    fn spawn(&mut self, name: &str) {
        let isolated = if self.source.once_in(4) { " isolated" } else { "" };
        let kind = match self.source.below(8) {
            0..=2 => self.speaks(),
            3..=5 => " back".into(),
            _ => String::new(),
        };
        if self.line(&format!("spawn p {name}{isolated}{kind}")) {
            self.processes.insert(name.into(), Process::Asked);
        }
    }

    /// Does what a line says; whether it was done. What is refused must have changed nothing.
    fn line(&mut self, line: &str) -> bool {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        match Op::parse(&words[0], &words[1..]) {
            Ok(op) => self.op(&op),
            Err(e) => panic!("{line}: {e}"),
        }
    }

    fn op(&mut self, op: &Op) -> bool {
        let before = self.census();
        self.log.push(op.to_string());
        let result = self.world.apply(op);
        let seen = self.world.trace.len();
        self.world.trace.iter().for_each(|line| check::line(line));
        self.log.append(&mut self.world.trace);
        if let Err(e) = &result {
            self.log.push(format!("! {e}"));
            let partly = e.contains("after");
            assert!(partly || (seen == 0 && before == self.census()), "refused, and yet: {op}");
        }
        result.is_ok()
    }

    fn census(&self) -> Vec<Option<tractor_core::Census>> {
        self.world.hosts.iter().map(|h| h.actor.as_ref().map(|a| a.census())).collect()
    }

    /// All of a run from a seed.
    pub fn play(&mut self) {
        let steps = 20 + self.source.below(180);
        self.steps(steps);
        self.come_to_rest();
    }

    /// So many random operations, or as many as there are bytes for.
    pub fn steps(&mut self, count: usize) {
        for _ in 0..count {
            if self.source.is_empty() {
                return;
            }
            self.step();
            self.housekeeping();
        }
    }

    fn step(&mut self) {
        match self.source.below(60) {
            0..=3 => self.start(),
            4..=32 => self.task(),
            33..=49 => self.wire(),
            50..=54 => drop(self.line("run")),
            55 => {
                let ms = [1, 10, 100, 300, 600][self.source.below(5)];
                self.line(&format!("advance {ms}ms"));
            }
            56..=58 => self.process(),
            _ if self.troubled => self.trouble(),
            _ => drop(self.line("run")),
        }
    }

    fn host(&mut self) -> String {
        let live: Vec<String> =
            self.world.hosts.iter().filter(|h| h.actor.is_some()).map(|h| h.name.clone()).collect();
        self.source.pick(&live).cloned().unwrap_or("p".into())
    }

    fn start(&mut self) {
        let links = self.world.ends.len();
        if links == 0 {
            return;
        }
        let end = self.source.below(links);
        let at = self.world.hosts[self.world.ends[end].host].name.clone();
        let to = self.world.hosts[self.world.ends[end ^ 1].host].name.clone();
        let func = ["call", "context", "context", "stream"][self.source.below(4)];
        self.labels += 1;
        let label = format!("d{}", self.labels);
        self.funcs.insert(label.clone(), func);
        let is_main = self.source.once_in(8) && at == "p" && to.starts_with('c');
        if self.line(&format!("start {at}.{label} {to} {func}")) && is_main {
            self.line(&format!("main {at}.{label} {to}"));
        }
    }

    fn task(&mut self) {
        let all: Vec<(String, String, bool)> = self
            .world
            .hosts
            .iter()
            .filter(|h| h.actor.is_some())
            .flat_map(|h| {
                h.tasks.values().map(|t| (h.name.clone(), t.label.clone(), t.callee, t.over))
            })
            .filter(|(.., over)| !over)
            .map(|(host, label, callee, _)| (host, label, callee))
            .collect();
        let Some((host, label, callee)) = self.source.pick(&all).cloned() else { return };
        let side = format!("{host}.{label}");
        let line = if callee { self.callee_line(&side) } else { self.caller_line(&side) };
        self.line(&line);
    }

    fn send_line(&mut self, side: &str) -> String {
        match self.source.below(6) {
            0..=2 => format!("send {side} n={} val=1", 1 + self.source.below(5)),
            3 => format!("send {side} n={} val=1", 30 + self.source.below(60)),
            4 => format!("send {side} len={}", self.source.below(30_000)),
            _ if self.source.below(4) > 0 => format!("send {side} len=100"),
            _ => format!("send {side} len={}", 60_000 + 200_000 * self.source.below(6)),
        }
    }

    fn open_line(&mut self, side: &str) -> String {
        let policy = ["", "", "", " policy=error", " policy=drop5"][self.source.below(5)];
        format!("open {side}{policy}")
    }

    /// The natural next step of a task, or, now and then, any.
    fn callee_line(&mut self, side: &str) -> String {
        let label = side.split('.').next_back().unwrap_or_default();
        let func = self.funcs.get(label).copied().unwrap_or("call");
        let stage = self.stages.get(side).copied().unwrap_or(0);
        if self.source.once_in(8) {
            return self.any_line(side);
        }
        *self.stages.entry(side.into()).or_default() += 1;
        match (stage, func) {
            (0, _) => format!("accept {side} {func}"),
            (1, "context") => format!("started {side} val=3"),
            (2, "context") => self.open_line(side),
            (_, "call") => self.end_line(side),
            (2..12, _) => self.stream_line(side),
            _ => self.end_line(side),
        }
    }

    fn stream_line(&mut self, side: &str) -> String {
        match self.source.below(32) {
            0..=19 => self.send_line(side),
            20 => format!("closerx {side}"),
            _ => format!("read {side} n={}", 1 + self.source.below(300)),
        }
    }

    fn end_line(&mut self, side: &str) -> String {
        match self.source.below(6) {
            0 => format!("fail {side} ValueError"),
            1 => format!("cancelled {side}"),
            2 => format!("stop {side}"),
            _ => format!("finish {side} val=4"),
        }
    }

    /// Any act of a callee, whether it may or not.
    fn any_line(&mut self, side: &str) -> String {
        match self.source.below(8) {
            0 => {
                let func = ["call", "context", "stream"][self.source.below(3)];
                format!("accept {side} {func}")
            }
            1 => format!("started {side} val=3"),
            2 => self.open_line(side),
            3..=4 => self.stream_line(side),
            _ => self.end_line(side),
        }
    }

    fn caller_line(&mut self, side: &str) -> String {
        let opened = self.stages.contains_key(side);
        match self.source.below(24) {
            0..=7 if !opened => {
                self.stages.insert(side.into(), 1);
                self.open_line(side)
            }
            0..=19 => self.stream_line(side),
            20 => format!("stop {side}"),
            21 => format!("abandon {side}"),
            22 => format!("cancel {side}"),
            _ => self.open_line(side),
        }
    }

    fn wire(&mut self) {
        let links = self.world.ends.len();
        if links == 0 {
            return;
        }
        let end = self.source.below(links);
        let at = self.world.hosts[self.world.ends[end].host].name.clone();
        let to = self.world.hosts[self.world.ends[end ^ 1].host].name.clone();
        let bytes = match self.source.below(4) {
            0 => 1 + self.source.below(9),
            1 => 1 + self.source.below(120),
            2 => 1 + self.source.below(5000),
            _ => usize::MAX,
        };
        match self.source.below(12) {
            0..=3 => self.op(&Op::Flush { at, to, bytes }),
            4..=9 => self.op(&Op::Deliver { at, to, bytes }),
            10 => self.op(&Op::Stall { at, to, on: true }),
            _ => self.op(&Op::Stall { at, to, on: false }),
        };
    }

    /// Something happens to a process.
    fn process(&mut self) {
        let names: Vec<(String, Process)> =
            self.processes.iter().map(|(n, p)| (n.clone(), *p)).collect();
        let Some((name, process)) = self.source.pick(&names).cloned() else { return };
        let next = match (process, self.source.below(8)) {
            (Process::Asked, 0) => {
                self.line(&format!("spawnfailed {name}"));
                Process::Gone
            }
            (Process::Asked, 1..=3) => {
                self.line(&format!("forked {name}"));
                Process::Forked
            }
            (Process::Asked | Process::Forked, _) => {
                self.line(&format!("spawned {name}"));
                Process::Known
            }
            (Process::Dead(status), _) => {
                self.op(&Op::Exited { name: name.clone(), status });
                Process::Gone
            }
            (Process::Known, 7) => self.die(&name, ExitStatus::Signal(11)),
            (process, _) => process,
        };
        self.processes.insert(name, next);
    }

    fn die(&mut self, name: &str, status: ExitStatus) -> Process {
        self.line(&format!("crash {name}"));
        Process::Dead(status)
    }

    fn trouble(&mut self) {
        let host = self.host();
        match self.source.below(10) {
            0 => drop(self.line(&format!("cancelself {host}"))),
            1 => drop(self.line(&format!("bodyended {host}"))),
            2 => drop(self.line("cancelnursery p n")),
            3 => drop(self.line("cancelchild p c0")),
            4 if self.roots.len() > 1 => drop(self.line("cancelpeer q p")),
            5 if self.roots.len() > 1 => drop(self.line("close q p")),
            6 if self.roots.len() > 1 => drop(self.line("eof p q reset")),
            7 if self.roots.len() > 1 => drop(self.line("connect q p")),
            8 => {
                let name = format!("c{}", self.processes.len());
                self.spawn(&name);
            }
            _ => {}
        }
    }

    /// What programs and the system do by themselves: children boot when told, processes end when
    /// their actor has ended, signals work.
    fn housekeeping(&mut self) {
        for (host, child, signal) in std::mem::take(&mut self.world.signals) {
            let name = self.world.hosts[host].children[&child].clone();
            let lives = matches!(self.processes[&name], Process::Forked | Process::Known);
            match signal {
                Signal::Kill if lives => {
                    let dead = self.die(&name, ExitStatus::Signal(9));
                    self.processes.insert(name, dead);
                }
                Signal::Terminate if lives => drop(self.line(&format!("cancelself {name}"))),
                _ => {}
            }
        }
        let names: Vec<String> = self.processes.keys().cloned().collect();
        for name in names {
            self.tend(&name);
        }
    }

    fn tend(&mut self, name: &str) {
        let Ok(host) = self.world.host(name) else { return };
        let own = &self.world.hosts[host];
        let Some(actor) = &own.actor else { return };
        let has_spec = self.world.ends.iter().any(|e| e.host == host && e.alive)
            && actor.life() == tractor_core::Life::Booting
            && actor.parent().and_then(|conn| actor.peer(conn)).is_some();
        let closed = !self.world.ends.iter().any(|e| e.host == host && e.alive);
        if has_spec {
            self.line(&format!("boot {name}"));
        } else if own.ended && closed && self.processes[name] == Process::Known {
            let dead = self.die(name, ExitStatus::Code(0));
            self.processes.insert(name.into(), dead);
        }
    }

    /// Everything that stalls goes on, every task ends, every body ends: after a while nothing may
    /// be left.
    pub fn come_to_rest(&mut self) {
        for end in &mut self.world.ends {
            end.stalled = false;
        }
        for root in self.roots.clone() {
            self.line(&format!("bodyended {root}"));
        }
        self.line("join p n");
        for _ in 0..60 {
            self.end_tasks();
            self.end_processes();
            self.housekeeping();
            self.line("run");
            let Some((at, _)) = self.world.next_deadline() else { break };
            let wait = self.world.now.until(at).max(Duration::from_millis(1));
            self.op(&Op::Advance { by: wait + Duration::from_micros(999) });
        }
        self.end_tasks();
        self.end_processes();
        self.line("run");
        check::at_rest(&self.world);
        for (name, process) in &self.processes {
            assert_eq!(*process, Process::Gone, "the process of {name} is left");
        }
    }

    fn end_tasks(&mut self) {
        let tasks: Vec<String> = self
            .world
            .hosts
            .iter()
            .filter(|h| h.actor.is_some())
            .flat_map(|h| h.tasks.values().map(|t| (format!("{}.{}", h.name, t.label), t)))
            .filter(|(_, t)| t.callee && !t.over)
            .map(|(side, _)| side)
            .collect();
        for side in tasks {
            self.line(&format!("cancelled {side}"));
        }
    }

    fn end_processes(&mut self) {
        let names: Vec<(String, Process)> =
            self.processes.iter().map(|(n, p)| (n.clone(), *p)).collect();
        for (name, process) in names {
            let next = match process {
                Process::Asked | Process::Forked => {
                    self.line(&format!("spawned {name}"));
                    Process::Known
                }
                Process::Dead(status) => {
                    self.op(&Op::Exited { name: name.clone(), status });
                    Process::Gone
                }
                process => process,
            };
            self.processes.insert(name, next);
        }
    }
}

/// A whole run from a seed. Returns its log.
pub fn run(seed: u64) -> Vec<String> {
    let mut run = Run::new(Source::seed(seed));
    run.play();
    run.log
}
