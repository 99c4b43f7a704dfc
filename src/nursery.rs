//! Nurseries of actors: child processes that live no longer than the block that opened them.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tractor_core::NurseryId;

use crate::boxes::NurseryBox;
use crate::endpoint::Rpc;
use crate::error::{ActorFailed, Error, Result};
use crate::root::RootConfig;
use crate::scope::{self, CancelScope, Ended};
use crate::shared::Shared;
use crate::wait::{wait, wait_shielded};

mod builder;
mod handle;
mod python;

pub use builder::{ActorBuilder, Stdio};
pub use handle::RunHandle;
pub use python::PythonBuilder;

/// Opens a nursery of actors and runs `body` in it. Ends when `body` has and no child is left:
/// daemons live until someone cancels them.
///
/// One cancels all: when a child fails, `body` and the other children are cancelled, unless the
/// child is [`isolated`](ActorBuilder::isolated). When `body` fails, its children are cancelled.
///
/// Outside of an actor it opens a root actor first.
///
/// # Errors
/// That of `body` or of a child, bare; an [`Error::Group`] when there are several.
///
/// # Cancel safety
/// Cancelled by its scope, it ends its children first, within the teardown budget. Dropped by a
/// foreign future, the runtime ends them in the background, and the actor does not end before.
pub async fn open_nursery<T, F, Fut>(body: F) -> Result<T>
where
    T: Send,
    F: FnOnce(ActorNursery) -> Fut + Send,
    Fut: Future<Output = Result<T>> + Send,
{
    match crate::current::actor() {
        Some(shared) => open_in(&shared, body).await,
        None => {
            let root = |actor: crate::Actor| async move { open_in(&actor.shared, body).await };
            crate::root::open_root_actor(RootConfig::default(), root).await
        }
    }
}

async fn open_in<T, F, Fut>(shared: &Arc<Shared>, body: F) -> Result<T>
where
    F: FnOnce(ActorNursery) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    scope::check()?;
    let block = CancelScope::new();
    let id = shared.command(|inner, now| {
        let id = inner.core.open_nursery(now, shared.settings.teardown)?;
        let own = NurseryBox { body: block.clone(), ..NurseryBox::default() };
        let cancel_called = own.cancel_called.clone();
        inner.nurseries.insert(id, own);
        Ok::<_, Error>((id, cancel_called))
    })?;
    let (id, cancel_called) = id;
    let owner = Owner { shared: shared.clone(), id, closed: false };
    let nursery = ActorNursery { shared: shared.clone(), id, cancel_called };
    let task = async { body(nursery).await };
    scope::guarded(&block, task, |ended| leave(owner, ended), Error::is_news).await
}

/// The nursery's life. Dropped before it closed, the children are ended in the background.
struct Owner {
    shared: Arc<Shared>,
    id: NurseryId,
    closed: bool,
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        self.shared.command(|inner, now| {
            // It exists until its body is done, which it is only now.
            let _ = inner.core.cancel_nursery(now, self.id);
            let _ = inner.core.join_nursery(now, self.id);
            inner.remove_nursery(self.id);
            inner.forget_ended_children(self.id);
        });
    }
}

/// Leaves the block: sees to it that no child is left, and joins the errors.
async fn leave<T>(mut owner: Owner, ended: Ended<Result<T>>) -> Result<T> {
    let body = match ended {
        Ended::Value(result) => result,
        Ended::Panicked(payload) => Err(Error::from_panic(payload)),
        Ended::Cancelled { .. } => Err(Error::Cancelled),
    };
    owner.shared.command(|inner, now| {
        if body.is_err() {
            inner.mark_cancelled(owner.id);
            let _ = inner.core.cancel_nursery(now, owner.id);
        }
        let _ = inner.core.join_nursery(now, owner.id);
    });
    let failures = owner.closed().await;
    match body {
        Ok(value) if failures.is_empty() => Ok(value),
        Ok(_) => Err(Error::join(failures).unwrap_or(Error::Cancelled)),
        Err(error) => {
            let mut all = vec![error];
            all.extend(failures);
            Err(Error::join(all).unwrap_or(Error::Cancelled))
        }
    }
}

