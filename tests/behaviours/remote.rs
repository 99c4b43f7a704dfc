//! Functions that are declared, and live elsewhere.

use tractor::{Context, Error, RecvHalf, Result, SendHalf, open_nursery};

/// What another program has.
mod served {
    use super::*;

    #[tractor::rpc(ns = "pkg.mod")]
    pub(super) async fn add(a: u64, b: u64) -> u64 {
        a + b
    }

    #[tractor::rpc(ns = "pkg.mod", name = "import")]
    pub(super) async fn load(what: &str) -> Result<Option<String>> {
        Ok((what == "cheese").then(|| what.to_uppercase()))
    }

    #[tractor::context(ns = "pkg.mod")]
    pub(super) async fn sums(ctx: Context<String, u64, u64>, from: u64) -> Result<u64> {
        ctx.started(format!("from {from}")).await?;
        let mut stream = ctx.open_stream().await?;
        let mut sum = from;
        while let Some(number) = stream.next().await? {
            sum += number;
            stream.send(sum).await?;
        }
        Ok(sum)
    }

    #[tractor::stream(ns = "pkg.more")]
    pub(super) async fn count(mut out: SendHalf<u64>, to: u64) -> Result<()> {
        for n in 0..to {
            out.send(n).await?;
        }
        Ok(())
    }
}

/// What this one knows of it.
mod declared {
    tractor::remote! {
        ns "pkg.mod";

        /// Adds up.
        pub(super) async fn add(a: u64, b: u64) -> u64;
        pub(super) async fn load(what: &str) -> Option<String> = "import";
        pub(super) context sums(from: u64) -> (String, u64, u64, u64);
        #[cfg(any())]
        pub(super) async fn never(of: NoSuchType) -> u64;
        pub(super) async fn missing();

        ns "pkg.more";

        pub(super) stream count(to: u64) -> u64;
    }
}

#[tractor::test(matrix)]
async fn declared_functions_are_called_by_naming_their_arguments() -> Result<()> {
    open_nursery(async |an| {
        let builder = an.start_actor("elsewhere").enable_of::<served::add>();
        let child = builder.enable_of::<served::count>().await?;
        assert_eq!(child.run(declared::add { a: 3, b: 4 }).await?, 7);
        let loaded = child.run(declared::load { what: "cheese".into() }).await?;
        assert_eq!(loaded.as_deref(), Some("CHEESE"));
        let task = declared::sums { from: 10 };
        let last = child.open_context(task, async |ctx, first: String| {
            assert_eq!(first, "from 10");
            let mut stream = ctx.open_stream().await?;
            stream.send(5).await?;
            assert_eq!(stream.recv().await?, 15);
            stream.stop();
            ctx.wait_for_result().await
        });
        assert_eq!(last.await?, 15);
        let items = async |mut numbers: RecvHalf<u64>| {
            let mut sum = 0;
            while let Some(number) = numbers.next().await? {
                sum += number;
            }
            Ok(sum)
        };
        assert_eq!(child.open_stream_from(declared::count { to: 5 }, items).await?, 10);
        let missing = child.run(declared::missing {}).await.unwrap_err();
        assert!(missing.to_string().contains("missing"), "{missing}");
        child.cancel_actor().await
    })
    .await
}

/// Who exposes what he has only declared is told so by whoever calls it.
#[tractor::test]
async fn a_declaration_has_nothing_behind_it() {
    use tractor::endpoint::Rpc as _;
    let error: Error = Error::from(declared::add { a: 1, b: 2 }.call().await.unwrap_err());
    assert!(error.to_string().contains("only declared"), "{error}");
}
