//! What the runtime relies on in an executor, shown on all adapters.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tractor_executors::{Direction, Executor, Readiness, Timer};

/// The suites, with an executor of their own.
macro_rules! suite {
    ($name:ident, $feature:literal, $make:expr, $($file:literal),+ $(; $($extra:item)+)?) => {
        #[cfg(feature = $feature)]
        mod $name {
            use super::*;

            fn make() -> impl Executor {
                $make
            }

            $($($extra)+)?

            $(include!($file);)+
        }
    };
}

suite!(
    smol,
    "smol",
    tractor_executors::smol::Smol::new(),
    "suite/contract.rs",
    "suite/hosted.rs";
    const HELPER: &str = "tractor-smol";
    fn global() -> Arc<dyn Executor> {
        tractor_executors::smol::Smol::global()
    }
);
suite!(
    tokio_current_thread,
    "tokio",
    tractor_executors::tokio::Tokio::current_thread().unwrap(),
    "suite/contract.rs",
    "suite/hosted.rs";
    const HELPER: &str = "tractor-tokio";
    fn global() -> Arc<dyn Executor> {
        tractor_executors::tokio::Tokio::global()
    }
);
suite!(
    tokio_multi_thread,
    "tokio",
    tractor_executors::tokio::Tokio::multi_thread().unwrap(),
    "suite/contract.rs"
);

/// A child finds its executor by the name, so each flavour has its own.
#[cfg(feature = "tokio")]
#[test]
fn tokio_flavours_have_names_of_their_own() {
    use tractor_executors::tokio::{NAME, NAME_MULTI_THREAD, Tokio};
    assert_eq!(Tokio::current_thread().unwrap().name(), NAME);
    assert_eq!(Tokio::multi_thread().unwrap().name(), NAME_MULTI_THREAD);
    assert!(Tokio::current().is_none());
    run(&*Tokio::global(), async {
        assert_eq!(Tokio::current().unwrap().name(), NAME);
    });
}

/// The program's own runtime, as inside of `#[tokio::main]`.
#[cfg(feature = "tokio")]
#[test]
fn tokio_of_the_program_runs_tasks_timers_and_watches() {
    use tractor_executors::tokio::Tokio;
    for executor in [Tokio::current_thread().unwrap(), Tokio::multi_thread().unwrap()] {
        run(&executor, async {
            let own = Tokio::current().unwrap();
            let (tell, told) = async_pair();
            let mut timer = own.timer();
            timer.set(Some(own.now() + 2 * MS));
            let (reader, writer) = pipe();
            let watch = own.watch(Arc::new(reader)).unwrap();
            own.spawn(Box::pin(async move {
                expired(&mut *timer).await;
                drop(writer);
                poll_fn(|cx| watch.poll_readable(cx)).await.unwrap();
                tell.send(5);
            }));
            assert_eq!(told.recv().await, 5);
        });
    }
}

/// tokio's own timer panics then.
#[cfg(feature = "tokio")]
#[test]
fn tokio_timer_of_a_runtime_that_is_gone_never_fires() {
    let runtime = ::tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let executor = tractor_executors::tokio::Tokio::attached(runtime.handle().clone());
    let mut timer = executor.timer();
    timer.set(Some(executor.now() + HANG));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(timer.poll_expired(&mut cx).is_pending());
    runtime.shutdown_timeout(HANG);
    assert!(timer.poll_expired(&mut cx).is_pending());
    timer.set(Some(executor.now()));
    assert!(timer.poll_expired(&mut cx).is_pending());
}

/// Longer than anything here takes; only a hang reaches it.
const HANG: Duration = Duration::from_secs(20);
const MS: Duration = Duration::from_millis(1);

fn run<T>(executor: &dyn Executor, future: impl Future<Output = T>) -> T {
    let mut out = None;
    executor.block_on(pin!(async { out = Some(future.await) }));
    out.unwrap()
}

/// Waits until `watch` is readable or writable.
async fn ready(executor: &dyn Executor, watch: &dyn Readiness, direction: Direction) {
    let mut timer = executor.timer();
    timer.set(Some(executor.now() + HANG));
    poll_fn(|cx| {
        assert!(timer.poll_expired(cx).is_pending(), "nobody told that it is ready");
        match direction {
            Direction::Read => watch.poll_readable(cx),
            Direction::Write => watch.poll_writable(cx),
        }
    })
    .await
    .unwrap();
}

async fn expired(timer: &mut dyn Timer) {
    poll_fn(|cx| timer.poll_expired(cx)).await;
}

/// Polls once with `cx` of the caller, so that the waker gets registered.
async fn poll_once(timer: &mut dyn Timer) -> Poll<()> {
    poll_fn(|cx| Poll::Ready(timer.poll_expired(cx))).await
}

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe().unwrap()
}

/// One value from a task to a future, through a waker.
fn async_pair<T: Send + 'static>() -> (Tell<T>, Told<T>) {
    let slot = Arc::new(std::sync::Mutex::new((None, None)));
    (Tell(Arc::clone(&slot)), Told(slot))
}

type Slot<T> = Arc<std::sync::Mutex<(Option<T>, Option<Waker>)>>;
struct Tell<T>(Slot<T>);
struct Told<T>(Slot<T>);

impl<T> Tell<T> {
    fn send(self, value: T) {
        let waker = {
            let mut slot = self.0.lock().unwrap();
            slot.0 = Some(value);
            slot.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Told<T> {
    async fn recv(self) -> T {
        poll_fn(|cx| {
            let mut slot = self.0.lock().unwrap();
            slot.1 = Some(cx.waker().clone());
            slot.0.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// A task that tells at each of its polls which thread polled it, and its waker.
fn sync_task(ask: mpsc::Sender<Option<String>>) -> (Waker, impl Future<Output = ()> + Send) {
    struct Relay(std::sync::Mutex<Option<Waker>>);
    impl Wake for Relay {
        fn wake(self: Arc<Self>) {
            if let Some(waker) = &*self.0.lock().unwrap() {
                waker.wake_by_ref();
            }
        }
    }
    let relay = Arc::new(Relay(std::sync::Mutex::new(None)));
    let waker = Waker::from(Arc::clone(&relay));
    let task = poll_fn(move |cx| {
        *relay.0.lock().unwrap() = Some(cx.waker().clone());
        ask.send(thread::current().name().map(String::from)).unwrap();
        Poll::Pending
    });
    (waker, task)
}
