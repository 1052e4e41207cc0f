//! One event of a body, however the body is laid out.
//!
//! Owns what a translator sees. How bytes become events is `framing` and `event_stream`.

use crate::caps::FRAME_BYTES;

/// One event of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `id`, only when this very event carried it; only server-sent events have one.
    pub id: Option<String>,
    /// `event`; only server-sent events have one.
    pub event: Option<String>,
    /// The event itself: the `data` lines joined by `\n`, a line, a document.
    pub data: String,
}

/// What makes the rest of a body unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// One event is larger than [`FRAME_BYTES`].
    #[error("an event is larger than {FRAME_BYTES} bytes")]
    TooLarge,
    /// What is kept is not UTF-8.
    #[error("an event is not UTF-8")]
    NotUtf8,
}
