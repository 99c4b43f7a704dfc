//! Every limit and timeout, with its unit and what happens when it is reached.

use core::time::Duration;

use alloc::string::String;

use crate::msg::{Features, Token};

/// Who may end this actor by a cancel request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelPolicy {
    /// Any peer that got through the handshake (and so through the transport's own checks).
    AnyPeer,
    /// Only the parent.
    ParentOnly,
}

/// The settings of one actor. `Config::new` has the defaults of `docs/protocol.md` §8.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The actor's name.
    pub name: String,
    /// Its id, when a parent chose it; otherwise one is drawn from the seed.
    pub uuid: Option<String>,
    /// The process id that goes into the handshake.
    pub pid: u64,
    /// What it shows its parent when it connects back.
    pub token: Option<Token>,
    /// Whether this actor keeps the tree's registry.
    pub is_registrar: bool,
    /// What it can do beyond the base protocol.
    pub features: Features,
    /// An id of the program's build, for the handshake.
    pub build: u64,
    /// Who may end this actor.
    pub cancel_policy: CancelPolicy,
    /// Largest frame body before the peer's `Aid`, bytes. Over it: the connection ends.
    pub frame_len_max_early: usize,
    /// Largest frame body after it, bytes. Over it: the connection ends; sending one is refused.
    pub frame_len_max: usize,
    /// Time for the whole handshake. After it: the connection ends.
    pub handshake_timeout: Duration,
    /// Time for a probe of ours to be answered. After it: nobody answers there.
    pub probe_timeout: Duration,
    /// Accepted connections that may still be in their handshake. Over it: refused.
    pub half_open_max: usize,
    /// Connections. Over it: refused.
    pub conns_max: usize,
    /// Dialogs a peer may have open on one connection. Over it: its `Start` is answered `Error`.
    pub dialogs_max: usize,
    /// `Start`s kept while this actor boots. Over it: answered with `Error`.
    pub queued_starts_max: usize,
    /// Messages for dialogs that never were, per connection. Over it: the connection ends.
    pub strays_max: u32,
    /// Bytes in a connection's data lane before senders of stream items wait.
    pub lane_bytes_max: usize,
    /// Bytes that a peer may leave unread...
    pub unread_bytes_max: usize,
    /// ...for so long without any progress. After it: the connection ends.
    pub unread_timeout: Duration,
    /// Bytes of the runtime's own answers that a peer may ask for while it leaves more than
    /// `unread_bytes_max` unread. Over it: the connection ends.
    pub answers_bytes_max: usize,
    /// Bytes that may wait for a peer in all. Over it: its `Start` is answered with `Error`.
    /// Arguments of calls that wait until this actor is ready may be as many.
    pub backlog_bytes_max: usize,
    /// Credit of one direction of a stream once its receiver opened it: items...
    pub window_items: u32,
    /// ...and bytes, each item counting [`ITEM_COST_MIN`] more.
    pub window_bytes: u64,
    /// Items that may wait for a receiver that hasn't opened its stream, and the base's only limit.
    pub base_items: u32,
    /// Items of a stream for a base peer, which can't say how far its reader is, before one must
    /// wait for an answer of its runtime: that comes when it has handed them to the reader. A peer
    /// that never answers blocks the sender until the dialog ends. 0: it is asked nothing.
    /// (`docs/protocol.md` §6.7)
    pub base_pace: u32,
    /// How long a sender waits for a receiver that never opens its stream. After it: overrun.
    pub peer_open_timeout: Duration,
    /// How long a child may take from spawn to ready. After it: it is killed and reported.
    pub boot_timeout: Duration,
    /// How long a cancelled child may take to acknowledge. After it: SIGTERM.
    pub cancel_ack_timeout: Duration,
    /// More time to end is given to no child because it says that it needs more.
    pub budget_max: Duration,
    /// From the first cancel to the report, for a whole subtree.
    pub teardown_budget: Duration,
    /// How long before the budget's end SIGKILL comes.
    pub kill_margin: Duration,
    /// What a child keeps of its parent's budget for its own end.
    pub child_margin: Duration,
    /// How long the two halves of a child's end (exit, end of its link) may lie apart.
    pub reap_slack: Duration,
    /// How long a registrar that takes note of an actor's end may take for it. After it: the actor
    /// ends all the same.
    pub farewell_timeout: Duration,
    /// How long a base peer counts as alive after it was last heard of. After it: it is asked
    /// before it is told of.
    pub record_fresh: Duration,
    /// Records in the registry. Over it: `Register` is answered with `Error`.
    pub registry_max: usize,
    /// `Wait` requests pending per registry. Over it: answered with `Error`.
    pub waiters_max: usize,
}

/// What an item costs in credit on top of its payload, bytes: what keeping it costs the receiver.
pub const ITEM_COST_MIN: u64 = 64;

impl Config {
    /// The defaults for an actor of this name.
    pub fn new(name: impl Into<String>) -> Config {
        Config {
            name: name.into(),
            uuid: None,
            pid: 0,
            token: None,
            is_registrar: false,
            features: Features::ALL,
            build: 0,
            cancel_policy: CancelPolicy::AnyPeer,
            frame_len_max_early: 4 << 10,
            frame_len_max: 16 << 20,
            handshake_timeout: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(1),
            half_open_max: 64,
            conns_max: 4096,
            dialogs_max: 1024,
            queued_starts_max: 256,
            strays_max: 1024,
            lane_bytes_max: 256 << 10,
            unread_bytes_max: 1 << 20,
            unread_timeout: Duration::from_secs(5),
            answers_bytes_max: 16 << 20,
            backlog_bytes_max: 64 << 20,
            window_items: 1024,
            window_bytes: 1 << 20,
            base_items: 64,
            base_pace: 4,
            peer_open_timeout: Duration::from_secs(10),
            boot_timeout: Duration::from_secs(10),
            cancel_ack_timeout: Duration::from_millis(500),
            budget_max: Duration::from_secs(600),
            teardown_budget: Duration::from_millis(2500),
            kill_margin: Duration::from_millis(400),
            child_margin: Duration::from_millis(250),
            reap_slack: Duration::from_millis(250),
            farewell_timeout: Duration::from_millis(500),
            record_fresh: Duration::from_secs(5),
            registry_max: 16_384,
            waiters_max: 1024,
        }
    }
}
