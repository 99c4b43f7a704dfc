//! Says what is wrong with a value that did not decode: where, what was expected, what is there.
//!
//! rmp-serde's own errors know neither the place nor, of a mistyped number, what was expected. So
//! the value is walked once more by this deserializer, which is slow, takes the same values, and
//! builds the text. It runs only after a failure, on bytes that have been scanned (so recursion is
//! bounded).

use std::fmt;

use serde::Deserialize;
use serde::de::value::BorrowedBytesDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, Unexpected, Visitor,
};

use super::DecodeError;

/// Of a name that a peer made up, how many characters are repeated in an error.
const NAME_LEN_MAX: usize = 64;

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A struct lacks this field.
    Missing(&'static str),
    /// A struct has no such field.
    Unknown(String),
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Missing(name) => write!(f, "missing field `{name}`"),
            Problem::Unknown(name) => write!(f, "unknown field `{name}`"),
            Problem::Other(text) => f.write_str(text),
        }
    }
}

/// The error for bytes that are no `T`, as `hot` found.
#[cold]
pub(super) fn explain<T: DeserializeOwned>(bytes: &[u8], hot: &dyn fmt::Display) -> DecodeError {
    let mut reader = Reader { rest: bytes };
    match T::deserialize(&mut reader) {
        Err(Fault { path, problem }) => DecodeError { path: render(&path), problem },
        // The two disagree, which is a bug of this one: its answer is not needed.
        Ok(_) => DecodeError::whole(hot.to_string()),
    }
}

/// A problem on its way out of the value; each level adds where it was.
#[derive(Debug)]
struct Fault {
    /// Innermost first.
    path: Vec<Segment>,
    problem: Problem,
}

#[derive(Debug)]
enum Segment {
    Field(String),
    Index(usize),
}

impl Fault {
    fn new(problem: Problem) -> Fault {
        Fault { path: Vec::new(), problem }
    }

    fn at(mut self, segment: Segment) -> Fault {
        self.path.push(segment);
        self
    }
}

fn render(path: &[Segment]) -> String {
    use fmt::Write as _;
    let mut text = String::new();
    for segment in path.iter().rev() {
        // Writing to a string can't fail.
        let _ = match segment {
            Segment::Index(index) => write!(text, "[{index}]"),
            Segment::Field(name) if text.is_empty() => write!(text, "{name}"),
            Segment::Field(name) => write!(text, ".{name}"),
        };
    }
    text
}

/// A peer's word, short and without control characters: it ends up in logs.
fn word(text: &str) -> String {
    let short: String = text.chars().take(NAME_LEN_MAX).collect();
    let dots = if short.len() < text.len() { ".." } else { "" };
    format!("{}{dots}", short.escape_debug())
}

