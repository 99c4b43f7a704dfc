//! What the packages bring along: nothing that they don't use, nothing twice, nothing of the other
//! runtime, nothing under a licence that would bind users.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tractor_packages::source::Krate;
use tractor_packages::{PUBLISHED, licence, workspace};

/// The licences that ask for no more than to be named.
const LICENCES: [&str; 8] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
];

/// The packages of which there are two versions, and why.
const TWICE: [(&str, &str); 1] = [("syn", "serde_derive has moved on to 3, all others have not")];

/// What each runtime is made of, and the other is not: `mio` is under both.
const RUNTIMES: [(&str, &[&str]); 2] = [
    (
        "smol",
        &[
            "smol",
            "async-channel",
            "async-executor",
            "async-fs",
            "async-io",
            "async-lock",
            "async-net",
            "async-process",
            "async-signal",
            "async-task",
            "blocking",
            "concurrent-queue",
            "event-listener",
            "futures-lite",
            "parking",
            "piper",
            "polling",
        ],
    ),
    ("tokio", &["tokio", "tokio-macros", "tokio-stream", "tokio-util"]),
];

/// What cargo prints. It needs no network: all this was needed to build this test.
fn cargo(args: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(args)
        .args(["--offline", "--locked"])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// All packages of the workspace and what they depend on, on this platform.
fn metadata() -> Value {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(rustc.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let text = cargo(&["metadata", "--format-version=1", "--filter-platform", host]);
    serde_json::from_str(&text).unwrap()
}

fn packages(metadata: &Value) -> &Vec<Value> {
    metadata["packages"].as_array().unwrap()
}

/// The packages of ours that users get, and where each is.
fn published(metadata: &Value) -> Vec<(&Value, PathBuf)> {
    let dirs = PUBLISHED.map(|(dir, _)| workspace().join(dir));
    let find = |dir: PathBuf| {
        let manifest = dir.join("Cargo.toml").canonicalize().unwrap();
        let is_it = |package: &&Value| package["manifest_path"] == manifest.to_str().unwrap();
        (packages(metadata).iter().find(is_it).unwrap(), dir)
    };
    dirs.into_iter().map(find).collect()
}

/// The features of a package, without `default`.
fn features(package: &Value) -> Vec<String> {
    let all = package["features"].as_object().unwrap().keys();
    all.filter(|name| *name != "default").cloned().collect()
}

#[test]
fn licences_ask_for_nothing_but_a_name() {
    let metadata = metadata();
    let mut refused = Vec::new();
    for package in packages(&metadata) {
        let text = package["license"].as_str().unwrap_or("none");
        if !licence::allows(text, &LICENCES) {
            refused.push(format!("{} {}: {text}", package["name"], package["version"]));
        }
    }
    assert!(packages(&metadata).len() > 40, "these are not all");
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn nothing_is_there_twice() {
    let metadata = metadata();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages(&metadata) {
        let (name, version) = (&package["name"], &package["version"]);
        versions.entry(name.as_str().unwrap()).or_default().push(version.as_str().unwrap());
    }
    versions.retain(|_, versions| versions.len() > 1);
    let twice: Vec<&str> = versions.keys().copied().collect();
    let accepted: Vec<&str> = TWICE.iter().map(|(name, _)| *name).collect();
    assert_eq!(twice, accepted, "{versions:?}");
}

/// The packages that one of ours is built with, with these features alone.
fn tree(package: &str, features: &[&str]) -> BTreeSet<String> {
    let features = features.join(",");
    let text = cargo(&[
        "tree",
        "--package",
        package,
        "--edges=normal,build",
        "--prefix=none",
        "--format={p}",
        "--no-default-features",
        "--features",
        &features,
    ]);
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// The packages of this runtime in a tree.
fn of_runtime(runtime: &str, tree: &BTreeSet<String>) -> Vec<String> {
    let (_, members) = RUNTIMES.iter().find(|(name, _)| *name == runtime).unwrap();
    tree.iter().filter(|name| members.contains(&name.as_str())).cloned().collect()
}

#[test]
fn each_runtime_comes_with_its_feature_alone() {
    let metadata = metadata();
    for (package, _) in published(&metadata) {
        let name = package["name"].as_str().unwrap();
        let has = features(package);
        for (runtime, _) in RUNTIMES {
            let without = tree(name, &[]);
            assert_eq!(of_runtime(runtime, &without), [""; 0], "{name} without features");
            let others = RUNTIMES.iter().map(|(other, _)| *other).filter(|o| *o != runtime);
            let others: Vec<&str> = others.filter(|other| has.iter().any(|h| h == other)).collect();
            let with_others = tree(name, &others);
            assert_eq!(of_runtime(runtime, &with_others), [""; 0], "{name} with {others:?}");
            if has.iter().any(|feature| feature == runtime) {
                let with = of_runtime(runtime, &tree(name, &[runtime]));
                assert!(!with.is_empty(), "{name} with {runtime} is this test's own proof");
            }
        }
    }
}

#[test]
fn what_is_not_used_is_not_brought_along() {
    let metadata = metadata();
    for ((package, dir), (_, krate)) in published(&metadata).into_iter().zip(PUBLISHED) {
        let krate = Krate::read(&dir, krate);
        let used = krate.words();
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap().replace('-', "_");
            if dependency["kind"].is_null() {
                assert!(used.contains(&name), "{} does not use {name}", package["name"]);
            }
        }
    }
}

#[test]
fn packages_say_what_they_are() {
    let metadata = metadata();
    for (package, dir) in published(&metadata) {
        let name = package["name"].as_str().unwrap();
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let list = |key: &str| -> Vec<&str> {
            package[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        assert!(text("description").len() > 20, "{name} has a description");
        assert_eq!(text("license"), "MIT OR Apache-2.0", "{name}");
        assert!(!text("rust_version").is_empty(), "{name} says which compiler it needs");
        // What the registry takes.
        assert!((1..=5).contains(&list("categories").len()), "{name} has categories");
        let keywords = list("keywords");
        let fit = keywords.iter().all(|word| word.len() <= 20);
        assert!((1..=5).contains(&keywords.len()) && fit, "{name}: {keywords:?}");
        if let Some(readme) = package["readme"].as_str() {
            assert!(dir.join(readme).exists(), "{name}: {readme}");
        }
        let docs = &package["metadata"]["docs"]["rs"];
        assert_eq!(docs["all-features"], true, "{name} is documented with all features");
        // A path alone can't be published. (Among dev-dependencies it is left out then.)
        for dependency in package["dependencies"].as_array().unwrap() {
            if dependency["kind"] == "dev" {
                continue;
            }
            assert_ne!(dependency["req"], "*", "{name}: {} needs a version", dependency["name"]);
        }
    }
}
