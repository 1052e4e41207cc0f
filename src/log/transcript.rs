//! The assistant's message, put together from the frames of one attempt.
//!
//! Owns the rules of PROTOCOL §2.2 on parts and deltas. Text is kept in UTF-16 units, so that an
//! emoji split between two frames is whole again. Invariant: the same frames give the same text,
//! whether they come live or out of the log.

use crate::wire::content::{Content, PartUpdated, units};
use serde_json::value::RawValue;

/// What a turn's frames amount to so far.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    parts: Vec<(String, Vec<u16>)>,
    final_text: Option<Vec<u16>>,
    usage: Option<String>,
}

impl Transcript {
    /// Takes one frame in. Frames of other kinds, or of shapes these rules don't name, add nothing.
    pub fn take(&mut self, kind: &str, data: &str) {
        match Content::of(kind, data) {
            Some(Content::Part(update)) => self.update_part(&update),
            Some(Content::Result(result)) => {
                if let Some(text) = units(result.final_text) {
                    self.final_text = Some(text);
                }
            }
            Some(Content::Usage(usage)) => self.usage = Some(usage.to_owned()),
            Some(Content::ToolCall(_) | Content::ToolCallDelta(_) | Content::ToolResult(_))
            | None => {}
        }
    }

    fn update_part(&mut self, update: &PartUpdated<'_>) {
        if !update.part.is_answer() {
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
    use crate::wire::content::PART_UPDATED;

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
    fn a_type_counts_however_it_is_written() {
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
