//! What a root is told to do. It says what it finds; the tests judge.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tractor::scope;
use tractor::{ActorNursery, Error, Portal, Result, RootConfig, Stdio};

use crate::moments;
use crate::procs;
use crate::program::describe;
use crate::tree::{actor, grow, idle, panics, panics_later, ping, say, stuck};

/// How long a root waits for its children to be gone: the teardown budget and some slack.
const GONE: Duration = Duration::from_secs(4);

/// Carries out one order.
pub(crate) async fn obey(order: &[&str]) -> Result<()> {
    match order {
        ["grow", depth, fanout, leaf] => {
            say!("node 0 {}", std::process::id());
            grow("0".into(), number(depth), number(fanout), (*leaf).into()).await
        }
        ["spin"] => spin().await,
        ["isolated"] => isolated().await,
        ["exe", path, args @ ..] => exe(path, args).await,
        ["exe-cancelled", path, args @ ..] => exe_cancelled(path, args).await,
        ["stuck", leaf] => stuck_child(leaf).await,
        ["wide", count, leaf] => wide(number(count), leaf).await,
        ["panic", place] => panic_in(place).await,
        ["drop-start", how] => drop_starts(how).await,
        ["drop-nursery"] => drop_nursery().await,
        ["drop-root"] => drop_root().await,
        ["cycles", count] => cycles(number(count)).await,
        ["replacements", count] => replacements(number(count)).await,
        ["signal-at-once"] => moments::signal_at_once().await,
        ["signal-comes-late"] => moments::signal_comes_late().await,
        _ => Err(failure(format!("no such order: {order:?}"))),
    }
}

fn number(word: &str) -> u32 {
    word.parse().expect("a number")
}

fn failure(text: impl Into<String>) -> Error {
    Error::from(std::io::Error::other(text.into()))
}

/// Waits until a condition holds, or fails saying what was waited for.
async fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Result<Duration> {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > limit {
            return Err(failure(format!("not within {limit:?}: {what}")));
        }
        scope::sleep(Duration::from_millis(2)).await?;
    }
    Ok(start.elapsed())
}

/// Waits until this process has no child, not even a zombie.
async fn until_childless(limit: Duration) -> Result<Duration> {
    until("no child is left", limit, || procs::children_of(std::process::id()).is_empty()).await
}

/// A root that is too busy to hear anything, over a tree that is up.
async fn spin() -> Result<()> {
    tractor::open_nursery(async |an| {
        for name in ["one", "two"] {
            actor(&an, name).await?.run(ping {}).await?;
        }
        say!("spinning");
        loop {
            std::hint::spin_loop();
        }
    })
    .await
}

/// Children whose death is their own, until somebody ends the root.
async fn isolated() -> Result<()> {
    tractor::open_nursery(async |an| {
        for name in ["a", "b", "c", "d"] {
            let child = actor(&an, name).isolated().await?;
            say!("child {name} {}", child.pid().unwrap_or(0));
        }
        say!("up");
        loop {
            let failed = an.next_failure().await?;
            say!("failed {}", describe(&Error::ActorFailed(failed)));
        }
    })
    .await
}

/// A child that is another program.
async fn exe(path: &str, args: &[&str]) -> Result<()> {
    let start = Instant::now();
    let child = |an: ActorNursery| async move {
        an.start_actor("early").exe(path).args(args).stderr(Stdio::Capture).await?;
        // Not its child that failed: the nursery hears at once, not at its end.
        idle().await
    };
    let ended = tractor::open_nursery(child).await;
    say!("heard {}", start.elapsed().as_millis());
    if !procs::children_of(std::process::id()).is_empty() {
        say!("end with a child left");
    }
    ended
}

/// A child that never introduces itself, and its nursery ends meanwhile.
async fn exe_cancelled(path: &str, args: &[&str]) -> Result<()> {
    tractor::open_nursery(async |an| {
        let child = an.start_actor("mute").exe(path).args(args);
        let started = scope::move_on_after(Duration::from_millis(50), child.into_future()).await;
        let start = Instant::now();
        say!("started {}", started.is_some());
        until_childless(GONE).await?;
        say!("took {}", start.elapsed().as_millis());
        Ok(())
    })
    .await
}

/// Starts a child that is stuck in `leaf`, and waits until it is. What becomes of the task there is
/// said as `context ..`.
async fn start_stuck(
    an: &ActorNursery,
    tn: &scope::Nursery<'_>,
    (name, leaf): (&str, &str),
) -> Result<Portal> {
    let (child, leaf) = (actor(an, name).await?, leaf.to_owned());
    let stop = leaf == "stop";
    let leaf = if stop { "idle".to_owned() } else { leaf };
    let portal = child.clone();
    tn.start(move |status| async move {
        let body = async |_ctx, ()| {
            status.started(());
            idle().await
        };
        let ended = portal.open_context(stuck { leaf }, body).await;
        say!("context {}", ended.map_or_else(|e| describe(&e), |()| "ok".into()));
        Ok(())
    })
    .await?;
    if stop {
        stop_process(child.pid().unwrap_or(0)).await?;
    }
    Ok(child)
}

