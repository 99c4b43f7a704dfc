#[tractor::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An error of ours goes in with `?`, and so does any other.
    tractor::open_nursery(async |_| Ok(())).await?;
    let _: u8 = "1".parse()?;
    Ok(())
}
