//! Inside somebody else's program: no attribute macro, no global runtime, any `block_on`.

#[tractor::rpc]
async fn double(n: u64) -> u64 {
    n * 2
}

fn main() -> tractor::Result<()> {
    tractor::init(); // the first line of main: becomes the child when it is spawned as one
    futures_lite::future::block_on(async {
        tractor::open_root_actor(tractor::RootConfig::named("app"), async |actor| {
            println!("root actor: {}", actor.name());
            tractor::open_nursery(async |an| {
                let handle = an.run_in_actor(double { n: 21 }).await?;
                println!("answer: {}", handle.result().await?);
                Ok(())
            })
            .await
        })
        .await
    })
}
