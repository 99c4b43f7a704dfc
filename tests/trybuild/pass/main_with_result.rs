/// Its doc, its attributes.
#[allow(clippy::unused_async)]
#[tractor::main(executor = "smol")]
async fn main() -> tractor::Result<()> {
    tractor::open_nursery(async |_| Ok(())).await?;
    Ok(())
}
