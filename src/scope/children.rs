//! The child set of a nursery: who is woken, is polled; who ends, is recorded.

use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::current::{View, within};
use super::link::{Link, Loss};
use super::node::{CANCELLED, Node, QUEUED, WAITING};
use super::start::Handshake;
use crate::error::{Error, Result};
use crate::slab::Slab;
use crate::sync::{Mutex, MutexGuard};

/// Children taken in per poll of the nursery. A task that starts tasks without end must not keep
/// the thread from everybody else.
const ADMITTED_MAX: usize = 1024;

type Task<'f> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'f>>;

/// Where handles put new children. It holds no child that was polled, so that a child with a handle
/// is no reference cycle.
pub(super) struct Inbox<'s> {
    node: Arc<Node>,
    state: Mutex<InboxState<'s>>,
}

struct InboxState<'s> {
    new: Vec<Child<'s>>,
    /// Of children whose starter was gone before it read how they failed.
    errors: Vec<Error>,
    /// The nursery is in its poll and looks here before it leaves: no need to wake it.
    polling: bool,
    closed: bool,
}

impl InboxState<'_> {
    fn is_empty(&self) -> bool {
        self.new.is_empty() && self.errors.is_empty()
    }
}

impl<'s> Inbox<'s> {
    pub(super) fn new() -> Self {
        let state =
            InboxState { new: Vec::new(), errors: Vec::new(), polling: false, closed: false };
        Self { node: Node::new(0), state: Mutex::new(state) }
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub(super) fn new_child(&self) -> Arc<Node> {
        Node::child_of(&self.node)
    }

    fn lock(&self) -> MutexGuard<'_, InboxState<'s>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(
        &self,
        node: Arc<Node>,
        start: Option<Arc<dyn Handshake + 's>>,
        task: Task<'s>,
    ) {
        let child = Child::new(node, start, task);
        let (refused, wake) = {
            let mut state = self.lock();
            if state.closed {
                (Some(child), false)
            } else {
                state.new.push(child);
                (None, !state.polling)
            }
        };
        if wake {
            self.node.notify();
        }
        if let Some(child) = refused {
            log::warn!(target: "tractor::scope", "a task was started in a nursery that has ended");
            child.refuse();
        }
    }

    /// An error that nobody has read, for the nursery.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            log::warn!(target: "tractor::scope", "nobody has read how a task failed: {error}");
            return;
        }
        state.errors.push(error);
        let wake = !state.polling;
        drop(state);
        if wake {
            self.node.notify();
        }
    }

    /// Ends the nursery if nothing new came in.
    fn close_if_empty(&self) -> bool {
        let mut state = self.lock();
        state.closed = state.is_empty();
        state.closed
    }

    fn set_polling(&self, polling: bool) -> bool {
        let mut state = self.lock();
        state.polling = polling;
        !state.is_empty()
    }

    fn take_errors(&self) -> Vec<Error> {
        mem::take(&mut self.lock().errors)
    }

    /// The new children; `batch` must be empty and lends its buffer.
    fn take(&self, batch: &mut Vec<Child<'s>>) -> bool {
        let mut state = self.lock();
        mem::swap(&mut state.new, batch);
        !batch.is_empty()
    }
}

/// One task of a nursery. It is a scope: its node is what the scopes inside attach to, what counts
/// their holds, what its waker wakes.
struct Child<'f> {
    node: Option<Arc<Node>>,
    waker: Waker,
    task: Task<'f>,
    start: Option<Arc<dyn Handshake + 'f>>,
    polled: bool,
    told: View,
}

/// How a child left its poll.
enum Polled {
    Suspended,
    Ended(Result<()>),
    /// To be dropped: cancelled, suspended, and nothing inside to wait for.
    Cut,
}

impl<'f> Child<'f> {
    fn new(node: Arc<Node>, start: Option<Arc<dyn Handshake + 'f>>, task: Task<'f>) -> Self {
        let waker = Waker::from(node.clone());
        Self { node: Some(node), waker, task, start, polled: false, told: View::default() }
    }

    fn node(&self) -> &Arc<Node> {
        self.node.as_ref().expect("the node is away only while the task is polled")
    }

    /// `outer`: what the nursery lets its children see. `grace_over`: holds count no more.
    fn poll(&mut self, outer: View, grace_over: bool) -> Polled {
        // Before the poll, so that a wake-up during it counts; our own cancellation is one, too.
        self.node().clear(QUEUED);
        let cancelled = outer.cancelled || self.node().is(CANCELLED);
        if cancelled && self.may_drop(grace_over) {
            return Polled::Cut;
        }
        let view = View { cancelled, beyond: outer.beyond };
        if view != self.told {
            self.told = view;
            self.node().notify_kids();
        }
        match self.poll_task(view) {
            Err(panic) => return Polled::Ended(Err(panic)),
            Ok(Poll::Ready(result)) => return Polled::Ended(result),
            Ok(Poll::Pending) => {}
        }
        if !cancelled {
            return Polled::Suspended;
        }
        // Mark first, then look: see `Link::again`.
        self.node().set(WAITING);
        if self.may_drop(grace_over) { Polled::Cut } else { Polled::Suspended }
    }

    fn may_drop(&self, grace_over: bool) -> bool {
        self.polled && (grace_over || self.node().holds() == 0)
    }

