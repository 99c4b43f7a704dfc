//! An error crosses two processes and still says what it was, where it happened and how it came.

use tractor::{Error, Result, module, open_nursery};

/// Runs in the worker, and fails of what it is given: with an error of the standard library.
#[tractor::rpc]
async fn parse(text: &str) -> Result<u64, std::num::ParseIntError> {
    text.parse()
}

/// Runs in the supervisor, which has a worker of its own. The worker's error is not handled here:
/// it ends the nursery, as any error does, and goes on to whoever called us.
#[tractor::rpc]
async fn delegate(text: String) -> Result<u64> {
    open_nursery(async |an| {
        let worker = an.start_actor("worker").enable(module!()).await?;
        let number = worker.run(parse { text }).await?;
        worker.cancel_actor().await?;
        Ok(number)
    })
    .await
}

#[tractor::main]
async fn main() -> Result<()> {
    open_nursery(async |an| {
        let supervisor = an.start_actor("supervisor").enable(module!()).await?;
        println!("42 is {}", supervisor.run(delegate { text: "42".into() }).await?);
        match supervisor.run(delegate { text: "forty-two".into() }).await {
            Err(Error::Remote(error)) => {
                let path: Vec<&str> =
                    error.relay_path().iter().map(|uid| uid.name.as_str()).collect();
                println!("type:    {}", error.type_name());
                println!("message: {}", error.message());
                println!("source:  {}", error.source_actor().name);
                println!("path:    {}", path.join(" -> "));
            }
            other => println!("not what we expected: {other:?}"),
        }
        supervisor.cancel_actor().await // handled: the supervisor lives until now
    })
    .await
}
