//! One connection: who the peer is, what may pass, and the only place where messages are encoded.
//!
//! ```text
//!   AwaitAid ──Aid──▶ Open ──violation, close──▶ Closing ──▶ Closed
//!      └───Aid──▶ AwaitSpec ──SpawnSpec──▶ Open        (the link to our parent)
//! ```
//!
//! # Invariants
//! H1  Nothing but `Aid` is taken before the peer is known.                       (protocol §4.1)
//! H2  A connection is closed only between frames of ours: its outbox is written first. (§1.4)
//! H3  After `Closing` nothing is taken and nothing is queued.                    (§4.5)

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::config::Config;
use crate::error::Violation;
use crate::id::{ChildId, Cid, DialogId, Uid};
use crate::msg::{Aid, Features, Msg};
use crate::outbox::{Outbox, Payload};
use crate::time::Instant;
use crate::wire::frame::Deframer;

pub mod table;

use table::{Cell, Class};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The link to our parent.
    ToParent,
    /// The link to a child of ours.
    ToChild,
    /// A peer connected to us.
    Accepted,
    /// We connected to a peer.
    Connected,
}

impl Role {
    /// Whether this side counts as the one that connected: it names its dialogs with odd numbers.
    const fn is_opener(self) -> bool {
        matches!(self, Role::ToParent | Role::Connected)
    }
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for the peer's `Aid`.
    AwaitAid,
    /// A child waits for its instructions.
    AwaitSpec,
    /// Dialogs may run.
    Open,
    /// Our outbox is being written out.
    Closing,
    /// Gone.
    Closed,
}

/// What a message is about, once the connection let it in.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "as `Msg`: it lives for one walk down the hall")]
pub(crate) enum Admitted {
    /// The peer introduced itself.
    Peer,
    /// The message is for somebody inside.
    Inside(Msg),
    /// Dropped.
    Nothing,
}

/// What a request of ours was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To cancel the far task of this dialog.
    Task(DialogId),
    /// To cancel the peer as a whole.
    Actor,
    /// Nothing: its answer tells senders that they may go on.
    Pace,
}

/// The question to a base peer whether it has handed our items over: one at a time, and always of
/// the same name, as the reference remembers each name that it ever heard.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The name of the question, and that of nothing, which it is about.
    names: Option<(Cid, Cid)>,
    /// Whose items went before the open question.
    asking: Vec<DialogId>,
    /// Whose items went after it: they are asked about next.
    next: Vec<DialogId>,
}

impl Pace {
    /// A sender has to wait. Whether to ask now.
    pub(crate) fn waits(&mut self, id: DialogId) -> bool {
        let is_open = !self.asking.is_empty();
        if is_open {
            self.next.push(id)
        } else {
            self.asking.push(id)
        }
        !is_open
    }

    /// The question is answered: who may go on, and whether to ask again.
    pub(crate) fn answered(&mut self) -> (Vec<DialogId>, bool) {
        let next = core::mem::take(&mut self.next);
        let again = !next.is_empty();
        (core::mem::replace(&mut self.asking, next), again)
    }

    /// A dialog has ended.
    pub(crate) fn forget(&mut self, id: DialogId) {
        // An open question stays open, whoever it was for.
        self.next.retain(|waiting| *waiting != id);
    }
}

#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) role: Role,
    pub(crate) phase: Phase,
    /// Who it must be, when we know beforehand: our child.
    pub(crate) expected: Option<Uid>,
    /// The child that this is the link to.
    pub(crate) child: Option<ChildId>,
    /// The process at the other end, where the transport tells it.
    pub(crate) process: Option<u32>,
    /// Set by its `Aid`, for good.
    pub(crate) peer: Option<Aid>,
    /// What both sides can do; the base's until the handshake.
    pub(crate) features: Features,
    pub(crate) deframer: Deframer,
    pub(crate) outbox: Outbox,
    /// The live dialogs, by the name they have here.
    pub(crate) dialogs: BTreeMap<Cid, DialogId>,
    /// Our requests that wait for an acknowledgement.
    pub(crate) asked: BTreeMap<Cid, Asked>,
    /// Dialogs whose sends wait for room in the data lane.
    pub(crate) waiting: Vec<DialogId>,
    /// The peer said goodbye: its end is no surprise.
    pub(crate) said_goodbye: bool,
    /// We close it once the tasks of ours have ended there.
    pub(crate) parting: bool,
    pub(crate) pace: Pace,
    /// The highest number the peer gave a dialog.
    peer_cid: u64,
    next_cid: u64,
    /// The last dialogs with texts for names that ended here.
    ended: VecDeque<Cid>,
    strays: u32,
    /// Bytes of our runtime's own answers, since the peer last had little enough unread.
    answers: usize,
}

