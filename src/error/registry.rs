//! Error types that a program has registered: they go along as values, beside their texts.

use std::any::{TypeId, type_name};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tractor_core::wire::pack;

use super::{Error, Result};
use crate::log;
use crate::payload;

/// The largest value that goes along: a report is no place for more.
const VALUE_LEN_MAX: usize = 1 << 20;
/// How deep a value may nest: a group, and a group of that, must still fit around it.
const VALUE_DEPTH_MAX: usize = 32;

/// What an error must be to go to another process as itself. Implemented for all that are.
pub trait WireError:
    std::error::Error + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

impl<E: std::error::Error + Serialize + DeserializeOwned + Send + Sync + 'static> WireError for E {}

type Dyn = dyn std::error::Error + Send + Sync + 'static;
type Encoded = std::result::Result<Vec<u8>, payload::EncodeError>;

/// A registered type.
#[derive(Clone, Copy, Debug)]
pub struct ErrorType {
    id: fn() -> TypeId,
    path: fn() -> &'static str,
    /// `None`: the error is of another type.
    encode: fn(&Dyn) -> Option<Encoded>,
}

impl ErrorType {
    /// The registration of `E`.
    pub const fn of<E: WireError>() -> ErrorType {
        ErrorType { id: TypeId::of::<E>, path: type_name::<E>, encode: encode::<E> }
    }
}

fn encode<E: WireError>(error: &Dyn) -> Option<Encoded> {
    let error = error.downcast_ref::<E>()?;
    let mut bytes = Vec::new();
    Some(payload::encode_into(error, &mut bytes).map(|()| bytes))
}

inventory::collect!(ErrorType);

/// What was registered by the function.
static BY_HAND: Mutex<Vec<ErrorType>> = Mutex::new(Vec::new());

fn by_hand() -> std::sync::MutexGuard<'static, Vec<ErrorType>> {
    BY_HAND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers an error type, as [`reg_error!`](macro@crate::reg_error) does at link time: for types
/// that are not known there, such as those of a generic type.
///
/// Call it before [`init`](crate::init()), which in a child does not return. Idempotent.
///
/// ```
/// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
/// # struct OutOfStock<T> { item: T }
/// # impl<T> std::fmt::Display for OutOfStock<T> {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
/// #         f.write_str("none left")
/// #     }
/// # }
/// # impl<T: std::fmt::Debug> std::error::Error for OutOfStock<T> {}
/// fn main() {
///     tractor::reg_error::<OutOfStock<String>>();
///     tractor::init();
/// }
/// ```
pub fn reg_error<E: WireError>() {
    let new = ErrorType::of::<E>();
    let mut known = by_hand();
    if known.iter().all(|known| (known.id)() != (new.id)()) {
        known.push(new);
    }
}

/// Registers error types, at link time: as an item, beside the type.
///
/// When a task fails of such an error, be it that its function returns it, or that it is in an
/// [`Error::User`](crate::Error::User) or a [`BoxError`](crate::BoxError), the error itself goes
/// along, through any number of actors, and [`Error::downcast`](crate::Error::downcast) gives it
/// back. Any other error arrives as its type's name, its text and its report.
///
/// The type's full path is its name, so that two types called `Error` are told apart.
///
/// ```
/// #[derive(Debug, serde::Serialize, serde::Deserialize)]
/// struct OutOfCheese { wanted: String }
///
/// impl std::fmt::Display for OutOfCheese {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         write!(f, "no {} today", self.wanted)
///     }
/// }
///
/// impl std::error::Error for OutOfCheese {}
///
/// tractor::reg_error!(OutOfCheese);
/// ```
#[macro_export]
macro_rules! reg_error {
    ($($error:ty),+ $(,)?) => {
        $($crate::__private::inventory::submit! {
            $crate::__private::ErrorType::of::<$error>()
        })+
    };
}

fn all() -> Vec<ErrorType> {
    let mut all = by_hand().clone();
    all.extend(inventory::iter::<ErrorType>.into_iter().copied());
    all
}

