//! Asking every registrar: where a tree has several, each knows its own actors alone.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use tractor_core::{Address, ConnId, Uid};

use super::registrars::{self, Lost, is_gone};
use crate::error::{Error, Result};
use crate::shared::Shared;

/// Who is registered, and where.
pub(super) type Actors = Vec<(Uid, Vec<Address>)>;

/// Asks all registrars at once something that each answers when it happens, until one has. Who goes
/// meanwhile is waited for, or its successor; who comes meanwhile is asked as well.
///
/// # Errors
/// What the first has refused with, once all have; [`Error::Registrar`] when none can be reached;
/// [`Error::Cancelled`].
pub(super) async fn first<T, Asked>(
    shared: &Arc<Shared>,
    ask: impl Fn(ConnId) -> Asked,
) -> Result<T>
where
    Asked: Future<Output = Result<T>>,
{
    let mut lost = Lost::default();
    loop {
        if let Some(answer) = round(shared, &mut lost, &ask).await? {
            return Ok(answer);
        }
    }
}

/// As [`first`], but `None` when by then these are not the registrars any more.
pub(super) async fn round<T, Asked>(
    shared: &Arc<Shared>,
    lost: &mut Lost,
    ask: impl Fn(ConnId) -> Asked,
) -> Result<Option<T>>
where
    Asked: Future<Output = Result<T>>,
{
    let conns = registrars::reach(shared).await?;
    let asked = conns.iter().map(|conn| Box::pin(ask(*conn))).collect();
    match first_of(asked, registrars::until_others(shared, &conns)).await {
        Err(error) if is_gone(&error) => lost.rest(shared).await.map(|()| None),
        answer => answer,
    }
}

/// The first answer; `None` when there are other registrars first.
async fn first_of<T>(
    mut asked: Vec<Pin<Box<impl Future<Output = Result<T>>>>>,
    others: impl Future<Output = Result<()>>,
) -> Result<Option<T>> {
    let mut others = pin!(others);
    let mut failed = None;
    poll_fn(|cx| {
        let mut at = 0;
        while let Some(one) = asked.get_mut(at) {
            match one.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(answer)) => return Poll::Ready(Ok(Some(answer))),
                Poll::Ready(Err(Error::Cancelled)) => return Poll::Ready(Err(Error::Cancelled)),
                // It refuses, or has gone: another one may do better.
                Poll::Ready(Err(error)) => {
                    failed = failed.take().or(Some(error));
                    drop(asked.remove(at));
                }
            }
        }
        if let Some(error) = failed.take_if(|_| asked.is_empty()) {
            return Poll::Ready(Err(error));
        }
        others.as_mut().poll(cx).map(|others| others.map(|()| None))
    })
    .await
}

/// What each of them says, one after the other: it is for what they answer at once. Of one that has
/// gone by then, or refuses, there is nothing.
///
/// # Errors
/// When none has an answer: as [`first`].
pub(super) async fn each<T, Asked>(
    shared: &Arc<Shared>,
    ask: impl Fn(ConnId) -> Asked,
) -> Result<Vec<T>>
where
    Asked: Future<Output = Result<T>>,
{
    let mut lost = Lost::default();
    loop {
        let mut answers = Vec::new();
        let mut failed = None;
        for conn in registrars::reach(shared).await? {
            match ask(conn).await {
                Ok(answer) => answers.push(answer),
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) if answers.is_empty() && is_gone(&error) => lost.rest(shared).await?,
            Some(error) if answers.is_empty() => return Err(error),
            _ => return Ok(answers),
        }
    }
}

/// One record for each actor, with all the addresses that any of them knows.
pub(super) fn merged(records: impl IntoIterator<Item = (Uid, Vec<Address>)>) -> Actors {
    let mut merged = Actors::new();
    let mut places = BTreeMap::new();
    for (uid, addrs) in records {
        let at = *places.entry(uid.clone()).or_insert(merged.len());
        if at == merged.len() {
            merged.push((uid, Vec::new()));
        }
        let known = &mut merged[at].1;
        known.extend(addrs.into_iter().filter(|addr| !known.contains(addr)).collect::<Vec<_>>());
    }
    merged
}
