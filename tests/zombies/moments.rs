//! Roots that are sent a signal at one moment of their life, made by hand.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use rustix::process::Signal;
use tractor::{Result, RootConfig};
use tractor_executors::smol::Smol;
use tractor_executors::{BoxFuture, Executor, Readiness, Timer};

use crate::procs;
use crate::tree::{actor, idle, say};

/// A signal that comes right after the root has begun to listen, and a driver that sees it before
/// the root's own thread goes on.
pub(crate) async fn signal_at_once() -> Result<()> {
    let executor = Eager { real: Smol::global(), begun: AtomicBool::new(false) };
    let config = RootConfig::default().executor(Arc::new(executor));
    tractor::open_root_actor(config, async |_| {
        say!("the body runs");
        idle().await
    })
    .await
}

/// A child that is killed by a signal of which the root's own copy comes late.
pub(crate) async fn signal_comes_late() -> Result<()> {
    tractor::open_nursery(async |an| {
        let child = actor(&an, "child").await?;
        procs::signal(child.pid().unwrap_or(0), Signal::TERM);
        let ended = tractor::scope::finally(idle(), async {
            std::thread::spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                procs::signal(std::process::id(), Signal::TERM);
            });
        });
        ended.await
    })
    .await
}

/// An executor of which the first task begins at once, as if another thread ran it, after a signal.
#[derive(Debug)]
struct Eager {
    real: Arc<Smol>,
    begun: AtomicBool,
}

impl Executor for Eager {
    fn name(&self) -> &'static str {
        self.real.name()
    }

    fn now(&self) -> Duration {
        self.real.now()
    }

    fn spawn(&self, mut future: BoxFuture) {
        if !self.begun.swap(true, Ordering::SeqCst) {
            signal_hook::low_level::raise(signal_hook::consts::SIGINT).unwrap();
            if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                return;
            }
        }
        self.real.spawn(future);
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.real.timer()
    }

    fn watch(&self, fd: Arc<OwnedFd>) -> io::Result<Box<dyn Readiness>> {
        self.real.watch(fd)
    }

    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        self.real.block_on(future);
    }
}
