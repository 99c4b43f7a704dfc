//! One run: programs drawn, actors made, everything played until nothing happens any more.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tractor_core::supervise::ExitStatus;
use tractor_core::{Config, DialogId};

use super::check;
use super::cover::Cover;
use super::kernel::{self, HostId, Kernel, Process, What};
use super::options::Options;
use super::plan::Plans;
use super::serve;
use super::task::{Cx, Running, World};
use super::trace::{Kept, Note, Trace};
use crate::random::Source;

/// When everything gets well again, and when everything is told to end.
pub const HEAL: Duration = Duration::from_secs(8);
const END: Duration = Duration::from_millis(11_500);

/// How long after that, and after whatever is slow even then, the last process may be there: the
/// teardown budget, and a connection's time to be written out.
const REST: Duration = Duration::from_millis(3700);

/// The same where nothing was ever slow, and every task ends when it is asked to.
const SOON: Duration = Duration::from_secs(1);

/// More happens in no run that comes to rest.
const EVENTS_MAX: u32 = 400_000;

/// How a run went.
#[derive(Debug)]
pub struct Report {
    /// What did not hold: the check's name, and what was seen.
    pub broken: Vec<(&'static str, String)>,
    /// Of all that happened.
    pub hash: u64,
    /// What was reached.
    pub cover: Cover,
    /// How many things happened.
    pub events: u32,
    /// How many processes there were.
    pub actors: usize,
    /// What happened, when it is kept.
    pub notes: Vec<(tractor_core::Instant, Note)>,
    /// The processes' names.
    pub names: Vec<String>,
}

/// The tasks of all actors, and who runs them.
struct Runner {
    world: World,
    plans: Rc<Plans>,
    tasks: BTreeMap<HostId, Vec<Running>>,
    /// Hosts whose boot has begun.
    booted: usize,
}

/// Plays the run of a seed; `options`: other than it would draw.
pub fn play(source: Source, options: Option<Options>, keep: bool) -> Report {
    play_into(source, options, keep.then(Rc::default))
}

/// As [`play`], and what is kept of it outlives it when it panics.
pub fn play_into(mut source: Source, options: Option<Options>, kept: Option<Rc<Kept>>) -> Report {
    let mut beside = source.beside();
    let options = options.unwrap_or_else(|| Options::draw(&mut beside));
    let plans = Rc::new(Plans::draw(&mut source, &options));
    let world = Rc::new(RefCell::new(Kernel::new(source, options, Trace::kept(kept))));
    let runner = Runner { world, plans, tasks: BTreeMap::new(), booted: 0 };
    // Not dropped when it panics: its tasks would command cores that are half done.
    let mut runner = ManuallyDrop::new(runner);
    runner.begin();
    let events = runner.play();
    ManuallyDrop::into_inner(runner).finish(events)
}

impl Runner {
    fn begin(&mut self) {
        let plans = Rc::clone(&self.plans);
        for (n, body) in plans.roots.iter().enumerate() {
            let host = self.world.borrow_mut().add_root(n);
            let cx = Cx::body(&self.world, &self.plans, host);
            self.tasks.entry(host).or_default().push(Box::pin(serve::root(cx, body.clone())));
        }
        self.booted = plans.roots.len();
        let mut kernel = self.world.borrow_mut();
        for _ in 0..kernel.options.count {
            let at = Duration::from_micros(1 << (8 + kernel.source.below(16)));
            kernel.after(at, What::Fault);
        }
        kernel.after(HEAL, What::Heal);
        kernel.after(END, What::End);
    }

    /// Plays until nothing happens any more. How many things happened.
    fn play(&mut self) -> u32 {
        for events in 0..EVENTS_MAX {
            self.run_tasks();
            let mut kernel = self.world.borrow_mut();
            if !kernel.checks.broken.is_empty() || kernel.is_over() {
                return events;
            }
            let Some(what) = kernel.pop() else { return events };
            if kernel.ran() > kernel.last() {
                return events;
            }
            kernel.handle(what);
        }
        let checks = &mut self.world.borrow_mut().checks;
        checks.fail("no livelock", format!("{EVENTS_MAX} events"));
        EVENTS_MAX
    }

    /// Lets all tasks go on that may, in an order of the world's choosing, until none can.
    fn run_tasks(&mut self) {
        loop {
            self.start_new();
            let next = {
                let mut kernel = self.world.borrow_mut();
                match kernel.ready.len() {
                    0 => return,
                    len => {
                        let place = kernel.source.below(len);
                        kernel.ready.swap_remove(place)
                    }
                }
            };
            self.run_host(next);
            self.see_to(next);
        }
    }

    fn run_host(&mut self, host: HostId) {
        let process = self.world.borrow().hosts[host].process;
        match process {
            Process::Runs => {}
            Process::Stopped => return,
            Process::Zombie(_) | Process::Reaped => {
                self.tasks.remove(&host);
                return;
            }
        }
        let mut cx = Context::from_waker(Waker::noop());
        let mut tasks = self.tasks.remove(&host).unwrap_or_default();
        let mut left = Vec::with_capacity(tasks.len());
        while !tasks.is_empty() {
            let place = self.world.borrow_mut().source.below(tasks.len());
            let mut task = tasks.swap_remove(place);
            if task.as_mut().poll(&mut cx) == Poll::Pending {
                left.push(task);
            }
        }
        if self.world.borrow().hosts[host].actor.is_some() {
            self.tasks.entry(host).or_default().extend(left);
        }
    }

