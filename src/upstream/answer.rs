//! From an HTTP answer to a stream of frames, as every adapter over HTTP does it.
//!
//! Owns what a status means, what counts as an event stream, and the order in which a
//! stream's frames, its terminal frame and its cut are handed out. It doesn't own what
//! an event says: each adapter's [`Translate`] does.
//! Invariant: nothing follows a terminal frame or a cut, and a body's end is no terminal frame.

use super::event_stream::{Arrival, Event, Events, Stopped};
use super::{Cut, Frame, FrameBody, Http, HttpRequest, HttpResponse, Refusal, Signal, Unreachable};
use crate::caps::UPSTREAM_MESSAGE_BYTES;
use crate::json;
use futures_util::Stream;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What an adapter makes of its upstream's events. Pure: the same events give the same frames.
pub trait Translate: Unpin + 'static {
    /// Appends the frames that `event` makes.
    ///
    /// # Errors
    /// A cut, which is handed out after the frames appended before it.
    fn event(&mut self, event: Event, frames: &mut Ready) -> Result<(), Cut>;

    /// The body came to its end, cleanly or not. Appends what that end makes final.
    ///
    /// # Errors
    /// The cut, when the events so far made nothing final.
    fn end(&mut self, frames: &mut Ready) -> Result<(), Cut>;
}

/// Frames that wait for their reader: never more than one event makes.
#[derive(Debug, Default)]
pub struct Ready(VecDeque<Result<Frame, Cut>>);

impl Ready {
    /// Appends one frame.
    pub fn push(&mut self, frame: Frame) {
        self.0.push_back(Ok(frame));
    }
}

/// The frames of one connection to an upstream.
#[derive(Debug)]
pub struct Frames<B, T> {
    /// Dropped, and the connection with it, as soon as nothing more is wanted from it.
    events: Option<Events<B>>,
    translate: T,
    ready: Ready,
}

impl<B, T: Translate> Frames<B, T> {
    /// Reads an accepted answer; one that is no event stream is cut at once.
    pub fn of(answer: HttpResponse<B>, translate: T) -> Self {
        let mut frames = Frames {
            events: None,
            translate,
            ready: Ready::default(),
        };
        if answer.content_type.as_deref() == Some("text/event-stream") {
            frames.events = Some(Events::new(answer.body));
        } else {
            let cut = Cut::Protocol("the answer is not text/event-stream".into());
            frames.ready.0.push_back(Err(cut));
        }
        frames
    }

    /// Hands out `frame` first, unless the answer is already known to be unreadable.
    pub fn opened_by(mut self, frame: Frame) -> Self {
        if self.events.is_some() {
            self.ready.push(frame);
        }
        self
    }

    fn take_ready(&mut self) -> Option<Result<Signal, Cut>> {
        let next = self.ready.0.pop_front()?;
        let last = match &next {
            Ok(frame) => match frame.body {
                FrameBody::Completed | FrameBody::Failed { .. } => true,
                FrameBody::Started { .. } | FrameBody::Event { .. } => false,
            },
            Err(_) => true,
        };
        if last {
            self.events = None;
            self.ready.0.clear();
        }
        Some(next.map(Signal::Frame))
    }

    fn keep(&mut self, translated: Result<(), Cut>) {
        if let Err(cut) = translated {
            self.ready.0.push_back(Err(cut));
        }
    }
}

impl<B, T> Stream for Frames<B, T>
where
    B: Stream<Item = Result<Vec<u8>, Unreachable>> + Unpin,
    T: Translate,
{
    type Item = Result<Signal, Cut>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(item) = this.take_ready() {
            return Poll::Ready(Some(item));
        }
        let Some(events) = this.events.as_mut() else {
            return Poll::Ready(None);
        };
        let translated = match std::task::ready!(Pin::new(events).poll_next(cx)) {
            Some(Ok(Arrival::Alive)) => return Poll::Ready(Some(Ok(Signal::Alive))),
            Some(Ok(Arrival::Event(event))) => this.translate.event(event, &mut this.ready),
            Some(Err(Stopped::Malformed(malformed))) => Err(Cut::Protocol(malformed.to_string())),
            // How a body ends proves nothing: some platforms report a broken one as clean.
            Some(Err(Stopped::Unreachable(_))) | None => {
                this.events = None;
                this.translate.end(&mut this.ready)
            }
        };
        this.keep(translated);
        let item = this.take_ready();
        // An event that makes no frame is a sign of life; an end that makes none is the end.
        let alive = this.events.is_some().then_some(Ok(Signal::Alive));
        Poll::Ready(item.or(alive))
    }
}

/// Sends `request` and returns the answer if its status accepts.
///
/// # Errors
/// What `refusal` makes of any other status, usually [`refusal`] itself; and a connection
/// that broke, of which nobody can tell whether the request had arrived.
pub(super) async fn accepted<H: Http>(
    http: &H,
    request: HttpRequest,
    refusal: impl FnOnce(u16, Option<u64>) -> Refusal,
) -> Result<HttpResponse<H::Body>, Refusal> {
    let answer = match http.send(request).await {
        Ok(answer) => answer,
        Err(Unreachable) => {
            return Err(Refusal::Unavailable {
                retry_after_ms: None,
                maybe_started: true,
            });
        }
    };
    match answer.status {
        200..=299 => Ok(answer),
        status => Err(refusal(status, answer.retry_after_ms)),
    }
}

/// What a status that doesn't accept means to an upstream that knows executions;
/// `retry_after_ms` is the answer's.
pub(super) fn refusal(status: u16, retry_after_ms: Option<u64>) -> Refusal {
    match status {
        404 | 410 => Refusal::Gone,
        409 => Refusal::Conflict,
        // Both are answered instead of beginning, never after it.
        425 | 429 => Refusal::Unavailable {
            retry_after_ms,
            maybe_started: false,
        },
        // A gateway gives up on what the server behind it may still be doing.
        408 | 500..=599 => Refusal::Unavailable {
            retry_after_ms,
            maybe_started: true,
        },
        _ => Refusal::Rejected { status },
    }
}

/// The headers of every request: a JSON body, and the key if there is one.
pub(super) fn headers(key: Option<&str>) -> Vec<(String, String)> {
    let mut headers = vec![("content-type".into(), "application/json".into())];
    if let Some(key) = key {
        headers.push(("authorization".into(), format!("Bearer {key}")));
    }
    headers
}

/// An upstream's own words about its failure, out of raw JSON: a string, or an object
/// with a `message`; anything else is quoted as it stands. Never the key, which careless
/// servers repeat, and never more than [`UPSTREAM_MESSAGE_BYTES`].
pub(super) fn failure_message(raw: &str, key: Option<&str>) -> String {
    let literal = match json::members(raw) {
        Ok(members) => members.get("message").copied(),
        Err(_) => Some(raw),
    };
    let mut message = literal
        .and_then(json::string_units)
        .map_or_else(|| raw.to_owned(), |units| String::from_utf16_lossy(&units));
    if let Some(key) = key.filter(|key| !key.is_empty()) {
        message = message.replace(key, "***");
    }
    message.truncate(message.floor_char_boundary(UPSTREAM_MESSAGE_BYTES));
    message
}

#[cfg(test)]
mod tests;
