//! `#[rpc]` and `#[context]`: the fn as it was, the struct of its arguments, the traits, the
//! registration.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::{
    Error, FnArg, GenericArgument, GenericParam, ItemFn, Pat, Path, PathArguments, Result,
    ReturnType, Signature, Type,
};

use crate::args::Args;
use crate::params::{self, Ownable, Param, peel};
use crate::result::Output;

/// Which of the two attributes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rpc,
    Context,
}

impl Kind {
    fn attribute(self) -> &'static str {
        match self {
            Kind::Rpc => "#[rpc]",
            Kind::Context => "#[context]",
        }
    }
}

/// Expands `#[rpc(args)] item` or `#[context(args)] item`.
pub(crate) fn expand(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    let Ok(mut function) = syn::parse2::<ItemFn>(item.clone()) else {
        let text = format!("`{}` goes on a free async fn", kind.attribute());
        let error = Error::new(span(&item), text).into_compile_error();
        return quote!(#error #item);
    };
    let extra = Endpoint::parse(kind, args, &function).and_then(|endpoint| endpoint.extra());
    strip(&mut function.sig);
    match extra {
        Ok(extra) => quote!(#function #extra),
        // These may be wrong in rustc's eyes too: no second error for them.
        Err(error) if kind == Kind::Context || is_wrong_anyway(&function.sig) => {
            error.into_compile_error()
        }
        Err(error) => {
            let error = error.into_compile_error();
            quote!(#error #function)
        }
    }
}

/// Whether rustc has something to say about a signature, too.
fn is_wrong_anyway(sig: &Signature) -> bool {
    sig.inputs.iter().any(|arg| match arg {
        FnArg::Receiver(_) => true,
        FnArg::Typed(arg) => params::is_inferred(&arg.ty) || params::may_not_match(&arg.pat),
    }) || matches!(&sig.output, ReturnType::Type(_, ty) if params::is_inferred(ty))
}

/// Where an item begins. (At the attribute's own place rustc would add that it comes from a macro.)
pub(crate) fn span(item: &TokenStream) -> Span {
    let first = item.clone().into_iter().next();
    first.map_or_else(Span::call_site, |token| token.span())
}

/// Takes from the parameters what means something only on the fields.
fn strip(sig: &mut Signature) {
    for arg in &mut sig.inputs {
        if let FnArg::Typed(arg) = arg {
            arg.attrs.retain(|attr| !params::moves(attr));
        }
    }
}

/// The first parameter of a context.
struct Ctx {
    /// Started value, items to the parent, items from the parent.
    types: [Type; 3],
}

/// An endpoint that can be expanded.
struct Endpoint<'a> {
    args: Args,
    function: &'a ItemFn,
    ctx: Option<Ctx>,
    params: Vec<Param>,
    output: Output,
}

impl<'a> Endpoint<'a> {
    fn parse(kind: Kind, args: TokenStream, function: &'a ItemFn) -> Result<Endpoint<'a>> {
        let args = Args::parse(args, &["ns", "name"])?;
        check_signature(kind, &function.sig)?;
        let mut inputs = function.sig.inputs.iter();
        let ctx = match kind {
            Kind::Rpc => None,
            Kind::Context => Some(Ctx::parse(&function.sig, inputs.next())?),
        };
        let params = inputs.map(Param::parse).collect::<Result<Vec<_>>>()?;
        let output = Output::parse(&function.sig.output)?;
        Ok(Endpoint { args, function, ctx, params, output })
    }

    /// All that is added to the fn.
    fn extra(&self) -> Result<TokenStream> {
        let root = self.args.root();
        let private: Path = syn::parse_quote!(#root::__private);
        let cfg: Vec<_> =
            self.function.attrs.iter().filter(|attr| attr.path().is_ident("cfg")).collect();
        let (structure, named) = (self.structure(&private), self.named(&private));
        let (endpoint, submit) = (self.endpoint(&private)?, self.submit(&private));
        let guard = self.output.guard(&private, &self.name());
        Ok(quote! {
            #(#cfg)*
            #structure
            #(#cfg)*
            const _: () = {
                #guard
                #named
                #endpoint
                #submit
            };
        })
    }

    /// The keyword arguments. A braced struct, even without fields: it must leave the value
    /// namespace to the fn.
    fn structure(&self, private: &Path) -> TokenStream {
        let (vis, ident) = (&self.function.vis, &self.function.sig.ident);
        let fields = self.params.iter().map(|param| param.field(vis));
        let serde = quote!(#private::serde).to_string().replace(' ', "");
        quote! {
            #[doc(hidden)]
            #[allow(non_camel_case_types, missing_docs, missing_debug_implementations)]
            #[allow(private_interfaces)]
            #[derive(#private::serde::Serialize, #private::serde::Deserialize)]
            #[serde(crate = #serde, deny_unknown_fields)]
            #vis struct #ident { #(#fields),* }
        }
    }

    fn named(&self, private: &Path) -> TokenStream {
        let ident = &self.function.sig.ident;
        let name = self.name();
        let ns = match &self.args.ns {
            Some(ns) => ns.to_token_stream(),
            None => quote!(::core::module_path!()),
        };
        quote! {
            #[automatically_derived]
            impl #private::Named for #ident {
                const PATH: #private::EndpointPath = #private::EndpointPath {
                    module: ::core::module_path!(),
                    ns: #ns,
                    name: #name,
                    file: ::core::file!(),
                    line: ::core::line!(),
                };
            }
        }
    }

    fn endpoint(&self, private: &Path) -> Result<TokenStream> {
        let function = &self.function.sig.ident;
        // Idents of our own, which no parameter can shadow.
        let [this, ctx, call] =
            ["this", "ctx", "call"].map(|name| Ident::new(name, Span::mixed_site()));
        let ctx_argument = self.ctx.as_ref().map(|_| &ctx);
        let prepare = params::call(function, ctx_argument, &self.params, &this, &call)?;
        let convert = self.output.convert(private, &call);
        let sent = self.output.sent(private);
        let (interface, types, ctx_param) = match &self.ctx {
            None => (format_ident!("Rpc"), None, None),
            Some(Ctx { types: [started, to_parent, from_parent] }) => (
                format_ident!("ContextEndpoint"),
                Some(quote! {
                    type Started = #started;
                    type ToParent = #to_parent;
                    type FromParent = #from_parent;
                }),
                Some(quote!(#ctx: #private::Context<#started, #to_parent, #from_parent>)),
            ),
        };
        Ok(quote! {
            #[automatically_derived]
            #[allow(deprecated)]
            impl #private::#interface for #function {
                #types
                type Output = #sent;

                async fn call(
                    self,
                    #ctx_param
                ) -> ::core::result::Result<Self::Output, #private::BoxError> {
                    let #this = self;
                    #prepare
                    #convert
                }
            }
        })
    }

    fn submit(&self, private: &Path) -> TokenStream {
        let ident = &self.function.sig.ident;
        let make = if self.ctx.is_some() { quote!(context) } else { quote!(rpc) };
        quote!(#private::inventory::submit! { #private::Endpoint::#make::<#ident>() })
    }

    /// The name on the wire.
    fn name(&self) -> String {
        match &self.args.name {
            Some(name) => name.value(),
            None => self.function.sig.ident.unraw().to_string(),
        }
    }
}

impl Ctx {
    fn parse(sig: &Signature, first: Option<&FnArg>) -> Result<Ctx> {
        let missing = "the first parameter of a context is `ctx: Context<S, O, I>`: \
                       what `started` sends, items to the parent, items from the parent";
        let arg = match first {
            None => return Err(Error::new_spanned(&sig.ident, missing)),
            // `self` has an error of its own.
            Some(arg @ FnArg::Receiver(_)) => {
                return Err(Param::parse(arg)
                    .err()
                    .unwrap_or_else(|| Error::new_spanned(arg, missing)));
            }
            Some(FnArg::Typed(arg)) => arg,
        };
        if let Some(attr) = arg.attrs.first() {
            return Err(Error::new_spanned(attr, "the context parameter takes no attributes"));
        }
        if let Type::Reference(reference) = peel(&arg.ty)
            && context_types(&reference.elem).is_some()
        {
            return Err(Error::new_spanned(reference, "take the context by value"));
        }
        let Some(types) = context_types(&arg.ty) else {
            return Err(Error::new_spanned(arg, missing));
        };
        match &*arg.pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {}
            Pat::Wild(_) => {}
            pat => {
                let text = "the context parameter is a plain identifier";
                return Err(Error::new_spanned(pat, text));
            }
        }
        types.iter().try_for_each(Ownable::check)?;
        Ok(Ctx { types })
    }
}

/// The three types of a path that ends in `Context<S, O, I>`.
fn context_types(ty: &Type) -> Option<[Type; 3]> {
    let Type::Path(path) = peel(ty) else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Context")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty.clone()),
        _ => None,
    });
    types.collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// What no endpoint can be, whatever its parameters.
fn check_signature(kind: Kind, sig: &Signature) -> Result<()> {
    let what = match kind {
        Kind::Rpc => "an endpoint",
        Kind::Context => "a context",
    };
    if sig.asyncness.is_none() {
        let text = format!("{what} is an `async fn`: other tasks of its actor run while it waits");
        return Err(Error::new_spanned(sig.fn_token, text));
    }
    if let Some(unsafety) = &sig.unsafety {
        return Err(Error::new_spanned(
            unsafety,
            format!("{what} can't be unsafe: anyone may call it"),
        ));
    }
    if let Some(abi) = &sig.abi {
        return Err(Error::new_spanned(
            abi,
            format!("{what} can't be `extern`: the runtime calls it"),
        ));
    }
    if !sig.generics.params.is_empty() {
        let is_lifetime = |param| matches!(param, &GenericParam::Lifetime(_));
        let text = match sig.generics.params.iter().all(is_lifetime) {
            true => format!("{what} can't name a lifetime: leave it away, as in `&str`"),
            false => format!("{what} can't be generic: a peer can't name the types"),
        };
        return Err(Error::new_spanned(&sig.generics.params, text));
    }
    if let Some(clause) = &sig.generics.where_clause {
        return Err(Error::new_spanned(clause, format!("{what} can't have a `where` clause")));
    }
    if let Some(variadic) = &sig.variadic {
        return Err(Error::new_spanned(variadic, format!("{what} can't be variadic")));
    }
    Ok(())
}
