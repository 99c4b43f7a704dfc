//! A scope as the others see it: the only part of a scope that other threads touch.

use std::iter;
use std::mem;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use super::limit::Limit;
use super::root::Root;
use crate::slab::Slab;
use crate::sync::atomic::{AtomicU8, AtomicUsize};
use crate::sync::{Mutex, MutexGuard};

/// `cancel()` was called, or the deadline came. Never cleared.
pub(super) const CANCELLED: u8 = 1;
/// What is inside does not see the enclosers' cancellation.
pub(super) const SHIELD: u8 = 1 << 1;
/// A cleanup runs inside: it sees neither this node's cancellation nor the enclosers'.
pub(super) const OPAQUE: u8 = 1 << 2;
/// This scope was the one that ended its body's cancellation.
pub(super) const CAUGHT: u8 = 1 << 3;
/// A body runs under this node.
pub(super) const BUSY: u8 = 1 << 4;
/// Cancelled, and waiting for the holds inside.
pub(super) const WAITING: u8 = 1 << 5;
/// A nursery child that stands in its nursery's ready list.
pub(super) const QUEUED: u8 = 1 << 6;
/// The deadline of the run that goes on was changed from outside.
pub(super) const MOVED: u8 = 1 << 7;

/// The index of a nursery child that its nursery has not taken in yet.
const UNPLACED: usize = usize::MAX;

/// Counts the scopes of this process that were ever cancelled, from 1: while it stands still, a
/// look at the enclosers need not be repeated.
static CANCELS: AtomicU64 = AtomicU64::new(1);

/// See [`CANCELS`].
pub(super) fn cancels() -> u64 {
    CANCELS.load(SeqCst)
}

/// One scope, or one child of a nursery, in the tree of scopes (a child is a scope too).
#[derive(Debug)]
pub(super) struct Node {
    flags: AtomicU8,
    /// Outstanding holds: our own, and one for every direct inner node that has any (S5).
    holds: AtomicUsize,
    /// The nursery whose child we are. It is our parent for life, so a look upward needs no lock.
    owner: Option<Arc<Node>>,
    /// Our place in the owner's child set.
    index: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    /// Wakes whoever polls this scope.
    pub(super) waker: Option<Waker>,
    pub(super) parent: Option<Arc<Node>>,
    /// The direct inner scopes. A nursery's children are not here: the nursery has them itself.
    pub(super) kids: Slab<Weak<Node>>,
    /// A nursery's children that were woken.
    pub(super) ready: Vec<usize>,
    /// Set in the top node of a tree only.
    pub(super) root: Option<Arc<Root>>,
    /// When the scope cancels itself.
    pub(super) limit: Limit,
    /// When the holds inside are given up. Set when a cancelled scope first waits for one.
    pub(super) teardown_at: Option<Duration>,
}

impl Node {
    pub(super) fn new(flags: u8) -> Arc<Self> {
        Arc::new(Self::unplaced(flags, None))
    }

