//! Errors: what failed, where, and who else failed with it.
//!
//! An [`Error`] is cheap to clone: what it carries is shared, so the error that a call raised and
//! the one that its nursery collected are the same, and are reported once.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error as _;
use std::fmt;
use std::io;
use std::sync::Arc;

use tractor_core as core;
pub use tractor_core::Signal;
use tractor_core::Uid;
pub use tractor_core::supervise::{ChildPhase, ExitStatus};

mod failed;
mod registrar;
mod registry;
mod remote;
mod wire;

pub use failed::ActorFailed;
pub use registrar::RegistrarError;
pub use registry::{WireError, reg_error};
pub use remote::{RemoteCause, RemoteError};

#[doc(hidden)]
pub use registry::ErrorType;

pub(crate) use registry::check as check_registered;
use wire::from_raw;
pub(crate) use wire::{from_outcome, to_wire};

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// The enclosing scope is cancelled.
    Cancelled,
    /// [`fail_after`](crate::scope::fail_after) ran out of time.
    TooSlow,
    /// A remote task failed.
    Remote(RemoteError),
    /// A remote task was cancelled; [`RemoteError::canceller`] tells by whom.
    ContextCancelled(RemoteError),
    /// The function is in no module that the peer enabled, so it was never looked up.
    ModuleNotExposed(RemoteError),
    /// Arguments, an item or a result of another type than the other side expects.
    MsgType(MsgTypeError),
    /// A child process ended without being asked to, never started, or had to be killed.
    ActorFailed(ActorFailed),
    /// The connection to a peer that is not our child ended.
    PeerLost {
        /// The peer.
        peer: Uid,
    },
    /// The peer broke a rule of the protocol in this dialog.
    Violation(core::error::Violation),
    /// The peer never opened its stream, or was too slow for the chosen policy.
    Overrun,
    /// The stream has ended: the peer sends no more items.
    EndOfStream,
    /// Other readers of the stream were so fast that so many items are gone which this one had not
    /// read. It goes on with the oldest that is held.
    Lagged(u64),
    /// A call that can't be: the caller's fault, and nothing has changed.
    Misuse(Misuse),
    /// A signal asked the program to end.
    Interrupted {
        /// Its number.
        signal: i32,
    },
    /// There is no registrar to be, or to ask; the text says where, and what to do.
    Registrar(RegistrarError),
    /// Outside any actor.
    NoCurrentActor,
    /// A panic, caught where its task ends.
    Panic(PanicReport),
    /// Several errors; the first is the primary one.
    Group(ErrorGroup),
    /// An error of the program's own.
    User(Arc<BoxError>),
    /// The system refused something; the text says what to do.
    Io(Arc<io::Error>),
}

/// A call that can't be: the caller's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// Spawning where neither `tractor::init()` nor a macro has run.
    NotInitialised,
    /// A root actor inside an actor: one program, one root, and a child never becomes one.
    RootInsideActor,
    /// The command is impossible now; the text says why.
    Core(core::error::Misuse),
    /// The names or settings given don't fit; the text says how.
    Config(String),
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::NotInitialised => f.write_str(
                "this program can't spawn actors: make `tractor::init();` the first line of its \
                 `main`, or write `#[tractor::main]` above it",
            ),
            Misuse::RootInsideActor => {
                f.write_str("this is an actor already: open a nursery instead of another root")
            }
            Misuse::Core(misuse) => write!(f, "{misuse}"),
            Misuse::Config(text) => f.write_str(text),
        }
    }
}

/// A payload of another type than was expected.
#[derive(Clone, Debug)]
pub struct MsgTypeError {
    /// What is wrong, with the path to it.
    pub message: String,
    /// The peer's report, when the peer found it.
    pub remote: Option<RemoteError>,
}

/// A caught panic.
#[derive(Clone, Debug)]
pub struct PanicReport {
    /// Its message.
    pub message: String,
    /// Where, as `file:line:column`, when the panic hook saw it.
    pub location: Option<String>,
    /// The backtrace, when `RUST_BACKTRACE` is set.
    pub backtrace: Option<Arc<str>>,
}

/// Several errors.
#[derive(Clone)]
pub struct ErrorGroup(Arc<(Error, Vec<Error>)>);

impl ErrorGroup {
    /// The error that came first.
    pub fn primary(&self) -> &Error {
        &self.0.0
    }

    /// The others, in the order they came.
    pub fn suppressed(&self) -> &[Error] {
        &self.0.1
    }

    /// All of them, the primary one first.
    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        std::iter::once(&self.0.0).chain(&self.0.1)
    }
}

