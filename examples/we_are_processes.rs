//! One process per core; then the root crashes on purpose, and takes the whole tree with it.
//!
//! Watch it with `watch -n .1 "pgrep -af _subactor"` in another terminal: when the program has
//! ended, nothing is left.

#[tractor::rpc]
async fn who_are_you() -> tractor::Result<String> {
    let me = tractor::current_actor()?;
    Ok(format!("{} is process {}", me.name(), std::process::id()))
}

#[tractor::main]
async fn main() -> tractor::Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    println!("root is process {}", std::process::id());
    tractor::open_nursery(async |an| {
        for n in 0..cores {
            let name = format!("worker_{n}");
            let worker = an.start_actor(name).enable(tractor::module!()).await?;
            println!("{}", worker.run(who_are_you {}).await?);
        }
        println!("we are {} processes", cores + 1);
        // A panic is an error like any other: the nursery ends its children, waits until they are
        // reaped, and only then passes it on. `main` reports it and exits with 1.
        panic!("self-destructed")
    })
    .await
}