    /// The node of a future child of the nursery `owner`.
    pub(super) fn child_of(owner: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self::unplaced(0, Some(owner.clone())))
    }

    fn unplaced(flags: u8, owner: Option<Arc<Self>>) -> Self {
        let state = State {
            waker: None,
            parent: None,
            kids: Slab::new(),
            ready: Vec::new(),
            root: None,
            limit: Limit::default(),
            teardown_at: None,
        };
        Self {
            flags: AtomicU8::new(flags),
            holds: AtomicUsize::new(0),
            owner,
            index: AtomicUsize::new(UNPLACED),
            state: Mutex::new(state),
        }
    }

    /// No user code runs under this lock but `Waker::clone`, so poison means nothing.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is(&self, flag: u8) -> bool {
        self.flags.load(SeqCst) & flag != 0
    }

    /// Sets `flag` and says whether it was set before.
    pub(super) fn set(&self, flag: u8) -> bool {
        let before = self.flags.fetch_or(flag, SeqCst);
        if flag == CANCELLED {
            CANCELS.fetch_add(1, SeqCst); // After the flag: who sees the count sees the flag.
        }
        before & flag != 0
    }

    pub(super) fn clear(&self, flag: u8) {
        self.flags.fetch_and(!flag, SeqCst);
    }

    /// Asks the scope to end. Flag first, then wake: whoever registers a waker later sees the flag.
    pub(super) fn cancel(&self) {
        if !self.set(CANCELLED) {
            self.notify();
        }
    }

    /// Has the scope polled. This never looks at the scopes inside (S3).
    pub(super) fn notify(&self) {
        match &self.owner {
            Some(owner) => {
                owner.enqueue(self);
            }
            None => {
                let waker = self.lock().waker.clone();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }

    /// Has the direct inner scopes polled.
    pub(super) fn notify_kids(&self) {
        let kids: Vec<_> = self.lock().kids.iter().filter_map(Weak::upgrade).collect();
        for kid in kids {
            kid.notify();
        }
    }

    /// Puts a woken child in the ready list. Only the first entry wakes: the list is emptied by
    /// every poll of the nursery, after that poll has registered its waker.
    ///
    /// The flag is set under the lock: who finds it set knows that the child is in the list, and so
    /// before whatever is woken next. Readers of one stream that give way to each other rely on it.
    fn enqueue(&self, child: &Node) {
        let waker = {
            let mut state = self.lock();
            let index = child.index.load(SeqCst);
            if index == UNPLACED || child.set(QUEUED) {
                return;
            }
            state.ready.push(index);
            if state.ready.len() == 1 { state.waker.clone() } else { None }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The woken children; `batch` must be empty and lends its buffer.
    pub(super) fn take_ready(&self, batch: &mut Vec<usize>) {
        mem::swap(&mut self.lock().ready, batch);
    }

    pub(super) fn place(&self, index: usize) {
        self.index.store(index, SeqCst);
    }

    pub(super) fn parent(&self) -> Option<Arc<Self>> {
        match &self.owner {
            Some(owner) => Some(owner.clone()),
            None => self.lock().parent.clone(),
        }
    }

    fn ancestors(&self) -> impl Iterator<Item = Arc<Self>> {
        iter::successors(self.parent(), |node| node.parent())
    }

    /// Is a scope around us cancelled, as far as shields let us see? A walk: for cold paths.
    pub(super) fn encloser_cancelled(&self) -> bool {
        if self.is(SHIELD | OPAQUE) {
            return false;
        }
        for node in self.ancestors() {
            if let Some(cancelled) = node.verdict() {
                return cancelled;
            }
        }
        false
    }

    /// Is what runs in this scope cancelled, by it or by a visible encloser?
    pub(super) fn effectively_cancelled(&self) -> bool {
        self.verdict().unwrap_or_else(|| self.encloser_cancelled())
    }

    /// What this node alone decides for what is inside it; `None`: ask the next one up.
    fn verdict(&self) -> Option<bool> {
        let flags = self.flags.load(SeqCst);
        if flags & OPAQUE != 0 {
            Some(false)
        } else if flags & CANCELLED != 0 {
            Some(true)
        } else {
            (flags & SHIELD != 0).then_some(false)
        }
    }

    pub(super) fn root(&self) -> Option<Arc<Root>> {
        let own = self.lock().root.clone();
        own.or_else(|| self.ancestors().find_map(|node| node.lock().root.clone()))
    }

    /// The earliest end of a teardown that runs around us, across shields.
    pub(super) fn teardown_at(&self) -> Option<Duration> {
        let own = self.lock().teardown_at;
        self.ancestors().filter_map(|node| node.lock().teardown_at).chain(own).min()
    }

    /// Cancels the run that goes on this long after now, and each later one this long after its
    /// entry; `None`: never. From any thread.
    pub(super) fn set_timeout(&self, after: Option<Duration>) {
        loop {
            let now = self.now();
            self.lock().limit.set(after, now);
            // A run that began meanwhile has read the old limit.
            if now.is_some() || self.now().is_none() {
                break;
            }
        }
        self.set(MOVED);
        self.notify();
    }

    /// What is left of the time until the scope cancels itself; `None`: it does not.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let now = self.now();
        let left = self.lock().limit.left(now);
        if self.is(CANCELLED) { Some(Duration::ZERO) } else { left }
    }

    /// The same for what runs inside, which sees the enclosers, up to a shield.
    pub(super) fn visible_time_left(self: &Arc<Self>) -> Option<Duration> {
        let mut least = None;
        for node in iter::successors(Some(self.clone()), |node| node.parent()) {
            if node.is(OPAQUE) {
                break;
            }
            least = [least, node.time_left()].into_iter().flatten().min();
            if node.is(SHIELD) {
                break;
            }
        }
        least
    }

    /// The executor's time, while this is in a tree.
    fn now(&self) -> Option<Duration> {
        self.root().map(|root| root.now())
    }

    pub(super) fn holds(&self) -> usize {
        self.holds.load(SeqCst)
    }

    /// One more hold here. Only the first one is told upward.
    pub(super) fn hold(&self) {
        if self.holds.fetch_add(1, SeqCst) == 0 {
            for node in self.ancestors() {
                if node.holds.fetch_add(1, SeqCst) != 0 {
                    break;
                }
            }
        }
    }

    /// One hold less. Only the last one is told upward.
    pub(super) fn release(&self) {
        if self.release_one() {
            for node in self.ancestors() {
                if !node.release_one() {
                    break;
                }
            }
        }
    }

    fn release_one(&self) -> bool {
        let before = self.holds.fetch_sub(1, SeqCst);
        // A waiting scope sees this at the end of its own poll; the wake is for a frame that was
        // moved out of it and is dropped elsewhere. It may keep one hold for itself, hence 2.
        if before <= 2 && self.is(WAITING) {
            self.notify();
        }
        before == 1
    }
}

/// The waker of a nursery's child.
impl Wake for Node {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}
