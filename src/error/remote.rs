//! What a task elsewhere failed of.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tractor_core::msg::{ErrorData, RemoteError as Raw};
use tractor_core::{Text, Uid, relayed};

use super::registry::WireError;
use super::{Error, from_raw};
use crate::log;
use crate::payload;

/// Of an error's causes so many are kept: who sends more means to hurt.
const CAUSES_MAX: usize = 64;
/// Of the way that a group took, so many hops are added to that of its members. A tree is not as
/// deep; what a peer made up may be.
const HOPS_MAX: usize = 32;

/// What a remote task failed of, and the way the news took.
#[derive(Clone)]
pub struct RemoteError(Arc<Remote>);

struct Remote {
    raw: Raw,
    /// It answers our own cancel of that very task.
    is_own: bool,
    /// Taken apart when somebody asks.
    parts: OnceLock<Parts>,
}

/// What it carries along.
#[derive(Default)]
struct Parts {
    typed: Option<(Text, Bytes)>,
    cause: Option<RemoteCause>,
    errors: Vec<Error>,
}

impl RemoteError {
    pub(crate) fn new(raw: Raw) -> RemoteError {
        RemoteError(Arc::new(Remote { raw, is_own: false, parts: OnceLock::new() }))
    }

    /// The cancellation that we asked for.
    pub(crate) fn own_cancel(raw: Raw) -> RemoteError {
        RemoteError(Arc::new(Remote { raw, is_own: true, parts: OnceLock::new() }))
    }

    pub(crate) fn raw(&self) -> &Raw {
        &self.0.raw
    }

    /// Whether both are the same news: not merely equal.
    pub(super) fn is_same(&self, other: &RemoteError) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The error's type where it happened.
    pub fn type_name(&self) -> &str {
        self.0.raw.src_type.as_str()
    }

    /// Its type as it arrived: another than [`type_name`](Self::type_name) once it was relayed.
    pub fn boxed_type_name(&self) -> &str {
        self.0.raw.boxed_type.as_str()
    }

    /// Its own text. A Python exception sends its text in the traceback alone, where it is looked
    /// for.
    pub fn message(&self) -> &str {
        let raw = &self.0.raw;
        let message = raw.message.as_ref().map_or("", Text::as_str);
        match message.is_empty() {
            true => text_in(raw.traceback.as_str(), raw.src_type.as_str()),
            false => message,
        }
    }

    /// The report from where it happened: what caused it, and the backtrace, which is empty
    /// without `RUST_BACKTRACE`.
    pub fn traceback(&self) -> &str {
        self.0.raw.traceback.as_str()
    }

    /// The actor where it happened.
    pub fn source_actor(&self) -> &Uid {
        &self.0.raw.src
    }

    /// Every actor that sent it on, the source first.
    pub fn relay_path(&self) -> &[Uid] {
        &self.0.raw.relay_path
    }

    /// The actor that we have it from: the last of the [path](Self::relay_path).
    pub fn relayer(&self) -> &Uid {
        self.relay_path().last().unwrap_or(&self.0.raw.src)
    }

    /// Who cancelled, when this is a cancellation.
    pub fn canceller(&self) -> Option<&Uid> {
        self.0.raw.canceller.as_ref()
    }

    /// Whether this is the cancellation that was asked for by
    /// [`ParentContext::cancel`](crate::ParentContext::cancel) here, of that very task. The end of
    /// its block absorbs it; see [`Absorb`](crate::Absorb) for a block that fails of it.
    pub fn is_own_cancel(&self) -> bool {
        self.0.is_own
    }

    /// Its members, when several errors happened there. [`Error::leaves`] looks into them too.
    pub fn errors(&self) -> &[Error] {
        &self.parts().errors
    }

    /// What caused it, as far as it was sent along.
    pub fn cause(&self) -> Option<&RemoteCause> {
        self.parts().cause.as_ref()
    }

    /// The error itself, when its program has registered its type with
    /// [`reg_error!`](macro@crate::reg_error), and that is `E`. The receiver needs no registration.
    ///
    /// `None` for any other error, and for one whose value is no `E` here: the two programs may not
    /// be the same.
    pub fn downcast<E: WireError>(&self) -> Option<E> {
        let (path, value) = self.parts().typed.as_ref()?;
        if path.as_str() != std::any::type_name::<E>() {
            return None;
        }
        let decoded = payload::decode(value);
        if let Err(error) = &decoded {
            log::warning!("tractor::runtime", "an error is no {path} here: {error}");
        }
        decoded.ok()
    }

    fn parts(&self) -> &Parts {
        self.0.parts.get_or_init(|| {
            // Data that is not ours says nothing.
            let data = self.0.raw.data.as_ref().and_then(|data| ErrorData::decode(data).ok());
            data.map_or_else(Parts::default, |data| self.take_apart(data))
        })
    }

    fn take_apart(&self, data: ErrorData) -> Parts {
        let hops = self.relay_path().get(1..).unwrap_or_default();
        let hops = &hops[..hops.len().min(HOPS_MAX)];
        let member = |raw| from_raw(hops.iter().fold(raw, relayed));
        Parts {
            typed: data.type_path.zip(data.value),
            cause: RemoteCause::chain(data.causes),
            errors: data.errors.into_iter().map(member).collect(),
        }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.type_name(), self.source_actor())?;
        if !self.message().is_empty() {
            write!(f, ": {}", self.message())?;
        }
        if self.relay_path().len() > 1 {
            f.write_str(" (relayed by")?;
            for uid in &self.relay_path()[1..] {
                write!(f, " {uid}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for RemoteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause().map(|cause| cause as _)
    }
}

/// What a traceback of Python's says at its end: `ValueError: the text`, with the type's module
/// before it or not, and sometimes with a remark behind it.
fn text_in<'a>(traceback: &'a str, type_name: &str) -> &'a str {
    let text = |line: &'a str| {
        let (path, text) = line.split_once(": ")?;
        (path.rsplit('.').next() == Some(type_name)).then_some(text)
    };
    traceback.lines().rev().find_map(text).unwrap_or_default()
}

/// What caused a remote error: its text is what is left of it. Its
/// [`source`](std::error::Error::source) is what caused that.
pub struct RemoteCause {
    text: Text,
    cause: Option<Box<RemoteCause>>,
}

impl RemoteCause {
    fn chain(mut causes: Vec<Text>) -> Option<RemoteCause> {
        causes.truncate(CAUSES_MAX);
        let link = |cause: Option<RemoteCause>, text| {
            Some(RemoteCause { text, cause: cause.map(Box::new) })
        };
        causes.into_iter().rev().fold(None, link)
    }
}

impl fmt::Display for RemoteCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.as_str())
    }
}

impl fmt::Debug for RemoteCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for RemoteCause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_exception_is_in_its_traceback() {
        let head = "Traceback (most recent call last):\n  File \"app.py\", line 1, in f: g\n";
        for (end, kind, text) in [
            ("ValueError: blam\n", "ValueError", "blam"),
            ("KeyError: 'a: b'", "KeyError", "'a: b'"),
            ("tractor._exceptions.ModuleNotExposed: os\n", "ModuleNotExposed", "os"),
            ("ValueError: x\n( collapsed from a group )\n", "ValueError", "x"),
            ("MyErr\n", "MyErr", ""),
            ("OtherError: blam\n", "Error", ""),
        ] {
            assert_eq!(text_in(&format!("{head}{end}"), kind), text, "{end}");
        }
    }
}
