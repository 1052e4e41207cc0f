//! String literals out of chunks, passed on as they were sent.
//!
//! Owns what stands between their quotes, and the refusal of what is none.

use super::super::Cut;
use serde_json::value::RawValue;

/// What stands between the quotes of a string literal; `None` when that is nothing.
///
/// Joining such insides joins the strings: no escape spans two of them.
pub(super) fn inside(raw: &RawValue) -> Result<Option<&str>, Cut> {
    let text = raw
        .get()
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match text {
        Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        None => Err(protocol("a delta that must be a string is none")),
    }
}

pub(super) fn protocol(what: &str) -> Cut {
    Cut::Protocol(what.to_owned())
}
