//! Actors find one another by name, at any depth, over the tree's own sockets.

use std::time::Duration;

use tractor::scope::{checkpoint, fail_after};
use tractor::{Result, current_actor, find_actor, get_registry, open_nursery, wait_for_actor};

/// What the actors of this tree listen on.
fn transport() -> &'static str {
    let addrs = current_actor().map(|actor| actor.registry_addrs()).unwrap_or_default();
    match addrs.first() {
        Some(tractor::Address::Tcp { .. }) => "tcp",
        _ => "uds",
    }
}

#[tractor::rpc]
async fn who() -> String {
    current_actor().map(|a| a.name().to_owned()).unwrap_or_default()
}

/// Starts a grandchild, and keeps it until it is cancelled.
#[tractor::context]
async fn keep_grandchild(ctx: tractor::Context<(), (), ()>, name: String) -> Result<()> {
    open_nursery(async |an| {
        an.start_actor(name).enable(tractor::module!()).await?;
        ctx.started(()).await
    })
    .await
}

#[tractor::rpc]
async fn ask_other(name: String) -> Result<(String, String)> {
    wait_for_actor(&name, async |portal| {
        let link = portal.link().unwrap_or("none").to_owned();
        Ok((portal.run(who {}).await?, link))
    })
    .await
}

#[tractor::test(matrix)]
async fn nobody_is_found() -> Result<()> {
    let find = async |_: tractor::ActorNursery| {
        find_actor("nobody", async |portal| Ok(portal.is_none())).await
    };
    assert!(open_nursery(find).await?);
    Ok(())
}

#[tractor::test(matrix)]
async fn siblings_find_each_other_over_the_trees_transport() -> Result<()> {
    open_nursery(async |an| {
        let a = an.start_actor("a").enable(tractor::module!()).await?;
        an.start_actor("b").enable(tractor::module!()).await?;
        let (name, link) = a.run(ask_other { name: "b".into() }).await?;
        assert_eq!((name.as_str(), link.as_str()), ("b", transport()));
        assert_eq!(get_registry().await?.len(), 3);
        an.cancel().await
    })
    .await
}

async fn until_gone(name: &str) -> Result<()> {
    while get_registry().await?.iter().any(|(uid, _)| uid.name == *name) {
        checkpoint().await?;
    }
    Ok(())
}

#[tractor::test(matrix)]
async fn a_grandchild_registers_and_its_record_goes_with_it() -> Result<()> {
    open_nursery(async |an| {
        let mid = an.start_actor("mid").enable(tractor::module!()).await?;
        mid.open_context(keep_grandchild { name: "leaf".into() }, async |ctx, ()| {
            let name = find_actor("leaf", async |portal| {
                let portal = portal.expect("the grandchild is ready, so it is registered");
                assert_eq!(portal.link(), Some(transport()));
                portal.run(who {}).await
            })
            .await?;
            assert_eq!(name, "leaf");
            ctx.cancel().await
        })
        .await?;
        // Its lease is another connection than the one that told of its end: it may be a moment.
        fail_after(Duration::from_secs(5), until_gone("leaf")).await??;
        an.cancel().await
    })
    .await
}
