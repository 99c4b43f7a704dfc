//! Every form of a fn that `#[context]` accepts.

use tractor::{Context, Result, context};

#[context]
async fn plain(ctx: Context<u8, (), ()>) -> Result<u8> {
    ctx.started(1).await?;
    Ok(2)
}

#[context]
async fn by_path(ctx: tractor::Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await
}

#[context]
async fn with_parameters(ctx: Context<String, (), ()>, a: &str, mut b: u8) -> Result<u8> {
    b += 1;
    ctx.started(a.to_owned()).await?;
    Ok(b)
}

#[context]
async fn infallible(ctx: Context<(), (), ()>) {
    ctx.started(()).await.unwrap();
}

#[context]
async fn own_error(ctx: Context<(), (), ()>) -> std::io::Result<&'static str> {
    ctx.started(()).await.map_err(std::io::Error::other)?;
    Ok("done")
}

#[context]
async fn with_a_stream(ctx: Context<(), Option<u8>, (u8, u8)>) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    while let Some((a, b)) = stream.next().await? {
        stream.send(a.checked_sub(b)).await?;
    }
    Ok(())
}

#[context]
async fn another_name(the_other_side: Context<(), (), ()>, ctx: u8) -> Result<u8> {
    the_other_side.started(()).await?;
    Ok(ctx)
}

#[context]
async fn by_no_name(_: Context<(), (), ()>) -> Result<()> {
    // It can't say that it has started, but the runtime gives it its context in another way.
    let ctx = tractor::current_ctx().unwrap();
    drop(ctx);
    Err(std::io::Error::other("refused").into())
}

#[tractor::main]
async fn main() -> Result<()> {
    tractor::open_nursery(async |an| {
        let child = an.start_actor("child").enable(tractor::module!()).await?;
        let ends = child.open_context(plain {}, async |ctx, first: u8| {
            Ok(first + ctx.wait_for_result().await?)
        });
        assert_eq!(ends.await?, 3);
        child.open_context(by_path {}, async |ctx, ()| ctx.wait_for_result().await).await?;
        let args = with_parameters { a: "hey".into(), b: 3 };
        let ends = child.open_context(args, async |ctx, first: String| {
            Ok((first, ctx.wait_for_result().await?))
        });
        assert_eq!(ends.await?, ("hey".to_owned(), 4));
        child.open_context(infallible {}, async |ctx, ()| ctx.wait_for_result().await).await?;
        let ends: String =
            child.open_context(own_error {}, async |ctx, ()| ctx.wait_for_result().await).await?;
        assert_eq!(ends, "done");
        let ends = child.open_context(with_a_stream {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            stream.send((3, 1)).await?;
            stream.recv().await
        });
        assert_eq!(ends.await?, Some(2));
        let args = another_name { ctx: 5 };
        let ends = child.open_context(args, async |ctx, ()| ctx.wait_for_result().await);
        assert_eq!(ends.await?, 5);
        let ends = child.open_context(by_no_name {}, async |_, ()| Ok(())).await;
        assert!(ends.is_err_and(|error| error.to_string().contains("refused")));
        child.cancel_actor().await
    })
    .await
}