impl fmt::Debug for ErrorGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.errors()).finish()
    }
}

impl Error {
    /// The text for people and the wire's type name.
    pub fn type_name(&self) -> &str {
        match self {
            Error::Cancelled => "Cancelled",
            Error::TooSlow => "TooSlowError",
            Error::Remote(e) | Error::ContextCancelled(e) | Error::ModuleNotExposed(e) => {
                e.type_name()
            }
            Error::MsgType(_) => "MsgTypeError",
            Error::ActorFailed(_) => "ActorFailed",
            Error::PeerLost { .. } => "TransportClosed",
            Error::Violation(_) => "Violation",
            Error::Overrun => "StreamOverrun",
            Error::EndOfStream => "EndOfChannel",
            Error::Lagged(_) => "Lagged",
            Error::Misuse(_) => "RuntimeError",
            Error::Interrupted { .. } => "KeyboardInterrupt",
            Error::Registrar(_) => "RegistrarError",
            Error::NoCurrentActor => "NoRuntime",
            Error::Panic(_) => "Panic",
            Error::Group(_) => "ExceptionGroup",
            Error::User(e) => e.type_name(),
            Error::Io(_) => "OSError",
        }
    }

    /// The remote error in it, whatever kind that is.
    pub fn remote(&self) -> Option<&RemoteError> {
        match self {
            Error::Remote(e) | Error::ContextCancelled(e) | Error::ModuleNotExposed(e) => Some(e),
            Error::MsgType(e) => e.remote.as_ref(),
            _ => None,
        }
    }

    /// The signal that asked the program to end, when this is about that. A shell expects an exit
    /// code of 128 and that number.
    pub fn interrupted(&self) -> Option<i32> {
        self.leaves().into_iter().find_map(|error| match error {
            Error::Interrupted { signal } => Some(*signal),
            _ => None,
        })
    }

    /// The errors in it: itself, or the members of the group, also of one that comes from another
    /// actor, in the order they came.
    pub fn leaves(&self) -> Vec<&Error> {
        let mut leaves = Vec::new();
        self.push_leaves(&mut leaves);
        leaves
    }

