//! The MessagePack that we accept and emit (`docs/protocol.md` §2).
//!
//! Writing: every integer and every header in its shortest form, floats always 64 bits, as the
//! reference's encoder does, so that equal messages are equal bytes.
//!
//! Reading: any width is accepted; the byte 0xc1, a text that is not UTF-8, a count that exceeds
//! the bytes that are left, and nesting over a limit are not. [`scan`] checks all of that for one
//! value of any shape without recursion and without allocating, so whatever decodes the value later
//! can neither overflow its stack nor be talked into a huge allocation.
//!
//! ```text
//! 00..7f  0..127         c0 nil          ca f32    cb f64           d9 str8  da str16  db str32
//! 80..8f  map, 0..15     c1 (never)      cc..cf u8 u16 u32 u64      c4 bin8  c5 bin16  c6 bin32
//! 90..9f  array, 0..15   c2 false        d0..d3 i8 i16 i32 i64      dc array16         dd array32
//! a0..bf  str, 0..31     c3 true         d4..d8 ext 1 2 4 8 16      de map16           df map32
//! e0..ff  -32..-1                        c7 c8 c9 ext8 ext16 ext32  (all big-endian)
//! ```

use alloc::vec::Vec;

use crate::error::DecodeError;

/// How deep values may nest at the very most; a frame's own map is one level of it.
pub const DEPTH_MAX: usize = 64;

/// What a value's first bytes say about the rest of it.
enum Head {
    /// So many more bytes of no structure: numbers, bin, ext.
    Plain(usize),
    /// So many more bytes of text.
    Str(usize),
    /// So many values.
    Array(usize),
    /// So many pairs of values.
    Map(usize),
}

/// Splits off the first `N` bytes as a big-endian length.
#[inline(always)]
fn length<const N: usize>(bytes: &[u8]) -> Result<(usize, &[u8]), DecodeError> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
    // N is 1, 2 or 4, and a usize has at least 32 bits wherever this crate makes sense.
    Ok((head.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)), rest))
}

