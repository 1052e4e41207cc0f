//! What is answered as JSON: the public shapes, apart from what is stored and from what is worked with.
//!
//! Owns names, order and absence of every member (PROTOCOL §2.4); times are Unix ms. It doesn't own
//! where a value comes from. Invariant: a member is only ever added, and JSON that was sent in comes
//! out as it was sent.

use crate::json::quote;
use crate::wire::cursor::encode_cursor;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The Worker is there.
    Health(PublicHealth),
    /// A session.
    Session(PublicSession),
    /// A session is being erased.
    Deleted,
    /// Its transcript.
    Messages(List<PublicMessage>),
    /// Its turns.
    Turns(List<PublicRun>),
    /// One of them.
    Turn(Box<PublicRun>),
    /// A turn's steps.
    Steps(List<PublicStep>),
    /// What a turn was told.
    Event(PublicEvent),
    /// A turn was told something, for the first time or not.
    Emitted(PublicEmitted),
    /// A tenant's runs.
    Runs(List<PublicRun>),
}

impl Answer {
    /// The answer's body.
    pub fn to_json(&self) -> String {
        match self {
            Answer::Health(shape) => json(shape),
            Answer::Session(shape) => json(shape),
            Answer::Deleted => r#"{"deleted":true}"#.to_owned(),
            Answer::Messages(list) => list.to_json("messages"),
            Answer::Turns(list) => list.to_json("turns"),
            Answer::Turn(shape) => json(shape),
            Answer::Steps(list) => list.to_json("steps"),
            Answer::Event(shape) => json(shape),
            Answer::Emitted(shape) => json(shape),
            Answer::Runs(list) => list.to_json("runs"),
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T> {
    /// In their order.
    pub items: Vec<T>,
    /// Where the next page begins, when more may follow; as the list itself counts.
    pub next: Option<String>,
}

impl<T: Serialize> List<T> {
    /// `{"<name>":[…],"cursor":…}`
    fn to_json(&self, name: &str) -> String {
        let cursor = self.next.as_deref();
        let cursor = cursor.map_or("null".to_owned(), |next| quote(&encode_cursor(next)));
        let items = json(&self.items);
        format!(r#"{{"{name}":{items},"cursor":{cursor}}}"#)
    }
}

/// JSON text that was sent in or stored by this code. Text that can't be read shows as null rather
/// than breaking the answer around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(pub String);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(&self.0) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) => serializer.serialize_none(),
        }
    }
}

/// The Worker is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicHealth {
    /// Always.
    pub ok: bool,
    /// The crate's.
    pub version: &'static str,
    /// The newest that this code applies.
    pub schema_version: u32,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicSession {
    /// Its id within the tenant.
    pub session_id: String,
    /// How many turns it has had, which is the next one's index.
    pub turn_count: u64,
    /// The turn that isn't over.
    pub running: Option<u64>,
    /// When its first turn was accepted.
    pub created_at: i64,
    /// When its last one was.
    pub updated_at: i64,
}

/// One message of the transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicMessage {
    /// `user` or `assistant`.
    pub role: &'static str,
    /// A string, or an array of parts.
    pub content: Raw,
    /// Its turn.
    pub turn_index: u64,
    /// `complete`, `partial` or `failed`.
    pub status: &'static str,
    /// When it was stored.
    pub created_at: i64,
}

/// A run of a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicRun {
    /// The run's id, which is the first attempt's execution id.
    pub execution_id: String,
    /// The session's id.
    pub session_id: String,
    /// Its place there.
    pub turn_index: u64,
    /// `queued`, `running`, `suspended`, `completed`, `failed` or `cancelled`.
    pub status: &'static str,
    /// Every attempt so far.
    pub attempts: Vec<PublicAttempt>,
    /// How many lines its log has.
    pub line_count: u64,
    /// The execution of the present attempt.
    pub handle: Option<PublicHandle>,
    /// How it ended.
    pub outcome: Option<PublicOutcome>,
    /// What the upstream counted last.
    pub usage: Option<Raw>,
    /// What went wrong last, also when the run got over it.
    pub last_error: Option<PublicError>,
    /// The intent to cancel it.
    pub cancel: Option<PublicCancel>,
    /// The upstream that it was accepted with, as requests name it.
    pub upstream: Option<String>,
    /// The model that it was accepted with.
    pub model: Option<String>,
    /// What of the transcript the upstream was told.
    pub history: Option<PublicHistory>,
    /// The turn whose message it repeats.
    pub retry_of: Option<u64>,
    /// Who asked, when the credentials say it.
    pub user: Option<String>,
    /// As sent.
    pub metadata: Option<Raw>,
    /// How often it was taken over, and one.
    pub epoch: u64,
    /// When it was accepted.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
    /// When it ended.
    pub finished_at: Option<i64>,
}

/// One attempt to have the upstream run a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicAttempt {
    /// From 1.
    pub number: u32,
    /// `submitted`, or what ended the one before.
    pub reason: String,
    /// When it was begun.
    pub started_at: i64,
}

/// An upstream's execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicHandle {
    /// As the upstream knows it.
    pub execution_id: String,
    /// The attempt it belongs to.
    pub attempt: u32,
    /// Since when the run is suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<i64>,
    /// For how many ms it was suspended before that; absent when it never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<u64>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicOutcome {
    /// UTF-16 units of the assistant's text.
    pub text_units: u64,
    /// Why it was cancelled, when it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicError {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// When it did.
    pub at: i64,
}

/// The intent to cancel a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicCancel {
    /// The caller's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was asked for.
    pub at: i64,
}

