//! Where an endpoint may stand, under what names, and who sees it.

mod public {
    #[tractor::rpc]
    pub async fn add(a: u8, b: u8) -> u8 {
        a + b
    }

    #[tractor::rpc]
    pub(crate) async fn sub(a: u8, b: u8) -> u8 {
        a - b
    }

    pub mod inner {
        // Its fields are seen where it is.
        #[tractor::rpc]
        pub(in crate) async fn double(a: u8) -> u8 {
            2 * a
        }

        pub fn module() -> tractor::Module {
            tractor::module!()
        }
    }

    pub fn doubled(a: u8) -> (tractor::Module, inner::double) {
        (inner::module(), inner::double { a })
    }
}

// One `use` for both the fn and its struct.
use public::add;
use public::sub as minus;

#[tractor::rpc(ns = "some.where", name = "shout")]
async fn loud(text: &str) -> String {
    text.to_uppercase()
}

#[tractor::rpc]
async fn r#move() -> u8 {
    1
}

mod renamed {
    pub use ::tractor as elsewhere;
}

#[tractor::rpc(crate = "crate::renamed::elsewhere")]
async fn through_another_path() -> u8 {
    2
}

#[tractor::context(name = "count", ns = "some.where", crate = "crate::renamed::elsewhere")]
async fn counter(ctx: tractor::Context<u8, (), ()>) -> u8 {
    ctx.started(3).await.unwrap();
    4
}

#[cfg(any())]
#[tractor::rpc]
async fn compiled_out(a: NoSuchType) {}

/// Documented, and of no use any more.
#[deprecated = "has another name"]
#[must_use]
#[tractor::rpc]
async fn old() -> u8 {
    5
}

macro_rules! endpoint {
    ($name:ident, $ty:ty, $result:ty) => {
        #[tractor::rpc]
        async fn $name(a: $ty) -> $result {
            a.into()
        }
    };
}
endpoint!(by_macro, u8, u16);
endpoint!(by_macro_borrowed, &str, String);

#[tractor::main]
async fn main() -> tractor::Result<()> {
    // In a fn, too.
    #[tractor::rpc]
    async fn local() -> u8 {
        6
    }
    tractor::open_nursery(async |an| {
        let (inner, double) = public::doubled(2);
        let child = an
            .start_actor("child")
            .enable(tractor::module!())
            .enable_of::<add>()
            .enable(inner)
            .enable_of::<loud>()
            .await?;
        assert_eq!(add(1, 2).await, 3);
        assert_eq!(child.run(add { a: 1, b: 2 }).await?, 3);
        assert_eq!(child.run(minus { a: 2, b: 1 }).await?, 1);
        assert_eq!(child.run(double).await?, 4);
        assert_eq!(child.run(loud { text: "hey".into() }).await?, "HEY");
        assert_eq!(child.run(r#move {}).await?, 1);
        assert_eq!(child.run(through_another_path {}).await?, 2);
        let block = async |ctx: tractor::context::ParentContext<counter>, first| {
            Ok((first, ctx.wait_for_result().await?))
        };
        assert_eq!(child.open_context(counter {}, block).await?, (3, 4));
        #[allow(deprecated)]
        let old = child.run(old {}).await?;
        assert_eq!(old, 5);
        assert_eq!(child.run(local {}).await?, 6);
        assert_eq!(child.run(by_macro { a: 7 }).await?, 7);
        assert_eq!(child.run(by_macro_borrowed { a: "b".into() }).await?, "b");
        child.cancel_actor().await
    })
    .await
}
