//! Chat completion chunks to frames.
//!
//! Owns what a chunk's deltas, tool calls, usage, errors and end become. It doesn't own
//! the connection. Invariant: text is passed on as the JSON literal that was sent, never
//! decoded and encoded again, so a surrogate pair split between two chunks stays whole;
//! and what is gathered over the stream is bounded by [`FRAME_BYTES`].

use super::super::answer::{Ready, Translate};
use super::super::framing::Event;
use super::super::http::failure_message;
use super::super::{Cut, Frame, FrameBody};
use super::literal::{inside, protocol};
use super::tool_call::{OpenCall, ToolCallDelta};
use super::usage::usage_data;
use crate::caps::FRAME_BYTES;
use crate::wire::content;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The whole text, repeated in `result`. A longer one stands in its deltas only, since
/// the frame that repeats it must keep within [`FRAME_BYTES`] with all that is around it.
const FINAL_TEXT_BYTES: usize = FRAME_BYTES - 1024;
/// A `finish_reason` as its literal; the known ones have at most 16 bytes.
const FINISH_REASON_BYTES: usize = 256;

/// Reads the chunks of one completion.
pub struct ChatChunks {
    /// So that an error's message can't carry it to a client.
    key: Option<String>,
    /// Chunks seen; a frame's id is its chunk's index.
    seen: u64,
    /// The text so far as the inside of a JSON string literal, until it is too long.
    text: Option<String>,
    /// The last `finish_reason`, as its literal.
    finish_reason: Option<String>,
    call: Option<OpenCall>,
    /// Tool calls begun, for those that come without an id.
    calls: u64,
    /// The last `usage`, raw: servers that repeat it send running totals.
    usage: Option<String>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ToolCallDelta<'a>>>,
}

impl ChatChunks {
    /// Before the first chunk. `key` is kept out of failure messages.
    pub fn new(key: Option<String>) -> Self {
        ChatChunks {
            key,
            seen: 0,
            text: Some(String::new()),
            finish_reason: None,
            call: None,
            calls: 0,
            usage: None,
        }
    }

