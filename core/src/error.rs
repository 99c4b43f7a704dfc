//! Errors, sorted by whose fault they are.
//!
//! | family | whose fault | how it travels |
//! |---|---|---|
//! | [`FrameError`], [`DecodeError`] | bytes | become a [`Violation`] of the connection |
//! | [`Violation`] | the peer | an event; ends the connection or the dialog, never returned |
//! | [`Misuse`] | our caller | `Err` of a command, and nothing has changed |
//! | [`SendError`] | nobody | `Err` of a send: try again when told |

use core::fmt;

/// A frame that can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The length prefix is over the limit in force (`docs/protocol.md` §1.2).
    TooLong {
        /// What the prefix claims.
        len: u64,
        /// The limit.
        max: usize,
    },
    /// A frame of no bytes.
    Empty,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong { len, max } => {
                write!(f, "a frame of {len} bytes is over the limit of {max}")
            }
            FrameError::Empty => f.write_str("an empty frame"),
        }
    }
}
impl core::error::Error for FrameError {}

/// A frame's body that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body ends in the middle of a value.
    Truncated,
    /// Bytes are left after the value.
    TrailingBytes,
    /// The byte 0xc1, which MessagePack never uses.
    ReservedByte,
    /// Nested deeper than allowed.
    TooDeep,
    /// A text that is not UTF-8.
    BadUtf8,
    /// A count larger than the bytes that are left.
    BadCount,
    /// The body, or a field of it, is of another type than the message has.
    WrongType {
        /// The field.
        field: &'static str,
    },
    /// A field that the message must have is absent.
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A list of a message's own (not of a payload) with more entries than anyone needs.
    TooMany {
        /// The field.
        field: &'static str,
    },
    /// The tag occurs twice.
    DuplicateTag,
    /// A tag that no message has.
    UnknownTag,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated => f.write_str("the body is cut short"),
            DecodeError::TrailingBytes => f.write_str("bytes are left after the body's value"),
            DecodeError::ReservedByte => f.write_str("the reserved byte 0xc1"),
            DecodeError::TooDeep => f.write_str("nested too deep"),
            DecodeError::BadUtf8 => f.write_str("a text is not UTF-8"),
            DecodeError::BadCount => f.write_str("a count exceeds the bytes that are left"),
            DecodeError::WrongType { field } => write!(f, "`{field}` is of the wrong type"),
            DecodeError::Missing { field } => write!(f, "`{field}` is missing"),
            DecodeError::TooMany { field } => write!(f, "`{field}` has too many entries"),
            DecodeError::DuplicateTag => f.write_str("the tag occurs twice"),
            DecodeError::UnknownTag => f.write_str("unknown message tag"),
        }
    }
}
impl core::error::Error for DecodeError {}

