//! A slab: values kept at indices that are used again. Nothing that a registry would add.

use std::mem;

#[derive(Debug)]
enum Slot<T> {
    Full(T),
    /// The next vacant index, or [`END`].
    Vacant(usize),
}

impl<T> Slot<T> {
    fn full(self) -> Option<T> {
        match self {
            Slot::Full(value) => Some(value),
            Slot::Vacant(_) => None,
        }
    }
}

const END: usize = usize::MAX;

/// Values at stable indices; insert and remove in constant time.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    vacant: usize,
    len: usize,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), vacant: END, len: 0 }
    }

    pub(crate) fn insert(&mut self, value: T) -> usize {
        self.len += 1;
        let at = self.vacant;
        let Some(slot) = self.slots.get_mut(at) else {
            self.slots.push(Slot::Full(value));
            return self.slots.len() - 1;
        };
        if let Slot::Vacant(next) = mem::replace(slot, Slot::Full(value)) {
            self.vacant = next;
        }
        at
    }

    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let slot = self.slots.get_mut(at)?;
        if matches!(slot, Slot::Vacant(_)) {
            return None;
        }
        self.len -= 1;
        mem::replace(slot, Slot::Vacant(mem::replace(&mut self.vacant, at))).full()
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        match self.slots.get_mut(at) {
            Some(Slot::Full(value)) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Full(value) => Some(value),
            Slot::Vacant(_) => None,
        })
    }

    /// Takes all values out.
    pub(crate) fn take(&mut self) -> Vec<T> {
        let slots = mem::take(&mut self.slots).into_iter();
        *self = Self::new();
        slots.filter_map(Slot::full).collect()
    }

    /// One more than the largest index ever used.
    pub(crate) fn bound(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}
