//! The records of the store: what a session, a run, its log, its messages, steps and events are.
//!
//! PERSISTED: fields of the JSON columns are add-only; every one added later has a serde default.
//! Owns shapes only. Working state of a drain is `turn/`, wire shapes are `wire/`.

use super::Status;
use serde::{Deserialize, Serialize};

/// One conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `[<project>:]<tenant>:<session>`, the common prefix of its run ids.
    pub session_key: String,
    /// The tenant it belongs to.
    pub tenant: String,
    /// Its id within the tenant.
    pub session: String,
    /// Random, once per life of the object's storage; fences D1.
    pub birth: String,
    /// The next turn's index.
    pub turn_count: u64,
    /// Turns below it were erased with the session.
    pub first_turn: u64,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms.
    pub updated_at: i64,
    /// Unix ms; a tombstone when set.
    pub deleted_at: Option<i64>,
}

/// One attempt to have the upstream run this turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// Why this attempt was made: `submitted`, or what ended the one before.
    pub reason: String,
    /// Unix ms at which its intent was durable.
    pub started_at: i64,
}

/// The upstream execution of the present attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handle {
    /// As the upstream knows it.
    pub execution_id: String,
    /// The attempt it belongs to.
    pub attempt: u32,
    /// Since when the run is suspended, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<i64>,
    /// How long it was suspended before that, in ms: time that no budget counts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_ms: u64,
}

impl Handle {
    /// The handle of an attempt that has not waited yet.
    pub const fn new(execution_id: String, attempt: u32) -> Self {
        Handle {
            execution_id,
            attempt,
            suspended_at: None,
            waited_ms: 0,
        }
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunOutcome {
    /// UTF-16 units of the assistant's text.
    pub text_units: u64,
    /// Why it was cancelled, when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The last thing that went wrong, also when the run got over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// A code of the protocol.
    pub code: String,
    /// For people; holds no content of the conversation.
    pub message: String,
    /// Unix ms.
    pub at: i64,
}

/// The durable intent to cancel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cancel {
    /// The caller's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Unix ms.
    pub at: i64,
}

/// A cancel that the upstream doesn't know of yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamCancel {
    /// As the upstream knows the execution.
    pub execution_id: String,
    /// Calls made so far.
    pub tries: u32,
    /// Unix ms before which it is not tried again.
    pub next_at: i64,
}

/// Where a finished run's lines are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogHome {
    /// In this object's storage.
    Object,
    /// In D1 only.
    D1,
    /// Nowhere any more.
    Expired,
}

impl LogHome {
    /// The stored name.
    pub const fn name(self) -> &'static str {
        match self {
            LogHome::Object => "object",
            LogHome::D1 => "d1",
            LogHome::Expired => "expired",
        }
    }

    /// Reads a stored name.
    pub fn parse(name: &str) -> Option<Self> {
        [LogHome::Object, LogHome::D1, LogHome::Expired]
            .into_iter()
            .find(|home| home.name() == name)
    }
}

/// A lease of a plain Worker on a run; objects keep none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// A token of one acquisition, never a worker's name.
    pub holder: String,
    /// Unix ms; at this instant it is free.
    pub until: i64,
}

/// One run. What never changes after it was accepted comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// `<session_key>:<turn_index>`.
    pub run_id: String,
    /// The tenant it belongs to.
    pub tenant: String,
    /// The session's id.
    pub session: String,
    /// Its place in the session.
    pub turn_index: u64,
    /// Who asked, when the credentials say it.
    pub user: Option<String>,
    /// The request's idempotency key.
    pub key: Option<String>,
    /// Hex SHA-256 of the input as sent.
    pub input_hash: String,
    /// JSON: the accepted request.
    pub request: String,
    /// JSON: the upstream as resolved when it was accepted.
    pub upstream: String,
    /// Unix ms.
    pub created_at: i64,
    /// What transitions change.
    pub state: RunState,
    /// Raised by each acquisition.
    pub epoch: u64,
    /// Held by a plain Worker.
    pub lease: Option<Lease>,
    /// The durable intent to cancel; written by the caller's request, not by the drain.
    pub cancel: Option<Cancel>,
    /// A cancel still to be told.
    pub upstream_cancel: Option<UpstreamCancel>,
    /// Where its lines are.
    pub log_home: LogHome,
    /// Grows with each change of the run, its messages, steps and events.
    pub rev: u64,
    /// Unix ms of the last transition.
    pub updated_at: i64,
}

