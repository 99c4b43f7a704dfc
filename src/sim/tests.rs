//! What a run leaves behind: nothing.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::error::Result;
use crate::nursery::open_nursery;
use crate::scope::{self, sleep};

/// Children that end, are killed, are stopped and are dropped.
async fn program() -> Result<()> {
    let beside = start_program("beside", || {
        open_nursery(async |an| {
            an.start_actor("its own").await?;
            sleep(Duration::from_secs(60)).await
        })
    });
    let _ = open_nursery(async |an| {
        for name in ["ends", "killed", "stopped"] {
            an.start_actor(name).isolated().await?;
        }
        assert!(kill("killed") && pause("stopped"));
        sleep(Duration::from_millis(5)).await?;
        Err::<(), _>(crate::Error::TooSlow)
    })
    .await;
    let dropped = open_nursery(async |an| {
        an.start_actor("dropped").await?;
        sleep(Duration::from_secs(60)).await
    });
    let _ = scope::move_on_after(Duration::from_millis(20), dropped).await;
    assert_eq!(beside.is_running(), kill("beside"));
    assert!(!beside.is_running());
    Ok(())
}

#[test]
fn nothing_of_a_run_is_left() {
    for seed in 0..20 {
        let config = Config::new(seed).faults(Faults::all());
        let (result, world) = simulate(config, program);
        result.expect("its errors are its own");
        assert!(!is_running());
        assert_eq!(Arc::strong_count(&world), 1, "seed {seed}: something holds its world");
    }
}
