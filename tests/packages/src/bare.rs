//! Items without what is private: no bodies, no values, no docs.

use syn::{
    Attribute, Block, Expr, Fields, FnArg, ImplItem, Item, ItemMacro, Pat, Signature, TraitItem,
    Visibility, parse_quote,
};

use crate::source::is_hidden;

/// The attributes that are part of what an item promises.
const KEPT: [&str; 7] =
    ["cfg", "deprecated", "derive", "macro_export", "must_use", "non_exhaustive", "repr"];

/// Whether an attribute is shown.
pub fn is_kept(attr: &Attribute) -> bool {
    KEPT.iter().any(|kept| attr.path().is_ident(kept))
}

/// What an impl's item shows.
pub fn impl_item(item: &mut ImplItem) {
    match item {
        ImplItem::Const(it) => {
            it.attrs.retain(is_kept);
            it.expr = no_value();
        }
        ImplItem::Fn(it) => {
            it.attrs.retain(is_kept);
            signature(&mut it.sig);
            it.block = no_body();
        }
        ImplItem::Type(it) => it.attrs.retain(is_kept),
        _ => {}
    }
}

fn no_body() -> Block {
    parse_quote!({})
}

/// The value of a constant is no promise.
fn no_value() -> Expr {
    parse_quote!(_)
}

/// An item without what is private.
pub fn item(mut item: Item) -> Item {
    match &mut item {
        Item::Const(it) => *it.expr = no_value(),
        Item::Static(it) => *it.expr = no_value(),
        Item::Fn(it) => {
            signature(&mut it.sig);
            *it.block = no_body();
        }
        Item::Struct(it) => fields(&mut it.fields),
        Item::Enum(it) => {
            for variant in &mut it.variants {
                variant.attrs.retain(is_kept);
                variant.fields.iter_mut().for_each(|field| field.attrs.retain(is_kept));
            }
        }
        Item::Trait(it) => {
            it.items.retain(|item| match item {
                TraitItem::Fn(it) => !is_hidden(&it.attrs),
                _ => true,
            });
            it.items.iter_mut().for_each(trait_item);
        }
        Item::Macro(it) => macro_rules(it),
        _ => {}
    }
    if let Some(attrs) = attrs_mut(&mut item) {
        attrs.retain(is_kept);
    }
    item
}

/// That a parameter is changed inside is nobody's business.
fn signature(sig: &mut Signature) {
    for input in &mut sig.inputs {
        match input {
            FnArg::Receiver(it) if it.reference.is_none() => it.mutability = None,
            FnArg::Typed(it) => {
                if let Pat::Ident(pat) = &mut *it.pat {
                    pat.mutability = None;
                }
            }
            FnArg::Receiver(_) => {}
        }
    }
}

/// Private fields are told of, but not shown.
fn fields(fields: &mut Fields) {
    match fields {
        Fields::Named(named) => {
            let all = std::mem::take(&mut named.named);
            let count = all.len();
            let mut shown: Vec<syn::Field> =
                all.into_iter().filter(|f| matches!(f.vis, Visibility::Public(_))).collect();
            if shown.len() < count {
                shown.extend(private_fields());
            }
            named.named = shown.into_iter().collect();
        }
        Fields::Unnamed(unnamed) => {
            for field in &mut unnamed.unnamed {
                if !matches!(field.vis, Visibility::Public(_)) {
                    field.ty = parse_quote!(_);
                    field.vis = Visibility::Inherited;
                }
            }
        }
        Fields::Unit => {}
    }
    fields.iter_mut().for_each(|field| field.attrs.retain(is_kept));
}

fn private_fields() -> Option<syn::Field> {
    let example: syn::ItemStruct = parse_quote!(
        struct S {
            private: _,
        }
    );
    example.fields.into_iter().next()
}

fn trait_item(item: &mut TraitItem) {
    match item {
        TraitItem::Const(it) => {
            it.attrs.retain(is_kept);
            it.default = it.default.take().map(|(eq, _)| (eq, no_value()));
        }
        TraitItem::Fn(it) => {
            it.attrs.retain(is_kept);
            it.default = it.default.take().map(|_| no_body());
        }
        TraitItem::Type(it) => it.attrs.retain(is_kept),
        _ => {}
    }
}

/// What a macro accepts is shown, not what it makes of it.
fn macro_rules(it: &mut ItemMacro) {
    let tokens: Vec<_> = it.mac.tokens.clone().into_iter().collect();
    // `(pattern) => { transcriber };`: every fourth or so is a transcriber, behind `=>`.
    let mut shown = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let is_arrow = |back: usize, c: char| {
            index >= back && tokens[index - back].to_string() == c.to_string()
        };
        match is_arrow(1, '>') && is_arrow(2, '=') {
            true => shown.extend(quote::quote!({})),
            false => shown.push(token.clone()),
        }
    }
    it.mac.tokens = shown.into_iter().collect();
}

fn attrs_mut(item: &mut Item) -> Option<&mut Vec<Attribute>> {
    match item {
        Item::Const(it) => Some(&mut it.attrs),
        Item::Enum(it) => Some(&mut it.attrs),
        Item::Fn(it) => Some(&mut it.attrs),
        Item::Macro(it) => Some(&mut it.attrs),
        Item::Static(it) => Some(&mut it.attrs),
        Item::Struct(it) => Some(&mut it.attrs),
        Item::Trait(it) => Some(&mut it.attrs),
        Item::Type(it) => Some(&mut it.attrs),
        _ => None,
    }
}
