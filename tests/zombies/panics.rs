//! A panic, in any actor, is an error; nobody is left.

use crate::watch::{BUDGET, SLACK, Tree};

fn panics(place: &str) -> String {
    let tree = Tree::start(&format!("panic {place}"));
    let (code, end) = tree.ends(BUDGET + SLACK);
    assert_eq!(code, Some(1));
    end
}

fn in_the_body_of_the_root() {
    let end = panics("root");
    assert!(end.starts_with("Panic \"panic: the root panics on purpose, at "), "{end}");
    assert!(end.contains("orders.rs:"), "the place is named: {end}");
    assert!(!end.contains(';'), "it is the only error: {end}");
}

fn in_a_function_of_a_child() {
    let end = panics("rpc");
    assert!(end.starts_with("Remote Panic") && end.contains("panics on purpose"), "{end}");
    assert!(end.ends_with("by child"), "{end}");
}

fn in_a_context_of_a_child() {
    let end = panics("context");
    assert!(end.starts_with("Remote Panic"), "{end}");
    assert!(end.contains("this context panics on purpose"), "{end}");
    assert!(end.ends_with("by child"), "{end}");
}

fn in_a_grandchild() {
    let end = panics("grandchild");
    assert!(end.starts_with("Remote Panic"), "{end}");
    assert!(end.contains("this leaf panics on purpose"), "{end}");
    assert!(end.ends_with("by node-0.0.0<node-0.0"), "the way it took: {end}");
}

fn a_child_that_exits_is_a_failure() {
    let tree = Tree::start("grow 1 2 exit");
    let (code, end) = tree.ends(BUDGET + SLACK);
    assert_eq!(code, Some(1));
    assert!(end.contains("ActorFailed node-0.") && end.contains("exit code 3"), "{end}");
}

crate::on_each! {
    in_the_body_of_the_root,
    in_a_function_of_a_child,
    in_a_context_of_a_child,
    in_a_grandchild,
    a_child_that_exits_is_a_failure,
}
