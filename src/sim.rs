//! Programs of actors in simulation: one thread, virtual time, and a seed that decides everything
//! that can be one way or another.
//!
//! [`run`] runs an ordinary program, whose actors are then tasks of this thread instead of
//! processes: nurseries, portals, contexts, streams, scopes, timeouts and discovery are the same,
//! and so is every byte that actors say to each other. Nothing waits: when no task can run, the
//! clock jumps to the next timer. Which task runs next, how long bytes are under way and where
//! reads are cut follows from the seed. The same seed is the same run; another seed is another
//! order of things. [`search`] looks for a seed with which a program fails.
//!
//! ```
//! #[tractor::rpc]
//! async fn add(a: u64, b: u64) -> u64 {
//!     a + b
//! }
//!
//! async fn program() -> tractor::Result<u64> {
//!     tractor::open_nursery(async |an| {
//!         let adder = an.start_actor("adder").enable(tractor::module!()).await?;
//!         tractor::scope::sleep(std::time::Duration::from_secs(3600)).await?; // takes no time
//!         let sum = adder.run(add { a: 3, b: 4 }).await?;
//!         adder.cancel_actor().await?;
//!         Ok(sum)
//!     })
//!     .await
//! }
//!
//! # fn main() -> tractor::Result<()> {
//! assert_eq!(tractor::sim::run(1, program).result?, 7);
//! assert!(tractor::sim::search(0..20, program).is_none());
//! # Ok(()) }
//! ```
//!
//! A program with `#[tractor::main]` that is built with the feature `sim` needs no change at all:
//! with `TRACTOR_SIM_SEED=<seed>` in its environment it runs in simulation.
//! `TRACTOR_SIM_FAULTS=all` lets things fail in it, or those that it names ([`Faults`] as text);
//! `TRACTOR_SIM_LOG=<level>` has what is logged on stderr, for a program that has no logger.
//!
//! # What fails
//! [`Faults`] is a kit: kills, crashes, pauses; links that are cut, stalled or silent; partitions;
//! connects that are refused or slow; failing spawns, clock jumps, as the seed says. A program that
//! knows that it is simulated does them by hand: [`kill`], [`crash`], [`pause`], [`cut`],
//! [`stall`], [`silence`], [`partition`], [`refuse_connects`], [`slow_connects`], [`fail_spawns`],
//! [`jump`].
//!
//! # What is not simulated
//! * Memory: actors of a run are in one process, and share its statics. A real child has its own.
//! * Threads, files, sockets, random numbers and `std::time` (and so deadlines that are an
//!   `Instant`: give timeouts): they are the real ones, and a run that depends on them is another
//!   one each time. [`unblock`](crate::unblock) runs its work at once, on the simulation's thread;
//!   a task that waits for another thread makes the run stuck.
//! * A child's command line, environment, directory, stdin and captured output: `args`, `env`,
//!   `cwd`, `stdin_inherit`, `stdout`, `stderr` and `loglevel` have no effect, and with `exe` its
//!   spawn fails.
//! * Backtraces: an error that crosses actors has none.
//! * Signals to the root; `std::process::exit` ends the run's process, not the actor.
//! * Time that passes while code computes: a task that is polled takes a microsecond, whatever it
//!   does, and nothing else happens meanwhile.

use std::cell::RefCell;
use std::fmt::Debug;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use tractor_executors::Executor as _;

use crate::ambient::WithRoot;
use crate::host::Host;
use crate::os::{ExitStatus, Signal};
use crate::root::{RootConfig, over};
use crate::{init, panics, scope};

mod config;
mod faults;
mod net;
mod program;
mod search;
#[cfg(test)]
mod tests;
mod world;

pub use config::Config;
pub use faults::Faults;
pub use program::{Program, start_program};
pub use search::{Failure, search};
use world::{ROOT, World};

/// The variable that has a program run in simulation, with one seed.
const SEED_ENV: &str = "TRACTOR_SIM_SEED";

/// What fails in it.
const FAULTS_ENV: &str = "TRACTOR_SIM_FAULTS";

/// The level of what it logs.
const LOG_ENV: &str = "TRACTOR_SIM_LOG";

/// Those that there are.
const LEVELS: &str = "`off`, `error`, `warn`, `info`, `debug` or `trace`";

thread_local! {
    static CURRENT: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// What became of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run<T, E> {
    /// What the program returned.
    pub result: Result<T, E>,
    /// The seed that it ran with.
    pub seed: u64,
    /// A number made of all that happened: equal for two runs that are the same.
    pub trace: u64,
    /// How many times tasks were polled.
    pub steps: u64,
    /// How long it took, in its own time.
    pub time: Duration,
}

