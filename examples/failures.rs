//! Many children fail at the same time: each failure is in the report, and none is lost.

use std::time::{Duration, Instant};

use tractor::scope::{self, sleep};
use tractor::{BoxError, Context, Result, module, open_nursery};

const CHILDREN: usize = 25;

/// Fails a moment later. The first failure cancels the others, but they are past being stopped.
#[tractor::context]
async fn fail(ctx: Context<(), (), ()>, number: usize) -> Result<(), BoxError> {
    let shielded = async move {
        ctx.started(()).await?;
        sleep(Duration::from_millis(20)).await
    };
    scope::shield(shielded).await?;
    Err(format!("number {number} failed"))?
}

#[tractor::main]
async fn main() -> Result<()> {
    open_nursery(async |an| {
        let mut children = Vec::new();
        for number in 0..CHILDREN {
            children.push(an.start_actor(format!("child{number}")).enable(module!()).await?);
        }
        let began = Instant::now();
        let result = scope::open_nursery(async |tn| {
            for (number, child) in children.iter().enumerate() {
                tn.start_soon(child.open_context(fail { number }, async |_, ()| {
                    sleep(Duration::from_secs(3600)).await // until the child has failed
                }));
            }
            Ok(())
        })
        .await;
        // Not part of what is told, as it is another one each time.
        eprintln!("reported after {} ms", began.elapsed().as_millis());
        let Err(error) = result else { return Ok(()) };
        println!("{} failures:", error.leaves().len());
        let mut messages: Vec<&str> =
            error.leaves().iter().filter_map(|leaf| Some(leaf.remote()?.message())).collect();
        messages.sort_by_key(|message| (message.len(), *message));
        messages.iter().for_each(|message| println!("  {message}"));
        an.cancel().await
    })
    .await
}
