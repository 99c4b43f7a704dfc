//! The first line of every program that spawns actors: in a child it becomes the child.

use std::future::Future;
use std::io::Write as _;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tractor_executors::Executor;

use crate::child;
use crate::endpoint::Exposed;
use crate::error::{Error, Result};
use crate::os;

/// Whether [`init`] has run in this process.
static INITIALISED: AtomicBool = AtomicBool::new(false);

/// What children expose besides what is linked in.
static EXPOSED: Mutex<Option<Exposed>> = Mutex::new(None);

pub(crate) fn is_initialised() -> bool {
    INITIALISED.load(Ordering::Relaxed)
}

pub(crate) fn exposed() -> Exposed {
    EXPOSED.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
}

/// Makes this program able to spawn actors. Call it as the first line of `main`: in a process that
/// was spawned as an actor it serves as that actor and then exits; it never returns there. In any
/// other process it returns at once.
///
/// `#[tractor::main]` and `#[tractor::test]` call it.
pub fn init() {
    init_exposing(Exposed::new());
}

/// As [`init`], with endpoints that are registered by hand instead of at link time.
pub fn init_exposing(exposed: Exposed) {
    *EXPOSED.lock().unwrap_or_else(PoisonError::into_inner) = Some(exposed);
    init_on(crate::__private::DEFAULT_EXECUTOR);
}

/// As [`init`], in a program whose `main` runs on the executor of this name: a Python parent does
/// not say what its children run on.
pub(crate) fn init_on(executor: &'static str) {
    os::remember_exe();
    INITIALISED.store(true, Ordering::Relaxed);
    if let os::Entry::Child(link) = os::child_entry() {
        exit_as(move || child::run(link));
    }
    if let Some(python) = os::python_entry() {
        exit_as(move || child::python::run(python, executor));
    }
}

/// Lives as a child, and exits. Nothing may keep a child alive that has ended; what it printed must
/// still come out.
fn exit_as(child: impl FnOnce() -> i32 + Send + 'static) {
    let code = run_child(child);
    let _ = std::io::stdout().flush();
    std::process::exit(code)
}

/// As [`init`], with executors of the program's own: in a child `find` is asked for the one whose
/// [name](Executor::name) its parent's has. Those of this crate are found without it.
pub fn init_with(find: fn(&str) -> Option<Arc<dyn Executor>>) {
    *FIND.lock().unwrap_or_else(PoisonError::into_inner) = Some(find);
    init();
}

/// Serves as a child. Inside of a tokio runtime no thread may block on another one: there it does
/// so on a thread of its own, while this one waits for it and keeps its parent-death signal.
fn run_child(live: impl FnOnce() -> i32 + Send + 'static) -> i32 {
    #[cfg(feature = "tokio")]
    if tractor_executors::tokio::Tokio::current().is_some() {
        let child = std::thread::Builder::new().name("tractor-actor".into());
        let joined = child.spawn(live).map(std::thread::JoinHandle::join);
        // A panic has been told of already, and the parent reads the code.
        return match joined {
            Ok(code) => code.unwrap_or(child::EXIT_BOOT),
            Err(e) => {
                eprintln!("tractor: this actor can't begin: no thread: {e}");
                child::EXIT_BOOT
            }
        };
    }
    live()
}

/// Executors of the program's own.
type Find = fn(&str) -> Option<Arc<dyn Executor>>;
static FIND: Mutex<Option<Find>> = Mutex::new(None);

/// The process-wide executor of this name, which a parent chose for its child.
pub(crate) fn executor(name: &str) -> Option<Arc<dyn Executor>> {
    match name {
        #[cfg(feature = "smol")]
        "smol" => Some(tractor_executors::smol::Smol::global()),
        #[cfg(feature = "tokio")]
        "tokio" => Some(tractor_executors::tokio::Tokio::global()),
        #[cfg(feature = "tokio")]
        "tokio-multi-thread" => Some(tractor_executors::tokio::Tokio::global_multi_thread()),
        _ => {
            let find = *FIND.lock().unwrap_or_else(PoisonError::into_inner);
            find.and_then(|find| find(name))
        }
    }
}

/// The executor of whoever chose none: the runtime that the running code is in, else the default.
///
/// # Errors
/// When no executor is compiled in.
pub(crate) fn default_executor() -> Result<Arc<dyn Executor>> {
    #[cfg(feature = "tokio")]
    if let Some(current) = tractor_executors::tokio::Tokio::current() {
        return Ok(Arc::new(current));
    }
    executor(crate::__private::DEFAULT_EXECUTOR).ok_or_else(|| {
        Error::config(
            "no executor is compiled in: turn the feature `smol` or `tokio` on, or give \
                       `RootConfig::executor` one of your own",
        )
    })
}

/// Blocks this thread on a future, running the executor's tasks meanwhile.
pub(crate) fn block_on<F: Future>(executor: &dyn Executor, future: F) -> F::Output {
    let mut output = None;
    {
        let mut future = pin!(async {
            output = Some(future.await);
        });
        executor.block_on(future.as_mut());
    }
    output.expect("block_on returns when the future has ended")
}
