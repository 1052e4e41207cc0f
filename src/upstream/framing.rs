//! A body's bytes to events, whichever way the body is laid out.
//!
//! Owns the layouts that there are ([`BodyFraming`]), how each cuts a body into events, and how the
//! body's end is taken. `text/event-stream` itself is `event_stream`. It doesn't own what an event
//! means. Invariant: the same bytes give the same events however they are cut into chunks, and
//! beside the chunk in hand nothing is kept but one unfinished event of at most [`FRAME_BYTES`].

pub use super::event::{Event, Malformed};
use super::event_stream;
use super::http::Unreachable;
use crate::caps::FRAME_BYTES;
use futures::Stream;
use serde::de::IgnoredAny;
use std::pin::Pin;
use std::task::{Context, Poll};

/// How a body is laid out as events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// Server-sent events.
    EventStream,
    /// A JSON text a line. Lines of white space alone are life and no events.
    ///
    /// A last line that nothing ends is an event if the body ends cleanly and the line can't be the
    /// beginning of a longer JSON text; otherwise it is dropped, for then it was cut.
    Ndjson,
    /// One JSON document: one event, when the body ends cleanly and the document is not the beginning
    /// of a longer one.
    Json,
    /// Text, as a whole: one event, when the body ends cleanly. It has no mark of its own end, so a
    /// body that a platform reports as clean when it was cut is taken for whole.
    Text,
}

impl BodyFraming {
    const ALL: [Self; 4] = [Self::EventStream, Self::Ndjson, Self::Json, Self::Text];

    /// The media type that this layout goes by.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::EventStream => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
            Self::Json => "application/json",
            Self::Text => "text/plain",
        }
    }

    /// The layout that a media type without parameters, in lower case, names.
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            _ => Self::ALL
                .into_iter()
                .find(|framing| framing.media_type() == media_type),
        }
    }
}

impl Event {
    const fn of(data: String) -> Self {
        Event {
            id: None,
            event: None,
            data,
        }
    }
}

/// Decodes chunks that may be cut anywhere, also within a character or a line end.
///
/// ```
/// use steadfast::upstream::framing::{BodyFraming, Decoder};
/// let mut decoder = Decoder::new(BodyFraming::Ndjson);
/// decoder.feed(b"{\"a\":1}\n{\"b\"".to_vec());
/// assert_eq!(decoder.next_event().unwrap().unwrap().data, "{\"a\":1}");
/// assert_eq!(decoder.next_event(), Ok(None));
/// decoder.feed(b":2}".to_vec());
/// assert_eq!(decoder.next_event(), Ok(None));
/// assert_eq!(decoder.end().unwrap().unwrap().data, "{\"b\":2}");
/// ```
#[derive(Debug)]
pub struct Decoder(Layout);

#[derive(Debug)]
enum Layout {
    EventStream(event_stream::Decoder),
    Lines(Lines),
    Json(Unfinished),
    Text(Unfinished),
}

impl Decoder {
    /// A decoder before the first byte of a body.
    pub fn new(framing: BodyFraming) -> Self {
        Decoder(match framing {
            BodyFraming::EventStream => Layout::EventStream(event_stream::Decoder::default()),
            BodyFraming::Ndjson => Layout::Lines(Lines::default()),
            BodyFraming::Json => Layout::Json(Unfinished::default()),
            BodyFraming::Text => Layout::Text(Unfinished::default()),
        })
    }

    /// Takes the next bytes. The events of the bytes before must have been taken out:
    /// what [`Decoder::next_event`] has not read yet is dropped.
    pub fn feed(&mut self, chunk: Vec<u8>) {
        match &mut self.0 {
            Layout::EventStream(decoder) => decoder.feed(chunk),
            Layout::Lines(lines) => lines.feed(chunk),
            Layout::Json(whole) | Layout::Text(whole) => whole.feed(chunk),
        }
    }

    /// The next whole event of the bytes fed so far; `None` asks for more bytes.
    ///
    /// # Errors
    /// After [`Malformed`] the body has no meaning any more and must be given up.
    pub fn next_event(&mut self) -> Result<Option<Event>, Malformed> {
        match &mut self.0 {
            Layout::EventStream(decoder) => decoder.next_event(),
            Layout::Lines(lines) => lines.next_event(),
            Layout::Json(whole) | Layout::Text(whole) => whole.check().map(|()| None),
        }
    }

    /// The body came to a clean end behind the bytes fed so far, all of whose events were taken out:
    /// the event that this end finishes.
    ///
    /// # Errors
    /// As [`Decoder::next_event`].
    pub fn end(self) -> Result<Option<Event>, Malformed> {
        match self.0 {
            // The format drops what no empty line has ended.
            Layout::EventStream(_) => Ok(None),
            Layout::Lines(lines) => lines.unfinished.end_of_json(),
            Layout::Json(whole) => whole.end_of_json(),
            Layout::Text(whole) => whole.end(),
        }
    }
}

/// The lines of a body.
#[derive(Debug, Default)]
struct Lines {
    chunk: Vec<u8>,
    /// Where the unread part of `chunk` begins.
    at: usize,
    unfinished: Unfinished,
}

impl Lines {
    fn feed(&mut self, chunk: Vec<u8>) {
        self.chunk = chunk;
        self.at = 0;
    }

