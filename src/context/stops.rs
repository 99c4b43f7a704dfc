//! `Stop` says that the work is done: a task that fails does not send it.
//!
//! A stream that is dropped can't know why: at the end of a block, or because its task is failing
//! and `?` drops what is on the way. So the drop only leaves word with the context's own future,
//! which is being polled around it, and that tells when the poll is over: a task that goes on, or
//! that returned, sends the `Stop`; one that ended with an error does not.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tractor_core::DialogId;

use crate::shared::Shared;

/// A context's future that is being polled on this thread.
struct Polled {
    actor: *const Shared,
    dialog: DialogId,
    /// The stream was dropped meanwhile.
    dropped: bool,
}

thread_local! {
    /// The innermost last.
    static POLLED: RefCell<Vec<Polled>> = const { RefCell::new(Vec::new()) };
}

/// Runs the future of a context's end: the far task's, or the block's.
pub(crate) async fn around<T, E>(
    shared: Arc<Shared>,
    dialog: DialogId,
    mut body: impl Future<Output = Result<T, E>> + Unpin,
) -> Result<T, E> {
    poll_fn(|cx| {
        let frame = Frame::enter(&shared, dialog);
        let polled = Pin::new(&mut body).poll(cx);
        let dropped = frame.leave();
        if dropped && !matches!(polled, Poll::Ready(Err(_))) {
            // A context that has ended needs no Stop.
            let _ = shared.command(|inner, now| inner.core.stop(now, dialog));
        }
        polled
    })
    .await
}

/// Leaves word that the stream of this context was dropped. `false`: its future is not being polled
/// here, so there is nobody to leave it with.
pub(crate) fn leave_word(shared: &Arc<Shared>, dialog: DialogId) -> bool {
    with_frame(shared, dialog, |polled| polled.dropped = true)
}

/// Whether the running code is inside of this context's own future.
pub(super) fn is_inside(shared: &Arc<Shared>, dialog: DialogId) -> bool {
    with_frame(shared, dialog, |_| ())
}

fn with_frame(shared: &Arc<Shared>, dialog: DialogId, found: impl FnOnce(&mut Polled)) -> bool {
    let actor = Arc::as_ptr(shared);
    // No access: the thread is ending, and with it whatever is dropped.
    let known = POLLED.try_with(|polled| {
        let mut polled = polled.borrow_mut();
        let mut inner_first = polled.iter_mut().rev();
        let mine = inner_first.find(|polled| polled.actor == actor && polled.dialog == dialog);
        mine.map(found).is_some()
    });
    known.unwrap_or(false)
}

/// One poll.
struct Frame;

impl Frame {
    fn enter(shared: &Arc<Shared>, dialog: DialogId) -> Frame {
        let frame = Polled { actor: Arc::as_ptr(shared), dialog, dropped: false };
        POLLED.with(|polled| polled.borrow_mut().push(frame));
        Frame
    }

    /// Whether the stream was dropped in it.
    fn leave(self) -> bool {
        let top = POLLED.with(|polled| polled.borrow_mut().pop());
        std::mem::forget(self);
        top.is_some_and(|top| top.dropped)
    }
}

/// The poll panicked: whose stream was dropped does not matter any more.
impl Drop for Frame {
    fn drop(&mut self) {
        POLLED.with(|polled| polled.borrow_mut().pop());
    }
}
