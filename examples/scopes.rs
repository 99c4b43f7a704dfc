//! The order in which things end, as printed lines: the innermost first, who catches, and
//! what never runs.

use std::time::Duration;

use tractor::Result;
use tractor::scope::{CancelScope, finally, open_nursery, shield, sleep};

const FOREVER: Duration = Duration::from_secs(3600);

#[tractor::main]
async fn main() -> Result<()> {
    let outer = CancelScope::new();
    let nursery = open_nursery(async |tn| {
        let waits = CancelScope::new();
        let cleanup = say_and_cancel("a child cleans up", waits.clone());
        tn.start_soon(finally(sleep(FOREVER), cleanup));
        tn.start_soon(shield(async move {
            waits.run(sleep(FOREVER)).await;
            say("its sibling is shielded, and ends by itself", 0).await;
            Ok(())
        }));
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

/// A cleanup that somebody waits for, in this scope.
async fn say_and_cancel(what: &'static str, waits: CancelScope) {
    say(what, 20).await;
    waits.cancel();
}

/// A cleanup that takes some time.
async fn say(what: &'static str, ms: u64) {
    // A cleanup is shielded: this is not cut.
    if sleep(Duration::from_millis(ms)).await.is_ok() {
        println!("{what}");
    }
}
