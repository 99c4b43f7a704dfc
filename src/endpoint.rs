//! Endpoints: async fns that another actor may call, and how they are found.
//!
//! ```text
//! #[rpc] async fn add(..)    #[context] async fn trainer(ctx, ..)    #[stream] fn count(..)
//!        |                          |                                      |
//!   struct add: Named + Rpc    trainer: Named + ContextEndpoint    count: Named + StreamEndpoint
//!        '----------------------.   |   .----------------------------------'
//!                               Endpoint        a value without type parameters
//!             at link time: inventory | by hand: Exposed
//!                                 Table         what one actor lets others call
//! ```
//!
//! The struct is written by the attribute macros. It is the keyword arguments on the wire, the
//! value a caller builds, and the name under which types are found: the fn itself has no type that
//! can be named.

mod table;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::{Context, RawContext};
use crate::error::BoxError;
use crate::payload::{self, DecodeError, EncodeError, Problem};
use crate::stream::SendHalf;

pub use table::DuplicateEndpoint;
pub(crate) use table::{LookupError, Table};

/// Where an endpoint is: in the source, and on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointPath {
    /// The Rust module, as `module_path!()` says it.
    pub module: &'static str,
    /// The namespace on the wire: the module, unless the attribute names another.
    pub ns: &'static str,
    /// The name on the wire: the fn's, unless the attribute names another.
    pub name: &'static str,
    /// The source file.
    pub file: &'static str,
    /// The line of the attribute.
    pub line: u32,
}

/// `ns::name`, as it is on the wire.
impl fmt::Display for EndpointPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.ns, self.name)
    }
}

/// What has a place and a name on the wire. Implemented by the attribute macros.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an endpoint",
    label = "not a fn under `#[tractor::rpc]` or `#[tractor::context]`"
)]
pub trait Named {
    /// Where it is.
    const PATH: EndpointPath;
}

/// The arguments of a fn under `#[rpc]`: an endpoint that is called and answers once.
///
/// Implemented by the macro; a hand-written implementation is as good, and is registered with
/// [`Exposed::rpc`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the arguments of a fn under `#[tractor::rpc]`",
    label = "not an rpc",
    note = "name the fn and its arguments, with braces: `add {{ a: 3, b: 4 }}`"
)]
pub trait Rpc: Named + Serialize + DeserializeOwned + Send + 'static {
    /// What arrives at the caller.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Runs the fn, here.
    fn call(self) -> impl Future<Output = Result<Self::Output, BoxError>> + Send;
}

/// The arguments of a fn under `#[context]`: an endpoint that runs linked to the task which opened
/// it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the arguments of a fn under `#[tractor::context]`",
    label = "not a context",
    note = "name the fn and its arguments, with braces: `trainer {{ model: 3 }}`"
)]
pub trait ContextEndpoint: Named + Serialize + DeserializeOwned + Send + 'static {
    /// What `started` sends.
    type Started: Serialize + DeserializeOwned + Send + 'static;
    /// Items of the stream, to the parent.
    type ToParent: Serialize + DeserializeOwned + Send + 'static;
    /// Items of the stream, from the parent.
    type FromParent: Serialize + DeserializeOwned + Send + 'static;
    /// The final result, as it arrives at the caller.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Runs the fn, here.
    fn call(
        self,
        ctx: Context<Self::Started, Self::ToParent, Self::FromParent>,
    ) -> impl Future<Output = Result<Self::Output, BoxError>> + Send;
}

/// The arguments of a fn under `#[stream]`: a generator, whose items are read by the task which
/// opened it.
pub trait StreamEndpoint: Named + Serialize + DeserializeOwned + Send + 'static {
    /// What it yields.
    type Item: Serialize + DeserializeOwned + Send + 'static;

    /// Runs the fn, here, until it has yielded all.
    fn call(self, out: SendHalf<Self::Item>) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// How an endpoint is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointKind {
    /// It is called and answers once: `#[rpc]`.
    Call,
    /// It runs linked to the task which opened it: `#[context]`.
    Context,
    /// It yields items: `#[stream]`.
    Stream,
}

/// An endpoint as a value: where it is and how to run it.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Where it is.
    pub path: EndpointPath,
    /// How it is used.
    pub kind: EndpointKind,
    invoke: Invoke,
}

