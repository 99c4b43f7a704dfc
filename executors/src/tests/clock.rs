//! A clock that a check moves: no time passes in a scenario, but by a wait that takes some.

use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// What all scenarios begin with.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    /// The threads of a scenario are all on one thread of the system.
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

pub(crate) fn now() -> Instant {
    *BEGIN + PASSED.get()
}

/// A scenario begins.
pub(crate) fn reset() {
    PASSED.set(Duration::ZERO);
}

pub(crate) fn pass(time: Duration) {
    PASSED.set(PASSED.get() + time);
}
