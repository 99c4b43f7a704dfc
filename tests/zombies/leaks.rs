//! Descriptors, threads and files.

use rustix::process::Signal;

use crate::watch::{BUDGET, SLACK, Tree};

#[test]
fn nurseries_leak_no_descriptors_and_no_threads() {
    let tree = Tree::start("cycles 20");
    let (code, end) = tree.ends(BUDGET + SLACK);
    assert_eq!((code, end.as_str()), (Some(0), "ok"));
}

#[test]
fn a_nursery_that_goes_on_keeps_nothing_of_the_dead() {
    let tree = Tree::start("replacements 20");
    let (code, end) = tree.ends(BUDGET + SLACK);
    assert_eq!((code, end.as_str()), (Some(0), "ok"));
}

#[test]
fn a_tree_that_ends_leaves_no_files() {
    let mut tree = Tree::start("grow 1 2 idle");
    tree.nodes(3);
    assert_eq!(tree.files().len(), 1, "while it lives it has a directory");
    tree.kill(Signal::INT);
    tree.exit(BUDGET + SLACK);
    assert_eq!(tree.files(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_a_killed_root_left_is_swept_by_the_next() {
    let mut tree = Tree::start("grow 1 2 idle");
    tree.nodes(3);
    tree.kill(Signal::KILL);
    tree.exit(SLACK);
    tree.gone(SLACK);
    assert_eq!(tree.files().len(), 1, "nobody was left to remove it");
    let mut next = Tree::start_in("grow 1 1 idle", tree.into_home());
    next.nodes(2);
    assert_eq!(next.files().len(), 1, "its own");
    next.kill(Signal::INT);
    next.exit(BUDGET + SLACK);
    assert_eq!(next.files(), Vec::<std::path::PathBuf>::new());
}
