//! Walks every cell of the three tables, prints them to `docs/tables/*.txt`, and checks what no
//! single row shows: that the end is the end, that every phase can be reached, and that what one
//! side may send the other may receive.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use tractor_core::channel::table as channel;
use tractor_core::dialog::flow::Flow;
use tractor_core::dialog::table::{self as dialog, Act, Cell, Kind, Phase, Side};
use tractor_core::msg::FuncType;
use tractor_core::supervise::{ChildPhase, table as child};
use tractor_harness::script::rewrite;

const FLOWS: [Flow; 3] = [Flow::Unopened, Flow::Open, Flow::Stopped];

/// Compares with the file in `docs/tables`, or writes it.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tables").join(name);
    if rewrite() {
        std::fs::create_dir_all(path.parent().expect("a file")).expect("a directory");
        std::fs::write(&path, text).expect("written");
    }
    let was = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = was.lines().zip(text.lines()).find(|(was, is)| was != is);
    assert!(was == text, "{name} differs: {differs:?}; REWRITE=1 accepts what is new");
}

fn cell(cell: Cell, from: Phase) -> String {
    match cell {
        Cell::Next(to) if to == from => "take".into(),
        Cell::Next(to) => format!("-> {}", to.as_str()),
        Cell::Ignore => "ignore".into(),
        Cell::DialogViolation => "VIOLATION".into(),
    }
}

/// All that is received or asked, by side, kind of function and phase.
fn dialog_rows() -> impl Iterator<Item = (Side, FuncType, Phase)> {
    let sides = dialog::all::SIDES.into_iter();
    sides.flat_map(|side| {
        dialog::all::FUNCS.into_iter().flat_map(move |func| {
            dialog::all::PHASES.into_iter().map(move |phase| (side, func, phase))
        })
    })
}

/// Whether a side of this type can be in this phase at all.
fn exists(func: FuncType, phase: Phase) -> bool {
    phase != Phase::AwaitStarted || func == FuncType::Context
}

#[test]
fn dialog_table() {
    let mut out = String::from("What a side of a dialog does with a message.\n");
    for (side, func, phase) in dialog_rows().filter(|(_, func, phase)| exists(*func, *phase)) {
        writeln!(out, "\n{side:?} of a {} in {}", func.as_str(), phase.as_str()).unwrap();
        for kind in dialog::all::KINDS {
            let cells = FLOWS.map(|rx| dialog::recv_with(side, func, phase, kind, rx));
            let [unopened, open, stopped] = cells.map(|c| cell(c, phase));
            let line = match unopened == stopped && unopened == open {
                true => unopened,
                false => format!("{open}; after a Stop: {stopped}"),
            };
            writeln!(out, "  {:9} {line}", kind.as_str()).unwrap();
            assert_eq!(cells[0], cells[1], "an unopened stream takes what an open one takes");
        }
    }
    golden("dialog-receive.txt", &out);
}

#[test]
fn dialog_acts() {
    let mut out = String::from("What the application of a side may ask for.\n");
    for (side, func, phase) in dialog_rows().filter(|(_, func, phase)| exists(*func, *phase)) {
        writeln!(out, "\n{side:?} of a {} in {}", func.as_str(), phase.as_str()).unwrap();
        for act in dialog::all::ACTS {
            let to = match dialog::act(side, func, phase, act) {
                Some(to) if to == phase => "may".into(),
                Some(to) => format!("-> {}", to.as_str()),
                None => "misuse".into(),
            };
            writeln!(out, "  {:9} {to}", format!("{act:?}")).unwrap();
        }
    }
    golden("dialog-act.txt", &out);
}

#[test]
fn the_end_of_a_dialog_is_the_end() {
    for (side, func, _) in dialog_rows() {
        for kind in dialog::all::KINDS {
            for rx in FLOWS {
                let cell = dialog::recv_with(side, func, Phase::Done, kind, rx);
                assert_eq!(cell, Cell::Ignore, "D1: {side:?} {func:?} {kind:?}");
            }
        }
        for act in dialog::all::ACTS {
            assert_eq!(dialog::act(side, func, Phase::Done, act), None, "D1: {side:?} {act:?}");
        }
    }
}

#[test]
fn every_phase_of_a_dialog_is_reached() {
    for side in dialog::all::SIDES {
        for func in dialog::all::FUNCS {
            let mut reached = vec![Phase::AwaitAck];
            let mut at = 0;
            while let Some(&phase) = reached.get(at) {
                at += 1;
                let by_msg = dialog::all::KINDS.into_iter().filter_map(|kind| {
                    match dialog::recv(side, func, phase, kind) {
                        Cell::Next(to) => Some(to),
                        _ => None,
                    }
                });
                let by_act = dialog::all::ACTS
                    .into_iter()
                    .filter_map(|act| dialog::act(side, func, phase, act));
                for to in by_msg.chain(by_act) {
                    if !reached.contains(&to) {
                        reached.push(to);
                    }
                }
            }
            for phase in dialog::all::PHASES {
                assert_eq!(
                    reached.contains(&phase),
                    exists(func, phase),
                    "{side:?} {func:?} {phase:?}"
                );
            }
        }
    }
}

