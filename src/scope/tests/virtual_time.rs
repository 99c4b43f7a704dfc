//! An executor with virtual time: when nothing is left to poll, time jumps to the next timer.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tractor_executors::{BoxFuture, Executor, Readiness, Timer};

#[derive(Default)]
pub(super) struct Virtual {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    now: Duration,
    next_id: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
    spawned: Vec<Spawned>,
}

struct Spawned(BoxFuture);

impl std::fmt::Debug for Spawned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spawned")
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl Virtual {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn block_on<F: Future>(&self, main: F) -> F::Output {
        let mut main = pin!(main);
        let main_woken = Arc::new(Woken(AtomicBool::new(true)));
        let mut tasks: Vec<(Arc<Woken>, BoxFuture)> = Vec::new();
        loop {
            let mut progress = false;
            if main_woken.0.swap(false, SeqCst) {
                progress = true;
                let waker = Waker::from(main_woken.clone());
                if let Poll::Ready(value) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
            }
            for Spawned(task) in self.state.lock().unwrap().spawned.drain(..) {
                tasks.push((Arc::new(Woken(AtomicBool::new(true))), task));
            }
            tasks.retain_mut(|(woken, task)| {
                if !woken.0.swap(false, SeqCst) {
                    return true;
                }
                progress = true;
                let waker = Waker::from(woken.clone());
                task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
            });
            if !progress {
                self.jump();
            }
        }
    }

    fn jump(&self) {
        let mut state = self.state.lock().unwrap();
        let Some(((at, _), waker)) = state.timers.pop_first() else {
            panic!("stuck at {:?}: nothing is woken and no timer is set", state.now);
        };
        state.now = state.now.max(at);
        drop(state);
        waker.wake();
    }
}

impl std::fmt::Debug for Virtual {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Virtual")
    }
}

#[derive(Debug)]
struct VirtualTimer {
    state: Arc<Mutex<State>>,
    at: Option<Duration>,
    key: Option<(Duration, u64)>,
}

impl VirtualTimer {
    fn unregister(&mut self) {
        if let Some(key) = self.key.take() {
            self.state.lock().unwrap().timers.remove(&key);
        }
    }
}

impl Timer for VirtualTimer {
    fn set(&mut self, at: Option<Duration>) {
        self.unregister();
        self.at = at;
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.unregister();
        let Some(at) = self.at else { return Poll::Pending };
        let mut state = self.state.lock().unwrap();
        if state.now >= at {
            self.at = None;
            return Poll::Ready(());
        }
        state.next_id += 1;
        let key = (at, state.next_id);
        state.timers.insert(key, cx.waker().clone());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for VirtualTimer {
    fn drop(&mut self) {
        self.unregister();
    }
}

impl Executor for Virtual {
    fn name(&self) -> &'static str {
        "virtual"
    }

    fn now(&self) -> Duration {
        self.state.lock().unwrap().now
    }

    fn spawn(&self, future: BoxFuture) {
        self.state.lock().unwrap().spawned.push(Spawned(future));
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(VirtualTimer { state: self.state.clone(), at: None, key: None })
    }

    fn watch(&self, _: Arc<OwnedFd>) -> io::Result<Box<dyn Readiness>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        self.block_on(future);
    }
}
