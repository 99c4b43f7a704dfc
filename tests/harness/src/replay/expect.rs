//! What our cores must write: what the reference wrote, but for the differences that are on
//! purpose.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use tractor_core::msg::{Msg, RemoteError, codec};
use tractor_core::{Address, Cid};

use super::plan::Plan;
use crate::recording::Recorded;
use crate::show;

/// A place where our core does otherwise than the reference, on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// The recording.
    pub dialog: &'static str,
    /// The reference's frames that it is about.
    pub seqs: &'static [u64],
    /// What is different there.
    pub what: Differs,
    /// Why that is right.
    pub why: &'static str,
    /// Where it is written: a section of `docs/protocol.md`.
    pub section: &'static str,
}

/// What is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differs {
    /// We don't send it.
    NotSent,
    /// We send this in its place.
    Instead(&'static str),
    /// We send it, and this behind it.
    Behind(&'static str),
    /// The task fails with an error of this type where the reference's task sent the frame.
    FailsInstead(&'static str),
    /// The task fails with an error of this type where the reference's sent nothing more.
    FailsBehind(&'static str),
    /// An error that is sent on still says where it happened.
    KeepsSource,
    /// We send it, and this behind it, because the reference breaks a rule here. Where both sides
    /// are ours nobody does.
    Protests(&'static str),
    /// Where both sides are ours we don't send it: the other has ended the dialog by then.
    CutShort,
    /// The actor has ended by then and opens no connection: one of the same name does.
    AfterItsEnd,
}

/// The names that our cores drew for dialogs and children, and the recorded ones. All have 36
/// characters, so that one can stand in the other's place.
#[derive(Debug, Default)]
pub(super) struct Names {
    ours: HashMap<[u8; 36], [u8; 36]>,
    theirs: HashMap<[u8; 36], [u8; 36]>,
}

impl Names {
    /// The recorded name `theirs` is `ours` here.
    pub(super) fn bind(&mut self, theirs: &str, ours: &str) -> Result<(), String> {
        let key = |name: &str| <[u8; 36]>::try_from(name.as_bytes()).map_err(|e| e.to_string());
        let (theirs, ours) = (key(theirs)?, key(ours)?);
        self.ours.insert(theirs, ours);
        self.theirs.insert(ours, theirs);
        Ok(())
    }

    /// Recorded bytes as they would have been with our names in them.
    pub(super) fn to_ours(&self, bytes: &[u8]) -> Vec<u8> {
        replaced(bytes, &self.ours)
    }

    /// Our bytes with the recorded names in them.
    pub(super) fn to_theirs(&self, bytes: &[u8]) -> Vec<u8> {
        replaced(bytes, &self.theirs)
    }
}

fn replaced(bytes: &[u8], names: &HashMap<[u8; 36], [u8; 36]>) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at + 36 <= bytes.len() {
        let window: &[u8; 36] = bytes[at..].first_chunk().expect("36 are left");
        let is_uuid = window[8] == b'-' && window[13] == b'-';
        match names.get(window).filter(|_| is_uuid) {
            Some(name) => {
                out[at..at + 36].copy_from_slice(name);
                at += 36;
            }
            None => at += 1,
        }
    }
    out
}

/// One frame that must come.
#[derive(Clone, Debug)]
enum Want<'a> {
    /// As it was recorded; the source of an error may be another if `source` says so.
    Frame { frame: &'a Recorded, keeps_source: bool },
    /// As this line says, where the recording has another or none.
    Line { place: &'a str, line: String },
}

/// Which of the two ends of a dialog are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sides {
    /// One; the other is the recording.
    One,
    /// Both.
    Both,
}

/// The frames that one actor must write, by connection.
#[derive(Debug)]
pub(super) struct Wants<'a> {
    queues: BTreeMap<&'a str, VecDeque<Want<'a>>>,
    /// Its `Aid`s on connections that it opens after its end.
    pub(super) after_its_end: BTreeSet<u64>,
}

impl<'a> Wants<'a> {
    /// What this actor must write.
    pub(super) fn new(
        plan: &Plan<'a>,
        me: usize,
        sides: Sides,
        differences: &[Difference],
    ) -> Wants<'a> {
        let mut wants = Wants { queues: BTreeMap::new(), after_its_end: BTreeSet::new() };
        let unasked = unasked(plan, differences);
        for frame in plan.said_by(me) {
            let what = difference(differences, frame.seq).map(|d| d.what);
            // What was not asked for is not answered either.
            let moot = sides == Sides::Both && frame.cid().is_some_and(|c| unasked.contains(c));
            if !moot {
                wants.add(plan, frame, what);
            }
        }
        wants
    }

    fn add(&mut self, plan: &Plan<'a>, frame: &'a Recorded, what: Option<Differs>) {
        let line = |line: &str| Want::Line { place: &frame.place, line: line.into() };
        let fails = |kind: &str| {
            let line = format!("Error {} {kind} via {}", plan.label(frame.cid()), frame.from);
            Want::Line { place: &frame.place, line }
        };
        let queue = self.queues.entry(&frame.conn).or_default();
        let as_recorded = |keeps_source| Want::Frame { frame, keeps_source };
        match what {
            Some(Differs::NotSent | Differs::CutShort) => {}
            Some(Differs::Instead(text)) => queue.push_back(line(text)),
            Some(Differs::FailsInstead(kind)) => queue.push_back(fails(kind)),
            Some(Differs::Behind(text) | Differs::Protests(text)) => {
                queue.extend([as_recorded(false), line(text)])
            }
            Some(Differs::FailsBehind(kind)) => queue.extend([as_recorded(false), fails(kind)]),
            Some(Differs::KeepsSource) => queue.push_back(as_recorded(true)),
            Some(Differs::AfterItsEnd) => {
                self.after_its_end.insert(frame.seq);
                queue.push_back(as_recorded(false));
            }
            None => queue.push_back(as_recorded(false)),
        }
    }

    /// A frame that our core wrote: it must be the next one. Learns the names of dialogs by it.
    ///
    /// # Errors
    /// How it differs.
    pub(super) fn check(
        &mut self,
        plan: &Plan<'a>,
        names: &mut Names,
        conn: &str,
        frame: &[u8],
    ) -> Result<(), String> {
        let msg = decode(frame)?;
        let next = self.queues.get_mut(conn).and_then(VecDeque::pop_front);
        match next {
            Some(Want::Frame { frame: want, keeps_source }) => {
                if let (Msg::Start(_) | Msg::Request { .. }, Some(theirs), Some(ours)) =
                    (&msg, want.cid(), msg.cid())
                    && want.tag() == "Start"
                {
                    names.bind(theirs, &ours.to_string())?;
                }
                compare(want, &names.to_theirs(frame), keeps_source)?;
                self.in_order(want)
            }
            Some(Want::Line { place, line }) => {
                let is = shown(plan, &decode(&names.to_theirs(frame))?);
                match is == line {
                    true => Ok(()),
                    false => Err(format!("{place}: instead of `{line}` we sent `{is}`")),
                }
            }
            None => {
                let is = shown(plan, &decode(&names.to_theirs(frame))?);
                Err(format!("{}: nothing more was to be sent on {conn}, but {is}", place(plan)))
            }
        }
    }

    /// Connections have no order among them, but for this: an acknowledgement comes when the
    /// tasks that it is about have said their last word, wherever that goes.
    fn in_order(&self, ack: &Recorded) -> Result<(), String> {
        let waits = |want: &&Want<'_>| {
            matches!(want, Want::Frame { frame, .. }
                if frame.seq < ack.seq && frame.tag() == "Error")
        };
        match self.queues.values().flatten().find(waits) {
            Some(_) if ack.tag() == "CancelAck" => {
                Err(format!("{}: acknowledged before all tasks have ended", ack.place))
            }
            _ => Ok(()),
        }
    }

    /// Nothing may be missing.
    ///
    /// # Errors
    /// The first frame that did not come.
    pub(super) fn finish(&self) -> Result<(), String> {
        let missing = self.queues.values().find_map(VecDeque::front);
        match missing {
            None => Ok(()),
            Some(Want::Frame { frame, .. }) => {
                Err(format!("{}: the {} did not come", frame.place, frame.tag()))
            }
            Some(Want::Line { place, line }) => Err(format!("{place}: `{line}` did not come")),
        }
    }
}