impl Owner {
    /// Waits until no child is left. Cancelled meanwhile, it ends them. Bounded by the core's
    /// teardown budget from then on.
    async fn closed(&mut self) -> Vec<Error> {
        let mut asked = false;
        loop {
            let failures = wait_shielded(&self.shared, |inner, waker| {
                let Some(nursery) = inner.nurseries.get_mut(&self.id) else {
                    return Poll::Ready(Some(Vec::new()));
                };
                if nursery.closed {
                    return Poll::Ready(Some(std::mem::take(&mut nursery.failures)));
                }
                nursery.wakers.add(waker);
                match !asked && scope::enclosing_cancelled() {
                    true => Poll::Ready(None),
                    false => Poll::Pending,
                }
            })
            .await;
            match failures {
                Some(failures) => {
                    self.forget();
                    return failures;
                }
                None => {
                    asked = true;
                    self.shared.command(|inner, now| {
                        inner.mark_cancelled(self.id);
                        let _ = inner.core.cancel_nursery(now, self.id);
                    });
                }
            }
        }
    }

    fn forget(&mut self) {
        self.closed = true;
        self.shared.command(|inner, _| {
            inner.remove_nursery(self.id);
            inner.forget_children(self.id);
        });
    }
}

/// The handle of a nursery, in its block. Cheap to clone.
#[derive(Clone)]
pub struct ActorNursery {
    shared: Arc<Shared>,
    id: NurseryId,
    /// Outlives the nursery, as this handle may.
    cancel_called: Arc<AtomicBool>,
}

impl fmt::Debug for ActorNursery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorNursery({} of {})", self.id, self.shared.uid)
    }
}

impl ActorNursery {
    /// Starts a daemon: a child that lives until someone cancels it. Await the builder.
    pub fn start_actor(&self, name: impl Into<String>) -> ActorBuilder {
        ActorBuilder::new(self.clone(), name.into())
    }

    /// Starts a daemon that runs Python: an actor of Python's tractor, whose modules of these names
    /// may be called. Await the builder.
    ///
    /// [`Portal::call`] and its like name functions of other languages; so does
    /// `#[rpc(ns = "pkg.mod")]` on a function of the same arguments.
    ///
    /// [`Portal::call`]: crate::Portal::call
    pub fn start_python<M: Into<String>>(
        &self,
        name: impl Into<String>,
        modules: impl IntoIterator<Item = M>,
    ) -> PythonBuilder {
        PythonBuilder::new(self.start_actor(name), modules.into_iter().map(Into::into).collect())
    }

    /// Runs one function in a child of its own, which ends with it. The child is named after it.
    ///
    /// # Errors
    /// As starting an actor. What the function fails of is an error of the nursery, and of
    /// [`RunHandle::result`].
    ///
    /// # Cancel safety
    /// Dropped before the child is ready, it ends the child.
    pub async fn run_in_actor<E: Rpc>(&self, function: E) -> Result<RunHandle<E::Output>> {
        let name = self.shared.lock().core.free_child_name(E::PATH.name);
        self.start_actor(name).run(function).await
    }

    /// Cancels all children, in parallel, and waits until they are gone. The nursery takes no more.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe: the children are ended all the same.
    pub async fn cancel(&self) -> Result<()> {
        self.shared.command(|inner, now| {
            inner.mark_cancelled(self.id);
            // A nursery that is closed has no children.
            let _ = inner.core.cancel_nursery(now, self.id);
        });
        wait(&self.shared, |inner, waker| {
            let left = inner.children.values().any(|c| c.nursery == self.id && !c.ended);
            let Some(nursery) = inner.nurseries.get_mut(&self.id) else {
                return Poll::Ready(());
            };
            if !left {
                return Poll::Ready(());
            }
            nursery.wakers.add(waker);
            Poll::Pending
        })
        .await
    }

    /// Whether the nursery was cancelled: by [`cancel`](Self::cancel), from around it, or because
    /// its body or a child failed. It stays so when the nursery has closed.
    pub fn cancel_called(&self) -> bool {
        self.cancel_called.load(Ordering::Relaxed)
    }

    /// The children that are not gone yet, by name.
    pub fn children(&self) -> Vec<String> {
        let inner = self.shared.lock();
        let mine = inner.children.values().filter(|c| c.nursery == self.id && !c.ended);
        let mut names: Vec<String> = mine.map(|c| c.name.clone()).collect();
        names.sort();
        names
    }

    /// The next failure of an [isolated](ActorBuilder::isolated) child: waits for one.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    ///
    /// # Cancel safety
    /// Safe: a failure that was not returned is kept.
    pub async fn next_failure(&self) -> Result<ActorFailed> {
        wait(&self.shared, |inner, waker| {
            let Some(nursery) = inner.nurseries.get_mut(&self.id) else {
                return Poll::Ready(Err(Error::Cancelled));
            };
            if let Some(failure) = nursery.isolated.pop_front() {
                return Poll::Ready(Ok(failure));
            }
            nursery.wakers.add(waker);
            Poll::Pending
        })
        .await?
    }
}