async fn stop_process(pid: u32) -> Result<()> {
    procs::signal(pid, rustix::process::Signal::STOP);
    let is_stopped = || procs::read(pid).is_some_and(|p| p.state == 'T');
    until("the child is stopped", GONE, is_stopped).await.map(drop)
}

/// Cancels one child that does not listen.
async fn stuck_child(leaf: &str) -> Result<()> {
    tractor::open_nursery(async |an| {
        scope::open_nursery(async |tn| {
            let child = start_stuck(&an, &tn, ("stuck", leaf)).await?;
            let start = Instant::now();
            child.cancel_actor().await?;
            child.wait_closed().await?;
            say!("took {}", start.elapsed().as_millis());
            Ok(())
        })
        .await?;
        until_childless(Duration::ZERO).await.map(drop)
    })
    .await
}

/// Cancels many children that do not listen, all at once.
async fn wide(count: u32, leaf: &str) -> Result<()> {
    tractor::open_nursery(async |an| {
        scope::open_nursery(async |tn| {
            for i in 0..count {
                start_stuck(&an, &tn, (&format!("stuck-{i}"), leaf)).await?;
            }
            say!("children {}", an.children().len());
            let start = Instant::now();
            an.cancel().await?;
            say!("took {}", start.elapsed().as_millis());
            Ok(())
        })
        .await?;
        until_childless(Duration::ZERO).await.map(drop)
    })
    .await
}

/// A panic somewhere in a tree that is up.
async fn panic_in(place: &str) -> Result<()> {
    tractor::open_nursery(async |an| {
        let child = actor(&an, "child").await?;
        let sibling = actor(&an, "sibling").await?;
        sibling.run(ping {}).await?;
        match place {
            "root" => panic!("the root panics on purpose"),
            "rpc" => child.run(panics {}).await.map(drop),
            "context" => child.open_context(panics_later {}, async |_ctx, ()| idle().await).await,
            // In a process below the child's.
            _ => grow("0".into(), 2, 1, "panic".into()).await,
        }
    })
    .await
}

/// Starts that are given up on, at every moment of a start; the nursery goes on.
async fn drop_starts(how: &str) -> Result<()> {
    tractor::open_nursery(async |an| {
        let mut started = 0;
        for i in 0..24_u32 {
            let child = actor(&an, &format!("dropped-{i}")).into_future();
            // From "never polled" to "nearly ready".
            let delay = Duration::from_micros(u64::from(i) * 300);
            let child = match how {
                "race" => {
                    futures_lite::future::or(async { Some(child.await) }, async {
                        let _ = scope::sleep(delay).await;
                        None
                    })
                    .await
                }
                _ => scope::move_on_after(delay, child).await,
            };
            if let Some(child) = child {
                started += 1;
                child?.cancel_actor().await?;
            }
        }
        say!("started {started}");
        let took = until_childless(GONE).await?;
        say!("took {}", took.as_millis());
        say!("children {:?}", an.children());
        works(&an).await
    })
    .await
}

/// Whether a nursery can still be used.
async fn works(an: &ActorNursery) -> Result<()> {
    let child = actor(an, "after").await?;
    child.run(ping {}).await?;
    child.cancel_actor().await
}

/// A nursery that never ends by itself: with two idle children, and two that hold on.
async fn endless(an: ActorNursery, up: Arc<AtomicUsize>) -> Result<()> {
    scope::open_nursery(async |tn| {
        for (name, leaf) in [("a", "idle"), ("b", "idle"), ("c", "block"), ("d", "stop")] {
            start_stuck(&an, &tn, (name, leaf)).await?;
            up.fetch_add(1, Ordering::SeqCst);
        }
        idle().await
    })
    .await
}

/// Drops a whole nursery from outside; the actor goes on.
async fn drop_nursery() -> Result<()> {
    let root = async |_actor| {
        let up = Arc::new(AtomicUsize::new(0));
        let tree = tractor::open_nursery(|an| endless(an, up.clone()));
        futures_lite::future::or(tree, async {
            until("all are up", GONE * 3, || up.load(Ordering::SeqCst) == 4).await.map(drop)
        })
        .await?;
        let took = until_childless(GONE).await?;
        say!("took {}", took.as_millis());
        tractor::open_nursery(async |an| works(&an).await).await
    };
    tractor::open_root_actor(RootConfig::default(), root).await
}