fn found(unexpected: &Unexpected<'_>) -> String {
    // Numbers help, strings may be long and secret.
    match unexpected {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("integer `{value}`"),
        Unexpected::Signed(value) => format!("integer `{value}`"),
        Unexpected::Float(value) => format!("float `{value}`"),
        Unexpected::Str(_) => "string".to_owned(),
        Unexpected::Bytes(_) => "bytes".to_owned(),
        Unexpected::Unit | Unexpected::Option => "nil".to_owned(),
        Unexpected::Seq => "array".to_owned(),
        Unexpected::Map => "map".to_owned(),
        Unexpected::NewtypeStruct => "extension".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Fault {
        Fault::new(Problem::Other(text.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        Fault::custom(format_args!("expected {expected}, got {}", found(&unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        Fault::invalid_type(unexpected, expected)
    }

    fn invalid_length(len: usize, expected: &dyn Expected) -> Fault {
        Fault::custom(format_args!("expected {expected}, got {len} elements"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Fault {
        let expected = expected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
        let expected = expected.join(", ");
        Fault::custom(format_args!("unknown variant `{}`, known are {expected}", word(variant)))
    }

    fn unknown_field(field: &str, _known: &'static [&'static str]) -> Fault {
        Fault::new(Problem::Unknown(word(field)))
    }

    fn missing_field(field: &'static str) -> Fault {
        Fault::new(Problem::Missing(field))
    }

    fn duplicate_field(field: &'static str) -> Fault {
        Fault::custom(format_args!("`{field}` is there twice"))
    }
}

/// A value of which `rest` is the unread part.
struct Reader<'de> {
    rest: &'de [u8],
}

/// The first byte of a value and its count, decoded.
enum Head {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    Str(usize),
    Bin(usize),
    Array(usize),
    Map(usize),
    Ext(usize),
}

impl<'de> Reader<'de> {
    fn take(&mut self, len: usize) -> Result<&'de [u8], Fault> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| de::Error::custom("the value ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// A big-endian number of `width` bytes.
    fn number(&mut self, width: usize) -> Result<u64, Fault> {
        Ok(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn count(&mut self, width: usize) -> Result<usize, Fault> {
        // At most 4 bytes wide, so it fits; if not, no buffer is that long either.
        Ok(usize::try_from(self.number(width)?).unwrap_or(usize::MAX))
    }

    fn head(&mut self) -> Result<Head, Fault> {
        let [marker] = self.array()?;
        Ok(match marker {
            0x00..=0x7f => Head::Unsigned(marker.into()),
            0x80..=0x8f => Head::Map((marker & 0x0f).into()),
            0x90..=0x9f => Head::Array((marker & 0x0f).into()),
            0xa0..=0xbf => Head::Str((marker & 0x1f).into()),
            0xc0 => Head::Nil,
            0xc1 => return Err(de::Error::custom("0xc1 is no value")),
            0xc2 | 0xc3 => Head::Bool(marker == 0xc3),
            0xc4..=0xc6 => Head::Bin(self.count(1 << (marker - 0xc4))?),
            0xc7..=0xc9 => Head::Ext(self.count(1 << (marker - 0xc7))?),
            0xca => Head::F32(f32::from_be_bytes(self.array()?)),
            0xcb => Head::F64(f64::from_be_bytes(self.array()?)),
            0xcc..=0xcf => Head::Unsigned(self.number(1 << (marker - 0xcc))?),
            0xd0 => Head::Signed(i8::from_be_bytes(self.array()?).into()),
            0xd1 => Head::Signed(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Head::Signed(i32::from_be_bytes(self.array()?).into()),
            0xd3 => Head::Signed(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => Head::Ext(1 << (marker - 0xd4)),
            0xd9..=0xdb => Head::Str(self.count(1 << (marker - 0xd9))?),
            0xdc | 0xdd => Head::Array(self.count(2 << (marker - 0xdc))?),
            0xde | 0xdf => Head::Map(self.count(2 << (marker - 0xde))?),
            0xe0..=0xff => Head::Signed(i8::from_be_bytes([marker]).into()),
        })
    }

    /// What comes next, read from a copy.
    fn peek(&self) -> Result<(Head, Reader<'de>), Fault> {
        let mut ahead = Reader { rest: self.rest };
        Ok((ahead.head()?, ahead))
    }

    /// The name of the map key that comes next.
    fn key(&self) -> Result<String, Fault> {
        Ok(match self.peek()? {
            (Head::Str(len), mut ahead) => word(&String::from_utf8_lossy(ahead.take(len)?)),
            (Head::Unsigned(key), _) => key.to_string(),
            (Head::Signed(key), _) => key.to_string(),
            _ => "?".to_owned(),
        })
    }

    fn seq<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        let mut items = Items { reader: self, left: len, len, key: String::new() };
        let value = visitor.visit_seq(&mut items)?;
        items.finish()?;
        Ok(value)
    }

    fn map<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        let mut items = Items { reader: self, left: len, len, key: String::new() };
        let value = visitor.visit_map(&mut items)?;
        items.finish()?;
        Ok(value)
    }

    /// Of an `i128`: 16 bytes, or any smaller integer.
    fn wide<V: Visitor<'de>>(
        &mut self,
        visitor: V,
        visit: impl FnOnce(V, [u8; 16]) -> Result<V::Value, Fault>,
    ) -> Result<V::Value, Fault> {
        match self.peek()? {
            (Head::Bin(16), mut ahead) => {
                let bytes = ahead.array()?;
                self.rest = ahead.rest;
                visit(visitor, bytes)
            }
            _ => self.deserialize_any(visitor),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Fault;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.head()? {
            Head::Nil => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::F32(value) => visitor.visit_f32(value),
            Head::F64(value) => visitor.visit_f64(value),
            Head::Str(len) => {
                let bytes = self.take(len)?;
                match str::from_utf8(bytes) {
                    Ok(text) => visitor.visit_borrowed_str(text),
                    Err(_) => visitor.visit_borrowed_bytes(bytes),
                }
            }
            Head::Bin(len) => visitor.visit_borrowed_bytes(self.take(len)?),
            Head::Array(len) => self.seq(len, visitor),
            Head::Map(len) => self.map(len, visitor),
            Head::Ext(len) => {
                // The type's number, then the data.
                self.take(1)?;
                visitor.visit_newtype_struct(BorrowedBytesDeserializer::new(self.take(len)?))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.peek()? {
            (Head::Nil, ahead) => {
                self.rest = ahead.rest;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        // rmp-serde writes a unit struct as an empty array.
        match self.peek()? {
            (Head::Array(0), ahead) => {
                self.rest = ahead.rest;
                visitor.visit_unit()
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.peek()? {
            // A `Vec<u8>` may come as bytes.
            (Head::Bin(len), mut ahead) => {
                let bytes = ahead.take(len)?.iter().copied();
                self.rest = ahead.rest;
                visitor.visit_seq(de::value::SeqDeserializer::new(bytes))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.peek()? {
            (Head::Map(1), ahead) => {
                self.rest = ahead.rest;
                let variant = self.key()?;
                let value = visitor.visit_enum(Variant { reader: self, has_value: true });
                value.map_err(|fault| fault.at(Segment::Field(variant)))
            }
            (Head::Str(_) | Head::Unsigned(_), _) => {
                visitor.visit_enum(Variant { reader: self, has_value: false })
            }
            _ => Err(de::Error::custom(format_args!(
                "expected a variant of {name}: its name, or a map from its name to its value"
            ))),
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.wide(visitor, |visitor, bytes| visitor.visit_i128(i128::from_be_bytes(bytes)))
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.wide(visitor, |visitor, bytes| visitor.visit_u128(u128::from_be_bytes(bytes)))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit
        tuple_struct map struct identifier ignored_any
    }
}

/// The items of an array, or the entries of a map.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
    len: usize,
    /// Of the entry whose value comes next.
    key: String,
}

impl Items<'_, '_> {
    fn finish(&self) -> Result<(), Fault> {
        let (len, taken) = (self.len, self.len - self.left);
        match self.left {
            0 => Ok(()),
            _ => Err(de::Error::custom(format_args!("expected {taken} elements, got {len}"))),
        }
    }
}

impl<'de> de::SeqAccess<'de> for Items<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        let index = self.len - self.left;
        self.left -= 1;
        let value = seed.deserialize(&mut *self.reader);
        value.map(Some).map_err(|fault| fault.at(Segment::Index(index)))
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.key = self.reader.key()?;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let value = seed.deserialize(&mut *self.reader);
        value.map_err(|fault| fault.at(Segment::Field(std::mem::take(&mut self.key))))
    }
}

/// A variant: its name, and its value behind it if there is one.
struct Variant<'a, 'de> {
    reader: &'a mut Reader<'de>,
    has_value: bool,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let variant = seed.deserialize(&mut *self.reader)?;
        Ok((variant, self))
    }
}

impl<'de> Variant<'_, 'de> {
    fn value(&mut self) -> Result<&mut Reader<'de>, Fault> {
        if self.has_value {
            return Ok(self.reader);
        }
        Err(de::Error::custom("expected a variant with a value, got its name only"))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        if self.has_value {
            return Deserialize::deserialize(self.reader);
        }
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<S::Value, Fault> {
        seed.deserialize(self.value()?)
    }

    fn tuple_variant<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.value()?.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        mut self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.value()?.deserialize_any(visitor)
    }
}
