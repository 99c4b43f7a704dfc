//! What `#[tractor::test]` refuses.

#![allow(unused)]

#[tractor::test]
fn not_async() {}

#[tractor::test]
async fn with_parameters(a: u8) {}

#[tractor::test]
async fn generic<T>() {}

#[tractor::test(timeout = 0)]
async fn no_time() {}

#[tractor::test(timeout = -1)]
async fn negative_time() {}

#[tractor::test(timeout = "30s")]
async fn time_as_text() {}

#[tractor::test(timeout)]
async fn no_value() {}

#[tractor::test(limit = 30)]
async fn unknown_argument() {}

#[tractor::test(executors = "smol")]
async fn no_list() {}

#[tractor::test(executors = ["smol", "threads"])]
async fn unknown_executor() {}

#[tractor::test(links = ["uds", "uds"])]
async fn a_link_twice() {}

#[tractor::test(links = [])]
async fn no_link() {}

#[tractor::test(matrix, links = ["uds"])]
async fn all_and_some() {}

#[tractor::test]
struct NotAFn;

fn main() {}