    fn next_event(&mut self) -> Result<Option<Event>, Malformed> {
        loop {
            let rest = self.chunk.get(self.at..).unwrap_or_default();
            let Some(len) = rest.iter().position(|byte| *byte == b'\n') else {
                self.unfinished.bytes.extend_from_slice(rest);
                self.at = self.chunk.len();
                self.unfinished.check()?;
                return Ok(None);
            };
            let line = rest.get(..len).unwrap_or_default();
            self.unfinished.bytes.extend_from_slice(line);
            self.at += len + 1;
            self.unfinished.check()?;
            let line = self.unfinished.take()?.ok_or(Malformed::NotUtf8)?;
            if !line.trim_ascii().is_empty() {
                return Ok(Some(Event::of(line)));
            }
        }
    }
}

/// The bytes of the event that nothing has ended yet.
#[derive(Debug, Default)]
struct Unfinished {
    bytes: Vec<u8>,
    /// The body's first event is behind, and with it the only place of a byte order mark.
    is_later: bool,
}

impl Unfinished {
    fn feed(&mut self, chunk: Vec<u8>) {
        // A body of one chunk is not copied.
        if self.bytes.is_empty() {
            self.bytes = chunk;
        } else {
            self.bytes.extend_from_slice(&chunk);
        }
    }

    fn check(&self) -> Result<(), Malformed> {
        match self.bytes.len() > FRAME_BYTES {
            true => Err(Malformed::TooLarge),
            false => Ok(()),
        }
    }

    /// The text so far; `None` when its last character is not all there.
    fn take(&mut self) -> Result<Option<String>, Malformed> {
        let is_first = !std::mem::replace(&mut self.is_later, true);
        match String::from_utf8(std::mem::take(&mut self.bytes)) {
            Ok(text) if is_first && text.starts_with('\u{feff}') => {
                Ok(text.strip_prefix('\u{feff}').map(str::to_owned))
            }
            Ok(text) => Ok(Some(text)),
            Err(bad) if bad.utf8_error().error_len().is_none() => Ok(None),
            Err(_) => Err(Malformed::NotUtf8),
        }
    }

    /// What a clean end makes of the rest: an event, unless nothing came or half a character is missing.
    fn end(mut self) -> Result<Option<Event>, Malformed> {
        self.check()?;
        let text = self.take()?;
        Ok(text.filter(|text| !text.is_empty()).map(Event::of))
    }

    /// As [`Unfinished::end`], of JSON: what may go on was cut, for how a body ends proves nothing.
    fn end_of_json(self) -> Result<Option<Event>, Malformed> {
        let event = self.end()?;
        Ok(event.filter(|event| !may_go_on(&event.data)))
    }
}

/// Whether more bytes could make another JSON text of this one, or make one of it at all.
fn may_go_on(text: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<IgnoredAny>(text);
    match read(text) {
        // Of all texts only a number can have more behind it.
        Ok(_) => text.ends_with(|last: char| last.is_ascii_digit()),
        Err(error) if error.is_eof() => true,
        // Half a number, such as `1e`, is no end to the parser.
        Err(_) => read(&format!("{text}0")).map_or_else(|error| error.is_eof(), |_| true),
    }
}

/// What arrived on a body: whole events, or bytes that end none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A chunk without the end of an event.
    Alive,
    /// One event.
    Event(Event),
}

/// Why the arrivals of a body stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The connection broke.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The bytes are not of this layout.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A body read as events. What a broken connection leaves unfinished is dropped.
#[derive(Debug)]
pub struct Events<B> {
    /// Dropped with the first stop, so that nothing follows one.
    open: Option<Open<B>>,
}

#[derive(Debug)]
struct Open<B> {
    body: B,
    decoder: Decoder,
    /// The chunk in hand has yielded an event, which says all that `Alive` would.
    heard: bool,
}

impl<B> Events<B> {
    /// Reads `body` from its first byte.
    pub fn new(body: B, framing: BodyFraming) -> Self {
        Events {
            open: Some(Open {
                body,
                decoder: Decoder::new(framing),
                heard: true,
            }),
        }
    }

    fn stop(&mut self, why: impl Into<Stopped>) -> Poll<Option<Result<Arrival, Stopped>>> {
        self.open = None;
        Poll::Ready(Some(Err(why.into())))
    }
}

impl<B: Stream<Item = Result<Vec<u8>, Unreachable>> + Unpin> Stream for Events<B> {
    type Item = Result<Arrival, Stopped>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while let Some(open) = self.open.as_mut() {
            match open.decoder.next_event() {
                Ok(Some(event)) => {
                    open.heard = true;
                    return Poll::Ready(Some(Ok(Arrival::Event(event))));
                }
                Ok(None) if !std::mem::replace(&mut open.heard, true) => {
                    return Poll::Ready(Some(Ok(Arrival::Alive)));
                }
                Ok(None) => {}
                Err(malformed) => return self.stop(malformed),
            }
            match std::task::ready!(Pin::new(&mut open.body).poll_next(cx)) {
                Some(Ok(chunk)) => {
                    // An empty chunk is no byte, so it is no life either.
                    open.heard = chunk.is_empty();
                    open.decoder.feed(chunk);
                }
                Some(Err(broken)) => return self.stop(broken),
                None => {
                    let last = self.open.take().map(|open| open.decoder.end());
                    let event = last.and_then(Result::transpose);
                    return Poll::Ready(event.map(|event| Ok(Arrival::Event(event?))));
                }
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests;
