//! The same work as an actor program does it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use tractor::{ActorNursery, Context, Portal, Result, RootConfig, scope};
use tractor_executors::Executor;
use tractor_executors::smol::Smol;
use tractor_executors::tokio::Tokio;

use crate::report::Sample;
use crate::{median, resident};

// What the children serve.

#[tractor::rpc]
async fn noop() {}

/// A number there and back, for calls that are many at once.
#[tractor::rpc]
async fn same(n: u64) -> u64 {
    n
}

#[tractor::context]
async fn numbers(ctx: Context<(), u64, ()>, count: u64) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    for n in 0..count {
        stream.send(n).await?;
    }
    Ok(())
}

#[tractor::context]
async fn blobs(ctx: Context<(), Blob, ()>, len: u32, count: u64) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    for _ in 0..count {
        stream.send(Blob(vec![7; len as usize])).await?;
    }
    Ok(())
}

#[tractor::context]
async fn vecs(ctx: Context<(), Vec<u8>, ()>, len: u32, count: u64) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    for _ in 0..count {
        stream.send(vec![7; len as usize]).await?;
    }
    Ok(())
}

#[tractor::context]
async fn echoes(ctx: Context<(), Blob, Blob>) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    while let Some(blob) = stream.next().await? {
        stream.send(blob).await?;
    }
    Ok(())
}

/// Bytes that are bytes on the wire: for serde a `Vec<u8>` is a list of numbers, each of which is
/// looked at and encoded for itself.
struct Blob(Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Blob, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Blob;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

// The parent.

/// What both sides run on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Smol,
    Tokio,
}

static ON_TOKIO: AtomicBool = AtomicBool::new(false);

/// What the trees from now on run on.
pub(crate) fn run_on(on: On) {
    ON_TOKIO.store(on == On::Tokio, Ordering::Relaxed);
}

fn executor() -> Arc<dyn Executor> {
    match ON_TOKIO.load(Ordering::Relaxed) {
        false => Smol::global(),
        true => Tokio::global(),
    }
}

/// Runs `body` in a nursery of a tree of its own.
fn tree<T, F, Fut>(body: F) -> T
where
    T: Send,
    F: FnOnce(ActorNursery) -> Fut + Send,
    Fut: Future<Output = Result<T>> + Send,
{
    let mut value = None;
    let executor = executor();
    let config = RootConfig::default().executor(executor.clone());
    let root = tractor::open_root_actor(config, async |_| tractor::open_nursery(body).await);
    {
        let mut root = pin!(async { value = Some(root.await) });
        executor.block_on(root.as_mut());
    }
    value.expect("block_on runs it to its end").expect("the tree ends well")
}

async fn child(an: &ActorNursery) -> Result<Portal> {
    an.start_actor("child").enable(tractor::module!()).await
}

/// Runs `body` with one child, which is cancelled afterwards.
fn with_child<T, F, Fut>(body: F) -> T
where
    T: Send,
    F: FnOnce(Portal) -> Fut + Send,
    Fut: Future<Output = Result<T>> + Send,
{
    tree(async |an| {
        let portal = child(&an).await?;
        let value = body(portal.clone()).await?;
        portal.cancel_actor().await?;
        Ok(value)
    })
}

/// A call of a function that does nothing, in microseconds.
pub(crate) fn calls(count: u32) -> Sample {
    with_child(async move |portal| {
        let warm = count / 10;
        let mut times = Vec::with_capacity(count as usize);
        for n in 0..warm + count {
            let begun = Instant::now();
            portal.run(noop {}).await?;
            if n >= warm {
                times.push(begun.elapsed());
            }
        }
        Ok(median(times).as_secs_f64() * 1e6)
    })
}

/// Calls a second, with so many under way.
pub(crate) fn calls_in_flight(count: u32, window: u32) -> Sample {
    with_child(async move |portal| {
        let begun = Instant::now();
        scope::open_nursery(async |tasks| {
            for _ in 0..window {
                let portal = portal.clone();
                tasks.start_soon(async move {
                    for n in 0..u64::from(count / window) {
                        assert_eq!(portal.run(same { n }).await?, n);
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .await?;
        Ok(f64::from(count) / begun.elapsed().as_secs_f64())
    })
}

/// Numbers a second from the child.
pub(crate) fn stream_numbers(count: u64) -> Sample {
    stream(numbers { count }, count, |n: &u64, at| *n == at)
}

/// Blobs a second from the child.
pub(crate) fn stream_blobs(len: u32, count: u64) -> Sample {
    stream(blobs { len, count }, count, move |blob: &Blob, _| blob.0.len() == len as usize)
}

/// As [`stream_blobs`], as lists of numbers.
pub(crate) fn stream_vecs(len: u32, count: u64) -> Sample {
    stream(vecs { len, count }, count, move |vec: &Vec<u8>, _| vec.len() == len as usize)
}

/// Items a second of a context that sends `count` of them.
fn stream<E, T>(endpoint: E, count: u64, good: impl Fn(&T, u64) -> bool + Send + Sync) -> Sample
where
    E: tractor::endpoint::ContextEndpoint<ToParent = T, Started = (), Output = ()>,
    E: Sync,
    T: DeserializeOwned + Send + 'static,
{
    with_child(async move |portal| {
        portal
            .open_context(endpoint, async |ctx, ()| {
                let begun = Instant::now();
                let mut stream = ctx.open_stream().await?;
                let mut got = 0;
                while let Some(item) = stream.next().await? {
                    assert!(good(&item, got), "item {got} is what was sent");
                    got += 1;
                }
                assert_eq!(got, count, "every item came");
                Ok(count as f64 / begun.elapsed().as_secs_f64())
            })
            .await
    })
}

/// Items there and back a second, with so many under way.
pub(crate) fn echo(count: u32, window: u32) -> Sample {
    with_child(async move |portal| {
        portal
            .open_context(echoes {}, async |ctx, ()| {
                let mut stream = ctx.open_stream().await?;
                let begun = Instant::now();
                for _ in 0..window {
                    stream.send(Blob(vec![7; 64])).await?;
                }
                for n in 0..count {
                    let blob = stream.recv().await?;
                    if n < count - window {
                        stream.send(blob).await?;
                    }
                }
                let rate = f64::from(count) / begun.elapsed().as_secs_f64();
                stream.stop();
                Ok(rate)
            })
            .await
    })
}

/// From before the spawn to the first answer, in milliseconds.
pub(crate) fn spawn(count: usize) -> Sample {
    let times = tree(async move |an| {
        let mut times = Vec::new();
        for _ in 0..count {
            let begun = Instant::now();
            let portal = child(&an).await?;
            portal.run(noop {}).await?;
            times.push(begun.elapsed());
            portal.cancel_actor().await?;
            portal.wait_closed().await?;
        }
        Ok(times)
    });
    median(times).as_secs_f64() * 1e3
}

/// From the cancel of so many children to the last one reaped, in milliseconds.
pub(crate) fn cancel_all(count: usize, children: usize) -> Sample {
    let one = || -> Duration {
        tree(async move |an| {
            for _ in 0..children {
                child(&an).await?.run(noop {}).await?;
            }
            let begun = Instant::now();
            an.cancel().await?;
            Ok(begun.elapsed())
        })
    };
    median((0..count).map(|_| one()).collect()).as_secs_f64() * 1e3
}

/// The memory of a child that has answered once, in MiB.
pub(crate) fn memory() -> Sample {
    with_child(async |portal| {
        portal.run(noop {}).await?;
        Ok(portal.pid().map_or(f64::NAN, resident))
    })
}
