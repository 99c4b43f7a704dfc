//! Who is to blame for a cancellation, and what becomes of the news.

use crate::id::{Text, Uid};
use crate::msg::RemoteError;

/// The type name that a cancellation has on the wire.
pub(crate) const CONTEXT_CANCELLED: &str = "ContextCancelled";

/// Whether an error from the peer says that the far task was cancelled.
pub(crate) fn is_cancellation(error: &RemoteError) -> bool {
    error.boxed_type == CONTEXT_CANCELLED
}

/// The absorption rule (`docs/protocol.md` §6.5): a cancellation is ours, and is swallowed, only if
/// we asked for it on this dialog, it comes from the peer itself, and it names us.
pub(crate) fn is_absorbed(error: &RemoteError, asked: bool, us: &Uid, peer: &Uid) -> bool {
    asked && error.src == *peer && error.canceller.as_ref() == Some(us)
}

/// The report of a task of ours that was cancelled.
pub(crate) fn report(us: &Uid, by: &Uid) -> RemoteError {
    let whom = if us == by { Text::from_static("itself") } else { alloc::format!("{by}").into() };
    let mut error = plain_error(us, CONTEXT_CANCELLED, "");
    error.message = Some(alloc::format!("the task was cancelled by {whom}").into());
    error.canceller = Some(by.clone());
    error
}

/// An error of the runtime's own.
pub(crate) fn plain_error(us: &Uid, type_name: &'static str, message: &str) -> RemoteError {
    RemoteError {
        src: us.clone(),
        src_type: Text::from_static(type_name),
        boxed_type: Text::from_static(type_name),
        relay_path: alloc::vec![us.clone()],
        message: Some(message.into()),
        traceback: Text::default(),
        canceller: None,
        sender: None,
        bad_msg: None,
        bad_msg_as_dict: None,
        data: None,
    }
}
