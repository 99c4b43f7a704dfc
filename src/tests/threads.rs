//! An executor whose every task has a thread of its own.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use tractor_executors::{BoxFuture, Executor, Readiness, Timer};

use super::*;

/// The longest that time goes on from one look at the clock to the next.
const STEP_NANOS: u64 = 100_000;

/// See the module. Its clock goes on by chance, its timers never go off.
#[derive(Debug, Default)]
pub(crate) struct Threads(std::sync::atomic::AtomicU64);

impl Executor for Threads {
    fn name(&self) -> &'static str {
        "threads"
    }

    fn now(&self) -> Duration {
        let step = thread_rng().gen_range(0..STEP_NANOS);
        Duration::from_nanos(self.0.fetch_add(step, SeqCst) + step)
    }

    fn spawn(&self, future: BoxFuture) {
        thread::spawn(move || block_on(future));
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(Never)
    }

    fn watch(&self, _: Arc<OwnedFd>) -> io::Result<Box<dyn Readiness>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        block_on(future);
    }
}

#[derive(Debug)]
struct Never;

impl Timer for Never {
    fn set(&mut self, _: Option<Duration>) {}

    fn poll_expired(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
