//! DISC: programs that share a registry. Several roots of one process are as good as several
//! programs for all that is not about the end of a process: each is a tree of its own.

use std::time::Duration;

use futures_lite::future::zip;
use tractor::scope::{checkpoint, fail_after};
use tractor::{
    Address, Error, Result, RootConfig, current_actor, get_registry, module, open_nursery,
    open_root_actor, wait_for_actor,
};

use crate::program::{TempDir, temp_dir};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

fn socket(dir: &TempDir) -> Address {
    format!("/unix{}/registry.sock", dir.path().display()).parse().unwrap()
}

#[tractor::rpc]
async fn who() -> String {
    current_actor().map(|a| a.name().to_owned()).unwrap_or_default()
}

async fn until_gone(name: &str) -> Result<()> {
    let is_there =
        async || Ok::<_, Error>(get_registry().await?.iter().any(|(u, _)| u.name == *name));
    fail_after(LIMIT, async {
        while is_there().await? {
            checkpoint().await?;
        }
        Ok(())
    })
    .await?
}

/// One of two trees keeps the registry, the other and its child are found through it, and are gone
/// when that tree is.
#[tractor::test]
async fn two_roots_share_a_registry() -> Result<()> {
    let dir = temp_dir();
    let at = || RootConfig::default().registry_addrs([socket(&dir)]);
    let keeper = open_root_actor(at(), async |actor| {
        assert!(actor.is_registrar());
        assert_eq!(actor.registry_addrs(), [socket(&dir)]);
        wait_for_actor("leaf", async |leaf| {
            assert_eq!((leaf.run(who {}).await?.as_str(), leaf.link()), ("leaf", Some("uds")));
            leaf.cancel_actor().await
        })
        .await?;
        until_gone("leaf").await?;
        until_gone("client").await
    });
    let client = async {
        open_root_actor(at().name("client"), async |actor| {
            assert!(!actor.is_registrar());
            open_nursery(async |an| {
                an.start_actor("leaf").enable(module!()).await?;
                Ok(())
            })
            .await
        })
        .await
    };
    let (kept, joined) = zip(keeper, client).await;
    kept?;
    joined
}
