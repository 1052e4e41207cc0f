//! Server-sent events: one event per stored line, its seq as the event's id.
//!
//! Owns the outgoing events. It doesn't own reading an upstream's events (`upstream/`).
//! Invariant: a line holds no line break, so one `data:` field carries it whole, and there is no
//! `event:` field, so that `onmessage` sees every line.

use super::{Items, View};

/// The view's media type.
pub const CONTENT_TYPE: &str = "text/event-stream";
/// A comment, which no event handler sees.
pub const HEARTBEAT: &str = ": hb\n\n";

/// Each line as an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sse;

impl View for Sse {
    fn content_type(&self) -> &'static str {
        CONTENT_TYPE
    }

    fn line(&mut self, seq: u64, line: &str, items: &mut Items) {
        items.push(|out| {
            out.extend_from_slice(format!("id: {seq}\ndata: ").as_bytes());
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\n\n");
        });
    }

    fn heartbeat(&self) -> &'static str {
        HEARTBEAT
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::view::{ViewKind, encoded};

    #[test]
    fn each_line_is_one_event_with_its_seq() {
        let check = |first_seq, lines: &str, expected: &str| {
            assert_eq!(encoded(ViewKind::Sse, first_seq, lines), expected);
        };
        check(0, "", "");
        check(0, "{\"seq\":0}\n", "id: 0\ndata: {\"seq\":0}\n\n");
        check(
            41,
            "{\"seq\":41}\n{\"seq\":42}\n",
            "id: 41\ndata: {\"seq\":41}\n\nid: 42\ndata: {\"seq\":42}\n\n",
        );
    }

    #[test]
    fn unicode_line_separators_within_a_line_do_not_end_it() {
        let line = "{\"data\":\"a\u{2028}b\u{85}c\"}\n";
        let expected = format!("id: 3\ndata: {line}\n");
        assert_eq!(encoded(ViewKind::Sse, 3, line), expected);
    }
}
