//! Futures that are dropped: what they owned ends all the same.

use crate::watch::{BUDGET, SLACK, Tree};

/// Runs an order to its good end; how many milliseconds it says it took until nobody was left.
fn ends_well(order: &str) -> u64 {
    let tree = Tree::start(order);
    let took = tree.number("took ");
    let (code, end) = tree.ends(BUDGET + SLACK);
    assert_eq!((code, end.as_str()), (Some(0), "ok"));
    took
}

#[test]
fn a_start_that_lost_a_race() {
    let took = ends_well("drop-start race");
    assert!(took <= 1000, "{took} ms: a child that is not ready is killed without ado");
}

#[test]
fn a_start_that_took_too_long() {
    let took = ends_well("drop-start move-on");
    assert!(took <= 1000, "{took} ms: a child that is not ready is killed without ado");
}

#[test]
fn a_nursery_dropped_from_outside() {
    let took = ends_well("drop-nursery");
    assert!(u128::from(took) <= (BUDGET + SLACK).as_millis(), "{took} ms");
}

#[test]
fn a_root_dropped_from_outside() {
    let took = ends_well("drop-root");
    assert!(u128::from(took) <= (BUDGET + SLACK).as_millis(), "{took} ms");
}