fn place<'a>(plan: &Plan<'a>) -> &'a str {
    &plan.recording.name
}

/// The dialogs that ours don't begin.
fn unasked<'a>(plan: &Plan<'a>, differences: &[Difference]) -> BTreeSet<&'a str> {
    let not_sent = differences.iter().filter(|d| d.what == Differs::NotSent);
    let frames = not_sent.flat_map(|d| d.seqs).filter_map(|seq| plan.frame(*seq));
    frames.filter(|frame| frame.tag() == "Start").filter_map(|frame| frame.cid()).collect()
}

/// The differences that are to be seen with so many sides of ours.
pub(super) fn seen(differences: &[Difference], sides: Sides) -> Vec<Difference> {
    let not_seen = |what| match sides {
        Sides::One => what == Differs::CutShort,
        Sides::Both => matches!(what, Differs::Protests(_)),
    };
    differences.iter().filter(|difference| !not_seen(difference.what)).copied().collect()
}

/// The difference that is about this frame.
pub(super) fn difference(differences: &[Difference], seq: u64) -> Option<&Difference> {
    differences.iter().find(|difference| difference.seqs.contains(&seq))
}

/// A frame's message.
///
/// # Errors
/// It is none.
pub(super) fn decode(frame: &[u8]) -> Result<Msg, String> {
    Msg::decode(Bytes::copy_from_slice(&frame[4..])).map_err(|e| e.to_string())
}