    fn push_leaves<'a>(&'a self, leaves: &mut Vec<&'a Error>) {
        match self {
            Error::Group(group) => group.errors().for_each(|error| error.push_leaves(leaves)),
            Error::Remote(e) if !e.errors().is_empty() => {
                e.errors().iter().for_each(|error| error.push_leaves(leaves));
            }
            error => leaves.push(error),
        }
    }

    /// The program's own error in it, of a type that is registered with
    /// [`reg_error!`](macro@crate::reg_error): be it that a task elsewhere failed of it, or that it
    /// never left this process. Of several the first. See [`RemoteError::downcast`].
    pub fn downcast<E: WireError>(&self) -> Option<E> {
        self.leaves().into_iter().find_map(|leaf| match leaf {
            Error::User(own) => registry::copied(own.get().downcast_ref::<E>()?),
            Error::ActorFailed(failed) => failed.error()?.downcast(),
            other => other.remote()?.downcast(),
        })
    }

    /// What caused it, below what its text says already.
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::User(e) => e.get().source(),
            Error::Io(e) => e.source(),
            Error::Violation(e) => e.source(),
            Error::Group(_) => None,
            error => error.source(),
        }
    }

    fn group(primary: Error, suppressed: Vec<Error>) -> Error {
        if suppressed.is_empty() {
            return primary;
        }
        Error::Group(ErrorGroup(Arc::new((primary, suppressed))))
    }

    /// Joins errors: each once, whatever groups they are in; cancellations only when there is
    /// nothing else.
    pub(crate) fn join(errors: Vec<Error>) -> Option<Error> {
        let mut kept: Vec<Error> = Vec::new();
        let mut cancelled = false;
        for error in errors.into_iter().flat_map(Error::members) {
            if matches!(error, Error::Cancelled) {
                cancelled = true;
            } else if !kept.iter().any(|known| known.is_same(&error)) {
                kept.push(error);
            }
        }
        let mut kept = kept.into_iter();
        match kept.next() {
            Some(primary) => Some(Error::group(primary, kept.collect())),
            None => cancelled.then_some(Error::Cancelled),
        }
    }

    /// Those of a group of ours, at any depth; else itself.
    fn members(self) -> Vec<Error> {
        match self {
            Error::Group(group) => group.errors().cloned().flat_map(Error::members).collect(),
            error => vec![error],
        }
    }

    /// Whether a result is an error that cancellation must not mask: anything but the news of a
    /// cancellation itself.
    pub(crate) fn is_news<T>(result: &Result<T>) -> bool {
        match result {
            Ok(_) | Err(Error::Cancelled | Error::ContextCancelled(_)) => false,
            Err(_) => true,
        }
    }

    /// Whether both are news of one and the same failure.
    fn is_same(&self, other: &Error) -> bool {
        match (self, other) {
            (Error::ActorFailed(a), Error::ActorFailed(b)) => a.uid() == b.uid(),
            (Error::User(a), Error::User(b)) => Arc::ptr_eq(a, b),
            (Error::Interrupted { signal: a }, Error::Interrupted { signal: b }) => a == b,
            (Error::PeerLost { peer: a }, Error::PeerLost { peer: b }) => a == b,
            (Error::Violation(a), Error::Violation(b)) => a == b,
            (a, b) => match (a.remote(), b.remote()) {
                (Some(a), Some(b)) => a.is_same(b),
                _ => false,
            },
        }
    }

    /// Whether it is the end of an actor that was asked to end, and did not fail.
    pub(crate) fn is_of_asked_actor(&self) -> bool {
        matches!(self, Error::ActorFailed(failed) if failed.was_asked() && !failed.is_failure())
    }

    pub(crate) fn from_panic(payload: Box<dyn Any + Send>) -> Error {
        Error::Panic(crate::panics::report(payload))
    }

    pub(crate) fn config(text: impl Into<String>) -> Error {
        Error::Misuse(Misuse::Config(text.into()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Cancelled => f.write_str("cancelled"),
            Error::TooSlow => f.write_str("the time limit is over"),
            Error::Remote(e) => write!(f, "remote error: {e}"),
            Error::ContextCancelled(e) => write!(f, "remote task cancelled: {e}"),
            Error::ModuleNotExposed(e) => write!(f, "module not exposed: {e}"),
            Error::MsgType(e) => f.write_str(&e.message),
            Error::ActorFailed(e) => write!(f, "{e}"),
            Error::PeerLost { peer } => write!(f, "the connection to {peer} was lost"),
            Error::Violation(e) => write!(f, "protocol violation: {e}"),
            Error::Overrun => f.write_str("stream overrun: the receiver was too slow"),
            Error::EndOfStream => f.write_str("the stream has ended"),
            Error::Lagged(n) => write!(f, "too slow: {n} items of the stream were missed"),
            Error::Misuse(e) => write!(f, "misuse: {e}"),
            Error::Interrupted { signal } => write!(f, "interrupted by signal {signal}"),
            Error::Registrar(e) => write!(f, "{e}"),
            Error::NoCurrentActor => f.write_str("no actor here: open a root actor or a nursery"),
            Error::Panic(e) => {
                write!(f, "panic: {}", e.message)?;
                e.location.as_ref().map_or(Ok(()), |at| write!(f, ", at {at}"))
            }
            Error::Group(group) => {
                write!(f, "{} errors:", group.errors().count())?;
                group.errors().try_for_each(|e| write!(f, "\n- {}", indented(&e.to_string())))
            }
            Error::User(e) => write!(f, "{}", e.error),
            Error::Io(e) => write!(f, "{e}"),
        }
    }
}

/// Of a list's entry the lines after the first, moved in below it.
fn indented(text: &str) -> String {
    text.replace('\n', "\n  ")
}

/// Like `Display`, because `main` prints its error so; with the type's name in front, and what
/// caused it below.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Group(group) => {
                write!(f, "{} errors:", group.errors().count())?;
                let mut errors = group.errors();
                return errors.try_for_each(|e| write!(f, "\n- {}", indented(&format!("{e:?}"))));
            }
            Error::User(e) => write!(f, "{}: {self}", e.type_name())?,
            _ => write!(f, "{self}")?,
        }
        let mut cause = self.cause();
        while let Some(error) = cause {
            write!(f, "\n  caused by: {}", indented(&error.to_string()))?;
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::User(e) => Some(e.error.as_ref()),
            Error::Io(e) => Some(&**e),
            Error::Violation(e) => Some(e),
            Error::Group(group) => Some(group.primary()),
            Error::Remote(e) | Error::ContextCancelled(e) | Error::ModuleNotExposed(e) => {
                e.source()
            }
            Error::ActorFailed(e) => e.source(),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(Arc::new(error))
    }
}

impl From<core::error::Misuse> for Error {
    fn from(misuse: core::error::Misuse) -> Error {
        Error::Misuse(Misuse::Core(misuse))
    }
}

