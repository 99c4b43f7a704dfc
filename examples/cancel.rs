//! Three sizes of cancellation: a task in another process, a whole process, all of a nursery's.

use tractor::scope::{finally, sleep};
use tractor::{Context, Result, module, open_nursery};

const FOREVER: std::time::Duration = std::time::Duration::from_secs(3600);

/// Runs in the child until it is cancelled, and has cleanup to do then.
#[tractor::context]
async fn sleeper(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    let told = ctx.clone();
    // The cleanup runs whether the body succeeds, fails or is cancelled. A cancelled body is
    // dropped where it is suspended: no line of it after its `sleep` runs.
    let cleanup = async move {
        let by = told.canceller().map_or("nobody".to_owned(), |uid| uid.name.to_string());
        println!("  sleeper: cancelled by {by}");
    };
    finally(sleep(FOREVER), cleanup).await
}

#[tractor::main]
async fn main() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;

        println!("cancelling a task:");
        let block = child.open_context(sleeper {}, async |ctx, ()| {
            ctx.cancel().await // the remote task, not this block
        });
        // The far task answers with a cancellation. We asked for it, so it is no error here.
        block.await?;
        println!("  root: absorbed, the process lives on: {}", child.is_connected());

        println!("cancelling an actor:");
        child.cancel_actor().await?;
        child.wait_closed().await?;
        println!("  root: its process was reaped: {}", !child.is_connected());

        println!("cancelling a nursery:");
        for name in ["a", "b", "c"] {
            an.start_actor(name).await?;
        }
        println!("  root: children {:?}", an.children());
        an.cancel().await?; // all at once, and waits until they are gone
        println!("  root: children {:?}", an.children());
        Ok(())
    })
    .await
}
