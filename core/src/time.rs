//! Time as a number that is handed in.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// Nanoseconds since some fixed moment that the driver chose. The core never reads a clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The moment `d` after the epoch.
    pub fn from_epoch(d: Duration) -> Instant {
        // 584 years fit.
        Instant(d.as_nanos() as u64)
    }

    /// The time since the epoch.
    pub fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The time until `later`; zero when that has passed.
    pub fn until(self, later: Instant) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}
impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        earlier.until(self)
    }
}
impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.since_epoch())
    }
}

/// What is due when. The smallest time first; equal times in the order of their timers, so that
/// runs are repeatable.
#[derive(Debug)]
pub(crate) struct Deadlines<T> {
    by_time: alloc::collections::BTreeSet<(Instant, T)>,
    by_timer: alloc::collections::BTreeMap<T, Instant>,
}

impl<T: Copy + Ord> Deadlines<T> {
    pub(crate) const fn new() -> Self {
        Deadlines {
            by_time: alloc::collections::BTreeSet::new(),
            by_timer: alloc::collections::BTreeMap::new(),
        }
    }

    /// Arms `timer`, instead of when it was armed for before.
    pub(crate) fn set(&mut self, timer: T, at: Instant) {
        self.clear(timer);
        self.by_timer.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, timer: T) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    /// When `timer` is due.
    pub(crate) fn at(&self, timer: T) -> Option<Instant> {
        self.by_timer.get(&timer).copied()
    }

    pub(crate) fn is_set(&self, timer: T) -> bool {
        self.by_timer.contains_key(&timer)
    }

    pub(crate) fn next(&self) -> Option<(Instant, T)> {
        self.by_time.first().copied()
    }

    /// Takes the next timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let (at, timer) = self.next()?;
        (at <= now).then(|| {
            self.clear(timer);
            timer
        })
    }
}
