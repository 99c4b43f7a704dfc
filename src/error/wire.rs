//! Errors to and from the wire.

use std::error::Error as _;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tractor_core::msg::RemoteError as Raw;
use tractor_core::supervise::{ChildEnd, ExitStatus};
use tractor_core::{Outcome, Text, Uid, relayed};

use super::{ActorFailed, BoxError, Error, MsgTypeError, RemoteError, Result};

/// The longest text that is sent along: a backtrace is not worth more.
const TEXT_LEN_MAX: usize = 64 << 10;

/// What a caller gets to see of an outcome. `failed` makes the report of a child that is gone.
pub(crate) fn from_outcome(
    outcome: Outcome,
    failed: impl FnOnce(ChildEnd) -> ActorFailed,
) -> Result<bytes::Bytes> {
    match outcome {
        Outcome::Returned(pld) => Ok(pld),
        Outcome::Errored { violation: Some(violation), .. } => Err(Error::Violation(violation)),
        Outcome::Errored { error, violation: None } => Err(from_raw(error)),
        Outcome::Cancelled { error, .. } => {
            Err(Error::ContextCancelled(RemoteError(Arc::new(error))))
        }
        // Also when it was asked to end and had to be killed: that tells more than a lost link.
        Outcome::PeerLost { child: Some(end), .. } if end.failed || was_killed(&end) => {
            Err(Error::ActorFailed(failed(*end)))
        }
        Outcome::PeerLost { peer, .. } => Err(Error::PeerLost { peer }),
    }
}

fn was_killed(end: &ChildEnd) -> bool {
    matches!(end.status, Some(ExitStatus::Signal(_)))
}

fn from_raw(error: Raw) -> Error {
    let remote = RemoteError(Arc::new(error));
    let first_hand = remote.relay_path().len() == 1;
    match remote.boxed_type_name() {
        "ModuleNotExposed" if first_hand => Error::ModuleNotExposed(remote),
        "MsgTypeError" if first_hand => Error::MsgType(MsgTypeError {
            message: remote.message().to_owned(),
            remote: Some(remote),
        }),
        _ => Error::Remote(remote),
    }
}

/// An error of a task of ours, on its way to whoever asked for the task.
pub(crate) fn to_wire(error: &Error, us: &Uid) -> Raw {
    match error {
        Error::Remote(e) | Error::ContextCancelled(e) | Error::ModuleNotExposed(e) => {
            relayed((*e.0).clone(), us)
        }
        Error::MsgType(MsgTypeError { remote: Some(e), .. }) => relayed((*e.0).clone(), us),
        error => own(error, us),
    }
}

fn own(error: &Error, us: &Uid) -> Raw {
    let type_name = Text::from(error.type_name());
    Raw {
        src: us.clone(),
        src_type: type_name.clone(),
        boxed_type: type_name,
        relay_path: vec![us.clone()],
        message: Some(clipped(text_by(|| error.to_string()))),
        traceback: clipped(text_by(|| traceback(error))),
        canceller: None,
        sender: None,
        bad_msg: None,
        bad_msg_as_dict: None,
        data: None,
    }
}

/// A text that code of the program makes: a panic there must not cost the report.
fn text_by(make: impl FnOnce() -> String) -> String {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| "(making this text panicked)".into())
}

/// The chain of sources and the backtrace, if any.
fn traceback(error: &Error) -> String {
    let mut text = String::new();
    let mut source = match error {
        Error::User(e) => e.get().source(),
        error => error.source(),
    };
    while let Some(cause) = source {
        // Writing to a String can't fail.
        let _ = writeln!(text, "caused by: {cause}");
        source = cause.source();
    }
    match error {
        Error::User(e) => push_backtrace(&mut text, e),
        Error::Panic(report) => {
            text.extend(report.location.as_ref().map(|at| format!("panicked at {at}\n")));
            text.extend(report.backtrace.as_deref());
        }
        _ => {}
    }
    text
}

fn push_backtrace(text: &mut String, error: &BoxError) {
    if let Some(backtrace) = error.backtrace() {
        let _ = write!(text, "{backtrace}");
    }
}

fn clipped(mut text: String) -> Text {
    if text.len() > TEXT_LEN_MAX {
        let mut end = TEXT_LEN_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    Text::from(text)
}
