//! [`ErrorData`] as bytes and back.

use alloc::vec::Vec;

use bytes::Bytes;

use super::encode::put_text;
use super::input::{Fields, LIST_MAX};
use crate::error::DecodeError;
use crate::msg::{ErrorData, Features, Msg, RemoteError};
use crate::wire::pack::{self, DEPTH_MAX, put_array, put_map, put_str};

impl ErrorData {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.value.is_none() && self.causes.is_empty() && self.errors.is_empty()
    }

    /// Appends the map: its parts that are there, in order. Of too long a list the first
    /// [`LIST_MAX`] entries.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let typed = self.type_path.as_ref().zip(self.value.as_ref());
        let count = 2 * usize::from(typed.is_some())
            + usize::from(!self.causes.is_empty())
            + usize::from(!self.errors.is_empty());
        put_map(out, count);
        if let Some((path, value)) = typed {
            put_text(out, "type", path);
            put_str(out, "value");
            out.extend_from_slice(value);
        }
        put_list(out, "causes", &self.causes, |out, text| put_str(out, text.as_str()));
        put_list(out, "errors", &self.errors, |out, error| {
            // A member is the message that it would be by itself.
            Msg::Error { cid: None, error: error.clone() }.encode(Features::ALL, out);
        });
    }

    /// Reads the map. Every part may be absent; unknown ones are ignored.
    ///
    /// # Errors
    /// It is no such map: data of somebody else's.
    pub fn decode(raw: &Bytes) -> Result<ErrorData, DecodeError> {
        pack::scan_exact(raw, DEPTH_MAX)?;
        let mut data = ErrorData::default();
        let mut fields = Fields::of_map(raw)?;
        while let Some(key) = fields.key()? {
            match key {
                b"type" => data.type_path = Some(fields.text("type")?),
                b"value" => data.value = Some(fields.raw()?),
                b"causes" => data.causes = fields.list("causes", |f| f.text("causes"))?,
                b"errors" => data.errors = fields.list("errors", member)?,
                _ => fields.skip(key)?,
            }
        }
        Ok(data)
    }
}

fn member(fields: &mut Fields<'_>) -> Result<RemoteError, DecodeError> {
    match Msg::decode(fields.raw()?)? {
        Msg::Error { error, .. } => Ok(error),
        _ => Err(DecodeError::WrongType { field: "errors" }),
    }
}

fn put_list<T>(out: &mut Vec<u8>, key: &str, list: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    let list = &list[..list.len().min(LIST_MAX)];
    if list.is_empty() {
        return;
    }
    put_str(out, key);
    put_array(out, list.len());
    list.iter().for_each(|entry| put(out, entry));
}
