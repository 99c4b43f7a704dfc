//! The result type of an endpoint: plain or fallible, owned or made so.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, GenericArgument, Path, PathArguments, Result, ReturnType, Type};

use crate::params::{Ownable, peel};

/// What an endpoint returns.
pub(crate) struct Output {
    /// The result as written; `()` if nothing is.
    ty: Type,
    fallible: bool,
    /// `str` of `&'static str`, if the value is a reference: its owned form is sent.
    borrowed: Option<Type>,
}

impl Output {
    /// Reads the result type.
    ///
    /// # Errors
    ///
    /// If it borrows, other than as a whole, or is not known by its name alone.
    pub(crate) fn parse(output: &ReturnType) -> Result<Output> {
        let ty = match output {
            ReturnType::Default => syn::parse_quote!(()),
            ReturnType::Type(_, ty) => peel(ty).clone(),
        };
        let fallible = is_result(&ty);
        let value = if fallible { first_argument(&ty) } else { Some(&ty) };
        let borrowed = match value.map(peel) {
            Some(Type::Reference(reference)) if reference.mutability.is_some() => {
                let text = "the result is sent to another actor: return it by value";
                return Err(Error::new_spanned(reference, text));
            }
            Some(Type::Reference(reference)) => Some((*reference.elem).clone()),
            _ => None,
        };
        // The reference itself is fine, as is any error type: what may not borrow is what it leads
        // to.
        match (&borrowed, value) {
            (Some(inner), _) => Ownable::check(inner)?,
            (None, Some(value)) => Ownable::check(value)?,
            (None, None) => {}
        }
        Ok(Output { ty, fallible, borrowed })
    }

    /// The type that arrives at the caller.
    pub(crate) fn sent(&self, private: &Path) -> TokenStream {
        let ty = &self.ty;
        // All at the user's type, so that what can't be sent is reported there.
        match &self.borrowed {
            Some(inner) => {
                quote_spanned!(ty.span()=> <#inner as ::std::borrow::ToOwned>::Owned)
            }
            None if self.fallible => {
                quote_spanned!(ty.span()=> <#ty as #private::Fallible<{ __TRACTOR_CHECKED }>>::Ok)
            }
            None if self.may_be_alias() => {
                quote_spanned!(ty.span()=> <#ty as #private::Checked<{ __TRACTOR_CHECKED }>>::Same)
            }
            None => quote!(#ty),
        }
    }

    /// Turns the call into a `Result<Self::Output, BoxError>`.
    pub(crate) fn convert(&self, private: &Path, call: &Ident) -> TokenStream {
        let own = self.borrowed.as_ref().map(|_| quote!(.map(::std::borrow::ToOwned::to_owned)));
        if !self.fallible {
            return quote!(::core::result::Result::<_, #private::BoxError>::Ok(#call.await)#own);
        }
        // At the user's type, so that an error which is no `Into<BoxError>` is reported there.
        quote_spanned! {self.ty.span()=>
            match #private::Fallible::<{ __TRACTOR_CHECKED }>::into_result(#call.await)#own {
                ::core::result::Result::Ok(value) => ::core::result::Result::Ok(value),
                ::core::result::Result::Err(error) => {
                    ::core::result::Result::Err(::core::convert::Into::into(error))
                }
            }
        }
    }

    /// Refuses, at compile time, a `Result` that is not named like one, which would be sent as a
    /// success; and what is named like one and is none.
    ///
    /// The answer is a constant that the types in [`sent`](Output::sent) and the call depend on: if
    /// it fails, rustc knows that they are void, and reports nothing else about them.
    pub(crate) fn guard(&self, private: &Path, function: &str) -> Option<TokenStream> {
        let (ty, plain) = (&self.ty, !self.fallible);
        let text = if self.fallible {
            format!(
                "the result of `{function}` is named like a `Result` but is none: \
                 rename the type, or return a `Result`"
            )
        } else {
            format!(
                "`{function}` returns a `Result` under a name that does not end in `Result`, \
                 so its error would be sent as a success: write `Result<..>` or rename the alias"
            )
        };
        (self.fallible || self.may_be_alias()).then(|| {
            quote_spanned! {ty.span()=>
                const __TRACTOR_CHECKED: bool = {
                    use #private::Plain as _;
                    ::core::assert!(<#private::Probe<#ty>>::PLAIN == #plain, #text);
                    true
                };
            }
        })
    }

    /// Whether the type is plain by its name but may not be so: a reference, a tuple or an array is
    /// what it looks like.
    fn may_be_alias(&self) -> bool {
        !self.fallible && matches!(self.ty, Type::Path(_) | Type::Macro(_))
    }
}

fn is_result(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|last| last.ident.to_string().ends_with("Result"))
}

/// `T` of `Result<T, E>`, if it is written.
fn first_argument(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}
