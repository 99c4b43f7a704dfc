//! Pieces of tasks that are dropped by a future that is not ours, as a bare `select!` does: what
//! they own is ended in the background, and their actor ends after that.

use std::future::poll_fn;
use std::task::Poll;

use tractor_core::{DialogId, NurseryId};

use super::plan::Step;
use super::program;
use super::task::{Cx, Done};

/// Does these steps, and drops them after so long.
pub async fn dropped(cx: &Cx, steps: &[Step], ms: u64) -> Done {
    let (piece, number) = cx.in_piece();
    let mut work = program::steps(&piece, steps);
    let mut alarm = Box::pin(cx.sleep(ms));
    let mut waits = true;
    let done = poll_fn(|task_cx| {
        if let Poll::Ready(done) = work.as_mut().poll(task_cx) {
            return Poll::Ready(Some(done));
        }
        // Whoever is cancelled before ends as always.
        match waits.then(|| alarm.as_mut().poll(task_cx)) {
            Some(Poll::Ready(Ok(()))) => Poll::Ready(None),
            Some(Poll::Ready(Err(_))) => {
                waits = false;
                Poll::Pending
            }
            _ => Poll::Pending,
        }
    });
    match done.await {
        Some(done) => done,
        None => {
            cx.look(|k| {
                k.cover.hit("task: dropped");
                k.checks.dropped.insert(number);
            });
            Ok(())
        }
    }
}

/// The nursery of a block, until it has closed.
#[derive(Debug)]
pub struct OwnNursery<'a>(Option<(&'a Cx, NurseryId)>);

impl<'a> OwnNursery<'a> {
    /// It is open.
    pub fn new(cx: &'a Cx, id: NurseryId) -> OwnNursery<'a> {
        OwnNursery(Some((cx, id)))
    }

    /// Nothing is left of it.
    pub fn closed(mut self) {
        self.0 = None;
    }
}

impl Drop for OwnNursery<'_> {
    fn drop(&mut self) {
        let Some((cx, id)) = self.0.take().filter(|_| !is_torn()) else { return };
        cx.look(|k| k.checks.asks(&k.hosts[cx.host]));
        cx.try_command(|actor, now| {
            // It exists until its body is done, which it is only now.
            let _ = actor.cancel_nursery(now, id);
            let _ = actor.join_nursery(now, id);
        });
    }
}

/// Whether the run panics: its cores may be half done, and take no commands any more.
fn is_torn() -> bool {
    std::thread::panicking()
}

/// A dialog that was asked for, until its outcome is known.
#[derive(Debug)]
pub struct OwnDialog<'a>(Option<(&'a Cx, DialogId)>);

impl<'a> OwnDialog<'a> {
    /// It has begun.
    pub fn new(cx: &'a Cx, id: DialogId) -> OwnDialog<'a> {
        OwnDialog(Some((cx, id)))
    }

    /// It has its outcome.
    pub fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for OwnDialog<'_> {
    fn drop(&mut self) {
        let Some((cx, id)) = self.0.take().filter(|_| !is_torn()) else { return };
        cx.look(|k| {
            k.checks.blocked.remove(&(cx.host, id));
            k.checks.asks(&k.hosts[cx.host]);
        });
        cx.try_command(|actor, now| actor.abandon(now, id));
    }
}
