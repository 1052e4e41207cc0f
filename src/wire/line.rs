//! The lines of a turn's log: built once, stored as text, never built again.
//!
//! Owns the names and data of our own lines, and which names an upstream may use. It doesn't
//! own their order (`turn/`), nor how they are framed. Invariant: a line is one JSON object
//! without line breaks, `{"seq":N,"type":"…","data":…}` in this order; `data` always stands
//! there, `null` when a frame had none. The text is PERSISTED: a change of it would tear a
//! replay from what its first reader got.

use super::content::UPSTREAM_ERROR;
use crate::caps;
use crate::json::push_quoted;
use std::borrow::Cow;

/// Always seq 0.
pub const STARTED: &str = "session.run.started";
/// The upstream is asked again.
pub const RESTARTED: &str = "session.run.restarted";
/// The run waits for an event.
pub const SUSPENDED: &str = "session.run.suspended";
/// The event came, or its deadline.
pub const AWAKENED: &str = "session.run.awakened";
/// What went wrong; [`FAILED`] follows.
pub const ERROR: &str = "error";
/// Terminal: the turn succeeded.
pub const COMPLETED: &str = "session.run.completed";
/// Terminal: the turn failed.
pub const FAILED: &str = "session.run.failed";
/// Terminal: the turn was cancelled.
pub const CANCELLED: &str = "session.run.cancelled";

/// A sign of life without `seq`; it is never stored.
pub const HEARTBEAT: &str = r#"{"type":"heartbeat"}"#;

/// Whether a line of this type ends its turn.
pub fn is_terminal(kind: &str) -> bool {
    matches!(kind, COMPLETED | FAILED | CANCELLED)
}

/// The first line of every turn.
pub fn started(
    seq: u64,
    session: &str,
    tenant: &str,
    turn_index: u64,
    execution_id: &str,
) -> String {
    Line::begin(seq, STARTED)
        .text("sessionId", session)
        .text("tenantId", tenant)
        .number("turnIndex", turn_index)
        .text("executionId", execution_id)
        .end()
}