inventory::collect!(Endpoint);

/// The running endpoint. Its value is the encoded result.
pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = Result<Vec<u8>, TaskError>> + Send>>;

/// Decodes the keyword arguments and makes the task; nothing of the fn runs before its first poll.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Invoke {
    /// Of a [`EndpointKind::Call`].
    Call(fn(&[u8]) -> Result<TaskFuture, ArgsError>),
    /// Of a [`EndpointKind::Context`].
    Context(fn(&[u8], RawContext) -> Result<TaskFuture, ArgsError>),
    /// Of a [`EndpointKind::Stream`].
    Stream(fn(&[u8], RawContext) -> Result<TaskFuture, ArgsError>),
}

impl Endpoint {
    /// The endpoint of a fn under `#[rpc]`.
    pub const fn rpc<E: Rpc>() -> Endpoint {
        Endpoint { path: E::PATH, kind: EndpointKind::Call, invoke: Invoke::Call(start_rpc::<E>) }
    }

    /// The endpoint of a fn under `#[context]`.
    pub const fn context<E: ContextEndpoint>() -> Endpoint {
        let invoke = Invoke::Context(start_context::<E>);
        Endpoint { path: E::PATH, kind: EndpointKind::Context, invoke }
    }

    /// The endpoint of a fn under `#[stream]`.
    pub const fn stream<E: StreamEndpoint>() -> Endpoint {
        let invoke = Invoke::Stream(start_stream::<E>);
        Endpoint { path: E::PATH, kind: EndpointKind::Stream, invoke }
    }

    /// How to run it.
    pub(crate) fn invoke(&self) -> Invoke {
        self.invoke
    }
}

fn start_rpc<E: Rpc>(kwargs: &[u8]) -> Result<TaskFuture, ArgsError> {
    let args: E = decode_args(kwargs)?;
    Ok(Box::pin(async move { encode_result(args.call().await) }))
}

fn start_context<E: ContextEndpoint>(
    kwargs: &[u8],
    ctx: RawContext,
) -> Result<TaskFuture, ArgsError> {
    let args: E = decode_args(kwargs)?;
    Ok(Box::pin(async move { encode_result(args.call(Context::from_raw(ctx)).await) }))
}

fn start_stream<E: StreamEndpoint>(
    kwargs: &[u8],
    ctx: RawContext,
) -> Result<TaskFuture, ArgsError> {
    let args: E = decode_args(kwargs)?;
    Ok(Box::pin(async move { encode_result(args.call(SendHalf::new(ctx)).await) }))
}

fn decode_args<E: Named + DeserializeOwned>(kwargs: &[u8]) -> Result<E, ArgsError> {
    payload::decode_map(kwargs)
        .map_err(|error| ArgsError { endpoint: E::PATH, error: Box::new(error) })
}

fn encode_result<T: Serialize>(result: Result<T, BoxError>) -> Result<Vec<u8>, TaskError> {
    let value = result.map_err(TaskError::User)?;
    let mut encoded = Vec::new();
    payload::encode_into(&value, &mut encoded).map_err(TaskError::Unencodable)?;
    Ok(encoded)
}

/// Why a task has no result.
#[derive(Debug)]
pub(crate) enum TaskError {
    /// The fn returned this error.
    User(BoxError),
    /// The fn returned a value that has no encoding.
    Unencodable(EncodeError),
}

/// Arguments that do not fit the endpoint: a missing, unknown or mistyped one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArgsError {
    endpoint: EndpointPath,
    error: Box<DecodeError>,
}

impl ArgsError {
    /// Where in the arguments: `config.layers[2]`, or empty for the arguments as a whole.
    pub(crate) fn path(&self) -> &str {
        self.error.path()
    }
}

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad arguments for `{}`: ", self.endpoint)?;
        match self.error.problem() {
            Problem::Unknown(name) if self.path().is_empty() => {
                write!(f, "unknown argument `{name}`")
            }
            _ => self.error.fmt(f),
        }
    }
}

impl std::error::Error for ArgsError {}

