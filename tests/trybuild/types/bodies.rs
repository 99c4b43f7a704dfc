//! Bodies that can't move between threads.

use std::rc::Rc;
use std::time::Duration;

use tractor::scope::sleep;

#[tractor::rpc] //~ sent between threads
async fn holds() -> tractor::Result<usize> {
    let here = Rc::new(1);
    sleep(Duration::ZERO).await?;
    Ok(*here)
}

fn main() {}
