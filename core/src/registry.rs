//! The registry: names to addresses, kept by the registrar alone.
//!
//! # Invariants
//! R1  A record that came over a lease connection goes when that connection goes.  (protocol §6.6)
//! R2  Only its owner changes a record, with two exceptions. A report that nobody answers there
//!     drops a base peer's, once that was found to be so, and never a leased one. And whoever is
//!     found at an address takes it from who had it.                                  (§6.6)
//! R3  Every waiter is answered once, or its connection is gone.                      (§6.6)
//! R4  An address is in one record at most.
//! R5  What is asked for is found without going through all records.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::addr::Address;
use crate::id::{Cid, ConnId, Text, Uid};
use crate::msg::RegistryTag;
use crate::time::Instant;

/// Who may change a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This actor itself.
    Us,
    /// Whoever holds this connection: the record ends with it.
    Lease(ConnId),
    /// Whoever comes with the same uid: base peers close their connection at once.
    Uid,
}

#[derive(Clone, Debug)]
struct Record {
    addrs: Vec<Address>,
    owner: Owner,
    /// Counts up with each new record, so that the youngest is found first.
    epoch: u64,
    /// When it last changed, on the same count.
    stamp: u64,
    /// When it was last known that its actor lives, if nothing but that tells of its end.
    proven: Instant,
    /// When it was last asked, or else heard of.
    asked: Instant,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// That there is an actor of the name.
    Any,
    /// That what the name stands for is not what it was then.
    Changed(RegistryTag),
}

/// Somebody remote who waits for news of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) conn: ConnId,
    pub(crate) cid: Cid,
    pub(crate) name: Text,
    pub(crate) until: Until,
}

/// Why a registration was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotOwner,
    Full,
    TooLong,
}

impl Refusal {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Refusal::NotOwner => "this record belongs to another actor",
            Refusal::Full => "the registry is full",
            Refusal::TooLong => "no name or address is that long",
        }
    }

    /// The type of the error that tells of it.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Refusal::NotOwner => "PermissionError",
            Refusal::Full => "RuntimeError",
            Refusal::TooLong => "ValueError",
        }
    }
}

/// Addresses of one record: more than an actor has transports. Everybody is sent all of them.
const ADDRS_MAX: usize = 16;

/// Bytes of an address's parts: more than a socket's path can have.
const PATH_LEN_MAX: usize = 256;

/// Bytes of a name that is waited for. They are kept for long.
const NAME_LEN_MAX: usize = 4096;

/// The part of the places for waiters that one connection may take.
const WAITERS_SHARE: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Registry {
    records: BTreeMap<Uid, Record>,
    /// The same by name and by id, the oldest first.
    by_text: BTreeMap<Text, BTreeMap<u64, Uid>>,
    by_addr: BTreeMap<Address, Uid>,
    by_lease: BTreeMap<ConnId, BTreeSet<Uid>>,
    /// Those of base peers by when they were last asked, or else heard of.
    by_asked: BTreeSet<(Instant, Uid)>,
    waiters: Vec<Waiter>,
    /// Names whose actors have changed since that was last asked.
    changed: BTreeSet<Text>,
    count: u64,
}

impl Registry {
    /// Adds an address. `now` is when its actor is known to live.
    pub(crate) fn register(
        &mut self,
        uid: &Uid,
        addr: Address,
        owner: Owner,
        now: Instant,
        max: usize,
    ) -> Result<(), Refusal> {
        if matches!(&addr, Address::Uds { dir, file } if dir.len() + file.len() > PATH_LEN_MAX) {
            return Err(Refusal::TooLong);
        }
        if self.by_addr.get(&addr).is_some_and(|holder| holder != uid) {
            return Err(Refusal::NotOwner);
        }
        let full = self.records.len() >= max;
        match self.records.get_mut(uid) {
            Some(record) if record.owner != owner => return Err(Refusal::NotOwner),
            Some(record) if record.addrs.contains(&addr) => {
                self.lives(uid, now);
                return Ok(());
            }
            Some(record) if record.addrs.len() >= ADDRS_MAX => return Err(Refusal::Full),
            Some(_) => {}
            None if full => return Err(Refusal::Full),
            None => self.insert(uid.detached(), owner),
        }
        self.add_addr(uid, addr, now);
        Ok(())
    }

    fn insert(&mut self, uid: Uid, owner: Owner) {
        self.count += 1;
        let epoch = self.count;
        for text in [&uid.name, &uid.uuid] {
            self.by_text.entry(text.clone()).or_default().insert(epoch, uid.clone());
        }
        if let Owner::Lease(conn) = owner {
            self.by_lease.entry(conn).or_default().insert(uid.clone());
        }
        let (addrs, proven) = (Vec::new(), Instant::default());
        let record = Record { addrs, owner, epoch, stamp: epoch, proven, asked: proven };
        self.records.insert(uid, record);
    }

