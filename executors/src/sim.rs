//! The executor of simulations: one thread, virtual time, and a seed that decides who runs next.
//!
//! ```text
//!   runnable tasks ── one of them, at random ──> poll ──> costs a microsecond of virtual time
//!   none runnable ─── the clock jumps to the next timer
//!   no timer ──────── nothing can ever happen again: the run is stuck, and panics
//! ```
//!
//! The same seed and the same program give the same run, whatever the machine does: [`Sim::trace`]
//! is a number made of every step. Tasks belong to a [`Group`], which can be paused, and ended
//! without running a line of it: a process that was killed.
//!
//! # Invariants
//! 1. Nothing here reads a clock, a random source or an address in memory.
//! 2. No waker is woken, no future polled and none dropped under the lock.
//! 3. A task of a group that has ended is never polled again. It is dropped after the run, so that
//!    no destructor of it takes part.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::{BoxFuture, Executor, Readiness, Timer};

/// What a step costs: a loop that waits for a time by yielding gets there.
pub const STEP_TIME: Duration = Duration::from_micros(1);

/// The tasks of one simulated process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u32);

/// How far a run may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Polls of tasks. 10 million by default.
    pub steps: u64,
    /// Virtual time. A day by default.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 10_000_000, time: Duration::from_secs(24 * 3600) }
    }
}

/// A simulation's executor, as one group of tasks sees it. Its clones are the same.
#[derive(Clone)]
pub struct Sim {
    state: Arc<Mutex<State>>,
    group: Group,
}

/// The future given to `block_on`, among the tasks.
const MAIN: u64 = 0;

#[derive(Default)]
struct State {
    now: Duration,
    random: Random,
    trace: u64,
    steps: u64,
    limits: Limits,
    tasks: BTreeMap<u64, Task>,
    /// In no order: one of them is chosen at random.
    runnable: Vec<u64>,
    /// Runnable, but of a paused group.
    held: Vec<u64>,
    paused: BTreeSet<Group>,
    ended: BTreeSet<Group>,
    timers: BTreeMap<(Duration, u64), Waker>,
    next_key: u64,
    running: Option<Group>,
    /// What is left of groups that have ended.
    remains: Vec<BoxFuture>,
    closed: bool,
}

struct Task {
    group: Group,
    /// Out while it is polled; never there for the main one.
    future: Option<BoxFuture>,
    queued: bool,
    waker: Waker,
}

/// What to do next.
enum Step {
    Poll(u64, Option<BoxFuture>, Waker),
    Woken(Vec<Waker>),
    Over(String),
}

