//! Structured concurrency inside an actor: cancel scopes, timeouts, task nurseries, cleanup.
//!
//! A scope encloses a piece of work and can end it. Scopes form a tree: what is polled inside the
//! body of a scope is inside that scope, also through foreign combinators. Cancellation is what
//! Rust does anyway, the drop of a suspended future, with one thing added: a cancelled scope
//! *waits* for the asynchronous cleanup inside it ([`shield`], [`finally()`], an actor nursery that
//! reaps its processes, a context that awaits its remote task), innermost first, before it drops
//! the body.
//!
//! ```text
//!   Root      one per actor: executor (time, timers), teardown budget, handed-over cleanups
//!     Node    a scope as others see it: flags, number of holds, waker, parent, direct inner scopes
//!       Link  the scope's own frame: attaches its node at the first poll, detaches it when dropped
//!     Current the thread-local {node, view}: set around the poll of every body, and only then
//! ```
//!
//! # One poll of a scope (`Link::poll_body`; a nursery does the same for all its children)
//!
//! 1. Register the waker. Attach to `Current` if that is not our parent yet: a future that was
//!    moved to another poller follows it.
//! 2. *cancelled* = our own flag, or the parent's view unless we are a shield. If that is new, wake
//!    the direct inner scopes: whatever lies between us and them polls only what was woken.
//! 3. Cancelled, polled before, and no hold inside (or the budget is over): drop the body, end.
//! 4. Poll the body with `Current` = us. A value is returned, even if we are cancelled.
//! 5. Suspended: look at the deadline, which only sets our own flag. If the cancellation is new or
//!    the last hold went away meanwhile, go to 2.
//!
//! After 3: if no visible encloser is cancelled, the cancellation was ours, and we catch it. Else
//! *park*: stay pending, and the encloser drops us.
//!
//! # Invariants
//!
//! * **S1** Outside of a poll `Current` is what it was before; also on unwinding.
//! * **S2** A waker is registered before the flags are read, and a flag is set before the waker is
//!   read. So no cancellation is missed.
//! * **S3** *The observer cascades, never the canceller.* `cancel()` sets one flag and wakes one
//!   scope. A canceller that walked the tree could have its wake-ups consumed by a poll that began
//!   before it set the flag.
//! * **S4** All but `flags`, the waker and a nursery's two lists is touched only by the future that
//!   contains the tree, in its polls and its drop. The mutexes are there for `Send`, uncontended.
//! * **S5** `holds` of a node = 1 if its own frame holds, + the number of direct inner nodes with
//!   holds. Only steps between 0 and 1 travel upward. A nursery never holds by itself.
//! * **S6** A parked frame is dropped in the poll in which it parked, or, if others hold, with the
//!   last of them. So no user code runs after an await that an encloser's cancellation has cut.
//! * **S7** A cleanup that began ends in one of three ways: it runs to its end; the teardown budget
//!   of the outermost cancelled scope ends it; a foreign future drops its frame. In the second case
//!   it is counted in `Root::lost`. In the third, one that owns what it needs goes to the actor's
//!   reaper, with what is left of the budget; one that borrows is counted as lost. Nothing blocks.
//! * **S8** A child of a nursery is polled only when it was woken, once per poll of the nursery.
//!   The exception is a change of its view of cancellation.
//! * **S9** Errors win over cancellation: a nursery with an error returns it and does not park.
//!
//! * **S10** What runs beside its frame (a child on the executor, a shared resource) is at the top
//!   of a tree of its own (`far.rs`). A frame answers for it: it passes its cancellation on, waits
//!   for the end, and leaves it to the reaper when it is dropped. So S7 holds for it, too.
//! * **S11** A frame is dropped before the link it is behind: what is inside finds the actor.
//!
//! # Limits
//!
//! A body that never suspends is not interrupted ([`checkpoint`] helps). While a cancelled scope
//! waits for a hold, other branches of the same body (`join!`) are still polled: their `tractor`
//! awaits fail with [`Error::Cancelled`](crate::Error::Cancelled); foreign ones go on. What runs in
//! somebody else's `spawn` is in no scope. Timeouts need an enclosing actor or one of our macros,
//! and so does the budget: without one a teardown has no limit. Under `panic = "abort"` a panic is
//! no error.

mod cancel;
mod children;
mod current;
mod far;
mod finally;
mod gather;
mod limit;
mod link;
mod node;
mod nursery;
mod parallel;
mod root;
mod start;
mod time;

#[cfg(test)]
pub(crate) mod tests;

pub use cancel::{CancelScope, fail_after, move_on_after};
pub use current::time_left;
pub use finally::{finally, finally_borrowed, shield};
pub use gather::{Gathering, Lease, gather};
pub use nursery::{Nursery, Outcome, open_nursery};
pub use start::Status;
pub use time::{checkpoint, sleep};

pub(crate) use current::{Background, check, current_root, enclosing_cancelled};
pub(crate) use far::Far;
pub(crate) use finally::guarded;
pub(crate) use gather::Lent;
pub(crate) use link::Ended;
pub(crate) use root::{DEFAULT_BUDGET, Root};
pub(crate) use time::cancellable;
