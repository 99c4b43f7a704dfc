//! A tree of processes that do as they are told: the victims of the tests and of the soak.

use std::time::Duration;

use tractor::context::Context;
use tractor::scope;
use tractor::{ActorBuilder, ActorNursery, Error, Result};

/// Says something to whoever watches: one line, written at once.
macro_rules! say {
    ($($arg:tt)+) => {{
        use std::io::Write as _;
        let line = format!("{}\n", format_args!($($arg)+));
        let mut out = std::io::stdout().lock();
        // Nobody may be there to listen any more.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }};
}
pub(crate) use say;

/// A child of this same program, under the arguments that lead it to its `main`.
pub(crate) fn actor(an: &ActorNursery, name: &str) -> ActorBuilder {
    an.start_actor(name).enable(tractor::module!()).args(std::env::args_os().skip(1))
}

/// A node of the tree: has `fanout` children down to `depth`, and does what `leaf` says at the end.
#[tractor::rpc]
pub(crate) async fn node(path: String, depth: u32, fanout: u32, leaf: String) -> Result<()> {
    say!("node {path} {}", std::process::id());
    match depth {
        0 => behave(&leaf, &path).await,
        _ => grow(path, depth, fanout, leaf).await,
    }
}

/// The children of a node, and theirs.
pub(crate) async fn grow(path: String, depth: u32, fanout: u32, leaf: String) -> Result<()> {
    tractor::open_nursery(async |an| {
        for i in 0..fanout {
            let (path, leaf) = (format!("{path}.{i}"), leaf.clone());
            let name = format!("node-{path}");
            actor(&an, &name).run(node { path, depth: depth - 1, fanout, leaf }).await?;
        }
        Ok(())
    })
    .await
}

/// What a leaf does: one of these words, or `mixed` and a number.
async fn behave(leaf: &str, path: &str) -> Result<()> {
    const MIX: [&str; 5] = ["idle", "stream", "churn", "block", "busy"];
    let leaf = match leaf.strip_prefix("mixed") {
        // By its place in the tree and a number, so that the same order gives the same tree.
        Some(number) => {
            let place: usize = path.bytes().map(usize::from).sum();
            MIX[(place + number.parse().unwrap_or(0)) % MIX.len()]
        }
        None => leaf,
    };
    match leaf {
        "idle" => idle().await,
        "busy" => loop {
            std::hint::spin_loop();
        },
        "block" => {
            std::thread::sleep(Duration::from_secs(600));
            Ok(())
        }
        "stream" => stream().await,
        "churn" => churn().await,
        "panic" => panic!("this leaf panics on purpose"),
        "exit" => std::process::exit(3),
        other => Err(Error::from(std::io::Error::other(format!("no such leaf: {other}")))),
    }
}

/// Does nothing until it is cancelled.
pub(crate) async fn idle() -> Result<()> {
    loop {
        scope::sleep(Duration::from_secs(60)).await?;
    }
}

/// Reads what a child of its own sends without end.
async fn stream() -> Result<()> {
    tractor::open_nursery(async |an| {
        let child = actor(&an, "source").await?;
        let read = async |ctx: tractor::context::ParentContext<source>, ()| {
            let mut stream = ctx.open_stream().await?;
            while stream.next().await?.is_some() {}
            Ok(())
        };
        child.open_context(source {}, read).await
    })
    .await
}

/// Sends numbers without end.
#[tractor::context]
async fn source(ctx: Context<(), u64, ()>) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    for number in 0.. {
        stream.send(number).await?;
    }
    Ok(())
}

/// Starts children and ends them, without end.
async fn churn() -> Result<()> {
    tractor::open_nursery(async |an| {
        loop {
            let child = actor(&an, "brief").await?;
            child.run(ping {}).await?;
            child.cancel_actor().await?;
        }
    })
    .await
}

/// Answers.
#[tractor::rpc]
pub(crate) async fn ping() -> u32 {
    std::process::id()
}

/// Does as a leaf does, once it has told the caller that it begins.
#[tractor::context]
pub(crate) async fn stuck(ctx: Context<(), (), ()>, leaf: String) -> Result<()> {
    // What a task says before its first suspension goes out with that, and there may be none below.
    scope::checkpoint().await?;
    // From here to where it is stuck it can't be cancelled.
    ctx.started(()).await?;
    behave(&leaf, "0").await
}

/// Panics at once.
#[tractor::rpc]
pub(crate) async fn panics() -> u32 {
    panic!("this function panics on purpose")
}

/// Panics after its start.
#[tractor::context]
pub(crate) async fn panics_later(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    panic!("this context panics on purpose")
}
