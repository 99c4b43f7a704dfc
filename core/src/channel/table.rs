//! The connection's transition table, nothing else.

use super::Phase::{self, AwaitAid, AwaitSpec, Closed, Closing, Open};
use super::Role;

/// The messages as the connection tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `Aid`.
    Aid,
    /// `SpawnSpec`.
    Spec,
    /// `Ready`.
    Ready,
    /// `Goodbye`.
    Goodbye,
    /// Anything about a dialog.
    Dialog,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Take it, and go there.
    Next(Phase),
    /// Drop it.
    Ignore,
    /// It breaks a rule: the connection ends.
    ChannelViolation,
}

use Cell::{ChannelViolation as No, Ignore as Skip, Next};

/// What a connection of this role does with a message.
pub const fn recv(role: Role, phase: Phase, class: Class) -> Cell {
    match (phase, class, role) {
        (AwaitAid, Class::Aid, Role::ToParent) => Next(AwaitSpec),
        (AwaitAid, Class::Aid, _) => Next(Open),
        (AwaitAid, _, _) => No,

        (AwaitSpec, Class::Spec, _) => Next(Open),
        // A parent may cancel a child that it has not told anything yet, or give up on it: the end
        // of the stream follows, and is what ends the connection.
        (AwaitSpec, Class::Dialog | Class::Goodbye, _) => Next(AwaitSpec),
        (AwaitSpec, _, _) => No,

        (Open, Class::Ready, Role::ToChild) => Next(Open),
        (Open, Class::Dialog, _) => Next(Open),
        // The peer will send nothing more; what we have for it may still go out.
        (Open, Class::Goodbye, _) => Next(Open),
        (Open, Class::Aid | Class::Spec | Class::Ready, _) => No,

        (Closing | Closed, _, _) => Skip,
    }
}

/// All values, for tests that walk the table.
pub mod all {
    use super::*;

    /// All roles.
    pub const ROLES: [Role; 4] = [Role::ToParent, Role::ToChild, Role::Accepted, Role::Connected];
    /// All phases.
    pub const PHASES: [Phase; 5] = [AwaitAid, AwaitSpec, Open, Closing, Closed];
    /// All classes.
    pub const CLASSES: [Class; 5] =
        [Class::Aid, Class::Spec, Class::Ready, Class::Goodbye, Class::Dialog];
}
