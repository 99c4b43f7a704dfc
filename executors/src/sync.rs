//! The locks, the threads and the clock of this crate: those of `std`; and where interleavings are
//! checked (docs/testing.md), those of the checker, which runs one thread at a time.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread,
};

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread,
};

/// What time it is.
#[cfg(not(all(test, shuttle)))]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(all(test, shuttle))]
pub(crate) use crate::tests::clock::now;
