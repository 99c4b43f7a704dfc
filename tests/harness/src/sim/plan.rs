//! The programs of a run: what every task of every actor does, drawn from the seed before anything
//! happens. A task of a plan is started by name: the function `17.4` is plan 17,
//! asked for the fourth time that anything was.

use tractor_core::OverrunPolicy;
use tractor_core::msg::FuncType;

use super::options::Options;
use crate::random::Source;

/// The number of a plan.
pub type PlanId = usize;

/// What one task does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What kind of function it is.
    pub func: FuncType,
    /// How it begins.
    pub begin: Begin,
    /// What it does, in order; after `started`, when it is a context.
    pub steps: Vec<Step>,
    /// What goes over its stream, when it has one.
    pub stream: Option<StreamPlan>,
    /// How it ends.
    pub end: End,
}

/// What goes over a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamPlan {
    /// Items that the task sends.
    pub down: u32,
    /// Items that its caller sends.
    pub up: u32,
    /// Bytes of each.
    pub len: usize,
    /// How long each reader takes for an item, ms.
    pub read_ms: u64,
    /// What each side, the caller's first, does when more items come than it reads.
    pub policies: [OverrunPolicy; 2],
    /// The caller stops reading after so many, and ends its block.
    pub enough: Option<u32>,
    /// Each side closes its receiving end after so many.
    pub closes: Option<u32>,
}

/// How a task begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At once.
    AtOnce,
    /// It takes its time.
    Late {
        /// Until it is accepted.
        accept_ms: u64,
        /// Until a context is set up, after that.
        start_ms: u64,
    },
    /// It is refused, as one is whose function does not exist.
    Refused,
    /// A context fails before it is set up.
    FailsSetup,
}

/// How a task ends, when nobody ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It returns.
    Return,
    /// It fails with an error of its own.
    Fail,
    /// It panics.
    Panic,
    /// It waits until it is cancelled.
    Forever,
    /// The same, and then takes so long to clean up, ms.
    Slow(u64),
    /// The same, and its cleanup fails.
    FailsCleanup,
    /// It is never over, whatever anybody asks.
    Stuck,
    /// It cancels itself.
    Cancelled,
}

/// Whom a task calls.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// The so-and-so-manieth child that is there.
    Child(usize),
    /// The parent.
    Parent,
    /// An actor by its name, from the registrar.
    Named(usize),
}

/// What is asked of the registrar.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    /// Where an actor of this name is, as soon as there is one.
    Wait(usize),
    /// Who has this name, and then whoever else has it.
    Watch(usize),
    /// Who there is.
    List,
    /// That nobody answers at the address of the actor of this name, true or not.
    ReportDead(usize),
}

/// One step of a task.
#[derive(Clone, Debug)]
pub enum Step {
    /// Waits, ms.
    Sleep(u64),
    /// Opens a nursery with these children, does the steps in it, and ends it.
    Nursery {
        /// Its children.
        children: Vec<ChildPlan>,
        /// Its body.
        body: Vec<Step>,
        /// Cancels it at the end of the body, instead of waiting for its children.
        cancel: bool,
    },
    /// Runs a task at another actor, and waits for its end.
    Call {
        /// Where.
        to: Who,
        /// What.
        plan: PlanId,
        /// The block around it is cancelled after so long, ms.
        limit: Option<u64>,
    },
    /// Does all of them at once.
    Both(Vec<Vec<Step>>),
    /// Does the steps, and handles what they fail of.
    Catch(Vec<Step>),
    /// Does these, but drops them after so long (ms), as a future that is not ours may do: nobody
    /// waits for what they have begun.
    Dropped {
        /// What is dropped.
        steps: Vec<Step>,
        /// When.
        ms: u64,
    },
    /// Asks another actor to end, as somebody who is not its parent may, or its parent.
    CancelActor(Who),
    /// Asks the registrar something.
    Ask(Ask),
    /// Fails.
    Fail,
}

