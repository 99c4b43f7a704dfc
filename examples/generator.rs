//! A generator in another process, read by one task, and then by several, each at its own pace.

use futures_core::Stream;
use tractor::{Error, RecvHalf, Result, SendHalf, Subscription, module, open_nursery, scope};

/// Runs in the child, and yields through a handle. It never ends by itself.
#[tractor::stream]
async fn primes(mut out: SendHalf<u64>) -> Result<()> {
    for n in 2.. {
        if (2..n).take_while(|d| d * d <= n).all(|d| n % d != 0) {
            out.send(n).await?; // waits while nobody reads
        }
    }
    Ok(())
}

/// Yields what it returns: a generator of another form.
#[tractor::stream]
fn numbers(to: u64) -> impl Stream<Item = u64> + Send {
    futures_lite::stream::iter(0..to)
}

async fn sum(mut numbers: Subscription<u64>) -> Result<u64> {
    let mut sum = 0;
    while let Some(n) = numbers.next().await? {
        sum += n;
    }
    Ok(sum)
}

#[tractor::main]
async fn main() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("mathematician").enable(module!()).await?;

        // The far task is there for its reader: when the block has enough, it is cancelled.
        let small = child.open_stream_from(primes {}, async |mut numbers: RecvHalf<u64>| {
            let mut small = Vec::new();
            while let Some(n) = numbers.next().await?.filter(|n| *n < 30) {
                small.push(n);
            }
            Ok(small)
        });
        println!("{:?}", small.await?);

        // Several tasks read one stream, and each gets every item.
        let block = child.open_stream_from(numbers { to: 1_001 }, async |mut numbers| {
            let readers = [numbers.subscribe()?, numbers.subscribe()?];
            let mut slow = numbers.subscribe()?;
            drop(numbers); // who subscribed goes on without it
            scope::open_nursery(async |tn| {
                for reader in readers {
                    tn.start_soon(async {
                        println!("the sum is {}", sum(reader).await?);
                        Ok(())
                    });
                }
                Ok(())
            })
            .await?;
            // One that was too slow is told what it missed, and goes on with what is held.
            if let Err(Error::Lagged(missed)) = slow.recv().await {
                println!("{missed} were missed, and the sum of the others is {}", sum(slow).await?);
            }
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}