/// Endpoints registered by hand, for who does not want them found at link time.
///
/// The linker drops what it thinks unused: the endpoints of a dependency crate of which nothing
/// else is named are not found. Naming them here keeps them.
///
/// ```
/// # use tractor::endpoint::Exposed;
/// let none = Exposed::new();
/// assert_eq!(none.endpoints().count(), 0);
/// // with `#[rpc] async fn add`, `#[context] async fn trainer` and `#[stream] fn count` in scope:
/// // let exposed = Exposed::new().rpc::<add>().context::<trainer>().stream::<count>();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Exposed {
    endpoints: Vec<Endpoint>,
}

impl Exposed {
    /// Nothing.
    pub const fn new() -> Exposed {
        Exposed { endpoints: Vec::new() }
    }

    /// And a fn under `#[rpc]`.
    pub fn rpc<E: Rpc>(mut self) -> Exposed {
        self.endpoints.push(Endpoint::rpc::<E>());
        self
    }

    /// And a fn under `#[context]`.
    pub fn context<E: ContextEndpoint>(mut self) -> Exposed {
        self.endpoints.push(Endpoint::context::<E>());
        self
    }

    /// And a fn under `#[stream]`.
    pub fn stream<E: StreamEndpoint>(mut self) -> Exposed {
        self.endpoints.push(Endpoint::stream::<E>());
        self
    }

    /// What has been registered.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter()
    }

    /// Only what is in one of the `enabled` modules or namespaces.
    pub fn within(mut self, enabled: &[Module]) -> Exposed {
        self.endpoints.retain(|endpoint| {
            enabled
                .iter()
                .any(|module| [endpoint.path.ns, endpoint.path.module].contains(&module.name()))
        });
        self
    }
}

/// A module whose endpoints may be called: what an actor is `enable`d with.
///
/// Made by [`module!`](crate::module), or from an endpoint in it by [`Module::of`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Module {
    name: Cow<'static, str>,
}

impl Module {
    /// The module or wire namespace of that name.
    pub const fn new(name: &'static str) -> Module {
        Module { name: Cow::Borrowed(name) }
    }

    /// The namespace of an endpoint: its Rust module, unless its attribute names another.
    pub const fn of<E: Named>() -> Module {
        Module::new(E::PATH.ns)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl From<String> for Module {
    fn from(name: String) -> Module {
        Module { name: Cow::Owned(name) }
    }
}

impl From<&'static str> for Module {
    fn from(name: &'static str) -> Module {
        Module::new(name)
    }
}

/// The module in which it is written, as a [`Module`].
///
/// ```
/// mod workers {
///     pub fn here() -> tractor::endpoint::Module {
///         tractor::module!()
///     }
/// }
/// assert!(workers::here().name().ends_with("::workers"));
/// ```
#[macro_export]
macro_rules! module {
    () => {
        $crate::__private::Module::new(::core::module_path!())
    };
}

/// A result type that the macros take for fallible, because its name ends in `Result`.
///
/// `CHECKED` is a constant of the macro's, whose evaluation fails if the name is wrong; so it is
/// here and in [`Checked`], for rustc to say nothing more about a type that depends on it.
#[doc(hidden)]
#[allow(missing_docs)]
pub trait Fallible<const CHECKED: bool> {
    type Ok;
    type Err;

    fn into_result(self) -> Result<Self::Ok, Self::Err>;
}

impl<T, E> Fallible<true> for Result<T, E> {
    type Ok = T;
    type Err = E;

    fn into_result(self) -> Result<T, E> {
        self
    }
}

/// A result type that the macros take for plain.
#[doc(hidden)]
#[allow(missing_docs)]
pub trait Checked<const CHECKED: bool> {
    type Same;
}

impl<T> Checked<true> for T {
    type Same = T;
}

/// Tells whether a type is a `Result`, whatever its name: then `PLAIN` is the inherent constant,
/// which goes before that of the trait [`Plain`].
#[doc(hidden)]
#[allow(missing_debug_implementations)] // never a value
pub struct Probe<T>(PhantomData<T>);

impl<T, E> Probe<Result<T, E>> {
    #[allow(missing_docs)]
    pub const PLAIN: bool = false;
}

/// The other half of [`Probe`].
#[doc(hidden)]
#[allow(missing_docs)]
pub trait Plain {
    const PLAIN: bool = true;
}

impl<T> Plain for Probe<T> {}
