//! Bugs that were found once: each a test that failed before its fix.

use tractor::{Error, Result, open_nursery};

/// A start that fails is seen by whoever asked for it, before the nursery cancels its body.
#[tractor::test]
async fn a_failed_start_is_seen_by_the_body() {
    let mut seen = None;
    let result: Result<()> = open_nursery(async |an| {
        seen = an.start_actor("gone").exe("/nonexistent/program").await.err();
        Ok(())
    })
    .await;
    assert!(matches!(seen, Some(Error::ActorFailed(_))), "{seen:?}");
    assert!(matches!(result, Err(Error::ActorFailed(_))), "{result:?}");
}
