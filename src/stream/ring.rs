//! The last items of a stream, and how far each of its readers has come. Waits for nothing.
//!
//! ```text
//!   number of the item   17   18   19   20 | 21
//!   held                  a    b    c    d |         capacity 4: pushing number 21 drops `a`
//!   readers                    ^         ^   ^
//!                        at 18: 3 behind     at 21: nothing to read
//! ```
//!
//! A reader that has not read the oldest item in time finds that out when it reads: it is told once
//! how many it missed, and goes on at the oldest that is held.
//!
//! # Invariants
//! R1  The items that are held are the last that were pushed: at most `capacity`, and not longer
//!     together than so many of `ITEM_LEN`. The newest is held, be it ever so long.
//! R2  A reader gets every item that is pushed after it joined, in order, or is told how many of
//!     them it missed, where they would have been.
//! R3  No reader is ahead of what was pushed.

use std::collections::VecDeque;

/// How long items may be on average, in bytes, before fewer are held than there is room for: they
/// come from a peer, which must not choose how much we keep.
const ITEM_LEN: usize = 16 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Ring<T> {
    /// With their lengths.
    held: VecDeque<(T, usize)>,
    /// How long they are together.
    len: usize,
    capacity: usize,
    /// The number of the item that is pushed next.
    next: u64,
    /// For each reader, the number of the item that it reads next. A place is used again.
    readers: Vec<Option<u64>>,
}

/// A reader's place in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(usize);

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<T> {
    /// Its next item.
    Item(T),
    /// So many items are gone that it had not read.
    Lagged(u64),
    /// It has read all there is.
    Nothing,
}

impl<T: Clone> Ring<T> {
    /// A ring that holds so many items, at least one.
    pub(super) fn new(capacity: usize) -> Ring<T> {
        let (held, readers) = (VecDeque::new(), Vec::new());
        Ring { held, len: 0, capacity: capacity.max(1), next: 0, readers }
    }

    /// Holds at least so many from now on.
    pub(super) fn grow(&mut self, capacity: usize) {
        self.capacity = self.capacity.max(capacity);
    }

