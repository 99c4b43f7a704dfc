//! The first line of every program that spawns actors: in a child it becomes the child.

use std::future::Future;
use std::io::Write as _;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tractor_executors::Executor;

use crate::child;
use crate::endpoint::Exposed;
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
    os::remember_exe();
    *EXPOSED.lock().unwrap_or_else(PoisonError::into_inner) = Some(exposed);
    INITIALISED.store(true, Ordering::Relaxed);
    if let os::Entry::Child(link) = os::child_entry() {
        let code = child::run(link);
        // Nothing may keep a child alive that has ended; what it printed must still come out.
        let _ = std::io::stdout().flush();
        std::process::exit(code);
    }
}

/// The executor of this name, which a parent chose for its child.
pub(crate) fn executor(name: &str) -> Option<Arc<dyn Executor>> {
    match name {
        #[cfg(feature = "smol")]
        "smol" => Some(tractor_executors::smol::Smol::global()),
        _ => None,
    }
}

/// The executor of whoever chose none.
pub(crate) fn default_executor() -> Arc<dyn Executor> {
    executor(crate::__private::DEFAULT_EXECUTOR).expect("the default executor is compiled in")
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
