//! Lists of wakers: who waits for one thing. Who waits no more takes its waker out again, so that a
//! list is no longer than the number of those who wait.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use crate::slab::Slab;
use crate::sync::{Mutex, MutexGuard};

/// Wakers of the futures that wait for one thing. Each is woken once, and registers again.
#[derive(Default)]
pub(crate) struct Wakers(Option<Arc<List>>);

/// Shared with those who are in it, to take themselves out.
pub(crate) struct List(Mutex<Entries>);

struct Entries {
    wakers: Slab<Waker>,
    /// How often all were taken out: an older index means nothing.
    round: u64,
}

impl List {
    fn new() -> Arc<Self> {
        Arc::new(List(Mutex::new(Entries { wakers: Slab::new(), round: 0 })))
    }

    /// Nothing but clones of wakers runs under this lock, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wakers {
    /// Registers who waits: a future of ours with its [`Waiter`], another with its mere waker.
    pub(crate) fn add(&mut self, who: impl Register) {
        who.register(self.0.get_or_insert_with(List::new));
    }

    /// Takes all out, to be woken outside of the lock.
    pub(crate) fn take(&mut self) -> Vec<Waker> {
        let Some(list) = &self.0 else { return Vec::new() };
        let mut entries = list.lock();
        entries.round += 1;
        entries.wakers.take()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |list| list.lock().wakers.iter().count())
    }
}

impl fmt::Debug for Wakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wakers")
    }
}

/// Who can be put into a list.
pub(crate) trait Register {
    #[doc(hidden)]
    fn register(self, list: &Arc<List>);
}

/// Without a place to remember: it stays until all are woken. For what is polled over and over by
/// one task, which counts once.
impl Register for &Waker {
    fn register(self, list: &Arc<List>) {
        let mut entries = list.lock();
        if !entries.wakers.iter().any(|known| known.will_wake(self)) {
            entries.wakers.insert(self.clone());
        }
    }
}

/// The lists that a future is in: two are the most that any waits for. Dropped, it is in none.
#[derive(Default)]
pub(crate) struct Places([Option<Place>; 2]);

struct Place {
    list: Arc<List>,
    round: u64,
    index: usize,
}

/// A future that waits, in one poll of it.
pub(crate) struct Waiter<'a> {
    waker: &'a Waker,
    places: &'a mut Places,
    /// Wakers that it had before: dropped when no lock is held, as that may run anything.
    stale: Vec<Waker>,
}

impl Places {
    pub(crate) fn waiter<'a>(&'a mut self, waker: &'a Waker) -> Waiter<'a> {
        Waiter { waker, places: self, stale: Vec::new() }
    }

    /// Where it is registered in `list`, or could be.
    fn place(&mut self, list: &Arc<List>) -> &mut Option<Place> {
        let [first, second] = &mut self.0;
        let is_free = |place: &Option<Place>| match place {
            None => true,
            Some(place) => Arc::ptr_eq(&place.list, list),
        };
        if is_free(first) || !is_free(second) { first } else { second }
    }
}

impl Register for &mut Waiter<'_> {
    fn register(self, list: &Arc<List>) {
        let place = self.places.place(list);
        if let Some(other) = place.take_if(|place| !Arc::ptr_eq(&place.list, list)) {
            self.stale.extend(other.leave());
        }
        let mut entries = list.lock();
        let round = entries.round;
        let known = place.as_ref().filter(|place| place.round == round);
        match known.and_then(|place| entries.wakers.get_mut(place.index)) {
            Some(known) if known.will_wake(self.waker) => {}
            Some(known) => self.stale.push(std::mem::replace(known, self.waker.clone())),
            None => {
                let index = entries.wakers.insert(self.waker.clone());
                *place = Some(Place { list: list.clone(), round, index });
            }
        }
    }
}

impl Place {
    /// Takes the waker out, if it was not woken since.
    fn leave(self) -> Option<Waker> {
        let mut entries = self.list.lock();
        if entries.round == self.round { entries.wakers.remove(self.index) } else { None }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        for place in self.0.iter_mut().filter_map(Option::take) {
            drop(place.leave());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn waker() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), Waker::from(count))
    }

    #[test]
    fn who_waits_no_more_is_in_no_list() {
        let mut wakers = Wakers::default();
        let (_, kept) = waker();
        let mut stays = Places::default();
        wakers.add(&mut stays.waiter(&kept));
        for _ in 0..1000 {
            let (count, waker) = waker();
            let mut places = Places::default();
            wakers.add(&mut places.waiter(&waker));
            wakers.add(&mut places.waiter(&waker));
            assert_eq!(wakers.len(), 2);
            drop((places, waker));
            assert_eq!(Arc::strong_count(&count), 1, "its task is free");
        }
        assert_eq!(wakers.take().len(), 1);
    }

    #[test]
    fn two_waits_of_one_task_are_two() {
        let mut wakers = Wakers::default();
        let (count, waker) = waker();
        let (mut one, mut two) = (Places::default(), Places::default());
        wakers.add(&mut one.waiter(&waker));
        wakers.add(&mut two.waiter(&waker));
        drop(one);
        wakers.take().into_iter().for_each(Waker::wake);
        assert_eq!(count.0.load(SeqCst), 1, "the other one still waits");
    }

    #[test]
    fn a_woken_waiter_does_not_take_another_one_out() {
        let mut wakers = Wakers::default();
        let (_, waker) = waker();
        let (mut old, mut new) = (Places::default(), Places::default());
        wakers.add(&mut old.waiter(&waker));
        drop(wakers.take());
        wakers.add(&mut new.waiter(&waker)); // At the index that the old one had.
        drop(old);
        assert_eq!(wakers.take().len(), 1);
    }

    #[test]
    fn the_last_waker_counts() {
        let mut wakers = Wakers::default();
        let ((before, first), (after, second)) = (waker(), waker());
        let mut places = Places::default();
        wakers.add(&mut places.waiter(&first));
        wakers.add(&mut places.waiter(&second));
        wakers.take().into_iter().for_each(Waker::wake);
        assert_eq!((before.0.load(SeqCst), after.0.load(SeqCst)), (0, 1));
    }

    #[test]
    fn a_waiter_is_in_two_lists_and_leaves_the_third_last() {
        let mut lists = [Wakers::default(), Wakers::default(), Wakers::default()];
        let (_, waker) = waker();
        let mut places = Places::default();
        for list in &mut lists {
            list.add(&mut places.waiter(&waker));
        }
        assert_eq!(lists.iter().map(Wakers::len).collect::<Vec<_>>(), [0, 1, 1]);
        drop(places);
        assert_eq!(lists.iter().map(Wakers::len).sum::<usize>(), 0);
    }

    #[test]
    fn a_mere_waker_counts_once() {
        let mut wakers = Wakers::default();
        let ((_, one), (_, two)) = (waker(), waker());
        for waker in [&one, &two, &one] {
            wakers.add(waker);
        }
        assert_eq!(wakers.take().len(), 2);
    }
}