/// The part of a transcript that an upstream was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicHistory {
    /// How many messages.
    pub messages: u32,
    /// The first one's turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_turn: Option<u64>,
    /// The last one's turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_turn: Option<u64>,
    /// Hex SHA-256 over roles and contents.
    pub hash: String,
}

/// A checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicStep {
    /// From 0.
    pub index: u32,
    /// What it is for.
    pub intent: String,
    /// `logic`, `llm`, `tool`, `readiness`, `deterministic` or `event`.
    pub kind: String,
    /// `running`, `completed` or `failed`.
    pub status: String,
    /// How often it was begun.
    pub attempts: u32,
    /// What it came to.
    pub result: Option<Raw>,
    /// What it failed with.
    pub error: Option<Raw>,
    /// When it was begun first.
    pub started_at: i64,
    /// When it ended.
    pub completed_at: Option<i64>,
    /// The identity of a named step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Hex SHA-256 of the input's canonical JSON, when the step was given one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_hash: Option<String>,
    /// Until when a wait lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<i64>,
    /// Its attempts that failed, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<PublicStepFailure>,
    /// The run's workspace as it was behind this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// One failed attempt of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicStepFailure {
    /// Which begin of the step it was, from 1.
    pub attempt: u32,
    /// The attempt of the run in which it happened, from 1.
    pub run_attempt: u32,
    /// For programs.
    pub code: String,
    /// The code is its author's own, though one of ours has that name; absent when it isn't.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub author: bool,
    /// For people.
    pub message: String,
    /// When it did.
    pub at: i64,
    /// Before when it is not tried again; absent when it isn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<i64>,
}

/// What a turn was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicEvent {
    /// Its name within the turn.
    pub key: String,
    /// As sent.
    pub payload: Raw,
    /// When it was stored.
    pub emitted_at: i64,
}

/// The answer to whoever told a turn something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicEmitted {
    /// Nobody was faster.
    pub accepted: bool,
    /// What the turn was told, by whoever was first.
    pub record: PublicEvent,
}

/// These shapes have string keys and no floats, so they always serialise.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: Answer, expected: &str) {
        assert_eq!(answer.to_json(), expected);
    }

    fn event(payload: &str) -> PublicEvent {
        PublicEvent {
            key: "approval:1".into(),
            payload: Raw(payload.into()),
            emitted_at: 8,
        }
    }

    #[test]
    fn answers_of_few_members_are_as_the_protocol_says() {
        let health = PublicHealth {
            ok: true,
            version: "0.1.0",
            schema_version: 3,
        };
        check(
            Answer::Health(health),
            r#"{"ok":true,"version":"0.1.0","schemaVersion":3}"#,
        );
        let session = PublicSession {
            session_id: "s1".into(),
            turn_count: 3,
            running: None,
            created_at: 1,
            updated_at: 2,
        };
        check(
            Answer::Session(session.clone()),
            r#"{"sessionId":"s1","turnCount":3,"running":null,"createdAt":1,"updatedAt":2}"#,
        );
        let running = PublicSession {
            running: Some(2),
            ..session
        };
        check(
            Answer::Session(running),
            r#"{"sessionId":"s1","turnCount":3,"running":2,"createdAt":1,"updatedAt":2}"#,
        );
        check(Answer::Deleted, r#"{"deleted":true}"#);
        let told = r#"{"key":"approval:1","payload":{"ok":1.0,"s":"\ud83d"},"emittedAt":8}"#;
        check(Answer::Event(event(r#"{"ok":1.0,"s":"\ud83d"}"#)), told);
        let emitted = PublicEmitted {
            accepted: false,
            record: event(r#"{"ok":1.0,"s":"\ud83d"}"#),
        };
        check(
            Answer::Emitted(emitted),
            &format!(r#"{{"accepted":false,"record":{told}}}"#),
        );
    }

    #[test]
    fn a_list_names_its_items_and_where_the_next_page_begins() {
        let message = |content: &str| PublicMessage {
            role: "assistant",
            content: Raw(content.into()),
            turn_index: 4,
            status: "partial",
            created_at: 7,
        };
        let list = |items: Vec<PublicMessage>, next: Option<&str>| {
            let next = next.map(str::to_owned);
            Answer::Messages(List { items, next })
        };
        check(
            list(vec![message(r#""hi \ud83d""#), message("[1")], Some("7")),
            r#"{"messages":[{"role":"assistant","content":"hi \ud83d","turnIndex":4,"status":"partial","createdAt":7},{"role":"assistant","content":null,"turnIndex":4,"status":"partial","createdAt":7}],"cursor":"37"}"#,
        );
        check(list(Vec::new(), None), r#"{"messages":[],"cursor":null}"#);
        let none = || List {
            items: Vec::new(),
            next: None,
        };
        check(Answer::Turns(none()), r#"{"turns":[],"cursor":null}"#);
        check(Answer::Runs(none()), r#"{"runs":[],"cursor":null}"#);
        let no_steps = List {
            items: Vec::new(),
            next: None,
        };
        check(Answer::Steps(no_steps), r#"{"steps":[],"cursor":null}"#);
    }

    #[test]
    fn json_that_was_sent_in_comes_out_as_it_was_sent() {
        for raw in [
            "1.0",
            "1e400",
            r#"{"b":1,"a":2,"a":3}"#,
            r#""\ud83d\/""#,
            "null",
        ] {
            let shown = json(&Raw(raw.into()));
            assert_eq!(shown, raw);
        }
        for broken in ["", "[1", "x", "1 2"] {
            assert_eq!(json(&Raw(broken.into())), "null", "{broken}");
        }
    }
}
