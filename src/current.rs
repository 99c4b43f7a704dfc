//! Which actor, and which context, the running code belongs to: set around each poll of our own
//! futures. Outside them it is the process's only actor, if there is just one.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use tractor_core::DialogId;

use crate::shared::Shared;
use crate::sync::thread_local;

/// What a future runs as.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) actor: Arc<Shared>,
    /// The task's name, for the log.
    pub(crate) task: TaskName,
    /// The context that this task serves, if it is one.
    pub(crate) dialog: Option<DialogId>,
}

/// The name of a task, for the log. Made of what is there anyway, as every call has one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TaskName {
    /// One of the runtime's own.
    Own(&'static str),
    /// That of an endpoint: its namespace and its name there.
    Endpoint(&'static str, &'static str),
}

impl From<&'static str> for TaskName {
    fn from(name: &'static str) -> TaskName {
        TaskName::Own(name)
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskName::Own(name) => f.write_str(name),
            TaskName::Endpoint(ns, name) => write!(f, "{ns}::{name}"),
        }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Identity>> = const { RefCell::new(None) };
}

/// All actors of this process.
static ACTORS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// A new actor of this process.
pub(crate) fn register(actor: &Arc<Shared>) {
    let mut actors = ACTORS.lock().unwrap_or_else(PoisonError::into_inner);
    actors.retain(|known| known.strong_count() > 0);
    actors.push(Arc::downgrade(actor));
}

/// The identity of the running code, if it runs inside a future of ours.
pub(crate) fn identity() -> Option<Identity> {
    CURRENT.with(|current| current.borrow().clone())
}

/// The actor the running code belongs to.
pub(crate) fn actor() -> Option<Arc<Shared>> {
    let outside = || match crate::ambient::root_config() {
        // Tests run side by side: the only actor of the process may be another test's.
        Some(_) => None,
        None => only_actor(),
    };
    identity().map(|i| i.actor).or_else(outside)
}

fn only_actor() -> Option<Arc<Shared>> {
    let actors = ACTORS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut living = actors.iter().filter_map(Weak::upgrade).filter(|a| !a.is_over());
    let first = living.next()?;
    living.next().is_none().then_some(first)
}

/// The names of the actor and the task, for the log.
pub(crate) fn names() -> (String, String) {
    let named = CURRENT.try_with(|current| {
        let current = current.try_borrow().ok()?;
        current.as_ref().map(|i| (i.actor.uid.to_string(), i.task.to_string()))
    });
    named.ok().flatten().unwrap_or_else(|| ("-".to_owned(), "-".to_owned()))
}

/// The living actors of this process and what they hold, for people.
pub(crate) fn dump() -> String {
    let actors = ACTORS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = String::new();
    for actor in actors.iter().filter_map(Weak::upgrade) {
        text.push_str(&actor.dump());
    }
    text
}

/// A future that runs as somebody.
pub(crate) struct As<F> {
    /// `None` only during a poll: then the thread-local has it.
    identity: Option<Identity>,
    future: Pin<Box<F>>,
}

impl Identity {
    /// `future`, run as this.
    pub(crate) fn scope<F: Future>(self, future: F) -> As<F> {
        As { identity: Some(self), future: Box::pin(future) }
    }

    /// Runs `work` as this, here and now.
    pub(crate) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        let mut identity = Some(self);
        let _entered = Entered::enter(&mut identity);
        work()
    }
}

impl<F: Future> Future for As<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let As { identity, future } = &mut *self;
        let _entered = Entered::enter(identity);
        future.as_mut().poll(cx)
    }
}

/// Restores who ran before, also when the poll panics. The identity is moved, not cloned: this is
/// on the path of every poll of every task.
struct Entered<'a> {
    identity: &'a mut Option<Identity>,
    before: Option<Identity>,
}

impl<'a> Entered<'a> {
    fn enter(identity: &'a mut Option<Identity>) -> Entered<'a> {
        let ours = identity.take();
        Entered { identity, before: CURRENT.with(|current| current.replace(ours)) }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let before = self.before.take();
        *self.identity = CURRENT.with(|current| current.replace(before));
    }
}
