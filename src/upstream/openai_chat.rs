//! The `openai-chat` upstream: any server with a streaming chat completions API.
//!
//! Owns the request and what an HTTP status means to a server that knows no executions.
//! It doesn't own the meaning of the stream's chunks: that is [`chunks`].
//! Invariant: there is nothing to go back to. A cut stream is lost, and asking again is a
//! second prompt, which only the turn may decide.

use super::answer::{Frames, accepted, headers, refusal};
use super::{Ask, Capabilities, Frame, FrameBody, Http, HttpRequest, Refusal, Upstream};
use crate::json;
use std::fmt;

pub mod chunks;
mod tool_call;
mod usage;

use chunks::ChatChunks;

/// A server with `POST {base_url}/chat/completions`.
#[derive(Clone)]
pub struct OpenAiChat<H> {
    http: H,
    base_url: String,
    key: Option<String>,
}

/// Without the key, so that no log can show it.
impl<H> fmt::Debug for OpenAiChat<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiChat")
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

impl<H: Http> OpenAiChat<H> {
    /// A server at `base_url`, its version included (`https://…/v1`); `key` goes as a bearer token.
    pub fn new(http: H, base_url: impl Into<String>, key: Option<String>) -> Self {
        let base_url: String = base_url.into();
        OpenAiChat {
            http,
            base_url: base_url.trim_end_matches('/').to_owned(),
            key,
        }
    }
}

impl<H: Http> Upstream for OpenAiChat<H> {
    type Frames = Frames<H::Body, ChatChunks>;

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resumable: false,
            start_idempotent: false,
        }
    }

    async fn start(&self, ask: &Ask) -> Result<Self::Frames, Refusal> {
        let mut headers = headers(self.key.as_deref());
        headers.push(("accept".into(), "text/event-stream".into()));
        let request = HttpRequest {
            url: format!("{}/chat/completions", self.base_url),
            headers,
            body: body(ask),
        };
        let answer = accepted(&self.http, request, refused).await?;
        let started = Frame {
            id: "started".into(),
            body: FrameBody::Started { input_hash: None },
        };
        Ok(Frames::of(answer, ChatChunks::new(self.key.clone())).opened_by(started))
    }

    /// Always [`Refusal::Gone`]: the execution was the connection.
    async fn attach(&self, _ask: &Ask, _cursor: Option<&str>) -> Result<Self::Frames, Refusal> {
        Err(Refusal::Gone)
    }

    /// Succeeds without a request: closing the connection has stopped the execution.
    async fn cancel(&self, _execution_id: &str) -> Result<(), Refusal> {
        Ok(())
    }
}

/// These servers know models and requests, but no executions that could be gone or in conflict.
fn refused(status: u16, retry_after_ms: Option<u64>) -> Refusal {
    match status {
        // No such model or path: asking again doesn't bring it.
        404 | 410 => Refusal::Rejected { status },
        // A lock that was not to be had in time; the vendors' own clients ask again.
        409 => Refusal::Unavailable {
            retry_after_ms,
            maybe_started: false,
        },
        _ => refusal(status, retry_after_ms),
    }
}

fn body(ask: &Ask) -> String {
    let mut body = String::from("{");
    if let Some(model) = &ask.model {
        body.push_str(r#""model":"#);
        json::push_quoted(&mut body, model);
        body.push(',');
    }
    body.push_str(r#""messages":["#);
    if let Some(prompt) = &ask.system_prompt {
        push_message(&mut body, "system", &json::quote(prompt));
        body.push(',');
    }
    for message in &ask.history {
        push_message(&mut body, &message.role, &message.content);
        body.push(',');
    }
    push_message(&mut body, "user", &ask.message);
    body.push_str(r#"],"stream":true,"stream_options":{"include_usage":true}}"#);
    body
}

fn push_message(body: &mut String, role: &str, content: &str) {
    body.push_str(r#"{"role":"#);
    json::push_quoted(body, role);
    body.push_str(r#","content":"#);
    body.push_str(content);
    body.push('}');
}

#[cfg(test)]
mod tests;
