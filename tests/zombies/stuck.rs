//! Children that do not listen: busy, blocked, stopped.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::on;
use crate::watch::{BUDGET, SLACK, Tree, stop};

/// SIGTERM comes after this many milliseconds without an ack.
const TERM_MS: u64 = 500;

/// SIGKILL comes after this many.
const KILL_MS: u64 = 2100;

/// The report comes after this many at the latest, on a machine that is not busy.
const REPORT_MS: u64 = 2500;

/// What the other tests may add.
const BUSY_MS: u64 = 700;

fn is_terminated(leaf: &str) {
    let tree = Tree::start(&format!("stuck {leaf}"));
    let context = tree.line("context ");
    let took = tree.number("took ");
    if on::current() == on::TOKIO_MULTI_THREAD_TCP {
        // Another thread of it listens: it says that it ends, and does so without its stuck task.
        assert!((TERM_MS..REPORT_MS + BUSY_MS).contains(&took), "it ends itself, not in {took} ms");
        assert!(context.starts_with("TransportClosed"), "{context}");
        assert_eq!(tree.ends(BUDGET), (Some(0), "ok".into()), "it was asked to end: no failure");
        return;
    }
    assert!((TERM_MS..KILL_MS).contains(&took), "SIGTERM ends it, not in {took} ms");
    assert!(context.starts_with("ActorFailed stuck while Running"), "{context}");
    assert!(context.contains("killed by signal 15 (SIGTERM)"), "{context}");
    assert_eq!(tree.ends(BUDGET), (Some(0), "ok".into()), "it was asked to end: no failure");
}

fn a_child_in_a_busy_loop_is_terminated() {
    is_terminated("busy");
}

fn a_child_in_a_blocking_call_is_terminated() {
    is_terminated("block");
}

fn a_stopped_child_is_killed() {
    let tree = Tree::start("stuck stop");
    let context = tree.line("context ");
    let took = tree.number("took ");
    assert!((KILL_MS..REPORT_MS + BUSY_MS).contains(&took), "SIGKILL ends it, not in {took} ms");
    assert!(context.contains("killed by signal 9 (SIGKILL)"), "{context}");
    assert_eq!(tree.ends(BUDGET), (Some(0), "ok".into()));
}

fn sixteen_stuck_children_cost_as_much_as_one() {
    let tree = Tree::start("wide 16 block");
    assert_eq!(tree.number("children "), 16);
    let took = tree.number("took ");
    assert!((TERM_MS..KILL_MS).contains(&took), "{took} ms");
    assert_eq!(tree.ends(BUDGET), (Some(0), "ok".into()));
}

fn sixteen_stopped_children_cost_as_much_as_one() {
    let tree = Tree::start("wide 16 stop");
    assert_eq!(tree.number("children "), 16);
    let took = tree.number("took ");
    assert!((KILL_MS..REPORT_MS + BUSY_MS).contains(&took), "{took} ms");
    assert_eq!(tree.ends(BUDGET), (Some(0), "ok".into()));
}

fn sixteen_children_that_listen_are_gone_at_once() {
    let tree = Tree::start("wide 16 idle");
    let took = tree.number("took ");
    assert!(took < TERM_MS, "nobody had to be signalled in {took} ms");
    assert_eq!(tree.ends(BUDGET), (Some(0), "ok".into()));
}

/// Ctrl-C to a tree of depth 3, one leaf of which is as `prepare` makes it.
fn deep(leaf: &str, prepare: impl Fn(u32)) -> Duration {
    let tree = Tree::start(&format!("grow 3 2 {leaf}"));
    let nodes = tree.nodes(15);
    let (_, pid) = nodes.iter().find(|(path, _)| path == "0.1.0.1").unwrap();
    prepare(*pid);
    let start = Instant::now();
    tree.kill(Signal::INT);
    let (code, end) = tree.ends(BUDGET + SLACK);
    let took = start.elapsed();
    assert_eq!(code, Some(130), "{end}");
    took
}

fn a_deep_tree_ends_at_once() {
    let took = deep("idle", |_| {});
    assert!(took < Duration::from_secs(1), "{took:?}");
}

fn a_deep_tree_with_a_stopped_leaf_ends_within_one_budget() {
    let took = deep("idle", stop);
    assert!(took < BUDGET + Duration::from_millis(BUSY_MS), "{took:?}");
}

fn a_deep_tree_of_blocked_leaves_ends_within_one_budget() {
    let took = deep("block", |_| {});
    assert!(took < BUDGET + Duration::from_millis(BUSY_MS), "{took:?}");
}

crate::on_each! {
    a_child_in_a_busy_loop_is_terminated,
    a_child_in_a_blocking_call_is_terminated,
    a_stopped_child_is_killed,
    sixteen_stuck_children_cost_as_much_as_one,
    sixteen_stopped_children_cost_as_much_as_one,
    sixteen_children_that_listen_are_gone_at_once,
    a_deep_tree_ends_at_once,
    a_deep_tree_with_a_stopped_leaf_ends_within_one_budget,
    a_deep_tree_of_blocked_leaves_ends_within_one_budget,
}
