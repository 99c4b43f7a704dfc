//! The source of a crate, as a tree of modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, ItemMod, Visibility};

/// Where a module is: `["scope", "link"]`. The crate's root is empty.
pub type ModPath = Vec<String>;

/// A module, without those in it.
#[derive(Debug)]
pub struct Module {
    /// Whether `pub mod` says so, and nothing hides it. The root is public.
    pub is_public: bool,
    /// The `#[cfg(..)]`s of it and of those around it.
    pub cfgs: Vec<String>,
    /// What is in it, but for modules and tests.
    pub items: Vec<Item>,
}

/// A crate.
#[derive(Debug)]
pub struct Krate {
    /// Its name in paths.
    pub name: String,
    /// Its modules.
    pub modules: BTreeMap<ModPath, Module>,
}

impl Krate {
    /// Reads the crate `name` of the package in `dir`.
    ///
    /// # Panics
    /// If a file can't be read, or is no Rust.
    pub fn read(dir: &Path, name: &str) -> Krate {
        let mut krate = Krate { name: name.to_owned(), modules: BTreeMap::new() };
        let root = Module { is_public: true, cfgs: Vec::new(), items: Vec::new() };
        krate.read_file(Vec::new(), root, &dir.join("src/lib.rs"), &dir.join("src"));
        krate
    }

    /// A crate without files.
    ///
    /// # Panics
    /// If the text is no Rust.
    pub fn parse(name: &str, text: &str) -> Krate {
        let mut krate = Krate { name: name.to_owned(), modules: BTreeMap::new() };
        let root = Module { is_public: true, cfgs: Vec::new(), items: Vec::new() };
        let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        krate.add(Vec::new(), root, parsed.items, Path::new(""));
        krate
    }

    fn read_file(&mut self, path: ModPath, module: Module, file: &Path, below: &Path) {
        let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        self.add(path, module, parsed.items, below);
    }

    /// Adds a module; the files of those in it are in `below`.
    fn add(&mut self, path: ModPath, mut module: Module, items: Vec<Item>, below: &Path) {
        let (modules, mut items): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| matches!(item, Item::Mod(_)));
        items.retain(|item| !is_test(attrs(item)));
        for inner in modules {
            if let Item::Mod(inner) = inner
                && !is_test(&inner.attrs)
            {
                self.add_inner(&path, &module, inner, below);
            }
        }
        module.items = items;
        self.modules.insert(path, module);
    }

    fn add_inner(&mut self, path: &ModPath, around: &Module, inner: ItemMod, below: &Path) {
        let name = inner.ident.to_string();
        let is_public = matches!(inner.vis, Visibility::Public(_)) && !is_hidden(&inner.attrs);
        let own = cfgs(&inner.attrs);
        let cfgs = around.cfgs.iter().cloned().chain(own).collect();
        let module = Module { is_public, cfgs, items: Vec::new() };
        let path = [path.as_slice(), std::slice::from_ref(&name)].concat();
        match inner.content {
            Some((_, items)) => self.add(path, module, items, &below.join(name)),
            None => {
                let file = below.join(format!("{name}.rs"));
                self.read_file(path, module, &file, &below.join(name));
            }
        }
    }

    /// The identifiers in it, tests aside.
    pub fn words(&self) -> BTreeSet<String> {
        let items = self.modules.values().flat_map(|module| &module.items);
        let mut words = BTreeSet::new();
        items.for_each(|item| collect(item.to_token_stream(), &mut words));
        words
    }

    /// Whether a module can be named from outside: it and all around it are public.
    pub fn is_reachable(&self, path: &[String]) -> bool {
        (0..=path.len()).all(|len| self.modules.get(&path[..len]).is_some_and(|m| m.is_public))
    }
}

/// The identifiers of some code, also of what is given to macros.
fn collect(tokens: TokenStream, words: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => drop(words.insert(ident.to_string())),
            TokenTree::Group(group) => collect(group.stream(), words),
            _ => {}
        }
    }
}

/// The attributes of an item.
pub fn attrs(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::ExternCrate(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

/// Whether the documentation does not show it.
pub fn is_hidden(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| attr.path().is_ident("doc") && text(attr).contains("hidden"))
}

/// The conditions under which it is there.
pub fn cfgs(attrs: &[Attribute]) -> Vec<String> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg")).map(text).collect()
}

fn is_test(attrs: &[Attribute]) -> bool {
    let names_test = |cfg: &str| cfg.split(|c: char| !c.is_alphanumeric()).any(|w| w == "test");
    cfgs(attrs).iter().any(|cfg| !cfg.contains("cfg (not") && names_test(cfg))
}

fn text(attr: &Attribute) -> String {
    attr.to_token_stream().to_string()
}
