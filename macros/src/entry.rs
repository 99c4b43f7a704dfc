//! `#[main]` and `#[test]`: an async fn handed to the runtime by a plain one.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Error, ItemFn, Path, Result};

use crate::args::Args;
use crate::endpoint::span;

/// Expands `#[main(args)] item`.
pub(crate) fn expand_main(args: TokenStream, item: TokenStream) -> TokenStream {
    parse(args, item, "main", "executor")
        .and_then(|(args, function)| main(&args, function))
        .unwrap_or_else(|error| {
            // A program without `main` is an error too, which would only distract.
            let error = error.into_compile_error();
            quote!(#error fn main() {})
        })
}

/// Expands `#[test(args)] item`.
pub(crate) fn expand_test(args: TokenStream, item: TokenStream) -> TokenStream {
    parse(args, item, "test", "timeout")
        .map(|(args, function)| test(&args, function))
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

fn test(args: &Args, function: ItemFn) -> TokenStream {
    let root = args.root();
    let private: Path = syn::parse_quote!(#root::__private);
    let ident = &function.sig.ident;
    let name = ident.unraw().to_string();
    let timeout = match args.timeout {
        None => quote!(#private::TEST_TIMEOUT),
        Some(timeout) => duration(timeout),
    };
    let run = quote! {
        #private::run_test(
            #private::TestSpec {
                module_path: ::core::module_path!(),
                name: #name,
                timeout: #timeout,
            },
            #ident,
        )
    };
    wrap(function, &quote!(#[::core::prelude::v1::test]), &run)
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
    key: &str,
) -> Result<(Args, ItemFn)> {
    let Ok(function) = syn::parse2::<ItemFn>(item.clone()) else {
        let text = format!("`#[tractor::{attribute}]` goes on an async fn");
        return Err(Error::new(span(&item), text));
    };
    let args = Args::parse(args, &[key])?;
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