/// The part of a run that a fenced transition replaces as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunState {
    /// Where it stands.
    pub status: Status,
    /// Every attempt so far.
    pub attempts: Vec<Attempt>,
    /// The execution to attach to.
    pub handle: Option<Handle>,
    /// Set by the terminal transition.
    pub outcome: Option<RunOutcome>,
    /// Raw JSON of the upstream's last `usage` frame.
    pub usage: Option<String>,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// Lines in the log as of this transition.
    pub line_count: u64,
    /// Unix ms at which somebody should look at an open run.
    pub wake_at: Option<i64>,
    /// Unix ms of the terminal transition.
    pub finished_at: Option<i64>,
}

/// One row of the packed log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// The first line's seq.
    pub first_seq: u64,
    /// How many lines.
    pub count: u64,
    /// The epoch that wrote it.
    pub epoch: u64,
    /// The attempt its frames came from.
    pub attempt: u32,
    /// The upstream's last frame id up to here.
    pub cursor: Option<String>,
    /// JSON: one id or null a line.
    pub frame_ids: String,
    /// Each line with `\n` behind it.
    pub lines: String,
}

impl LogRow {
    /// The seq behind its last line.
    pub const fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(self.count)
    }

    /// The lines from `seq` on, or `None` when the row ends before it.
    pub fn lines_from(&self, seq: u64) -> Option<&str> {
        let mut rest = self.lines.as_str();
        let mut at = self.first_seq;
        while at < seq {
            let end = rest.find('\n')?;
            rest = rest.get(end + 1..)?;
            at += 1;
        }
        (!rest.is_empty()).then_some(rest)
    }
}

/// Whether a message is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// Whole.
    Complete,
    /// What came before a cancel.
    Partial,
    /// What came before a failure.
    Failed,
}

impl MessageStatus {
    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            MessageStatus::Complete => "complete",
            MessageStatus::Partial => "partial",
            MessageStatus::Failed => "failed",
        }
    }

    /// Reads a stored name.
    pub fn parse(name: &str) -> Option<Self> {
        [
            MessageStatus::Complete,
            MessageStatus::Partial,
            MessageStatus::Failed,
        ]
        .into_iter()
        .find(|status| status.name() == name)
    }
}

/// Whose message it is; a turn has at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Position 0.
    User,
    /// Position 1.
    Assistant,
}

impl Role {
    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }

    /// The stored order within a turn.
    pub const fn position(self) -> u32 {
        match self {
            Role::User => 0,
            Role::Assistant => 1,
        }
    }

    /// Reads a stored position.
    pub const fn at(position: i64) -> Option<Self> {
        match position {
            0 => Some(Role::User),
            1 => Some(Role::Assistant),
            _ => None,
        }
    }
}

/// One message of the transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The turn it belongs to.
    pub turn_index: u64,
    /// Whose it is.
    pub role: Role,
    /// Raw JSON: a string, or an array of parts.
    pub content: String,
    /// Whether it is whole.
    pub status: MessageStatus,
    /// The turn whose message this one repeats.
    pub retry_of: Option<u64>,
    /// The run's rev at which it was written.
    pub rev: u64,
    /// Unix ms.
    pub created_at: i64,
}

/// A checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// From 0; position is identity.
    pub index: u32,
    /// What it is for.
    pub intent: String,
    /// `logic`, `llm`, `tool`, `readiness`, `deterministic` or `event`.
    pub kind: String,
    /// `running`, `completed` or `failed`.
    pub status: String,
    /// How often it was begun.
    pub attempts: u32,
    /// JSON.
    pub result: Option<String>,
    /// JSON.
    pub error: Option<String>,
    /// The run's rev at which it was written.
    pub rev: u64,
    /// Unix ms.
    pub started_at: i64,
    /// Unix ms.
    pub completed_at: Option<i64>,
    /// What only some steps have.
    pub detail: StepDetail,
}

