//! LOCAL: inside of one process.

use std::time::{Duration, Instant};

use tractor::scope::{fail_after, sleep};
use tractor::{
    Error, Result, RootConfig, current_actor, find_actor, get_registry, open_root_actor,
    query_actor, wait_for_actor,
};

/// Without an actor there is nobody to ask.
#[tractor::test(matrix)]
async fn local_01_no_runtime() {
    let found = find_actor("anybody", async |_| Ok(())).await;
    assert!(matches!(found, Err(Error::NoCurrentActor)), "{found:?}");
    assert!(matches!(query_actor("anybody").await, Err(Error::NoCurrentActor)));
    assert!(matches!(current_actor(), Err(Error::NoCurrentActor)));
}

const AT_ONCE: Duration = Duration::from_secs(2);

#[tractor::test(matrix)]
async fn local_02_self_is_registered() -> Result<()> {
    open_root_actor(RootConfig::default(), async |actor| {
        assert!(actor.is_registrar());
        let own = actor.uid().clone();
        let found = wait_for_actor("root", async |portal| Ok(portal.uid().clone()));
        assert_eq!(fail_after(AT_ONCE, found).await??, own);
        Ok(())
    })
    .await
}

/// Whoever keeps the registry looks into it without a connection.
#[tractor::test(matrix)]
async fn local_03_self_is_registered_localportal() -> Result<()> {
    open_root_actor(RootConfig::default(), async |actor| {
        let addrs = fail_after(AT_ONCE, query_actor("root")).await??;
        assert_eq!(addrs, actor.registry_addrs());
        let registry = get_registry().await?;
        assert_eq!(registry, [(actor.uid().clone(), addrs)]);
        assert_eq!(actor.peers(), [], "nothing of it went over a connection");
        Ok(())
    })
    .await
}

/// Plain async code runs in an actor as it runs anywhere.
#[tractor::test(matrix)]
async fn local_04_local_actor_async_func() -> Result<()> {
    open_root_actor(RootConfig::default(), async |actor| {
        assert!(actor.is_registrar() && actor.is_root());
        let began = Instant::now();
        for _ in 0..5 {
            sleep(Duration::from_millis(10)).await?;
        }
        assert!(began.elapsed() >= Duration::from_millis(50));
        Ok(())
    })
    .await
}
