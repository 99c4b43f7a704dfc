//! What happened in a run: always as a hash, and on demand as lines and as a chart of messages.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use tractor_core::msg::Msg;
use tractor_core::supervise::ExitStatus;
use tractor_core::{Instant, Output};

use super::kernel::{EndId, HostId};
use super::options::Fault;

/// Something to draw.
#[derive(Clone, Debug)]
pub enum Note {
    /// A message has come.
    Message {
        /// From whom.
        from: HostId,
        /// To whom.
        to: HostId,
        /// What it says, in short.
        text: String,
    },
    /// Something happened to somebody.
    At {
        /// To whom.
        host: HostId,
        /// What.
        text: String,
    },
    /// Something happened to the world.
    World(String),
}

impl Note {
    /// As a line of text.
    pub fn line(&self, names: &[String]) -> String {
        match self {
            Note::Message { from, to, text } => {
                format!("{} -> {} {text}", names[*from], names[*to])
            }
            Note::At { host, text } => format!("{} {text}", names[*host]),
            Note::World(text) => text.clone(),
        }
    }
}

/// What is kept of a run. Who has asked for it holds it, too, so it outlives a run that panics.
#[derive(Default)]
pub struct Kept {
    /// In order.
    pub notes: RefCell<Vec<(Instant, Note)>>,
    /// The processes' names.
    pub names: RefCell<Vec<String>>,
    /// Sees each note when it is made, and may panic.
    pub watch: Cell<Option<fn(&Note)>>,
}

impl Kept {
    fn add(&self, now: Instant, note: Note) {
        let seen = note.clone();
        self.notes.borrow_mut().push((now, note));
        if let Some(watch) = self.watch.get() {
            watch(&seen);
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} notes)", self.notes.borrow().len())
    }
}

/// What happened.
#[derive(Debug, Default)]
pub struct Trace {
    /// Of every byte that was read, and when: two runs with the same hash were the same.
    pub hash: u64,
    /// Where it is kept, when it is.
    pub kept: Option<Rc<Kept>>,
    /// What was read of the frames under way.
    partial: BTreeMap<EndId, Vec<u8>>,
}

impl Trace {
    /// Keeps everything, if there is a place for it.
    pub fn kept(kept: Option<Rc<Kept>>) -> Trace {
        Trace { kept, ..Trace::default() }
    }

    fn mix(&mut self, value: u64) {
        self.hash = (self.hash ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }

    fn note(&mut self, now: Instant, note: impl FnOnce() -> Note) {
        if let Some(kept) = &self.kept {
            kept.add(now, note());
        }
    }

    /// A process is there.
    pub fn born(&mut self, now: Instant, host: HostId, name: &str) {
        self.mix(host as u64);
        if let Some(kept) = &self.kept {
            kept.names.borrow_mut().push(name.to_owned());
        }
        self.note(now, || Note::At { host, text: format!("{name} is made") });
    }

    /// A process is gone.
    pub fn died(&mut self, now: Instant, host: HostId, name: &str, status: ExitStatus) {
        self.mix(now.0 ^ host as u64);
        self.note(now, || Note::At { host, text: format!("{name} ends: {status:?}") });
    }

    /// Something went wrong.
    pub fn fault(&mut self, now: Instant, fault: Fault) {
        self.mix(fault as u64);
        self.note(now, || Note::World(format!("fault: {}", fault.word())));
    }

    /// A task's own doings.
    pub fn task(&mut self, now: Instant, host: HostId, text: impl FnOnce() -> String) {
        self.note(now, || Note::At { host, text: text() });
    }

    /// A core has decided something.
    pub fn output(&mut self, now: Instant, host: HostId, output: &Output) {
        self.mix(now.0 ^ (host as u64) << 48);
        self.note(now, || Note::At { host, text: short(output) });
    }

    /// Bytes were read.
    pub fn bytes(&mut self, now: Instant, between: (HostId, HostId), end: EndId, bytes: &[u8]) {
        self.mix(now.0 ^ (end as u64) << 40);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        if self.kept.is_some() {
            self.frames(now, between, end, bytes);
        }
    }

    fn frames(&mut self, now: Instant, (from, to): (HostId, HostId), end: EndId, bytes: &[u8]) {
        let mut partial = self.partial.remove(&end).unwrap_or_default();
        partial.extend_from_slice(bytes);
        while let Some(prefix) = partial.first_chunk::<4>() {
            let len = 4 + u32::from_le_bytes(*prefix) as usize;
            if partial.len() < len {
                break;
            }
            let frame: Vec<u8> = partial.drain(..len).collect();
            let text = match Msg::decode(bytes::Bytes::from(frame).slice(4..)) {
                Ok(msg) => clipped(&format!("{msg:?}")),
                Err(error) => error.to_string(),
            };
            self.note(now, || Note::Message { from, to, text });
        }
        self.partial.insert(end, partial);
    }
}

fn short(output: &Output) -> String {
    match output {
        Output::Event(event) => clipped(&format!("{event:?}")),
        Output::Effect(effect) => clipped(&format!("{effect:?}")),
        _ => String::new(),
    }
}

fn clipped(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("\\0", "");
    match line.char_indices().nth(160) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
