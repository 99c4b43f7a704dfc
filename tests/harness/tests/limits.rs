//! Limits hold: whatever a peer sends, what the core keeps of it is bounded by its settings, it
//! does not panic, and a dialog on another connection goes on and ends as it should.
//!
//! What is counted is what the core allocates while it takes bytes in: the peak of its live bytes,
//! over what it had before. What it hands out (events, effects) is dropped at once, as its limits
//! are those of who takes it; how much that may be is bounded by credit.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The first thing in every test.
fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn assert_alone() {
    let is_alone = matches!(ALONE.try_lock(), Err(TryLockError::WouldBlock));
    assert!(is_alone, "a test takes `alone()` before it allocates");
}

#[path = "limits/bodies.rs"]
mod bodies;
#[path = "limits/bombs.rs"]
mod bombs;
#[path = "limits/costs.rs"]
mod costs;
#[path = "limits/crowds.rs"]
mod crowds;
#[path = "limits/deaf.rs"]
mod deaf;
#[path = "limits/pins.rs"]
mod pins;
#[path = "limits/siege.rs"]
mod siege;
#[path = "limits/storms.rs"]
mod storms;