impl From<BoxError> for Error {
    fn from(error: BoxError) -> Error {
        match error.into_own() {
            Ok(own) => own,
            Err(foreign) => Error::User(Arc::new(foreign)),
        }
    }
}

impl From<crate::payload::EncodeError> for Error {
    fn from(error: crate::payload::EncodeError) -> Error {
        Error::MsgType(MsgTypeError { message: error.to_string(), remote: None })
    }
}

impl From<crate::payload::DecodeError> for Error {
    fn from(error: crate::payload::DecodeError) -> Error {
        Error::MsgType(MsgTypeError { message: error.to_string(), remote: None })
    }
}

impl From<crate::endpoint::DuplicateEndpoint> for Error {
    fn from(error: crate::endpoint::DuplicateEndpoint) -> Error {
        Error::config(error.to_string())
    }
}

/// Any error of a program, with the name of its type, which goes over the wire with it. `?` makes
/// one of anything that goes into a `Box<dyn Error>`.
pub struct BoxError {
    error: Box<dyn std::error::Error + Send + Sync>,
    type_name: &'static str,
    backtrace: Backtrace,
}

impl BoxError {
    /// The last part of the type's path: `ParseIntError`.
    pub fn type_name(&self) -> &str {
        short_type_name(self.type_name)
    }

    /// The error itself.
    pub fn get(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self.error.as_ref()
    }

    /// The backtrace from where it was boxed, when `RUST_BACKTRACE` is set.
    pub fn backtrace(&self) -> Option<&Backtrace> {
        (self.backtrace.status() == BacktraceStatus::Captured).then_some(&self.backtrace)
    }

    /// The error of this crate that was boxed, or itself.
    fn into_own(self) -> Result<Error, BoxError> {
        let BoxError { error, type_name, backtrace } = self;
        match error.downcast::<Error>() {
            Ok(own) => Ok(*own),
            Err(error) => Err(BoxError { error, type_name, backtrace }),
        }
    }
}

/// `std::num::error::ParseIntError` is known as `ParseIntError`, but `std::io::Error` keeps a
/// module, as `Error` alone says nothing.
fn short_type_name(full: &'static str) -> &'static str {
    let path = full.split('<').next().unwrap_or(full);
    let mut ends = path.rmatch_indices("::").map(|(at, _)| at + 2);
    let last = ends.next().map_or(path, |at| &path[at..]);
    match (last, ends.next()) {
        ("Error", Some(at)) => &path[at..],
        _ => last,
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for BoxError {
    #[track_caller]
    fn from(error: E) -> BoxError {
        BoxError {
            error: error.into(),
            type_name: std::any::type_name::<E>(),
            backtrace: crate::panics::backtrace(),
        }
    }
}

impl fmt::Debug for BoxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.type_name(), self.error)
    }
}

impl fmt::Display for BoxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

/// Takes any error into [`Error`], keeping its type's name for the wire.
pub trait Raise<T> {
    /// `number.parse::<u64>().raise()?` in a body that returns [`Result`].
    ///
    /// # Errors
    /// The error, as [`Error::User`].
    fn raise(self) -> Result<T>;
}

impl<T, E: Into<BoxError>> Raise<T> for std::result::Result<T, E> {
    #[track_caller]
    fn raise(self) -> Result<T> {
        self.map_err(|e| Error::from(e.into()))
    }
}

/// Absorbs the cancellation that was asked for here, where there is a block without a value.
pub trait Absorb<T> {
    /// A block that cancels its far task by
    /// [`ctx.cancel()`](crate::ParentContext::cancel) and goes on has its value. One that then
    /// fails of the cancellation, as `stream.recv().await?` does, or that was cancelled from
    /// outside of it, has none: this makes an `Option` of that.
    ///
    /// ```
    /// # async fn doc(child: tractor::Portal) -> tractor::Result<()> {
    /// # #[tractor::context]
    /// # async fn count(ctx: tractor::Context<(), u32, ()>) -> tractor::Result<()> { Ok(()) }
    /// use tractor::Absorb as _;
    /// let last: Option<u32> = child
    ///     .open_context(count {}, async |ctx, ()| {
    ///         let mut stream = ctx.open_stream().await?;
    ///         ctx.cancel().await?;
    ///         stream.recv().await // the cancellation, sooner or later
    ///     })
    ///     .await
    ///     .absorb()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Any other error.
    fn absorb(self) -> Result<Option<T>>;
}

impl<T> Absorb<T> for Result<T> {
    fn absorb(self) -> Result<Option<T>> {
        match self {
            Err(Error::ContextCancelled(error)) if error.is_own_cancel() => Ok(None),
            result => result.map(Some),
        }
    }
}
