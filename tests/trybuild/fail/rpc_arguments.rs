//! What may not stand between the parentheses of `#[rpc(..)]`.

#![allow(unused)]

use tractor::rpc;

#[rpc(names = "a")]
async fn unknown() {}

#[rpc(timeout = 3)]
async fn of_another_attribute() {}

#[rpc(ns = "a", ns = "b")]
async fn twice() {}

#[rpc(ns = "")]
async fn empty_namespace() {}

#[rpc(name = "")]
async fn empty_name() {}

#[rpc(ns = 3)]
async fn number() {}

#[rpc(name)]
async fn no_value() {}

#[rpc(ns = "a", "name")]
async fn no_key() {}

#[rpc(crate = "a b")]
async fn no_path() {}

fn main() {}