/// What only some steps have. PERSISTED: fields are add-only, each with a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepDetail {
    /// The identity of a named step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Hex SHA-256 of the input's canonical JSON, when the step was given one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_hash: Option<String>,
    /// Until when a wait lasts, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<i64>,
    /// Its attempts that failed, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<StepFailure>,
    /// The run's workspace as it was behind this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// One failed attempt of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepFailure {
    /// Which begin of the step it was, from 1.
    pub attempt: u32,
    /// The attempt of the run in which it happened, from 1.
    #[serde(default)]
    pub run_attempt: u32,
    /// Stable, for policies and callers.
    pub code: String,
    /// The code is its author's own, though one of ours has that name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub author: bool,
    /// For people.
    pub message: String,
    /// Unix ms.
    pub at: i64,
    /// Unix ms before which it is not tried again; `None` when it isn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<i64>,
}

/// A keyed fact from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// `[A-Za-z0-9_.:-]{1,128}`.
    pub key: String,
    /// Raw JSON.
    pub payload: String,
    /// The run's rev at which it was written.
    pub rev: u64,
    /// Unix ms.
    pub emitted_at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(first_seq: u64, lines: &str) -> LogRow {
        LogRow {
            first_seq,
            count: lines.matches('\n').count() as u64,
            epoch: 1,
            attempt: 1,
            cursor: None,
            frame_ids: "[]".into(),
            lines: lines.into(),
        }
    }

    #[test]
    fn a_row_is_cut_at_any_seq() {
        let row = row(7, "a\nbb\nccc\n");
        assert_eq!(row.lines_from(0), Some("a\nbb\nccc\n"));
        assert_eq!(row.lines_from(7), Some("a\nbb\nccc\n"));
        assert_eq!(row.lines_from(8), Some("bb\nccc\n"));
        assert_eq!(row.lines_from(9), Some("ccc\n"));
        assert_eq!(row.lines_from(10), None);
        assert_eq!(row.lines_from(11), None);
        assert_eq!(row.next_seq(), 10);
    }

    #[test]
    fn a_steps_detail_is_read_and_written_alike() {
        for detail in [
            "{}",
            r#"{"name":"a","inputHash":"h","deadline":5,"failures":[{"attempt":1,"runAttempt":2,"code":"c","message":"m","at":3,"retryAt":4}],"workspace":"w"}"#,
            r#"{"failures":[{"attempt":1,"runAttempt":1,"code":"c","author":true,"message":"m","at":3}]}"#,
        ] {
            let read: StepDetail = serde_json::from_str(detail).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), detail);
        }
        let newer: StepDetail = serde_json::from_str(r#"{"addedLater":1}"#).unwrap();
        assert_eq!(newer, StepDetail::default());
        let least = r#"{"failures":[{"attempt":1,"code":"c","message":"m","at":3}]}"#;
        let least: StepDetail = serde_json::from_str(least).unwrap();
        let failure = &least.failures[0];
        assert_eq!((failure.run_attempt, failure.author), (0, false));
        assert_eq!(failure.retry_at, None);
    }

    #[test]
    fn stored_json_of_version_1_is_read_and_written_alike() {
        let attempts = r#"[{"number":1,"reason":"submitted","startedAt":5}]"#;
        let read: Vec<Attempt> = serde_json::from_str(attempts).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), attempts);
        let handle = r#"{"executionId":"t:s:0","attempt":1}"#;
        let read: Handle = serde_json::from_str(handle).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), handle);
        let outcome = r#"{"textUnits":3}"#;
        let read: RunOutcome = serde_json::from_str(outcome).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), outcome);
        let error = r#"{"code":"x","message":"m","at":1}"#;
        let read: LastError = serde_json::from_str(error).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), error);
        let cancel = r#"{"at":1}"#;
        let read: Cancel = serde_json::from_str(cancel).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), cancel);
        let waited = r#"{"executionId":"t:s:0","attempt":1,"suspendedAt":7,"waitedMs":3}"#;
        let read: Handle = serde_json::from_str(waited).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), waited);
        let pending = r#"{"executionId":"x","tries":2,"nextAt":9}"#;
        let read: UpstreamCancel = serde_json::from_str(pending).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), pending);
    }
}
