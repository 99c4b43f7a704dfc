//! The public API of a crate: every public item, without its body, its docs and what is private.

use std::collections::{BTreeMap, BTreeSet};

use quote::ToTokens;
use syn::visit::Visit;
use syn::{
    Attribute, Ident, ImplItem, Item, ItemImpl, ItemMod, Path, Type, Visibility, parse_quote,
};

use crate::bare::{self, is_kept};
use crate::names::{self, Target};
use crate::source::{Krate, ModPath, attrs, cfgs, is_hidden};

/// A crate that a public item names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// The other crate.
    pub krate: String,
    /// The path, with all of its segments.
    pub path: String,
    /// The module of the item.
    pub module: String,
    /// The conditions under which the item is there.
    pub cfgs: Vec<String>,
}

/// The public API of a crate.
#[derive(Debug)]
pub struct Listing {
    /// As Rust, in the order of kinds and names.
    pub text: String,
    /// The paths into other crates.
    pub mentions: BTreeSet<Mention>,
}

/// Lists the public API.
pub fn list(krate: &Krate) -> Listing {
    let mut lister = Lister { krate, impls: BTreeMap::new(), strays: Vec::new(), seen: vec![] };
    lister.index();
    let mut items = lister.module(&Vec::new());
    items.extend(lister.macros());
    items.extend(lister.strays());
    let mentions = lister.mentions();
    let file = syn::File { shebang: None, attrs: Vec::new(), items: in_order(items) };
    Listing { text: prettyplease::unparse(&file), mentions }
}

/// An item as it is shown, and what comes with it.
type Group = Vec<Item>;

/// An item, by its module and name.
type Key = (ModPath, String);

struct Lister<'a> {
    krate: &'a Krate,
    /// The impls of each type.
    impls: BTreeMap<Key, Vec<(ModPath, ItemImpl)>>,
    /// The impls of our traits, for types of other crates.
    strays: Vec<(ModPath, ItemImpl)>,
    /// What was shown, and in which module it was written.
    seen: Vec<(ModPath, Vec<String>, Item)>,
}

