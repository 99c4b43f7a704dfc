//! The bodies of the fuzz targets. A plain `cargo test` smoke-runs them; `fuzz/` runs them for
//! long.
//!
//! | target | what is drawn from the bytes |
//! |---|---|
//! | [`deframer`] | a stream, and the pieces in which it comes |
//! | [`message`] | a body |
//! | [`round_trip`] | a body, read by another MessagePack too |
//! | [`payload`] | a value, for many types |
//! | [`channel`] | all that a peer says on a connection |
//! | [`dialog`] | what both sides of dialogs do |
//! | [`actor`] | commands and facts of one actor, with peers that say anything |
//! | [`registry`] | what peers ask of a registrar |
//! | [`world`] | the programs, faults and choices of a simulation |

pub mod actor;
pub mod channel;
pub mod deframer;
pub mod dialog;
pub mod message;
pub mod payload;
pub mod registry;
mod registry_model;
pub mod round_trip;
pub mod seeds;
pub mod stage;
pub mod world;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its binary and of its corpus.
    pub name: &'static str,
    /// What is done with an input.
    pub body: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "deframer", body: deframer::run, seeds: seeds::streams },
    Target { name: "message", body: message::run, seeds: seeds::bodies },
    Target { name: "round_trip", body: round_trip::run, seeds: seeds::bodies },
    Target { name: "payload", body: payload::run, seeds: payload::seeds },
    Target { name: "channel", body: channel::run, seeds: seeds::connections },
    Target { name: "dialog", body: dialog::run, seeds: seeds::noise },
    Target { name: "actor", body: actor::run, seeds: seeds::noise },
    Target { name: "registry", body: registry::run, seeds: seeds::noise },
    Target { name: "world", body: world::run, seeds: seeds::noise },
];
