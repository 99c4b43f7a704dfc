//! How often each row of the tables was looked up, in all actors of the process: for tests, which
//! must know that they have reached what they believe to test. Only with the feature `coverage`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::channel::Role;
use crate::channel::table as channels;
use crate::dialog::table as dialogs;
use crate::msg::FuncType;
use crate::supervise::ChildPhase;
use crate::supervise::table as children;

/// One table's counts.
struct Counts<const ROWS: usize>([AtomicU32; ROWS]);

impl<const ROWS: usize> Counts<ROWS> {
    const fn new() -> Self {
        Counts([const { AtomicU32::new(0) }; ROWS])
    }

    fn hit(&self, row: usize) {
        self.0[row].fetch_add(1, Ordering::Relaxed);
    }

    fn at(&self, row: usize) -> u32 {
        self.0[row].load(Ordering::Relaxed)
    }
}

static RECV: Counts<168> = Counts::new();
static ACT: Counts<168> = Counts::new();
static CHANNEL: Counts<100> = Counts::new();
static CHILD: Counts<88> = Counts::new();

const fn dialog_row(
    side: dialogs::Side,
    func: FuncType,
    phase: dialogs::Phase,
    last: usize,
) -> usize {
    ((side as usize * 3 + func as usize) * 4 + phase as usize) * 7 + last
}

pub(crate) fn dialog_recv(
    side: dialogs::Side,
    func: FuncType,
    phase: dialogs::Phase,
    kind: dialogs::Kind,
) {
    RECV.hit(dialog_row(side, func, phase, kind as usize));
}

pub(crate) fn dialog_act(
    side: dialogs::Side,
    func: FuncType,
    phase: dialogs::Phase,
    act: dialogs::Act,
) {
    ACT.hit(dialog_row(side, func, phase, act as usize));
}

pub(crate) fn channel(role: Role, phase: crate::channel::Phase, class: channels::Class) {
    CHANNEL.hit((role as usize * 5 + phase as usize) * 5 + class as usize);
}

pub(crate) fn child(phase: ChildPhase, fact: children::Fact) {
    CHILD.hit(phase as usize * 11 + fact as usize);
}

/// A row of a table.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Row {
    /// What it is called.
    pub name: String,
    /// How often it was looked up since the process began.
    pub count: u32,
    /// Whether it is a step, and no violation, misuse, or nothing.
    pub is_step: bool,
}

/// Every row of every table.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |name, count, is_step| rows.push(Row { name, count, is_step });
    for side in dialogs::all::SIDES {
        for func in dialogs::all::FUNCS {
            for phase in dialogs::all::PHASES {
                let name = format!("{side:?} {func:?} {}", phase.as_str());
                for kind in dialogs::all::KINDS {
                    let count = RECV.at(dialog_row(side, func, phase, kind as usize));
                    let is_step =
                        matches!(dialogs::recv(side, func, phase, kind), dialogs::Cell::Next(_));
                    row(format!("dialog: {name} receives {kind:?}"), count, is_step);
                }
                for act in dialogs::all::ACTS {
                    let count = ACT.at(dialog_row(side, func, phase, act as usize));
                    let is_step = dialogs::act(side, func, phase, act).is_some();
                    row(format!("dialog: {name} does {act:?}"), count, is_step);
                }
            }
        }
    }
    for role in channels::all::ROLES {
        for phase in channels::all::PHASES {
            for class in channels::all::CLASSES {
                let at = (role as usize * 5 + phase as usize) * 5 + class as usize;
                let name = format!("channel: {role:?} {phase:?} receives {class:?}");
                let cell = channels::recv(role, phase, class);
                row(name, CHANNEL.at(at), matches!(cell, channels::Cell::Next(_)));
            }
        }
    }
    for phase in children::all::PHASES {
        for fact in children::all::FACTS {
            let name = format!("child: {phase:?} hears {fact:?}");
            let is_step = children::next(phase, fact).is_some();
            row(name, CHILD.at(phase as usize * 11 + fact as usize), is_step);
        }
    }
    rows
}
