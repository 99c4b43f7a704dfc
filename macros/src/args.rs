//! What stands between the parentheses of an attribute: `ns = "a.b", name = "c"`.

use std::time::Duration;

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::parse::{ParseStream, Parser};
use syn::{Error, Lit, LitStr, Path, Result, Token, bracketed};

/// The arguments of any of the attributes; each attribute names the keys that it knows.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) ns: Option<LitStr>,
    pub(crate) name: Option<LitStr>,
    pub(crate) executor: Option<LitStr>,
    /// The executors, and the links, that a test is run with.
    pub(crate) executors: Option<Vec<LitStr>>,
    pub(crate) links: Option<Vec<LitStr>>,
    pub(crate) matrix: bool,
    pub(crate) timeout: Option<Duration>,
    root: Option<Path>,
}

impl Args {
    /// Reads `tokens`, of which only the keys in `known` may occur (and `crate`, always).
    pub(crate) fn parse(tokens: TokenStream, known: &[&str]) -> Result<Args> {
        let mut args = Args::default();
        let mut seen = Vec::new();
        let parser = syn::meta::parser(|meta| {
            let key = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            if key != "crate" && !known.contains(&key.as_str()) {
                let known = known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>();
                let known = known.join(", ");
                return Err(meta.error(format!("unknown argument; known are {known} and `crate`")));
            }
            if seen.contains(&key) {
                return Err(meta.error(format!("`{key}` is given twice")));
            }
            args.set(&key, &meta)?;
            seen.push(key);
            Ok(())
        });
        parser.parse2(tokens)?;
        Ok(args)
    }

    /// The path of the `tractor` crate.
    pub(crate) fn root(&self) -> Path {
        self.root.clone().unwrap_or_else(|| syn::parse_quote!(::tractor))
    }

    fn set(&mut self, key: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match key {
            "ns" => self.ns = Some(wire_word(meta, "namespace")?),
            "name" => self.name = Some(wire_word(meta, "name")?),
            "executor" => self.executor = Some(one_of(meta.value()?, &EXECUTORS, "executor")?),
            "executors" => self.executors = Some(all_of(meta, &EXECUTORS, "executor")?),
            "links" => self.links = Some(all_of(meta, &LINKS, "link")?),
            "matrix" => self.matrix = true,
            "timeout" => self.timeout = Some(seconds(meta)?),
            _ => self.root = Some(meta.value()?.parse::<LitStr>()?.parse()?),
        }
        Ok(())
    }
}

fn wire_word(meta: &ParseNestedMeta<'_>, what: &str) -> Result<LitStr> {
    let word: LitStr = meta.value()?.parse()?;
    if word.value().is_empty() {
        return Err(Error::new(word.span(), format!("the {what} must not be empty")));
    }
    Ok(word)
}

/// The executors there are, by their names.
pub(crate) const EXECUTORS: [&str; 3] = ["smol", "tokio", "tokio-multi-thread"];

/// The kinds of links between a parent and its child.
pub(crate) const LINKS: [&str; 3] = ["socketpair", "uds", "tcp"];

fn one_of(input: ParseStream<'_>, known: &[&str], what: &str) -> Result<LitStr> {
    let name: LitStr = input.parse()?;
    if known.contains(&name.value().as_str()) {
        return Ok(name);
    }
    let known = known.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let mut text = format!("unknown {what}: there are {known}");
    if what == "executor" {
        text += "; for another one, call `tractor::init_with` in a plain `fn main` and give it to \
                 `RootConfig::executor`";
    }
    Err(Error::new(name.span(), text))
}

/// `["smol", "tokio"]`
fn all_of(meta: &ParseNestedMeta<'_>, known: &[&str], what: &str) -> Result<Vec<LitStr>> {
    let value = meta.value()?;
    let list;
    bracketed!(list in value);
    let mut names: Vec<LitStr> = Vec::new();
    while !list.is_empty() {
        let name = one_of(&list, known, what)?;
        if names.iter().any(|known| known.value() == name.value()) {
            return Err(Error::new(name.span(), format!("this {what} is given twice")));
        }
        names.push(name);
        if !list.is_empty() {
            list.parse::<Token![,]>()?;
        }
    }
    match names.is_empty() {
        true => Err(meta.error(format!("name at least one {what}"))),
        false => Ok(names),
    }
}

fn seconds(meta: &ParseNestedMeta<'_>) -> Result<Duration> {
    let lit: Lit = meta.value()?.parse()?;
    let seconds = match &lit {
        Lit::Int(lit) => lit.base10_parse::<u32>().ok().map(f64::from),
        Lit::Float(lit) => lit.base10_parse::<f64>().ok(),
        _ => None,
    };
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|timeout| !timeout.is_zero())
        .ok_or_else(|| {
            Error::new(lit.span(), "a timeout is a positive number of seconds: `timeout = 30`")
        })
}
