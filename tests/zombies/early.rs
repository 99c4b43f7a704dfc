//! Children that die before they are actors, and programs that can't have any.

use std::time::Duration;

use crate::watch::{BUDGET, Home, SLACK, Tree};

/// Far below the 10 s that a child has to boot, and far above what a busy machine makes of it.
const AT_ONCE: u64 = 3000;

#[test]
fn a_program_that_ends_at_once_is_reported_at_once() {
    let tree = Tree::start("exe /bin/false");
    assert!(tree.number("heard ") < AT_ONCE);
    let (code, end) = tree.ends(BUDGET);
    assert_eq!(code, Some(1));
    assert!(end.starts_with("ActorFailed early while Connecting, pid Some("), "{end}");
    assert!(end.contains("exit code 1"), "{end}");
    assert!(!end.contains(';'), "it is reported once: {end}");
}

#[test]
fn a_program_that_exits_with_success_is_a_failure_too() {
    let tree = Tree::start("exe /bin/true");
    let (code, end) = tree.ends(BUDGET);
    assert_eq!(code, Some(1));
    assert!(end.starts_with("ActorFailed early while Connecting") && end.contains("exit code 0"));
}

#[test]
fn the_last_words_of_a_child_are_in_its_report() {
    let home = Home::new();
    let script = home.path().join("script");
    std::fs::write(&script, "echo 'no license, no work' >&2\nexit 3\n").unwrap();
    let tree = Tree::start(&format!("exe /bin/sh {}", script.display()));
    assert!(tree.number("heard ") < AT_ONCE);
    let (code, end) = tree.ends(BUDGET);
    assert_eq!(code, Some(1));
    assert!(end.starts_with("ActorFailed early while Connecting"), "{end}");
    assert!(end.contains("exit code 3, stderr \"no license, no work\\n\""), "{end}");
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let tree = Tree::start("exe /nowhere/at-all");
    assert!(tree.number("heard ") < AT_ONCE);
    let (code, end) = tree.ends(BUDGET);
    assert_eq!(code, Some(1));
    assert!(end.starts_with("ActorFailed early while Spawning, pid None, no status"), "{end}");
    assert!(end.contains("/nowhere/at-all"), "{end}");
}

#[test]
fn a_program_that_never_speaks_is_killed_when_it_is_given_up_on() {
    let tree = Tree::start("exe-cancelled /bin/sleep 600");
    assert_eq!(tree.line("started "), "false");
    let took = tree.number("took ");
    assert!(took < 500, "a program that is no actor yet is killed without ado, not in {took} ms");
    assert_eq!(tree.ends(BUDGET), (Some(0), "ok".into()));
}

#[test]
fn a_program_that_did_not_say_so_spawns_nobody() {
    let tree = Tree::start("uninitialised");
    assert_eq!(tree.number("children "), 0);
    let (code, end) = tree.ends(BUDGET + SLACK);
    assert_eq!(code, Some(1));
    assert!(end.contains("tractor::init();"), "the line to add is named: {end}");
}

#[test]
fn a_spawn_that_fails_ends_the_nursery_but_waits_for_nobody() {
    let start = std::time::Instant::now();
    let (_, end) = Tree::start("exe /etc/hostname").ends(BUDGET);
    assert!(end.contains("/etc/hostname"), "{end}");
    assert!(start.elapsed() < Duration::from_secs(5));
}
