//! The tree's registry: names to addresses, kept by the registrar alone.
//!
//! # Invariants
//! R1  A record that came over a lease connection goes when that connection goes.  (protocol §6.6)
//! R2  Only its owner changes a record. A report that nobody answers there drops a base peer's,
//!     and never a leased one.                                                        (§6.6)
//! R3  Every waiter is answered once, or its connection is gone.                      (§6.6)

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::addr::Address;
use crate::id::{Cid, ConnId, Text, Uid};

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
    /// Counts up with each registration, so that the youngest is found first.
    epoch: u64,
}

/// Somebody remote who waits for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) conn: ConnId,
    pub(crate) cid: Cid,
    pub(crate) name: Text,
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

/// Bytes of a name or of an address's parts: what a path may be. They are kept for long.
const TEXT_LEN_MAX: usize = 4096;

/// The part of the places for waiters that one connection may take.
const WAITERS_SHARE: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Registry {
    records: BTreeMap<Uid, Record>,
    waiters: Vec<Waiter>,
    epochs: u64,
}

impl Registry {
    /// Adds an address. Returns the waiters that are served by it.
    pub(crate) fn register(
        &mut self,
        uid: &Uid,
        addr: Address,
        owner: Owner,
        max: usize,
    ) -> Result<Vec<Waiter>, Refusal> {
        if matches!(&addr, Address::Uds { dir, file } if dir.len() + file.len() > TEXT_LEN_MAX) {
            return Err(Refusal::TooLong);
        }
        if self.holder(&addr).is_some_and(|(other, r)| other != uid && r.owner != Owner::Uid) {
            return Err(Refusal::NotOwner);
        }
        let full = self.records.len() >= max;
        match self.records.get_mut(uid) {
            Some(record) if record.owner != owner => return Err(Refusal::NotOwner),
            Some(record) if record.addrs.contains(&addr) => {}
            Some(record) if record.addrs.len() >= ADDRS_MAX => return Err(Refusal::Full),
            Some(record) => record.addrs.push(addr.clone()),
            None if full => return Err(Refusal::Full),
            None => {
                self.epochs += 1;
                let record = Record { addrs: alloc::vec![addr.clone()], owner, epoch: self.epochs };
                self.records.insert(uid.detached(), record);
            }
        }
        self.evict(uid, &addr);
        let (served, waiting) =
            core::mem::take(&mut self.waiters).into_iter().partition(|w| w.name == uid.name);
        self.waiters = waiting;
        Ok(served)
    }

    fn holder(&self, addr: &Address) -> Option<(&Uid, &Record)> {
        self.records.iter().find(|(_, r)| r.addrs.contains(addr))
    }

    /// Somebody else listens at the address now, so a base peer that had it has ended.
    fn evict(&mut self, now_of: &Uid, addr: &Address) {
        for (uid, record) in &mut self.records {
            if uid != now_of {
                record.addrs.retain(|a| a != addr);
            }
        }
        self.records.retain(|_, r| !r.addrs.is_empty());
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
        self.records.remove(uid);
        Ok(())
    }

    /// The connection is gone, and what it leased and waited for with it. Whether records went.
    pub(crate) fn conn_gone(&mut self, conn: ConnId) -> bool {
        let before = self.records.len();
        self.records.retain(|_, r| r.owner != Owner::Lease(conn));
        self.waiters.retain(|w| w.conn != conn);
        before != self.records.len()
    }

    /// A child of ours has ended: a record that it made, as a base peer does, has nobody behind it
    /// any more. Whether there was one.
    pub(crate) fn process_gone(&mut self, uid: &Uid) -> bool {
        let owned = self.records.get(uid).is_some_and(|record| record.owner == Owner::Uid);
        owned && self.records.remove(uid).is_some()
    }

    /// An address of the youngest actor of this name or id.
    pub(crate) fn find(&self, name: &str) -> Option<&Address> {
        let matches = |(uid, _): &(&Uid, &Record)| uid.name == *name || uid.uuid == *name;
        let found = self.records.iter().filter(matches).max_by_key(|(_, r)| r.epoch);
        found.and_then(|(_, r)| r.addrs.last())
    }

    /// All addresses of all actors of this name, the oldest first.
    pub(crate) fn find_all(&self, name: &str) -> Vec<Address> {
        let mut found: Vec<&Record> =
            self.records.iter().filter(|(uid, _)| uid.name == *name).map(|(_, r)| r).collect();
        found.sort_by_key(|r| r.epoch);
        found.into_iter().flat_map(|r| r.addrs.iter().cloned()).collect()
    }

    /// Remembers somebody who waits.
    pub(crate) fn wait(&mut self, waiter: Waiter, max: usize) -> Result<(), Refusal> {
        if waiter.name.as_str().len() > TEXT_LEN_MAX {
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

    /// The uid that has this address, if its record may be dropped on a report (base peers only:
    /// a lease proves that its owner lives).
    pub(crate) fn drop_dead(&mut self, addr: &Address) -> Option<Uid> {
        let (uid, record) = self.holder(addr)?;
        let uid = uid.clone();
        if record.owner != Owner::Uid {
            return None;
        }
        self.records.remove(&uid);
        Some(uid)
    }

    /// All records, the oldest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Uid, &[Address])> {
        let mut all: Vec<(&Uid, &Record)> = self.records.iter().collect();
        all.sort_by_key(|(_, r)| r.epoch);
        all.into_iter().map(|(uid, r)| (uid, r.addrs.as_slice()))
    }
}
