//! Fns that can't be contexts.

#![allow(unused)]

use tractor::{Context, context};

#[context]
async fn no_parameters() {}

#[context]
async fn no_context(a: u8) {}

#[context]
async fn not_first(a: u8, ctx: Context<(), (), ()>) {}

#[context]
async fn no_types(ctx: Context) {}

#[context]
async fn two_types(ctx: Context<u8, u8>) {}

#[context]
async fn by_reference(ctx: &Context<(), (), ()>) {}

#[context]
async fn by_mutable_reference(ctx: &mut Context<(), (), ()>) {}

#[context]
async fn borrowed_items(ctx: Context<(), (), &str>) {}

#[context]
async fn taken_apart(Context { .. }: Context<(), (), ()>) {}

#[context]
async fn with_attribute(#[allow(unused)] ctx: Context<(), (), ()>) {}

#[context]
async fn generic<T>(ctx: Context<T, (), ()>) {}

#[context]
fn not_async(ctx: Context<(), (), ()>) {}

#[context(executor = "smol")]
async fn unknown_argument(ctx: Context<(), (), ()>) {}

struct Machine;

impl Machine {
    #[context]
    async fn method(&self, ctx: Context<(), (), ()>) {}
}

#[context]
struct NotAFn;

fn main() {}
