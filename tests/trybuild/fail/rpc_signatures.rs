//! Fns that can't be endpoints, whatever their parameters.

#![allow(unused)]

use tractor::rpc;

#[rpc]
fn not_async() {}

#[rpc]
async fn generic<T>(a: T) {}

#[rpc]
async fn with_lifetime<'a>(a: &'a str) {}

#[rpc]
async fn with_const<const N: usize>(a: [u8; N]) {}

#[rpc]
async fn with_clause()
where
    u8: Copy,
{
}

#[rpc]
async unsafe fn is_unsafe() {}

#[rpc]
async extern "C" fn foreign() {}

struct Calculator;

impl Calculator {
    #[rpc]
    async fn method(&self, a: u8) {}
}

#[rpc]
struct NotAFn;

#[rpc]
const NEITHER: u8 = 1;

#[rpc]
mod nor_this {}

fn main() {}