/// The message that an act sends.
fn sends(func: FuncType, act: Act) -> Kind {
    match (act, func) {
        (Act::Accept, _) => Kind::StartAck,
        (Act::Start, _) => Kind::Started,
        (Act::Open, _) => Kind::Credit,
        (Act::Send, _) => Kind::Yield,
        (Act::Stop, _) | (Act::Finish, FuncType::Stream) => Kind::Stop,
        (Act::Finish, _) => Kind::Return,
        (Act::Fail, _) => Kind::Error,
    }
}

/// Where the other side can be when a message sent in `phase` arrives there. Messages keep their
/// order, but for credit, which may pass those before it; and the other side may be done.
fn other_side(side: Side, func: FuncType, phase: Phase, kind: Kind) -> Vec<Phase> {
    let at = |p: Phase| dialog::all::PHASES.iter().position(|q| *q == p).expect("listed");
    let may = |p: &Phase| match (side, kind) {
        (_, _) if *p == Phase::Done => true,
        // The caller is behind the callee by what is under way, and credit passes that.
        (Side::Callee, Kind::Credit) => at(*p) <= at(phase),
        (Side::Callee, _) => *p == phase,
        // The callee is ahead of the caller by what is under way.
        (Side::Caller, _) => at(*p) >= at(phase),
    };
    dialog::all::PHASES.into_iter().filter(|p| exists(func, *p) && may(p)).collect()
}

#[test]
fn what_one_side_may_send_the_other_may_receive() {
    for (side, func, phase) in dialog_rows().filter(|(_, func, phase)| exists(*func, *phase)) {
        for act in dialog::all::ACTS {
            if dialog::act(side, func, phase, act).is_none() {
                continue;
            }
            // A generator's stream is open from the start: opening it again is refused by its flow.
            if side == Side::Callee && func == FuncType::Stream && act == Act::Open {
                continue;
            }
            let kind = sends(func, act);
            let other = if side == Side::Caller { Side::Callee } else { Side::Caller };
            for at in other_side(side, func, phase, kind) {
                let cell = dialog::recv(other, func, at, kind);
                let what = format!("{side:?} {func:?} {phase:?} {act:?}: {kind:?} at {at:?}");
                assert_ne!(cell, Cell::DialogViolation, "{what}");
            }
        }
    }
}

#[test]
fn channel_table() {
    let mut out = String::from("What a connection does with a message.\n");
    for role in channel::all::ROLES {
        for phase in channel::all::PHASES {
            writeln!(out, "\n{role:?} in {phase:?}").unwrap();
            for class in channel::all::CLASSES {
                let to = match channel::recv(role, phase, class) {
                    channel::Cell::Next(to) if to == phase => "take".into(),
                    channel::Cell::Next(to) => format!("-> {to:?}"),
                    channel::Cell::Ignore => "ignore".into(),
                    channel::Cell::ChannelViolation => "VIOLATION".into(),
                };
                writeln!(out, "  {:9} {to}", format!("{class:?}")).unwrap();
            }
        }
    }
    golden("channel.txt", &out);
}

#[test]
fn a_connection_never_opens_again() {
    use tractor_core::channel::Phase::{AwaitAid, AwaitSpec, Closed, Closing, Open};
    for role in channel::all::ROLES {
        for class in channel::all::CLASSES {
            for phase in [Closing, Closed] {
                assert_eq!(channel::recv(role, phase, class), channel::Cell::Ignore, "H3");
            }
            if class != channel::Class::Aid {
                let first = channel::recv(role, AwaitAid, class);
                assert_eq!(first, channel::Cell::ChannelViolation, "H1");
            }
            for phase in [AwaitSpec, Open] {
                let to = channel::recv(role, phase, class);
                assert_ne!(to, channel::Cell::Next(AwaitAid), "H1: only one handshake");
                // The end of a connection has its own way, which tells who waits.
                assert_ne!(to, channel::Cell::Next(Closing), "no message closes in passing");
            }
        }
    }
}

#[test]
fn child_table() {
    let mut out = String::from("Where a child goes by a fact; `-` changes nothing.\n");
    for phase in child::all::PHASES {
        writeln!(out, "\n{phase}").unwrap();
        for fact in child::all::FACTS {
            let to = child::next(phase, fact).map_or("-".into(), |to| to.to_string());
            writeln!(out, "  {:14} {to}", format!("{fact:?}")).unwrap();
        }
    }
    golden("child.txt", &out);
}

#[test]
fn a_child_only_moves_towards_its_end() {
    let mut reached = BTreeSet::from([ChildPhase::Spawning]);
    for phase in child::all::PHASES {
        for fact in child::all::FACTS {
            let Some(to) = child::next(phase, fact) else { continue };
            assert!(to > phase, "P4: {phase} {fact:?} {to}");
            if reached.contains(&phase) {
                reached.insert(to);
            }
        }
        let ends = child::next(phase, child::Fact::Exited);
        let is_reaped = phase == ChildPhase::Reaped;
        assert_eq!(ends, (!is_reaped).then_some(ChildPhase::Reaped), "P1: an exit is the end");
    }
    assert_eq!(reached.len(), child::all::PHASES.len(), "every phase is reached");
}
