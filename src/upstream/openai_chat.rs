//! The `openai-chat` upstream: any server with a streaming chat completions API.
//!
//! Owns the request. It doesn't own the meaning of the stream's chunks: that is [`chunks`].
//! Invariant: there is nothing to go back to. A cut stream is lost, and asking again is a
//! second prompt, which only the turn may decide.

use super::answer::Frames;
use super::framing::BodyFraming;
use super::http::{Http, Method, Server, refusal_without_executions};
use super::means::Means;
use super::{Ask, Capabilities, Frame, FrameBody, Refusal, Upstream};
use crate::json;

pub mod chunks;
mod literal;
mod tool_call;
mod usage;

use chunks::ChatChunks;

/// The server of a stored run.
pub(super) fn upstream<M: Means>(means: &M, url: &str) -> OpenAiChat<M::Http> {
    OpenAiChat::new(means.network(), url, means.key())
}

/// A server with `POST {base_url}/chat/completions`.
#[derive(Clone)]
pub struct OpenAiChat<H> {
    server: Server<H>,
}

impl<H: Http> OpenAiChat<H> {
    /// A server at `base_url`, its version included (`https://…/v1`); `key` goes as a bearer token.
    pub fn new(http: H, base_url: impl Into<String>, key: Option<String>) -> Self {
        OpenAiChat {
            server: Server::new(http, base_url, key),
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
        let framing = BodyFraming::EventStream;
        let request = self
            .server
            .request(Method::Post, "/chat/completions")
            .header("accept", framing.media_type())
            .json(body(ask));
        let answer = self
            .server
            .send(request, refusal_without_executions)
            .await?;
        let started = Frame {
            id: "started".into(),
            body: FrameBody::Started { input_hash: None },
        };
        let chunks = ChatChunks::new(self.server.key().map(str::to_owned));
        Ok(Frames::of(answer, &[framing], chunks).opened_by(started))
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
