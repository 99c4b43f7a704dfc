//! A timer that touches its reactor only when it must fire earlier than it is registered for.
//!
//! Registering mostly wakes the reactor, and a deadline that is pushed back with every message
//! would do so for nothing: a later deadline (or none) keeps the old registration, whose one early
//! wakeup then registers the rest of the way.

use std::fmt::Debug;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::Timer;
use crate::sync::now;

/// What [`Executor::now`](crate::Executor::now) counts from. One for the process, so that times of
/// two executors compare.
pub(crate) static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A reactor's own timer.
pub(crate) trait Alarm: Debug + Send {
    /// Registers for `at`; `None` is never.
    fn register(&mut self, at: Option<Instant>);

    /// Ready when the time has come that it is registered for.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

#[derive(Debug)]
pub(crate) struct LazyTimer<A> {
    alarm: A,
    /// What `alarm` is set to; `None` before the first and after it fired.
    registered: Option<Duration>,
    /// What it should fire at. Never before `registered` once polled.
    deadline: Option<Duration>,
}

impl<A: Alarm> LazyTimer<A> {
    pub(crate) fn new(alarm: A) -> Self {
        Self { alarm, registered: None, deadline: None }
    }

    fn register(&mut self, at: Duration) {
        // Further than the clock can say is never.
        self.alarm.register(EPOCH.checked_add(at));
        self.registered = Some(at);
    }
}

impl<A: Alarm> Timer for LazyTimer<A> {
    fn set(&mut self, at: Option<Duration>) {
        self.deadline = at;
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        if self.registered.is_none_or(|registered| registered > deadline) {
            self.register(deadline);
        }
        loop {
            ready!(self.alarm.poll(cx));
            self.registered = None;
            if now().saturating_duration_since(*EPOCH) >= deadline {
                self.deadline = None;
                return Poll::Ready(());
            }
            self.register(deadline);
        }
    }
}
