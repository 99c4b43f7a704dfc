//! The sans-IO core of tractor: the protocol and every decision, and nothing else.
//!
//! `no_std`: it cannot name a clock, a socket, a thread, the environment or a random source, and
//! the compiler proves it. Time and the seed are arguments; bytes come in through a buffer the core
//! owns and go out through an outbox the driver takes; everything to be done comes out of one
//! ordered queue.
//!
//! # The contract
//! * **C1 Time** never goes back between calls; equal is fine.
//! * **C2 Drain**: after any fact or command pop [`Actor::poll_output`] to `None`, then write the
//!   outboxes named by [`Actor::next_dirty`], then sleep until the next fact or
//!   [`Actor::next_deadline`]. Late draining delays; it never corrupts.
//! * **C3 Order**: outputs come in the order they were decided; perform effects in that order.
//!   [`Effect::Close`] means: write the outbox out, then shut down.
//! * **C4 Timeout** early or twice is a no-op.
//! * **C5 Bounded**: work per call is linear in the bytes given; every queue has a limit in
//!   [`Config`].
//! * **C6 Deterministic**: the same config, seed and calls give the same outputs, byte for byte.
//!
//! # One message down the hall
//! ```text
//! bytes ─▶ wire::frame ─▶ msg::codec ─▶ channel ─▶ dialog (a table's row) ─▶ output ─▶ driver
//!                (strings end here)  (who, allowed?)
//! task  ─▶ actor command ─▶ dialog ─▶ channel (the only encoder) ─▶ outbox ─▶ driver
//! ```
//! `examples/by_hand.rs` of the main crate runs a parent and a child with nothing but this crate.
//!
//! # Modules
//! | module | what |
//! |---|---|
//! | [`wire`] | frames and MessagePack |
//! | [`msg`] | the messages, and their bytes |
//! | [`channel`] | one connection: handshake, features, who may say what |
//! | [`dialog`] | one side of a call, stream or context; flow; the tables |
//! | [`election`] | who keeps the registry |
//! | [`supervise`] | children, nurseries, the escalation ladder |
//! | [`error`] | errors, by whose fault they are |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod actor;
mod addr;
mod cancel;
pub mod channel;
mod config;
#[cfg(feature = "coverage")]
#[cfg_attr(docsrs, doc(cfg(feature = "coverage")))]
pub mod coverage;
pub mod dialog;
pub mod election;
pub mod error;
mod id;
pub mod msg;
mod outbox;
mod output;
mod registry;
mod rng;
pub mod supervise;
mod time;
pub mod wire;

pub use actor::{Actor, Call, Census, Input, Life, Progress, StreamStats, Timer, relayed};
pub use addr::{Address, AddressError};
pub use config::{CancelPolicy, Config, ITEM_COST_MIN};
pub use dialog::flow::OverrunPolicy;
pub use id::{ChildId, Cid, ConnId, DialogId, Key, NurseryId, Text, Uid};
pub use outbox::{Outbound, Payload, SPLICE_LEN_MIN};
pub use output::{
    Batch, Chunk, CloseReason, DialogEvent, Effect, EndReason, Event, Found, NurseryEvent, Outcome,
    Output, Signal,
};
pub use time::Instant;
