//! User values on the wire: MessagePack through serde, structs as maps.
//!
//! What comes from a peer is scanned before serde sees it (`tractor_core::wire::pack::scan`): then
//! nesting is bounded, counts are no larger than the bytes that follow, and there is one value and
//! nothing behind it. Without that, five bytes can make serde reserve a megabyte, and five thousand
//! a gigabyte.
//!
//! A value that does not fit its type is decoded a second time, slowly, to say where (`explain`).

// Their paths, because the fuzz target of the same name compiles this file, too.
#[path = "payload/explain.rs"]
mod explain;
#[cfg(test)]
#[path = "payload/tests.rs"]
mod tests;

use std::fmt;

use rmp_serde::{Deserializer, Serializer};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use tractor_core::wire::pack;

pub(crate) use explain::Problem;

/// Appends the encoded value.
///
/// # Errors
///
/// If the value has no encoding, or one that the peer would refuse (nested too deep). Then nothing
/// has been appended.
pub(crate) fn encode_into<T: Serialize + ?Sized>(
    value: &T,
    buffer: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = buffer.len();
    let mut serializer = Serializer::new(&mut *buffer).with_struct_map();
    let encoded = match value.serialize(&mut serializer) {
        Ok(()) => check(&buffer[start..]),
        Err(error) => Err(error.to_string()),
    };
    encoded.map_err(|problem| {
        buffer.truncate(start);
        EncodeError { type_name: std::any::type_name::<T>(), problem }
    })
}

/// Decodes exactly one value.
///
/// # Errors
///
/// If the bytes are no single value within the limits, or the value does not fit the type: the
/// error says where.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    check(bytes).map_err(DecodeError::whole)?;
    // Two more than the scan's limit: rmp-serde refuses to *reach* its own, and an extension is a
    // level to it.
    let mut deserializer = Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(pack::DEPTH_MAX + 2);
    match T::deserialize(&mut deserializer) {
        // The only way to ask this deserializer whether it is at the end.
        Ok(value) if IgnoredAny::deserialize(&mut deserializer).is_err() => Ok(value),
        Ok(_) => Err(DecodeError::whole("the type did not take all of the value")),
        Err(error) => Err(explain::explain::<T>(bytes, &error)),
    }
}

/// Decodes exactly one map with the fields of `T`: serde would take them by position, too.
///
/// # Errors
///
/// As [`decode`]; and if it is no map.
pub(crate) fn decode_map<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    match bytes.first() {
        // fixmap, map 16, map 32
        Some(0x80..=0x8f | 0xde | 0xdf) | None => decode(bytes),
        Some(_) => Err(DecodeError::whole("expected a map from names to values")),
    }
}

/// That the bytes are one value within the limits.
fn check(bytes: &[u8]) -> Result<(), String> {
    match pack::scan(bytes, pack::DEPTH_MAX) {
        Ok(len) if len == bytes.len() => Ok(()),
        Ok(len) => Err(format!("{} bytes are left over", bytes.len() - len)),
        Err(error) => Err(error.to_string()),
    }
}

/// A value that can't be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EncodeError {
    type_name: &'static str,
    problem: String,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a `{}` can't be encoded: {}", self.type_name, self.problem)
    }
}

impl std::error::Error for EncodeError {}

/// A value that does not fit the type that was expected, and where it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DecodeError {
    path: String,
    problem: Problem,
}

impl DecodeError {
    /// Where in the value: `config.layers[2]`, or empty for the value itself.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong there.
    pub(crate) fn problem(&self) -> &Problem {
        &self.problem
    }

    fn whole(problem: impl Into<String>) -> DecodeError {
        DecodeError { path: String::new(), problem: Problem::Other(problem.into()) }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for DecodeError {}
