//! What stands between the parentheses of an attribute: `ns = "a.b", name = "c"`.

use std::time::Duration;

use proc_macro2::{TokenStream, TokenTree};
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseBuffer, ParseStream, Parser};
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
        check_keys(&tokens, known)?;
        let parser = syn::meta::parser(|meta| {
            let key = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            if key != "crate" && !known.contains(&key.as_str()) {
                return Err(meta.error(format!("unknown argument; {}", known_keys(known))));
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
            "executor" => {
                self.executor = Some(one_of(text(meta, "\"smol\"")?, &EXECUTORS, "executor")?)
            }
            "executors" => self.executors = Some(all_of(meta, &EXECUTORS, "executor")?),
            "links" => self.links = Some(all_of(meta, &LINKS, "link")?),
            "matrix" => self.matrix = true,
            "timeout" => self.timeout = Some(seconds(meta)?),
            _ => self.root = Some(root(meta)?),
        }
        Ok(())
    }
}

/// Each argument begins with its name.
fn check_keys(tokens: &TokenStream, known: &[&str]) -> Result<()> {
    let mut begins = true;
    for tree in tokens.clone() {
        let is_name = matches!(tree, TokenTree::Ident(_));
        if begins && !is_name {
            let text = format!("an argument is written `name = value`; {}", known_keys(known));
            return Err(Error::new(tree.span(), text));
        }
        begins = matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ',');
    }
    Ok(())
}

fn known_keys(known: &[&str]) -> String {
    let known = known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>();
    format!("known are {} and `crate`", known.join(", "))
}

/// What stands behind the `=`. `example` is a value as it may be.
fn value<'a>(meta: &ParseNestedMeta<'a>, example: &str) -> Result<&'a ParseBuffer<'a>> {
    meta.value().map_err(|_| {
        let key = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        Error::new_spanned(&meta.path, format!("`{key}` needs a value: `{key} = {example}`"))
    })
}

/// A text in quotes.
fn text(meta: &ParseNestedMeta<'_>, example: &str) -> Result<LitStr> {
    value(meta, example)?.parse().map_err(|error: Error| {
        Error::new(error.span(), format!("the value is a text in quotes, such as `{example}`"))
    })
}

fn root(meta: &ParseNestedMeta<'_>) -> Result<Path> {
    let text = text(meta, "\"crate::vendored::tractor\"")?;
    text.parse().map_err(|_| Error::new(text.span(), "`crate` is the path of the tractor crate"))
}

fn wire_word(meta: &ParseNestedMeta<'_>, what: &str) -> Result<LitStr> {
    let word = text(meta, "\"some.words\"")?;
    if word.value().is_empty() {
        return Err(Error::new(word.span(), format!("the {what} must not be empty")));
    }
    Ok(word)
}

/// The executors there are, by their names.
pub(crate) const EXECUTORS: [&str; 3] = ["smol", "tokio", "tokio-multi-thread"];

/// The kinds of links between a parent and its child.
pub(crate) const LINKS: [&str; 3] = ["socketpair", "uds", "tcp"];

/// One of the names that are known.
fn one_of(name: LitStr, known: &[&str], what: &str) -> Result<LitStr> {
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
    let example = format!("[\"{}\"]", known[0]);
    let is_no_list = |e: Error| Error::new(e.span(), format!("a list of names: `{example}`"));
    let names = list(value(meta, &example)?).map_err(is_no_list)?;
    for (at, name) in names.iter().enumerate() {
        one_of(name.clone(), known, what)?;
        if names[..at].iter().any(|known| known.value() == name.value()) {
            return Err(Error::new(name.span(), format!("this {what} is given twice")));
        }
    }
    match names.is_empty() {
        true => Err(meta.error(format!("name at least one {what}"))),
        false => Ok(names),
    }
}

fn list(input: ParseStream<'_>) -> Result<Vec<LitStr>> {
    let names;
    bracketed!(names in input);
    let names = names.parse_terminated(<LitStr as Parse>::parse, Token![,])?;
    Ok(names.into_iter().collect())
}

fn seconds(meta: &ParseNestedMeta<'_>) -> Result<Duration> {
    let lit: Lit = value(meta, "30")?.parse()?;
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
