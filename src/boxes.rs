//! Where the core's events wait for the tasks they are for.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use bytes::Bytes;
use tractor_core::msg::codec;
use tractor_core::{Address, ChildId, Chunk, DialogId, NurseryId};

use crate::context::Record;
use crate::error::{ActorFailed, Error, Result};
use crate::host::Process;
use crate::os;
use crate::portal::Dialog;
use crate::scope::CancelScope;
use crate::stream::fanout::Fanout;
use crate::sync::Mutex;
use crate::wakers::Wakers;

/// What came for one side of a dialog.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    pub(crate) acceptance: Acceptance,
    pub(crate) started: Option<Bytes>,
    /// Items that came and were not taken; a chunk is one piece of memory.
    pub(crate) items: VecDeque<Chunk>,
    pub(crate) stopped: bool,
    /// Our end of the stream was opened: once is all there is.
    pub(crate) stream_opened: bool,
    pub(crate) send_overrun: bool,
    pub(crate) cancel_acked: bool,
    /// Our cancel came from outside of the block: it is to end the block, too.
    pub(crate) cancel_ends_block: bool,
    pub(crate) outcome: Option<Result<Bytes>>,
    /// Whoever reads the stream was told of the failure in `outcome`.
    pub(crate) failure_read: bool,
    /// The cancellation in `outcome` is the one we asked for.
    pub(crate) absorbed: bool,
    /// Of a context: what outlives this.
    pub(crate) record: Option<Arc<Record>>,
    /// Tasks that wait right now on this context, and so will see its outcome.
    pub(crate) waiting: u32,
    /// Caller: the block, to be cancelled when the far task fails and nobody is waiting.
    /// Callee: the task.
    pub(crate) scope: Option<CancelScope>,
    /// To be cancelled once those who wait have seen the outcome.
    pub(crate) then_cancel: Option<CancelScope>,
    /// The readers of the stream, when there are several: they outlive this.
    pub(crate) fanout: Weak<Mutex<Fanout>>,
    pub(crate) wakers: Wakers,
}

/// Whether the far task exists, for who wants to know that before it has said anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Acceptance {
    /// Nobody does, and so is not woken for it.
    #[default]
    NoMatter,
    Awaited,
    Known,
}

impl Mailbox {
    /// The outcome came.
    pub(crate) fn end(&mut self, outcome: Result<Bytes>, absorbed: bool) {
        if let Some(record) = &self.record {
            record.set_outcome(outcome.clone(), absorbed);
        }
        self.outcome.get_or_insert(outcome);
        self.absorbed = absorbed;
    }

    /// No item is here: whether more can come. `Ready(Ok(false))`: none will.
    pub(crate) fn poll_end(&mut self, waker: &Waker) -> Poll<Result<bool>> {
        match &self.outcome {
            Some(Err(error)) => {
                self.failure_read = true;
                Poll::Ready(Err(error.clone()))
            }
            Some(Ok(_)) => Poll::Ready(Ok(false)),
            None if self.stopped => Poll::Ready(Ok(false)),
            None => {
                self.wakers.add(waker);
                Poll::Pending
            }
        }
    }

    /// Drops the oldest items, which the overrun policy gave up: at once, as a receiver that does
    /// not read is what the policy is for.
    pub(crate) fn drop_oldest(&mut self, count: u32) {
        for _ in 0..count {
            if self.take_one().is_none() {
                return;
            }
        }
    }

    /// Takes the oldest item.
    pub(crate) fn take_one(&mut self) -> Option<Bytes> {
        let chunk = self.items.front_mut()?;
        if chunk.count == 1 {
            return self.items.pop_front().map(|chunk| chunk.plds);
        }
        let item = codec::items(&chunk.plds).next()?;
        chunk.count -= 1;
        chunk.plds = chunk.plds.slice(item.len()..);
        Some(item)
    }
}

/// What came for a nursery.
#[derive(Debug, Default)]
pub(crate) struct NurseryBox {
    /// The body, to be cancelled when a child fails.
    pub(crate) body: CancelScope,
    pub(crate) failures: Vec<Error>,
    /// Failures of isolated children that nobody was told of yet.
    pub(crate) isolated: VecDeque<ActorFailed>,
    /// Shared with the handles, which outlive this.
    pub(crate) cancel_called: Arc<AtomicBool>,
    /// The last failed task of a child, if somebody waits for it: the body, as a rule, which is to
    /// see the error before it is cancelled because of it.
    pub(crate) awaited: Option<Awaited>,
    pub(crate) closed: bool,
    pub(crate) wakers: Wakers,
}

/// What somebody waits for, and so will see fail.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Awaited {
    /// The result of a child's main task.
    Main(DialogId),
    /// A child to become ready.
    Start(ChildId),
}

/// A child as the runtime sees it. It stays until its nursery closes.
#[derive(Debug)]
pub(crate) struct ChildBox {
    pub(crate) nursery: NurseryId,
    pub(crate) name: String,
    pub(crate) isolated: bool,
    /// It is not born with its link, but connects to us.
    pub(crate) connects_back: bool,
    /// Where it was told to listen, when it does not choose that itself.
    pub(crate) bound: Option<Address>,
    pub(crate) process: Option<Arc<dyn Process>>,
    /// How to make it, until the driver did.
    pub(crate) plan: Option<os::ChildSpec>,
    /// The one task it was made for: kept here, so that dropping its handle does not cancel it.
    pub(crate) main: Option<Arc<Dialog>>,
    /// What its one task failed of, when it is isolated.
    pub(crate) main_error: Option<Box<tractor_core::msg::RemoteError>>,
    /// Somebody waits for it to become ready.
    pub(crate) starting: bool,
    /// To be cancelled once that somebody has seen how it failed.
    pub(crate) then_cancel: Option<CancelScope>,
    pub(crate) ready: bool,
    pub(crate) ended: bool,
    /// Its failure, made once, so that everybody reports the same.
    pub(crate) failure: Option<ActorFailed>,
    pub(crate) wakers: Wakers,
}

/// What nobody needs of a child that has ended: the descriptors of its process, and the hold on its
/// main task. To be dropped outside of the lock.
#[derive(Debug)]
pub(crate) struct Remains {
    _process: Option<Arc<dyn Process>>,
    _main: Option<Arc<Dialog>>,
}

impl ChildBox {
    /// Takes out what must not stay for as long as the nursery does: in a nursery that goes on,
    /// children come and go.
    pub(crate) fn remains(&mut self) -> Remains {
        Remains { _process: self.process.take(), _main: self.main.take() }
    }

    /// The report of its failure. Reads the tail of its stderr the first time.
    pub(crate) fn fail(&mut self, end: tractor_core::supervise::ChildEnd) -> ActorFailed {
        let process = &self.process;
        self.failure
            .get_or_insert_with(|| {
                let tail = |read: fn(&dyn Process) -> String| {
                    process.as_deref().map_or_else(String::new, read)
                };
                let (stdout_tail, stderr_tail) =
                    (tail(|process| process.stdout_tail()), tail(|process| process.stderr_tail()));
                ActorFailed::new(end, stdout_tail, stderr_tail)
            })
            .clone()
    }
}
