//! When a scope cancels itself.

use std::time::{Duration, Instant};

/// The deadlines of a scope: what was asked for, and what that means for the run that goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limit {
    /// From the entry of a run.
    timeout: Option<Duration>,
    /// On the system's clock.
    deadline: Option<Instant>,
    /// Of the run that goes on, on the executor's clock.
    expires: Option<Duration>,
}

impl Limit {
    /// One more timeout: the earliest counts.
    pub(super) fn add_timeout(&mut self, after: Duration) {
        self.timeout = earliest(self.timeout, Some(after));
    }

    /// One more deadline: the earliest counts.
    pub(super) fn add_deadline(&mut self, at: Instant) {
        self.deadline = earliest(self.deadline, Some(at));
    }

    /// This timeout, and no other deadline. `now`: of the executor, while a body runs. One that
    /// is just beginning reads it again, hence in both forms.
    pub(super) fn set(&mut self, after: Option<Duration>, now: Option<Duration>) {
        let expires = after.zip(now).map(|(after, now)| now.saturating_add(after));
        *self = Self { timeout: after, deadline: None, expires };
    }

    /// A run begins. `now`: of the executor.
    pub(super) fn begin(&mut self, now: Duration) {
        if let Some(left) = self.left_at_entry() {
            self.expires = Some(now.saturating_add(left));
        }
    }

    pub(super) fn end(&mut self) {
        self.expires = None;
    }

    pub(super) fn expires(&self) -> Option<Duration> {
        self.expires
    }

    /// What is left of the time. `now`: of the executor, while a body runs.
    pub(super) fn left(&self, now: Option<Duration>) -> Option<Duration> {
        match now {
            Some(now) => self.expires.map(|at| at.saturating_sub(now)),
            None => self.left_at_entry(),
        }
    }

    fn left_at_entry(&self) -> Option<Duration> {
        let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        earliest(self.timeout, left)
    }
}

fn earliest<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    a.into_iter().chain(b).min()
}
