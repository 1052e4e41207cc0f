//! Canonical JSON: the one text of a JSON value, and the hashes made of it.
//!
//! Owns the rule by which texts that ECMAScript reads as one value become one text: keys in the
//! order of an object that was built with sorted keys, numbers and strings as `JSON.stringify` writes
//! them. So hashes made here and by a system in ECMAScript are the same. It doesn't own how text is
//! taken apart, which is `json`, nor what is hashed and compared, which is the runner.
//! Invariants: writing canonical text canonically changes nothing; nothing that can't be told apart
//! from something else (NaN, infinities) is written; no input, however deep, overflows the stack.

mod finite;

use crate::caps::RUN_JSON_DEPTH;
use crate::certain::Certain;
use crate::json::{self, Token};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Why a value has no text that can be hashed or stored. Says where and why, never what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// NaN, an infinity, or a number in text that is beyond a double's range.
    #[error("a number is not finite, or beyond the range of a double")]
    NotFinite,
    /// Not JSON, or nothing that can become JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// Arrays and objects inside each other beyond [`RUN_JSON_DEPTH`].
    #[error("nested deeper than {RUN_JSON_DEPTH} levels")]
    TooDeep,
    /// JSON, where only an object will do.
    #[error("not a JSON object")]
    NotAnObject,
}

impl serde::ser::Error for Invalid {
    // A message of a value's own `Serialize` may quote the value.
    fn custom<M: std::fmt::Display>(_message: M) -> Self {
        Self::NotJson("a value refuses to be written".to_owned())
    }
}

/// Writes any JSON text canonically.
///
/// Object keys stand in the order of UTF-16 code units, but those that look like array indices
/// (`0` to `4294967294`) come first, by number. Of a key that stands twice the last value counts.
/// Numbers are doubles, as ECMAScript prints them: integers beyond 2^53 that round to the same double
/// are the same; what must stay apart there has to be a string. Lone surrogates survive, and
/// `__proto__` is a key like any other.
pub fn canonical_text(json: &str) -> Result<String, Invalid> {
    json::validate(json).map_err(|error| Invalid::NotJson(error.to_string()))?;
    check_depth(json)?;
    let mut open: Vec<Open> = Vec::new();
    for token in json::tokens(json) {
        let value = match token {
            Token::Mark(b'{') => {
                open.push(Open::Object(BTreeMap::new(), None));
                continue;
            }
            Token::Mark(b'[') => {
                open.push(Open::Array(Ok(String::new())));
                continue;
            }
            Token::Mark(b'}' | b']') => match open.pop() {
                Some(closed) => closed.close(),
                None => break,
            },
            Token::Mark(_) => continue,
            Token::Literal(literal) => {
                let units = json::string_units(literal).ok_or_else(unreadable)?;
                if let Some(Open::Object(_, key @ None)) = open.last_mut() {
                    *key = Some(Key::of(units));
                    continue;
                }
                Ok(json::quote_units(&units))
            }
            Token::Word(word) => scalar(word),
        };
        match open.last_mut() {
            Some(inside) => inside.give(value),
            None => return value,
        }
    }
    Err(unreadable())
}

/// Writes a Rust value canonically, as [`canonical_text`] does its JSON.
///
/// NaN and infinities anywhere inside are refused, and what serde_json refuses, such as maps with
/// keys that can't be strings. A `serde_json::value::RawValue` within is taken as JSON.
pub fn canonical<T: Serialize + ?Sized>(value: &T) -> Result<String, Invalid> {
    canonical_text(&to_json(value)?)
}

/// The JSON of a Rust value in its own order of keys, for keeping: refuses what [`canonical`] does,
/// but takes any number in a `RawValue`, since it stays the text that it is.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, Invalid> {
    // serde_json would write a NaN as `null`, which reads back as another value or not at all.
    finite::check(value)?;
    // What is left to be refused are keys: their errors would quote them.
    let text = serde_json::to_string(value)
        .map_err(|_| Invalid::NotJson("a map has a key that can't be a string".to_owned()))?;
    check_depth(&text)?;
    Ok(text)
}

