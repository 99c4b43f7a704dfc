//! How the threads inside `block_on` wait: one for the reactor, the others for their wakers.
//!
//! ```text
//!            woken                       ┌─> has the seat: waits for the reactor, for all
//!   runs ─────────────> runs ── sleeps ──┤        then offers the seat to one that parks
//!                                        └─> parks: until it is woken, or offered the seat
//! ```
//!
//! Invariant: while a thread parks, some thread has the seat, or was offered it and did not answer
//! yet, or is about to look for whom to offer it. Who parks has put itself on the list *before* it
//! tried the seat once more; who leaves the seat looks at the list *after* it has left. And who was
//! offered the seat but is woken for something else passes the offer on.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use super::reactor::{Due, Poller, Reactor};
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::thread::{self, Thread};
use crate::sync::{Mutex, MutexGuard, now};

/// A thread that does not come to sleep looks what is ready after so long.
const BUSY_MAX: Duration = Duration::from_micros(200);

/// The threads that wait for one reactor.
#[derive(Debug)]
pub(crate) struct Parking {
    reactor: Arc<Reactor>,
    /// Those that wait without the seat.
    parked: Mutex<Vec<Arc<Sleeper>>>,
}

impl Parking {
    pub(crate) fn new(reactor: Arc<Reactor>) -> Self {
        Self { reactor, parked: Mutex::default() }
    }

    pub(crate) fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    /// Polls `future` on this thread until it has ended, and waits in between.
    pub(crate) fn block_on(&self, mut future: Pin<&mut dyn Future<Output = ()>>) {
        let me = Arc::new(Sleeper {
            state: AtomicU8::new(RUNS),
            thread: thread::current(),
            reactor: Arc::clone(&self.reactor),
        });
        let waker = Waker::from(Arc::clone(&me));
        let mut cx = Context::from_waker(&waker);
        let mut due = Due::default();
        let mut busy_since = now();
        loop {
            // A swap: whoever has set it before has what it did before seen by this poll.
            me.state.swap(RUNS, Ordering::SeqCst);
            if future.as_mut().poll(&mut cx).is_ready() {
                return;
            }
            let sleepy = me.state.load(Ordering::SeqCst) != WOKEN;
            if sleepy {
                self.sleep(&me, &mut due);
            } else if now() - busy_since >= BUSY_MAX {
                self.look(&mut due);
            } else {
                continue;
            }
            busy_since = now();
            due.wake();
        }
    }

    fn look(&self, due: &mut Due) {
        if let Some(mut seat) = self.free_seat() {
            self.reactor.look(seat.poller(), due);
        }
    }

    /// Sleeps until `me` is woken, or has found others to wake.
    fn sleep(&self, me: &Arc<Sleeper>, due: &mut Due) {
        let Some(mut seat) = self.seat(me) else { return };
        self.reactor.wait(seat.poller(), || me.change(RUNS, WAITS), due);
        me.take(WAITS);
    }

    /// The seat, when nobody has it.
    fn free_seat(&self) -> Option<Seat<'_>> {
        self.reactor.poller().map(|poller| Seat { poller: Some(poller), parking: self })
    }

    /// Gets the seat; `None` when `me` was woken before.
    fn seat(&self, me: &Arc<Sleeper>) -> Option<Seat<'_>> {
        if let Some(seat) = self.free_seat() {
            return Some(seat);
        }
        loop {
            self.parked().push(Arc::clone(me));
            if let Some(seat) = self.free_seat() {
                self.leave(me);
                me.take(OFFERED);
                return Some(seat);
            }
            me.park();
            if !me.take(OFFERED) {
                let was_offered_it_too = !self.leave(me);
                if was_offered_it_too {
                    self.offer_seat();
                }
                return None;
            }
        }
    }

    /// Wakes one that parks, to take the seat.
    fn offer_seat(&self) {
        let mut parked = self.parked();
        let Some(next) = parked.pop() else { return };
        // Under the lock: who is on the list was not offered it, who is not was.
        let parks = next.offer();
        drop(parked);
        if parks {
            next.thread.unpark();
        }
    }

    /// False when it was offered the seat, and so is no more on the list.
    fn leave(&self, me: &Arc<Sleeper>) -> bool {
        let mut parked = self.parked();
        let place = parked.iter().position(|one| Arc::ptr_eq(one, me));
        place.map(|place| parked.swap_remove(place)).is_some()
    }

    fn parked(&self) -> MutexGuard<'_, Vec<Arc<Sleeper>>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the one thread holds that waits for the reactor. Who leaves it offers it to another.
struct Seat<'a> {
    /// There until the drop.
    poller: Option<MutexGuard<'a, Poller>>,
    parking: &'a Parking,
}

impl Seat<'_> {
    fn poller(&mut self) -> &mut Poller {
        self.poller.as_mut().expect("it is taken only by the drop")
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.poller.take();
        self.parking.offer_seat();
    }
}

/// Runs its future, or is about to wait.
const RUNS: u8 = 0;
/// Woken since it looked last.
const WOKEN: u8 = 1;
/// Has the seat and waits: whoever wakes it interrupts the reactor.
const WAITS: u8 = 2;
/// Waits without the seat: whoever wakes it unparks the thread.
const PARKS: u8 = 3;
/// Offered the seat.
const OFFERED: u8 = 4;

/// One thread's stay in `block_on`; its waker.
#[derive(Debug)]
struct Sleeper {
    state: AtomicU8,
    thread: Thread,
    reactor: Arc<Reactor>,
}

impl Sleeper {
    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Back to running, if it is in this state.
    fn take(&self, state: u8) -> bool {
        self.change(state, RUNS)
    }

    /// Blocks the thread until it is woken or offered the seat.
    fn park(&self) {
        if self.change(RUNS, PARKS) {
            while self.state.load(Ordering::SeqCst) == PARKS {
                thread::park();
            }
        }
    }

    /// Offers the seat, and says whether the thread is to be unparked for it. One that is woken,
    /// too, finds that it is no more on the list.
    fn offer(&self) -> bool {
        // In this order: one that runs may park in between, and only a wakeup ends that.
        !self.change(RUNS, OFFERED) && self.change(PARKS, OFFERED)
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match self.state.swap(WOKEN, Ordering::SeqCst) {
            WAITS => self.reactor.interrupt(),
            PARKS => self.thread.unpark(),
            _ => {}
        }
    }
}
