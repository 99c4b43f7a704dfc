//! The program under test: this test binary, started again with an order in its environment.

use tractor::{Error, Result};

use crate::orders;
use crate::tree::say;

/// The environment variable with the order.
pub(crate) const ORDER: &str = "TREE";

/// Runs as the root of a tree, or as the child it was spawned as.
#[tractor::main]
pub(crate) async fn main() -> Result<()> {
    let order = std::env::var(ORDER).unwrap_or_default();
    let words: Vec<&str> = order.split(' ').collect();
    let result = orders::obey(&words).await;
    match &result {
        Ok(()) => say!("end ok"),
        Err(error) => say!("end {}", describe(error)),
    }
    result
}

/// An error in one line, for the tests to look at: every leaf with its kind and its facts.
pub(crate) fn describe(error: &Error) -> String {
    let leaves = error.leaves();
    leaves.into_iter().map(describe_leaf).collect::<Vec<_>>().join("; ")
}

fn describe_leaf(error: &Error) -> String {
    match error {
        Error::ActorFailed(e) => format!(
            "ActorFailed {} while {:?}, pid {:?}, {}, stderr {:?}, error {:?}",
            e.name(),
            e.phase(),
            e.pid(),
            e.status().map_or_else(|| "no status".to_owned(), |status| status.to_string()),
            e.stderr_tail(),
            e.error().map(|e| e.message().to_owned()),
        ),
        Error::Remote(e) => {
            let path: Vec<&str> = e.relay_path().iter().map(|uid| uid.name.as_str()).collect();
            format!("Remote {} {:?} by {}", e.type_name(), e.message(), path.join("<"))
        }
        error => format!("{} {:?}", error.type_name(), error.to_string()),
    }
}
