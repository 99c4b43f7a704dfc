//! Children and nurseries: the spawn race, one-cancels-all, and the escalation ladder.
//!
//! ```text
//!  Spawning ─▶ Connecting ─▶ Booting ─▶ Running ─▶ Cancelling ─▶ Terminating ─▶ Killing ─▶ Reaped
//!      spawned     handshake     ready     cancel      0.5 s no ack     2.1 s        exited
//! ```
//!
//! # Invariants
//! P1  A nursery closes only when every child of it is `Reaped`.                 (protocol §7.5)
//! P2  A child is reported once, after its process ended *and* its link was read to the end, or
//!     the slack between the two is over.                                        (§7.4)
//! P3  A child that nobody asked to end has failed, unless it exited with code 0 and, where it
//!     has the word, said goodbye; without that, one that lingered has failed whatever its code.
//!     One that was asked has failed when it crashed meanwhile: with a code other than 0, or by a
//!     signal that neither we sent nor asks to end.                              (§7.4)
//! P4  The ladder of each child runs by itself: siblings escalate in parallel, within one budget.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use core::fmt;
use core::time::Duration;

use crate::id::{ChildId, ConnId, DialogId, NurseryId, Uid};
use crate::msg::{RemoteError, SpawnSpec, Token};
use crate::output::Signal;

pub mod table;

use table::Fact;

/// Where a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChildPhase {
    /// Its process is being made.
    Spawning,
    /// It must introduce itself.
    Connecting,
    /// It must say that it is ready.
    Booting,
    /// It can be used.
    Running,
    /// It was asked to end.
    Cancelling,
    /// It was sent SIGTERM.
    Terminating,
    /// It was sent SIGKILL, or will be the moment it exists.
    Killing,
    /// Its process is gone.
    Reaped,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It has not ended, or had not when the teardown budget was over.
    Unknown,
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Code(code) => write!(f, "exit code {code}"),
            ExitStatus::Signal(9) => f.write_str("killed by signal 9 (SIGKILL)"),
            ExitStatus::Signal(15) => f.write_str("killed by signal 15 (SIGTERM)"),
            ExitStatus::Signal(signal) => write!(f, "killed by signal {signal}"),
            ExitStatus::Unknown => f.write_str("has not ended"),
        }
    }
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildEnd {
    /// Who it was.
    pub uid: Uid,
    /// Its process, unless there never was one.
    pub pid: Option<u32>,
    /// Where it was when it ended, or before it was asked to.
    pub phase: ChildPhase,
    /// How its process ended; `None` when it could not be made.
    pub status: Option<ExitStatus>,
    /// Whether it was asked to end.
    pub asked: bool,
    /// The strongest signal that it was sent, when asking was not enough.
    pub forced: Option<Signal>,
    /// Whether that counts as a failure of its nursery.
    pub failed: bool,
    /// What its runtime reported, or why it could not be made.
    pub error: Option<Box<RemoteError>>,
}

/// How a child comes to the link to its parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// It is born with it: the driver attaches our end.
    #[default]
    Handed,
    /// It connects back to an address of ours, and shows this token.
    ConnectBack(Token),
    /// A base child: it connects back, and has nothing to show but its uid. Where the transport
    /// tells who connected, that must be the child's process.
    Announced,
}

/// What a child is to be.
#[derive(Clone, Debug)]
pub struct ChildConfig {
    /// Its name.
    pub name: alloc::string::String,
    /// Its death is reported, and nothing else: siblings live on.
    pub isolated: bool,
    /// Its share of time to end, when it needs more than the nursery's.
    pub budget: Option<Duration>,
    /// What it is told first.
    pub spec: SpawnSpec,
    /// How it comes to its link.
    pub link: Link,
}

#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) uid: Uid,
    /// Its link. Until a child has connected back, a connection that nothing is attached to.
    pub(crate) conn: ConnId,
    /// How it comes to its link.
    pub(crate) link: Link,
    /// What it must be told when it connects back; until it did.
    pub(crate) awaited: Option<Box<SpawnSpec>>,
    pub(crate) nursery: NurseryId,
    pub(crate) isolated: bool,
    pub(crate) budget: Duration,
    pub(crate) phase: ChildPhase,
    /// Where it was before it was asked to end, or was found dead.
    pub(crate) lived_until: ChildPhase,
    pub(crate) pid: Option<u32>,
    pub(crate) asked: bool,
    /// The last signal of the ladder that was sent to it.
    pub(crate) forced: Option<Signal>,
    /// The one task it was made for: it ends with it.
    pub(crate) main: Option<DialogId>,
    pub(crate) status: Option<ExitStatus>,
    pub(crate) link_lost: bool,
    pub(crate) said_goodbye: bool,
    /// Its link ended, and for too long after that it did not.
    pub(crate) lingers: bool,
    /// It has no word for goodbye: exit code 0 must do.
    pub(crate) is_base: bool,
    pub(crate) error: Option<Box<RemoteError>>,
}