impl Sim {
    /// An executor whose every choice follows from `seed`, for the tasks of `group`.
    pub fn new(seed: u64, limits: Limits, group: Group) -> Self {
        let random = Random::new(seed);
        let state = State { random, limits, trace: seed, next_key: MAIN + 1, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), group }
    }

    /// The same executor for the tasks of another group.
    pub fn group(&self, group: Group) -> Self {
        Self { state: self.state.clone(), group }
    }

    /// The group whose task is being polled; `None` outside of a poll.
    pub fn running(&self) -> Option<Group> {
        self.lock().running
    }

    /// A random number below `bound`, and 0 when that is 0. The next one of the run's own sequence.
    pub fn random(&self, bound: u64) -> u64 {
        self.lock().random.below(bound)
    }

    /// A random time in the range.
    pub fn random_time(&self, least: Duration, most: Duration) -> Duration {
        let width = most.saturating_sub(least).as_nanos();
        let more = self.random(u64::try_from(width).unwrap_or(u64::MAX).saturating_add(1));
        least.saturating_add(Duration::from_nanos(more))
    }

    /// Mixes something that happened into the trace.
    pub fn note(&self, what: &[u8]) {
        let mut state = self.lock();
        for byte in what {
            state.mix(u64::from(*byte));
        }
    }

    /// A number made of all that has happened: equal for two runs that are the same.
    pub fn trace(&self) -> u64 {
        self.lock().trace
    }

    /// How many times tasks were polled.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Moves the clock forward. What is due by then happens late.
    pub fn jump(&self, by: Duration) {
        let mut state = self.lock();
        state.now = state.now.saturating_add(by);
    }

    /// Stops the tasks of a group, or lets them go on.
    pub fn pause(&self, group: Group, paused: bool) {
        let mut state = self.lock();
        if paused {
            state.paused.insert(group);
        } else if state.paused.remove(&group) {
            let held = std::mem::take(&mut state.held);
            state.runnable.extend(held);
        }
    }

    /// Ends a group: its tasks are never polled again, and what it spawns from now on never begins.
    pub fn end(&self, group: Group) {
        let mut state = self.lock();
        state.ended.insert(group);
        state.paused.remove(&group);
        let of_group =
            |(id, task): (&u64, &Task)| (*id != MAIN && task.group == group).then_some(*id);
        let gone: Vec<u64> = state.tasks.iter().filter_map(of_group).collect();
        for id in gone {
            let future = state.tasks.remove(&id).and_then(|task| task.future);
            state.remains.extend(future);
        }
    }

    /// Drops every task there is, after the run.
    pub fn close(&self) {
        let (tasks, mut futures, timers) = {
            let mut state = self.lock();
            state.closed = true;
            let tasks = std::mem::take(&mut state.tasks);
            (tasks, std::mem::take(&mut state.remains), std::mem::take(&mut state.timers))
        };
        futures.extend(tasks.into_values().filter_map(|task| task.future));
        for future in futures {
            // One that panics must not keep the others from being dropped.
            drop(catch_unwind(AssertUnwindSafe(move || drop(future))));
        }
        drop(timers);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn new_task(&self, id: u64, future: Option<BoxFuture>) {
        let task_waker = TaskWaker { state: Arc::downgrade(&self.state), id };
        let waker = Waker::from(Arc::new(task_waker));
        let mut state = self.lock();
        let group = self.group;
        state.tasks.insert(id, Task { group, future, queued: true, waker });
        state.runnable.push(id);
    }

    /// Polls one spawned task.
    fn poll_task(&self, id: u64, mut future: BoxFuture, waker: &Waker) {
        let cx = &mut Context::from_waker(waker);
        // A panic in a task is the task's own: its future is gone, and the others go on.
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        let mut state = self.lock();
        state.running = None;
        let is_pending = matches!(polled, Ok(Poll::Pending));
        match state.tasks.get_mut(&id) {
            Some(task) if is_pending => task.future = Some(future),
            Some(_) => {
                let task = state.tasks.remove(&id);
                drop(state);
                let ended = AssertUnwindSafe(move || drop((task, future)));
                drop(catch_unwind(ended));
            }
            // Its group has ended meanwhile.
            None => state.remains.push(future),
        }
        drop(polled);
    }
}

/// Forgets the main task, and who runs, also when that panics.
struct Main<'a>(&'a Sim);

impl Drop for Main<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running = None;
        state.tasks.remove(&MAIN);
        state.runnable.retain(|id| *id != MAIN);
    }
}

impl Executor for Sim {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn now(&self) -> Duration {
        self.lock().now
    }

    fn spawn(&self, future: BoxFuture) {
        let id = {
            let mut state = self.lock();
            if state.closed {
                drop(state);
                return drop(future);
            }
            if state.ended.contains(&self.group) {
                return state.remains.push(future);
            }
            state.key()
        };
        self.new_task(id, Some(future));
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(SimTimer { state: self.state.clone(), at: None, key: None })
    }

    /// # Errors
    /// Always: nothing of the system takes part in a simulation.
    fn watch(&self, _: Arc<OwnedFd>) -> io::Result<Box<dyn Readiness>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a simulation has no descriptors"))
    }

    /// # Panics
    /// When the run is stuck, or goes further than its [`Limits`].
    fn block_on(&self, mut future: Pin<&mut dyn Future<Output = ()>>) {
        self.new_task(MAIN, None);
        let _main = Main(self);
        loop {
            let step = self.lock().step();
            match step {
                Step::Poll(id, Some(task), waker) => self.poll_task(id, task, &waker),
                Step::Poll(_, None, waker) => {
                    if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                        return;
                    }
                    self.lock().running = None;
                }
                Step::Woken(wakers) => wakers.into_iter().for_each(Waker::wake),
                Step::Over(why) => panic!("{why}"),
            }
        }
    }
}

