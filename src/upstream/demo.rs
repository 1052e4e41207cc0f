//! The demo agent: answers every message at a steady pace, with no model, key or network.
//!
//! Owns what the agent says ([`DemoScript`]) and what one connection to it is sent
//! ([`DemoConnection`]). It doesn't own storage, clock or connections: the object that
//! performs it does. Invariant: a frame is a pure function of message and options, and
//! exists from its due time on whoever listens, so that any replay is the first telling.

use super::Sandbox;
use super::means::Means;
use crate::json;
use crate::wire::content;
use std::borrow::Cow;

pub mod connection;
mod options;
mod prose;

pub use connection::{DemoConnection, Next, UnknownCursor};
pub use options::BadRequest;
use options::Options;
use prose::Message;

/// The agent as an upstream: a sandbox behind a binding, whose host is never resolved.
pub(super) fn upstream<M: Means>(means: &M, _url: &str) -> Sandbox<M::Http> {
    Sandbox::new(means.demo_agent(), "http://demo.invalid", None)
}

/// One frame of the demo agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoFrame {
    /// `f` and the frame's index: the cursor to go on after.
    pub id: String,
    /// The frame's type.
    pub kind: &'static str,
    /// Raw JSON.
    pub data: String,
}

/// Everything that one execution of the demo agent will ever say.
///
/// ```
/// use steadfast::upstream::demo::DemoScript;
/// let metadata = r#"{"demo":{"words":3,"delayMs":100}}"#;
/// let script = DemoScript::new("acme:s1:0", r#""Hello""#, Some(metadata)).unwrap();
/// let frame = script.frame(1).unwrap();
/// assert_eq!((frame.id.as_str(), frame.kind), ("f1", "message.part.updated"));
/// assert_eq!(script.due_ms(1), 100);
/// assert_eq!(script.frame(script.frame_count()), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoScript {
    execution_id: String,
    options: Options,
    message: Message,
    /// The answer's deltas, as the insides of JSON string literals.
    deltas: Vec<String>,
    /// The end, when it isn't `execution.completed` after everything was said.
    failure: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    /// Its frame's index.
    at: u64,
    due_ms: u64,
    message: Cow<'static, str>,
}

/// What a frame is, by its index.
enum Scene<'a> {
    Started,
    Delta(usize),
    ToolCall,
    ToolResult,
    Usage,
    Result,
    Completed,
    Failed(&'a str),
}

/// All frames but the deltas: started, tool call and result, usage, result, completed.
const FRAMES_BESIDE_DELTAS: u64 = 6;

impl DemoScript {
    /// The script for a message, raw JSON content (PROTOCOL §2.1), and a turn's metadata.
    ///
    /// `metadata.demo` may set `words`, `delayMs`, `failAfter`, `stallAfter` and `cutAfter`.
    ///
    /// # Errors
    /// What is wrong with the message or the options, in words for the caller.
    pub fn new(
        execution_id: &str,
        message: &str,
        metadata: Option<&str>,
    ) -> Result<Self, BadRequest> {
        let options = Options::read(metadata)?;
        let message = Message::read(message)?;
        let deltas = prose::deltas(&message, options.words);
        let mut script = DemoScript {
            execution_id: execution_id.to_owned(),
            options,
            message,
            deltas,
            failure: None,
        };
        if let Some(at) = script.options.fail_after
            && at < script.frame_count()
        {
            script.failure = Some(Failure {
                at,
                due_ms: script.due_ms(at),
                message: "the demo failed as `metadata.demo.failAfter` asked".into(),
            });
        }
        Ok(script)
    }

    /// The script for a request body of PROTOCOL §4.1.
    ///
    /// # Errors
    /// As [`DemoScript::new`], or when the body is no object with a `message`.
    pub fn of_request(execution_id: &str, body: &str) -> Result<Self, BadRequest> {
        let fields = json::members(body).map_err(|_| BadRequest::Body)?;
        let message = fields.get("message").ok_or(BadRequest::Message)?;
        Self::new(execution_id, message, fields.get("metadata").copied())
    }

    /// The script for a request that the agent doesn't take: it begins, and fails with the reason.
    ///
    /// A refusal by status would fail the turn as well, but no status says which option was wrong.
    pub fn refusing(execution_id: &str, why: &BadRequest) -> Self {
        DemoScript {
            execution_id: execution_id.to_owned(),
            options: Options::DEFAULT,
            message: Message::default(),
            deltas: Vec::new(),
            failure: Some(Failure {
                at: 1,
                due_ms: 0,
                message: why.to_string().into(),
            }),
        }
    }

    /// This script, cancelled so long after its start: the frames due by then stay, and a
    /// failure follows them. What was over by then stays as it is.
    pub fn cancelled_at(mut self, elapsed_ms: u64) -> Self {
        let at = self.existing(elapsed_ms);
        if at < self.frame_count() {
            self.failure = Some(Failure {
                at,
                due_ms: elapsed_ms,
                message: "cancelled".into(),
            });
        }
        self
    }

