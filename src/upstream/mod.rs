//! What a turn is run against: agent sandboxes and model APIs.
//!
//! Owns the contract between a drain and an upstream ([`Upstream`]), the table of kinds
//! ([`registry`]), the HTTP layer that adapters share, and the adapters. It doesn't own retries,
//! budgets or what a frame means for the turn: those are `turn/`.
//! Invariant: upstream JSON stays raw text, and only a terminal frame ends a turn.

pub mod registry;

pub mod demo;
pub mod openai_chat;
pub mod sandbox;

pub mod answer;
mod any;
mod checked;
mod event;
pub mod event_stream;
pub mod framing;
pub mod http;
mod means;
#[cfg(test)]
mod scripted;

pub use any::{AnyFrames, AnyUpstream};
pub use checked::Checked;
pub use http::{Headers, Http, HttpRequest, HttpResponse, Method, Unreachable};
pub use means::Means;
pub use openai_chat::OpenAiChat;
pub use registry::{BuiltIn, Missing, OwnNames, Resolved, UpstreamKind};
pub use sandbox::Sandbox;

use crate::json;
use crate::wire::content;
use futures::Stream;
use std::future::Future;
use std::rc::Rc;

/// What an upstream can promise; recovery is decided from these alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// A cut stream can be attached again after a cursor.
    pub resumable: bool,
    /// Asking twice under one execution id starts one execution.
    pub start_idempotent: bool,
}

/// One request to an upstream, as recovery would build it again: from the stored run only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The execution as this attempt is known upstream: the run id, with `:a<k>` from the second attempt on.
    pub execution_id: String,
    /// Lower-case hex SHA-256 of the turn's input.
    pub input_hash: String,
    /// The session's id.
    pub session_id: String,
    /// The user's message content, raw JSON: a string, or an array of parts.
    pub message: String,
    /// Earlier messages of the session, oldest first.
    pub history: Vec<HistoryMessage>,
    /// The model's name, if one was asked for or configured.
    pub model: Option<String>,
    /// The system prompt, if one is configured.
    pub system_prompt: Option<String>,
    /// The turn's metadata, raw JSON object.
    pub metadata: Option<String>,
}

impl Ask {
    /// The user's words: the message itself, or the `text` of its parts, one line each. What isn't
    /// Unicode in them, half an emoji, is replaced.
    ///
    /// ```
    /// # use steadfast::upstream::Ask;
    /// # let ask = |message: &str| Ask { execution_id: String::new(), input_hash: String::new(),
    /// #     session_id: String::new(), message: message.into(), history: vec![], model: None,
    /// #     system_prompt: None, metadata: None };
    /// assert_eq!(ask(r#""Hello \u00fc""#).text(), "Hello ü");
    /// let parts = r#"[{"type":"text","text":"Look:"},{"type":"image"},{"type":"text","text":"!"}]"#;
    /// assert_eq!(ask(parts).text(), "Look:\n!");
    /// ```
    pub fn text(&self) -> String {
        text_of(&self.message)
    }
}

impl HistoryMessage {
    /// Its words, as [`Ask::text`] has those of the present message.
    pub fn text(&self) -> String {
        text_of(&self.content)
    }
}

/// The words of a message's content, raw JSON.
fn text_of(content: &str) -> String {
    let words = |raw: &str| json::string_units(raw).map(|text| String::from_utf16_lossy(&text));
    if let Some(text) = words(content) {
        return text;
    }
    let parts = json::elements(content).unwrap_or_default();
    let texts: Vec<String> = parts
        .into_iter()
        // A part without a text, or of another form, has no words.
        .filter_map(|part| words(json::members(part).ok()?.get("text")?))
        .collect();
    texts.join("\n")
}

/// One earlier message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryMessage {
    /// `user` or `assistant`.
    pub role: String,
    /// Raw JSON: a string, or an array of parts.
    pub content: String,
}

/// Why an upstream did not hand out a stream, or did not take a cancel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not reachable, 408, 429, or 5xx: try again later. For a start that is not idempotent the
    /// outcome is unknown when `maybe_started`.
    #[error("upstream unavailable")]
    Unavailable {
        /// From `Retry-After`, when the upstream gave one.
        retry_after_ms: Option<u64>,
        /// The request may have been received and begun.
        maybe_started: bool,
    },
    /// 404 or 410: this execution is gone.
    #[error("the upstream no longer has this execution")]
    Gone,
    /// 409, or another `inputHash`: another input runs under this id.
    #[error("the upstream runs another input under this execution id")]
    Conflict,
    /// Any other 4xx, or a redirect: asking again will not help.
    #[error("the upstream rejected the request with status {status}")]
    Rejected {
        /// The HTTP status.
        status: u16,
    },
}