    /// Another reader: its first item is the next that is pushed.
    pub(super) fn join(&mut self) -> Place {
        let free = self.readers.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.readers.push(None);
            self.readers.len() - 1
        });
        self.readers[place] = Some(self.next);
        Place(place)
    }

    /// One reader less.
    pub(super) fn leave(&mut self, place: Place) {
        self.readers[place.0] = None;
    }

    /// The reader's next item, and that it has read it.
    pub(super) fn read(&mut self, place: Place) -> Read<T> {
        let oldest = self.oldest();
        let Some(at) = &mut self.readers[place.0] else { return Read::Nothing };
        if *at < oldest {
            let missed = oldest - *at;
            *at = oldest;
            return Read::Lagged(missed);
        }
        // What is held is counted by a usize, so a number among it is one.
        let Some((item, _)) = self.held.get((*at - oldest) as usize) else { return Read::Nothing };
        *at += 1;
        Read::Item(item.clone())
    }

    /// The newest item, and how long it is. The oldest go, when there is no room.
    pub(super) fn push(&mut self, item: T, len: usize) {
        for (_, gone) in self.held.drain(..self.displaced(len)) {
            self.len -= gone;
        }
        self.held.push_back((item, len));
        self.len += len;
        self.next += 1;
        debug_assert!(self.held.len() <= self.capacity, "R1");
        debug_assert!(self.held.len() == 1 || self.len <= self.capacity.saturating_mul(ITEM_LEN));
        debug_assert!(self.readers.iter().flatten().all(|at| *at <= self.next), "R3");
    }

    /// Whether to push an item of that length takes away what a reader has not read, which has not
    /// lost anything yet.
    pub(super) fn is_risky(&self, len: usize) -> bool {
        let oldest = self.oldest();
        let lost = oldest..oldest + self.displaced(len) as u64;
        self.readers.iter().flatten().any(|at| lost.contains(at))
    }

    /// How many of the oldest items make room for another one of that length.
    fn displaced(&self, len: usize) -> usize {
        let len_max = self.capacity.saturating_mul(ITEM_LEN);
        let mut left = self.len.saturating_add(len);
        for (index, (_, gone)) in self.held.iter().enumerate() {
            if self.held.len() - index < self.capacity && left <= len_max {
                return index;
            }
            left -= gone;
        }
        self.held.len()
    }

    /// The number of the item that is pushed next: how many there were.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// How many items were pushed that the reader has not read, be they held or gone.
    pub(super) fn behind(&self, place: Place) -> u64 {
        self.readers[place.0].map_or(0, |at| self.next - at)
    }

    /// How many readers there are.
    pub(super) fn readers(&self) -> usize {
        self.readers.iter().flatten().count()
    }

    /// How many items are held, and how many can be.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.held.len(), self.capacity)
    }

    fn oldest(&self) -> u64 {
        self.next - self.held.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes the items up to `to`, each the number that it has.
    fn push_to(ring: &mut Ring<u64>, to: u64) {
        while ring.next() < to {
            ring.push(ring.next(), 1);
        }
    }

    /// Reads until nothing is left.
    fn drain(ring: &mut Ring<u64>, place: Place) -> Vec<Read<u64>> {
        let mut all = Vec::new();
        loop {
            match ring.read(place) {
                Read::Nothing => return all,
                read => all.push(read),
            }
        }
    }

    #[test]
    fn every_reader_gets_every_item_in_order() {
        let mut ring = Ring::new(4);
        let readers = [ring.join(), ring.join(), ring.join()];
        for to in [3, 4, 8, 9] {
            push_to(&mut ring, to);
            for reader in readers {
                let first = ring.next() - ring.behind(reader);
                let expected: Vec<_> = (first..to).map(Read::Item).collect();
                assert_eq!(drain(&mut ring, reader), expected);
                assert_eq!(ring.behind(reader), 0);
            }
        }
    }

    #[test]
    fn overtaken_reader_is_told_once_and_goes_on_at_the_oldest() {
        let mut ring = Ring::new(4);
        let (slow, fast) = (ring.join(), ring.join());
        for n in 0..10 {
            ring.push(n, 1);
            assert_eq!(ring.read(fast), Read::Item(n));
        }
        assert_eq!(ring.behind(slow), 10);
        assert_eq!(ring.read(slow), Read::Lagged(6));
        assert_eq!(ring.behind(slow), 4, "the oldest that is held");
        assert_eq!(drain(&mut ring, slow), [6, 7, 8, 9].map(Read::Item));
        push_to(&mut ring, 11);
        assert_eq!(ring.read(slow), Read::Item(10), "that is forgotten");
    }

    #[test]
    fn one_more_than_fits_is_one_missed() {
        let mut ring = Ring::new(4);
        let reader = ring.join();
        push_to(&mut ring, 4);
        assert_eq!(ring.read(reader), Read::Item(0), "full, and nothing is gone");
        push_to(&mut ring, 6);
        assert_eq!(ring.read(reader), Read::Lagged(1));
        assert_eq!(ring.read(reader), Read::Item(2));
    }

    #[test]
    fn who_joins_late_starts_with_the_next_item() {
        let mut ring = Ring::new(4);
        let first = ring.join();
        push_to(&mut ring, 6);
        let late = ring.join();
        assert_eq!(ring.read(late), Read::Nothing);
        push_to(&mut ring, 7);
        assert_eq!(drain(&mut ring, late), [Read::Item(6)]);
        assert_eq!(ring.behind(first), 7);
    }

    #[test]
    fn places_are_used_again() {
        let mut ring = Ring::new(1);
        let [a, b] = [ring.join(), ring.join()];
        ring.leave(a);
        assert_eq!((ring.readers(), ring.behind(a)), (1, 0));
        push_to(&mut ring, 2);
        assert_eq!(ring.join(), a);
        assert_eq!(ring.readers(), 2);
        assert_eq!(ring.read(a), Read::Nothing, "not what the one before it had not read");
        assert_eq!(ring.read(b), Read::Lagged(1));
    }

    #[test]
    fn risk_is_for_who_would_lose_its_first_item() {
        let mut ring = Ring::new(2);
        let (slow, fast) = (ring.join(), ring.join());
        push_to(&mut ring, 2);
        drain(&mut ring, fast);
        assert!(ring.is_risky(1), "{slow:?} has not read the oldest");
        push_to(&mut ring, 3);
        drain(&mut ring, fast);
        assert!(!ring.is_risky(1), "it has lost one already: there is no waiting for it any more");
        assert_eq!(ring.read(slow), Read::Lagged(1));
        assert!(ring.is_risky(1));
        ring.read(slow);
        assert!(!ring.is_risky(1));
        ring.leave(slow);
        push_to(&mut ring, 5);
        assert!(ring.is_risky(1), "{fast:?} has not");
    }

    #[test]
    fn ring_grows_and_holds_at_least_one() {
        let mut ring = Ring::new(0);
        let reader = ring.join();
        push_to(&mut ring, 2);
        assert_eq!(ring.size(), (1, 1));
        ring.grow(3);
        ring.grow(2);
        push_to(&mut ring, 9);
        assert_eq!(ring.size(), (3, 3));
        let rest = [Read::Lagged(6), Read::Item(6), Read::Item(7), Read::Item(8)];
        assert_eq!(drain(&mut ring, reader), rest);
    }

    #[test]
    fn long_items_displace_more_than_one() {
        let mut ring = Ring::new(4);
        let reader = ring.join();
        for n in 0..4 {
            ring.push(n, ITEM_LEN / 2);
        }
        assert_eq!(ring.read(reader), Read::Item(0));
        assert!(!ring.is_risky(ITEM_LEN), "number 0 is all that goes");
        assert!(ring.is_risky(3 * ITEM_LEN), "1 goes too, and is not read");
        ring.push(4, 3 * ITEM_LEN);
        assert_eq!(ring.size(), (3, 4));
        assert_eq!(ring.read(reader), Read::Lagged(1));
        ring.push(5, 100 * ITEM_LEN);
        assert_eq!(ring.size(), (1, 4), "the newest is held");
        assert_eq!(drain(&mut ring, reader), [Read::Lagged(3), Read::Item(5)]);
        ring.push(6, 1);
        assert_eq!(ring.size(), (1, 4), "it alone was too long");
        assert_eq!(drain(&mut ring, reader), [Read::Item(6)]);
        assert_eq!(ring.len, 1);
    }

    /// Against the simplest thing that does the same: a log of everything, and positions in it.
    #[test]
    fn random_steps_agree_with_a_log() {
        let mut state = 0x9e37_79b9_u64;
        let mut below = move |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        for capacity in 1..6 {
            let mut ring = Ring::new(capacity as usize);
            let mut readers: Vec<(Place, u64)> = Vec::new();
            for _ in 0..2_000 {
                match (below(8), readers.len()) {
                    (0, 0..5) => readers.push((ring.join(), ring.next())),
                    (1, 1..) => {
                        let (place, _) = readers.swap_remove(below(readers.len() as u64) as usize);
                        ring.leave(place);
                    }
                    (2..5, _) | (_, 0) => ring.push(ring.next(), 1),
                    (_, len) => {
                        let (place, at) = &mut readers[below(len as u64) as usize];
                        let oldest = ring.next().saturating_sub(capacity);
                        let expected = match *at {
                            at if at < oldest => Read::Lagged(oldest - at),
                            at if at == ring.next() => Read::Nothing,
                            at => Read::Item(at),
                        };
                        *at = match &expected {
                            Read::Lagged(missed) => *at + missed,
                            Read::Item(_) => *at + 1,
                            Read::Nothing => *at,
                        };
                        assert_eq!(ring.read(*place), expected);
                    }
                }
                assert_eq!(ring.readers(), readers.len());
            }
        }
    }
}
