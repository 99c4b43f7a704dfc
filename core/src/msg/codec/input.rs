//! Reading a body: its fields one after another, and the kinds of value that fields have.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::{Buf, Bytes};

use crate::addr::Address;
use crate::error::DecodeError;
use crate::id::{Cid, Text, Uid};
use crate::wire::pack::{DEPTH_MAX, Reader};

/// The most entries that a list of a message's own may have: a relay path, addresses, modules.
pub const LIST_MAX: usize = 4096;

/// The tag's key, and how it is written.
const TAG: &[u8] = b"msg_type";
const TAG_PACKED: &[u8] = b"\xa8msg_type";

/// Cuts a part out of a body that is no longer needed: cheaper than another handle to it.
#[inline]
pub(super) fn cut(mut body: Bytes, part: Range<usize>) -> Bytes {
    body.truncate(part.end);
    body.advance(part.start);
    body
}

/// A value that had to be there.
#[inline]
pub(super) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Missing { field })
}

/// A map, entry by entry. Ask for a key, then read or [`skip`](Self::skip) its value.
pub(super) struct Fields<'a> {
    body: &'a Bytes,
    pub(super) reader: Reader<'a>,
    /// How many entries are to come.
    left: usize,
    /// For a message: where the key of its tag is. Zero, where no key can be, if already behind us.
    tag_at: Option<usize>,
}

impl<'a> Fields<'a> {
    /// The entries of a map that is no message: arguments, runtime variables.
    pub(super) fn of_map(body: &'a Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let left = reader.map("map")?;
        Ok(Fields { body, reader, left, tag_at: None })
    }

    /// The tag of the message in `body`, and its entries but that.
    #[inline]
    pub(super) fn of_message(body: &'a Bytes) -> Result<(&'a [u8], Self), DecodeError> {
        let mut reader = Reader::new(body);
        let left = reader.map("message")?;
        if left > 0 && reader.rest().starts_with(TAG_PACKED) {
            reader.str_bytes("key")?;
            let tag = reader.str_bytes("msg_type")?;
            return Ok((tag, Fields { body, reader, left: left - 1, tag_at: Some(0) }));
        }
        let (tag, tag_at) = find_tag(reader.clone(), left)?;
        Ok((tag, Fields { body, reader, left, tag_at: Some(tag_at) }))
    }

    /// What follows in a message that starts with `head`, for a look without asking for keys.
    #[inline]
    pub(super) fn behind(body: &'a Bytes, head: &[u8]) -> Option<Self> {
        let reader = Reader::behind(body, head)?;
        Some(Fields { body, reader, left: 0, tag_at: Some(0) })
    }

