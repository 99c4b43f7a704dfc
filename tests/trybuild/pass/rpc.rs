//! Every form of a fn that `#[rpc]` accepts, called here and in a child.

use std::collections::BTreeMap;
use std::path::Path;

use tractor::rpc;

type Pairs = BTreeMap<String, u8>;

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Config {
    depth: u32,
}

// Parameters.

#[rpc]
async fn no_parameters() -> u8 {
    1
}

#[rpc]
async fn owned(a: u64, b: Option<String>, c: Vec<(u8, bool)>, d: [u8; 2]) -> usize {
    a as usize + b.map_or(0, |b| b.len()) + c.len() + d.len()
}

#[rpc]
async fn borrowed(a: &str, b: &[u8], c: &Config, d: &Path, e: &(u8, u8)) -> usize {
    a.len() + b.len() + c.depth as usize + d.as_os_str().len() + usize::from(e.0)
}

#[rpc]
async fn mutable(mut a: u8) -> u8 {
    a += 1;
    a
}

#[rpc]
async fn raw(r#type: u8) -> u8 {
    r#type
}

#[rpc]
async fn with_attributes(
    #[serde(default)] a: u8,
    #[serde(rename = "from")] b: u8,
    #[cfg(all())] c: u8,
    #[cfg(any())] d: NoSuchType,
    /// Documented.
    e: u8,
) -> u8 {
    a + b + c + e
}

// Names that the expansion might use itself.
#[rpc]
async fn same_names(this: u8, call: u8, ctx: u8) -> u8 {
    this + call + ctx
}

// Results.

#[rpc]
async fn nothing() {}

#[rpc]
async fn unit() -> () {}

#[rpc]
#[allow(unused_parens)]
async fn parenthesised() -> (u8) {
    2
}

#[rpc]
async fn tuple() -> (u8, String) {
    (3, "three".into())
}

#[rpc]
async fn a_type() -> Config {
    Config { depth: 4 }
}

#[rpc]
async fn an_alias() -> Pairs {
    Pairs::from([("five".to_owned(), 5)])
}

#[rpc]
async fn static_text() -> &'static str {
    "six"
}

#[rpc]
async fn static_slice() -> &'static [u8] {
    &[7]
}

#[rpc]
async fn borrowed_of_an_argument(a: &str) -> &str {
    &a[1..]
}

#[rpc]
async fn fallible() -> tractor::Result<u8> {
    Ok(8)
}

#[rpc]
async fn fallible_text() -> std::io::Result<&'static str> {
    Ok("nine")
}

#[rpc]
async fn fails(with: String) -> Result<(), String> {
    Err(with)
}

type MyResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[rpc]
async fn own_result() -> MyResult<u8> {
    Ok(10)
}

type NumberResult = Result<u8, std::num::ParseIntError>;

#[rpc]
async fn alias_without_arguments() -> NumberResult {
    "11".parse()
}

fn args() -> owned {
    owned { a: 1, b: Some("two".into()), c: vec![(3, true)], d: [4, 5] }
}

fn borrowed_args() -> borrowed {
    let config = Config { depth: 3 };
    borrowed { a: "a".into(), b: vec![2], c: config, d: "/four".into(), e: (5, 6) }
}

#[tractor::main]
async fn main() -> tractor::Result<()> {
    assert_eq!(owned(1, Some("two".into()), vec![(3, true)], [4, 5]).await, 7);
    assert_eq!(borrowed("a", &[2], &Config { depth: 3 }, "/four".as_ref(), &(5, 6)).await, 15);
    assert_eq!(static_text().await, "six");
    tractor::open_nursery(async |an| {
        let child = an.start_actor("child").enable(tractor::module!()).await?;
        assert_eq!(child.run(no_parameters {}).await?, 1);
        assert_eq!(child.run(args()).await?, 7);
        assert_eq!(child.run(borrowed_args()).await?, 15);
        assert_eq!(child.run(mutable { a: 1 }).await?, 2);
        assert_eq!(child.run(raw { r#type: 1 }).await?, 1);
        assert_eq!(child.run(with_attributes { a: 1, b: 2, c: 3, e: 4 }).await?, 10);
        assert_eq!(child.run(same_names { this: 1, call: 2, ctx: 3 }).await?, 6);
        child.run(nothing {}).await?;
        child.run(unit {}).await?;
        assert_eq!(child.run(parenthesised {}).await?, 2);
        assert_eq!(child.run(tuple {}).await?, (3, "three".to_owned()));
        assert_eq!(child.run(a_type {}).await?, Config { depth: 4 });
        assert_eq!(child.run(an_alias {}).await?["five"], 5);
        let text: String = child.run(static_text {}).await?;
        assert_eq!(text, "six");
        let bytes: Vec<u8> = child.run(static_slice {}).await?;
        assert_eq!(bytes, [7]);
        let text: String = child.run(borrowed_of_an_argument { a: "abc".into() }).await?;
        assert_eq!(text, "bc");
        assert_eq!(child.run(fallible {}).await?, 8);
        assert_eq!(child.run(fallible_text {}).await?, "nine");
        let failed = child.run(fails { with: "no".into() }).await;
        assert!(failed.is_err_and(|error| error.to_string().contains("no")));
        assert_eq!(child.run(own_result {}).await?, 10);
        assert_eq!(child.run(alias_without_arguments {}).await?, 11);
        child.cancel_actor().await
    })
    .await
}
