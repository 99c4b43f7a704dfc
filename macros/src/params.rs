//! The parameters of an endpoint: as fields of its struct, and as arguments of the local call.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::visit::{self, Visit};
use syn::{
    Attribute, Error, FnArg, Lifetime, Pat, PatType, Result, Type, TypeImplTrait, TypeInfer,
    TypeReference, Visibility,
};

/// How many parameters of one fn may be under a `#[cfg]`: the call is written once for each
/// combination of them.
const CONDITIONAL_MAX: usize = 4;

/// One parameter.
pub(crate) struct Param {
    ident: Ident,
    /// The type of the field.
    owned: TokenStream,
    /// Whether the fn takes a reference to it.
    borrowed: bool,
    /// What moves to the field: `#[serde]`, `#[cfg]`, `#[cfg_attr]` and docs.
    attrs: Vec<Attribute>,
}

impl Param {
    /// Reads one parameter.
    ///
    /// # Errors
    ///
    /// If it is no plain identifier, or of a type that can't be owned.
    pub(crate) fn parse(arg: &FnArg) -> Result<Param> {
        let arg = match arg {
            FnArg::Typed(arg) => arg,
            FnArg::Receiver(this) => {
                let text = "an endpoint is a free fn: it can't take `self`";
                return Err(Error::new_spanned(this, text));
            }
        };
        let ident = plain_ident(arg)?;
        let (owned, borrowed) = owned_type(&arg.ty)?;
        let attrs = arg.attrs.iter().filter(|attr| moves(attr) || attr.path().is_ident("cfg"));
        Ok(Param { ident, owned, borrowed, attrs: attrs.cloned().collect() })
    }

