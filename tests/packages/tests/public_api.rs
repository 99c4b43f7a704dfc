//! The public API is what was agreed upon, and names no crate but those that it may.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

use std::fmt::Write as _;
use std::path::PathBuf;

use tractor_packages::listing::{Listing, Mention, list};
use tractor_packages::source::Krate;
use tractor_packages::{PUBLISHED, workspace};

fn listings() -> Vec<(&'static str, Listing)> {
    let read = |(dir, name): (&str, &'static str)| {
        (name, list(&Krate::read(&workspace().join(dir), name)))
    };
    PUBLISHED.into_iter().map(read).collect()
}

fn snapshot(name: &str) -> PathBuf {
    workspace().join("docs/public-api").join(format!("{name}.txt"))
}

/// Lines that are in one of two texts only: `-` in the first, `+` in the second.
fn difference(was: &str, is: &str) -> String {
    let (mut was, mut is): (Vec<&str>, Vec<&str>) = (was.lines().collect(), is.lines().collect());
    let mut text = String::new();
    let alike = was.iter().zip(&is).take_while(|(a, b)| a == b).count();
    was.drain(..alike);
    is.drain(..alike);
    while was.last().is_some_and(|last| Some(last) == is.last()) {
        was.pop();
        is.pop();
    }
    was.iter().for_each(|line| writeln!(text, "-{line}").unwrap());
    is.iter().for_each(|line| writeln!(text, "+{line}").unwrap());
    text
}

#[test]
fn public_api_is_as_agreed() {
    let rewrite = std::env::var_os("REWRITE").is_some();
    let mut changed = Vec::new();
    for (name, listing) in listings() {
        let path = snapshot(name);
        if rewrite {
            std::fs::write(&path, &listing.text).unwrap();
        }
        let agreed = std::fs::read_to_string(&path).unwrap_or_default();
        if agreed != listing.text {
            changed.push(format!("{name}:\n{}", difference(&agreed, &listing.text)));
        }
    }
    let how = "the public API has changed; if that is intended, \
               `REWRITE=1 cargo test -p tractor-packages` writes it down";
    assert!(changed.is_empty(), "{how}\n{}", changed.join("\n"));
}

/// The crates that the public API of each package may name, besides the standard ones. Each is a
/// promise: a new major version of it is a new one of ours.
const NAMED: [(&str, &[&str]); 5] = [
    (
        "tractor",
        &[
            "futures_core",
            "futures_sink",
            "serde",
            "tractor_core",
            "tractor_executors",
            "tractor_macros",
        ],
    ),
    ("tractor_core", &["bytes"]),
    ("tractor_executors", &[]),
    ("tractor_transports", &["tractor_core", "tractor_executors"]),
    ("tractor_macros", &["proc_macro"]),
];

/// The crates of the runtimes, and the feature behind which the public API may name them.
const RUNTIMES: [(&str, &str); 6] = [
    ("smol", "smol"),
    ("async_executor", "smol"),
    ("async_io", "smol"),
    ("async_task", "smol"),
    ("mio", "smol"),
    ("tokio", "tokio"),
];

/// Why a public item may not name what it does.
fn objection(mention: &Mention, named: &[&str]) -> Option<String> {
    let Mention { krate, path, module, cfgs } = mention;
    if ["alloc", "core", "std"].contains(&krate.as_str()) || named.contains(&krate.as_str()) {
        return None;
    }
    let runtime = RUNTIMES.iter().find(|(name, _)| name == krate);
    let Some((_, feature)) = runtime else {
        return Some(format!("{path} in {module}: not agreed upon"));
    };
    let is_behind = cfgs.iter().any(|cfg| cfg.contains(&format!("feature = \"{feature}\"")));
    (!is_behind).then(|| format!("{path} in {module}: not behind the feature `{feature}`"))
}

#[test]
fn public_api_names_no_crate_but_those_it_may() {
    for ((name, listing), (_, named)) in listings().into_iter().zip(NAMED) {
        let objections: Vec<String> =
            listing.mentions.iter().filter_map(|mention| objection(mention, named)).collect();
        assert!(objections.is_empty(), "{name}:\n{}", objections.join("\n"));
        let unnamed = named.iter().filter(|it| listing.mentions.iter().all(|m| m.krate != **it));
        assert_eq!(unnamed.collect::<Vec<_>>(), [&""; 0], "{name} does not name these any more");
    }
}

/// A crate that does what ours may not, and some of what they do.
const EXAMPLE: &str = r#"
    use tokio::net::TcpStream as Net;
    mod inner {
        pub struct Seen(Hidden);
        pub struct Hidden { pub part: u8, secret: super::Net }
        pub struct Unseen;
        impl Seen {
            pub fn stream(mut self) -> Option<super::Net> { None }
            fn private(&self) {}
        }
        impl super::Trait for Seen { fn f(&self) {} }
        impl Sealed for Seen {}
        pub trait Sealed {}
    }
    pub use inner::{Seen, Hidden as Shown};
    pub trait Trait { fn f(&self) {} fn g(&self); }
    #[cfg(feature = "smol")]
    pub mod smol {
        /// Documented.
        pub async fn go(_: async_io::Timer) { loop {} }
    }
    #[doc(hidden)]
    pub mod hidden { pub fn f(_: async_io::Timer) {} }
    pub(crate) fn own(_: async_io::Timer) {}
    #[cfg(test)]
    pub fn test(_: async_io::Timer) {}
"#;

#[test]
fn listing_shows_what_is_public_and_nothing_else() {
    let listing = list(&Krate::parse("example", EXAMPLE));
    let text = r#"
pub struct Seen(_);
impl Seen {
    pub fn stream(self) -> Option<super::Net> {}
}
impl super::Trait for Seen {}
pub struct Shown {
    pub part: u8,
    private: _,
}
pub trait Trait {
    fn f(&self) {}
    fn g(&self);
}
#[cfg(feature = "smol")]
pub mod smol {
    pub async fn go(_: async_io::Timer) {}
}
"#;
    assert_eq!(listing.text, text.trim_start());
    let objections: Vec<String> =
        listing.mentions.iter().filter_map(|mention| objection(mention, &[])).collect();
    assert_eq!(objections, ["tokio::net::TcpStream in inner: not behind the feature `tokio`"]);
    let mentioned: Vec<&str> = listing.mentions.iter().map(|m| m.krate.as_str()).collect();
    assert_eq!(mentioned, ["async_io", "tokio"]);
}
