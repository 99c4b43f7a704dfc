//! `#[rpc]`, `#[context]` and `#[stream]`: the fn as it was, the struct of its arguments, the
//! traits, the registration.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Error, FnArg, GenericArgument, GenericParam, ItemFn, Pat, Path, PathArguments, Result,
    ReturnType, Signature, Type, Visibility,
};

use crate::args::Args;
use crate::params::{self, Ownable, Param, peel};
use crate::result::Output;
use crate::stream;

/// Which of the attributes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rpc,
    Context,
    Stream,
}

impl Kind {
    fn attribute(self) -> &'static str {
        match self {
            Kind::Rpc => "#[rpc]",
            Kind::Context => "#[context]",
            Kind::Stream => "#[stream]",
        }
    }

    fn goes_on(self) -> &'static str {
        match self {
            Kind::Rpc | Kind::Context => "a free async fn",
            Kind::Stream => "a free fn",
        }
    }
}

/// Expands `#[rpc(args)] item`, `#[context(args)] item` or `#[stream(args)] item`.
pub(crate) fn expand(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    let Ok(mut function) = syn::parse2::<ItemFn>(item.clone()) else {
        let text = format!("`{}` goes on {}", kind.attribute(), kind.goes_on());
        let error = Error::new(span(&item), text).into_compile_error();
        return quote!(#error #item);
    };
    let extra = Endpoint::parse(kind, args, &function).and_then(|endpoint| endpoint.extra());
    strip(&mut function.sig);
    match extra {
        Ok(extra) => quote!(#function #extra),
        // These may be wrong in rustc's eyes too: no second error for them.
        Err(error) if kind != Kind::Rpc || is_wrong_anyway(&function.sig) => {
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

/// What the fn is besides its parameters.
enum Form {
    Rpc,
    Context(Box<Ctx>),
    /// A stream whose items of this type are sent through the first parameter.
    Sends(Box<Type>),
    /// A stream that is returned.
    Returns,
}

/// An endpoint that can be expanded.
struct Endpoint<'a> {
    args: Args,
    function: &'a ItemFn,
    form: Form,
    params: Vec<Param>,
    /// The result; of a stream that is returned, the item.
    output: Output,
}

impl<'a> Endpoint<'a> {
    fn parse(kind: Kind, args: TokenStream, function: &'a ItemFn) -> Result<Endpoint<'a>> {
        let args = Args::parse(args, &["ns", "name"])?;
        check_signature(kind, &function.sig)?;
        let sig = &function.sig;
        let mut inputs = sig.inputs.iter();
        let (form, output) = match kind {
            Kind::Rpc => (Form::Rpc, Output::parse(&sig.output)?),
            Kind::Context => {
                let ctx = Ctx::parse(sig, inputs.next())?;
                (Form::Context(Box::new(ctx)), Output::parse(&sig.output)?)
            }
            Kind::Stream => match stream::Form::parse(sig)? {
                stream::Form::Sends { item, result } => {
                    inputs.next();
                    (Form::Sends(item), result)
                }
                stream::Form::Returns { item } => (Form::Returns, item),
            },
        };
        let params = inputs.map(Param::parse).collect::<Result<Vec<_>>>()?;
        Ok(Endpoint { args, function, form, params, output })
    }

    /// All that is added to the fn.
    fn extra(&self) -> Result<TokenStream> {
        let root = self.args.root();
        let private: Path = syn::parse_quote!(#root::__private);
        let cfg: Vec<_> =
            self.function.attrs.iter().filter(|attr| attr.path().is_ident("cfg")).collect();
        let (vis, ident) = (&self.function.vis, &self.function.sig.ident);
        let structure = structure(vis, ident, &self.params, &private);
        let named = named(ident, &self.ns(), &self.name(), &private);
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

    /// The namespace on the wire.
    fn ns(&self) -> TokenStream {
        match &self.args.ns {
            Some(ns) => ns.to_token_stream(),
            None => quote!(::core::module_path!()),
        }
    }

    fn endpoint(&self, private: &Path) -> Result<TokenStream> {
        let function = &self.function.sig.ident;
        // Idents of our own, which no parameter can shadow.
        let [this, first, call] =
            ["this", "first", "call"].map(|name| Ident::new(name, Span::mixed_site()));
        let takes_first = matches!(self.form, Form::Context(_) | Form::Sends(_));
        let argument = takes_first.then_some(&first);
        let prepare = params::call(function, argument, &self.params, &this, &call)?;
        let run = self.run(private, &first, &call);
        let Interface { name, types, first_param, value } = self.interface(private, &first);
        Ok(quote! {
            #[automatically_derived]
            #[allow(deprecated)]
            impl #private::#name for #function {
                #types

                async fn call(
                    self,
                    #first_param
                ) -> ::core::result::Result<#value, #private::BoxError> {
                    let #this = self;
                    #prepare
                    #run
                }
            }
        })
    }

    /// What the trait has that is not the same for all.
    fn interface(&self, private: &Path, first: &Ident) -> Interface {
        let sent = self.output.sent(private);
        match &self.form {
            Form::Rpc => Interface {
                name: format_ident!("Rpc"),
                types: quote!(type Output = #sent;),
                first_param: None,
                value: quote!(Self::Output),
            },
            Form::Context(ctx) => {
                let [started, to_parent, from_parent] = &ctx.types;
                Interface {
                    name: format_ident!("ContextEndpoint"),
                    types: quote! {
                        type Started = #started;
                        type ToParent = #to_parent;
                        type FromParent = #from_parent;
                        type Output = #sent;
                    },
                    first_param: Some(quote! {
                        #first: #private::Context<#started, #to_parent, #from_parent>
                    }),
                    value: quote!(Self::Output),
                }
            }
            Form::Sends(_) | Form::Returns => {
                let item = match &self.form {
                    Form::Sends(item) => item.to_token_stream(),
                    _ => sent,
                };
                Interface {
                    name: format_ident!("StreamEndpoint"),
                    types: quote!(type Item = #item;),
                    first_param: Some(quote!(#first: #private::SendHalf<Self::Item>)),
                    value: quote!(()),
                }
            }
        }
    }

    /// Runs the call to its end.
    fn run(&self, private: &Path, first: &Ident, call: &Ident) -> TokenStream {
        if !matches!(self.form, Form::Returns) {
            return self.output.convert(private, &quote!(#call.await));
        }
        let item = Ident::new("item", Span::mixed_site());
        let convert = self.output.convert(private, &item.to_token_stream());
        // At the user's type, so that a stream which is not `Send` is reported there. In a
        // variable, so that the stream ends before what it borrows from.
        let ty = &self.function.sig.output;
        quote_spanned! {ty.span()=>
            let forwarded =
                #private::forward::<_, Self::Item>(#call, #first, |#item| #convert).await;
            forwarded
        }
    }

    fn submit(&self, private: &Path) -> TokenStream {
        let ident = &self.function.sig.ident;
        let make = match &self.form {
            Form::Rpc => quote!(rpc),
            Form::Context(_) => quote!(context),
            Form::Sends(_) | Form::Returns => quote!(stream),
        };
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

/// The keyword arguments. A braced struct, even without fields: it must leave the value namespace
/// to the fn.
pub(crate) fn structure(
    vis: &Visibility,
    ident: &Ident,
    params: &[Param],
    private: &Path,
) -> TokenStream {
    let fields = params.iter().map(|param| param.field(vis));
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

/// Where an endpoint is.
pub(crate) fn named(ident: &Ident, ns: &TokenStream, name: &str, private: &Path) -> TokenStream {
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

/// A trait's name, its types, the parameter that comes first, and what its `call` returns.
struct Interface {
    name: Ident,
    types: TokenStream,
    first_param: Option<TokenStream>,
    value: TokenStream,
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
        Kind::Stream => "a stream",
    };
    if sig.asyncness.is_none() && kind != Kind::Stream {
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