    /// The next entry's key; none after the last, which must be the end of the body too.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        while self.left > 0 {
            self.left -= 1;
            let at = self.reader.at();
            let key = self.reader.str_bytes("key")?;
            if key != TAG || self.tag_at.is_none() {
                return Ok(Some(key));
            }
            if self.tag_at != Some(at) {
                return Err(DecodeError::DuplicateTag);
            }
            self.reader.raw(0)?;
        }
        self.reader.end()?;
        Ok(None)
    }

    /// Steps over the value of a key that we don't know.
    #[cold]
    pub(super) fn skip(&mut self, key: &[u8]) -> Result<(), DecodeError> {
        core::str::from_utf8(key).map_err(|_| DecodeError::BadUtf8)?;
        self.reader.raw(DEPTH_MAX - 1)?;
        Ok(())
    }

    /// Any value: where it is.
    #[inline]
    pub(super) fn range(&mut self) -> Result<Range<usize>, DecodeError> {
        let start = self.reader.at();
        self.reader.raw(DEPTH_MAX - 1)?;
        Ok(start..self.reader.at())
    }

    /// Any value.
    pub(super) fn raw(&mut self) -> Result<Bytes, DecodeError> {
        let range = self.range()?;
        Ok(self.body.slice(range))
    }

    /// A map, unopened.
    pub(super) fn raw_map(&mut self, field: &'static str) -> Result<Bytes, DecodeError> {
        if self.reader.is_map() { self.raw() } else { self.mismatch(field) }
    }

    /// The error for a value of the wrong type, unless the value itself is malformed.
    #[cold]
    pub(super) fn mismatch<T>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        self.reader.raw(DEPTH_MAX - 1)?;
        Err(DecodeError::WrongType { field })
    }

    /// nil, or what `read` makes of the value.
    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.reader.nil() { Ok(None) } else { read(self).map(Some) }
    }

    /// A text.
    #[inline]
    pub(super) fn text(&mut self, field: &'static str) -> Result<Text, DecodeError> {
        let len = self.reader.str_bytes(field)?.len();
        let end = self.reader.at();
        Text::from_utf8(self.body.slice(end - len..end)).ok_or(DecodeError::BadUtf8)
    }

    /// A dialog's name: a text or a number.
    #[inline]
    pub(super) fn cid(&mut self) -> Result<Cid, DecodeError> {
        if self.reader.is_str() {
            Ok(Cid::Text(self.text("cid")?))
        } else {
            Ok(Cid::Num(self.reader.uint("cid")?))
        }
    }

    /// An actor's identity: a pair of texts.
    pub(super) fn uid(&mut self, field: &'static str) -> Result<Uid, DecodeError> {
        match self.reader.array(field)? {
            2 => Ok(Uid { name: self.text(field)?, uuid: self.text(field)? }),
            _ => Err(DecodeError::WrongType { field }),
        }
    }

    /// An array of values of one kind.
    pub(super) fn list<T>(
        &mut self,
        field: &'static str,
        mut entry: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.reader.array(field)?;
        if count > LIST_MAX {
            return Err(DecodeError::TooMany { field });
        }
        (0..count).map(|_| entry(self)).collect()
    }

    /// A map of texts to values of one kind, in the order in which it came.
    pub(super) fn text_map<T>(
        &mut self,
        field: &'static str,
        mut value: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<(Text, T)>, DecodeError> {
        let count = self.reader.map(field)?;
        if count > LIST_MAX {
            return Err(DecodeError::TooMany { field });
        }
        (0..count).map(|_| Ok((self.text(field)?, value(self)?))).collect()
    }

    /// An address.
    pub(super) fn addr(&mut self, field: &'static str) -> Result<Address, DecodeError> {
        addr(&mut self.reader, field)
    }

    /// An array of addresses.
    pub(super) fn addrs(&mut self, field: &'static str) -> Result<Vec<Address>, DecodeError> {
        self.list(field, |fields| fields.addr(field))
    }
}

/// Looks through all entries for the one tag, and tells where its key is.
#[cold]
fn find_tag(mut reader: Reader<'_>, count: usize) -> Result<(&[u8], usize), DecodeError> {
    let mut found = None;
    for _ in 0..count {
        let at = reader.at();
        if reader.str_bytes("key")? != TAG {
            reader.raw(DEPTH_MAX - 1)?;
            continue;
        }
        if found.is_some() {
            return Err(DecodeError::DuplicateTag);
        }
        found = Some((reader.str_bytes("msg_type")?, at));
    }
    required(found, "msg_type")
}

/// An address: a pair of host and port, or of directory and file (§2.4).
pub(super) fn addr(reader: &mut Reader<'_>, field: &'static str) -> Result<Address, DecodeError> {
    let wrong = DecodeError::WrongType { field };
    if reader.array(field)? != 2 {
        return Err(wrong);
    }
    let first = reader.str(field)?;
    if reader.is_str() {
        let file = reader.str(field)?.to_string();
        return Ok(Address::Uds { dir: first.to_string(), file });
    }
    let port = u16::try_from(reader.uint(field)?).map_err(|_| wrong)?;
    Ok(Address::Tcp { host: first.parse().map_err(|_| wrong)?, port })
}