/// Why a stream of frames came to its end without a terminal frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// The connection broke, or closed cleanly: both prove nothing.
    #[error("the upstream's stream was cut")]
    Broken,
    /// The upstream broke its own protocol: the turn fails with `upstream_protocol`.
    #[error("upstream protocol: {0}")]
    Protocol(String),
}

/// What a stream yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Bytes came in that make no frame yet: comments, half a frame.
    Alive,
    /// One whole frame.
    Frame(Frame),
}

/// One frame of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Stable within the execution; the cursor to attach after.
    pub id: String,
    /// What it says.
    pub body: FrameBody,
}

impl Frame {
    /// More of the answer's text.
    ///
    /// ```
    /// # use steadfast::upstream::{Frame, FrameBody};
    /// let data = r#"{"part":{"id":"p1","type":"text"},"delta":"Hello "}"#;
    /// let body = FrameBody::Event { kind: "message.part.updated".into(), data: Some(data.into()) };
    /// assert_eq!(Frame::text("1", "Hello ").body, body);
    /// ```
    pub fn text(id: impl Into<String>, delta: &str) -> Self {
        let data = content::delta("p1", "text", &json::quote(delta));
        Frame {
            id: id.into(),
            body: FrameBody::Event {
                kind: content::PART_UPDATED.to_owned(),
                data: Some(data),
            },
        }
    }
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameBody {
    /// The execution runs; `input_hash` is the upstream's own view of the input.
    Started {
        /// As the upstream reports it.
        input_hash: Option<String>,
    },
    /// A line for the client. The drain reads it through [`Checked`], which renames `error` to
    /// `upstream.error`, takes the white space out of data, and ends what breaks the protocol's rules.
    Event {
        /// The line's type.
        kind: String,
        /// Raw JSON; `None` when the frame had no `data`.
        data: Option<String>,
    },
    /// The execution succeeded.
    Completed,
    /// The execution failed.
    Failed {
        /// The upstream's own words.
        message: String,
    },
}

/// One kind of upstream, configured for one run.
///
/// A deployment brings its own by an [`App`](crate::session::App). What recovery does follows from
/// [`Upstream::capabilities`] alone, so they must be true: one that calls itself resumable must yield
/// the same frames under the same ids after any cursor that it ever gave, also to another process;
/// one whose start is idempotent must start one execution for an execution id, however often it is
/// asked. Only a terminal frame ends a turn; the end of the stream is a cut. Frames are polled by
/// more than one waker, of which the last must be woken, as the contract of futures has it.
pub trait Upstream {
    /// Frames in the upstream's order. Dropping it closes the connection and nothing else.
    type Frames: Stream<Item = Result<Signal, Cut>> + Unpin + 'static;

    /// What recovery may rely on.
    fn capabilities(&self) -> Capabilities;

    /// Asks for the execution and streams it from its first frame.
    fn start(&self, ask: &Ask) -> impl Future<Output = Result<Self::Frames, Refusal>>;

    /// Streams strictly after `cursor`, or from the first frame when `None`.
    /// Must not be called when `resumable` is false.
    fn attach(
        &self,
        ask: &Ask,
        cursor: Option<&str>,
    ) -> impl Future<Output = Result<Self::Frames, Refusal>>;

    /// Stops the execution; stopping one that is over or unknown succeeds or is `Gone`.
    fn cancel(&self, execution_id: &str) -> impl Future<Output = Result<(), Refusal>>;
}

/// An upstream that its drain shares with whoever tells it of a cancel afterwards.
impl<U: Upstream> Upstream for Rc<U> {
    type Frames = U::Frames;

    fn capabilities(&self) -> Capabilities {
        U::capabilities(self)
    }

    async fn start(&self, ask: &Ask) -> Result<Self::Frames, Refusal> {
        U::start(self, ask).await
    }

    async fn attach(&self, ask: &Ask, cursor: Option<&str>) -> Result<Self::Frames, Refusal> {
        U::attach(self, ask, cursor).await
    }

    async fn cancel(&self, execution_id: &str) -> Result<(), Refusal> {
        U::cancel(self, execution_id).await
    }
}
