//! Structured concurrency inside an actor.

mod cancel;
mod children;
mod current;
mod finally;
mod link;
mod node;
mod nursery;
mod root;
mod slab;
mod start;
mod time;

#[cfg(test)]
mod tests;

pub use cancel::{CancelScope, fail_after, move_on_after};
pub use finally::{finally, finally_borrowed, shield};
pub use nursery::{Nursery, Outcome, open_nursery};
pub use start::Status;
pub use time::{checkpoint, sleep};

pub(crate) use current::{check, current_root, enclosing_cancelled};
pub(crate) use finally::guarded;
pub(crate) use link::Ended;
pub(crate) use root::Root;
pub(crate) use time::cancellable;
