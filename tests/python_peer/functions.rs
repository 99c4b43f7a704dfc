//! What tests/python/interop.py offers, under the same names: a Python peer calls these as if they
//! were that module.

use std::collections::BTreeMap;
use std::time::Duration;

use tractor::scope::{finally, sleep};
use tractor::{Context, Portal, Raise as _, Result, SendHalf, open_nursery, wait_for_actor};

use crate::any::Any;

/// Longer than any test may take.
pub(crate) const FOREVER: Duration = Duration::from_secs(3600);

/// These, for a root that offers them.
pub(crate) fn module() -> tractor::Module {
    tractor::Module::of::<add>()
}

/// Set, a nap is one of the whole thread: no task of the actor runs any more.
pub(crate) const STUCK: &str = "PYTHON_PEER_STUCK";

/// Fails as Python's exception of that name would.
#[derive(Debug)]
struct ValueError(&'static str);

impl std::fmt::Display for ValueError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ValueError {}

fn failure(kind: &str, text: &'static str) -> Result<()> {
    assert_eq!(kind, "ValueError", "no other is asked for");
    Err(ValueError(text)).raise()
}

#[tractor::rpc(ns = "interop")]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[tractor::rpc(ns = "interop")]
async fn echo(x: Any) -> Any {
    x
}

#[tractor::rpc(ns = "interop")]
async fn nap(seconds: f64) -> Result<f64> {
    if std::env::var_os(STUCK).is_some() {
        eprintln!("stuck");
        std::thread::sleep(FOREVER);
    }
    sleep(Duration::from_secs_f64(seconds)).await?;
    Ok(seconds)
}

#[tractor::rpc(ns = "interop")]
async fn fail(kind: String) -> Result<()> {
    failure(&kind, "as asked for")
}

#[tractor::stream(ns = "interop")]
async fn count_to(mut out: SendHalf<u64>, n: u64) -> Result<()> {
    for i in 1..=n {
        out.send(i).await?;
    }
    Ok(())
}

#[tractor::stream(ns = "interop")]
async fn count_forever(mut out: SendHalf<u64>) -> Result<()> {
    for i in 1.. {
        out.send(i).await?;
        sleep(Duration::from_millis(10)).await?;
    }
    Ok(())
}

#[tractor::stream(ns = "interop")]
async fn count_then_fail(mut out: SendHalf<u64>, n: u64) -> Result<()> {
    for i in 1..=n {
        out.send(i).await?;
    }
    failure("ValueError", "counted too far")
}

#[tractor::context(ns = "interop")]
async fn give_back(ctx: Context<Any, (), ()>, first: Any, last: Any) -> Result<Any> {
    ctx.started(first).await?;
    Ok(last)
}

#[tractor::context(ns = "interop")]
async fn counter(ctx: Context<i64, i64, i64>, start: i64) -> Result<i64> {
    let mut total = start;
    ctx.started(total).await?;
    let mut stream = ctx.open_stream().await?;
    while let Some(step) = stream.next().await? {
        total += step;
        stream.send(total).await?;
    }
    Ok(total)
}

#[tractor::context(ns = "interop")]
async fn send_items(ctx: Context<u64, u64, ()>, n: u64) -> Result<&'static str> {
    ctx.started(n).await?;
    let mut stream = ctx.open_stream().await?;
    for i in 0..n {
        stream.send(i).await?;
    }
    Ok("sent")
}

#[tractor::context(ns = "interop")]
async fn flood(ctx: Context<u64, u64, ()>, n: u64) -> Result<&'static str> {
    ctx.started(n).await?;
    let mut stream = ctx.open_stream().await?;
    for i in 0..n {
        stream.send(i).await?;
    }
    while stream.next().await?.is_some() {}
    Ok("sent")
}

#[tractor::context(ns = "interop")]
async fn slow_reader(ctx: Context<(), (), Any>, delay: f64) -> Result<u64> {
    ctx.started(()).await?;
    let mut count = 0;
    let mut stream = ctx.open_stream().await?;
    sleep(Duration::from_secs_f64(delay)).await?;
    while stream.next().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

#[tractor::context(ns = "interop")]
async fn sleep_until_cancelled(ctx: Context<String, (), ()>) -> Result<()> {
    ctx.started("sleeping".to_owned()).await?;
    sleep(FOREVER).await
}

#[tractor::context(ns = "interop")]
async fn stream_until_cancelled(ctx: Context<(), u64, ()>) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    for i in 0.. {
        stream.send(i).await?;
        sleep(Duration::from_millis(10)).await?;
    }
    Ok(())
}

#[tractor::context(ns = "interop")]
async fn fail_before(_ctx: Context<(), (), ()>, kind: String) -> Result<()> {
    failure(&kind, "before it has started")
}

#[tractor::context(ns = "interop")]
async fn fail_after(ctx: Context<String, (), ()>, kind: String) -> Result<()> {
    ctx.started("ok".to_owned()).await?;
    failure(&kind, "after it has started")
}

#[tractor::context(ns = "interop")]
async fn fail_streaming(ctx: Context<String, u64, ()>, kind: String) -> Result<()> {
    ctx.started("ok".to_owned()).await?;
    let mut stream = ctx.open_stream().await?;
    stream.send(1).await?;
    failure(&kind, "while it streams")
}

/// Has a child of its own, tells its process, and needs some time to end.
#[tractor::context(ns = "interop")]
async fn brood(ctx: Context<u32, (), ()>) -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("own").await?;
        ctx.started(child.pid().expect("a child is a process")).await?;
        finally(sleep(FOREVER), sleep(SLOW)).await
    })
    .await
}

/// Calls a child of its own, which runs Python.
#[tractor::rpc(ns = "interop")]
async fn add_in_python(a: i64, b: i64) -> Result<i64> {
    open_nursery(async |an| {
        let python = an.start_python("own", ["interop"]).await?;
        let sum = python.call("interop", "add", &BTreeMap::from([("a", a), ("b", b)])).await?;
        python.cancel_actor().await?;
        Ok(sum)
    })
    .await
}

/// Waits for an actor of this name, wherever it is in the tree, and calls it.
#[tractor::rpc(ns = "interop")]
async fn reach(name: String) -> Result<i64> {
    wait_for_actor(&name, async |found: Portal| {
        found.call("interop", "add", &BTreeMap::from([("a", 20), ("b", 22)])).await
    })
    .await
}

/// Has a child of either kind, one of which reaches the other, and an actor elsewhere in the tree.
#[tractor::rpc(ns = "interop")]
async fn reach_from_below(name: String) -> Result<[i64; 2]> {
    open_nursery(async |an| {
        let python = an.start_python("python_below", ["interop"]).await?;
        let rust = an.start_actor("rust_below").enable_of::<reach>().await?;
        let below = rust.run(reach { name: "python_below".into() }).await?;
        let elsewhere = rust.run(reach { name }).await?;
        python.cancel_actor().await?;
        rust.cancel_actor().await?;
        Ok([below, elsewhere])
    })
    .await
}

/// Longer than a Python parent waits for an answer.
pub(crate) const SLOW: Duration = Duration::from_millis(800);

#[tractor::context(ns = "interop")]
async fn cancel_itself(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    ctx.cancel().await;
    sleep(FOREVER).await
}
