//! What upstreams and tasks say: the names of their lines, and typed views of their data.
//!
//! Owns the vocabulary of PROTOCOL §2.2 beside the `session.run.*` lines, which are `line`'s. Data stays raw
//! text; a view borrows from it and reads no further than it is asked. It doesn't own what an upstream may
//! say besides: any other type is passed on as it came. Invariant: a view of what an upstream made up
//! is none, never an error.

use crate::json;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Text of one part of the answer.
pub const PART_UPDATED: &str = "message.part.updated";
/// A tool is called, whole.
pub const TOOL_CALL: &str = "tool.call";
/// More of the arguments of a call that is not whole yet.
pub const TOOL_CALL_DELTA: &str = "tool.call.delta";
/// What a tool gave, or why it gave nothing.
pub const TOOL_RESULT: &str = "tool.result";
/// What was counted: tokens, as a rule.
pub const USAGE: &str = "usage";
/// The answer as a whole.
pub const RESULT: &str = "result";
/// What an upstream's own `error` is renamed to, since `error` announces our end of a turn.
pub const UPSTREAM_ERROR: &str = "upstream.error";
/// A step of a task has begun.
pub const STEP_STARTED: &str = "step.started";
/// A step of a task has its result.
pub const STEP_COMPLETED: &str = "step.completed";
/// An attempt of a step failed; `retryAt` when there is another.
pub const STEP_FAILED: &str = "step.failed";

/// Every name of the vocabulary.
pub const NAMES: [&str; 10] = [
    PART_UPDATED,
    TOOL_CALL,
    TOOL_CALL_DELTA,
    TOOL_RESULT,
    USAGE,
    RESULT,
    UPSTREAM_ERROR,
    STEP_STARTED,
    STEP_COMPLETED,
    STEP_FAILED,
];

/// The type of a part that is the answer's text.
const TEXT: &str = "text";

/// Any JSON value as it was sent, or none.
pub type Raw<'a> = Option<&'a RawValue>;

/// The data of a [`PART_UPDATED`] line.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct PartUpdated<'a> {
    /// Which part.
    #[serde(borrow)]
    pub part: Part<'a>,
    /// What is appended to it; it wins over `part.text`.
    #[serde(borrow, default)]
    pub delta: Raw<'a>,
}

/// A part of the answer.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Part<'a> {
    /// Stable within an attempt.
    #[serde(borrow, default)]
    pub id: Raw<'a>,
    /// `text`, `reasoning`, `refusal`, or what an upstream calls it.
    #[serde(borrow, rename = "type", default)]
    pub kind: Raw<'a>,
    /// What replaces the part's text.
    #[serde(borrow, default)]
    pub text: Raw<'a>,
}

/// The data of a [`TOOL_CALL`] line.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ToolCall<'a> {
    /// By which its result names it.
    #[serde(borrow)]
    pub id: &'a RawValue,
    /// The tool.
    #[serde(borrow)]
    pub name: &'a RawValue,
    /// The exact text that the model wrote, JSON as a rule.
    #[serde(borrow)]
    pub arguments: &'a RawValue,
}

/// The data of a [`TOOL_CALL_DELTA`] line.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ToolCallDelta<'a> {
    /// Of the call.
    #[serde(borrow)]
    pub id: &'a RawValue,
    /// The tool.
    #[serde(borrow)]
    pub name: &'a RawValue,
    /// What is appended to the arguments.
    #[serde(borrow)]
    pub delta: &'a RawValue,
}

/// The data of a [`TOOL_RESULT`] line: `output`, or `error`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ToolResult<'a> {
    /// Of the call.
    #[serde(borrow)]
    pub id: &'a RawValue,
    /// The tool.
    #[serde(borrow, default)]
    pub name: Raw<'a>,
    /// What the tool gave.
    #[serde(borrow, default)]
    pub output: Raw<'a>,
    /// Why it gave nothing.
    #[serde(borrow, default)]
    pub error: Raw<'a>,
}

/// The data of a [`RESULT`] line.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ResultData<'a> {
    /// The answer's whole text.
    #[serde(borrow, rename = "finalText", default)]
    pub final_text: Raw<'a>,
    /// Why the model stopped, in the upstream's words.
    #[serde(borrow, rename = "finishReason", default)]
    pub finish_reason: Raw<'a>,
}

