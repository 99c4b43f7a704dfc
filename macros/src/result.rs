//! The result type of an endpoint, and the item type of a stream: plain or fallible, owned or made
//! so.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, GenericArgument, Path, PathArguments, Result, ReturnType, Type};

use crate::params::{Ownable, peel};

/// What an endpoint returns, or a stream yields.
pub(crate) struct Output {
    /// The type as written; `()` if nothing is.
    ty: Type,
    role: Role,
    fallible: bool,
    /// `str` of `&'static str`, if the value is a reference: its owned form is sent.
    borrowed: Option<Type>,
}

/// What the type is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Result,
    Item,
}

impl Output {
    /// Reads the result type.
    ///
    /// # Errors
    ///
    /// If it borrows, other than as a whole, or is not known by its name alone.
    pub(crate) fn parse(output: &ReturnType) -> Result<Output> {
        match output {
            ReturnType::Default => Output::of(syn::parse_quote!(()), Role::Result),
            ReturnType::Type(_, ty) => Output::of(peel(ty).clone(), Role::Result),
        }
    }

    /// Reads the type of a stream's items.
    ///
    /// # Errors
    ///
    /// As [`parse`](Output::parse).
    pub(crate) fn item(ty: &Type) -> Result<Output> {
        Output::of(peel(ty).clone(), Role::Item)
    }

    fn of(ty: Type, role: Role) -> Result<Output> {
        let fallible = is_result(&ty);
        let value = if fallible { first_argument(&ty) } else { Some(&ty) };
        let borrowed = match value.map(peel) {
            Some(Type::Reference(reference)) if reference.mutability.is_some() => {
                let text = match role {
                    Role::Result => "the result is sent to another actor: return it by value",
                    Role::Item => "an item is sent to another actor: yield it by value",
                };
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
        Ok(Output { ty, role, fallible, borrowed })
    }

    /// Whether it is `()`, or a `Result`.
    pub(crate) fn is_unit_or_fallible(&self) -> bool {
        self.fallible || matches!(&self.ty, Type::Tuple(tuple) if tuple.elems.is_empty())
    }

    /// Whether it is a `Result`, by its name.
    pub(crate) fn is_fallible(&self) -> bool {
        self.fallible
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

    /// Turns a value of the type into a `Result<_, BoxError>` of what is sent.
    pub(crate) fn convert(&self, private: &Path, value: &TokenStream) -> TokenStream {
        let own = self.borrowed.as_ref().map(|_| quote!(.map(::std::borrow::ToOwned::to_owned)));
        if !self.fallible {
            return quote!(::core::result::Result::<_, #private::BoxError>::Ok(#value)#own);
        }
        // At the user's type, so that an error which is no `Into<BoxError>` is reported there.
        quote_spanned! {self.ty.span()=>
            match #private::Fallible::<{ __TRACTOR_CHECKED }>::into_result(#value)#own {
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
        let (noun, verb) = match self.role {
            Role::Result => ("result", "return"),
            Role::Item => ("item", "yield"),
        };
        let text = if self.fallible {
            format!(
                "the {noun} of `{function}` is named like a `Result` but is none: \
                 rename the type, or {verb} a `Result`"
            )
        } else {
            format!(
                "`{function}` {verb}s a `Result` under a name that does not end in `Result`, \
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
