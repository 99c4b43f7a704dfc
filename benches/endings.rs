//! How long endings take: trees of cooperative actors, one with a stuck actor in it, and children
//! that all fail.
//!
//! ```text
//! cargo bench --bench endings                 40 repeats of each, about a minute
//! cargo bench --bench endings -- 200          another number of repeats
//! ```
//!
//! Not pinned: a teardown is many processes ending at once, on all the cores that there are. This
//! measures and never judges: it is no test, and does nothing when it is run as one.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tractor::{ActorNursery, Context, Error, Portal, Result, RootConfig, scope};
use tractor_executors::Executor;
use tractor_executors::smol::Smol;
use tractor_executors::tokio::Tokio;

const CHILDREN: usize = 31;
const FAILING: usize = 25;

/// How many levels are below the top of the binary tree: 1 + 2 + 4 + 8 + 16 actors.
const DEPTH: u32 = 4;

/// A node of a binary tree: tells that everybody below it is up, and waits.
#[tractor::context]
async fn node(ctx: Context<(), (), ()>, depth: u32) -> Result<()> {
    if depth == 0 {
        ctx.started(()).await?;
        return scope::sleep(FOREVER).await;
    }
    tractor::open_nursery(async |an| {
        let (left, right) = (child(&an).await?, child(&an).await?);
        let below = depth - 1;
        left.open_context(node { depth: below }, async |_, ()| {
            right
                .open_context(node { depth: below }, async |_, ()| {
                    ctx.started(()).await?;
                    scope::sleep(FOREVER).await
                })
                .await
        })
        .await
    })
    .await
}

const FOREVER: Duration = Duration::from_secs(3600);

#[tractor::rpc]
async fn ping() {}

/// Holds its thread, and with it whatever would cancel it.
#[tractor::context]
async fn stuck(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    scope::checkpoint().await?; // `started` is on its way
    std::thread::sleep(FOREVER);
    Ok(())
}

/// Fails at this moment, in milliseconds of the system's clock: all of them at once, and no cancel
/// because of the first comes before the last.
#[tractor::rpc]
async fn fail_at(moment: u64) -> Result<()> {
    let left = moment.saturating_sub(clock());
    std::thread::sleep(Duration::from_millis(left));
    Err(Error::from(std::io::Error::other("on purpose")))
}

fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

async fn child(an: &ActorNursery) -> Result<Portal> {
    an.start_actor("child").enable(tractor::module!()).await
}

fn tree<T, F, Fut>(executor: &Arc<dyn Executor>, body: F) -> Result<T>
where
    T: Send,
    F: FnOnce(ActorNursery) -> Fut + Send,
    Fut: Future<Output = Result<T>> + Send,
{
    let mut value = None;
    let config = RootConfig::default().executor(executor.clone());
    let root = tractor::open_root_actor(config, async |_| tractor::open_nursery(body).await);
    executor.block_on(pin!(async { value = Some(root.await) }));
    value.expect("block_on runs it to its end")
}

/// Children side by side, all up.
async fn up(an: &ActorNursery, count: usize) -> Result<Vec<Portal>> {
    let mut portals = Vec::new();
    for _ in 0..count {
        let portal = child(an).await?;
        portal.run(ping {}).await?;
        portals.push(portal);
    }
    Ok(portals)
}

/// Notes the moment. The block that this is called in may be cancelled with what it cancels.
async fn cancel_from(begun: &OnceLock<Instant>, an: &ActorNursery) -> Result<()> {
    begun.get_or_init(Instant::now);
    an.cancel().await
}

/// From the cancel to the end of the tree: cooperative children side by side.
fn flat(executor: &Arc<dyn Executor>) -> Duration {
    let begun = OnceLock::new();
    let ended = tree(executor, async |an| {
        up(&an, CHILDREN).await?;
        cancel_from(&begun, &an).await
    });
    ended.expect("the tree ends well");
    begun.get().map(Instant::elapsed).expect("all of them came up")
}

/// The same, of as many actors in a binary tree.
fn deep(executor: &Arc<dyn Executor>) -> Duration {
    let begun = OnceLock::new();
    let ended = tree(executor, async |an| {
        let top = child(&an).await?;
        top.open_context(node { depth: DEPTH }, async |_, ()| cancel_from(&begun, &an).await).await
    });
    let took = begun.get().map(Instant::elapsed).expect("all of them came up");
    // Whoever cancels an actor is told that its tasks were cancelled.
    assert!(matches!(ended, Err(Error::ContextCancelled(_))), "{ended:?}");
    took
}

/// The same as [`flat`], one of them being stuck.
fn one_is_stuck(executor: &Arc<dyn Executor>) -> Duration {
    let begun = OnceLock::new();
    let ended = tree(executor, async |an| {
        let portals = up(&an, CHILDREN).await?;
        portals[0].open_context(stuck {}, async |_, ()| cancel_from(&begun, &an).await).await
    });
    let took = begun.get().map(Instant::elapsed).expect("all of them came up");
    assert!(matches!(ended, Err(Error::ActorFailed(_))), "it had to be ended by force: {ended:?}");
    took
}

/// From the moment in which all fail to the report; how many failures are in it.
fn all_fail(executor: &Arc<dyn Executor>) -> (Duration, usize) {
    let moment = clock() + 500;
    let ended = tree(executor, async |an| {
        for _ in 0..FAILING {
            an.run_in_actor(fail_at { moment }).await?;
        }
        assert!(clock() < moment, "the children are up before they fail");
        Ok(())
    });
    let took = Duration::from_millis(clock().saturating_sub(moment));
    let error = ended.expect_err("they fail");
    (took, error.leaves().len())
}

fn main() {
    // First: this same program is each child.
    tractor::init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--test") || !args.iter().any(|arg| arg == "--bench") {
        return; // `cargo test --benches` only wants to know that it starts.
    }
    let repeats = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(40);
    println!("{repeats} repeats of each; milliseconds");
    println!("| what | on | p50 | p99 | max |");
    println!("|---|---|---:|---:|---:|");
    let executors: [Arc<dyn Executor>; 2] = [Smol::global(), Tokio::global()];
    for executor in &executors {
        let on = executor.name();
        row("31 side by side, cancel to end", on, times(repeats, || flat(executor)));
        row("31 as a binary tree, cancel to end", on, times(repeats, || deep(executor)));
        let stuck = times(repeats.div_ceil(8), || one_is_stuck(executor));
        row("31 side by side, one of them stuck", on, stuck);
        let mut leaves = Vec::new();
        let failures = times(repeats, || {
            let (took, count) = all_fail(executor);
            leaves.push(count);
            took
        });
        row("25 fail at once, to the report", on, failures);
        leaves.sort_unstable();
        println!("| failures in that report | {on} | {} | | |", leaves[leaves.len() / 2]);
    }
}

fn times(repeats: usize, one: impl FnMut() -> Duration) -> Vec<Duration> {
    std::iter::repeat_with(one).take(repeats).collect()
}

fn row(what: &str, on: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| {
        let last = times.len() - 1;
        times[((last as f64) * share).ceil() as usize].as_secs_f64() * 1e3
    };
    println!("| {what} | {on} | {:.1} | {:.1} | {:.1} |", at(0.5), at(0.99), at(1.0));
}