    fn add_addr(&mut self, uid: &Uid, addr: Address, now: Instant) {
        let Some(record) = self.records.get_mut(uid) else { return };
        self.count += 1;
        record.stamp = self.count;
        record.addrs.push(addr.clone());
        self.lives(uid, now);
        self.by_addr.insert(addr, uid.detached());
        self.changed.insert(uid.name.detached());
    }

    /// Takes an address out of a record, which goes with its last.
    fn drop_addr(&mut self, uid: &Uid, addr: &Address) {
        let Some(record) = self.records.get_mut(uid) else { return };
        self.count += 1;
        record.stamp = self.count;
        record.addrs.retain(|a| a != addr);
        self.by_addr.remove(addr);
        self.changed.insert(uid.name.detached());
        if record.addrs.is_empty() {
            self.remove(uid);
        }
    }

    fn remove(&mut self, uid: &Uid) {
        let Some(record) = self.records.remove(uid) else { return };
        self.by_asked.remove(&(record.asked, uid.clone()));
        for addr in &record.addrs {
            self.by_addr.remove(addr);
        }
        for text in [&uid.name, &uid.uuid] {
            if let Some(same) = self.by_text.get_mut(text) {
                same.remove(&record.epoch);
                if same.is_empty() {
                    self.by_text.remove(text);
                }
            }
        }
        if let Owner::Lease(conn) = record.owner
            && let Some(leased) = self.by_lease.get_mut(&conn)
        {
            leased.remove(uid);
            if leased.is_empty() {
                self.by_lease.remove(&conn);
            }
        }
        self.changed.insert(uid.name.detached());
    }

    /// Drops a record. Not there is fine. One that is leased is not dropped by the name alone,
    /// which anybody can claim.
    pub(crate) fn unregister(
        &mut self,
        uid: &Uid,
        asker: &Uid,
        conn: ConnId,
    ) -> Result<(), Refusal> {
        let Some(record) = self.records.get(uid) else { return Ok(()) };
        let may = match record.owner {
            Owner::Us => false,
            Owner::Lease(lease) => lease == conn,
            Owner::Uid => uid == asker,
        };
        if !may {
            return Err(Refusal::NotOwner);
        }
        self.remove(uid);
        Ok(())
    }

    /// The connection is gone, and what it leased and waited for with it.
    pub(crate) fn conn_gone(&mut self, conn: ConnId) {
        for uid in self.by_lease.remove(&conn).unwrap_or_default() {
            self.remove(&uid);
        }
        self.waiters.retain(|w| w.conn != conn);
    }

    /// A child of ours has ended: a record that it made, as a base peer does, has nobody behind it
    /// any more.
    pub(crate) fn process_gone(&mut self, uid: &Uid) {
        if self.records.get(uid).is_some_and(|record| record.owner == Owner::Uid) {
            self.remove(uid);
        }
    }

    /// The records of actors of this name, the oldest first.
    fn named(&self, name: &str) -> impl DoubleEndedIterator<Item = (&Uid, &Record)> {
        let same = self.by_text.get(&Text::from(name)).into_iter().flat_map(BTreeMap::values);
        let named = same.filter(move |uid| uid.name == *name);
        named.filter_map(|uid| Some((uid, self.records.get(uid)?)))
    }

    /// The addresses of the youngest actor of this name or id, the oldest first.
    pub(crate) fn find(&self, name: &str) -> &[Address] {
        let same = self.by_text.get(&Text::from(name));
        let youngest = same.and_then(|same| same.values().next_back());
        youngest.and_then(|uid| self.records.get(uid)).map_or(&[], |record| &record.addrs)
    }

    /// All addresses of all actors of this name, the oldest first.
    pub(crate) fn find_all(&self, name: &str) -> Vec<Address> {
        self.named(name).flat_map(|(_, record)| record.addrs.iter().cloned()).collect()
    }

    /// All actors of this name, the oldest first.
    pub(crate) fn records(&self, name: &str) -> impl Iterator<Item = (&Uid, &[Address])> {
        self.named(name).map(|(uid, record)| (uid, record.addrs.as_slice()))
    }

    /// What a name stands for, in short: equal tags are equal records. What changes has the highest
    /// stamp from then on; so when the highest is what it was, nothing was changed but what has
    /// gone since, and when their number is the same, nothing has gone either.
    pub(crate) fn tag(&self, name: &str) -> RegistryTag {
        let mut tag = RegistryTag::default();
        for (_, record) in self.named(name) {
            tag.stamp = tag.stamp.max(record.stamp);
            tag.count += 1;
        }
        tag
    }

    /// Base peers of this name or id of which nothing was heard since: they and an address. The
    /// youngest first.
    pub(crate) fn unproven(
        &self,
        name: &str,
        since: Instant,
    ) -> impl Iterator<Item = (&Uid, &Address)> {
        let same = self.by_text.get(&Text::from(name)).into_iter();
        let uids = same.flat_map(|same| same.values().rev());
        uids.filter_map(move |uid| {
            let record = self.records.get(uid)?;
            let old = record.owner == Owner::Uid && record.proven < since;
            Some((uid, record.addrs.last().filter(|_| old)?))
        })
    }

