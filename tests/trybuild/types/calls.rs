//! Calls that the compiler refuses, so that no child ever has to.

use tractor::{Context, Exposed, Portal, Result};

#[tractor::rpc]
async fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[tractor::context]
async fn trainer(ctx: Context<u8, (), ()>) -> Result<()> {
    ctx.started(1).await
}

async fn nothing() {}

struct Other;

async fn calls(portal: Portal) -> Result<()> {
    portal.run(add { a: 1 }).await?; //~ missing field `b`
    portal.run(add { a: 1, b: 2, c: 3 }).await?; //~ no field named `c`
    portal.run(add { a: "1", b: 2 }).await?; //~ mismatched types
    let sum: String = portal.run(add { a: 1, b: 2 }).await?; //~ expected `String`
    portal.run(add(1, 2)).await?; //~ not the arguments of a fn under `#[tractor::rpc]`
    portal.run(nothing()).await?; //~ not the arguments of a fn under `#[tractor::rpc]`
    portal.run(Other).await?; //~ not the arguments of a fn under `#[tractor::rpc]`
    portal.run(trainer {}).await?; //~ not the arguments of a fn under `#[tractor::rpc]`
    let add = add { a: 1, b: 2 };
    portal.open_context(add, async |_, ()| Ok(())).await //~ fn under `#[tractor::context]`
}

fn modules() -> tractor::Module {
    tractor::Module::of::<Other>() //~ `Other` is not an endpoint
}

fn exposes() -> Exposed {
    Exposed::new().rpc::<trainer>() //~ not the arguments of a fn under `#[tractor::rpc]`
}

fn main() {}
