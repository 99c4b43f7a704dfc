//! Results that are not what their name says.

use tractor::{Context, rpc};

type Outcome = Result<u8, String>;

#[rpc]
async fn hidden_result() -> Outcome { //~ `hidden_result` returns a `Result` under a name
    Ok(1)
}

#[tractor::context]
async fn hidden_in_context(ctx: Context<(), (), ()>) -> Outcome { //~ would be sent as a success
    Ok(1)
}

struct SearchResult;

#[rpc]
async fn only_named_so() -> SearchResult { //~ is named like a `Result` but is none
    SearchResult
}

fn main() {}
