//! What the tree under attack lets others call.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tractor::scope::sleep;
use tractor::{Context, OverrunPolicy, Result, current_actor};

/// Longer than any test may take.
const FOREVER: std::time::Duration = std::time::Duration::from_secs(3600);

#[tractor::rpc]
pub(crate) async fn add(a: u64, b: u64) -> u64 {
    a + b
}

/// So many bytes.
#[tractor::rpc]
pub(crate) async fn blob(len: u64) -> String {
    "x".repeat(usize::try_from(len).unwrap())
}

/// The tasks that linger, by actor: several trees may live in this process.
static LINGERING: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

struct Lingering(String);

impl Lingering {
    fn new() -> Result<Lingering> {
        let us = current_actor()?.uid().uuid.as_str().to_owned();
        count(&us, |n| *n += 1);
        Ok(Lingering(us))
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        count(&self.0, |n| *n -= 1);
    }
}

fn count<T>(of: &str, change: impl FnOnce(&mut u64) -> T) -> T {
    let mut counts = LINGERING.lock().unwrap_or_else(PoisonError::into_inner);
    change(counts.entry(of.to_owned()).or_default())
}

/// A call that ends only by being cancelled.
#[tractor::rpc]
pub(crate) async fn linger() -> Result<()> {
    let _lingering = Lingering::new()?;
    sleep(FOREVER).await
}

/// How many tasks linger here.
#[tractor::rpc]
pub(crate) async fn lingering() -> Result<u64> {
    Ok(count(current_actor()?.uid().uuid.as_str(), |n| *n))
}

/// Sends every number back, doubled.
#[tractor::context]
pub(crate) async fn doubler(ctx: Context<(), u64, u64>) -> Result<u64> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    let mut count = 0;
    while let Some(n) = stream.next().await? {
        stream.send(2 * n).await?;
        count += 1;
    }
    Ok(count)
}

/// A context whose stream nobody reads.
#[tractor::context]
pub(crate) async fn hoarder(ctx: Context<(), (), String>, keep: u32) -> Result<()> {
    let _lingering = Lingering::new()?;
    ctx.started(()).await?;
    let policy = match keep {
        0 => OverrunPolicy::Backpressure,
        keep => OverrunPolicy::DropOldest(keep),
    };
    let _stream = ctx.open_stream_with(policy).await?;
    sleep(FOREVER).await
}

/// A context that sends without end, as far as it is let.
#[tractor::context]
pub(crate) async fn fountain(ctx: Context<(), String, ()>) -> Result<()> {
    let _lingering = Lingering::new()?;
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    loop {
        stream.send("x".repeat(1000)).await?;
    }
}
