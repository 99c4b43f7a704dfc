//! A cluster: workers of one kind, started at once, and a context with each of them.

use tractor::{Cluster, Context, Result, current_actor, gather_contexts, module};

/// Squares what it is sent, until no more comes. Returns how many that were.
#[tractor::context]
async fn square(ctx: Context<String, u64, u64>) -> Result<usize> {
    ctx.started(current_actor()?.name().to_owned()).await?;
    let mut stream = ctx.open_stream().await?;
    let mut count = 0;
    while let Some(n) = stream.next().await? {
        stream.send(n * n).await?;
        count += 1;
    }
    Ok(count)
}

#[tractor::main]
async fn main() -> Result<()> {
    // One worker for each core, unless it is said how many.
    tractor::open_actor_cluster(Cluster::of(module!()).count(3), async |portals| {
        // All at once, and in the order of the workers.
        let contexts = portals.iter().map(|portal| (portal, square {}));
        gather_contexts(contexts, async |contexts| {
            let mut streams = Vec::new();
            for (ctx, name) in &contexts {
                println!("{name} is ready");
                streams.push(ctx.open_stream().await?);
            }
            for (n, worker) in (1..=7).zip((0..3).cycle()) {
                streams[worker].send(n).await?;
                println!("{n} * {n} = {}", streams[worker].recv().await?);
            }
            drop(streams); // no more comes: each worker's loop ends
            for (ctx, name) in &contexts {
                println!("{name} squared {}", ctx.wait_for_result().await?);
            }
            Ok(())
        })
        .await
    })
    .await?; // here the workers are cancelled, and gone
    println!("all gone");
    Ok(())
}
