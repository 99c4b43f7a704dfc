//! Errors to and from the wire.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use tractor_core::msg::{ErrorData, RemoteError as Raw};
use tractor_core::supervise::{ChildEnd, ExitStatus};
use tractor_core::wire::pack::scan_exact;
use tractor_core::{Outcome, Text, Uid, relayed};

use super::{ActorFailed, BoxError, Error, MsgTypeError, RemoteError, Result, registry};

/// The longest text that is sent along: a backtrace is not worth more.
const TEXT_LEN_MAX: usize = 64 << 10;
/// What the members of a group may have together, each of their texts and values.
const GROUP_LEN_MAX: usize = 512 << 10;
/// How deep what a member carries along may nest: there is a group around it, and may be a larger
/// one around that.
const MEMBER_DEPTH_MAX: usize = 40;
/// Of the causes of an error, how many go along, and how much of each.
const CAUSES_MAX: usize = 16;
const CAUSE_LEN_MAX: usize = 4 << 10;

/// What a caller gets to see of an outcome. `failed` makes the report of a child that is gone.
pub(crate) fn from_outcome(
    outcome: Outcome,
    failed: impl FnOnce(ChildEnd) -> ActorFailed,
) -> Result<bytes::Bytes> {
    match outcome {
        Outcome::Returned(pld) => Ok(pld),
        Outcome::Errored { violation: Some(violation), .. } => Err(Error::Violation(violation)),
        Outcome::Cancelled { error, by_us: true } => {
            Err(Error::ContextCancelled(RemoteError::own_cancel(error)))
        }
        Outcome::Errored { error, violation: None } | Outcome::Cancelled { error, .. } => {
            Err(from_raw(error))
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

/// The error that a report is about.
pub(super) fn from_raw(error: Raw) -> Error {
    let remote = RemoteError::new(error);
    let first_hand = remote.relay_path().len() == 1;
    match remote.boxed_type_name() {
        "ContextCancelled" => Error::ContextCancelled(remote),
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
            relayed(e.raw().clone(), us)
        }
        Error::MsgType(MsgTypeError { remote: Some(e), .. }) => relayed(e.raw().clone(), us),
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
        data: data_of(error, us),
    }
}

/// What goes along with an error of ours (`docs/protocol.md` §3.5).
fn data_of(error: &Error, us: &Uid) -> Option<Bytes> {
    let mut data = ErrorData::default();
    match error {
        Error::Group(_) => data.errors = members(error, us),
        Error::User(own) => {
            if let Some((path, value)) = registry::encoded(own.get()) {
                data.type_path = Some(Text::from_static(path));
                data.value = Some(value.into());
            }
        }
        _ => {}
    }
    data.causes = causes(error);
    let mut raw = Vec::new();
    data.encode(&mut raw);
    (!data.is_empty()).then(|| raw.into())
}

/// The members of a group: each as it would go by itself, but cut so that all fit into one report.
fn members(group: &Error, us: &Uid) -> Vec<Raw> {
    let leaves = group.leaves();
    let max = (GROUP_LEN_MAX / leaves.len().max(1)).min(TEXT_LEN_MAX);
    let mut members: Vec<Raw> = leaves.into_iter().map(|leaf| to_wire(leaf, us)).collect();
    for member in &mut members {
        for text in member.message.iter_mut().chain([&mut member.traceback]) {
            *text = text.truncated(max);
        }
        for raw in [&mut member.data, &mut member.bad_msg, &mut member.bad_msg_as_dict] {
            raw.take_if(|raw| raw.len() > max || scan_exact(raw, MEMBER_DEPTH_MAX).is_err());
        }
    }
    members
}

/// The texts of what caused an error. Runs code of the program.
fn causes(error: &Error) -> Vec<Text> {
    let mut texts = Vec::new();
    let collect = || {
        let mut nearest = error.cause();
        while let Some(cause) = nearest.filter(|_| texts.len() < CAUSES_MAX) {
            texts.push(Text::from(text_by(|| cause.to_string())).truncated(CAUSE_LEN_MAX));
            nearest = cause.source();
        }
    };
    // What was found before a panic is worth sending.
    let _ = catch_unwind(AssertUnwindSafe(collect));
    texts
}

/// A text that code of the program makes: a panic there must not cost the report.
fn text_by(make: impl FnOnce() -> String) -> String {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| "(making this text panicked)".into())
}

/// The chain of sources and the backtrace, if any.
fn traceback(error: &Error) -> String {
    let mut text = String::new();
    if let Error::Group(_) = error {
        let leaves = error.leaves();
        let max = TEXT_LEN_MAX / leaves.len().max(1);
        leaves.into_iter().for_each(|leaf| push_leaf(&mut text, leaf, max));
        return text;
    }
    let mut source = error.cause();
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

/// One member of a group's report: what it is, and its own report, as far as there is room for it.
fn push_leaf(text: &mut String, leaf: &Error, max: usize) {
    let until = text.len() + max;
    // Writing to a String can't fail.
    let _ = writeln!(text, "- {leaf}");
    let report = match leaf.remote() {
        Some(remote) => remote.traceback().to_owned(),
        None => traceback(leaf),
    };
    for line in report.lines() {
        if text.len() + line.len() > until {
            break;
        }
        text.extend(["  ", line, "\n"]);
    }
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