impl Lister<'_> {
    fn index(&mut self) {
        for (path, module) in &self.krate.modules {
            for item in &module.items {
                let Item::Impl(it) = item else { continue };
                let own = segments(&it.self_ty).map(|path_| self.krate.resolve(path, &path_));
                match own {
                    Some(Target::Item(module, name)) => {
                        self.impls
                            .entry((module, name))
                            .or_default()
                            .push((path.clone(), it.clone()));
                    }
                    _ => self.strays.push((path.clone(), it.clone())),
                }
            }
        }
    }

    /// What a public module shows.
    fn module(&mut self, path: &ModPath) -> Vec<Group> {
        let krate = self.krate;
        let mut groups = Vec::new();
        for item in &krate.modules[path].items {
            if !names::visibility(item).is_some_and(is_public) || is_hidden(attrs(item)) {
                continue;
            }
            match item {
                Item::Use(it) => {
                    for import in names::imports(&it.tree) {
                        groups.extend(self.import(path, &import, &it.attrs));
                    }
                }
                item => groups.push(self.define(path, item)),
            }
        }
        let inner = krate.modules.keys().filter(|inner| {
            inner.split_last().is_some_and(|(_, above)| above == path)
                && krate.modules[*inner].is_public
        });
        for inner in inner {
            let own = &krate.modules[inner].cfgs[krate.modules[path].cfgs.len()..];
            groups.push(vec![self.nested(inner, own)]);
        }
        groups
    }

    fn nested(&mut self, path: &ModPath, cfgs: &[String]) -> Item {
        let name = ident(path.last().expect("the root is nobody's inner module"));
        let items = in_order(self.module(path));
        let mut module: ItemMod = parse_quote!(pub mod #name { #(#items)* });
        let text = cfgs.join("\n");
        module.attrs =
            syn::parse::Parser::parse_str(Attribute::parse_outer, &text).expect("attributes");
        Item::Mod(module)
    }

    /// What a `pub use` shows: the item itself, when it can't be named where it is.
    fn import(&mut self, at: &ModPath, import: &names::Import, on: &[Attribute]) -> Vec<Group> {
        let krate = self.krate;
        let kept: Vec<Attribute> = on.iter().filter(|attr| is_kept(attr)).cloned().collect();
        let name = ident(&import.name);
        let reexport = |path: &[String]| {
            let path: Path = syn::parse_str(&path.join("::")).expect("a path");
            let last = path.segments.last().map(|last| last.ident.clone());
            match last {
                Some(last) if last == name => vec![parse_quote!(#(#kept)* pub use #path;)],
                _ => vec![parse_quote!(#(#kept)* pub use #path as #name;)],
            }
        };
        match krate.resolve(at, &import.path) {
            Target::Module(module) if import.name == "*" => self.module(&module),
            Target::Module(module) if !krate.is_reachable(&module) => {
                vec![vec![self.nested(&module, &[])]]
            }
            Target::Module(module) => {
                vec![reexport(&[&["crate".to_owned()], &module[..]].concat())]
            }
            Target::Item(module, item) if krate.is_reachable(&module) && module != *at => {
                vec![reexport(&[&["crate".to_owned()], &module[..], &[item]].concat())]
            }
            Target::Item(module, item) => {
                let items = krate.modules[&module].items.iter();
                let named = items.filter(|it| names::name(it).as_ref() == Some(&item));
                let public = named.filter(|it| names::visibility(it).is_some_and(is_public));
                public.map(|it| renamed(self.define(&module, it), &name)).collect()
            }
            Target::Foreign(path) => {
                let group = reexport(&path);
                self.seen.extend(group.iter().map(|it| (at.clone(), cfgs(on), it.clone())));
                vec![group]
            }
        }
    }

    /// An item, and the impls of it.
    fn define(&mut self, path: &ModPath, item: &Item) -> Group {
        let mut group = vec![bare::item(item.clone())];
        let name = names::name(item).unwrap_or_default();
        let impls = self.impls.get(&(path.clone(), name)).cloned().unwrap_or_default();
        let cfgs = cfgs(attrs(item));
        self.seen.push((path.clone(), cfgs, group[0].clone()));
        let mut shown: Vec<(ModPath, ItemImpl)> = impls
            .into_iter()
            .filter_map(|(at, it)| Some((at.clone(), self.shown_impl(&at, it)?)))
            .collect();
        shown.sort_by_key(|(_, it)| (it.trait_.is_some(), it.to_token_stream().to_string()));
        for (at, it) in shown {
            self.seen.push((at, crate::source::cfgs(&it.attrs), Item::Impl(it.clone())));
            group.push(Item::Impl(it));
        }
        group
    }

    /// What an impl shows; `None` when it is nothing.
    fn shown_impl(&self, at: &ModPath, mut it: ItemImpl) -> Option<ItemImpl> {
        if is_hidden(&it.attrs) {
            return None;
        }
        it.attrs.retain(is_kept);
        if let Some((_, of, _)) = &it.trait_ {
            if let Target::Item(module, name) = self.krate.resolve(at, &path_segments(of))
                && !self.is_exported(&(module, name))
            {
                return None;
            }
            it.items.retain(|item| matches!(item, ImplItem::Type(_) | ImplItem::Const(_)));
        } else {
            it.items.retain(|item| match item {
                ImplItem::Const(it) => is_public(&it.vis) && !is_hidden(&it.attrs),
                ImplItem::Fn(it) => is_public(&it.vis) && !is_hidden(&it.attrs),
                _ => false,
            });
            if it.items.is_empty() {
                return None;
            }
        }
        it.items.iter_mut().for_each(bare::impl_item);
        it.items.sort_by_key(|item| match item {
            ImplItem::Fn(it) => (1, it.sig.ident.to_string()),
            item => (0, item.to_token_stream().to_string()),
        });
        Some(it)
    }

    /// Whether an item can be named from outside.
    fn is_exported(&self, key: &Key) -> bool {
        let (module, wanted) = key;
        let is_it = |item: &Item| {
            names::name(item).as_ref() == Some(wanted)
                && names::visibility(item).is_some_and(is_public)
                && !is_hidden(attrs(item))
        };
        if !self.krate.modules[module].items.iter().any(is_it) {
            return false;
        }
        if self.krate.is_reachable(module) {
            return true;
        }
        let target = Target::Item(module.clone(), wanted.clone());
        self.krate.modules.iter().filter(|(path, _)| self.krate.is_reachable(path)).any(
            |(path, m)| {
                m.items.iter().any(|item| match item {
                    Item::Use(it) if is_public(&it.vis) => names::imports(&it.tree)
                        .iter()
                        .any(|import| self.krate.resolve(path, &import.path) == target),
                    _ => false,
                })
            },
        )
    }

    /// The macros, which are all at the root.
    fn macros(&self) -> Vec<Group> {
        let items = self.krate.modules.values().flat_map(|module| &module.items);
        let macros = items.filter_map(|item| match item {
            Item::Macro(it) if it.attrs.iter().any(|a| a.path().is_ident("macro_export")) => {
                Some(it)
            }
            _ => None,
        });
        let macros = macros.filter(|it| !is_hidden(&it.attrs));
        macros.map(|it| vec![bare::item(Item::Macro(it.clone()))]).collect()
    }

    /// Our traits, implemented for what is not ours.
    fn strays(&mut self) -> Vec<Group> {
        let strays = std::mem::take(&mut self.strays).into_iter();
        let shown = strays.filter(|(_, it)| it.trait_.is_some());
        let shown: Vec<Item> =
            shown.filter_map(|(at, it)| Some(Item::Impl(self.shown_impl(&at, it)?))).collect();
        shown.into_iter().map(|item| vec![item]).collect()
    }

    fn mentions(&self) -> BTreeSet<Mention> {
        let mut mentions = BTreeSet::new();
        for (module, cfgs, item) in &self.seen {
            let mut paths = Paths(Vec::new());
            paths.visit_item(item);
            let around = &self.krate.modules[module].cfgs;
            for path in paths.0 {
                let Target::Foreign(path) = self.krate.resolve(module, &path) else { continue };
                let [krate, _, ..] = path.as_slice() else { continue };
                // `T::Item` is of a parameter.
                if krate.starts_with(char::is_lowercase) && *krate != self.krate.name {
                    mentions.insert(Mention {
                        krate: krate.clone(),
                        path: path.join("::"),
                        module: module.join("::"),
                        cfgs: around.iter().chain(cfgs).cloned().collect(),
                    });
                }
            }
        }
        mentions
    }
}

/// The paths of an item.
struct Paths(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast Path) {
        self.0.push(path_segments(path));
        syn::visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.0.extend(names::imports(&item.tree).into_iter().map(|import| import.path));
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

fn path_segments(path: &Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// The path of a type, or of what it refers to.
fn segments(ty: &Type) -> Option<Vec<String>> {
    match ty {
        Type::Path(it) => Some(path_segments(&it.path)),
        Type::Reference(it) => segments(&it.elem),
        Type::Paren(it) => segments(&it.elem),
        Type::Group(it) => segments(&it.elem),
        _ => None,
    }
}

fn is_public(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

fn ident(name: &str) -> Ident {
    syn::parse_str(name).unwrap_or_else(|_| syn::parse_str("_all").expect("an identifier"))
}

/// A definition under the name by which it is exported.
fn renamed(mut group: Group, name: &Ident) -> Group {
    let ident = match group.first_mut() {
        Some(Item::Const(it)) => &mut it.ident,
        Some(Item::Enum(it)) => &mut it.ident,
        Some(Item::Fn(it)) => &mut it.sig.ident,
        Some(Item::Static(it)) => &mut it.ident,
        Some(Item::Struct(it)) => &mut it.ident,
        Some(Item::Trait(it)) => &mut it.ident,
        Some(Item::Type(it)) => &mut it.ident,
        _ => return group,
    };
    *ident = name.clone();
    group
}

/// By kind, then by name: where something is written makes no difference.
fn in_order(mut groups: Vec<Group>) -> Vec<Item> {
    let rank = |item: &Item| match item {
        Item::Use(_) => 0,
        Item::Macro(_) => 1,
        Item::Const(_) | Item::Static(_) => 2,
        Item::Fn(_) => 3,
        Item::Struct(_) | Item::Enum(_) | Item::Type(_) => 4,
        Item::Trait(_) => 5,
        Item::Mod(_) => 6,
        _ => 7,
    };
    let name = |item: &Item| match item {
        Item::Mod(it) => it.ident.to_string(),
        item => names::name(item).unwrap_or_else(|| item.to_token_stream().to_string()),
    };
    groups.sort_by_key(|group| group.first().map(|first| (rank(first), name(first))));
    groups.into_iter().flatten().collect()
}
