//! Server-sent events: one event per stored line, its seq as the event's id.
//!
//! Owns the outgoing framing. It doesn't own reading an upstream's events (`upstream/`), nor
//! `Last-Event-ID` (`request`). Invariant: a line holds no line break, so one `data:` field
//! carries it whole, and there is no `event:` field, so that `onmessage` sees every line.

use std::io::Write;

/// The framing's media type.
pub const CONTENT_TYPE: &str = "text/event-stream";
/// A comment, which no event handler sees.
pub const HEARTBEAT: &str = ": hb\n\n";

/// Appends stored lines as events, numbered from `first_seq`.
pub fn encode(first_seq: u64, lines: &str, out: &mut Vec<u8>) {
    for (seq, line) in (first_seq..).zip(lines.split_terminator('\n')) {
        write!(out, "id: {seq}\ndata: {line}\n\n").expect("a Vec takes every write");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(first_seq: u64, lines: &str) -> String {
        let mut out = Vec::new();
        encode(first_seq, lines, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_line_is_one_event_with_its_seq() {
        assert_eq!(encoded(0, ""), "");
        assert_eq!(encoded(0, "{\"seq\":0}\n"), "id: 0\ndata: {\"seq\":0}\n\n");
        assert_eq!(
            encoded(41, "{\"seq\":41}\n{\"seq\":42}\n"),
            "id: 41\ndata: {\"seq\":41}\n\nid: 42\ndata: {\"seq\":42}\n\n"
        );
    }

    #[test]
    fn unicode_line_separators_within_a_line_do_not_end_it() {
        let line = "{\"data\":\"a\u{2028}b\u{85}c\"}\n";
        assert_eq!(encoded(3, line), format!("id: 3\ndata: {line}\n"));
    }
}
