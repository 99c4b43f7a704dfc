//! Being told who comes and goes under a name.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tractor_core::msg::{Features, RegistryTag, Request, codec};
use tractor_core::{Address, ConnId, Text, Uid};

use super::every::{self, Actors};
use super::{is_registrar, registrars, wrong_reply};
use crate::current;
use crate::error::{Error, Result};
use crate::scope;
use crate::shared::Shared;
use crate::wait::wait;

/// How often a base registrar is asked, which tells nothing by itself.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// What has happened under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// An actor can be reached; or one that could be before, now at these addresses.
    Added {
        /// Who.
        uid: Uid,
        /// Where, in the order in which to try.
        addrs: Vec<Address>,
    },
    /// An actor can't be reached any more.
    Gone {
        /// Who.
        uid: Uid,
    },
}

/// The actors of one name, as they come and go: made by [`watch`]. It asks only while it is read.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    name: Text,
    /// What was told.
    known: BTreeMap<Uid, Vec<Address>>,
    changes: VecDeque<Change>,
    /// What each registrar said last.
    seen: BTreeMap<ConnId, Seen>,
}

/// What a registrar said.
#[derive(Clone, Debug)]
struct Seen {
    /// Its own, and none from a base registrar.
    tag: Option<RegistryTag>,
    actors: Actors,
    /// When, on the executor's clock.
    at: Duration,
}

/// Watches a name: first those that are there are added, then whoever comes, and gone is who goes.
///
/// The registrar tells of a change when it happens; a base registrar is asked every 0.5 s. What is
/// read late is told as it is by then: who came and went in between is not told of. When the
/// registrar is replaced, its actors are gone until they have registered with the next.
///
/// # Errors
/// [`Error::NoCurrentActor`].
pub fn watch(name: impl Into<String>) -> Result<Watch> {
    let shared = current::actor().ok_or(Error::NoCurrentActor)?;
    Ok(Watch {
        shared,
        name: Text::from(name.into()),
        known: BTreeMap::new(),
        changes: VecDeque::new(),
        seen: BTreeMap::new(),
    })
}

impl Watch {
    /// The next change.
    ///
    /// # Errors
    /// [`Error::Registrar`] when no registrar could be reached for 3 s: it may be read on after
    /// that. [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe: no change is lost.
    pub async fn next(&mut self) -> Result<Change> {
        scope::check()?;
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Ok(change);
            }
            let actors = match is_registrar(&self.shared) {
                true => self.own_news().await?,
                false => self.news().await?,
            };
            self.take(actors);
        }
    }

    /// Finds out what has changed.
    fn take(&mut self, actors: Actors) {
        let now: BTreeMap<Uid, Vec<Address>> = actors.into_iter().collect();
        for uid in self.known.keys().filter(|uid| !now.contains_key(uid)) {
            self.changes.push_back(Change::Gone { uid: uid.clone() });
        }
        for (uid, addrs) in now.iter().filter(|(uid, addrs)| self.known.get(uid) != Some(addrs)) {
            let (uid, mut addrs) = (uid.clone(), addrs.clone());
            Address::nearest_first(&mut addrs);
            self.changes.push_back(Change::Added { uid, addrs });
        }
        self.known = now;
    }

    /// What our own registry says, once that is something else.
    async fn own_news(&self) -> Result<Actors> {
        wait(&self.shared, |inner, waker| {
            let actors = inner.core.records(self.name.as_str());
            let same = actors.len() == self.known.len()
                && actors.iter().all(|(uid, addrs)| self.known.get(uid) == Some(addrs));
            if !same {
                return Poll::Ready(actors);
            }
            inner.registry_wakers.add(waker);
            Poll::Pending
        })
        .await
    }

    /// What the registrars say together, once that may be something else.
    async fn news(&mut self) -> Result<Actors> {
        let mut lost = registrars::Lost::default();
        while !self.forget_the_gone() {
            let round = every::round(&self.shared, &mut lost, |conn| self.news_of(conn)).await?;
            if let Some((conn, seen)) = round {
                self.seen.insert(conn, seen);
                break;
            }
        }
        Ok(every::merged(self.seen.values().flat_map(|seen| seen.actors.iter().cloned())))
    }

    /// What a registrar said goes with it, as long as another one stands. Whether anything did.
    fn forget_the_gone(&mut self) -> bool {
        let standing = registrars::standing(&self.shared.lock());
        let before = self.seen.len();
        if !standing.is_empty() {
            self.seen.retain(|conn, _| standing.contains(conn));
        }
        before != self.seen.len()
    }

    /// What one of them says, once that may be something else than before.
    async fn news_of(&self, conn: ConnId) -> Result<(ConnId, Seen)> {
        let features = self.shared.lock().core.negotiated(conn);
        let seen = match features.has(Features::WATCH) {
            true => self.wait_at(conn).await,
            false => self.poll_at(conn).await,
        };
        Ok((conn, seen?))
    }

    async fn wait_at(&self, conn: ConnId) -> Result<Seen> {
        let seen = self.seen.get(&conn).and_then(|seen| seen.tag);
        let request = Request::Watch { name: self.name.clone(), seen };
        let reply = match seen {
            Some(_) => registrars::wait_at(&self.shared, conn, request).await?,
            None => registrars::ask_at(&self.shared, conn, request).await?,
        };
        let records = codec::decode_records(&reply).map_err(wrong_reply)?;
        let (actors, at) = (records.actors, self.shared.executor.now());
        Ok(Seen { tag: Some(records.tag), actors, at })
    }

    async fn poll_at(&self, conn: ConnId) -> Result<Seen> {
        if let Some(seen) = self.seen.get(&conn) {
            let due = seen.at.saturating_add(POLL_INTERVAL);
            scope::sleep(due.saturating_sub(self.shared.executor.now())).await?;
        }
        let mut actors = registrars::list(&self.shared, conn).await?;
        actors.retain(|(uid, _)| uid.name == self.name);
        Ok(Seen { tag: None, actors, at: self.shared.executor.now() })
    }
}
