//! MSG: what is sent is of the types that both sides have agreed on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tractor::{Context, Error, Result, open_nursery};

/// A type of the program's own, which is a text on the wire.
#[derive(Clone, Debug, PartialEq)]
struct Pointer {
    module: String,
    name: String,
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.module, self.name)
    }
}

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Pointer, String> {
        let (module, name) = text.split_once(':').ok_or("a pointer has a colon")?;
        Ok(Pointer { module: module.into(), name: name.into() })
    }
}

impl Serialize for Pointer {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Pointer, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[tractor::context]
async fn point(ctx: Context<Vec<Option<Pointer>>, (), ()>, at: Pointer) -> Result<Pointer> {
    ctx.started(vec![None, Some(at.clone())]).await?;
    Ok(at)
}

#[tractor::rpc(ns = "msg")]
async fn misnamed() -> &'static str {
    "no colon"
}

#[tractor::test(matrix)]
async fn msg_01_custom_extension_types() -> Result<()> {
    tractor::remote! { ns "msg"; async fn named() -> Pointer = "misnamed"; }
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(tractor::module!());
        let child = child.enable_of::<misnamed>().await?;
        let at = Pointer { module: "pkg.mod".into(), name: "f".into() };
        let task = point { at: at.clone() };
        let back = child.open_context(task, async |ctx, first: Vec<Option<Pointer>>| {
            assert_eq!(first, [None, Some(at.clone())], "nested, too");
            ctx.wait_for_result().await
        });
        assert_eq!(back.await?, at);
        // What its own code refuses is refused as of the wrong type.
        let error = child.run(named {}).await.unwrap_err();
        assert!(matches!(error, Error::MsgType(_)), "{error:?}");
        assert!(error.to_string().contains("a pointer has a colon"), "{error}");
        child.cancel_actor().await
    })
    .await
}

/// What the two sides of MSG-04 have agreed on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PldMsg {
    field: String,
}

/// That, or something else.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Agreed(PldMsg),
    Number(u64),
    Text(String),
    Nil,
}

#[tractor::context(ns = "msg")]
async fn give(ctx: Context<Loose, (), ()>, bad_first: bool, bad_last: bool) -> Result<Loose> {
    let first = match bad_first {
        true => Loose::Number(10),
        false => Loose::Agreed(PldMsg { field: "yo".into() }),
    };
    ctx.started(first).await?;
    Ok(if bad_last { Loose::Text("yo".into()) } else { Loose::Nil })
}

mod agreed {
    use super::PldMsg;

    tractor::remote! {
        ns "msg";
        pub(super) context give(bad_first: bool, bad_last: bool)
            -> (PldMsg, (), (), Option<PldMsg>);
    }
}

#[tractor::test(matrix)]
async fn msg_04_basic_payload_spec() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable_of::<give>().await?;
        for (bad_first, bad_last) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut began = false;
            let task = agreed::give { bad_first, bad_last };
            let last = child.open_context(task, async |ctx, first: PldMsg| {
                began = true;
                assert_eq!(first.field, "yo");
                ctx.wait_for_result().await
            });
            let last = last.await;
            assert_eq!(began, !bad_first);
            match (last, bad_first || bad_last) {
                (Ok(last), false) => assert_eq!(last, None),
                (Err(error @ Error::MsgType(_)), true) => {
                    let wrong = if bad_first { "integer" } else { "string" };
                    assert!(error.to_string().contains(wrong), "{error}");
                }
                (other, _) => panic!("{bad_first} {bad_last}: {other:?}"),
            }
        }
        child.cancel_actor().await
    })
    .await
}
