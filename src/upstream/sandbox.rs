//! The sandbox upstream: an agent server that buffers each execution and replays it.
//!
//! Owns PROTOCOL §4.1, from our request to frames. It doesn't own whether an `inputHash` is the
//! right one, nor what to do about a cut: those are the turn's.
//! Invariant: `start` and `attach` are the same request but for the cursor, so that
//! asking twice can't mean two executions.

use super::answer::{Frames, Ready, Translate};
use super::framing::{BodyFraming, Event};
use super::http::{Http, Method, Server, failure_message, refusal};
use super::means::Means;
use super::{Ask, Capabilities, Cut, Frame, FrameBody, Refusal, Upstream};
use crate::json;

/// The sandbox of a stored run.
pub(super) fn upstream<M: Means>(means: &M, url: &str) -> Sandbox<M::Http> {
    Sandbox::new(means.network(), url, means.key())
}

/// An agent server that speaks PROTOCOL §4.1.
#[derive(Clone)]
pub struct Sandbox<H> {
    server: Server<H>,
}

impl<H: Http> Sandbox<H> {
    /// A server at `base_url`, with or without a slash at its end; `key` goes as a bearer token.
    pub fn new(http: H, base_url: impl Into<String>, key: Option<String>) -> Self {
        Sandbox {
            server: Server::new(http, base_url, key),
        }
    }

    async fn ask(
        &self,
        ask: &Ask,
        cursor: Option<&str>,
    ) -> Result<Frames<H::Body, SandboxEvents>, Refusal> {
        let mut request = self
            .server
            .request(Method::Post, "/agents/run/stream")
            .header("accept", BodyFraming::EventStream.media_type())
            .header("x-execution-id", &ask.execution_id)
            .header("x-input-hash", &ask.input_hash)
            .json(body(ask));
        if let Some(cursor) = cursor {
            request.headers.push("last-event-id", cursor);
        }
        let answer = self.server.send(request, refusal).await?;
        let events = SandboxEvents {
            key: self.server.key().map(str::to_owned),
        };
        Ok(Frames::of(answer, &[BodyFraming::EventStream], events))
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
        // The id's characters (PROTOCOL §1) stand in a path as they are.
        let path = format!("/agents/run/{execution_id}/cancel");
        let request = self.server.request(Method::Post, &path).json("{}".into());
        match self.server.send(request, refusal).await {
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
            id: event.id.unwrap_or_default(),
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
            kind,
            data: data.map(str::to_owned),
        }),
    }
}

fn protocol(what: &str) -> Cut {
    Cut::Protocol(what.to_owned())
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