impl Channel {
    pub(crate) fn new(role: Role, config: &Config) -> Channel {
        Channel {
            role,
            phase: Phase::AwaitAid,
            expected: None,
            child: None,
            process: None,
            peer: None,
            features: Features::BASE,
            deframer: Deframer::new(config.frame_len_max_early),
            outbox: Outbox::default(),
            dialogs: BTreeMap::new(),
            asked: BTreeMap::new(),
            waiting: Vec::new(),
            said_goodbye: false,
            parting: false,
            pace: Pace::default(),
            peer_cid: 0,
            next_cid: u64::from(role.is_opener()),
            ended: VecDeque::new(),
            strays: 0,
            answers: 0,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Closing | Phase::Closed)
    }

    pub(crate) fn peer_uid(&self) -> Option<&Uid> {
        self.peer.as_ref().map(|aid| &aid.uid)
    }

    /// Lets a message in, or says which rule it breaks.
    pub(crate) fn admit(&mut self, msg: Msg, config: &Config) -> Result<Admitted, Violation> {
        let class = match &msg {
            Msg::Aid(_) => Class::Aid,
            Msg::SpawnSpec(_) => Class::Spec,
            Msg::Ready { .. } => Class::Ready,
            Msg::Goodbye { .. } => Class::Goodbye,
            _ => Class::Dialog,
        };
        #[cfg(feature = "coverage")]
        crate::coverage::channel(self.role, self.phase, class);
        match table::recv(self.role, self.phase, class) {
            Cell::Next(phase) => {
                self.check_peer(&msg)?;
                self.check_features(&msg)?;
                self.phase = phase;
            }
            Cell::Ignore => return Ok(Admitted::Nothing),
            Cell::ChannelViolation => return Err(self.forbidden(class)),
        }
        match msg {
            Msg::Aid(aid) => {
                self.meet(aid, config);
                Ok(Admitted::Peer)
            }
            Msg::Goodbye { .. } => {
                self.said_goodbye = true;
                Ok(Admitted::Nothing)
            }
            msg => Ok(Admitted::Inside(msg)),
        }
    }

    fn forbidden(&self, class: Class) -> Violation {
        match (class, self.phase) {
            (_, Phase::AwaitAid) => Violation::NotAid,
            (Class::Aid, _) => Violation::SecondHandshake,
            _ => Violation::NotALink,
        }
    }

    /// The peer is who it must be, and speaks for itself.
    fn check_peer(&self, msg: &Msg) -> Result<(), Violation> {
        match msg {
            Msg::Aid(aid) if self.expected.as_ref().is_some_and(|uid| *uid != aid.uid) => {
                Err(Violation::ForeignUid)
            }
            Msg::Start(start) if Some(&start.uid) != self.peer_uid() => {
                Err(Violation::ForeignAsker)
            }
            Msg::Request { uid, .. } if Some(uid) != self.peer_uid() => {
                Err(Violation::ForeignAsker)
            }
            _ => Ok(()),
        }
    }

    fn check_features(&self, msg: &Msg) -> Result<(), Violation> {
        let needs = match msg {
            Msg::Yields { .. } => Features::PACKED,
            Msg::Credit { .. } => Features::CREDIT,
            Msg::Ready { .. } => Features::READY,
            Msg::Goodbye { .. } => Features::GOODBYE,
            _ => Features::BASE,
        };
        if self.features.has(needs) { Ok(()) } else { Err(Violation::NotNegotiated) }
    }

    fn meet(&mut self, mut aid: Aid, config: &Config) {
        self.features = match &aid.ext {
            // Version 1 is the only one there is.
            Some(ext) if ext.version_min <= 1 && ext.version_max >= 1 => {
                ext.features.both(config.features)
            }
            _ => Features::BASE,
        };
        aid.uid = aid.uid.detached();
        self.peer = Some(aid);
        self.deframer.set_max(config.frame_len_max);
    }