impl Child {
    pub(crate) fn new(uid: Uid, conn: ConnId, nursery: NurseryId, budget: Duration) -> Child {
        Child {
            uid,
            conn,
            link: Link::Handed,
            awaited: None,
            nursery,
            isolated: false,
            budget,
            phase: ChildPhase::Spawning,
            lived_until: ChildPhase::Spawning,
            pid: None,
            asked: false,
            forced: None,
            main: None,
            status: None,
            link_lost: false,
            said_goodbye: false,
            lingers: false,
            is_base: false,
            error: None,
        }
    }

    /// Looks the row up and takes the step; whether there was one.
    pub(crate) fn step(&mut self, fact: Fact) -> bool {
        #[cfg(feature = "coverage")]
        crate::coverage::child(self.phase, fact);
        let Some(next) = table::next(self.phase, fact) else { return false };
        if self.phase <= ChildPhase::Running {
            self.lived_until = self.phase.max(self.lived_until);
        }
        self.phase = next;
        if next <= ChildPhase::Running {
            self.lived_until = next;
        }
        true
    }

    /// Whether who comes with its uid is this child: by the token it shows, or, where it has none
    /// to show, by the process that the transport names.
    pub(crate) fn is_proven(&self, shown: Option<&Token>, process: Option<u32>) -> bool {
        match (&self.link, shown) {
            (Link::ConnectBack(token), Some(shown)) => token.is(shown),
            (Link::Announced, None) => self.may_be(process),
            _ => false,
        }
    }

    /// Whether this can be its process. True where it is not known, of either.
    pub(crate) fn may_be(&self, process: Option<u32>) -> bool {
        process.is_none() || self.pid.is_none() || process == self.pid
    }

    /// Whether its end can be reported (P2).
    pub(crate) fn is_over(&self) -> bool {
        self.phase == ChildPhase::Reaped && self.link_lost
    }

    pub(crate) fn end(&self) -> ChildEnd {
        let word = self.said_goodbye || self.is_base;
        let graceful = word && self.status == Some(ExitStatus::Code(0));
        ChildEnd {
            uid: self.uid.clone(),
            pid: self.pid,
            phase: self.lived_until,
            status: self.status.or(self.pid.map(|_| ExitStatus::Unknown)),
            asked: self.asked,
            forced: self.forced,
            failed: if self.asked {
                self.crashed()
            } else {
                !graceful || (self.lingers && !self.said_goodbye)
            },
            error: self.error.clone(),
        }
    }
}

/// The numbers that these have everywhere.
const SIGKILL: i32 = 9;
/// SIGHUP, SIGINT and SIGTERM ask a process to end, whoever sends them: a service manager sends one
/// to all processes of a tree at once.
const ASKING: [i32; 3] = [1, 2, 15];

impl Child {
    /// Whether it ended badly and that was nobody's wish (P3). What exit code a base child has when
    /// it is asked to end is its own business; and who lingers after the goodbye kills itself.
    fn crashed(&self) -> bool {
        let bad = match self.status {
            Some(ExitStatus::Signal(signal)) => {
                let by_itself = self.said_goodbye && signal == SIGKILL;
                !by_itself && !ASKING.contains(&signal)
            }
            Some(ExitStatus::Code(code)) => code != 0 && !self.is_base,
            Some(ExitStatus::Unknown) | None => false,
        };
        bad && self.forced.is_none()
    }
}

/// Where a nursery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NurseryPhase {
    /// Takes children; its body runs.
    Open,
    /// Its body is done; it waits for its children.
    Joining,
    /// Its children are being ended.
    Cancelling,
}

#[derive(Debug)]
pub(crate) struct Nursery {
    pub(crate) phase: NurseryPhase,
    /// Whether the owner said that the body is done.
    pub(crate) body_done: bool,
    pub(crate) budget: Duration,
    pub(crate) children: BTreeSet<ChildId>,
}

impl Nursery {
    pub(crate) fn new(budget: Duration) -> Nursery {
        Nursery { phase: NurseryPhase::Open, body_done: false, budget, children: BTreeSet::new() }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.body_done && self.children.is_empty()
    }
}