/// Byte for byte the same, but for an error's own texts.
fn compare(want: &Recorded, is: &[u8], keeps_source: bool) -> Result<(), String> {
    if is == want.frame && !keeps_source {
        return Ok(());
    }
    let (theirs, ours) = (decode(&want.frame)?, decode(is)?);
    if let (Msg::Error { cid, error: theirs }, Msg::Error { cid: our_cid, error: ours }) =
        (&theirs, &ours)
    {
        let from = |error: &RemoteError| (error.src.clone(), error.src_type.clone());
        let moved = from(theirs) != from(ours);
        let mut theirs = without_texts(theirs);
        if keeps_source {
            (theirs.src, theirs.src_type) = from(ours);
        }
        if theirs == without_texts(ours) && cid == our_cid && moved == keeps_source {
            return Ok(());
        }
    }
    Err(format!("{}: instead of\n  {theirs:?}\nwe sent\n  {ours:?}", want.place))
}

fn without_texts(error: &RemoteError) -> RemoteError {
    RemoteError { message: None, traceback: Default::default(), ..error.clone() }
}

/// A message that the recording does not have.
fn shown(plan: &Plan<'_>, msg: &Msg) -> String {
    let cid = msg.cid().map(Cid::to_string);
    let label = plan.label(cid.as_deref());
    match msg {
        Msg::Error { error, .. } => format!("Error {label} {}", show::error(error)),
        Msg::Start(_) | Msg::Request { .. } => format!("Start {label}"),
        Msg::StartAck { .. } => format!("StartAck {label}"),
        Msg::Started { .. } => format!("Started {label}"),
        Msg::Yield { .. } => format!("Yield {label}"),
        Msg::Stop { .. } => format!("Stop {label}"),
        Msg::Return { pld, .. } => match codec::decode_addrs(pld) {
            Ok(addrs) if !addrs.is_empty() => {
                let addrs: Vec<String> = addrs.iter().map(Address::to_string).collect();
                format!("Return {label} {}", addrs.join(" "))
            }
            _ => format!("Return {label} {}", show::payload(pld)),
        },
        Msg::CancelAck { .. } => format!("CancelAck {label}"),
        msg => format!("{msg:?}"),
    }
}
