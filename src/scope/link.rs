//! A scope's frame: its membership of the tree, and the poll that every kind of scope shares.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tractor_executors::Timer;

use super::current::{self, View};
use super::node::{BUSY, CANCELLED, CAUGHT, MOVED, Node, OPAQUE, SHIELD, WAITING};
use super::root::Root;

/// What it means that a frame is dropped while it holds its enclosers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Cannot be: the frame does not hold.
    NoHold,
    /// Nothing: the frame's owner hands the cleanup on.
    HandedOn,
    /// A cleanup was cut.
    Always,
    /// A cleanup was cut if the teardown's time was over. Else a foreign future dropped us, and the
    /// owner's destructors finish the work.
    Overdue,
}

/// How the body of a scope ended.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// With a value.
    Value(T),
    /// With a panic; this is its payload.
    Panicked(Box<dyn Any + Send>),
    /// It was dropped while suspended, as its own scope or an encloser was cancelled. If both were,
    /// the encloser counts: the outermost visible cancelled scope is the one that catches.
    Cancelled {
        /// The body's own scope catches the cancellation.
        by_own_scope: bool,
    },
}

/// What one poll saw of the enclosers; constant within the poll.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outer {
    inherited: bool,
    beyond: bool,
}

/// A node's place in the tree, from the first poll of its frame to the frame's drop.
#[derive(Debug)]
pub(super) struct Link {
    /// `None` only while the body is polled: then the thread-local has it.
    node: Option<Arc<Node>>,
    /// The address of the node we are attached to, or 0. `node.state.parent` keeps it alive.
    parent: usize,
    /// Our place among the parent's kids.
    slot: usize,
    /// The waker that the node has, to compare without a lock.
    waker: Option<Waker>,
    timer: Option<Box<dyn Timer>>,
    armed: Option<Duration>,
    /// When the scope cancels itself.
    expires: Option<Duration>,
    loss: Loss,
    /// Set at the top of a tree.
    top: Option<Arc<Root>>,
    entered: bool,
    polled: bool,
    holding: bool,
    grace_over: bool,
    /// What the inner scopes were told.
    told: View,
}

impl Link {
    pub(super) fn new(node: Arc<Node>, loss: Loss) -> Self {
        Self {
            node: Some(node),
            parent: 0,
            slot: 0,
            waker: None,
            timer: None,
            armed: None,
            expires: None,
            loss,
            top: None,
            entered: false,
            polled: false,
            holding: false,
            grace_over: false,
            told: View::default(),
        }
    }

    /// The frame at the top of a tree: it has no encloser, whoever polls it.
    pub(super) fn top(node: Arc<Node>, root: Arc<Root>) -> Self {
        let mut link = Self::new(node, Loss::NoHold);
        link.top = Some(root);
        link
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        self.node.as_ref().expect("the node is away only while the body is polled")
    }

    pub(super) fn entered(&self) -> bool {
        self.entered
    }

    pub(super) fn grace_over(&self) -> bool {
        self.grace_over
    }