    /// How many frames there will have been at the end.
    pub fn frame_count(&self) -> u64 {
        match &self.failure {
            Some(failure) => failure.at + 1,
            None => self.delta_count() + FRAMES_BESIDE_DELTAS,
        }
    }

    /// How many frames exist so long after the start; the first exists at once.
    pub fn existing(&self, elapsed_ms: u64) -> u64 {
        let last = self.frame_count() - 1;
        if elapsed_ms >= self.due_ms(last) {
            return last + 1;
        }
        let due = elapsed_ms.checked_div(self.options.delay_ms);
        due.map_or(last, |due| last.min(due + 1))
    }

    /// Milliseconds after the start from which the frame exists.
    pub fn due_ms(&self, index: u64) -> u64 {
        match &self.failure {
            Some(failure) if failure.at == index => failure.due_ms,
            Some(_) | None => index.saturating_mul(self.options.delay_ms),
        }
    }

    /// The frame of that index; `None` beyond the end.
    pub fn frame(&self, index: u64) -> Option<DemoFrame> {
        let (kind, data) = match self.scene(index)? {
            Scene::Started => ("execution.started", self.started()),
            Scene::Delta(delta) => (content::PART_UPDATED, self.delta(delta)?),
            Scene::ToolCall => (content::TOOL_CALL, self.message.tool_call()),
            Scene::ToolResult => (content::TOOL_RESULT, self.message.tool_result()),
            Scene::Usage => (content::USAGE, self.usage()),
            Scene::Result => (content::RESULT, self.result()),
            Scene::Completed => ("execution.completed", "{}".into()),
            Scene::Failed(message) => (
                "execution.failed",
                format!(r#"{{"message":{}}}"#, json::quote(message)),
            ),
        };
        Some(DemoFrame {
            id: format!("f{index}"),
            kind,
            data,
        })
    }

    fn scene(&self, index: u64) -> Option<Scene<'_>> {
        if let Some(failure) = &self.failure
            && index >= failure.at
        {
            return (index == failure.at).then_some(Scene::Failed(&failure.message));
        }
        let deltas = self.delta_count();
        // The tool is called in the middle of the answer, after the longer half.
        let middle = deltas.div_ceil(2);
        let place = index.checked_sub(1);
        Some(match place {
            None => Scene::Started,
            Some(place) if place < middle => Scene::Delta(usize::try_from(place).ok()?),
            Some(place) if place == middle => Scene::ToolCall,
            Some(place) if place == middle + 1 => Scene::ToolResult,
            Some(place) if place < deltas + 2 => Scene::Delta(usize::try_from(place - 2).ok()?),
            Some(place) if place == deltas + 2 => Scene::Usage,
            Some(place) if place == deltas + 3 => Scene::Result,
            Some(place) if place == deltas + 4 => Scene::Completed,
            Some(_) => return None,
        })
    }

    fn delta_count(&self) -> u64 {
        self.deltas.len() as u64
    }

    fn started(&self) -> String {
        format!(
            r#"{{"executionId":{},"sandboxId":"demo"}}"#,
            json::quote(&self.execution_id)
        )
    }

    fn delta(&self, index: usize) -> Option<String> {
        let text = self.deltas.get(index)?;
        Some(content::delta("text-0", "text", &format!("\"{text}\"")))
    }

    /// The agent has no tokens; it counts words.
    fn usage(&self) -> String {
        let (input, output) = (self.message.word_count(), self.deltas.len());
        let total = input + output;
        format!(r#"{{"inputTokens":{input},"outputTokens":{output},"totalTokens":{total}}}"#)
    }

    fn result(&self) -> String {
        format!(
            r#"{{"finalText":"{}","finishReason":"stop"}}"#,
            self.deltas.concat()
        )
    }
}

/// The lines that a turn with this message and metadata gets from the demo agent, as type
/// and raw data, in order; `execution.*` frames are no lines.
///
/// # Errors
/// As [`DemoScript::new`].
pub fn transcript(
    message: &str,
    metadata: Option<&str>,
) -> Result<Vec<(&'static str, String)>, BadRequest> {
    let script = DemoScript::new("", message, metadata)?;
    let frames = (0..script.frame_count()).filter_map(|index| script.frame(index));
    Ok(frames
        .filter(|frame| !frame.kind.starts_with("execution."))
        .map(|frame| (frame.kind, frame.data))
        .collect())
}

/// The frame as an event of PROTOCOL §4.1.
pub fn encode(frame: &DemoFrame) -> String {
    let DemoFrame { id, kind, data } = frame;
    format!("id: {id}\ndata: {{\"type\":\"{kind}\",\"data\":{data}}}\n\n")
}

#[cfg(test)]
mod tests;