    /// `pub a: u64`
    pub(crate) fn field(&self, vis: &Visibility) -> TokenStream {
        let Param { ident, owned, attrs, .. } = self;
        quote!(#(#attrs)* #vis #ident: #owned)
    }

    fn argument(&self, this: &Ident) -> TokenStream {
        let ident = &self.ident;
        let amp = self.borrowed.then(|| quote!(&));
        quote!(#amp #this.#ident)
    }

    fn conditions(&self) -> Option<TokenStream> {
        let metas = self.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
        let metas: Vec<_> = metas.filter_map(|attr| attr.meta.require_list().ok()).collect();
        let tokens = metas.iter().map(|list| &list.tokens);
        (!metas.is_empty()).then(|| quote!(all(#(#tokens),*)))
    }
}

/// Whether `attr` is for the field and means nothing on a fn's parameter.
pub(crate) fn moves(attr: &Attribute) -> bool {
    ["serde", "cfg_attr", "doc"].iter().any(|name| attr.path().is_ident(name))
}

/// `let call = add(this.a, &this.b);`, once for each combination of the parameters' `#[cfg]`s:
/// Rust refuses a `#[cfg]` on an argument of a call.
pub(crate) fn call(
    function: &Ident,
    context: Option<&Ident>,
    params: &[Param],
    this: &Ident,
    call: &Ident,
) -> Result<TokenStream> {
    let conditional: Vec<_> = params.iter().filter(|param| param.conditions().is_some()).collect();
    if let Some(param) = conditional.get(CONDITIONAL_MAX) {
        let text = format!("at most {CONDITIONAL_MAX} parameters can be under a `#[cfg]`");
        return Err(Error::new_spanned(&param.ident, text));
    }
    let mut variants = TokenStream::new();
    for choice in 0..1_usize << conditional.len() {
        let mut arguments: Vec<_> = context.map(ToTokens::to_token_stream).into_iter().collect();
        let mut conditions = Vec::new();
        for param in params {
            let Some(condition) = param.conditions() else {
                arguments.push(param.argument(this));
                continue;
            };
            if choice >> conditions.len() & 1 == 1 {
                arguments.push(param.argument(this));
                conditions.push(condition);
            } else {
                conditions.push(quote!(not(#condition)));
            }
        }
        let cfg = (!conditions.is_empty()).then(|| quote!(#[cfg(all(#(#conditions),*))]));
        variants.extend(quote!(#cfg let #call = #function(#(#arguments),*);));
    }
    Ok(variants)
}

fn plain_ident(arg: &PatType) -> Result<Ident> {
    match &*arg.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Ok(pat.ident.clone()),
        pat => {
            let text =
                "a parameter of an endpoint is a plain identifier: its name goes over the wire";
            Err(Error::new_spanned(pat, text))
        }
    }
}

/// The field's type for a parameter's, and whether the parameter borrows it.
fn owned_type(ty: &Type) -> Result<(TokenStream, bool)> {
    let Type::Reference(reference) = peel(ty) else {
        Ownable::check(ty)?;
        return Ok((quote!(#ty), false));
    };
    if reference.mutability.is_some() {
        let text =
            "an argument comes from another actor, so `&mut` can't change it: take it by value";
        return Err(Error::new_spanned(ty, text));
    }
    if let Some(lifetime) = reference.lifetime.as_ref().filter(|it| it.ident == "static") {
        let text = "an argument comes from another actor and can't live for `'static`: \
                    drop the lifetime, or take it by value";
        return Err(Error::new_spanned(lifetime, text));
    }
    let inner = peel(&reference.elem);
    Ownable::check(inner)?;
    let owned = match inner {
        Type::Slice(slice) => {
            let item = &slice.elem;
            quote!(::std::vec::Vec<#item>)
        }
        // `str`, and `Path` which is `PathBuf` when owned.
        Type::Path(path) if path.path.is_ident("str") => quote!(::std::string::String),
        Type::Path(path) if path.path.segments.last().is_some_and(|it| it.ident == "Path") => {
            quote!(<#inner as ::std::borrow::ToOwned>::Owned)
        }
        _ => quote!(#inner),
    };
    Ok((owned, true))
}

/// Whether a type has a `_` in it.
pub(crate) fn is_inferred(ty: &Type) -> bool {
    struct Inferred(bool);
    impl Visit<'_> for Inferred {
        fn visit_type_infer(&mut self, _: &TypeInfer) {
            self.0 = true;
        }
    }
    let mut inferred = Inferred(false);
    inferred.visit_type(ty);
    inferred.0
}

/// Whether a pattern may be one that does not match all values, which no parameter can be.
pub(crate) fn may_not_match(pat: &Pat) -> bool {
    match pat {
        Pat::Ident(pat) => pat.subpat.is_some(),
        Pat::Wild(_) | Pat::Tuple(_) | Pat::Struct(_) => false,
        _ => true,
    }
}

/// Without parentheses, and without the invisible groups that `macro_rules` leave.
pub(crate) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Paren(inner) => peel(&inner.elem),
        Type::Group(inner) => peel(&inner.elem),
        ty => ty,
    }
}

/// Finds what keeps a type from being owned: the first of it is the error.
pub(crate) struct Ownable {
    refused: Option<Error>,
}

impl Ownable {
    /// # Errors
    ///
    /// If `ty` borrows or is not known by its name alone.
    pub(crate) fn check(ty: &Type) -> Result<()> {
        let mut ownable = Ownable { refused: None };
        ownable.visit_type(ty);
        ownable.refused.map_or(Ok(()), Err)
    }

    fn refuse(&mut self, at: impl ToTokens, text: &str) {
        self.refused.get_or_insert_with(|| Error::new_spanned(at, text));
    }
}

impl Visit<'_> for Ownable {
    fn visit_type(&mut self, ty: &Type) {
        match ty {
            Type::TraitObject(_) => self.refuse(ty, "a `dyn Trait` can't be sent to another actor"),
            Type::Never(_) => self.refuse(ty, "`!` can't be sent to another actor: return `()`"),
            _ => visit::visit_type(self, ty),
        }
    }

    fn visit_type_reference(&mut self, ty: &TypeReference) {
        let text = "what is sent to another actor is owned: \
                    only the outermost type may be a reference";
        self.refuse(ty, text);
    }

    fn visit_type_impl_trait(&mut self, ty: &TypeImplTrait) {
        self.refuse(ty, "an endpoint can't use `impl Trait`: name the type");
    }

    fn visit_type_infer(&mut self, ty: &TypeInfer) {
        self.refuse(ty, "an endpoint names its types: the other actor can't infer this one");
    }

    fn visit_lifetime(&mut self, lifetime: &Lifetime) {
        if lifetime.ident != "static" {
            let text = "what is sent to another actor is owned: only `'static` is possible here";
            self.refuse(lifetime, text);
        }
    }
}
