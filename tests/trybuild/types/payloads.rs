//! Values that can't be sent, because they have no encoding.

use tractor::{Context, rpc};

struct Plain;

#[rpc]
async fn takes(a: Plain) {} //~ `Plain: serde

#[rpc]
async fn returns() -> Plain { //~ `Plain: serde
    Plain
}

#[tractor::context]
async fn starts_with(ctx: Context<Plain, (), ()>) {} //~ `Plain: serde

struct Borrows<'a>(&'a str);

#[rpc]
async fn takes_what_borrows(a: Borrows) {} //~ lifetime

fn main() {}
