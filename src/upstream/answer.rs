//! From an HTTP answer to a stream of frames, as every adapter over HTTP does it.
//!
//! Owns which answers an adapter reads, and the order in which a body's frames, its terminal frame
//! and its cut are handed out. It doesn't own how a body is laid out, which is `framing`, nor what
//! an event says: each adapter's [`Translate`] does.
//! Invariant: nothing follows a cut, and a body's end is no terminal frame.

use super::framing::{Arrival, BodyFraming, Event, Events, Stopped};
use super::http::{HttpResponse, Unreachable};
use super::{Cut, Frame, Signal};
use futures::Stream;
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

    /// The body came to its end, cleanly or not, and the event that a clean end finishes was given
    /// before. Appends what that end makes final.
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
    /// Dropped, and the connection with it, at a cut.
    events: Option<Events<B>>,
    translate: T,
    ready: Ready,
}

impl<B, T: Translate> Frames<B, T> {
    /// Reads an accepted answer whose content type names one of `framings`; any other is cut at once.
    pub fn of(answer: HttpResponse<B>, framings: &[BodyFraming], translate: T) -> Self {
        let framing = answer.media_type().as_deref().and_then(BodyFraming::of);
        if let Some(framing) = framing.filter(|framing| framings.contains(framing)) {
            return Self::framed(answer, framing, translate);
        }
        let expected: Vec<&str> = framings.iter().map(|known| known.media_type()).collect();
        let why = format!("the answer is not {}", expected.join(" or "));
        Frames {
            events: None,
            translate,
            ready: Ready(VecDeque::from([Err(Cut::Protocol(why))])),
        }
    }

    /// Reads an accepted answer as `framing`, whatever its content type says.
    pub fn framed(answer: HttpResponse<B>, framing: BodyFraming, translate: T) -> Self {
        Frames {
            events: Some(Events::new(answer.body, framing)),
            translate,
            ready: Ready::default(),
        }
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
        if next.is_err() {
            self.events = None;
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

#[cfg(test)]
mod tests;
