//! Names of things: keys into the core's tables, and the identities that go over the wire.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use bytes::Bytes;

/// A place in one of the core's tables, with a generation so that a reused place is never mistaken
/// for the old.
pub struct Key<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The key as one number, unique over the life of its arena.
    pub fn as_u64(self) -> u64 {
        (u64::from(self.generation) << 32) | u64::from(self.index)
    }

    /// The key that [`as_u64`](Self::as_u64) gave.
    pub fn from_u64(n: u64) -> Self {
        // Truncation is the point: the two halves are the two fields.
        Key { index: n as u32, generation: (n >> 32) as u32, of: PhantomData }
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Key<T> {}
impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.as_u64() == other.as_u64()
    }
}
impl<T> Eq for Key<T> {}
impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_u64().cmp(&other.as_u64())
    }
}
impl<T> core::hash::Hash for Key<T> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.as_u64().hash(state);
    }
}
impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<T> fmt::Display for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            0 => write!(f, "{}", self.index),
            g => write!(f, "{}.{g}", self.index),
        }
    }
}

/// Marks keys of connections.
#[derive(Debug)]
pub enum ConnTag {}
/// Marks keys of dialogs.
#[derive(Debug)]
pub enum DialogTag {}
/// Marks keys of children.
#[derive(Debug)]
pub enum ChildTag {}
/// Marks keys of nurseries.
#[derive(Debug)]
pub enum NurseryTag {}

/// One connection of this actor.
pub type ConnId = Key<ConnTag>;
/// One side of one dialog.
pub type DialogId = Key<DialogTag>;
/// One child process of this actor.
pub type ChildId = Key<ChildTag>;
/// One nursery of this actor.
pub type NurseryId = Key<NurseryTag>;

/// A table that hands out keys: the lowest free place first, so that runs are repeatable.
#[derive(Debug)]
pub(crate) struct Arena<T, V> {
    places: Vec<(u32, Option<V>)>,
    free: Vec<u32>,
    len: usize,
    of: PhantomData<fn() -> T>,
}

impl<T, V> Arena<T, V> {
    pub(crate) const fn new() -> Self {
        Arena { places: Vec::new(), free: Vec::new(), len: 0, of: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key<T>) -> V) -> Key<T> {
        self.len += 1;
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.places.push((0, None));
                // A table never comes near 2^32 places: every kind of entry is capped by Config.
                self.places.len() as u32 - 1
            }
        };
        let place = &mut self.places[index as usize];
        let key = Key { index, generation: place.0, of: PhantomData };
        place.1 = Some(make(key));
        key
    }

    pub(crate) fn get(&self, key: Key<T>) -> Option<&V> {
        let (generation, value) = self.places.get(key.index as usize)?;
        value.as_ref().filter(|_| *generation == key.generation)
    }

    pub(crate) fn get_mut(&mut self, key: Key<T>) -> Option<&mut V> {
        let (generation, value) = self.places.get_mut(key.index as usize)?;
        value.as_mut().filter(|_| *generation == key.generation)
    }

    pub(crate) fn remove(&mut self, key: Key<T>) -> Option<V> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.0 != key.generation {
            return None;
        }
        let value = place.1.take()?;
        place.0 = place.0.wrapping_add(1);
        self.free.push(key.index);
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key<T>> + '_ {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key<T>, &V)> {
        self.places.iter().enumerate().filter_map(|(i, (generation, value))| {
            let key = Key { index: i as u32, generation: *generation, of: PhantomData };
            value.as_ref().map(|v| (key, v))
        })
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Key<T>, &mut V)> {
        self.places.iter_mut().enumerate().filter_map(|(i, (generation, value))| {
            let key = Key { index: i as u32, generation: *generation, of: PhantomData };
            value.as_mut().map(|v| (key, v))
        })
    }
}

/// Text as it came off the wire: a slice of the frame, known to be UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Bytes);

impl Text {
    /// The text in `bytes`, if it is UTF-8.
    pub fn from_utf8(bytes: Bytes) -> Option<Text> {
        core::str::from_utf8(&bytes).ok()?;
        Some(Text(bytes))
    }

    /// A text that is known at compile time. Allocates nothing.
    pub const fn from_static(text: &'static str) -> Text {
        Text(Bytes::from_static(text.as_bytes()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Checked by every constructor; checked again because this crate has no unsafe code.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As much of the front as fits into `len` bytes.
    pub fn truncated(&self, len: usize) -> Text {
        let text = self.as_str();
        let cut = (0..=len.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        Text(self.0.slice(..cut.unwrap_or(0)))
    }

    /// A copy that no longer holds on to the frame it came in.
    pub fn detached(&self) -> Text {
        Text(Bytes::copy_from_slice(&self.0))
    }
}

impl From<&str> for Text {
    fn from(s: &str) -> Text {
        Text(Bytes::copy_from_slice(s.as_bytes()))
    }
}
impl From<String> for Text {
    fn from(s: String) -> Text {
        Text(Bytes::from(s.into_bytes()))
    }
}
impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}
impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

/// Who an actor is: the name it was given and an id that is its own for ever.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid {
    /// The name it was spawned under; not unique.
    pub name: Text,
    /// The id, a UUID in its usual text form when we made it; any text when a peer did.
    pub uuid: Text,
}

impl Uid {
    /// A copy that no longer holds on to the frame it came in.
    pub fn detached(&self) -> Uid {
        Uid { name: self.name.detached(), uuid: self.uuid.detached() }
    }

    /// The first eight characters of the id, which people read.
    pub fn short(&self) -> &str {
        let uuid = self.uuid.as_str();
        uuid.get(..8).unwrap_or(uuid)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.short())
    }
}
impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of one dialog on one connection, chosen by whoever asks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cid {
    /// The extension's form: odd from the side that connected, even from the side that accepted.
    Num(u64),
    /// The base's form: any text, a UUID as a rule.
    Text(Text),
}

impl Cid {
    /// A copy that no longer holds on to the frame it came in.
    pub fn detached(&self) -> Cid {
        match self {
            Cid::Num(n) => Cid::Num(*n),
            Cid::Text(text) => Cid::Text(text.detached()),
        }
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cid::Num(n) => write!(f, "{n}"),
            Cid::Text(t) => write!(f, "{t}"),
        }
    }
}
impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
