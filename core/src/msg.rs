//! The messages. Each is one frame's body; [`codec`] is where the wire's strings begin and end.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::addr::Address;
use crate::id::{Cid, Text, Uid};

pub mod codec;
pub(crate) mod fit;

/// What a peer can do beyond the base protocol: one bit each, used only when both sides have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u32);

impl Features {
    /// Per-stream credit: [`Msg::Credit`].
    pub const CREDIT: Features = Features(1);
    /// Many small stream items in one frame: [`Msg::Yields`].
    pub const PACKED: Features = Features(1 << 1);
    /// Numbers as dialog names: [`Cid::Num`].
    pub const SHORT_CID: Features = Features(1 << 2);
    /// `Stop` tells how many items came before it.
    pub const STOP_SEQ: Features = Features(1 << 3);
    /// `CancelAck` tells what became of the request, and comes at once.
    pub const TYPED_ACK: Features = Features(1 << 4);
    /// [`Msg::Goodbye`] before a connection is closed on purpose.
    pub const GOODBYE: Features = Features(1 << 5);
    /// A cancel request carries the time that is left for it, and a child tells when it needs more.
    pub const BUDGET: Features = Features(1 << 6);
    /// `Error` carries the error's own data, so that its type can be recovered.
    pub const ERROR_DATA: Features = Features(1 << 7);
    /// [`Msg::Ready`]: a child tells its parent that it is bound and registered.
    pub const READY: Features = Features(1 << 8);
    /// `watch_actor`: a registrar tells when what a name stands for changes.
    pub const WATCH: Features = Features(1 << 9);
    /// Nothing beyond the base.
    pub const BASE: Features = Features(0);
    /// All that this version knows.
    pub const ALL: Features = Features(0x3ff);

    /// Whether all bits of `other` are set.
    pub const fn has(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits both have.
    pub const fn both(self, other: Features) -> Features {
        Features(self.0 & other.0)
    }
}

/// Shown by a child that connects back to its parent, which made it for that child alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token(pub [u8; 16]);

impl Token {
    /// Whether both are the same, in a time that does not depend on where they differ.
    pub fn is(&self, other: &Token) -> bool {
        let bytes = self.0.iter().zip(other.0);
        bytes.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

/// A secret: not to be read off a log.
impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The versions of the extended protocol that one side speaks, in [`Aid`]'s extra field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The lowest version it can speak.
    pub version_min: u32,
    /// The highest version it can speak.
    pub version_max: u32,
    /// What it can do beyond the base.
    pub features: Features,
    /// An id of the program's build: equal ids mean the same binary.
    pub build: u64,
    /// Present when a child connects back to its parent (`docs/protocol.md` §7.2).
    pub token: Option<Token>,
}

/// Who is speaking: the first message each way on every connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aid {
    /// The speaker.
    pub uid: Uid,
    /// Its process id.
    pub pid: Option<u64>,
    /// Whether it is a registrar. `None` comes from probes.
    pub is_registrar: Option<bool>,
    /// Whether this connection only asks "are you a registrar?".
    pub is_probe: bool,
    /// Present when the speaker knows the extensions.
    pub ext: Option<Extension>,
}

/// What a parent tells its child right after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnSpec {
    /// How a Python child finds the parent's main module: raw, passed through. Ours is `{}`.
    pub parent_main_data: Bytes,
    /// The runtime variables: raw, read with [`codec::RuntimeVars`].
    pub runtime_vars: Bytes,
    /// Module name to path, of the modules that may be called.
    pub enable_modules: Vec<(Text, Text)>,
    /// Where the tree's registrars are.
    pub reg_addrs: Vec<Address>,
    /// Where the child must listen; `None` lets it choose.
    pub bind_addrs: Option<Vec<Address>>,
}

/// Asks for a task: the first message of every dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The dialog's name.
    pub cid: Cid,
    /// The module of the function.
    pub ns: Text,
    /// The function.
    pub func: Text,
    /// Its arguments: a raw map of name to value.
    pub kwargs: Bytes,
    /// The asker; must be who the connection's handshake said.
    pub uid: Uid,
}

/// What kind of function answered a [`Start`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FuncType {
    /// One answer: `"asyncfunc"`.
    Call,
    /// A stream of items to the asker: `"asyncgen"`.
    Stream,
    /// A task linked both ways: `"context"`.
    Context,
}

/// The runtime's own functions, which the wire calls in the namespace `self`. A closed set:
/// nothing else is ever looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `cancel`: end the whole actor, within this time if told.
    CancelActor {
        /// What is left of the asker's teardown budget.
        budget: Option<Duration>,
    },
    /// `_cancel_task`: end the task of this dialog on this connection.
    CancelTask {
        /// The dialog to cancel.
        target: Cid,
    },
    /// `register_actor`: this actor can be reached there.
    Register {
        /// The actor.
        uid: Uid,
        /// One of its addresses.
        addr: Address,
    },
    /// `unregister_actor`: this actor can no longer be reached.
    Unregister {
        /// The actor.
        uid: Uid,
    },
    /// `find_actor`: an address of an actor of this name, or nil.
    Find {
        /// The name.
        name: Text,
    },
    /// `wait_for_actor`: the addresses of all actors of this name, once there is one.
    Wait {
        /// The name.
        name: Text,
    },
    /// `watch_actor`: all actors of this name, once they are others than were seen. (Extension.)
    Watch {
        /// The name.
        name: Text,
        /// What was seen; `None` for what there is now.
        seen: Option<RegistryTag>,
    },
    /// `get_registry`: everything.
    List,
    /// `delete_addr`: nobody answers at this address.
    ReportDead {
        /// The address.
        addr: Address,
    },
    /// `raise_budget`: a child, or somebody below it, was given more time to end than is usual.
    RaiseBudget {
        /// What the child needs, its own children included.
        budget: Duration,
    },
    /// Any other name: refused, never looked up.
    Unknown {
        /// The name that was asked for.
        func: Text,
    },
    /// A known name with arguments that don't fit.
    BadArguments {
        /// The name that was asked for.
        func: Text,
    },
}

