//! `#[main]` and `#[test]`: an async fn handed to the runtime by a plain one.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Error, ItemFn, LitStr, Path, Result};

use crate::args::{Args, EXECUTORS, LINKS};
use crate::endpoint::span;

/// Expands `#[main(args)] item`.
pub(crate) fn expand_main(args: TokenStream, item: TokenStream) -> TokenStream {
    parse(args, item, "main", &["executor"])
        .and_then(|(args, function)| main(&args, function))
        .unwrap_or_else(|error| {
            // A program without `main` is an error too, which would only distract.
            let error = error.into_compile_error();
            quote!(#error fn main() {})
        })
}

/// Expands `#[test(args)] item`.
pub(crate) fn expand_test(args: TokenStream, item: TokenStream) -> TokenStream {
    parse(args, item, "test", &["timeout", "executors", "links", "matrix"])
        .and_then(|(args, function)| test(&args, function))
        .unwrap_or_else(Error::into_compile_error)
}

fn main(args: &Args, function: ItemFn) -> Result<TokenStream> {
    let root = args.root();
    let executor = match &args.executor {
        Some(name) => quote!(#name),
        None => quote!(#root::__private::DEFAULT_EXECUTOR),
    };
    let name = &function.sig.ident;
    if name != "main" {
        let text = format!("`#[tractor::main]` goes on the program's `main`, not on `{name}`");
        return Err(Error::new_spanned(name, text));
    }
    let run = quote!(#root::__private::run_main(#executor, main));
    Ok(wrap(function, &TokenStream::new(), &run))
}

fn test(args: &Args, function: ItemFn) -> Result<TokenStream> {
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let given = |names: &Option<Vec<LitStr>>| {
        names.as_ref().map(|names| names.iter().map(LitStr::value).collect::<Vec<_>>())
    };
    if args.matrix && (args.executors.is_some() || args.links.is_some()) {
        let text = "`matrix` stands for all executors and links: leave the lists out";
        return Err(Error::new(Span::call_site(), text));
    }
    let (executors, links) = match args.matrix {
        true => (Some(all(&EXECUTORS)), Some(all(&LINKS))),
        false => (given(&args.executors), given(&args.links)),
    };
    if executors.is_none() && links.is_none() {
        let name = function.sig.ident.unraw().to_string();
        let run = run_test(args, &name, None, None, &function.sig.ident);
        return Ok(wrap(function, &quote!(#[::core::prelude::v1::test]), &run));
    }
    Ok(variants(args, function, executors.as_deref(), links.as_deref()))
}

/// A call of `run_test` for this test, with this executor and link.
fn run_test(
    args: &Args,
    name: &str,
    executor: Option<&str>,
    link: Option<&str>,
    body: &impl ToTokens,
) -> TokenStream {
    let root = args.root();
    let private: Path = syn::parse_quote!(#root::__private);
    let timeout = match args.timeout {
        None => quote!(#private::TEST_TIMEOUT),
        Some(timeout) => duration(timeout),
    };
    let executor = match executor {
        Some(executor) => quote!(#executor),
        None => quote!(#private::DEFAULT_EXECUTOR),
    };
    let link = link.unwrap_or(LINKS[0]);
    quote! {
        #private::run_test(
            #private::TestSpec {
                module_path: ::core::module_path!(),
                name: #name,
                timeout: #timeout,
                executor: #executor,
                link: #link,
            },
            #body,
        )
    }
}

/// The async fn as it is, and beside it a module of its name with a test for each combination:
/// `name::tokio_uds`. Those whose executor's feature is off are left out.
fn variants(
    args: &Args,
    function: ItemFn,
    executors: Option<&[String]>,
    links: Option<&[String]>,
) -> TokenStream {
    let root = args.root();
    let ItemFn { attrs, vis, sig, block } = function;
    let (ident, output) = (&sig.ident, &sig.output);
    let cfg: Vec<_> = attrs.iter().filter(|attr| attr.path().is_ident("cfg")).collect();
    let mut tests = TokenStream::new();
    for executor in each(executors) {
        for link in each(links) {
            let name = [executor, link].into_iter().flatten().collect::<Vec<_>>().join("_");
            let name = name.replace('-', "_");
            let test = Ident::new(&name, ident.span());
            let run = run_test(args, &name, executor, link, &quote!(super::#ident));
            let test = quote! {
                #(#attrs)*
                #[::core::prelude::v1::test]
                fn #test() #output {
                    #run
                }
            };
            tests.extend(match executor {
                Some("smol") => quote!(#root::__if_smol! { #test }),
                Some(_) => quote!(#root::__if_tokio! { #test }),
                None => test,
            });
        }
    }
    quote! {
        #(#cfg)*
        #vis async fn #ident() #output #block

        #(#cfg)*
        mod #ident {
            #[allow(unused_imports, reason = "what the result's type names")]
            use super::*;

            #tests
        }
    }
}

/// The names, or once the default.
fn each(names: Option<&[String]>) -> Vec<Option<&str>> {
    names.map_or_else(|| vec![None], |names| names.iter().map(|name| Some(&**name)).collect())
}

fn duration(timeout: Duration) -> TokenStream {
    let (secs, nanos) = (timeout.as_secs(), timeout.subsec_nanos());
    quote!(::core::time::Duration::new(#secs, #nanos))
}

/// A plain fn of the same name, attributes and result around the async one, which it hands to
/// `run`. The async one is an item, not a block: so `?` in it knows the result type.
fn wrap(function: ItemFn, attribute: &TokenStream, run: &TokenStream) -> TokenStream {
    let ItemFn { attrs, vis, sig, block } = function;
    let (name, output) = (&sig.ident, &sig.output);
    quote! {
        #(#attrs)*
        #attribute
        #vis fn #name() #output {
            async fn #name() #output #block
            #run
        }
    }
}

fn parse(
    args: TokenStream,
    item: TokenStream,
    attribute: &str,
    keys: &[&str],
) -> Result<(Args, ItemFn)> {
    let Ok(function) = syn::parse2::<ItemFn>(item.clone()) else {
        let text = format!("`#[tractor::{attribute}]` goes on an async fn");
        return Err(Error::new(span(&item), text));
    };
    let args = Args::parse(args, keys)?;
    let sig = &function.sig;
    if sig.asyncness.is_none() {
        return Err(Error::new_spanned(
            sig.fn_token,
            format!("`#[tractor::{attribute}]` needs an `async fn`"),
        ));
    }
    if !sig.inputs.is_empty() {
        let text = format!("a fn under `#[tractor::{attribute}]` takes no parameters");
        return Err(Error::new_spanned(&sig.inputs, text));
    }
    if !sig.generics.params.is_empty() {
        let text = format!("a fn under `#[tractor::{attribute}]` can't be generic");
        return Err(Error::new_spanned(&sig.generics.params, text));
    }
    Ok((args, function))
}
