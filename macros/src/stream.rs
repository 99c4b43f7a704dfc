//! `#[stream]`: which of its two forms a fn has, and what it yields.

use syn::{
    Error, FnArg, GenericArgument, Pat, PatType, PathArguments, Result, ReturnType, Signature,
    TraitBound, Type, TypeParamBound,
};

use crate::params::{Ownable, Param, peel};
use crate::result::Output;

/// The two forms.
pub(crate) enum Form {
    /// `async fn f(out: SendHalf<T>, ..)`, with the type `T` and the result.
    Sends { item: Box<Type>, result: Output },
    /// `fn f(..) -> impl Stream<Item = T>`, with the type `T`.
    Returns { item: Output },
}

impl Form {
    /// Reads a signature.
    ///
    /// # Errors
    ///
    /// If it is neither form, or both, or one of them with a flaw.
    pub(crate) fn parse(sig: &Signature) -> Result<Form> {
        let first = match sig.inputs.first() {
            // `self` has an error of its own.
            Some(this @ FnArg::Receiver(_)) => return Param::parse(this).and(Err(neither(sig))),
            Some(FnArg::Typed(arg)) => sending_half(&arg.ty).map(|half| (arg, half)),
            None => None,
        };
        match (first, stream_bound(&sig.output)) {
            (Some((arg, half)), None) => sends(sig, arg, half),
            (None, Some(bound)) => returns(sig, bound),
            (Some((arg, _)), Some(_)) => {
                let text = "a stream is sent through the sending half, or returned, but not both";
                Err(Error::new_spanned(arg, text))
            }
            (None, None) => Err(misplaced(sig).unwrap_or_else(|| neither(sig))),
        }
    }
}

fn sends(sig: &Signature, arg: &PatType, half: Half<'_>) -> Result<Form> {
    if let Some(attr) = arg.attrs.first() {
        return Err(Error::new_spanned(attr, "the sending half takes no attributes"));
    }
    let item = match half {
        Half::Of(item) => Box::new(item.clone()),
        Half::Borrowed => return Err(Error::new_spanned(arg, "take the sending half by value")),
        Half::Untyped => {
            let text = "say what it sends: `out: SendHalf<T>`";
            return Err(Error::new_spanned(arg, text));
        }
    };
    match &*arg.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {}
        Pat::Wild(_) => {}
        pat => {
            return Err(Error::new_spanned(pat, "the sending half is a plain identifier"));
        }
    }
    if sig.asyncness.is_none() {
        let text = "a stream that sends its items is an `async fn`: \
                    other tasks of its actor run while it waits";
        return Err(Error::new_spanned(sig.fn_token, text));
    }
    Ownable::check(&item)?;
    let result = Output::parse(&sig.output)?;
    if !result.is_unit_or_fallible() {
        let text = "what a stream has to say are its items: \
                    it returns `()`, or a `Result<(), E>` to be able to fail";
        return Err(Error::new_spanned(&sig.output, text));
    }
    Ok(Form::Sends { item, result })
}

fn returns(sig: &Signature, bound: &TraitBound) -> Result<Form> {
    if let Some(asyncness) = &sig.asyncness {
        let text = "a fn that returns its stream is not `async`: the stream does the waiting";
        return Err(Error::new_spanned(asyncness, text));
    }
    let Some(item) = item_type(bound) else {
        return Err(Error::new_spanned(
            bound,
            "say what it yields: `impl Stream<Item = T> + Send`",
        ));
    };
    Ok(Form::Returns { item: Output::item(item)? })
}

/// It is no stream, or does not look like one.
fn neither(sig: &Signature) -> Error {
    let text = format!(
        "`{}` is no stream: its first parameter is its sending half, `out: SendHalf<T>`, \
         or it is a `fn` that returns `impl Stream<Item = T> + Send`",
        sig.ident
    );
    Error::new_spanned(&sig.ident, text)
}

/// A sending half that is not the first parameter.
fn misplaced(sig: &Signature) -> Option<Error> {
    let later = sig.inputs.iter().skip(1).find_map(|arg| match arg {
        FnArg::Typed(arg) => sending_half(&arg.ty).map(|_| arg),
        FnArg::Receiver(_) => None,
    })?;
    Some(Error::new_spanned(later, "the sending half is the first parameter of a stream"))
}

/// What a sending half in a signature looks like.
enum Half<'a> {
    Of(&'a Type),
    Untyped,
    Borrowed,
}

/// A type whose path ends in `SendHalf`.
fn sending_half(ty: &Type) -> Option<Half<'_>> {
    let path = match peel(ty) {
        Type::Reference(reference) => {
            return sending_half(&reference.elem).map(|_| Half::Borrowed);
        }
        Type::Path(path) => path,
        _ => return None,
    };
    let last = path.path.segments.last().filter(|last| last.ident == "SendHalf")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return Some(Half::Untyped);
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(ty)) if arguments.args.len() == 1 => Some(Half::Of(ty)),
        _ => Some(Half::Untyped),
    }
}

/// The bound `Stream<..>` of an `impl Stream<..>`.
fn stream_bound(output: &ReturnType) -> Option<&TraitBound> {
    let ReturnType::Type(_, ty) = output else { return None };
    let Type::ImplTrait(ty) = peel(ty) else { return None };
    ty.bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => {
            bound.path.segments.last().filter(|last| last.ident == "Stream").map(|_| bound)
        }
        _ => None,
    })
}

/// `T` of `Stream<Item = T>`.
fn item_type(bound: &TraitBound) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &bound.path.segments.last()?.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(assoc) if assoc.ident == "Item" => Some(&assoc.ty),
        _ => None,
    })
}