impl Request {
    /// A copy that no longer holds on to the frame it came in, of one that is kept for a while.
    pub(crate) fn detached(&self) -> Request {
        match self {
            Request::Find { name } => Request::Find { name: name.detached() },
            Request::Wait { name } => Request::Wait { name: name.detached() },
            Request::Watch { name, seen } => Request::Watch { name: name.detached(), seen: *seen },
            other => other.clone(),
        }
    }
}

/// What a name stood for in the registry, in short: equal tags of one registrar are equal records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistryTag {
    /// When the last of the records changed, on the registrar's own count.
    pub stamp: u64,
    /// How many records there are.
    pub count: u64,
}

/// The answer to `watch_actor`: all actors of a name, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// To be shown when asking for changes.
    pub tag: RegistryTag,
    /// The actors and their addresses, the oldest first.
    pub actors: Vec<(Uid, Vec<Address>)>,
}

/// What became of a cancel request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckOutcome {
    /// The target is being cancelled.
    Cancelling,
    /// The target had ended, or was never there.
    AlreadyDone,
    /// The asker may not do that.
    Refused,
}

/// An error on its way between actors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteError {
    /// Where it happened.
    pub src: Uid,
    /// The type's name where it happened.
    pub src_type: Text,
    /// The type's name as it was sent here: differs from `src_type` once it was relayed.
    pub boxed_type: Text,
    /// Every actor that sent it on, the source first.
    pub relay_path: Vec<Uid>,
    /// The error's own text.
    pub message: Option<Text>,
    /// The backtrace or report from the source.
    pub traceback: Text,
    /// Who cancelled, when this is a cancellation.
    pub canceller: Option<Uid>,
    /// Who sent too fast, when this is an overrun.
    pub sender: Option<Uid>,
    /// The offending message, when this is about a payload's type: raw.
    pub bad_msg: Option<Bytes>,
    /// The offending message as a plain map: raw.
    pub bad_msg_as_dict: Option<Bytes>,
    /// What it carries along for programs, raw: an [`ErrorData`], as a rule.
    pub data: Option<Bytes>,
}

impl RemoteError {
    /// As base peers have it: they show the traceback alone, which ends with the error's text.
    pub(crate) fn for_base(&self) -> RemoteError {
        let mut error = self.clone();
        if let Some(message) = self.message.as_ref().map(Text::as_str)
            && !self.traceback.as_str().contains(message)
        {
            let (traceback, kind) = (self.traceback.as_str(), &self.src_type);
            let between = if traceback.is_empty() || traceback.ends_with('\n') { "" } else { "\n" };
            error.traceback = Text::from(alloc::format!("{traceback}{between}{kind}: {message}\n"));
        }
        error
    }
}

/// What an error carries along for the program that receives it, beside its texts: the content of
/// [`RemoteError::data`] (`docs/protocol.md` §3.5). Every part may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorData {
    /// The full path of the error's type, when its `value` is here.
    pub type_path: Option<Text>,
    /// The error itself, encoded by the program that raised it: raw.
    pub value: Option<Bytes>,
    /// The texts of what caused it, the nearest first.
    pub causes: Vec<Text>,
    /// The members, when it is a group.
    pub errors: Vec<RemoteError>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a message lives for one walk down the hall")]
pub enum Msg {
    /// First, each way.
    Aid(Aid),
    /// Parent to child, second.
    SpawnSpec(SpawnSpec),
    /// Child to parent: bound and registered. (Extension.)
    Ready {
        /// Where the child can be reached.
        addrs: Vec<Address>,
    },
    /// Asks for a task of the application.
    Start(Start),
    /// Asks the runtime itself for something.
    Request {
        /// The dialog's name.
        cid: Cid,
        /// The asker.
        uid: Uid,
        /// What is asked.
        request: Request,
    },
    /// The task exists; its kind.
    StartAck {
        /// The dialog.
        cid: Cid,
        /// The function's kind.
        functype: FuncType,
    },
    /// A context is set up; its first value.
    Started {
        /// The dialog.
        cid: Cid,
        /// The value, raw.
        pld: Bytes,
    },
    /// One stream item.
    Yield {
        /// The dialog.
        cid: Cid,
        /// The item, raw.
        pld: Bytes,
    },
    /// Several stream items. (Extension.)
    Yields {
        /// The dialog.
        cid: Cid,
        /// How many.
        count: u32,
        /// The items, raw, one after another.
        plds: Bytes,
    },
    /// No more items from this side.
    Stop {
        /// The dialog.
        cid: Cid,
        /// How many items this side sent. (Extension.)
        sent: Option<u64>,
    },
    /// The receiver takes so much more. (Extension.)
    Credit {
        /// The dialog.
        cid: Cid,
        /// Items.
        items: u32,
        /// Bytes, each item counting 64 more.
        bytes: u64,
    },
    /// The task's result: its last message.
    Return {
        /// The dialog.
        cid: Cid,
        /// The result, raw.
        pld: Bytes,
    },
    /// Answers a cancel request.
    CancelAck {
        /// The request's own dialog.
        cid: Cid,
        /// The answer.
        outcome: AckOutcome,
    },
    /// A dialog failed; or, without a cid, the peer's runtime did.
    Error {
        /// The dialog.
        cid: Option<Cid>,
        /// The error.
        error: RemoteError,
    },
    /// This connection ends on purpose. (Extension.)
    Goodbye {
        /// Why, for the log.
        reason: Text,
    },
}
