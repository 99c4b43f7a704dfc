//! Ctrl-C and its kin.

use std::os::unix::process::ExitStatusExt as _;

use rustix::process::Signal;

use crate::procs::{self, Random};
use crate::watch::{BUDGET, SLACK, Tree, stop};

const INTERRUPTED: i32 = 128 + 2;
const TERMINATED: i32 = 128 + 15;

fn ctrl_c_to_the_whole_group_ends_the_tree() {
    let tree = Tree::start("grow 2 2 idle");
    tree.nodes(7);
    tree.kill_group(Signal::INT);
    let (code, end) = tree.ends(BUDGET + SLACK);
    assert_eq!(code, Some(INTERRUPTED));
    assert_eq!(end, "KeyboardInterrupt \"interrupted by signal 2\"");
}

fn ctrl_c_to_the_root_alone_ends_the_tree() {
    let tree = Tree::start("grow 2 2 idle");
    tree.nodes(7);
    tree.kill(Signal::INT);
    let (code, end) = tree.ends(BUDGET + SLACK);
    assert_eq!(code, Some(INTERRUPTED));
    assert_eq!(end, "KeyboardInterrupt \"interrupted by signal 2\"");
}

fn ctrl_c_leaves_the_children_alone_until_the_root_decides() {
    let mut tree = Tree::start("isolated");
    tree.line("up");
    let root = tree.pid();
    for child in procs::children_of(root) {
        assert!(procs::signal(child.pid, Signal::INT));
    }
    // The next thing that happens is what we do, not what they did.
    tree.kill(Signal::TERM);
    assert_eq!(tree.exit(BUDGET + SLACK).code(), Some(TERMINATED));
    tree.gone(SLACK);
    let failed: Vec<String> = tree.rest();
    assert!(!failed.iter().any(|line| line.starts_with("failed")), "{failed:?}");
}

fn sigterm_ends_the_tree() {
    let tree = Tree::start("grow 2 2 idle");
    tree.nodes(7);
    tree.kill(Signal::TERM);
    let (code, end) = tree.ends(BUDGET + SLACK);
    assert_eq!(code, Some(TERMINATED));
    assert_eq!(end, "KeyboardInterrupt \"interrupted by signal 15\"");
}

fn sigterm_to_the_whole_group_ends_the_tree() {
    for _ in 0..5 {
        let mut tree = Tree::start("grow 1 3 idle");
        tree.nodes(4);
        tree.kill_group(Signal::TERM);
        let status = tree.exit(BUDGET + SLACK);
        tree.gone(SLACK);
        let by_signal = status.code() == Some(TERMINATED) || status.signal() == Some(15);
        // The children died of it as well, which is no news to anybody.
        assert!(by_signal, "{status}: {:?}", tree.end());
    }
}

#[test]
fn a_root_that_is_interrupted_before_its_body_runs_ends_at_once() {
    let (code, end) = Tree::start("signal-at-once").ends(SLACK);
    assert_eq!(code, Some(INTERRUPTED));
    assert_eq!(end, "KeyboardInterrupt \"interrupted by signal 2\"");
}

fn a_signal_to_the_group_is_the_reason_although_a_child_died_of_it_first() {
    let (code, end) = Tree::start("signal-comes-late").ends(BUDGET + SLACK);
    assert_eq!(code, Some(TERMINATED));
    assert!(end.starts_with("KeyboardInterrupt"), "{end}");
}

fn a_second_ctrl_c_ends_a_root_that_is_stuck() {
    let mut tree = Tree::start("spin");
    tree.line("spinning");
    tree.kill(Signal::INT);
    // It has been delivered once it is not pending any more.
    let root = tree.pid();
    procs::wait_for(SLACK, || (!is_pending(root)).then_some(())).expect("it is delivered");
    tree.kill(Signal::INT);
    assert_eq!(tree.exit(SLACK).code(), Some(INTERRUPTED));
    tree.gone(SLACK);
}

fn a_second_ctrl_c_does_not_wait_for_a_stopped_child() {
    let mut tree = Tree::start("grow 1 2 idle");
    let nodes = tree.nodes(3);
    let (_, child) = nodes.iter().find(|(path, _)| path == "0.1").unwrap();
    stop(*child);
    tree.kill(Signal::INT);
    // The other one is gone: the root is tearing down.
    let root = tree.pid();
    let tearing = || (procs::children_of(root).len() == 1).then_some(());
    let ended = procs::wait_for(BUDGET, tearing);
    assert!(ended.is_some(), "the child that listens does not end: {:#?}", tree.alive());
    tree.kill(Signal::INT);
    // The stopped one would get its SIGKILL 2.1 s after the first.
    assert_eq!(tree.exit(std::time::Duration::from_secs(1)).code(), Some(INTERRUPTED));
    tree.gone(SLACK);
}

fn ctrl_c_may_come_at_any_moment_of_the_bring_up() {
    let mut random = Random(11);
    for round in 0..12 {
        let mut tree = Tree::start("grow 2 2 idle");
        let wanted = 1 + random.below(7) as usize;
        let grown = || (tree.alive().len() >= wanted).then_some(());
        procs::wait_for(SLACK, grown).expect("the tree grows");
        let listens = catches(tree.pid());
        tree.kill_group(Signal::INT);
        let status = match tree.try_exit(BUDGET + SLACK) {
            // It may have come in the one instant in which it can't be caught, see
            // `src/os/signals.rs`: then the next one is the first.
            None if !listens => {
                tree.kill_group(Signal::INT);
                tree.exit(BUDGET + SLACK)
            }
            status => status.unwrap_or_else(|| panic!("round {round}: {:#?}", tree.alive())),
        };
        tree.gone(SLACK);
        // Killed by it outright: before the root has begun to listen.
        let early = status.code().is_none() && tree.end().is_none();
        assert!(early || status.code() == Some(INTERRUPTED), "round {round}: {status}");
    }
}

/// Whether SIGINT waits for a process.
fn is_pending(pid: u32) -> bool {
    has_signal(pid, "ShdPnd:", 2)
}

/// Whether a process has its handlers: SIGTERM's is the last.
fn catches(pid: u32) -> bool {
    has_signal(pid, "SigCgt:", 15)
}

/// Whether a signal is in this mask of a process.
fn has_signal(pid: u32, mask: &str, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut masks = status.lines().filter_map(|line| line.strip_prefix(mask));
    let bits = masks.next().and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> (signal - 1) & 1 == 1)
}

crate::on_each! {
    ctrl_c_to_the_whole_group_ends_the_tree,
    ctrl_c_to_the_root_alone_ends_the_tree,
    ctrl_c_leaves_the_children_alone_until_the_root_decides,
    sigterm_ends_the_tree,
    sigterm_to_the_whole_group_ends_the_tree,
    a_signal_to_the_group_is_the_reason_although_a_child_died_of_it_first,
    a_second_ctrl_c_ends_a_root_that_is_stuck,
    a_second_ctrl_c_does_not_wait_for_a_stopped_child,
    ctrl_c_may_come_at_any_moment_of_the_bring_up,
}