/// A line of the upstream. `kind` has passed [`check_upstream_kind`], `data` is compact JSON.
pub fn upstream(seq: u64, kind: &str, data: Option<&str>) -> String {
    let data = data.unwrap_or("null");
    format!(r#"{{"seq":{seq},"type":"{kind}","data":{data}}}"#)
}

/// The upstream is asked again as attempt `attempt`, counted from 1.
pub fn restarted(seq: u64, attempt: u32, reason: &str) -> String {
    Line::begin(seq, RESTARTED)
        .number("attempt", u64::from(attempt))
        .text("reason", reason)
        .end()
}

/// The run waits for the event `key`, until `deadline_ms` (Unix time) if there is one.
pub fn suspended(seq: u64, key: &str, deadline_ms: Option<i64>) -> String {
    let line = Line::begin(seq, SUSPENDED).text("key", key);
    match deadline_ms {
        Some(deadline_ms) => line.number("deadline", deadline_ms).end(),
        None => line.end(),
    }
}

/// The run waits no longer for the event `key`.
pub fn awakened(seq: u64, key: &str) -> String {
    Line::begin(seq, AWAKENED).text("key", key).end()
}

/// The last line of a turn that succeeded.
pub fn completed(seq: u64, session: &str) -> String {
    Line::begin(seq, COMPLETED).text("sessionId", session).end()
}

/// The last line but one of a turn that failed. `code` is stable, `message` is for people.
pub fn error(seq: u64, code: &str, message: &str) -> String {
    Line::begin(seq, ERROR)
        .text("code", code)
        .text("message", message)
        .end()
}

/// The last line of a turn that failed.
pub fn failed(seq: u64, session: &str, message: &str) -> String {
    Line::begin(seq, FAILED)
        .text("sessionId", session)
        .text("message", message)
        .end()
}

/// The last line of a turn that was cancelled.
pub fn cancelled(seq: u64, session: &str, reason: Option<&str>) -> String {
    let line = Line::begin(seq, CANCELLED).text("sessionId", session);
    match reason {
        Some(reason) => line.text("reason", reason).end(),
        None => line.end(),
    }
}

/// One of our own lines while it is written; every one of them has at least one field.
struct Line {
    text: String,
    separator: char,
}

impl Line {
    fn begin(seq: u64, kind: &str) -> Self {
        Self {
            text: format!(r#"{{"seq":{seq},"type":"{kind}","data":"#),
            separator: '{',
        }
    }

    fn name(&mut self, name: &str) {
        self.text.push(self.separator);
        self.separator = ',';
        push_quoted(&mut self.text, name);
        self.text.push(':');
    }

    fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        push_quoted(&mut self.text, value);
        self
    }

    fn number(mut self, name: &str, value: impl Into<i128>) -> Self {
        self.name(name);
        self.text.push_str(&value.into().to_string());
        self
    }

    fn end(mut self) -> String {
        self.text.push_str("}}");
        self.text
    }
}

/// The type and the raw data of a stored line; `None` for a text that this module didn't build.
pub fn parse_kind_and_data(line: &str) -> Option<(&str, &str)> {
    let after_name = line.strip_prefix(r#"{"seq":"#)?;
    let (seq, rest) = after_name.split_once(r#","type":""#)?;
    if seq.is_empty() || !seq.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (kind, rest) = rest.split_once('"')?;
    let data = rest.strip_prefix(r#","data":"#)?.strip_suffix('}')?;
    Some((kind, data))
}

/// Why an upstream's frame can't become a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedKind {
    /// Not a type name at all.
    #[error("a frame's type must be 1 to 64 of a-z 0-9 _ . -")]
    Form,
    /// A name that only we may use.
    #[error("a frame's type must not be `heartbeat` or begin with `session.`")]
    Reserved,
}

/// The type under which an upstream's frame of type `kind` becomes a line.
pub fn check_upstream_kind(kind: &str) -> Result<Cow<'_, str>, RefusedKind> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
    if kind.is_empty() || kind.len() > caps::FRAME_TYPE_BYTES || !kind.bytes().all(fits) {
        return Err(RefusedKind::Form);
    }
    if kind == "heartbeat" || kind.starts_with("session.") {
        return Err(RefusedKind::Reserved);
    }
    if kind == ERROR {
        return Ok(Cow::Borrowed(UPSTREAM_ERROR));
    }
    Ok(Cow::Borrowed(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn lines_have_the_text_of_the_protocol() {
        let cases = [
            (
                started(0, "s1", "acme", 3, "acme:s1:3"),
                r#"{"seq":0,"type":"session.run.started","data":{"sessionId":"s1","tenantId":"acme","turnIndex":3,"executionId":"acme:s1:3"}}"#,
            ),
            (
                upstream(1, "message.part.updated", Some(r#"{"delta":"a"}"#)),
                r#"{"seq":1,"type":"message.part.updated","data":{"delta":"a"}}"#,
            ),
            (
                upstream(2, "usage", None),
                r#"{"seq":2,"type":"usage","data":null}"#,
            ),
            (
                restarted(3, 2, "start_unknown"),
                r#"{"seq":3,"type":"session.run.restarted","data":{"attempt":2,"reason":"start_unknown"}}"#,
            ),
            (
                suspended(4, "approve:1", Some(-1)),
                r#"{"seq":4,"type":"session.run.suspended","data":{"key":"approve:1","deadline":-1}}"#,
            ),
            (
                suspended(4, "k", None),
                r#"{"seq":4,"type":"session.run.suspended","data":{"key":"k"}}"#,
            ),
            (
                awakened(5, "k"),
                r#"{"seq":5,"type":"session.run.awakened","data":{"key":"k"}}"#,
            ),
            (
                completed(6, "s1"),
                r#"{"seq":6,"type":"session.run.completed","data":{"sessionId":"s1"}}"#,
            ),
            (
                error(7, "turn_timeout", "too \"long\"\n"),
                r#"{"seq":7,"type":"error","data":{"code":"turn_timeout","message":"too \"long\"\n"}}"#,
            ),
            (
                failed(8, "s1", "m"),
                r#"{"seq":8,"type":"session.run.failed","data":{"sessionId":"s1","message":"m"}}"#,
            ),
            (
                cancelled(9, "s1", Some("user")),
                r#"{"seq":9,"type":"session.run.cancelled","data":{"sessionId":"s1","reason":"user"}}"#,
            ),
            (
                cancelled(9, "s1", None),
                r#"{"seq":9,"type":"session.run.cancelled","data":{"sessionId":"s1"}}"#,
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(line, expected);
            assert_eq!(json::compact(&line).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_heartbeat_is_json_without_a_seq() {
        let members = json::members(HEARTBEAT).unwrap();
        assert_eq!(
            members.into_iter().collect::<Vec<_>>(),
            [("type".into(), "\"heartbeat\"")]
        );
    }

    #[test]
    fn a_stored_line_is_taken_apart_as_it_was_built() {
        for data in [
            "null",
            "{}",
            r#"{"type":"x","data":{"}":"\"}"}}"#,
            "[]",
            "1e400",
        ] {
            let line = upstream(17, "tool.call", Some(data));
            assert_eq!(parse_kind_and_data(&line), Some(("tool.call", data)));
        }
        let line = completed(u64::MAX, "s");
        assert_eq!(
            parse_kind_and_data(&line),
            Some((COMPLETED, r#"{"sessionId":"s"}"#))
        );
        for foreign in [
            "",
            HEARTBEAT,
            r#"{"seq":,"type":"a","data":null}"#,
            r#"{"seq":-1,"type":"a","data":null}"#,
            r#"{"seq":1,"type":"a"}"#,
            r#"{"seq":1,"type":"a","data":null"#,
            r#"{"type":"a","seq":1,"data":null}"#,
        ] {
            assert_eq!(parse_kind_and_data(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn upstreams_cannot_forge_our_lines() {
        let longest = "a".repeat(64);
        let beyond = "a".repeat(65);
        let cases = [
            ("message.part.updated", Ok("message.part.updated")),
            ("a", Ok("a")),
            ("0_.-z", Ok("0_.-z")),
            (longest.as_str(), Ok(longest.as_str())),
            ("session", Ok("session")),
            ("sessions.list", Ok("sessions.list")),
            ("heartbeats", Ok("heartbeats")),
            ("error", Ok("upstream.error")),
            ("upstream.error", Ok("upstream.error")),
            ("error.detail", Ok("error.detail")),
            ("session.", Err(RefusedKind::Reserved)),
            (STARTED, Err(RefusedKind::Reserved)),
            ("session.updated", Err(RefusedKind::Reserved)),
            ("heartbeat", Err(RefusedKind::Reserved)),
            ("", Err(RefusedKind::Form)),
            (beyond.as_str(), Err(RefusedKind::Form)),
            ("Error", Err(RefusedKind::Form)),
            ("a\"b", Err(RefusedKind::Form)),
            ("a b", Err(RefusedKind::Form)),
            ("é", Err(RefusedKind::Form)),
        ];
        for (kind, expected) in cases {
            assert_eq!(
                check_upstream_kind(kind).as_deref(),
                expected.as_ref().map(|k| *k),
                "{kind}"
            );
        }
    }

    #[test]
    fn three_types_end_a_turn() {
        for kind in [COMPLETED, FAILED, CANCELLED] {
            assert!(is_terminal(kind), "{kind}");
        }
        for kind in [
            STARTED,
            RESTARTED,
            SUSPENDED,
            AWAKENED,
            ERROR,
            "result",
            "heartbeat",
        ] {
            assert!(!is_terminal(kind), "{kind}");
        }
    }
}
