//! The locks and threads of the runtime: those of `std`; and where interleavings are checked
//! (docs/testing.md), those of the checker, which runs one thread at a time.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread, thread_local,
};

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{
    sync::{Mutex, MutexGuard, atomic},
    thread, thread_local,
};

#[cfg(all(test, shuttle))]
pub(crate) use crate::tests::Condvar;