/// A rule of the protocol that a peer broke. Never returned: it ends the connection or the dialog
/// and is reported in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// Bytes that are no frame (§1).
    Frame(FrameError),
    /// A frame that is no message (§2, §3).
    Decode(DecodeError),
    /// The first message was not `Aid` (§4.1).
    NotAid,
    /// `Aid` came twice (§4.1).
    SecondHandshake,
    /// The handshake took too long (§4.2).
    HandshakeTimeout,
    /// The handshake was not done when others wanted its place (§4.2).
    HandshakeCrowded,
    /// An `Aid` with the uid of another process that is connected, or with ours (§4.3).
    UidTaken,
    /// A child's `Aid` names somebody else than the one that was spawned (§7.1).
    ForeignUid,
    /// An `Aid` with the uid of a child that is awaited, without its token, or of another process;
    /// or with a token, and nobody is awaited with that (§7.2).
    WrongToken,
    /// `Start` names another asker than the handshake did (§6.1).
    ForeignAsker,
    /// `SpawnSpec` or `Ready` on a link that is not a parent's or child's (§7).
    NotALink,
    /// A message of an extension that was not negotiated (§5).
    NotNegotiated,
    /// `Start` with the name of a live dialog, or with a number that is for us to give (§6.1).
    DuplicateCid,
    /// More messages for dialogs that never were than the budget allows (§6.9).
    TooManyStrays,
    /// The peer left its replies unread for too long (§8).
    NotReading,
    /// The stream ended in the middle of a frame (§1.4).
    CutFrame,
    /// A message that the dialog's phase forbids (§6). Ends that dialog only.
    Unexpected {
        /// What came.
        message: &'static str,
        /// The phase it came in.
        phase: &'static str,
    },
    /// More items than were granted (§6.7). Ends that dialog only.
    Overrun,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Frame(e) => write!(f, "{e}"),
            Violation::Decode(e) => write!(f, "{e}"),
            Violation::NotAid => f.write_str("the first message was not Aid"),
            Violation::SecondHandshake => f.write_str("a second Aid"),
            Violation::HandshakeTimeout => f.write_str("the handshake took too long"),
            Violation::HandshakeCrowded => f.write_str("the handshake's place was needed"),
            Violation::UidTaken => f.write_str("the uid belongs to another process"),
            Violation::ForeignUid => f.write_str("the child's Aid is not the spawned child's"),
            Violation::WrongToken => f.write_str("no child is awaited with this uid and token"),
            Violation::ForeignAsker => f.write_str("Start.uid is not the peer's"),
            Violation::NotALink => f.write_str("a parent-child message on another connection"),
            Violation::NotNegotiated => f.write_str("a message that was not negotiated"),
            Violation::DuplicateCid => f.write_str("Start with a cid that is taken"),
            Violation::TooManyStrays => f.write_str("too many late or unknown messages"),
            Violation::NotReading => f.write_str("the peer does not read its replies"),
            Violation::CutFrame => f.write_str("the stream ended in the middle of a frame"),
            Violation::Unexpected { message, phase } => {
                write!(f, "{message} is not allowed in {phase}")
            }
            Violation::Overrun => f.write_str("more stream items than were granted"),
        }
    }
}
impl core::error::Error for Violation {}

/// A command that can't be: the caller's fault. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// No such connection, or its handshake is not finished, or it is closing.
    NotOpen,
    /// No such dialog: it has ended, or never was.
    NoSuchDialog,
    /// No such nursery, or it is closed.
    NoSuchNursery,
    /// No such child, or it is gone.
    NoSuchChild,
    /// The actor is closing: nothing new may start.
    Closing,
    /// `started` may be called once, by the context's own side, before anything else.
    StartedTwice,
    /// The stream can be opened only after `started`.
    StreamBeforeStarted,
    /// One stream per context: it was opened before.
    SecondStream,
    /// We have cancelled the far task: its outcome is all that still comes.
    AfterCancel,
    /// The stream is not open, or was stopped.
    StreamClosed,
    /// This side of the dialog can't do that.
    WrongSide,
    /// The handle of a nursery that no longer takes children.
    NurseryClosed,
    /// Too many of these at once, by `Config`.
    TooMany,
    /// The payload is larger than a frame may be.
    TooLarge {
        /// Its size in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Misuse::NotOpen => "the connection is not open",
            Misuse::NoSuchDialog => "the dialog has ended",
            Misuse::NoSuchNursery => "the nursery is closed",
            Misuse::NoSuchChild => "the child is gone",
            Misuse::Closing => "the actor is closing: nothing new may start",
            Misuse::StartedTwice => "`started` may be called only once",
            Misuse::StreamBeforeStarted => "call `started` before `open_stream`",
            Misuse::SecondStream => "a context has one stream, and it was opened before",
            Misuse::AfterCancel => "the context was cancelled from here",
            Misuse::StreamClosed => "the stream is closed",
            Misuse::WrongSide => "this side of the dialog can't do that",
            Misuse::NurseryClosed => "the nursery takes no more children",
            Misuse::TooMany => "too many at once: see the limits in the configuration",
            Misuse::TooLarge { len, max } => {
                return write!(f, "a payload of {len} bytes is over the frame limit of {max}");
            }
        };
        f.write_str(text)
    }
}
impl core::error::Error for Misuse {}

/// Why an item was not sent. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// No credit or no room now: `DialogEvent::Writable` tells when to try again.
    Blocked,
    /// The peer never opened its stream.
    Overrun,
    /// The caller's fault.
    Misuse(Misuse),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Blocked => f.write_str("no room now"),
            SendError::Overrun => f.write_str("the peer never opened its stream"),
            SendError::Misuse(m) => write!(f, "{m}"),
        }
    }
}
impl core::error::Error for SendError {}
impl From<Misuse> for SendError {
    fn from(m: Misuse) -> SendError {
        SendError::Misuse(m)
    }
}
