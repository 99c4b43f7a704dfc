//! What the runtime does with the bytes of arguments and values: many types, the same bytes.
//!
//! The runtime's own file is compiled into this crate a second time, as it stands: it is private
//! there, and nothing of the runtime is needed to run it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use tractor_core::wire::pack::{self, DEPTH_MAX};

#[allow(dead_code, unused_imports, reason = "the runtime uses the rest")]
#[allow(clippy::unwrap_used, reason = "its tests")]
#[path = "../../../../src/payload.rs"]
mod runtime;

/// What a text may be long in an error that a value of so many levels gets: each level names a key
/// of at most 64 characters, escaped, and the problem one more.
const ERROR_LEN_MAX: usize = (DEPTH_MAX + 2) * 64 * 10 + 1000;

/// Arguments as they usually are.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct Args {
    a: u64,
    list: Vec<(String, u8)>,
    step: Option<Step>,
    #[serde(default)]
    rest: BTreeMap<String, i32>,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Step {
    Go,
    Left(u32),
    Pair(bool, char),
    Turn { by: i8, then: Box<Option<Step>> },
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Nest(Vec<Nest>);

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Unit;

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Meters(u16);

/// serde looks at the value before it knows which it is.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(untagged)]
enum Any {
    Number(i64),
    Text(String),
    List(Vec<Any>),
    Map(BTreeMap<String, Any>),
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(tag = "kind")]
enum Tagged {
    One { n: u8 },
    Two(BTreeMap<String, String>),
}

/// What is done with a value for each type: one that a type refuses is explained, so all of them
/// would take too long.
const TYPES: [fn(&[u8]); 13] = [
    as_type::<Args>,
    as_type::<Step>,
    as_type::<Nest>,
    as_type::<(Unit, Meters, Option<Unit>)>,
    as_type::<Any>,
    as_type::<Tagged>,
    as_type::<(u128, i128, char)>,
    as_type::<[i16; 3]>,
    as_type::<BTreeMap<u32, Option<bool>>>,
    as_type::<Vec<u8>>,
    as_type::<String>,
    as_type::<()>,
    floats,
];

/// A byte that says which type, then a value.
pub fn run(data: &[u8]) {
    let Some((&which, value)) = data.split_first() else { return };
    TYPES[usize::from(which) % TYPES.len()](value);
    let anything = runtime::decode::<Anything>(value);
    assert_eq!(anything.is_ok(), pack::scan_exact(value, DEPTH_MAX).is_ok(), "any value is one");
}

#[derive(Debug)]
struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Anything, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Anything)
    }
}

/// A value that fits is written so that it reads the same; one that does not is told why.
fn as_type<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    let decoded = runtime::decode::<T>(data);
    let by_name = runtime::decode_map::<T>(data);
    match (&decoded, by_name) {
        (_, Ok(by_name)) => assert_eq!(decoded.as_ref(), Ok(&by_name), "a map is a value"),
        (Err(error), Err(of_map)) => {
            explained(error);
            explained(&of_map);
        }
        (Ok(_), Err(of_map)) => explained(&of_map),
    }
    let Ok(value) = decoded else { return disagreed::<T>(data) };
    assert!(pack::scan_exact(data, DEPTH_MAX).is_ok(), "only one whole value");
    let mut out = vec![7];
    // What came in one level of its own (a variant's name alone) may need two.
    if runtime::encode_into(&value, &mut out).is_ok() {
        assert_eq!(runtime::decode::<T>(&out[1..]).as_ref(), Ok(&value));
    }
    assert_eq!(out[0], 7, "only ever appended to");
}

/// Floats: a number that is none does not equal itself.
fn floats(data: &[u8]) {
    let Ok(value) = runtime::decode::<(f32, f64)>(data) else { return };
    let mut out = Vec::new();
    runtime::encode_into(&value, &mut out).expect("two numbers");
    let again = runtime::decode::<(f32, f64)>(&out).expect("what was written reads");
    assert_eq!((value.0.is_nan(), value.1.to_bits()), (again.0.is_nan(), again.1.to_bits()));
}

/// An error is a line that fits into a log.
fn explained(error: &runtime::DecodeError) {
    let text = error.to_string();
    assert!(!text.is_empty() && text.len() <= ERROR_LEN_MAX, "{} bytes of error", text.len());
    assert!(!text.contains(char::is_control), "{text:?}");
}

/// The slow walk that explains a failure takes the same values as the fast one: else the text is
/// that of the fast one, as it is.
fn disagreed<T: DeserializeOwned + Debug>(data: &[u8]) {
    if pack::scan_exact(data, DEPTH_MAX).is_err() {
        return;
    }
    let mut fast = rmp_serde::Deserializer::from_read_ref(data);
    fast.set_max_depth(DEPTH_MAX + 2);
    let Err(hot) = T::deserialize(&mut fast) else { return };
    let Err(told) = runtime::decode::<T>(data) else { return };
    let as_it_is = told.path().is_empty() && told.to_string() == hot.to_string();
    let is_same_word = matches!(told.problem(), runtime::Problem::Missing(_)) || same_words(&hot);
    assert!(!as_it_is || is_same_word, "only the fast one refuses it: {hot}");
}

/// Texts that both use, because a type's own code makes them.
fn same_words(hot: &rmp_serde::decode::Error) -> bool {
    matches!(hot, rmp_serde::decode::Error::Syntax(_) | rmp_serde::decode::Error::Uncategorized(_))
}

/// Values of these types, whole.
pub fn seeds() -> Vec<Vec<u8>> {
    let turn = Step::Turn { by: -3, then: Box::new(Some(Step::Go)) };
    let rest = BTreeMap::from([("x".to_owned(), -70_000)]);
    let args = Args { a: 1 << 40, list: vec![("x".into(), 2)], step: Some(turn), rest };
    let any = Any::List(vec![Any::Text("t".into()), Any::Number(-1)]);
    let mut values = Vec::new();
    let mut add = |encode: &dyn Fn(&mut Vec<u8>) -> Result<(), runtime::EncodeError>| {
        let mut out = Vec::new();
        encode(&mut out).expect("it has an encoding");
        values.push(out);
    };
    add(&|out| runtime::encode_into(&args, out));
    add(&|out| runtime::encode_into(&Step::Pair(true, 'x'), out));
    add(&|out| runtime::encode_into(&Step::Left(7), out));
    add(&|out| runtime::encode_into(&Nest(vec![Nest(vec![]), Nest(vec![])]), out));
    add(&|out| runtime::encode_into(&(Unit, Meters(300), Some(Unit)), out));
    add(&|out| runtime::encode_into(&any, out));
    add(&|out| runtime::encode_into(&Tagged::One { n: 1 }, out));
    add(&|out| runtime::encode_into(&(u128::MAX, i128::MIN, 'y'), out));
    add(&|out| runtime::encode_into(&[1_i16, -300, 5], out));
    add(&|out| runtime::encode_into(&BTreeMap::from([(1_u32, Some(true))]), out));
    add(&|out| runtime::encode_into(&(1.5_f32, -2.5_f64), out));
    // Each value for each type.
    let types = 0..TYPES.len() as u8;
    types
        .flat_map(|which| values.iter().map(move |value| [&[which], &value[..]].concat()))
        .collect()
}
