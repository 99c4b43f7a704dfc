//! SIGKILL, of anybody, at any moment.

use std::time::Duration;

use rustix::process::Signal;

use crate::procs::{self, Random};
use crate::watch::{BUDGET, SLACK, Tree, stop};

/// How soon after the death of its root a tree is gone, on a machine that is busy with the other
/// tests. The soak program measures what it is on one that is not.
const AFTER_ROOT: Duration = Duration::from_secs(1);

const SEED: u64 = 7;

fn a_killed_root_takes_the_tree_with_it() {
    let mut tree = Tree::start("grow 2 2 idle");
    tree.nodes(7);
    assert_eq!(tree.alive().len(), 7);
    tree.kill(Signal::KILL);
    tree.gone(AFTER_ROOT);
    assert_eq!(tree.exit(SLACK).code(), None);
}

fn a_killed_root_takes_busy_blocked_and_streaming_children_with_it() {
    for number in 0..5 {
        let tree = Tree::start(&format!("grow 1 3 mixed{number}"));
        tree.nodes(4);
        tree.kill(Signal::KILL);
        tree.gone(AFTER_ROOT);
    }
}

fn a_killed_root_takes_stopped_children_with_it() {
    let tree = Tree::start("grow 2 2 idle");
    let nodes = tree.nodes(7);
    // One in the middle, whose children are not stopped, and a leaf of the other branch.
    for (path, pid) in nodes {
        if ["0.0", "0.1.1"].contains(&path.as_str()) {
            stop(pid);
        }
    }
    tree.kill(Signal::KILL);
    tree.gone(AFTER_ROOT);
}

fn a_killed_child_ends_the_tree_and_is_named() {
    let tree = Tree::start("grow 1 3 idle");
    let nodes = tree.nodes(4);
    let (_, victim) = nodes.iter().find(|(path, _)| path == "0.1").unwrap();
    assert!(procs::signal(*victim, Signal::KILL));
    let victim = *victim;
    let (code, end) = tree.ends(BUDGET + SLACK);
    assert_eq!(code, Some(1));
    assert_eq!(
        end,
        format!(
            "ActorFailed node-0.1 while Running, pid Some({victim}), \
             killed by signal 9 (SIGKILL), stderr \"\", error None"
        )
    );
}

fn a_killed_grandchild_ends_the_tree_and_is_named() {
    let tree = Tree::start("grow 2 2 idle");
    let nodes = tree.nodes(7);
    let (_, victim) = nodes.iter().find(|(path, _)| path == "0.1.0").unwrap();
    assert!(procs::signal(*victim, Signal::KILL));
    let (code, end) = tree.ends(BUDGET + SLACK);
    assert_eq!(code, Some(1));
    assert!(end.contains("node-0.1.0") && end.contains("SIGKILL"), "{end}");
    assert!(end.contains("by node-0.1"), "the one who told us is named: {end}");
}

fn an_isolated_child_dies_alone_and_leaves_no_zombie() {
    let mut tree = Tree::start("isolated");
    let mut children: Vec<u32> = Vec::new();
    for name in ["a", "b", "c", "d"] {
        children.push(tree.number(&format!("child {name} ")).try_into().unwrap());
    }
    tree.line("up");
    let root = tree.pid();
    for (name, pid) in ["a", "b", "c"].into_iter().zip(&children) {
        assert!(procs::signal(*pid, Signal::KILL));
        let failed = tree.line("failed ");
        assert!(failed.starts_with(&format!("ActorFailed {name} while Running")), "{failed}");
        assert!(failed.contains("SIGKILL"), "{failed}");
        assert_eq!(procs::read(*pid), None, "it was reaped before it was reported");
    }
    let left: Vec<u32> = procs::children_of(root).into_iter().map(|p| p.pid).collect();
    assert_eq!(left, children[3..], "nobody else died");
    tree.kill(Signal::TERM);
    assert_eq!(tree.exit(BUDGET + SLACK).code(), Some(143));
    tree.gone(SLACK);
}

fn anybody_may_be_killed_at_any_moment() {
    let mut random = Random(SEED);
    for round in 0..24 {
        let tree = Tree::start(&format!("grow 2 2 mixed{}", random.below(5)));
        // A third in full bloom, the others anywhere in the bring-up.
        match round % 3 {
            0 => drop(tree.nodes(7)),
            _ => {
                let wanted = 1 + random.below(6) as usize;
                let found = || (tree.alive().len() >= wanted).then_some(());
                procs::wait_for(SLACK, found).expect("the tree grows");
                std::thread::sleep(Duration::from_micros(random.below(4000)));
            }
        }
        kill_one(tree, &mut random, round);
    }
}

/// Kills a random one, and looks what becomes of the others.
fn kill_one(mut tree: Tree, random: &mut Random, round: usize) {
    let alive = tree.alive();
    let victim = &alive[random.below(alive.len() as u64) as usize];
    procs::signal(victim.pid, Signal::KILL);
    if victim.pid == tree.pid() {
        tree.gone(AFTER_ROOT);
        assert_eq!(tree.exit(SLACK).code(), None);
        return;
    }
    // A brief child of a leaf may have ended just before, and been asked to: then all goes on.
    let brief = victim.parent != tree.pid() && !alive.iter().any(|p| p.parent == victim.pid);
    let ended = procs::wait_for(BUDGET + SLACK, || (tree.alive().is_empty()).then_some(()));
    if ended.is_none() && brief {
        tree.kill(Signal::KILL);
        tree.gone(AFTER_ROOT);
        return;
    }
    let what = format!("round {round} of seed {SEED}, {victim:?} of {alive:#?}");
    assert!(ended.is_some(), "{what}: alive: {:#?}", tree.alive());
    assert_eq!(tree.exit(SLACK).code(), Some(1), "{what}");
    let end = tree.end().unwrap_or_default();
    assert!(end.contains("ActorFailed") || end.contains("SIGKILL"), "{what}: {end}");
}

crate::on_each! {
    a_killed_root_takes_the_tree_with_it,
    a_killed_root_takes_busy_blocked_and_streaming_children_with_it,
    a_killed_root_takes_stopped_children_with_it,
    a_killed_child_ends_the_tree_and_is_named,
    a_killed_grandchild_ends_the_tree_and_is_named,
    an_isolated_child_dies_alone_and_leaves_no_zombie,
    anybody_may_be_killed_at_any_moment,
}
