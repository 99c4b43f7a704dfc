//! Bad peers, over real sockets: the PEER rows of the table of what bad input gets, and attempts to
//! break the runtime from outside.
//!
//! In every test a tree goes about its work, a root and a child that stream with each other, while
//! raw sockets speak to both (`siege`). Whatever those do, the work goes on and ends right, nobody
//! panics, and nothing of the tree is left.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

#[path = "hostile/base.rs"]
mod base;
#[path = "hostile/calls.rs"]
mod calls;
#[path = "hostile/dialogs.rs"]
mod dialogs;
#[path = "hostile/floods.rs"]
mod floods;
#[path = "hostile/frames.rs"]
mod frames;
#[path = "hostile/peer.rs"]
mod peer;
#[path = "hostile/registry.rs"]
mod registry;
#[path = "hostile/siege.rs"]
mod siege;
#[path = "hostile/slow.rs"]
mod slow;
#[path = "hostile/victim.rs"]
mod victim;