/// Reads the head of the value at the front of `bytes`; returns it and what follows it.
#[inline(always)]
fn head(bytes: &[u8]) -> Result<(Head, &[u8]), DecodeError> {
    let (&marker, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
    let fixed = |len| Ok((Head::Plain(len), rest));
    let with_len = |make: fn(usize) -> Head, (len, rest)| Ok((make(len), rest));
    match marker {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => fixed(0),
        0x80..=0x8f => Ok((Head::Map(usize::from(marker & 0x0f)), rest)),
        0x90..=0x9f => Ok((Head::Array(usize::from(marker & 0x0f)), rest)),
        0xa0..=0xbf => Ok((Head::Str(usize::from(marker & 0x1f)), rest)),
        0xc1 => Err(DecodeError::ReservedByte),
        0xc4 => with_len(Head::Plain, length::<1>(rest)?),
        0xc5 => with_len(Head::Plain, length::<2>(rest)?),
        0xc6 => with_len(Head::Plain, length::<4>(rest)?),
        // An ext's type is one byte between its length and its data.
        0xc7 => with_len(|len| Head::Plain(len + 1), length::<1>(rest)?),
        0xc8 => with_len(|len| Head::Plain(len + 1), length::<2>(rest)?),
        0xc9 => with_len(|len| Head::Plain(len.saturating_add(1)), length::<4>(rest)?),
        0xcc | 0xd0 => fixed(1),
        0xcd | 0xd1 => fixed(2),
        0xca | 0xce | 0xd2 => fixed(4),
        0xcb | 0xcf | 0xd3 => fixed(8),
        0xd4 => fixed(2),
        0xd5 => fixed(3),
        0xd6 => fixed(5),
        0xd7 => fixed(9),
        0xd8 => fixed(17),
        0xd9 => with_len(Head::Str, length::<1>(rest)?),
        0xda => with_len(Head::Str, length::<2>(rest)?),
        0xdb => with_len(Head::Str, length::<4>(rest)?),
        0xdc => with_len(Head::Array, length::<2>(rest)?),
        0xdd => with_len(Head::Array, length::<4>(rest)?),
        0xde => with_len(Head::Map, length::<2>(rest)?),
        0xdf => with_len(Head::Map, length::<4>(rest)?),
    }
}

/// Checks the one value at the front of `bytes` and returns its length in bytes.
///
/// Arrays and maps may nest `max_depth` deep, but never deeper than [`DEPTH_MAX`]: `1` has depth
/// 0, `[]` has depth 1. Takes time linear in the value's markers and texts, and constant memory.
///
/// # Errors
/// `Truncated`, `ReservedByte`, `TooDeep`, `BadUtf8` or `BadCount`.
pub fn scan(bytes: &[u8], max_depth: usize) -> Result<usize, DecodeError> {
    let rest = match head(bytes)? {
        (Head::Plain(len), rest) => rest.get(len..).ok_or(DecodeError::Truncated)?,
        (Head::Str(len), rest) => skip_text(rest, len)?,
        (Head::Array(_) | Head::Map(_), _) => scan_nested(bytes, max_depth.min(DEPTH_MAX))?,
    };
    Ok(bytes.len() - rest.len())
}

/// [`scan`], and nothing may follow the value.
///
/// # Errors
/// As [`scan`], or `TrailingBytes`.
pub fn scan_exact(bytes: &[u8], max_depth: usize) -> Result<(), DecodeError> {
    match scan(bytes, max_depth)? {
        len if len == bytes.len() => Ok(()),
        _ => Err(DecodeError::TrailingBytes),
    }
}

/// Steps over the value at the front, which may be an array or a map; returns what follows it.
fn scan_nested(mut bytes: &[u8], max_depth: usize) -> Result<&[u8], DecodeError> {
    // For each open array or map around the current one: how many of its values are to come.
    let mut outer = [0; DEPTH_MAX];
    let mut depth = 0;
    let mut to_come = 1;
    loop {
        let (head, rest) = head(bytes)?;
        let inner = match head {
            Head::Plain(len) => {
                bytes = rest.get(len..).ok_or(DecodeError::Truncated)?;
                0
            }
            Head::Str(len) => {
                bytes = skip_text(rest, len)?;
                0
            }
            Head::Array(_) | Head::Map(_) if depth == max_depth => {
                return Err(DecodeError::TooDeep);
            }
            Head::Array(count) | Head::Map(count) => {
                let values =
                    if matches!(head, Head::Map(_)) { count.saturating_mul(2) } else { count };
                // Every value is a byte at least.
                if values > rest.len() {
                    return Err(DecodeError::BadCount);
                }
                bytes = rest;
                values
            }
        };
        to_come -= 1;
        if inner > 0 {
            outer[depth] = to_come;
            depth += 1;
            to_come = inner;
        }
        while to_come == 0 {
            if depth == 0 {
                return Ok(bytes);
            }
            depth -= 1;
            to_come = outer[depth];
        }
    }
}

/// Steps over a text of `len` bytes.
#[inline(always)]
fn skip_text(bytes: &[u8], len: usize) -> Result<&[u8], DecodeError> {
    let (text, rest) = bytes.split_at_checked(len).ok_or(DecodeError::Truncated)?;
    core::str::from_utf8(text).map_err(|_| DecodeError::BadUtf8)?;
    Ok(rest)
}

/// Reads values one after another from a borrowed slice; never past its end, never recursively.
///
/// Each method that wants a certain type takes the name of the field it stands in, for the error.
/// After an error the position is unspecified.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the front of `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// A reader of `bytes` that has read `head`, if they start with it.
    #[inline]
    pub fn behind(bytes: &'a [u8], head: &[u8]) -> Option<Reader<'a>> {
        bytes.starts_with(head).then_some(Reader { bytes, at: head.len() })
    }

    /// How many bytes have been read.
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// What has not been read.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// `TrailingBytes`.
    #[inline]
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.rest().is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }

    /// The next value's head; steps over it.
    #[inline(always)]
    fn head(&mut self) -> Result<Head, DecodeError> {
        let (head, rest) = head(self.rest())?;
        self.at = self.bytes.len() - rest.len();
        Ok(head)
    }

    /// The next byte, if it is `marker`; steps over it.
    #[inline]
    fn marker(&mut self, marker: u8) -> bool {
        let is = self.rest().first() == Some(&marker);
        self.at += usize::from(is);
        is
    }

    /// Steps over one value of any type, nested at most `max_depth`; returns its bytes.
    ///
    /// # Errors
    /// As [`scan`].
    #[inline]
    pub fn raw(&mut self, max_depth: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.rest();
        let len = scan(rest, max_depth)?;
        self.at += len;
        // `scan` never returns more than it was given.
        Ok(rest.get(..len).unwrap_or_default())
    }

    /// Whether nil is next; steps over it if so.
    #[inline]
    pub fn nil(&mut self) -> bool {
        self.marker(0xc0)
    }

    /// A text's bytes, which nobody has yet checked to be UTF-8.
    ///
    /// # Errors
    /// `WrongType`, or the value is malformed.
    #[inline]
    pub fn str_bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let Head::Str(len) = self.head()? else { return Err(DecodeError::WrongType { field }) };
        let bytes = self.rest().get(..len).ok_or(DecodeError::Truncated)?;
        self.at += len;
        Ok(bytes)
    }

    /// A text.
    ///
    /// # Errors
    /// `WrongType`, or the value is malformed.
    #[inline]
    pub fn str(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let bytes = self.str_bytes(field)?;
        core::str::from_utf8(bytes).map_err(|_| DecodeError::BadUtf8)
    }

    /// Bytes of no structure.
    ///
    /// # Errors
    /// `WrongType`, or the value is malformed.
    pub fn bin(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        if !matches!(self.rest().first(), Some(0xc4..=0xc6)) {
            return Err(DecodeError::WrongType { field });
        }
        let Head::Plain(len) = self.head()? else { return Err(DecodeError::WrongType { field }) };
        let bytes = self.rest().get(..len).ok_or(DecodeError::Truncated)?;
        self.at += len;
        Ok(bytes)
    }

    /// An integer that is not negative, of any width.
    ///
    /// # Errors
    /// `WrongType`, also when negative; or the value is malformed.
    pub fn uint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let (&marker, rest) = self.rest().split_first().ok_or(DecodeError::Truncated)?;
        // An unsigned and a signed type of each width; the smallest that a byte can say is itself.
        let (width, signed) = match marker {
            0x00..=0x7f => {
                self.at += 1;
                return Ok(u64::from(marker));
            }
            0xcc..=0xcf => (1 << (marker - 0xcc), false),
            0xd0..=0xd3 => (1 << (marker - 0xd0), true),
            0xc1 => return Err(DecodeError::ReservedByte),
            _ => return Err(DecodeError::WrongType { field }),
        };
        let digits = rest.get(..width).ok_or(DecodeError::Truncated)?;
        if signed && digits.first().is_some_and(|first| *first >= 0x80) {
            return Err(DecodeError::WrongType { field });
        }
        self.at += 1 + width;
        Ok(digits.iter().fold(0, |n, digit| n << 8 | u64::from(*digit)))
    }

    /// [`uint`](Self::uint) within 32 bits.
    ///
    /// # Errors
    /// `WrongType`, also when out of range; or the value is malformed.
    pub fn uint32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        u32::try_from(self.uint(field)?).map_err(|_| DecodeError::WrongType { field })
    }

    /// A truth value.
    ///
    /// # Errors
    /// `WrongType`, or the value is malformed.
    pub fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.rest().first() {
            Some(marker @ (0xc2 | 0xc3)) => {
                self.at += 1;
                Ok(*marker == 0xc3)
            }
            Some(0xc1) => Err(DecodeError::ReservedByte),
            Some(_) => Err(DecodeError::WrongType { field }),
            None => Err(DecodeError::Truncated),
        }
    }

    /// An array's head: how many values follow. Never more than there are bytes left.
    ///
    /// # Errors
    /// `WrongType` or `BadCount`, or the value is malformed.
    #[inline]
    pub fn array(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        match self.head()? {
            Head::Array(count) if count <= self.rest().len() => Ok(count),
            Head::Array(_) => Err(DecodeError::BadCount),
            _ => Err(DecodeError::WrongType { field }),
        }
    }

    /// A map's head: how many pairs follow. Never more than half the bytes that are left.
    ///
    /// # Errors
    /// `WrongType` or `BadCount`, or the value is malformed.
    #[inline]
    pub fn map(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        match self.head()? {
            Head::Map(count) if count <= self.rest().len() / 2 => Ok(count),
            Head::Map(_) => Err(DecodeError::BadCount),
            _ => Err(DecodeError::WrongType { field }),
        }
    }

    /// Whether a text is next.
    pub fn is_str(&self) -> bool {
        matches!(self.rest().first(), Some(0xa0..=0xbf | 0xd9..=0xdb))
    }

    /// Whether an array is next.
    pub fn is_array(&self) -> bool {
        matches!(self.rest().first(), Some(0x90..=0x9f | 0xdc | 0xdd))
    }

    /// Whether a map is next.
    pub fn is_map(&self) -> bool {
        matches!(self.rest().first(), Some(0x80..=0x8f | 0xde | 0xdf))
    }
}

