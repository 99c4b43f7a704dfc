//! Twelve lines that print the order in which things end: the innermost first, who catches, and
//! what never runs.

use std::time::Duration;

use tractor::Result;
use tractor::scope::{CancelScope, finally, open_nursery, shield, sleep};

const FOREVER: Duration = Duration::from_secs(3600);

#[tractor::main]
async fn main() -> Result<()> {
    let outer = CancelScope::new();
    let nursery = open_nursery(async |tn| {
        tn.start_soon(finally(sleep(FOREVER), say("a child cleans up", 20)));
        tn.start_soon(shield(say("its sibling is shielded, and ends by itself", 40)));
        CancelScope::new().run(work_until_told(&outer)).await;
        println!("never: the inner scope does not catch what the outer one was told");
        Ok(())
    });
    let around = finally(nursery, say("then what is around the nursery cleans up", 0));
    let caught = outer.run(finally(around, say("and then what is around that", 0))).await;
    println!("caught by the outer scope: {}", caught.is_none() && outer.cancelled_caught());
    println!("a scope that is cancelled stays so: {:?}", outer.run(sleep(FOREVER)).await.is_none());
    Ok(())
}

/// Cancels the scope that it runs in, while the children of the nursery wait.
async fn work_until_told(outer: &CancelScope) -> Result<()> {
    sleep(Duration::from_millis(1)).await?;
    outer.cancel();
    println!("cancelled, and still running: it has not been suspended since");
    let left = finally(sleep(FOREVER), say("what is innermost cleans up first", 0));
    left.await?;
    println!("never: no code after an await that was cut");
    Ok(())
}

/// A cleanup that takes some time.
async fn say(what: &'static str, ms: u64) {
    // A cleanup is shielded: this is not cut.
    if sleep(Duration::from_millis(ms)).await.is_ok() {
        println!("{what}");
    }
}
