//! Errors that are none.

use tractor::rpc;

struct NotAnError;

#[rpc]
async fn fails() -> Result<(), NotAnError> { //~ NotAnError
    Err(NotAnError)
}

fn main() {}
