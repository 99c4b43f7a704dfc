//! Contexts whose functions live in programs that no Rust type tells of.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Context, ParentContext};
use crate::endpoint::{ContextEndpoint, EndpointPath, Named};
use crate::error::BoxError;

/// The opening end of a context whose function is named by its names on the wire. The types are in
/// the order of [`Context`]: what `started` sends, items to the parent, items from the parent; then
/// comes the result.
pub type ForeignContext<S, O, I, R> = ParentContext<Foreign<S, O, I, R>>;

/// A context's function of which only the types are known: see
/// [`Portal::call_context`](crate::Portal::call_context). There is no value of it, as what a value
/// would name has its names elsewhere.
pub struct Foreign<S, O, I, R> {
    never: Infallible,
    types: PhantomData<Types<S, O, I, R>>,
}

/// They are named, and not owned.
type Types<S, O, I, R> = fn() -> (S, O, I, R);

impl<S, O, I, R> fmt::Debug for Foreign<S, O, I, R> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.never {}
    }
}

impl<S, O, I, R> Serialize for Foreign<S, O, I, R> {
    fn serialize<Z: Serializer>(&self, _: Z) -> Result<Z::Ok, Z::Error> {
        match self.never {}
    }
}

impl<'de, S, O, I, R> Deserialize<'de> for Foreign<S, O, I, R> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("a foreign function has no value here"))
    }
}

impl<S, O, I, R> Named for Foreign<S, O, I, R> {
    const PATH: EndpointPath =
        EndpointPath { module: "", ns: "", name: "", file: file!(), line: line!() };
}

impl<S, O, I, R> ContextEndpoint for Foreign<S, O, I, R>
where
    S: Serialize + DeserializeOwned + Send + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
    I: Serialize + DeserializeOwned + Send + 'static,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    type Started = S;
    type ToParent = O;
    type FromParent = I;
    type Output = R;

    fn call(self, _: Context<S, O, I>) -> impl Future<Output = Result<R, BoxError>> + Send {
        match self.never {}
        #[expect(unreachable_code, reason = "a future's type must be known")]
        std::future::pending()
    }
}
