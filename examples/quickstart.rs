//! A child process, a question, an answer.

#[tractor::rpc]
async fn movie_theatre_question() -> &'static str {
    "have you ever been in a process?"
}

#[tractor::main] // runs as the child when it is spawned as one, else as the root
async fn main() -> tractor::Result<()> {
    tractor::open_nursery(async |an| {
        let frank = an.start_actor("frank").enable(tractor::module!()).await?;
        println!("{}", frank.run(movie_theatre_question {}).await?);
        frank.cancel_actor().await?; // daemons live until someone cancels them
        Ok(())
    })
    .await // here frank's process is reaped, whatever happened above
}