/// Runs a program in simulation, until it and all of its actors have ended. `config` is a seed, or
/// more. When the program returns an error, the seed is printed, as it is when it panics.
///
/// # Panics
/// With the panic of the program, when that panics outside of its actors. When the run is stuck (no
/// task can run, and none waits for a time), or goes further than [`Config`] allows. Inside of
/// another run.
pub fn run<T, E, F, Fut>(config: impl Into<Config>, program: F) -> Run<T, E>
where
    E: Debug,
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let config = config.into();
    let seed = config.seed;
    let run = catch_unwind(AssertUnwindSafe(|| run_quietly(config, program)));
    let how = format!("repeat it with `tractor::sim::run({seed}, ..)`");
    match run {
        Ok(run) => {
            if let Err(error) = &run.result {
                eprintln!("the simulation with seed {seed} failed: {error:?}; {how}");
            }
            run
        }
        Err(panic) => {
            eprintln!("the simulation with seed {seed} panicked; {how}");
            resume_unwind(panic)
        }
    }
}

/// As [`run`], without a word about how it ended.
fn run_quietly<T, E, F, Fut>(config: Config, program: F) -> Run<T, E>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let seed = config.seed;
    let (result, world) = simulate(config, program);
    let (trace, steps, time) = (world.sim.trace(), world.sim.steps(), world.sim.now());
    Run { result, seed, trace, steps, time }
}

/// Runs a program, whatever it returns, and tells it with what is left of its world.
fn simulate<F: Future>(config: Config, program: impl FnOnce() -> F) -> (F::Output, Arc<World>) {
    panics::watch();
    let world = World::new(config);
    let entered = Entered::new(world.clone());
    faults::inject(&world);
    let executor = world.executor(ROOT);
    let scopes = scope::Root::new(executor.clone(), scope::DEFAULT_BUDGET);
    let main = async {
        let body = async { program().await };
        let output = WithRoot::new(RootConfig::named("root"), scopes.run_all(body)).await;
        settle(&world, ROOT).await;
        output
    };
    let output = catch_unwind(AssertUnwindSafe(|| init::block_on(executor.as_ref(), main)));
    if output.is_err() {
        eprint!("{}", world.dump());
    }
    let left = world.children();
    world.sim.close();
    drop(entered);
    let output = output.unwrap_or_else(|panic| resume_unwind(panic));
    assert!(left.is_empty(), "the program ended before its actors: {left:?}");
    (output, world)
}

/// What the environment asks for: a simulation with this seed, which tells what happens in it.
pub(crate) fn asked_for() -> Option<Config> {
    let seed = std::env::var(SEED_ENV).ok()?;
    let seed = seed.parse();
    let seed = seed.unwrap_or_else(|_| panic!("{SEED_ENV} is no number: give the one of a run"));
    let faults = std::env::var(FAULTS_ENV).map_or(Ok(Faults::none()), |text| text.parse());
    let faults = faults.unwrap_or_else(|error| panic!("{FAULTS_ENV}: {error}"));
    Some(Config::new(seed).faults(faults).verbose(true))
}

/// Runs the body of a `main`.
pub(crate) fn run_main<F: Future>(config: Config, body: impl FnOnce() -> F) -> F::Output {
    if let Ok(level) = std::env::var(LOG_ENV) {
        let known = level.parse::<log::LevelFilter>().is_ok();
        assert!(known, "{LOG_ENV}: `{level}` is no level: give {LEVELS}");
        crate::log::init_child(Some(&level));
    }
    simulate(config, body).0
}

/// Waits for the roots that a program has dropped: they end in the background.
async fn settle(world: &World, pid: u32) {
    for root in world.roots().into_iter().filter(|root| root.host.pid() == pid) {
        over(&root).await;
    }
}

/// This thread runs a simulation.
struct Entered;

impl Entered {
    fn new(world: Arc<World>) -> Entered {
        let before = CURRENT.with(|current| current.replace(Some(world)));
        assert!(before.is_none(), "a simulation can't run inside of another one");
        Entered
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let world = CURRENT.with(|current| current.take());
        drop(world);
    }
}

fn current() -> Option<Arc<World>> {
    CURRENT.with(|current| current.borrow().clone())
}

/// The simulated process that the running code is in.
pub(crate) fn host() -> Option<Arc<dyn Host>> {
    current().map(|world| world.host(world.running()))
}

/// Whether the running code is simulated.
pub fn is_running() -> bool {
    // A panic hook may ask when this thread has nothing any more.
    CURRENT.try_with(|current| current.borrow().is_some()).unwrap_or(false)
}

/// The run that the running code is part of.
#[track_caller]
fn world() -> Arc<World> {
    current().expect("this is for programs in simulation: call it inside of `tractor::sim::run`")
}

/// The time since the beginning of the run, as its clock has it.
///
/// # Panics
/// Outside of a simulation, as all that follow do.
pub fn now() -> Duration {
    world().sim.now()
}

