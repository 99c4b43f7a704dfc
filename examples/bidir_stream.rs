//! Two tasks in two processes, linked by a context, stream to each other in both directions.

use tractor::{Context, Result, module, open_nursery};

/// Runs in the child: adds up what comes, and answers each number with the sum so far. The three
/// types are the value of `started`, the items to the parent, and the items from the parent.
#[tractor::context]
async fn adder(ctx: Context<String, u64, u64>, from: u64) -> Result<u64> {
    ctx.started(format!("adding from {from}")).await?;
    let mut stream = ctx.open_stream().await?;
    let mut sum = from;
    while let Some(number) = stream.next().await? {
        sum += number;
        stream.send(sum).await?;
    }
    Ok(sum) // the parent has closed its end: this is the context's result
}

#[tractor::main]
async fn main() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("calculator").enable(module!()).await?;
        // The block begins when the far task has called `started`, and ends when it has ended.
        let total = child.open_context(adder { from: 100 }, async |ctx, greeting: String| {
            println!("{greeting}");
            let mut stream = ctx.open_stream().await?;
            for number in 1..=5 {
                stream.send(number).await?;
                println!("sent {number}, the sum is {}", stream.recv().await?);
            }
            drop(stream); // tells the far side that no more numbers come
            ctx.wait_for_result().await
        });
        println!("the result is {}", total.await?);
        child.cancel_actor().await
    })
    .await
}
