//! What the tasks of a nursery may borrow, and how long.

use std::rc::Rc;

use tractor::Result;
use tractor::scope;

async fn borrows_from_inside() -> Result<()> {
    scope::open_nursery(async |tn| {
        let inside = String::from("dropped before the nursery ends");
        tn.start_soon(async { //~ inside
            println!("{inside}");
        });
        Ok(())
    })
    .await
}

async fn borrows_in_parallel() -> Result<()> {
    let outside = String::from("of another thread");
    scope::open_nursery(async |tn| { //~ outside
        tn.start_soon_parallel(async {
            println!("{outside}");
        });
        Ok(())
    })
    .await
}

async fn shares_between_tasks() -> Result<()> {
    let mut count = 0;
    scope::open_nursery(async |tn| {
        tn.start_soon(async { count += 1 });
        tn.start_soon(async { count += 1 }); //~ count
        Ok(())
    })
    .await
}

fn main() {}