/// That a path names one type: two in one function may share theirs.
///
/// # Errors
/// [`Misuse::Config`](super::Misuse::Config), naming the path.
pub(crate) fn check() -> Result<()> {
    let mut paths = BTreeMap::new();
    for error in all() {
        let (path, id) = ((error.path)(), (error.id)());
        if *paths.entry(path).or_insert(id) != id {
            return Err(Error::config(format!(
                "two error types are registered that are both called `{path}`: the other end could \
                 not tell them apart. Rename one, or move it into a module",
            )));
        }
    }
    Ok(())
}

/// A copy of an error, made as it would be made elsewhere.
pub(super) fn copied<E: WireError>(error: &E) -> Option<E> {
    let mut bytes = Vec::new();
    payload::encode_into(error, &mut bytes).ok()?;
    payload::decode(&bytes).ok()
}

/// The path and the value of an error whose type is registered. Runs code of the program.
pub(super) fn encoded(error: &Dyn) -> Option<(&'static str, Vec<u8>)> {
    let find = |known: ErrorType| (known.encode)(error).map(|encoded| ((known.path)(), encoded));
    let found = catch_unwind(AssertUnwindSafe(|| all().into_iter().find_map(find)));
    let (path, encoded) = found.ok()??;
    let why_not = match encoded {
        Err(error) => error.to_string(),
        Ok(value) if value.len() > VALUE_LEN_MAX => format!("it is larger than {VALUE_LEN_MAX}"),
        Ok(value) if pack::scan_exact(&value, VALUE_DEPTH_MAX).is_err() => {
            format!("it nests deeper than {VALUE_DEPTH_MAX}")
        }
        Ok(value) => return Some((path, value)),
    };
    log::warning!("tractor::runtime", "an error {path} goes without its value: {why_not}");
    None
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use serde::Deserialize;

    use super::*;
    use crate::error::Raise as _;

    macro_rules! errors {
        ($($name:ident($of:ty)),+) => {
            $(#[derive(Debug, PartialEq, Serialize, Deserialize)]
            struct $name($of);

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(stringify!($name))
                }
            }

            impl std::error::Error for $name {})+
        };
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nested(Vec<Nested>);

    errors!(First(u32), Second(String), Unknown(u32), Deep(Nested));
    crate::reg_error!(First, Second, Deep);

    #[test]
    fn each_registered_type_is_found_and_no_other() {
        let (path, value) = encoded(&First(7)).unwrap();
        assert!(path.ends_with("registry::tests::First"), "{path}");
        assert_eq!(payload::decode::<First>(&value).unwrap(), First(7));
        assert_eq!(encoded(&Second("x".into())).unwrap().0, type_name::<Second>());
        assert!(encoded(&Unknown(7)).is_none());
        assert!(encoded(&std::fmt::Error).is_none());
        check().unwrap();
    }

    #[test]
    fn error_of_this_process_is_found_by_its_type() {
        let error = Err::<(), _>(Second("x".into())).raise().unwrap_err();
        assert_eq!(error.downcast(), Some(Second("x".into())));
        assert_eq!(error.downcast::<First>(), None);
        // The receiver needs no registration, and here it is both.
        let unknown = Err::<(), _>(Unknown(1)).raise().unwrap_err();
        assert_eq!(unknown.downcast(), Some(Unknown(1)));
        assert_eq!(Error::TooSlow.downcast::<First>(), None);
    }

    #[test]
    fn value_that_is_too_large_or_too_deep_stays_behind() {
        assert!(encoded(&Second("x".repeat(VALUE_LEN_MAX))).is_none());
        let deep = |depth: usize| {
            Deep((1..depth).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner])))
        };
        assert!(encoded(&deep(VALUE_DEPTH_MAX)).is_some());
        assert!(encoded(&deep(VALUE_DEPTH_MAX + 1)).is_none());
    }
}
