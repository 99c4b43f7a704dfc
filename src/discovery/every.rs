//! Asking every registrar at once: where a tree has several, each knows its own actors alone.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use tractor_core::ConnId;

use super::registrars::{self, Lost, is_gone};
use crate::error::{Error, Result};
use crate::shared::Shared;

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
        let conns = registrars::reach(shared).await?;
        let asked = conns.iter().map(|conn| Box::pin(ask(*conn))).collect();
        match first_of(asked, registrars::until_others(shared, &conns)).await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(error) if is_gone(&error) => lost.rest(shared).await?,
            Err(error) => return Err(error),
        }
    }
}

/// The first answer; `None` when there are other registrars first.
async fn first_of<T>(
    mut asked: Vec<Pin<Box<impl Future<Output = Result<T>>>>>,
    others: impl Future<Output = Result<()>>,
) -> Result<Option<T>> {
    let mut others = pin!(others);
    let mut refused = None;
    poll_fn(|cx| {
        let mut at = 0;
        while let Some(one) = asked.get_mut(at) {
            match one.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(answer)) => return Poll::Ready(Ok(Some(answer))),
                Poll::Ready(Err(error)) if is_gone(&error) => return Poll::Ready(Err(error)),
                // Another one may do better.
                Poll::Ready(Err(error)) => {
                    refused = refused.take().or(Some(error));
                    drop(asked.remove(at));
                }
            }
        }
        if asked.is_empty() {
            return Poll::Ready(refused.take().map_or(Ok(None), Err));
        }
        others.as_mut().poll(cx).map(|others| others.map(|()| None))
    })
    .await
}

/// What each of them says, which answers at once. Of one that has gone by then, or refuses, there
/// is nothing.
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
