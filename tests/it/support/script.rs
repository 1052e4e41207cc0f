//! What the upstreams of a world say, and what must become of it.
//!
//! Owns both sides as literals: the frames as sent and the lines as they must stand in the log, so
//! that no code under test says what is expected of it.

/// What a server does that it shouldn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// It sends this frame twice, under one id.
    Repeats(usize),
    /// It sends this frame behind the next one, on one connection of two.
    Swaps(usize),
    /// Its last frame comes twice.
    EndsTwice,
    /// It says more behind its last frame.
    GoesOn,
    /// This frame's text is so many bytes long.
    Swells(usize, usize),
}

/// One conversation of an upstream.
#[derive(Clone, Debug)]
pub struct Script {
    /// Each frame's type, its data as sent, and its data as a line has it.
    pub frames: Vec<(&'static str, &'static str, &'static str)>,
    /// The assistant's message, as JSON.
    pub message: &'static str,
    /// The time between two frames, in ms.
    pub pace_ms: u64,
    /// The words of `execution.failed`, when it ends so.
    pub fails: Option<&'static str>,
    /// What it does that it shouldn't.
    pub tricks: Vec<Trick>,
}

impl Script {
    /// Every kind of frame there is: deltas, an emoji split in two, tools, usage, a result.
    pub fn standard() -> Self {
        Script {
            frames: vec![
                (
                    "message.part.updated",
                    r#"{"part":{"id":"p1","type":"text"},"delta":"Hel"}"#,
                    r#"{"part":{"id":"p1","type":"text"},"delta":"Hel"}"#,
                ),
                (
                    "message.part.updated",
                    r#"{ "part": {"id":"p1", "type":"text"}, "delta": "lo  \u00fc " }"#,
                    r#"{"part":{"id":"p1","type":"text"},"delta":"lo  \u00fc "}"#,
                ),
                (
                    "message.part.updated",
                    r#"{"part":{"id":"p1","type":"text"},"delta":"\ud83d"}"#,
                    r#"{"part":{"id":"p1","type":"text"},"delta":"\ud83d"}"#,
                ),
                (
                    "message.part.updated",
                    r#"{"part":{"id":"p1","type":"text"},"delta":"\ude00!"}"#,
                    r#"{"part":{"id":"p1","type":"text"},"delta":"\ude00!"}"#,
                ),
                (
                    "tool.call",
                    r#"{"z":1.0, "a":12345678901234567890, "id":"t1"}"#,
                    r#"{"z":1.0,"a":12345678901234567890,"id":"t1"}"#,
                ),
                (
                    "tool.result",
                    r#"{"id":"t1","ok":true}"#,
                    r#"{"id":"t1","ok":true}"#,
                ),
                (
                    "error",
                    r#"{"message":"a tool's"}"#,
                    r#"{"message":"a tool's"}"#,
                ),
                (
                    "message.part.updated",
                    r#"{"part":{"id":"r1","type":"reasoning"},"delta":"hm"}"#,
                    r#"{"part":{"id":"r1","type":"reasoning"},"delta":"hm"}"#,
                ),
                (
                    "message.part.updated",
                    r#"{"part":{"id":"p2","type":"text"},"delta":" é😀"}"#,
                    r#"{"part":{"id":"p2","type":"text"},"delta":" é😀"}"#,
                ),
                ("status.changed", "null", "null"),
                (
                    "usage",
                    r#"{"inputTokens":7, "outputTokens":5}"#,
                    r#"{"inputTokens":7,"outputTokens":5}"#,
                ),
                (
                    "result",
                    r#"{"finalText":"Hello  ü \ud83d\ude00! é😀"}"#,
                    r#"{"finalText":"Hello  ü \ud83d\ude00! é😀"}"#,
                ),
            ],
            message: "\"Hello  ü 😀! é😀\"",
            pace_ms: 40,
            fails: None,
            tricks: Vec::new(),
        }
    }

    /// One word, at once.
    pub fn short() -> Self {
        Script {
            frames: vec![(
                "message.part.updated",
                r#"{"part":{"id":"p1","type":"text"},"delta":"Yes."}"#,
                r#"{"part":{"id":"p1","type":"text"},"delta":"Yes."}"#,
            )],
            message: "\"Yes.\"",
            pace_ms: 10,
            fails: None,
            tricks: Vec::new(),
        }
    }

    /// The whole log of a turn that this script ran through in one attempt.
    pub fn log(&self, tenant: &str, session: &str, turn: u64) -> String {
        let mut log = format!(
            "{{\"seq\":0,\"type\":\"session.run.started\",\"data\":{{\"sessionId\":\"{session}\",\
             \"tenantId\":\"{tenant}\",\"turnIndex\":{turn},\
             \"executionId\":\"{tenant}:{session}:{turn}\"}}}}\n"
        );
        let mut seq = 1;
        let mut add = |kind: &str, data: &str| {
            log.push_str(&format!(
                "{{\"seq\":{seq},\"type\":\"{kind}\",\"data\":{data}}}\n"
            ));
            seq += 1;
        };
        for (kind, _, data) in &self.frames {
            add(
                if *kind == "error" {
                    "upstream.error"
                } else {
                    kind
                },
                data,
            );
        }
        match self.fails {
            None => add(
                "session.run.completed",
                &format!("{{\"sessionId\":\"{session}\"}}"),
            ),
            Some(words) => {
                add(
                    "error",
                    &format!("{{\"code\":\"upstream_failed\",\"message\":\"{words}\"}}"),
                );
                let data = format!("{{\"sessionId\":\"{session}\",\"message\":\"{words}\"}}");
                add("session.run.failed", &data);
            }
        }
        log
    }
}