/// Writes nil.
pub fn put_nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// Writes a truth value.
pub fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// Writes an integer that is not negative, in its shortest form.
pub fn put_uint(out: &mut Vec<u8>, value: u64) {
    let be = value.to_be_bytes();
    let [.., b3, b2, b1, b0] = be;
    match value {
        0..=0x7f => out.push(b0),
        0x80..=0xff => out.extend_from_slice(&[0xcc, b0]),
        0x100..=0xffff => out.extend_from_slice(&[0xcd, b1, b0]),
        0x1_0000..=0xffff_ffff => out.extend_from_slice(&[0xce, b3, b2, b1, b0]),
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&be);
        }
    }
}

/// Writes an integer, in its shortest form.
pub fn put_int(out: &mut Vec<u8>, value: i64) {
    let be = value.to_be_bytes();
    let [.., b3, b2, b1, b0] = be;
    match value {
        0.. => put_uint(out, value.unsigned_abs()),
        -0x20..0 => out.push(b0),
        -0x80..-0x20 => out.extend_from_slice(&[0xd0, b0]),
        -0x8000..-0x80 => out.extend_from_slice(&[0xd1, b1, b0]),
        -0x8000_0000..-0x8000 => out.extend_from_slice(&[0xd2, b3, b2, b1, b0]),
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&be);
        }
    }
}