    fn poll_task(&mut self, view: View) -> Result<Poll<Result<()>>> {
        self.polled = true;
        let (node, task) = (&mut self.node, self.task.as_mut());
        let mut cx = Context::from_waker(&self.waker);
        let poll = AssertUnwindSafe(|| within(node, view, || task.poll(&mut cx)));
        catch_unwind(poll).map_err(Error::from_panic)
    }

    /// Drops the task; what its destructors panic with is an error.
    fn drop_task(self) -> (Option<Arc<dyn Handshake + 'f>>, Result<()>) {
        let Self { task, start, .. } = self;
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(task)));
        (start, dropped.map_err(Error::from_panic))
    }

    /// The nursery has ended. Nobody is left to tell but the starter.
    fn refuse(self) {
        let (start, dropped) = self.drop_task();
        let left = match start {
            Some(start) => start.ended(dropped.and(Err(Error::Cancelled)), true),
            None => dropped,
        };
        if let Err(error) = left {
            log::warn!(target: "tractor::scope", "the destructor of a refused task: {error}");
        }
    }
}

/// The frame of a nursery: its link, its children (the body is one of them), their errors.
pub(super) struct Children<'s, 'f> {
    inbox: Arc<Inbox<'s>>,
    set: Slab<Child<'f>>,
    /// In order of arrival.
    errors: Vec<Error>,
    cut_by_encloser: bool,
    /// Buffers that are kept from poll to poll.
    ready: Vec<usize>,
    new: Vec<Child<'s>>,
    /// Dropped last: what is inside finds the actor through it.
    link: Link,
}

impl<'s: 'f, 'f> Children<'s, 'f> {
    pub(super) fn new(inbox: Arc<Inbox<'s>>, body: Task<'f>) -> Self {
        let mut children = Self {
            link: Link::new(inbox.node.clone(), Loss::NoHold),
            inbox,
            set: Slab::new(),
            errors: Vec::new(),
            cut_by_encloser: false,
            ready: Vec::new(),
            new: Vec::new(),
        };
        let body = Child::new(children.inbox.new_child(), None, body);
        let node = body.node().clone();
        node.place(children.set.insert(body));
        node.notify();
        children
    }

    /// One poll of the nursery. Ready, with the errors, once every child has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Error>> {
        let outer = self.link.enter(cx);
        self.inbox.set_polling(true);
        let mut admitted = 0;
        let mut again = false;
        loop {
            let (view, news) = self.link.observe(outer);
            self.poll_woken(view, news || again);
            admitted += self.admit(view, ADMITTED_MAX.saturating_sub(admitted));
            for error in self.inbox.take_errors() {
                self.record(error, false);
            }
            if self.set.is_empty() && self.inbox.close_if_empty() {
                return Poll::Ready(mem::take(&mut self.errors));
            }
            again = self.link.again(outer, view, cx);
            if !again || admitted >= ADMITTED_MAX {
                break;
            }
        }
        if self.inbox.set_polling(false) || again {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Polls the children that were woken, or all, each once.
    fn poll_woken(&mut self, view: View, all: bool) {
        let mut ready = mem::take(&mut self.ready);
        // Also when all are polled: the list must be empty for its next entry to wake us.
        self.inbox.node.take_ready(&mut ready);
        if all {
            ready.clear();
            ready.extend(0..self.set.bound());
        }
        for index in ready.drain(..) {
            self.poll_child(index, view);
        }
        self.ready = ready;
    }

    /// Takes new children in, and polls each once: those that they start, too.
    fn admit(&mut self, view: View, max: usize) -> usize {
        let mut admitted = 0;
        let mut new = mem::take(&mut self.new);
        while admitted < max && self.inbox.take(&mut new) {
            for child in new.drain(..) {
                admitted += 1;
                let node = child.node().clone();
                let index = self.set.insert(child);
                node.place(index);
                self.poll_child(index, view);
            }
        }
        self.new = new;
        admitted
    }

    fn poll_child(&mut self, index: usize, view: View) {
        let grace_over = self.link.grace_over();
        let Some(child) = self.set.get_mut(index) else { return };
        let polled = child.poll(view, grace_over);
        if matches!(polled, Polled::Suspended) {
            return;
        }
        let failed = !matches!(polled, Polled::Ended(Ok(())));
        let cancelled = (failed || child.start.is_some()) && child.node().effectively_cancelled();
        let Some(child) = self.set.remove(index) else { return };
        let (start, dropped) = child.drop_task();
        let ended = match polled {
            Polled::Ended(result) => result.and(dropped),
            _ => dropped.and(Err(Error::Cancelled)),
        };
        let left = match start {
            Some(start) => start.ended(ended, cancelled),
            None => ended,
        };
        if let Err(error) = left {
            self.record(error, cancelled);
        }
    }

    fn record(&mut self, error: Error, cancelled: bool) {
        if cancelled && matches!(error, Error::Cancelled) {
            self.cut_by_encloser |= self.link.node().encloser_cancelled();
        } else {
            self.errors.push(error);
            self.link.node().set(CANCELLED);
        }
    }

    /// Did an encloser's cancellation cut a child? Then the nursery's value is not to be trusted.
    pub(super) fn cut_by_encloser(&self) -> bool {
        self.cut_by_encloser
    }

    pub(super) fn park(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.park(cx)
    }
}

impl Drop for Children<'_, '_> {
    fn drop(&mut self) {
        let new = {
            let mut state = self.inbox.lock();
            state.closed = true;
            mem::take(&mut state.new)
        };
        // In a place of its own, as a child's destructor may come back for the inbox.
        drop(new);
    }
}
