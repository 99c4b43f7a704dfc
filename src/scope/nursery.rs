//! Task nurseries: [`open_nursery`] and the handle it gives out.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;

use super::children::{Children, Inbox};
use super::parallel::stand_in;
use super::start::{Starting, Status};
use crate::error::{Error, Result};

/// Runs `body` and the tasks it starts, concurrently, and returns when *all* of them have ended.
///
/// Tasks are polled in place, by whoever polls this future: they may borrow whatever lives outside
/// the call (move locals of the body in), and they run concurrently, not in parallel; for that
/// there is [`Nursery::start_soon_parallel`].
///
/// **One cancels all.** The first error or panic of a task or of the body cancels the nursery; what
/// is left is dropped, or waited for where it has asynchronous cleanup.
///
/// ```
/// # use tractor::scope::open_nursery;
/// # futures_lite::future::block_on(async {
/// let words = ["a".to_string(), "b".to_string()];
/// open_nursery(async |tn| {
///     for word in &words {
///         tn.start_soon(async move { println!("{word}") });
///     }
///     Ok(())
/// })
/// .await
/// # }).unwrap();
/// ```
///
/// A task that starts siblings is started with [`Nursery::start_soon_with`].
///
/// # Errors
/// One error comes bare, several as a group, the first one being the primary. A panic counts as an
/// error. Errors win over cancellation. [`Error::Cancelled`] when [`Nursery::cancel`] cut the body.
///
/// # Cancel safety
/// When an encloser is cancelled, every task is dropped or waited for and this never returns,
/// unless there are errors. When a foreign future drops this one, all tasks are dropped with it.
pub async fn open_nursery<'s, T, F, Fut>(body: F) -> Result<T>
where
    F: FnOnce(Nursery<'s>) -> Fut,
    Fut: Future<Output = Result<T>> + Send,
    T: Send,
{
    let inbox = Arc::new(Inbox::new());
    let handle = Nursery { inbox: inbox.clone() };
    let body = body(handle);
    let mut value = None;
    let errors = {
        let main = async {
            value = Some(body.await?);
            Ok(())
        };
        let mut children = Children::new(inbox, Box::pin(main));
        let errors = poll_fn(|cx| children.poll(cx)).await;
        if errors.is_empty() && children.cut_by_encloser() {
            poll_fn(|cx| children.park(cx)).await;
        }
        errors
    };
    match (Error::join(errors), value) {
        (Some(error), _) => Err(error),
        (None, Some(value)) => Ok(value),
        (None, None) => Err(Error::Cancelled),
    }
}

/// A handle on an open nursery. Clones are the same nursery; any thread may use it.
///
/// What is started when the nursery has already ended is dropped at once.
pub struct Nursery<'s> {
    inbox: Arc<Inbox<'s>>,
}

impl<'s> Nursery<'s> {
    /// Starts `task`. It is polled for the first time when the nursery is next polled.
    pub fn start_soon<F>(&self, task: F)
    where
        F: Future<Output: Outcome> + Send + 's,
    {
        self.inbox.add(self.inbox.new_child(), None, Box::pin(async { task.await.into_result() }));
    }

    /// [`start_soon`](Self::start_soon) for a task that starts siblings: it gets a handle too.
    ///
    /// ```
    /// # use tractor::scope::open_nursery;
    /// # futures_lite::future::block_on(async {
    /// open_nursery(async |tn| {
    ///     tn.start_soon_with(async |tn| {
    ///         tn.start_soon(async { println!("a sibling") });
    ///     });
    ///     Ok(())
    /// })
    /// .await
    /// # }).unwrap();
    /// ```
    pub fn start_soon_with<F, Fut>(&self, task: F)
    where
        F: FnOnce(Nursery<'s>) -> Fut,
        Fut: Future<Output: Outcome> + Send + 's,
    {
        self.start_soon(task(self.clone()));
    }

    /// Starts `task` on the actor's executor: in parallel to its siblings where that has several
    /// threads, and not even delayed by them where it has not. It can't borrow. In all else it is a
    /// child like any other: cancelled with the nursery, which waits for it; its error or panic is
    /// the nursery's; it runs as the same actor, and timers and scopes work in it.
    ///
    /// When a foreign future drops the nursery, the task is cancelled, and the actor does not end
    /// before it has. For work that is never suspended there is `tractor::unblock`, and processes.
    ///
    /// Outside of actors, `#[tractor::main]` and `#[tractor::test]` there is no executor, and the
    /// nursery fails with [`Error::NoCurrentActor`].
    pub fn start_soon_parallel<F>(&self, task: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        self.start_soon(stand_in(task));
    }

    /// Starts a task that has to get ready first, and returns what it passes to
    /// [`Status::started`]. From then on it is a child like any other.
    ///
    /// # Errors
    /// If the task ends before `started`: its error, which then does not reach the nursery;
    /// [`Error::Misuse`] if it ends without one. [`Error::Cancelled`] if the task was cancelled
    /// before, or the nursery has ended.
    ///
    /// # Cancel safety
    /// Dropped before `started`, this cancels the task. An error that it did not return goes to the
    /// nursery.
    pub async fn start<V, F, Fut>(&self, task: F) -> Result<V>
    where
        V: Send + 's,
        F: FnOnce(Status<V>) -> Fut,
        Fut: Future<Output: Outcome> + Send + 's,
    {
        let child = self.inbox.new_child();
        let (mut starting, status) = Starting::new(&self.inbox, child.clone());
        let task = task(status);
        let task = Box::pin(async { task.await.into_result() });
        self.inbox.add(child, Some(starting.handshake()), task);
        poll_fn(|cx| starting.poll(cx)).await
    }

    /// Cancels the body and all tasks. Any thread may call this, more than once.
    pub fn cancel(&self) {
        self.inbox.node().cancel();
    }
}

impl Clone for Nursery<'_> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone() }
    }
}

impl fmt::Debug for Nursery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nursery").finish_non_exhaustive()
    }
}

/// What a task may end with: `()`, `Result<()>`, or `!` for one that never ends by itself.
#[diagnostic::on_unimplemented(
    message = "a task ends with `()` or `tractor::Result<()>`, not with `{Self}`",
    note = "send results out through a channel or a borrowed variable"
)]
pub trait Outcome: sealed::Sealed {
    #[doc(hidden)]
    fn into_result(self) -> Result<()>;
}

impl Outcome for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl Outcome for Result<(), Error> {
    fn into_result(self) -> Result<()> {
        self
    }
}

impl Outcome for Never {
    fn into_result(self) -> Result<()> {
        self
    }
}

/// `!`, which has no name on stable Rust.
type Never = <fn() -> ! as sealed::Returns>::Output;

mod sealed {
    use crate::error::Error;

    pub trait Sealed {}
    impl Sealed for () {}
    impl Sealed for Result<(), Error> {}
    impl Sealed for super::Never {}

    pub trait Returns {
        type Output;
    }
    impl<R> Returns for fn() -> R {
        type Output = R;
    }
}