    /// The base peer that has this address. A lease proves by itself that its owner lives.
    pub(crate) fn base_holder(&self, addr: &Address) -> Option<&Uid> {
        let uid = self.by_addr.get(addr)?;
        (self.records.get(uid)?.owner == Owner::Uid).then_some(uid)
    }

    /// Another actor that has this address, and may have left it.
    pub(crate) fn rival(&self, uid: &Uid, addr: &Address) -> Option<&Uid> {
        let holder = self.by_addr.get(addr).filter(|holder| *holder != uid)?;
        (self.records.get(holder)?.owner != Owner::Us).then_some(holder)
    }

    /// The actor lived just now.
    fn lives(&mut self, uid: &Uid, now: Instant) {
        if let Some(record) = self.records.get_mut(uid) {
            record.proven = now;
        }
        self.asked(uid, now);
    }

    /// The actor was asked whether it lives.
    pub(crate) fn asked(&mut self, uid: &Uid, now: Instant) {
        let Some(record) = self.records.get_mut(uid) else { return };
        let before = core::mem::replace(&mut record.asked, now);
        if record.owner == Owner::Uid {
            self.by_asked.remove(&(before, uid.clone()));
            self.by_asked.insert((now, uid.detached()));
        }
    }

    /// A child of ours is there: a base peer's record loses the address.
    pub(crate) fn take_from_base(&mut self, uid: &Uid, addr: &Address) {
        if let Some(rival) = self.base_holder(addr).filter(|rival| *rival != uid).cloned() {
            self.drop_addr(&rival, addr);
        }
    }

    /// Whether a record more is one too many.
    pub(crate) fn is_full_for(&self, uid: &Uid, max: usize) -> bool {
        self.records.len() >= max && !self.records.contains_key(uid)
    }

    /// Base peers that were neither asked nor heard of since this time: they and an address. First
    /// whose turn it is.
    pub(crate) fn stalest(&self, since: Instant) -> impl Iterator<Item = (&Uid, &Address)> {
        let old = self.by_asked.iter().take_while(move |(asked, _)| *asked < since);
        old.filter_map(|(_, uid)| Some((uid, self.records.get(uid)?.addrs.last()?)))
    }

    /// The actor has answered at the address: nobody else is there.
    pub(crate) fn prove(&mut self, uid: &Uid, addr: &Address, now: Instant) {
        self.lives(uid, now);
        if let Some(rival) = self.rival(uid, addr).cloned() {
            self.drop_addr(&rival, addr);
        }
    }

    /// Nobody of that uid answers at the address.
    pub(crate) fn drop_dead(&mut self, uid: &Uid, addr: &Address) {
        if self.base_holder(addr) == Some(uid) {
            self.drop_addr(&uid.clone(), addr);
        }
    }

    /// Remembers somebody who waits.
    pub(crate) fn wait(&mut self, waiter: Waiter, max: usize) -> Result<(), Refusal> {
        if waiter.name.as_str().len() > NAME_LEN_MAX {
            return Err(Refusal::TooLong);
        }
        let of_conn = self.waiters.iter().filter(|w| w.conn == waiter.conn).count();
        if self.waiters.len() >= max || of_conn >= max.div_ceil(WAITERS_SHARE) {
            return Err(Refusal::Full);
        }
        self.waiters.push(waiter);
        Ok(())
    }

    /// Forgets somebody who no longer wants to wait. Whether they did.
    pub(crate) fn stop_waiting(&mut self, conn: ConnId, cid: &Cid) -> bool {
        let before = self.waiters.len();
        self.waiters.retain(|w| w.conn != conn || w.cid != *cid);
        before != self.waiters.len()
    }

    /// Whether somebody waits under this name of a dialog.
    pub(crate) fn has_waiter(&self, conn: ConnId, cid: &Cid) -> bool {
        self.waiters.iter().any(|w| w.conn == conn && w.cid == *cid)
    }

    /// The waiters who have what they wait for; `None` when nothing has changed.
    pub(crate) fn take_changes(&mut self) -> Option<Vec<Waiter>> {
        let changed = core::mem::take(&mut self.changed);
        if changed.is_empty() {
            return None;
        }
        let waiters = core::mem::take(&mut self.waiters);
        let tags: BTreeMap<&Text, RegistryTag> =
            changed.iter().map(|name| (name, self.tag(name.as_str()))).collect();
        let (served, waiting) = waiters.into_iter().partition(|waiter| {
            tags.get(&waiter.name).is_some_and(|tag| match waiter.until {
                Until::Any => tag.count > 0,
                Until::Changed(seen) => *tag != seen,
            })
        });
        self.waiters = waiting;
        Some(served)
    }

    /// All records, the oldest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Uid, &[Address])> {
        let mut all: Vec<(&Uid, &Record)> = self.records.iter().collect();
        all.sort_by_key(|(_, r)| r.epoch);
        all.into_iter().map(|(uid, r)| (uid, r.addrs.as_slice()))
    }
}

#[cfg(test)]
mod tests;
