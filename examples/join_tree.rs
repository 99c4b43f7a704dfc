//! A look into a running tree, from another program: it joins the tree's registry, finds who is
//! there, calls two of them, and leaves.
//!
//! Started without arguments, this program is the tree; it starts itself again as the visitor.

use std::process::Command;

use tractor::{
    Address, Result, RootConfig, current_actor, find_actor, get_registry, module, open_nursery,
    open_root_actor, unblock,
};

/// What a worker tells of itself.
#[tractor::rpc]
async fn status() -> Result<String> {
    let me = current_actor()?;
    let parent = me.parent().map_or("nobody".to_owned(), |parent| parent.name().to_owned());
    Ok(format!("{}, a child of {parent}", me.name()))
}

async fn tree(registry: Address) -> Result<()> {
    let config = RootConfig::named("app").registry_addrs([registry.clone()]).ensure_registry(true);
    open_root_actor(config, async |_| {
        open_nursery(async |an| {
            for name in ["reader", "writer"] {
                an.start_actor(name).enable(module!()).await?;
            }
            let mut visitor = Command::new(std::env::current_exe()?);
            visitor.arg(registry.to_string());
            let seen = unblock(move || visitor.status()).await??;
            println!("the visitor was content: {}", seen.success());
            an.cancel().await
        })
        .await
    })
    .await
}

async fn visit(registry: Address) -> Result<()> {
    open_root_actor(RootConfig::named("visitor").registry_addrs([registry]), async |_| {
        let mut names: Vec<String> =
            get_registry().await?.into_iter().map(|(uid, _)| uid.name.to_string()).collect();
        names.sort();
        println!("here are {}", names.join(", "));
        for name in ["reader", "writer", "nobody"] {
            find_actor(name, async |found| {
                match found {
                    Some(worker) => println!("{name}: {}", worker.run(status {}).await?),
                    None => println!("{name}: not here"),
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

fn main() -> Result<()> {
    tractor::init();
    if let Some(registry) = std::env::args().nth(1) {
        let registry = registry.parse().map_err(tractor::BoxError::from)?;
        return futures_lite::future::block_on(visit(registry));
    }
    let dir = std::env::temp_dir().join(format!("tractor-join-tree-{}", std::process::id()));
    let registry = Address::Uds { dir: dir.display().to_string(), file: "registry.sock".into() };
    futures_lite::future::block_on(tree(registry))?;
    std::fs::remove_dir(dir)?;
    Ok(())
}