/// Drops a whole root from outside; the program goes on, and opens another one.
async fn drop_root() -> Result<()> {
    let up = Arc::new(AtomicUsize::new(0));
    let root = async |_actor| tractor::open_nursery(|an| endless(an, up.clone())).await;
    let tree = tractor::open_root_actor(RootConfig::default(), root);
    let own = std::process::id();
    futures_lite::future::or(tree, async {
        outside(|| up.load(Ordering::SeqCst) == 4).await.map(drop)
    })
    .await?;
    let took = outside(|| procs::children_of(own).is_empty()).await?;
    say!("took {}", took.as_millis());
    tractor::open_nursery(async |an| works(&an).await).await
}

/// As [`until`], outside of any actor.
async fn outside(mut holds: impl FnMut() -> bool) -> Result<Duration> {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > GONE * 3 {
            return Err(failure("the condition did not come"));
        }
        async_io::Timer::after(Duration::from_millis(2)).await;
    }
    Ok(start.elapsed())
}

/// Opens and closes nurseries, and looks at what that costs in descriptors and threads.
async fn cycles(count: u32) -> Result<()> {
    let root = async |_actor| {
        // The first ones start what stays: the spawner thread, the output thread, the reactor.
        for _ in 0..2 {
            cycle().await?;
        }
        let before = settled_census().await?;
        for _ in 0..count {
            cycle().await?;
        }
        back_to(before).await
    };
    tractor::open_root_actor(RootConfig::default(), root).await
}

/// Descriptors and threads of this process.
fn census() -> (usize, usize) {
    (procs::fds(std::process::id()), procs::threads(std::process::id()))
}

/// The same, once links that are still being closed are.
async fn settled_census() -> Result<(usize, usize)> {
    let (mut last, mut same) = (census(), 0);
    until("the figures stand still", GONE, || {
        let now = census();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same == 25
    })
    .await?;
    Ok(last)
}

/// Waits until there are no more descriptors and threads than before.
async fn back_to(before: (usize, usize)) -> Result<()> {
    let less = || {
        let now = census();
        now.0 <= before.0 && now.1 <= before.1
    };
    until("no more descriptors and threads than before", GONE, less)
        .await
        .map(drop)
        .map_err(|e| failure(format!("{e}: {before:?}, now {:?}", census())))
}

/// One nursery with a child that works, one that fails, and one that is given up on.
async fn cycle() -> Result<()> {
    let result = tractor::open_nursery(async |an| {
        let child = actor(&an, "works").stderr(Stdio::Capture).await?;
        child.run(ping {}).await?;
        let given_up = actor(&an, "given-up").into_future();
        let _ = scope::move_on_after(Duration::from_millis(1), given_up).await;
        let leaf = "exit".to_owned();
        child.open_context(stuck { leaf }, async |_ctx, ()| idle().await).await
    })
    .await;
    match result {
        Err(Error::ActorFailed(_)) => Ok(()),
        other => Err(failure(format!("the child should have failed: {other:?}"))),
    }
}

/// One nursery that goes on, in which children come and go: cancelled, killed, given up on.
async fn replacements(count: u32) -> Result<()> {
    tractor::open_nursery(async |an| {
        for _ in 0..2 {
            replacement(&an).await?;
        }
        let before = settled_census().await?;
        for _ in 0..count {
            replacement(&an).await?;
        }
        back_to(before).await
    })
    .await
}

async fn replacement(an: &ActorNursery) -> Result<()> {
    let killed = actor(an, "killed").isolated().stderr(Stdio::Capture).await?;
    procs::signal(killed.pid().unwrap_or(0), rustix::process::Signal::KILL);
    an.next_failure().await?;
    works(an).await?;
    let given_up = actor(an, "given-up").into_future();
    let _ = scope::move_on_after(Duration::from_millis(1), given_up).await;
    actor(an, "function").run(ping {}).await?.result().await.map(drop)
}

/// A program that forgot to say that it spawns.
pub(crate) fn uninitialised() -> Result<()> {
    let tree = tractor::open_nursery(async |an| {
        let child = an.start_actor("nobody").await;
        say!("children {}", procs::children_of(std::process::id()).len());
        child.map(drop)
    });
    let result = async_io::block_on(tree);
    say!("end {}", result.as_ref().map_or_else(describe, |()| "ok".into()));
    result
}

/// A future that must be `Send`, as all of ours.
#[allow(dead_code, reason = "checked by the compiler")]
fn is_send() {
    fn check<F: Future + Send>(_: F) {}
    check(tractor::open_nursery(|an| async move { works(&an).await }));
}
