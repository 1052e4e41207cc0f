//! The assistant's message, put together from the frames of one attempt.
//!
//! Owns the rules of PROTOCOL §2.2 on parts and deltas. Text is kept in UTF-16 units, so that an
//! emoji split between two frames is whole again. Invariant: the same frames give the same text,
//! whether they come live or out of the log.

use crate::json;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Text of one part of the answer.
pub(super) const PART_UPDATED: &str = "message.part.updated";
/// The answer as a whole.
pub(super) const RESULT: &str = "result";

/// What a turn's frames amount to so far.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    parts: Vec<(String, Vec<u16>)>,
    final_text: Option<Vec<u16>>,
    usage: Option<String>,
}

#[derive(Deserialize)]
struct PartUpdated<'a> {
    #[serde(borrow)]
    part: Part<'a>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type", default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ResultData<'a> {
    #[serde(borrow, rename = "finalText", default)]
    final_text: Option<&'a RawValue>,
}

/// A raw JSON value's UTF-16 units, when it is a string.
fn units(raw: Option<&RawValue>) -> Option<Vec<u16>> {
    json::string_units(raw?.get())
}

/// Whether a part's type is `text`, however it is written.
fn is_text(kind: &RawValue) -> bool {
    let raw = kind.get();
    raw == "\"text\""
        || raw.contains('\\')
            && units(Some(kind)).is_some_and(|kind| "text".encode_utf16().eq(kind))
}

/// Whether a frame may carry text of the answer: what can't be read as something else does.
pub(crate) fn may_carry_text(kind: &str, data: &str) -> bool {
    match kind {
        PART_UPDATED => {
            let update = serde_json::from_str::<PartUpdated>(data).ok();
            let kind = update.and_then(|update| update.part.kind);
            kind.is_none_or(|kind| units(Some(kind)).is_none() || is_text(kind))
        }
        RESULT => true,
        _ => false,
    }
}

impl Transcript {
    /// Takes one frame in. Frames of other kinds, or of shapes these rules don't name, add nothing.
    pub fn take(&mut self, kind: &str, data: &str) {
        match kind {
            PART_UPDATED => self.update_part(data),
            RESULT => {
                let result = serde_json::from_str::<ResultData>(data).ok();
                if let Some(text) = result.and_then(|result| units(result.final_text)) {
                    self.final_text = Some(text);
                }
            }
            "usage" => self.usage = Some(data.to_owned()),
            _ => {}
        }
    }

    fn update_part(&mut self, data: &str) {
        let Ok(update) = serde_json::from_str::<PartUpdated>(data) else {
            return;
        };
        if !update.part.kind.is_some_and(is_text) {
            return;
        }
        let id = update.part.id.map_or("", RawValue::get);
        let part = match self.parts.iter().position(|(known, _)| known == id) {
            Some(at) => self.parts.get_mut(at),
            None => {
                self.parts.push((id.to_owned(), Vec::new()));
                self.parts.last_mut()
            }
        };
        let Some((_, text)) = part else { return };
        match (units(update.delta), units(update.part.text)) {
            (Some(delta), _) => text.extend(delta),
            (None, Some(whole)) => *text = whole,
            (None, None) => {}
        }
    }

    /// The text so far.
    pub fn units(&self) -> Vec<u16> {
        match &self.final_text {
            Some(text) => text.clone(),
            None => self
                .parts
                .iter()
                .flat_map(|(_, text)| text.iter().copied())
                .collect(),
        }
    }

    /// Drops the text; the first part's id as raw JSON, and whether there was a result.
    pub(super) fn forget_text(&mut self) -> (Option<String>, bool) {
        let parts = std::mem::take(&mut self.parts);
        let first = parts.into_iter().map(|(id, _)| id).next();
        let has_result = self.final_text.take().is_some();
        (first.filter(|id| !id.is_empty()), has_result)
    }

    /// The last `usage` frame's data.
    pub fn usage(&self) -> Option<&str> {
        self.usage.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frames: &[(&str, &str)], expected: &str) {
        let mut transcript = Transcript::default();
        for (kind, data) in frames {
            transcript.take(kind, data);
        }
        assert_eq!(
            String::from_utf16_lossy(&transcript.units()),
            expected,
            "{frames:?}"
        );
    }

    #[test]
    fn deltas_append_texts_replace_and_the_result_wins() {
        const UPDATED: &str = PART_UPDATED;
        let delta = r#"{"part":{"id":"a","type":"text"},"delta":"x"}"#;
        let whole = r#"{"part":{"id":"a","type":"text","text":"whole"}}"#;
        check(&[], "");
        check(&[(UPDATED, delta), (UPDATED, delta)], "xx");
        check(&[(UPDATED, delta), (UPDATED, whole)], "whole");
        check(&[(UPDATED, whole), (UPDATED, delta)], "wholex");
        let other = r#"{"part":{"id":"b","type":"text"},"delta":"B"}"#;
        check(
            &[(UPDATED, delta), (UPDATED, other), (UPDATED, delta)],
            "xxB",
        );
        let reasoning = r#"{"part":{"id":"r","type":"reasoning"},"delta":"hm"}"#;
        check(&[(UPDATED, reasoning), (UPDATED, delta)], "x");
        check(
            &[(UPDATED, delta), ("result", r#"{"finalText":"end"}"#)],
            "end",
        );
        check(&[(UPDATED, delta), ("result", r#"{"finalText":7}"#)], "x");
        check(&[(UPDATED, delta), ("tool.call", delta)], "x");
        check(&[(UPDATED, "[]"), (UPDATED, "{}"), (UPDATED, delta)], "x");
    }

    #[test]
    fn a_split_emoji_is_whole_again() {
        check(
            &[
                (
                    "message.part.updated",
                    r#"{"part":{"type":"text"},"delta":"a\ud83d"}"#,
                ),
                (
                    "message.part.updated",
                    r#"{"part":{"type":"text"},"delta":"\ude00b"}"#,
                ),
            ],
            "a😀b",
        );
    }

    #[test]
    fn what_may_carry_text_is_told_from_what_cannot() {
        for (kind, data, expected) in [
            (
                PART_UPDATED,
                r#"{"part":{"type":"text"},"delta":"x"}"#,
                true,
            ),
            (
                PART_UPDATED,
                r#"{"part":{"type":"te\u0078t"},"delta":"x"}"#,
                true,
            ),
            (
                PART_UPDATED,
                r#"{"part":{"type":"reasoning"},"delta":"x"}"#,
                false,
            ),
            (PART_UPDATED, r#"{"part":{"type":7},"delta":"x"}"#, true),
            (PART_UPDATED, r#"{"part":{},"delta":"x"}"#, true),
            // Of two members of one name a reader may take either.
            (PART_UPDATED, r#"{"part":{"type":"a","type":"text"}}"#, true),
            (PART_UPDATED, "[]", true),
            (RESULT, r#"{"other":"x"}"#, true),
            ("tool.result", r#"{"finalText":"x"}"#, false),
            ("usage", "{}", false),
        ] {
            assert_eq!(may_carry_text(kind, data), expected, "{kind} {data}");
        }
        check(
            &[(PART_UPDATED, r#"{"part":{"type":"te\u0078t"},"delta":"x"}"#)],
            "x",
        );
    }

    #[test]
    fn usage_is_kept_as_sent() {
        let mut transcript = Transcript::default();
        transcript.take("usage", r#"{"inputTokens":1e400}"#);
        assert_eq!(transcript.usage(), Some(r#"{"inputTokens":1e400}"#));
    }
}