/// Writes a float, always with 64 bits.
pub fn put_float(out: &mut Vec<u8>, value: f64) {
    out.push(0xcb);
    out.extend_from_slice(&value.to_be_bytes());
}

/// Writes a text.
#[inline]
pub fn put_str(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        // Below 32, so it fits beside the marker.
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len => put_length(out, len, Some(0xd9), 0xda, 0xdb),
    }
    out.extend_from_slice(text.as_bytes());
}

/// Writes bytes.
pub fn put_bin(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len(), Some(0xc4), 0xc5, 0xc6);
    out.extend_from_slice(bytes);
}

/// Writes an array's head; `count` values must follow.
pub fn put_array(out: &mut Vec<u8>, count: usize) {
    match count {
        // Below 16, so it fits beside the marker.
        0..=15 => out.push(0x90 | count as u8),
        _ => put_length(out, count, None, 0xdc, 0xdd),
    }
}

/// Writes a map's head; `count` pairs of values must follow.
pub fn put_map(out: &mut Vec<u8>, count: usize) {
    match count {
        // Below 16, so it fits beside the marker.
        0..=15 => out.push(0x80 | count as u8),
        _ => put_length(out, count, None, 0xde, 0xdf),
    }
}

/// Writes a length after the marker for its width: 8, 16 or 32 bits.
///
/// A length of 2^32 can't be written; nothing near it passes the limit on frames (§1.2).
fn put_length(out: &mut Vec<u8>, len: usize, marker8: Option<u8>, marker16: u8, marker32: u8) {
    debug_assert!(u32::try_from(len).is_ok(), "a value of {len} bytes");
    let [b3, b2, b1, b0] = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    match (len, marker8) {
        (0..=0xff, Some(marker)) => out.extend_from_slice(&[marker, b0]),
        (0..=0xffff, _) => out.extend_from_slice(&[marker16, b1, b0]),
        _ => out.extend_from_slice(&[marker32, b3, b2, b1, b0]),
    }
}