/// One child.
#[derive(Clone, Debug)]
pub struct ChildPlan {
    /// Its name's number.
    pub name: usize,
    /// Its death is only reported.
    pub isolated: bool,
    /// It connects back.
    pub back: bool,
    /// It speaks the base protocol only.
    pub base: bool,
    /// The one task that it is for.
    pub main: Option<PlanId>,
}

/// All programs of a run.
#[derive(Clone, Debug, Default)]
pub struct Plans {
    /// By number.
    pub all: Vec<Plan>,
    /// What each root does.
    pub roots: Vec<Vec<Step>>,
}

/// Draws plans until the options' limits are reached.
struct Drawing<'a> {
    source: &'a mut Source,
    options: &'a Options,
    plans: Vec<Plan>,
    steps: usize,
    actors: usize,
}

impl Plans {
    /// The programs of a run.
    pub fn draw(source: &mut Source, options: &Options) -> Plans {
        let mut drawing = Drawing { source, options, plans: Vec::new(), steps: 0, actors: 0 };
        let roots = (0..options.roots).map(|_| drawing.root()).collect();
        Plans { all: drawing.plans, roots }
    }
}

impl Drawing<'_> {
    fn root(&mut self) -> Vec<Step> {
        self.actors += 1;
        let mut steps = vec![self.nursery(0, 4)];
        if self.source.below(2) == 0 {
            steps = vec![Step::Catch(steps), self.nursery(0, 3)];
        }
        steps.extend(self.some(0, false));
        steps
    }

    fn some(&mut self, depth: usize, has_children: bool) -> Vec<Step> {
        (0..1 + self.source.below(3)).filter_map(|_| self.step(depth, has_children)).collect()
    }

    fn step(&mut self, depth: usize, has_children: bool) -> Option<Step> {
        if self.steps >= self.options.steps {
            return None;
        }
        self.steps += 1;
        Some(match self.source.below(23) {
            0..=2 => Step::Sleep([0, 1, 5, 30, 200][self.source.below(5)]),
            3..=5 if depth < self.options.depth => self.nursery(depth, 2),
            6..=8 => {
                let branches = 2 + self.source.below(2);
                Step::Both((0..branches).map(|_| self.some(depth, has_children)).collect())
            }
            9 | 12 => Step::Catch(self.some(depth, has_children)),
            10 | 14 => self.cancel_actor(has_children),
            13 if self.source.once_in(2) => Step::Ask(self.ask()),
            11 if self.source.once_in(3) => Step::Fail,
            20..=22 => Step::Dropped {
                steps: self.some(depth, has_children),
                ms: [0, 1, 4, 30, 200][self.source.below(5)],
            },
            _ => self.call(depth, has_children),
        })
    }

    fn call(&mut self, depth: usize, has_children: bool) -> Step {
        let to = self.who(has_children);
        let limit = [None, None, Some(0), Some(3), Some(50)][self.source.below(5)];
        Step::Call { to, plan: self.plan(depth + 1), limit }
    }

    /// By one, twice, or by two at once.
    fn cancel_actor(&mut self, has_children: bool) -> Step {
        let whom = self.who(has_children);
        let one = Step::CancelActor(whom);
        match self.source.below(6) {
            0 => Step::Both(vec![vec![one.clone()], vec![one]]),
            1 | 2 => {
                let named = Step::CancelActor(Who::Named(self.source.below(self.actors + 1)));
                let to = self.who(has_children);
                let plan = self.calling(vec![named.clone()]);
                Step::Both(vec![vec![named], vec![Step::Call { to, plan, limit: None }]])
            }
            _ => one,
        }
    }

    /// A call that does these.
    fn calling(&mut self, steps: Vec<Step>) -> PlanId {
        let (func, begin, end) = (FuncType::Call, Begin::AtOnce, End::Return);
        self.plans.push(Plan { func, begin, steps, stream: None, end });
        self.plans.len() - 1
    }

    fn ask(&mut self) -> Ask {
        let name = self.source.below(self.actors + 1);
        match self.source.below(4) {
            0 => Ask::Wait(name),
            1 => Ask::Watch(name),
            2 => Ask::List,
            _ => Ask::ReportDead(name),
        }
    }

    fn who(&mut self, has_children: bool) -> Who {
        match self.source.below(8) {
            0 => Who::Named(self.source.below(self.actors + 1)),
            1 => Who::Parent,
            _ if has_children => Who::Child(self.source.below(4)),
            _ => Who::Named(self.source.below(self.actors + 1)),
        }
    }

    fn nursery(&mut self, depth: usize, at_most: usize) -> Step {
        let count = 1 + self.source.below(at_most);
        let children: Vec<ChildPlan> = (0..count).filter_map(|_| self.child(depth)).collect();
        let has_children = !children.is_empty();
        Step::Nursery {
            children,
            body: self.some(depth, has_children),
            cancel: self.source.below(4) > 0,
        }
    }

    fn child(&mut self, depth: usize) -> Option<ChildPlan> {
        if self.actors >= self.options.actors {
            return None;
        }
        let name = self.actors;
        self.actors += 1;
        let idle = if self.options.depth > 3 { 4 } else { 2 };
        let main = (self.source.below(idle) > 0).then(|| self.plan(depth + 1));
        Some(ChildPlan {
            name,
            isolated: self.source.once_in(5),
            back: self.source.once_in(3),
            base: self.options.base && self.source.once_in(3),
            main,
        })
    }

    fn plan(&mut self, depth: usize) -> PlanId {
        let func = [FuncType::Call, FuncType::Context, FuncType::Context, FuncType::Stream]
            [self.source.below(4)];
        // Where trees may be deep some are.
        let nests = if self.options.depth > 3 { 7 } else { 4 };
        let steps = match self.source.below(8) {
            0..=1 => self.some(depth, false),
            n if (2..=nests).contains(&n) && depth < self.options.depth => {
                vec![self.nursery(depth, 3)]
            }
            _ => Vec::new(),
        };
        let stream = (func != FuncType::Call && self.source.below(3) > 0).then(|| self.stream());
        let (begin, end) = (self.begin(), self.end());
        self.plans.push(Plan { func, begin, steps, stream, end });
        self.plans.len() - 1
    }

    fn stream(&mut self) -> StreamPlan {
        let count = |source: &mut Source| [0, 1, 5, 80, 300][source.below(5)] as u32;
        StreamPlan {
            down: count(self.source),
            up: count(self.source),
            len: [0, 8, 60, 2000, 30_000][self.source.below(5)],
            read_ms: if self.source.once_in(4) { 2 } else { 0 },
            policies: [self.policy(), self.policy()],
            enough: self.source.once_in(6).then(|| self.source.below(6) as u32),
            closes: self.source.once_in(10).then(|| self.source.below(6) as u32),
        }
    }

    fn policy(&mut self) -> OverrunPolicy {
        match self.source.below(10) {
            0 => OverrunPolicy::Error,
            1 => OverrunPolicy::DropOldest([1, 20][self.source.below(2)]),
            _ => OverrunPolicy::Backpressure,
        }
    }

    fn begin(&mut self) -> Begin {
        let mut wait = || [0, 2, 40][self.source.below(3)];
        let late = Begin::Late { accept_ms: wait(), start_ms: wait() };
        match self.source.below(16) {
            0 => late,
            1 if self.source.once_in(3) => Begin::Refused,
            2 if self.source.once_in(3) => Begin::FailsSetup,
            _ => Begin::AtOnce,
        }
    }

    fn end(&mut self) -> End {
        match self.source.below(20) {
            0 if self.source.once_in(3) => End::Panic,
            0..=8 => End::Return,
            9..=11 => End::Fail,
            12..=14 => End::Forever,
            15 => End::Slow([1, 20, 80][self.source.below(3)]),
            16 => End::FailsCleanup,
            17 => End::Cancelled,
            18 if self.options.stuck => End::Stuck,
            19 if self.options.stuck => End::Slow(4000),
            _ => End::Return,
        }
    }
}