    /// The start of every poll: registers the waker *before* any flag is read, and follows the
    /// future to another encloser if it was moved.
    pub(super) fn enter(&mut self, cx: &mut Context<'_>) -> Outer {
        let first = !self.entered;
        if first {
            assert!(!self.node().set(BUSY), "a CancelScope runs one body at a time");
            self.entered = true;
        }
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            let old = self.node().lock().waker.replace(cx.waker().clone());
            drop(old);
        }
        let outer = if self.top.is_some() { Outer::default() } else { self.follow() };
        if first {
            self.begin();
        }
        outer
    }

    fn begin(&mut self) {
        if self.top.is_some() {
            self.node().lock().root = self.top.clone();
        }
        if self.loss != Loss::NoHold {
            self.set_hold();
        }
        let limit = self.node().lock().limit;
        if limit.left(None).is_some() {
            let now = self.node().root().expect(NO_TIME).now();
            self.node().lock().limit.begin(now);
            self.node().set(MOVED);
        }
    }

    fn follow(&mut self) -> Outer {
        let Some((view, moved)) = current::encloser(self.parent) else {
            self.detach();
            return Outer::default();
        };
        if let Some(parent) = moved {
            self.detach();
            self.attach(parent);
        }
        let shield = self.node().is(SHIELD);
        Outer {
            inherited: view.cancelled && !shield,
            beyond: view.beyond || (view.cancelled && shield),
        }
    }

    fn attach(&mut self, parent: Arc<Node>) {
        self.parent = current::address(&parent);
        self.slot = parent.lock().kids.insert(Arc::downgrade(self.node()));
        self.node().lock().parent = Some(parent.clone());
        if self.node().holds() > 0 {
            parent.hold();
        }
    }

    fn detach(&mut self) {
        if self.parent == 0 {
            return;
        }
        self.parent = 0;
        let Some(parent) = self.node().lock().parent.take() else { return };
        parent.lock().kids.remove(self.slot);
        if self.node().holds() > 0 {
            parent.release();
        }
    }

    pub(super) fn set_hold(&mut self) {
        if !self.holding {
            self.holding = true;
            self.node().hold();
        }
    }

    /// The work we held the enclosers for is done.
    pub(super) fn release_hold(&mut self) {
        self.node().clear(OPAQUE);
        if self.holding {
            self.holding = false;
            self.node().release();
        }
    }

    /// What the body is to see. The second value: this is new, so the direct inner scopes were
    /// woken (the observer cascades, S3).
    pub(super) fn observe(&mut self, outer: Outer) -> (View, bool) {
        let cancelled = outer.inherited || self.node().is(CANCELLED);
        self.tell(View { cancelled, beyond: outer.beyond })
    }

    fn tell(&mut self, view: View) -> (View, bool) {
        let news = (view.cancelled && !self.told.cancelled) || (view.beyond && !self.told.beyond);
        if news {
            self.node().notify_kids();
        }
        self.told = view;
        (view, news)
    }

    /// A cancelled body goes at a suspension point, and not while it has holds inside.
    fn may_drop(&self) -> bool {
        self.polled && (self.grace_over || self.node().holds() <= usize::from(self.holding))
    }

    /// Polls `poll` inside this scope.
    pub(super) fn within<R>(&mut self, view: View, poll: impl FnOnce() -> R) -> R {
        self.polled = true;
        current::within(&mut self.node, view, poll)
    }

    /// The body is suspended: has something changed during the poll that ends the wait?
    pub(super) fn again(&mut self, outer: Outer, view: View, cx: &mut Context<'_>) -> bool {
        if !view.cancelled {
            return self.node().is(CANCELLED) || self.expired(cx);
        }
        // Before the look at the holds: who releases the last one later sees the mark and wakes us.
        self.node().set(WAITING);
        if self.may_drop() {
            return true;
        }
        // Only the outermost cancelled scope keeps the time: its drop takes all the others along.
        if outer.inherited {
            return false;
        }
        let Some(at) = self.teardown_at() else { return false };
        self.grace_over = self.due(at, cx);
        self.grace_over
    }

    /// Cancels the scope if its deadline has come. Asked only once the body is suspended, so a
    /// result that is ready beats the deadline.
    fn expired(&mut self, cx: &mut Context<'_>) -> bool {
        if self.node().is(MOVED) {
            self.node().clear(MOVED); // Before the look, so that a later change is seen later.
            let limit = self.node().lock().limit;
            self.expires = limit.expires();
        }
        let Some(at) = self.expires else {
            self.disarm();
            return false;
        };
        let due = self.due(at, cx);
        if due {
            self.node().set(CANCELLED);
        }
        due
    }

    fn teardown_at(&self) -> Option<Duration> {
        let at = self.node().lock().teardown_at;
        if at.is_some() {
            return at;
        }
        let root = self.node().root()?;
        let at = root.now().saturating_add(root.budget());
        self.node().lock().teardown_at = Some(at);
        Some(at)
    }

    /// Has the time come? If not, our waker is told when it does.
    pub(super) fn due(&mut self, at: Duration, cx: &mut Context<'_>) -> bool {
        if self.timer.is_none() {
            self.timer = Some(self.node().root().expect(NO_TIME).timer());
        }
        let timer = self.timer.as_mut().expect("made above");
        if self.armed != Some(at) {
            timer.set(Some(at));
            self.armed = Some(at);
        }
        let due = timer.poll_expired(cx).is_ready();
        if due {
            // It has disarmed itself.
            self.armed = None;
        }
        due
    }

    fn disarm(&mut self) {
        if let (Some(timer), Some(_)) = (self.timer.as_mut(), self.armed.take()) {
            timer.set(None);
        }
    }

    /// One poll of a scope. Ready: the body's value, or `None` once the body was dropped because it
    /// is cancelled.
    pub(super) fn poll_body<F: Future>(
        &mut self,
        body: &mut Option<Pin<Box<F>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        let outer = self.enter(cx);
        loop {
            let (view, _) = self.observe(outer);
            if view.cancelled && self.may_drop() {
                *body = None;
                return Poll::Ready(None);
            }
            let fut = body.as_mut().expect("polled only until it has ended").as_mut();
            if let Poll::Ready(value) = self.within(view, || fut.poll(cx)) {
                return Poll::Ready(Some(value));
            }
            if !self.again(outer, view, cx) {
                return Poll::Pending;
            }
        }
    }

    /// [`poll_body`](Self::poll_body), and then the body is gone, a panic of it or of its
    /// destructors is caught, and it is known who catches the cancellation.
    pub(super) fn poll_caught<F: Future>(
        &mut self,
        body: &mut Option<Pin<Box<F>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Ended<F::Output>> {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let polled = self.poll_body(body, cx);
            if polled.is_ready() {
                *body = None;
            }
            polled
        }));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Some(value))) => Poll::Ready(Ended::Value(value)),
            Ok(Poll::Ready(None)) => {
                let by_own_scope = !self.node().encloser_cancelled();
                Poll::Ready(Ended::Cancelled { by_own_scope })
            }
            Err(payload) => {
                // A body that panicked may panic again in a destructor; the first one counts.
                drop(catch_unwind(AssertUnwindSafe(|| *body = None)));
                Poll::Ready(Ended::Panicked(payload))
            }
        }
    }

    /// From here on what runs inside is a cleanup, which sees no cancellation.
    pub(super) fn begin_cleanup(&mut self) {
        self.node().set(OPAQUE);
        // The body's own teardown is over; its end must not be taken for the cleanup's.
        self.node().lock().teardown_at = None;
        self.set_hold();
    }

    /// Polls a cleanup.
    pub(super) fn poll_cleanup<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let outer = self.enter(cx);
        let beyond = outer.beyond || outer.inherited;
        let (view, _) = self.tell(View { cancelled: false, beyond });
        self.within(view, || poll(cx))
    }

    /// Stays pending while an encloser is cancelled: it drops us in this very poll, or as soon as
    /// its last hold goes. So no user code runs after an await that the encloser has cut (S6).
    pub(super) fn park(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.enter(cx);
        if self.node().encloser_cancelled() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// The scope's own cancellation ends here.
    pub(super) fn caught(&self) {
        self.node().set(CAUGHT);
    }

    fn account_loss(&self) {
        let cut = match self.loss {
            Loss::NoHold | Loss::HandedOn => false,
            Loss::Always => true,
            Loss::Overdue => self.overdue(),
        };
        if cut && !thread::panicking() {
            Root::count_lost(self.node().root().as_ref(), "its frame was dropped");
        }
    }

    fn overdue(&self) -> bool {
        let at = self.node().teardown_at();
        self.node().root().zip(at).is_some_and(|(root, at)| root.now() >= at)
    }
}

const NO_TIME: &str =
    "a timeout needs an enclosing actor: it is the actor's executor that has timers";

impl Drop for Link {
    fn drop(&mut self) {
        if !self.entered {
            return;
        }
        if self.holding {
            self.account_loss();
        }
        self.release_hold();
        self.detach();
        let node = self.node();
        node.clear(BUSY | WAITING);
        let mut state = node.lock();
        let waker = state.waker.take();
        let root = state.root.take();
        state.limit.end();
        state.teardown_at = None;
        drop(state);
        drop((waker, root));
    }
}
