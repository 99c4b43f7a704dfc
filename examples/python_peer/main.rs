//! A program that can be a part of a Python tree, and have Python in its own. See README.md beside
//! it.

use std::collections::BTreeMap;

use tractor::{ActorNursery, Context, Portal, RecvHalf, Result, open_nursery};

/// Under the name of a Python module, so that Python can call it as that module's.
#[tractor::rpc(ns = "stats")]
async fn mean(numbers: Vec<f64>) -> f64 {
    let count = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    numbers.iter().sum::<f64>() / f64::from(count)
}

/// For each number the mean so far; in the end how many there were.
#[tractor::context(ns = "stats")]
async fn running_mean(ctx: Context<(), f64, f64>) -> Result<u32> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    let (mut sum, mut count) = (0.0, 0);
    while let Some(number) = stream.next().await? {
        sum += number;
        count += 1;
        stream.send(sum / f64::from(count)).await?;
    }
    Ok(count)
}

tractor::remote! {
    ns "words";

    /// How long each word is.
    async fn lengths(text: String) -> BTreeMap<String, u32>;

    /// The words, the last first.
    stream backwards(text: String) -> String;
}

async fn use_words(python: &Portal, text: &str) -> Result<()> {
    println!("{:?}", python.run(lengths { text: text.to_owned() }).await?);
    let print_all = async |mut words: RecvHalf<String>| {
        while let Some(word) = words.next().await? {
            println!("{word}");
        }
        Ok(())
    };
    python.open_stream_from(backwards { text: text.to_owned() }, print_all).await
}

async fn with_python(an: &ActorNursery) -> Result<()> {
    let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python_peer");
    let python = an.start_python("python", ["words"]).env("PYTHONPATH", modules).await?;
    use_words(&python, "a language is a tool").await?;
    // By its names alone, and so without what it needs.
    let failed = python.call::<u32>("words", "lengths", &()).await;
    println!("without a text: {}", failed.expect_err("it needs one").type_name());
    python.cancel_actor().await
}

async fn without_python(an: &ActorNursery) -> Result<()> {
    let child = an.start_actor("stats").enable_of::<mean>().await?;
    println!("{}", child.run(mean { numbers: vec![1.0, 2.0, 6.0] }).await?);
    child.cancel_actor().await
}

#[tractor::main]
async fn main() -> Result<()> {
    let python = std::env::args().nth(1).is_some_and(|arg| arg == "python");
    open_nursery(async |an| match python {
        true => with_python(&an).await,
        false => without_python(&an).await,
    })
    .await
}
