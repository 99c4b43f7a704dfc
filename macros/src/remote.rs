//! `remote! { .. }`: fns that live elsewhere, maybe in another language: the structs of their
//! arguments and the traits, with nothing behind them.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Error, FnArg, LitStr, Path, Result, ReturnType, Token, Type, TypeTuple, Visibility,
    parenthesized,
};

use crate::endpoint;
use crate::params::{Ownable, Param, peel};
use crate::result::Output;

/// Expands `remote! { tokens }`.
pub(crate) fn expand(tokens: TokenStream) -> TokenStream {
    let all = parse.parse2(tokens).and_then(|remote| remote.expand());
    all.unwrap_or_else(Error::into_compile_error)
}

/// All that is declared.
struct Remote {
    private: Path,
    functions: Vec<(LitStr, Declared)>,
}

fn parse(input: ParseStream<'_>) -> Result<Remote> {
    let mut private = syn::parse_quote!(::tractor::__private);
    let mut ns = None;
    let mut functions = Vec::new();
    while !input.is_empty() {
        if input.peek(Token![crate]) && input.peek2(LitStr) {
            input.parse::<Token![crate]>()?;
            let root: Path = input.parse::<LitStr>()?.parse()?;
            private = syn::parse_quote!(#root::__private);
            input.parse::<Token![;]>()?;
        } else if input.peek(keyword::ns) {
            input.parse::<keyword::ns>()?;
            ns = Some(namespace(input)?);
        } else {
            let declared: Declared = input.parse()?;
            let text = "say in which namespace it is, before it: `ns \"pkg.mod\";`";
            let ns = ns.clone().ok_or_else(|| Error::new_spanned(&declared.ident, text))?;
            functions.push((ns, declared));
        }
    }
    Ok(Remote { private, functions })
}

fn namespace(input: ParseStream<'_>) -> Result<LitStr> {
    let is_no_text =
        |e: Error| Error::new(e.span(), "the namespace is a text in quotes: `ns \"pkg.mod\";`");
    let ns: LitStr = input.parse().map_err(is_no_text)?;
    if ns.value().is_empty() {
        return Err(Error::new_spanned(ns, "the namespace must not be empty"));
    }
    input.parse::<Token![;]>()?;
    Ok(ns)
}

mod keyword {
    syn::custom_keyword!(ns);
    syn::custom_keyword!(context);
    syn::custom_keyword!(stream);
}

/// What kind of function it is, with its types.
enum Kind {
    Rpc(Box<Output>),
    /// Started value, items to us, items from us, result.
    Context(Box<[Type; 4]>),
    Stream(Box<Type>),
}

/// One function.
struct Declared {
    attrs: Vec<Attribute>,
    vis: Visibility,
    ident: Ident,
    params: Vec<Param>,
    kind: Kind,
    /// The name on the wire.
    name: String,
}

impl Parse for Declared {
    fn parse(input: ParseStream<'_>) -> Result<Declared> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let make = Make::parse(input)?;
        let ident: Ident = input.call(Ident::parse_any)?;
        let params;
        parenthesized!(params in input);
        let params = Punctuated::<FnArg, Token![,]>::parse_terminated(&params)?;
        let params = params.iter().map(Param::parse).collect::<Result<_>>()?;
        let kind = make.kind(&ident, &input.parse()?)?;
        let name = wire_name(input, &ident)?;
        input.parse::<Token![;]>()?;
        Ok(Declared { attrs, vis, ident, params, kind, name })
    }
}

/// `= "name"`, where Rust has no such name.
fn wire_name(input: ParseStream<'_>, ident: &Ident) -> Result<String> {
    if !input.peek(Token![=]) {
        return Ok(ident.unraw().to_string());
    }
    input.parse::<Token![=]>()?;
    let name: LitStr = input.parse()?;
    match name.value().is_empty() {
        true => Err(Error::new_spanned(name, "the name must not be empty")),
        false => Ok(name.value()),
    }
}

/// The words before the name.
enum Make {
    Rpc,
    Context,
    Stream,
}

impl Make {
    fn parse(input: ParseStream<'_>) -> Result<Make> {
        let look = input.lookahead1();
        if look.peek(Token![async]) {
            input.parse::<Token![async]>()?;
            input.parse::<Token![fn]>()?;
            Ok(Make::Rpc)
        } else if look.peek(keyword::context) {
            input.parse::<keyword::context>()?;
            Ok(Make::Context)
        } else if look.peek(keyword::stream) {
            input.parse::<keyword::stream>()?;
            Ok(Make::Stream)
        } else {
            let text = "expected `ns \"pkg.mod\";`, `async fn name(..) -> T;`, \
                        `context name(..) -> (Started, ToUs, FromUs, T);` \
                        or `stream name(..) -> Item;`";
            Err(input.error(text))
        }
    }

    fn kind(&self, ident: &Ident, output: &ReturnType) -> Result<Kind> {
        match (self, output) {
            (Make::Rpc, output) => {
                let result = Output::parse(output)?;
                let text = "name what it returns: that a call may fail goes without saying";
                match result.is_fallible() {
                    true => Err(Error::new_spanned(output, text)),
                    false => Ok(Kind::Rpc(Box::new(result))),
                }
            }
            (Make::Context, ReturnType::Type(_, ty)) => context_types(ty),
            (Make::Stream, ReturnType::Type(_, ty)) => {
                Ownable::check(ty)?;
                Ok(Kind::Stream(ty.clone()))
            }
            (Make::Context, ReturnType::Default) => Err(Error::new_spanned(ident, FOUR)),
            (Make::Stream, ReturnType::Default) => {
                Err(Error::new_spanned(ident, "say what it yields: `stream name(..) -> Item;`"))
            }
        }
    }
}

const FOUR: &str = "a context has four types: `-> (Started, ToUs, FromUs, T)`: what it starts \
                    with, items from it, items to it, what it returns";

fn context_types(ty: &Type) -> Result<Kind> {
    let Type::Tuple(TypeTuple { elems, .. }) = peel(ty) else {
        return Err(Error::new_spanned(ty, FOUR));
    };
    elems.iter().try_for_each(Ownable::check)?;
    let types = elems.iter().cloned().collect::<Vec<Type>>().try_into();
    types.map(|types| Kind::Context(Box::new(types))).map_err(|_| Error::new_spanned(ty, FOUR))
}

impl Remote {
    fn expand(&self) -> Result<TokenStream> {
        let functions = self.functions.iter();
        Ok(functions.map(|(ns, declared)| declared.expand(ns, &self.private)).collect())
    }
}

impl Declared {
    fn expand(&self, ns: &LitStr, private: &Path) -> TokenStream {
        let Declared { vis, ident, params, name, .. } = self;
        let cfg: Vec<_> = self.attrs.iter().filter(|attr| attr.path().is_ident("cfg")).collect();
        let docs = self.attrs.iter().filter(|attr| !attr.path().is_ident("cfg"));
        let structure = endpoint::structure(vis, ident, params, private);
        let named = endpoint::named(ident, &ns.to_token_stream(), name, private);
        let guard = match &self.kind {
            Kind::Rpc(output) => output.guard(private, name),
            _ => None,
        };
        let interface = self.interface(private);
        quote! {
            #(#cfg)*
            #(#docs)*
            #structure
            #(#cfg)*
            const _: () = {
                #guard
                #named
                #interface
            };
        }
    }

    fn interface(&self, private: &Path) -> TokenStream {
        let ident = &self.ident;
        let (interface, types, first, value) = match &self.kind {
            Kind::Rpc(output) => {
                let sent = output.sent(private);
                (quote!(Rpc), quote!(type Output = #sent;), None, quote!(Self::Output))
            }
            Kind::Context(types) => {
                let [started, to_us, from_us, output] = &**types;
                let types = quote! {
                    type Started = #started;
                    type ToParent = #to_us;
                    type FromParent = #from_us;
                    type Output = #output;
                };
                let first = quote!(_: #private::Context<#started, #to_us, #from_us>);
                (quote!(ContextEndpoint), types, Some(first), quote!(Self::Output))
            }
            Kind::Stream(item) => {
                let first = quote!(_: #private::SendHalf<#item>);
                (quote!(StreamEndpoint), quote!(type Item = #item;), Some(first), quote!(()))
            }
        };
        quote! {
            #[automatically_derived]
            impl #private::#interface for #ident {
                #types

                async fn call(
                    self,
                    #first
                ) -> ::core::result::Result<#value, #private::BoxError> {
                    ::core::result::Result::Err(#private::elsewhere::<Self>())
                }
            }
        }
    }
}
