//! Which item a path means, in the module where it is written.

use std::slice;

use syn::{Item, UseTree, Visibility};

use crate::source::{Krate, ModPath};

/// What a path means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// An item of the crate: its module, and its name there.
    Item(ModPath, String),
    /// A module of the crate.
    Module(ModPath),
    /// Something of another crate; or a generic parameter, or a name that is always there.
    Foreign(Vec<String>),
}

/// One name that a `use` brings in.
#[derive(Clone, Debug)]
pub struct Import {
    /// The name here; `*` for all.
    pub name: String,
    /// What it means.
    pub path: Vec<String>,
}

/// What a `use` brings in, name by name.
pub fn imports(tree: &UseTree) -> Vec<Import> {
    fn walk(tree: &UseTree, path: &mut Vec<String>, found: &mut Vec<Import>) {
        let import = |name: String, last: &str| {
            // `a::{self}` means `a`.
            let last = (last != "self").then(|| last.to_owned());
            Import { name, path: path.iter().cloned().chain(last).collect() }
        };
        match tree {
            UseTree::Path(it) => {
                path.push(it.ident.to_string());
                walk(&it.tree, path, found);
                path.pop();
            }
            UseTree::Name(it) => {
                let last = it.ident.to_string();
                let name = if last == "self" { path.last().cloned() } else { Some(last.clone()) };
                found.push(import(name.unwrap_or_default(), &last));
            }
            UseTree::Rename(it) => {
                found.push(import(it.rename.to_string(), &it.ident.to_string()));
            }
            UseTree::Glob(_) => found.push(Import { name: "*".to_owned(), path: path.clone() }),
            UseTree::Group(it) => it.items.iter().for_each(|tree| walk(tree, path, found)),
        }
    }
    let mut found = Vec::new();
    walk(tree, &mut Vec::new(), &mut found);
    found
}

/// The name of an item that can be named.
pub fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(it) => &it.ident,
        Item::Enum(it) => &it.ident,
        Item::Fn(it) => &it.sig.ident,
        Item::Static(it) => &it.ident,
        Item::Struct(it) => &it.ident,
        Item::Trait(it) => &it.ident,
        Item::Type(it) => &it.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// The visibility of an item that has one.
pub fn visibility(item: &Item) -> Option<&Visibility> {
    match item {
        Item::Const(it) => Some(&it.vis),
        Item::Enum(it) => Some(&it.vis),
        Item::Fn(it) => Some(&it.vis),
        Item::Static(it) => Some(&it.vis),
        Item::Struct(it) => Some(&it.vis),
        Item::Trait(it) => Some(&it.vis),
        Item::Type(it) => Some(&it.vis),
        Item::Use(it) => Some(&it.vis),
        _ => None,
    }
}

impl Krate {
    /// What `path` means in the module `from`.
    pub fn resolve(&self, from: &[String], path: &[String]) -> Target {
        self.follow(from, path, 0)
    }

    fn follow(&self, from: &[String], path: &[String], depth: usize) -> Target {
        let foreign = || Target::Foreign(path.to_vec());
        // Two modules that import all of each other would never end.
        let [first, rest @ ..] = path else { return Target::Module(from.to_vec()) };
        if depth > 32 {
            return foreign();
        }
        match first.as_str() {
            "crate" => return self.within(&[], rest, depth),
            name if name == self.name => return self.within(&[], rest, depth),
            "self" => return self.within(from, rest, depth),
            "super" => {
                let above = from.split_last().map_or(from, |(_, above)| above);
                return self.follow(above, rest, depth + 1);
            }
            _ => {}
        }
        match self.lookup(from, first, depth) {
            Some(Target::Module(module)) => self.within(&module, rest, depth),
            // What comes after a type is one of its own: a variant, an associated item.
            Some(Target::Foreign(mut path)) => {
                path.extend_from_slice(rest);
                Target::Foreign(path)
            }
            Some(item) => item,
            None => foreign(),
        }
    }

    /// The rest of a path, in a module that it has led to.
    fn within(&self, module: &[String], rest: &[String], depth: usize) -> Target {
        match rest {
            [] => Target::Module(module.to_vec()),
            [first, rest @ ..] => match self.lookup(module, first, depth) {
                Some(Target::Module(inner)) => self.within(&inner, rest, depth),
                Some(target) => target,
                None => {
                    let path = [slice::from_ref(&self.name), module, slice::from_ref(first)];
                    Target::Foreign(path.concat())
                }
            },
        }
    }

    /// What a name means in a module.
    fn lookup(&self, module: &[String], wanted: &str, depth: usize) -> Option<Target> {
        let child = [module, &[wanted.to_owned()]].concat();
        if self.modules.contains_key(&child) {
            return Some(Target::Module(child));
        }
        let items = &self.modules.get(module)?.items;
        if items.iter().any(|item| name(item).is_some_and(|name| name == wanted)) {
            return Some(Target::Item(module.to_vec(), wanted.to_owned()));
        }
        let uses = items.iter().filter_map(|item| match item {
            Item::Use(it) => Some(imports(&it.tree)),
            _ => None,
        });
        let all: Vec<Import> = uses.flatten().collect();
        if let Some(import) = all.iter().find(|import| import.name == wanted) {
            // `use log;` and the like: the name is its own meaning.
            if import.path == [wanted] {
                return Some(Target::Foreign(import.path.clone()));
            }
            return Some(self.follow(module, &import.path, depth + 1));
        }
        let globs = all.iter().filter(|import| import.name == "*");
        let targets = globs.map(|glob| self.follow(module, &glob.path, depth + 1));
        let modules = targets.filter_map(|target| match target {
            Target::Module(path) if path != module => Some(path),
            _ => None,
        });
        modules.into_iter().find_map(|path| match depth {
            0..32 => self.lookup(&path, wanted, depth + 1),
            _ => None,
        })
    }
}
