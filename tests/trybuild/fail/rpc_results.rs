//! Results that can't go to another actor.

#![allow(unused)]

use std::io;

use tractor::rpc;

#[rpc]
async fn anonymous() -> impl Copy {}

#[rpc]
async fn anonymous_inside() -> Result<impl Copy, io::Error> {
    Ok(())
}

#[rpc]
async fn mutable() -> &'static mut u8 {
    unreachable!()
}

#[rpc]
async fn reference_inside() -> Vec<&'static str> {
    vec![]
}

#[rpc]
async fn reference_inside_result() -> io::Result<Option<&'static str>> {
    Ok(None)
}

#[rpc]
async fn object() -> Box<dyn Fn()> {
    Box::new(|| ())
}

#[rpc]
async fn inferred() -> _ {
    1
}

#[rpc]
async fn never() -> ! {
    panic!()
}

fn main() {}
