//! The sandbox upstream: an agent server that buffers each execution and replays it.
//!
//! Owns PROTOCOL §4.1, from our request to checked frames. It doesn't own whether an
//! `inputHash` is the right one, nor what to do about a cut: those are the turn's.
//! Invariant: `start` and `attach` are the same request but for the cursor, so that
//! asking twice can't mean two executions.

use super::answer::{Frames, Ready, Translate, accepted, failure_message, headers, refusal};
use super::checked::{check_id, check_kind, compacted, protocol};
use super::event_stream::Event;
use super::{Ask, Capabilities, Cut, Frame, FrameBody, Http, HttpRequest, Refusal, Upstream};
use crate::json;
use std::fmt;

/// An agent server that speaks PROTOCOL §4.1.
#[derive(Clone)]
pub struct Sandbox<H> {
    http: H,
    base_url: String,
    key: Option<String>,
}

/// Without the key, so that no log can show it.
impl<H> fmt::Debug for Sandbox<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

impl<H: Http> Sandbox<H> {
    /// A server at `base_url`, with or without a slash at its end; `key` goes as a bearer token.
    pub fn new(http: H, base_url: impl Into<String>, key: Option<String>) -> Self {
        let base_url: String = base_url.into();
        Sandbox {
            http,
            base_url: base_url.trim_end_matches('/').to_owned(),
            key,
        }
    }

    async fn ask(
        &self,
        ask: &Ask,
        cursor: Option<&str>,
    ) -> Result<Frames<H::Body, SandboxEvents>, Refusal> {
        let mut headers = headers(self.key.as_deref());
        headers.push(("accept".into(), "text/event-stream".into()));
        headers.push(("x-execution-id".into(), ask.execution_id.clone()));
        headers.push(("x-input-hash".into(), ask.input_hash.clone()));
        if let Some(cursor) = cursor {
            headers.push(("last-event-id".into(), cursor.to_owned()));
        }
        let request = HttpRequest {
            url: format!("{}/agents/run/stream", self.base_url),
            headers,
            body: body(ask),
        };
        let answer = accepted(&self.http, request, refusal).await?;
        let events = SandboxEvents {
            key: self.key.clone(),
        };
        Ok(Frames::of(answer, events))
    }
}

impl<H: Http> Upstream for Sandbox<H> {
    type Frames = Frames<H::Body, SandboxEvents>;

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resumable: true,
            start_idempotent: true,
        }
    }

    async fn start(&self, ask: &Ask) -> Result<Self::Frames, Refusal> {
        self.ask(ask, None).await
    }

    async fn attach(&self, ask: &Ask, cursor: Option<&str>) -> Result<Self::Frames, Refusal> {
        self.ask(ask, cursor).await
    }

    async fn cancel(&self, execution_id: &str) -> Result<(), Refusal> {
        let request = HttpRequest {
            // The id's characters (PROTOCOL §1) stand in a path as they are.
            url: format!("{}/agents/run/{execution_id}/cancel", self.base_url),
            headers: headers(self.key.as_deref()),
            body: "{}".into(),
        };
        match accepted(&self.http, request, refusal).await {
            Ok(_) => Ok(()),
            // Servers say so of an execution that is over, and there is nothing left to stop.
            Err(Refusal::Conflict) => Err(Refusal::Gone),
            Err(refusal) => Err(refusal),
        }
    }
}

fn body(ask: &Ask) -> String {
    let mut body = format!(r#"{{"message":{},"history":["#, ask.message);
    for (index, message) in ask.history.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(r#"{"role":"#);
        json::push_quoted(&mut body, &message.role);
        body.push_str(r#","content":"#);
        body.push_str(&message.content);
        body.push('}');
    }
    body.push_str(r#"],"model":"#);
    match &ask.model {
        Some(model) => json::push_quoted(&mut body, model),
        None => body.push_str("null"),
    }
    body.push_str(r#","sessionId":"#);
    json::push_quoted(&mut body, &ask.session_id);
    body.push_str(r#","metadata":"#);
    body.push_str(ask.metadata.as_deref().unwrap_or("null"));
    body.push('}');
    body
}

/// Reads a sandbox's events: one frame each.
pub struct SandboxEvents {
    /// So that a failure's message can't carry it to a client.
    key: Option<String>,
}

impl Translate for SandboxEvents {
    fn event(&mut self, event: Event, frames: &mut Ready) -> Result<(), Cut> {
        frames.push(Frame {
            id: check_id(event.id.unwrap_or_default())?,
            body: frame_body(&event.data, self.key.as_deref())?,
        });
        Ok(())
    }

    fn end(&mut self, _frames: &mut Ready) -> Result<(), Cut> {
        Err(Cut::Broken)
    }
}

fn frame_body(event_data: &str, key: Option<&str>) -> Result<FrameBody, Cut> {
    let frame = json::members(event_data).map_err(|why| protocol(&format!("bad frame: {why}")))?;
    let kind = frame.get("type").copied().and_then(json::string_units);
    let kind = kind
        .and_then(|units| String::from_utf16(&units).ok())
        .ok_or_else(|| protocol("a frame's type must be a string"))?;
    let data = frame.get("data").copied().filter(|data| *data != "null");
    match kind.as_str() {
        "execution.started" => Ok(FrameBody::Started {
            input_hash: input_hash(data)?,
        }),
        "execution.completed" => Ok(FrameBody::Completed),
        "execution.failed" => Ok(FrameBody::Failed {
            message: data.map_or_else(
                || "the execution failed".into(),
                |data| failure_message(data, key),
            ),
        }),
        _ if kind.starts_with("execution.") => {
            Err(protocol("a frame's type is an unknown execution.*"))
        }
        _ => Ok(FrameBody::Event {
            kind: check_kind(&kind)?,
            data: data.map(compacted).transpose()?,
        }),
    }
}

fn input_hash(data: Option<&str>) -> Result<Option<String>, Cut> {
    let Some(data) = data else { return Ok(None) };
    let data = json::members(data)
        .map_err(|why| protocol(&format!("bad data of execution.started: {why}")))?;
    data.get("inputHash")
        .filter(|hash| **hash != "null")
        .map(|hash| {
            json::string_units(hash)
                .and_then(|units| String::from_utf16(&units).ok())
                .ok_or_else(|| protocol("inputHash must be a string"))
        })
        .transpose()
}

#[cfg(test)]
mod tests;