impl State {
    /// A number that no task and no timer has had.
    fn key(&mut self) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        key
    }

    /// FNV-1a, a word at a time.
    fn mix(&mut self, word: u64) {
        self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    }

    fn step(&mut self) -> Step {
        if self.steps >= self.limits.steps {
            let text = format!("the simulation has taken {} steps: it goes in circles", self.steps);
            return Step::Over(text);
        }
        if self.timers.first_key_value().is_some_and(|((at, _), _)| *at <= self.now) {
            return Step::Woken(self.due());
        }
        while let Some(id) = self.choose() {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            let group = task.group;
            if self.paused.contains(&group) {
                self.held.push(id);
                continue;
            }
            task.queued = false;
            let (future, waker) = (task.future.take(), task.waker.clone());
            self.running = Some(group);
            self.steps += 1;
            self.now = self.now.saturating_add(STEP_TIME);
            self.mix(id);
            let nanos = self.now.as_nanos() as u64;
            self.mix(nanos);
            return Step::Poll(id, future, waker);
        }
        self.wait()
    }

    /// Takes one of those that can run.
    fn choose(&mut self) -> Option<u64> {
        let index = self.random.below(self.runnable.len() as u64) as usize;
        (index < self.runnable.len()).then(|| self.runnable.swap_remove(index))
    }

    /// Nobody can run: the clock jumps.
    fn wait(&mut self) -> Step {
        let Some((&(at, _), _)) = self.timers.first_key_value() else {
            let text = "the simulation is stuck: no task can run, and none waits for a time";
            return Step::Over(format!("{text} (at {:?})", self.now));
        };
        if at > self.limits.time {
            let limit = self.limits.time;
            return Step::Over(format!("the simulation takes more than {limit:?} of its own time"));
        }
        self.now = at;
        Step::Woken(self.due())
    }

    fn due(&mut self) -> Vec<Waker> {
        let later = self.timers.split_off(&(self.now, u64::MAX));
        std::mem::replace(&mut self.timers, later).into_values().collect()
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sim({:?})", self.group)
    }
}

struct TaskWaker {
    state: Weak<Mutex<State>>,
    id: u64,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(state) = self.state.upgrade() else { return };
        let mut state = lock(&state);
        let Some(task) = state.tasks.get_mut(&self.id) else { return };
        if !std::mem::replace(&mut task.queued, true) {
            state.runnable.push(self.id);
        }
    }
}

struct SimTimer {
    state: Arc<Mutex<State>>,
    at: Option<Duration>,
    key: Option<(Duration, u64)>,
}

impl SimTimer {
    fn unregister(&mut self) {
        if let Some(key) = self.key.take() {
            let waker = lock(&self.state).timers.remove(&key);
            drop(waker);
        }
    }
}

impl Timer for SimTimer {
    fn set(&mut self, at: Option<Duration>) {
        self.unregister();
        self.at = at;
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.unregister();
        let Some(at) = self.at else { return Poll::Pending };
        let waker = cx.waker().clone();
        let mut state = lock(&self.state);
        if state.now >= at {
            drop(state);
            self.at = None;
            return Poll::Ready(());
        }
        let key = (at, state.key());
        let replaced = state.timers.insert(key, waker);
        drop(state);
        drop(replaced);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        self.unregister();
    }
}

impl fmt::Debug for SimTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimTimer").field("at", &self.at).finish_non_exhaustive()
    }
}

/// SplitMix64, by Steele, Lea and Flood: small, fast, and repeatable.
#[derive(Debug, Default)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, by Lemire's multiplication; 0 when that is 0.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// No code that can panic runs under this lock.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