    /// Counts a message for a dialog that never was; too many end the connection. What comes late
    /// for one that ended is free: a sender can't know, and may have a whole window under way.
    pub(crate) fn stray(&mut self, cid: &Cid, config: &Config) -> Result<(), Violation> {
        if self.has_ended(cid) {
            return Ok(());
        }
        self.strays += 1;
        if self.strays > config.strays_max { Err(Violation::TooManyStrays) } else { Ok(()) }
    }

    /// Remembers the name of a dialog that the peer began.
    pub(crate) fn began(&mut self, cid: &Cid) {
        if let Cid::Num(n) = cid {
            self.peer_cid = self.peer_cid.max(*n);
        }
    }

    /// Takes a dialog out, and remembers its name for what still comes for it.
    pub(crate) fn forget(&mut self, cid: &Cid) {
        let was = self.dialogs.remove(cid).is_some() || self.asked.remove(cid).is_some();
        if let (true, Cid::Text(_)) = (was, cid) {
            if self.ended.len() >= ENDED_MAX {
                self.ended.pop_front();
            }
            self.ended.push_back(cid.detached());
        }
    }

    /// The names of a question about pace: its own, and that of nothing.
    pub(crate) fn pace_names(&mut self, mut uuid: impl FnMut() -> crate::id::Text) -> (Cid, Cid) {
        if let Some(names) = &self.pace.names {
            return names.clone();
        }
        let names = (self.new_cid(&mut uuid), self.new_cid(&mut uuid));
        self.pace.names = Some(names.clone());
        names
    }

    /// Whether there was such a dialog, as far back as is known.
    fn has_ended(&self, cid: &Cid) -> bool {
        match cid {
            Cid::Num(n) if n % 2 == self.next_cid % 2 => *n <= self.next_cid,
            Cid::Num(n) => *n <= self.peer_cid,
            Cid::Text(_) => self.ended.contains(cid),
        }
    }

    /// Whether the peer takes a name that is for us to give: two dialogs would come to have it.
    pub(crate) fn is_ours(&self, cid: &Cid) -> bool {
        self.features.has(Features::SHORT_CID)
            && matches!(cid, Cid::Num(n) if n % 2 == self.next_cid % 2)
    }

    /// Counts what a request made us queue, as long as the peer leaves too much unread: what nobody
    /// reads must not grow with what is asked.
    pub(crate) fn count_answers(
        &mut self,
        before: usize,
        config: &Config,
    ) -> Result<(), Violation> {
        let len = self.outbox.len();
        if len <= config.unread_bytes_max {
            self.answers = 0;
            return Ok(());
        }
        self.answers += len.saturating_sub(before);
        if self.answers > config.answers_bytes_max { Err(Violation::NotReading) } else { Ok(()) }
    }

    /// A name for a dialog of ours.
    pub(crate) fn new_cid(&mut self, uuid: impl FnOnce() -> crate::id::Text) -> Cid {
        if self.features.has(Features::SHORT_CID) {
            self.next_cid += 2;
            Cid::Num(self.next_cid)
        } else {
            Cid::Text(uuid())
        }
    }

    /// Queues a message ahead of all data.
    pub(crate) fn push_control(&mut self, msg: &Msg) {
        if !self.is_ended() {
            self.outbox.control(msg, self.features);
        }
    }

    /// Queues a message behind all data.
    pub(crate) fn push(&mut self, msg: &Msg) {
        if !self.is_ended() {
            self.outbox.data(msg, self.features);
        }
    }

    /// Queues a message whose payload may be long.
    pub(crate) fn push_payload(&mut self, msg: &Msg, payload: Payload<'_>) {
        if !self.is_ended() {
            self.outbox.payload(msg, payload);
        }
    }

    /// Queues a stream item.
    pub(crate) fn push_item(&mut self, cid: &Cid, item: Payload<'_>) {
        if !self.is_ended() {
            self.outbox.item(cid, item, self.features);
        }
    }

    /// Whether the data lane takes another item now.
    pub(crate) fn has_room(&self, config: &Config) -> bool {
        self.outbox.data_len() < config.lane_bytes_max
    }
}

/// How many ended dialogs a connection remembers by their texts: more than end while a message is
/// under way.
const ENDED_MAX: usize = 64;

/// A deadline of a connection, for the actor's table. A child waits for its instructions as long as
/// a parent waits for a child.
pub(crate) fn handshake_deadline(now: Instant, role: Role, config: &Config) -> Instant {
    match role {
        Role::ToParent => now + config.boot_timeout,
        Role::ToChild | Role::Accepted | Role::Connected => now + config.handshake_timeout,
    }
}
