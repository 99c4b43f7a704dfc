//! Threads for blocking work: made when they are needed, up to a limit, and gone when they are not.
//!
//! # Invariants
//! * **B1** There are as many permits as threads may be, and a job comes with one. So for each job
//!   that waits in the queue there is a thread that has none, or soon will, or is being made.
//! * **B2** A permit that comes back goes to who waits the longest. While anybody waits, none is
//!   free.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard, thread};

/// What a thread is to do. It holds the permit, and gives it back.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The name of each thread, as debuggers and `/proc/<pid>/task/*/comm` show it.
const THREAD_NAME: &str = "tractor-unblock";

/// See the module.
pub(super) struct Pool {
    threads_max: usize,
    idle_time: Duration,
    state: Mutex<State>,
    /// Told of a new job when a thread waits for one.
    new_job: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Permits that are given, or granted.
    permits: usize,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
    /// Counts turns.
    next: u64,
    /// Who waits for a permit, in order.
    waiting: BTreeMap<u64, Waker>,
    /// Who was given one, and has not fetched it.
    granted: BTreeSet<u64>,
}

impl State {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Pool {
    pub(super) fn new(threads_max: usize, idle_time: Duration) -> Arc<Self> {
        let (state, new_job) = (Mutex::default(), Condvar::new());
        Arc::new(Self { threads_max, idle_time, state, new_job })
    }

    /// No code of others runs under this lock but clones of wakers, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To wait for a permit with.
    pub(super) fn turn(self: &Arc<Self>) -> Turn {
        Turn { pool: self.clone(), place: None }
    }

    /// Has a thread do `job`. When there is none, and the system makes none, it is dropped.
    pub(super) fn submit(self: &Arc<Self>, job: Job) {
        let needs_thread = {
            let mut state = self.lock();
            // Those that wait in the queue have the idle threads for themselves.
            let needs_thread = state.idle <= state.jobs.len() && state.threads < self.threads_max;
            state.threads += usize::from(needs_thread);
            state.jobs.push_back(job);
            needs_thread
        };
        if !needs_thread {
            self.new_job.notify_one();
            return;
        }
        let pool = self.clone();
        let made = thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || pool.work());
        if let Err(error) = made {
            log::warn!(target: "tractor::runtime", "no thread for a blocking call: {error}");
            self.without_thread();
        }
    }

    /// The system makes no thread: jobs wait for those that are there already, or for one that is
    /// being made; the last that fails takes them all along.
    fn without_thread(&self) {
        let stranded = {
            let mut state = self.lock();
            state.threads -= 1;
            match state.threads {
                0 => std::mem::take(&mut state.jobs),
                _ => VecDeque::new(),
            }
        };
        drop(stranded);
    }

    /// The life of a thread.
    fn work(&self) {
        while let Some(job) = self.next_job() {
            // The job catches its own panics; what is left is a destructor of its result.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                log::warn!(target: "tractor::runtime", "the result of a blocking call panicked");
            }
        }
    }

    /// `None`: there was none for long enough, and the thread is counted out.
    fn next_job(&self) -> Option<Job> {
        let mut state = self.lock();
        if state.jobs.is_empty() {
            state.idle += 1;
            let waited =
                self.new_job.wait_timeout_while(state, self.idle_time, |s| s.jobs.is_empty());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
        }
        let job = state.jobs.pop_front();
        state.threads -= usize::from(job.is_none());
        job
    }

    /// A permit is free: for the next in line, or for whoever comes.
    fn give_back(&self) {
        let mut state = self.lock();
        let next = state.waiting.pop_first();
        match &next {
            Some((place, _)) => {
                state.granted.insert(*place);
            }
            None => state.permits -= 1,
        }
        drop(state);
        if let Some((_, waker)) = next {
            waker.wake();
        }
    }

    #[cfg(test)]
    pub(super) fn threads(&self) -> usize {
        self.lock().threads
    }
}

/// The right to have one job done.
pub(super) struct Permit(Arc<Pool>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// A place in the line for a permit. Dropped, it is free again, or whoever is next gets the permit.
pub(super) struct Turn {
    pool: Arc<Pool>,
    place: Option<u64>,
}

impl Turn {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Permit> {
        let mut state = self.pool.lock();
        match self.place {
            None if state.permits < self.pool.threads_max => state.permits += 1,
            Some(place) if state.granted.remove(&place) => self.place = None,
            place => {
                let place = place.unwrap_or_else(|| state.next());
                let old = state.waiting.insert(place, cx.waker().clone());
                drop(state);
                drop(old);
                self.place = Some(place);
                return Poll::Pending;
            }
        }
        drop(state);
        Poll::Ready(Permit(self.pool.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = self.pool.lock();
        let waker = state.waiting.remove(&place);
        let granted = state.granted.remove(&place);
        drop(state);
        drop(waker);
        if granted {
            self.pool.give_back();
        }
    }
}
