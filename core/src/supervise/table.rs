//! The child's transition table, nothing else.

use super::ChildPhase::{
    self, Booting, Cancelling, Connecting, Killing, Reaped, Running, Spawning, Terminating,
};

/// What can happen to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Its process exists.
    Spawned,
    /// Its process could not be made.
    SpawnFailed,
    /// Its handshake is done.
    HandshakeDone,
    /// It is bound and registered.
    Ready,
    /// Somebody wants it gone.
    CancelAsked,
    /// Its link ended.
    LinkLost,
    /// It took too long to boot.
    BootTimeout,
    /// It took too long to acknowledge the cancel.
    AckTimeout,
    /// It is time for SIGKILL.
    KillTimeout,
    /// Its process ended.
    Exited,
    /// The budget is over and its process still has not ended.
    BudgetOver,
}

/// Where a child goes by a fact; `None`: the fact changes nothing there.
pub const fn next(phase: ChildPhase, fact: Fact) -> Option<ChildPhase> {
    match (phase, fact) {
        (Reaped, _) => None,
        (_, Fact::Exited | Fact::SpawnFailed | Fact::BudgetOver) => Some(Reaped),
        (Killing, _) => None,

        (Spawning, Fact::Spawned) => Some(Connecting),
        // Its first words may be here before the news of its process.
        (Spawning, Fact::HandshakeDone) => Some(Booting),
        (Connecting, Fact::HandshakeDone) => Some(Booting),
        (Booting, Fact::Ready) => Some(Running),

        // Before it runs there is nothing of the user's in it to end gently. While it is being
        // spawned there is no process to kill yet: the kill waits for `Spawned`.
        (Spawning | Connecting | Booting, Fact::CancelAsked) => Some(Killing),
        (Connecting | Booting, Fact::BootTimeout | Fact::LinkLost) => Some(Killing),
        (Spawning, Fact::BootTimeout) => Some(Killing),

        (Running, Fact::CancelAsked) => Some(Cancelling),
        // A running child without a link ends itself; if not, it is made to.
        (Running, Fact::LinkLost) => Some(Cancelling),
        (Cancelling, Fact::AckTimeout) => Some(Terminating),
        (Cancelling | Terminating, Fact::KillTimeout) => Some(Killing),

        (_, _) => None,
    }
}

/// All values, for tests that walk the table.
pub mod all {
    use super::*;

    /// All phases.
    pub const PHASES: [ChildPhase; 8] =
        [Spawning, Connecting, Booting, Running, Cancelling, Terminating, Killing, Reaped];
    /// All facts.
    pub const FACTS: [Fact; 11] = [
        Fact::Spawned,
        Fact::SpawnFailed,
        Fact::HandshakeDone,
        Fact::Ready,
        Fact::CancelAsked,
        Fact::LinkLost,
        Fact::BootTimeout,
        Fact::AckTimeout,
        Fact::KillTimeout,
        Fact::Exited,
        Fact::BudgetOver,
    ];
}