/// A number below `bound`, and 0 when that is 0: random, and the same in each run with this seed.
///
/// # Panics
/// Outside of a simulation.
pub fn random(bound: u64) -> u64 {
    world().sim.random(bound)
}

/// Kills the actor of this name, as SIGKILL does: not one line of it runs any more, no cleanup and
/// no destructor, and its own children die with it. Of several the youngest. False when there is
/// none, or it is the main program's root. One that kills itself goes on to its next suspension.
///
/// # Panics
/// Outside of a simulation.
pub fn kill(name: &str) -> bool {
    let world = world();
    world.find(name).is_some_and(|pid| world.signal(pid, Signal::KILL.as_raw()))
}

/// Sends SIGTERM to the actor of this name: as nothing in it catches that, it ends at once, or when
/// it goes on. False when there is none.
///
/// # Panics
/// Outside of a simulation.
pub fn terminate(name: &str) -> bool {
    let world = world();
    world.find(name).is_some_and(|pid| world.signal(pid, Signal::TERM.as_raw()))
}

/// Ends the actor of this name with an exit code of its own, as when it calls `exit` in the middle
/// of its work: otherwise as [`kill`]. As the system does, its parent sees the lowest eight bits of
/// the code: -1 is 255. One that is stopped ends when it goes on. False when there is none.
///
/// # Panics
/// Outside of a simulation.
pub fn crash(name: &str, code: i32) -> bool {
    let world = world();
    world.find(name).is_some_and(|pid| world.exit(pid, ExitStatus::Code(code & 0xff)))
}

/// Stops the actor of this name, as SIGSTOP does. False when there is none.
///
/// # Panics
/// Outside of a simulation.
pub fn pause(name: &str) -> bool {
    let world = world();
    world.find(name).is_some_and(|pid| world.pause(pid, true))
}

/// Lets the actor of this name go on, as SIGCONT does. False when there is none.
///
/// # Panics
/// Outside of a simulation.
pub fn resume(name: &str) -> bool {
    let world = world();
    world.find(name).is_some_and(|pid| world.pause(pid, false))
}

/// Breaks every link between two actors: what is under way is lost. How many there were.
///
/// # Panics
/// Outside of a simulation.
pub fn cut(one: &str, other: &str) -> usize {
    between(one, other, |world, one, other| world.net.cut(one, other))
}

/// For so long, nothing arrives on any link between two actors, and no new one comes about. How
/// many there are.
///
/// # Panics
/// Outside of a simulation.
pub fn stall(one: &str, other: &str, time: Duration) -> usize {
    between(one, other, |world, one, other| world.net.stall(one, other, time))
}

/// For so long, nothing that the one says on a link that is open now arrives at the other, and
/// nobody is told, not even of its end: only deadlines find out. New links are as they should be.
/// How many are silent.
///
/// # Panics
/// Outside of a simulation.
pub fn silence(from: &str, to: &str, time: Duration) -> usize {
    between(from, to, |world, from, to| world.net.silence(from, to, time))
}

/// For so long, these actors and the children that they start from now on are apart from all
/// others: nothing arrives across, and a connect across fails, or hangs until it is over, as the
/// seed says. The children that they have already stay outside, unless they are named. Whom nobody
/// knows is left out. How many links cross it.
///
/// # Panics
/// Outside of a simulation.
pub fn partition<N: AsRef<str>>(names: impl IntoIterator<Item = N>, time: Duration) -> usize {
    let world = world();
    let inside = names.into_iter().filter_map(|name| world.find(name.as_ref())).collect();
    world.partition(inside, time)
}

/// So many of the next connects to where somebody listens are refused.
///
/// # Panics
/// Outside of a simulation.
pub fn refuse_connects(count: u32) {
    world().net.refuse(count, Duration::MAX);
}

/// So many of the next connects take so much longer.
///
/// # Panics
/// Outside of a simulation.
pub fn slow_connects(count: u32, time: Duration) {
    world().net.delay_connects(count, time, Duration::MAX);
}

#[track_caller]
fn between(one: &str, other: &str, act: impl FnOnce(&World, u32, u32) -> usize) -> usize {
    let world = world();
    let (Some(a), Some(b)) = (world.find(one), world.find(other)) else { return 0 };
    world.event(format_args!("{one} and {other}: by hand"));
    act(&world, a, b)
}

/// So many of the next spawns fail, as if the system had no more processes.
///
/// # Panics
/// Outside of a simulation.
pub fn fail_spawns(count: u32) {
    world().fail_spawns(count);
}

/// Moves the clock forward, as when the machine was asleep: what is due by then is late.
///
/// # Panics
/// Outside of a simulation.
pub fn jump(by: Duration) {
    world().jump(by);
}
