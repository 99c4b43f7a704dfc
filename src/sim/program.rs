//! Programs beside the main one: each a process of its own, with a tree of its own.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};

use super::world::{PROGRAM, SimProcess, World, lock};
use super::{settle, world};
use crate::ambient::WithRoot;
use crate::error::Result;
use crate::os::ExitStatus;
use crate::root::RootConfig;
use crate::scope;

/// The exit code of a program that has panicked.
const PANICKED: i32 = 101;

/// Starts another program, beside the one that [`run`](super::run) was given: a process of its own,
/// which is nobody's child. What it opens is a tree of its own, whose root has `name` unless it
/// says otherwise. The two find each other as any programs do, by a registry whose address both
/// know ([`RootConfig::registry_addrs`]).
///
/// It can be killed by its name, or by that of its root, and is then gone with all its tree.
///
/// ```
/// use tractor::{Address, Result, RootConfig, open_root_actor, scope, sim, wait_for_actor};
///
/// fn config() -> RootConfig {
///     let registry: Address = "/ip4/127.0.0.1/tcp/1616".parse().expect("it is one");
///     RootConfig::default().registry_addrs([registry])
/// }
///
/// async fn daemon() -> Result<()> {
///     let minute = std::time::Duration::from_secs(60);
///     open_root_actor(config(), async |_| scope::sleep(minute).await).await
/// }
///
/// let run = sim::run(1, || async {
///     let daemon = sim::start_program("daemon", daemon);
///     open_root_actor(config(), async |_| {
///         wait_for_actor("daemon", async |portal| portal.cancel_actor().await).await
///     })
///     .await?;
///     daemon.join().await
/// });
/// assert!(run.result.is_ok_and(|ended| ended.is_some()), "it has ended by itself");
/// ```
///
/// # Panics
/// Outside of a simulation.
pub fn start_program<T, F, Fut>(name: impl Into<String>, program: F) -> Program<T>
where
    T: Send + 'static,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let (world, name) = (world(), name.into());
    let (pid, exit) = world.enter(name.clone(), PROGRAM);
    world.event(format_args!("{name} (pid {pid}): started"));
    let output = Arc::new(Mutex::new(None));
    let ending = Ending { world: world.clone(), pid, code: PANICKED };
    let slot = output.clone();
    world.executor(pid).spawn(Box::pin(live(ending, name, program, slot)));
    Program { process: SimProcess { world, pid, exit }, output }
}

/// A program's life, from its first line to its exit.
async fn live<T, F, Fut>(mut ending: Ending, name: String, program: F, slot: Arc<Mutex<Option<T>>>)
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = T>,
{
    let (world, pid) = (ending.world.clone(), ending.pid);
    world.sleep(world.spawn_time()).await;
    let scopes = scope::Root::new(world.executor(pid), scope::DEFAULT_BUDGET);
    let body = async { program().await };
    let value = WithRoot::new(RootConfig::named(name), scopes.run_all(body)).await;
    settle(&world, pid).await;
    *lock(&slot) = Some(value);
    ending.code = 0;
}

/// Ends a program's process when its task is over, however that comes.
struct Ending {
    world: Arc<World>,
    pid: u32,
    code: i32,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.world.end(self.pid, ExitStatus::Code(self.code));
    }
}

/// A program of the simulation, as whoever has started it sees it: made by [`start_program`].
/// Dropped, it is killed.
#[must_use = "dropped, it is killed"]
pub struct Program<T> {
    process: SimProcess,
    output: Arc<Mutex<Option<T>>>,
}

impl<T> Program<T> {
    /// Waits for its end. What it returned; `None` when it was killed, or has panicked.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    ///
    /// # Cancel safety
    /// Not safe: when this is dropped, the program is killed.
    pub async fn join(self) -> Result<Option<T>> {
        let ended = poll_fn(|cx| self.process.exit.poll(cx).map(|_| Ok(())));
        scope::cancellable(ended).await?;
        Ok(lock(&self.output).take())
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        self.process.world.is_alive(self.process.pid)
    }
}

impl<T> fmt::Debug for Program<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program(pid {})", self.process.pid)
    }
}
