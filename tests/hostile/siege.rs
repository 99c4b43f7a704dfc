//! The tree under attack, and its legitimate work meanwhile.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use futures_lite::future::zip;
use tractor::{
    ActorNursery, Module, Portal, Result, RootConfig, get_registry, open_nursery, open_root_actor,
};

use crate::victim::{add, doubler, lingering};

/// The module of the endpoints.
pub(crate) fn module() -> Module {
    Module::of::<add>()
}

/// One actor of the tree, as an attacker sees it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) pid: u32,
}

impl Target {
    /// The memory of its process now, bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory that its process ever had, bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib << 10
    }
}

/// Both kinds of actor that can be connected to.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    pub(crate) root: Target,
    pub(crate) child: Target,
}

impl Targets {
    /// Attacks both at once, each from a thread of its own.
    pub(crate) fn each(&self, attack: impl Fn(&Target) + Sync) {
        std::thread::scope(|scope| {
            for target in [&self.root, &self.child] {
                let attack = &attack;
                scope.spawn(move || attack(target));
            }
        });
    }
}

/// How the work went meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) rounds: u64,
    pub(crate) slowest: Duration,
}

/// What a round of the work may take while somebody floods the tree, on a busy machine.
const SLOWEST_MAX: Duration = Duration::from_secs(5);

/// Runs `attack` on a tree that works meanwhile. The work goes on to its end and is right; then no
/// task that an attacker began is left.
pub(crate) async fn besieged<T: Send + 'static>(
    attack: impl FnOnce(Targets) -> T + Send + 'static,
) -> Result<(T, Work)> {
    let config = RootConfig::default().enable(module());
    open_root_actor(config, async move |actor| {
        open_nursery(async move |an: ActorNursery| {
            let child = an.start_actor("worker").enable(module()).await?;
            let registry = get_registry().await?;
            let (_, addrs) = registry.iter().find(|(uid, _)| uid.name == *"worker").unwrap();
            let path = |addr: &tractor::Address| PathBuf::from(addr.uds_path().unwrap());
            let root = Target {
                name: "root",
                path: path(&actor.registry_addrs()[0]),
                pid: std::process::id(),
            };
            let of_child =
                Target { name: "child", path: path(&addrs[0]), pid: child.pid().unwrap() };
            let done = Arc::new(AtomicBool::new(false));
            let attack =
                off_thread(done.clone(), move || attack(Targets { root, child: of_child }));
            let (result, work) = zip(attack, work(&child, &done)).await;
            let work = work?;
            assert!(work.rounds > 0 && work.slowest < SLOWEST_MAX, "{work:?}");
            nobody_lingers(&child).await?;
            child.cancel_actor().await?;
            Ok((result, work))
        })
        .await
    })
    .await
}

/// Streams with the child until the attack is over.
async fn work(child: &Portal, done: &AtomicBool) -> Result<Work> {
    let work = child.open_context(doubler {}, async |ctx, ()| {
        let mut stream = ctx.open_stream().await?;
        let mut work = Work { rounds: 0, slowest: Duration::ZERO };
        loop {
            let began = Instant::now();
            stream.send(work.rounds).await?;
            assert_eq!(stream.recv().await?, 2 * work.rounds);
            assert_eq!(child.run(add { a: 1, b: work.rounds }).await?, work.rounds + 1);
            work.slowest = work.slowest.max(began.elapsed());
            work.rounds += 1;
            if done.load(Ordering::Acquire) {
                break;
            }
        }
        stream.stop();
        assert_eq!(stream.next().await?, None);
        assert_eq!(ctx.wait_for_result().await?, work.rounds, "all of them arrived");
        Ok(work)
    });
    work.await
}

/// Tasks of peers that are gone are cancelled: waits for it, within a limit.
async fn nobody_lingers(child: &Portal) -> Result<()> {
    let began = Instant::now();
    loop {
        let left = child.run(lingering {}).await?;
        if left == 0 {
            return Ok(());
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{left} tasks of attackers are left");
    }
}

struct Slot<T> {
    result: Option<std::thread::Result<T>>,
    waker: Option<Waker>,
}

/// Runs something that blocks on a thread of its own. `done` is set once it is over.
pub(crate) async fn off_thread<T: Send + 'static>(
    done: Arc<AtomicBool>,
    run: impl FnOnce() -> T + Send + 'static,
) -> T {
    let slot = Arc::new(Mutex::new(Slot { result: None, waker: None }));
    let theirs = slot.clone();
    std::thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(run));
        done.store(true, Ordering::Release);
        let mut slot = theirs.lock().unwrap();
        slot.result = Some(result);
        let waker = slot.waker.take();
        drop(slot);
        waker.into_iter().for_each(Waker::wake);
    });
    let result = poll_fn(|cx| {
        let mut slot = slot.lock().unwrap();
        slot.waker = Some(cx.waker().clone());
        slot.result.take().map_or(Poll::Pending, Poll::Ready)
    });
    result.await.unwrap_or_else(|panic| resume_unwind(panic))
}