    fn read(&mut self, event: &Event, bodies: &mut Vec<FrameBody>) -> Result<(), Cut> {
        let data = event.data.trim();
        if data == "[DONE]" {
            return self.finish(bodies);
        }
        if data.is_empty() {
            // Some gateways keep a connection warm with empty events.
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|_| protocol("an event is not a chat completion chunk"))?;
        let is_error = event.event.as_deref() == Some("error")
            || chunk.object.map(RawValue::get) == Some(r#""error""#);
        if let Some(error) = chunk.error.map(RawValue::get).or(is_error.then_some(data)) {
            bodies.push(FrameBody::Failed {
                message: failure_message(error, self.key.as_deref()),
            });
            return Ok(());
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(usage.get().to_owned());
        }
        let choices = chunk.choices.unwrap_or_default();
        match choices
            .into_iter()
            .find(|choice| choice.index.unwrap_or(0) == 0)
        {
            Some(choice) => self.choice(choice, bodies),
            None => Ok(()),
        }
    }

    fn choice(&mut self, choice: Choice<'_>, bodies: &mut Vec<FrameBody>) -> Result<(), Cut> {
        if let Some(delta) = choice.delta {
            // Servers in transition between the two names send the same text under both.
            let reasoning = delta.reasoning_content.or(delta.reasoning);
            part("reasoning", reasoning, bodies)?;
            if let Some(text) = part("text", delta.content, bodies)? {
                self.gather(text);
            }
            part("refusal", delta.refusal, bodies)?;
            for call in delta.tool_calls.unwrap_or_default() {
                self.tool_call(&call, bodies)?;
            }
        }
        // Some servers send "" where others send null.
        if let Some(reason) = choice.finish_reason.and_then(|raw| inside(raw).transpose()) {
            let reason = reason?;
            if reason.len() > FINISH_REASON_BYTES {
                return Err(protocol("finish_reason is too long"));
            }
            self.finish_reason = Some(format!("\"{reason}\""));
            self.end_call(bodies)?;
        }
        Ok(())
    }

    fn gather(&mut self, text: &str) {
        self.text = self
            .text
            .take()
            .filter(|gathered| gathered.len() + text.len() <= FINAL_TEXT_BYTES);
        if let Some(gathered) = &mut self.text {
            gathered.push_str(text);
        }
    }

    fn tool_call(
        &mut self,
        delta: &ToolCallDelta<'_>,
        bodies: &mut Vec<FrameBody>,
    ) -> Result<(), Cut> {
        let begins = match &self.call {
            Some(call) => call.is_ended_by(delta)?,
            None => true,
        };
        if begins {
            self.end_call(bodies)?;
            self.call = Some(OpenCall::new(delta, self.calls)?);
            self.calls += 1;
        }
        if let Some(call) = &mut self.call {
            bodies.extend(
                call.extend(delta)?
                    .map(|data| event(content::TOOL_CALL_DELTA, data)),
            );
        }
        Ok(())
    }

    fn end_call(&mut self, bodies: &mut Vec<FrameBody>) -> Result<(), Cut> {
        if let Some(call) = self.call.take() {
            bodies.push(event(content::TOOL_CALL, call.whole()?));
        }
        Ok(())
    }

    /// The completion is over if, and only if, a `finish_reason` said so.
    ///
    /// `[DONE]` alone is no proof: hosts and gateways that cut a long answer send it too. And
    /// a missing `[DONE]` takes nothing away: several compatible servers never send it,
    /// while after the reason only `usage` can still come. To ask again for a lost `usage`
    /// would void an answer that is whole, and be paid for twice.
    fn finish(&mut self, bodies: &mut Vec<FrameBody>) -> Result<(), Cut> {
        let reason = self.finish_reason.take().ok_or(Cut::Broken)?;
        self.end_call(bodies)?;
        bodies.extend(
            self.usage
                .take()
                .as_deref()
                .and_then(usage_data)
                .map(|data| event(content::USAGE, data)),
        );
        if reason == r#""error""# {
            bodies.push(FrameBody::Failed {
                message: "the model stopped with an error".into(),
            });
            return Ok(());
        }
        let text = self.text.take();
        let text = text.map_or_else(String::new, |text| format!(r#""finalText":"{text}","#));
        bodies.push(event(
            content::RESULT,
            format!(r#"{{{text}"finishReason":{reason}}}"#),
        ));
        bodies.push(FrameBody::Completed);
        Ok(())
    }

    /// Names the frames of one chunk, `7`, or `7.0`, `7.1` … when it made several.
    fn name(&mut self, bodies: Vec<FrameBody>, frames: &mut Ready) {
        let chunk = self.seen;
        self.seen += 1;
        let several = bodies.len() > 1;
        for (index, body) in bodies.into_iter().enumerate() {
            let id = if several {
                format!("{chunk}.{index}")
            } else {
                chunk.to_string()
            };
            frames.push(Frame { id, body });
        }
    }
}

impl Translate for ChatChunks {
    fn event(&mut self, event: Event, frames: &mut Ready) -> Result<(), Cut> {
        let mut bodies = Vec::new();
        let read = self.read(&event, &mut bodies);
        self.name(bodies, frames);
        read
    }

    fn end(&mut self, frames: &mut Ready) -> Result<(), Cut> {
        let mut bodies = Vec::new();
        let finished = self.finish(&mut bodies);
        self.name(bodies, frames);
        finished
    }
}

/// Appends a part's delta, if it says anything, and returns the inside of its literal.
fn part<'a>(
    kind: &str,
    delta: Option<&'a RawValue>,
    bodies: &mut Vec<FrameBody>,
) -> Result<Option<&'a str>, Cut> {
    let Some(text) = delta.map_or(Ok(None), inside)? else {
        return Ok(None);
    };
    bodies.push(event(
        content::PART_UPDATED,
        content::delta(&format!("{kind}-0"), kind, delta.map_or("", RawValue::get)),
    ));
    Ok(Some(text))
}

fn event(kind: &str, data: String) -> FrameBody {
    FrameBody::Event {
        kind: kind.into(),
        data: Some(data),
    }
}