/// A line of the vocabulary, as far as its shape is the vocabulary's.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Text of a part.
    Part(PartUpdated<'a>),
    /// A whole call.
    ToolCall(ToolCall<'a>),
    /// A piece of a call.
    ToolCallDelta(ToolCallDelta<'a>),
    /// A call's end.
    ToolResult(ToolResult<'a>),
    /// Counts, raw.
    Usage(&'a str),
    /// The whole answer.
    Result(ResultData<'a>),
}

impl<'a> Content<'a> {
    /// The view of a line of type `kind`; none for another type, or for data of another shape.
    ///
    /// ```
    /// use steadfast::wire::content::{Content, units};
    /// let data = r#"{"id":"call-0","name":"add","arguments":"{\"a\":1}"}"#;
    /// let Some(Content::ToolCall(call)) = Content::of("tool.call", data) else { panic!() };
    /// assert_eq!(call.arguments.get(), r#""{\"a\":1}""#);
    /// assert!(Content::of("tool.call", r#"{"id":"call-0"}"#).is_none());
    /// assert!(Content::of("weather.changed", data).is_none());
    /// ```
    pub fn of(kind: &str, data: &'a str) -> Option<Self> {
        match kind {
            PART_UPDATED => read(data).map(Content::Part),
            TOOL_CALL => read(data)
                .filter(|call: &ToolCall<'_>| all_text([call.id, call.name, call.arguments]))
                .map(Content::ToolCall),
            TOOL_CALL_DELTA => read(data)
                .filter(|call: &ToolCallDelta<'_>| all_text([call.id, call.name, call.delta]))
                .map(Content::ToolCallDelta),
            TOOL_RESULT => read(data)
                .filter(|result: &ToolResult<'_>| {
                    is_text(result.id) && (result.output.is_some() != result.error.is_some())
                })
                .map(Content::ToolResult),
            USAGE => Some(Content::Usage(data)),
            RESULT => read(data).map(Content::Result),
            _ => None,
        }
    }
}

impl Part<'_> {
    /// Whether this part is the answer's text, however its type is written.
    pub fn is_answer(&self) -> bool {
        let Some(kind) = self.kind else { return false };
        let raw = kind.get();
        raw == "\"text\""
            || raw.contains('\\')
                && units(self.kind).is_some_and(|kind| TEXT.encode_utf16().eq(kind))
    }
}

/// A value's UTF-16 units, when it is a string.
pub fn units(raw: Raw<'_>) -> Option<Vec<u16>> {
    json::string_units(raw?.get())
}

/// Whether a line may carry text of the answer: what can't be read as something else does.
pub fn may_carry_text(kind: &str, data: &str) -> bool {
    match kind {
        PART_UPDATED => {
            let part = read::<PartUpdated<'_>>(data).map(|update| update.part);
            part.is_none_or(|part| units(part.kind).is_none() || part.is_answer())
        }
        RESULT => true,
        _ => false,
    }
}

/// The data of a [`TOOL_CALL`]; `arguments` is the exact text.
pub fn tool_call(id: &str, name: &str, arguments: &str) -> String {
    let [id, name, arguments] = [id, name, arguments].map(json::quote);
    format!(r#"{{"id":{id},"name":{name},"arguments":{arguments}}}"#)
}

/// The data of a [`TOOL_RESULT`] with an output, which is JSON text.
pub fn tool_output(id: &str, name: &str, output: &str) -> String {
    let [id, name] = [id, name].map(json::quote);
    format!(r#"{{"id":{id},"name":{name},"output":{output}}}"#)
}

/// The data of a [`PART_UPDATED`] that appends; `delta` is a string's JSON text.
pub fn delta(id: &str, kind: &str, delta: &str) -> String {
    format!(r#"{{"part":{{"id":"{id}","type":"{kind}"}},"delta":{delta}}}"#)
}

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Option<T> {
    serde_json::from_str(data).ok()
}

fn is_text(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

fn all_text<const N: usize>(raws: [&RawValue; N]) -> bool {
    raws.into_iter().all(is_text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::line::check_upstream_kind;

    #[test]
    fn each_name_may_stand_in_a_log() {
        for name in NAMES {
            assert_eq!(check_upstream_kind(name).as_deref(), Ok(name));
        }
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
            (TOOL_RESULT, r#"{"finalText":"x"}"#, false),
            (USAGE, "{}", false),
        ] {
            assert_eq!(may_carry_text(kind, data), expected, "{kind} {data}");
        }
    }

    #[test]
    fn what_an_upstream_made_up_has_no_view() {
        for (kind, data) in [
            (PART_UPDATED, "null"),
            (PART_UPDATED, r#"{"part":"text"}"#),
            (TOOL_CALL, r#"{"id":"a","name":"n"}"#),
            (TOOL_CALL, r#"{"id":1,"name":"n","arguments":"{}"}"#),
            (TOOL_CALL, r#"{"id":"a","name":"n","arguments":{}}"#),
            (TOOL_CALL_DELTA, r#"{"id":"a","name":"n","delta":7}"#),
            (TOOL_RESULT, r#"{"id":"a","name":"n"}"#),
            (TOOL_RESULT, r#"{"id":"a","output":1,"error":"x"}"#),
            (RESULT, "7"),
            ("weather", "{}"),
            (UPSTREAM_ERROR, "{}"),
        ] {
            assert!(Content::of(kind, data).is_none(), "{kind} {data}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let call = tool_call("c\"1", "add", r#"{"a":1}"#);
        let Some(Content::ToolCall(view)) = Content::of(TOOL_CALL, &call) else {
            panic!("{call}");
        };
        assert_eq!(view.id.get(), r#""c\"1""#);
        assert_eq!(view.arguments.get(), r#""{\"a\":1}""#);
        let result = tool_output("c", "add", "[1.0]");
        let Some(Content::ToolResult(view)) = Content::of(TOOL_RESULT, &result) else {
            panic!("{result}");
        };
        assert_eq!(view.output.map(RawValue::get), Some("[1.0]"));
        let part = delta("p1", "text", r#""\ud83d""#);
        let Some(Content::Part(view)) = Content::of(PART_UPDATED, &part) else {
            panic!("{part}");
        };
        assert!(view.part.is_answer());
        assert_eq!(units(view.delta), Some(vec![0xd83d]));
    }
}