    /// Makes tasks of what was asked for.
    fn start_new(&mut self) {
        while self.booted < self.world.borrow().hosts.len() {
            let host = self.booted;
            self.booted += 1;
            let cx = Cx::body(&self.world, &self.plans, host);
            self.tasks.entry(host).or_default().push(Box::pin(serve::boot(cx)));
        }
        let ready = self.world.borrow().ready.clone();
        for host in ready {
            let starts = std::mem::take(&mut self.world.borrow_mut().hosts[host].mail.starts);
            for (dialog, func) in starts {
                self.serve(host, dialog, &func);
            }
        }
    }

    fn serve(&mut self, host: HostId, dialog: DialogId, func: &str) {
        let (plan, way) = func.split_once('.').expect("functions are named by us");
        let plan: usize = plan.parse().expect("a plan's number");
        let number: usize = way.parse().expect("a way's number");
        let mut way = self.world.borrow().ways[number].clone();
        way.hosts.push(host);
        let cx = Cx::body(&self.world, &self.plans, host).callee(dialog, way);
        let plan = self.plans.all[plan].clone();
        let task = Box::pin(serve::serve(cx, dialog, plan, number));
        self.tasks.entry(host).or_default().push(task);
    }

    /// A process whose actor has ended, and whose connections are closed, ends.
    fn see_to(&mut self, host: HostId) {
        let mut kernel = self.world.borrow_mut();
        if !kernel.hosts[host].mail.ended {
            return;
        }
        kernel.check_orphans(host);
        if !kernel.has_open(host) {
            kernel.check_nothing_left(host);
            kernel.die(host, ExitStatus::Code(0));
        }
    }

    fn finish(self, events: u32) -> Report {
        let Runner { world, tasks, .. } = self;
        drop(tasks);
        let mut kernel = world.borrow_mut();
        if kernel.checks.broken.is_empty() {
            check::at_rest(&mut kernel);
        }
        kernel.count_sizes();
        Report {
            broken: std::mem::take(&mut kernel.checks.broken),
            hash: kernel.trace.hash,
            cover: std::mem::take(&mut kernel.cover),
            events,
            actors: kernel.hosts.len(),
            notes: kernel.trace.kept.take().map_or_else(Vec::new, |kept| kept.notes.take()),
            names: kernel.hosts.iter().map(|host| host.name.clone()).collect(),
        }
    }
}

impl Kernel {
    /// Makes a program's root. The first one is the registrar of all.
    fn add_root(&mut self, n: usize) -> HostId {
        let mut config = Config::new(format!("root{n}"));
        config.is_registrar = n == 0;
        if self.options.base && self.source.once_in(4) {
            self.speaks_base(&mut config);
            self.cover.hit(if n == 0 { "base: a registrar" } else { "base: a root" });
        }
        let host = self.add_host(usize::MAX - n, config);
        self.trace.born(self.now, host, &self.hosts[host].name);
        let addr = kernel::address(host);
        self.command(host, |actor, now| {
            actor.enable("app");
            actor.body_started();
            actor.booted(now, vec![addr]).expect("it is new")
        });
        self.wake(host);
        host
    }

    /// Counts the trees that are as deep or as large as may be.
    fn count_sizes(&mut self) {
        let above = |host: &HostId| self.hosts[*host].parent.map(|(parent, _)| parent);
        let depth = |host| std::iter::successors(Some(host), above).count() - 1;
        let deepest = (0..self.hosts.len()).map(depth).max().unwrap_or(0);
        if deepest >= 5 {
            self.cover.hit("tree: five deep");
        }
        if self.hosts.len() >= 10 {
            self.cover.hit("tree: of ten");
        }
    }

    /// When the last process has to be gone: by then all have been told to end, and nothing is
    /// slow any more.
    fn last(&self) -> Duration {
        match self.was_slow() || self.stuck {
            true => END.max(self.slow_until) + REST,
            false => END + SOON,
        }
    }

    /// Whether every process is gone.
    fn is_over(&self) -> bool {
        self.hosts.iter().all(|host| host.process == Process::Reaped)
    }

    /// An actor says that it has ended: no child of it may live.
    fn check_orphans(&mut self, host: HostId) {
        let children: Vec<HostId> = self.hosts[host].children.values().copied().collect();
        for child in children {
            // Made after it was given up on: it dies with its parent's process.
            let given_up = self.hosts[host].hurt || self.hosts[host].lapsed.is_some();
            let lives = self.hosts[child].actor.is_some() && !given_up;
            let text = format!("{} lives after {}", self.hosts[child].name, self.hosts[host].name);
            self.checks.must("no orphan", !lives, || text);
        }
    }
}
