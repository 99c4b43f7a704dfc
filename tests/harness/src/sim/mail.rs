//! What an actor's core has told its tasks, until they take it.

use std::collections::{BTreeMap, VecDeque};

use tractor_core::msg::codec;
use tractor_core::supervise::ChildEnd;
use tractor_core::{
    ChildId, ConnId, DialogEvent, DialogId, Event, NurseryEvent, NurseryId, Outcome,
};

/// What one side of a dialog was told.
#[derive(Debug, Default)]
pub struct DialogMail {
    /// The task exists.
    pub accepted: bool,
    /// The context is set up.
    pub started: bool,
    /// Its sender waits when it does not read.
    pub brakes: bool,
    /// Something goes over its stream just now.
    pub flows: bool,
    /// Numbers and lengths of the items that are here to be read.
    pub items: VecDeque<(u32, usize)>,
    /// No more come.
    pub stopped: bool,
    /// A send may be tried again.
    pub writable: bool,
    /// It is the side of who does the work.
    pub callee: bool,
    /// The task is to end (at the callee).
    pub cancelled: bool,
    /// How it ended.
    pub done: Option<Outcome>,
}

/// What the owner of a nursery was told.
#[derive(Debug, Default)]
pub struct NurseryMail {
    /// Children that can be used.
    pub ready: Vec<ChildId>,
    /// Children that are gone, and how.
    pub ended: BTreeMap<ChildId, ChildEnd>,
    /// The body is to end.
    pub cancelled: bool,
    /// Nothing is left of it.
    pub closed: bool,
}

/// What an actor's tasks were told.
#[derive(Debug, Default)]
pub struct Mail {
    /// By dialog.
    pub dialogs: BTreeMap<DialogId, DialogMail>,
    /// By nursery.
    pub nurseries: BTreeMap<NurseryId, NurseryMail>,
    /// Connections that stand (`true`), or are gone.
    pub conns: BTreeMap<ConnId, bool>,
    /// Tasks that are to be run: their dialogs and functions.
    pub starts: Vec<(DialogId, String)>,
    /// A child has its instructions.
    pub has_spec: bool,
    /// A child has said that it can be used.
    pub booted: bool,
    /// The actor is to end.
    pub closing: bool,
    /// It has.
    pub ended: bool,
}

impl Mail {
    /// A task is to be run.
    pub fn start(&mut self, dialog: DialogId, func: &str) {
        self.starts.push((dialog, func.into()));
        self.dialogs.entry(dialog).or_default().callee = true;
    }

    /// A task is to end.
    pub fn cancel(&mut self, dialog: DialogId) {
        self.dialogs.entry(dialog).or_default().cancelled = true;
    }

    /// Where in its life an actor is, for counting kills.
    pub fn stage(&self) -> &'static str {
        match self {
            mail if mail.ended => "killed: ended",
            mail if mail.closing => "killed: while it ends",
            mail if mail.dialogs.values().any(|dialog| dialog.flows) => "killed: in a stream",
            mail if mail.booted => "killed: at work",
            mail if mail.has_spec => "killed: before it is ready",
            mail if mail.conns.is_empty() => "killed: before the handshake",
            _ => "killed: before its instructions",
        }
    }

    /// Keeps an event.
    pub fn put(&mut self, event: Event) {
        match event {
            Event::Dialog(id, event) => self.dialogs.entry(id).or_default().put(event),
            Event::Nursery(id, event) => self.nurseries.entry(id).or_default().put(event),
            Event::Opened { conn, .. } => drop(self.conns.insert(conn, true)),
            Event::Closed { conn, .. } => drop(self.conns.insert(conn, false)),
            Event::Spec(_) => self.has_spec = true,
            Event::Closing { .. } => self.closing = true,
            Event::Ended { .. } => self.ended = true,
            _ => {}
        }
    }
}

impl DialogMail {
    fn put(&mut self, event: DialogEvent) {
        match event {
            DialogEvent::Accepted => self.accepted = true,
            DialogEvent::Started(_) => self.started = true,
            DialogEvent::Dropped(count) => drop(self.items.drain(..count as usize)),
            DialogEvent::Items(batch) => {
                for chunk in batch.chunks {
                    match chunk.count {
                        1 => self.items.push_back(numbered(&chunk.plds)),
                        _ => self.items.extend(codec::items(&chunk.plds).map(|i| numbered(&i))),
                    }
                }
            }
            DialogEvent::Stopped => self.stopped = true,
            DialogEvent::Writable => self.writable = true,
            DialogEvent::Done(outcome) => self.done = Some(*outcome),
            _ => {}
        }
    }
}

impl NurseryMail {
    fn put(&mut self, event: NurseryEvent) {
        match event {
            NurseryEvent::Ready { child } => self.ready.push(child),
            NurseryEvent::Ended { child, end } => drop(self.ended.insert(child, end)),
            NurseryEvent::CancelBody => self.cancelled = true,
            NurseryEvent::Closed => self.closed = true,
            _ => {}
        }
    }
}

/// An item's content: its number and padding.
pub fn item(number: u32, len: usize) -> Vec<u8> {
    let mut out = vec![0xc6];
    out.extend_from_slice(&(4 + len as u32).to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out.resize(9 + len, 0);
    out
}

fn numbered(item: &[u8]) -> (u32, usize) {
    let number = item.get(5..9).and_then(|bytes| bytes.try_into().ok());
    (number.map_or(u32::MAX, u32::from_be_bytes), item.len())
}