/// Lower-case hex SHA-256 of a canonical text.
pub fn hash(canonical: &str) -> String {
    hex::encode(Sha256::digest(canonical))
}

/// The [`hash`] of a value's canonical JSON: equal for equal JSON, however it is spelled or ordered.
pub fn canonical_hash<T: Serialize + ?Sized>(value: &T) -> Result<String, Invalid> {
    canonical(value).map(|text| hash(&text))
}

/// The id of a step: the hash of its run, its place in it, and what it is for.
pub fn step_id(run_id: &str, step_index: u32, intent: &str) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Step<'a> {
        run_id: &'a str,
        step_index: u32,
        intent: &'a str,
    }
    let step = Step {
        run_id,
        step_index,
        intent,
    };
    canonical_hash(&step).certain("texts and an integer are JSON")
}

fn check_depth(json: &str) -> Result<(), Invalid> {
    if json::depth(json) > RUN_JSON_DEPTH {
        return Err(Invalid::TooDeep);
    }
    Ok(())
}

/// For text that was found valid and can't be read all the same.
fn unreadable() -> Invalid {
    Invalid::NotJson("the text ends or breaks off within a value".to_owned())
}

/// A value's canonical text, or why it has none: that is told of the whole document only when no
/// later member of the same key replaces the value, since ECMAScript then never sees it.
type Text = Result<String, Invalid>;

/// An array or object of which not everything has been read.
enum Open {
    /// What its elements have come to, without the brackets.
    Array(Text),
    /// Its members, and the key whose value comes next.
    Object(BTreeMap<Key, Text>, Option<Key>),
}

impl Open {
    fn give(&mut self, value: Text) {
        match self {
            Self::Array(whole) => match (whole.as_mut(), value) {
                (Ok(elements), Ok(value)) => {
                    if !elements.is_empty() {
                        elements.push(',');
                    }
                    elements.push_str(&value);
                }
                (Ok(_), Err(invalid)) => *whole = Err(invalid),
                (Err(_), _) => {}
            },
            Self::Object(members, key) => {
                if let Some(key) = key.take() {
                    members.insert(key, value);
                }
            }
        }
    }

    /// The canonical text of the whole.
    fn close(self) -> Text {
        match self {
            Self::Array(whole) => whole.map(|elements| format!("[{elements}]")),
            Self::Object(members, _) => {
                let mut text = String::from("{");
                for (key, value) in members {
                    if text.len() > 1 {
                        text.push(',');
                    }
                    text.push_str(&key.quoted());
                    text.push(':');
                    text.push_str(&value?);
                }
                text.push('}');
                Ok(text)
            }
        }
    }
}

/// A key in the order in which ECMAScript goes through an object that was built with sorted keys.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// An array index.
    Index(u32),
    /// Any other key, as UTF-16 units.
    Name(Vec<u16>),
}

impl Key {
    fn of(units: Vec<u16>) -> Self {
        match array_index(&units) {
            Some(index) => Self::Index(index),
            None => Self::Name(units),
        }
    }

    fn quoted(&self) -> String {
        match self {
            Self::Index(index) => json::quote(&index.to_string()),
            Self::Name(units) => json::quote_units(units),
        }
    }
}

/// The number that a key is the canonical decimal of, below 2^32 - 1: ECMA-262's array index.
fn array_index(units: &[u16]) -> Option<u32> {
    if units.first() == Some(&u16::from(b'0')) && units.len() > 1 {
        return None;
    }
    let text: String = char::decode_utf16(units.iter().copied())
        .collect::<Result<_, _>>()
        .ok()?;
    // `parse` would take a plus sign.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|index| *index < u32::MAX)
}

/// `true`, `false`, `null`, or a number as ECMAScript prints the double that it is read as.
fn scalar(word: &str) -> Text {
    if matches!(word, "true" | "false" | "null") {
        return Ok(word.to_owned());
    }
    let number: f64 = word.parse().map_err(|_| unreadable())?;
    if !number.is_finite() {
        return Err(Invalid::NotFinite);
    }
    Ok(ryu_js::Buffer::new().format_finite(number).to_owned())
}

#[cfg(test)]
mod tests;
