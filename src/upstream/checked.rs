//! The frames of an upstream, whoever made it, held to the protocol.
//!
//! Owns what a frame must be before it may become a line, and what becomes of it then: an `error` is
//! renamed, data loses its white space. The drain reads every upstream through this, so that no
//! adapter and no code of a deployment's can pass it by. Invariant: nothing follows a terminal frame
//! or a cut.

use super::{Cut, Frame, FrameBody, Signal};
use crate::caps::{FRAME_BYTES, FRAME_ID_BYTES, UPSTREAM_MESSAGE_BYTES};
use crate::json;
use crate::wire::line::check_upstream_kind;
use futures::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Frames of which each is checked; a bad one ends the stream as a breach of the protocol.
pub struct Checked<F> {
    /// Dropped, and whatever it holds with it, as soon as nothing more is wanted from it.
    frames: Option<F>,
}

impl<F> Checked<F> {
    /// Checks these frames.
    pub const fn new(frames: F) -> Self {
        Checked {
            frames: Some(frames),
        }
    }
}

impl<F: Stream<Item = Result<Signal, Cut>> + Unpin> Stream for Checked<F> {
    type Item = Result<Signal, Cut>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(frames) = self.frames.as_mut() else {
            return Poll::Ready(None);
        };
        let item = std::task::ready!(Pin::new(frames).poll_next(cx));
        let item = item.map(|item| match item? {
            Signal::Alive => Ok(Signal::Alive),
            Signal::Frame(frame) => check(frame).map(Signal::Frame),
        });
        if is_last(item.as_ref()) {
            self.frames = None;
        }
        Poll::Ready(item)
    }
}

fn is_last(item: Option<&Result<Signal, Cut>>) -> bool {
    match item {
        None | Some(Err(_)) => true,
        Some(Ok(Signal::Alive)) => false,
        Some(Ok(Signal::Frame(frame))) => match frame.body {
            FrameBody::Completed | FrameBody::Failed { .. } => true,
            FrameBody::Started { .. } | FrameBody::Event { .. } => false,
        },
    }
}

fn check(frame: Frame) -> Result<Frame, Cut> {
    let id = check_id(frame.id)?;
    let body = match frame.body {
        FrameBody::Event { kind, data } => {
            let kind =
                check_upstream_kind(&kind).map_err(|refused| protocol(&refused.to_string()))?;
            let kind = kind.into_owned();
            let data = data.map(check_data).transpose()?;
            FrameBody::Event { kind, data }
        }
        FrameBody::Failed { mut message } => {
            message.truncate(message.floor_char_boundary(UPSTREAM_MESSAGE_BYTES));
            FrameBody::Failed { message }
        }
        body @ (FrameBody::Started { .. } | FrameBody::Completed) => body,
    };
    Ok(Frame { id, body })
}

/// The id of a frame: the cursor after which an upstream is attached again, which for some of them
/// goes into a header and must arrive there as it was.
fn check_id(id: String) -> Result<String, Cut> {
    if id.is_empty() {
        return Err(protocol("a frame has no id"));
    }
    if id.len() > FRAME_ID_BYTES || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(protocol(&format!(
            "a frame's id must be visible ASCII of at most {FRAME_ID_BYTES} bytes"
        )));
    }
    Ok(id)
}

/// A frame's data as a line has it.
fn check_data(data: String) -> Result<String, Cut> {
    let data = json::compacted(data).ok_or_else(|| protocol("a frame's data is not JSON"))?;
    if data.len() > FRAME_BYTES {
        return Err(protocol(&format!(
            "a frame is larger than {FRAME_BYTES} bytes"
        )));
    }
    Ok(data)
}

fn protocol(what: &str) -> Cut {
    Cut::Protocol(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::scripted::all;
    use super::*;
    use futures::stream;

    fn event(id: &str, kind: &str, data: Option<&str>) -> Frame {
        Frame {
            id: id.to_owned(),
            body: FrameBody::Event {
                kind: kind.to_owned(),
                data: data.map(str::to_owned),
            },
        }
    }

    fn checked(items: Vec<Result<Signal, Cut>>) -> Vec<Result<Signal, Cut>> {
        all(Checked::new(stream::iter(items)))
    }

    #[test]
    fn a_frame_becomes_a_line_as_the_protocol_has_it() {
        for (sent, expected) in [
            (
                event("1", "note", Some("{ \"a\" : [1.0,\n2] }")),
                event("1", "note", Some(r#"{"a":[1.0,2]}"#)),
            ),
            (
                event("1", "error", None),
                event("1", "upstream.error", None),
            ),
        ] {
            let frames = checked(vec![Ok(Signal::Frame(sent))]);
            assert_eq!(frames, [Ok(Signal::Frame(expected))]);
        }
    }

    #[test]
    fn what_the_protocol_refuses_ends_the_stream() {
        let long_id = "i".repeat(513);
        let large = format!("\"{}\"", "x".repeat(1_048_575));
        let largest = format!("\"{}\"", "x".repeat(1_048_574));
        let fits = event(&"i".repeat(512), "note", Some(&largest));
        let frames = checked(vec![Ok(Signal::Frame(fits.clone()))]);
        assert_eq!(frames, [Ok(Signal::Frame(fits))]);
        for bad in [
            event("", "note", None),
            event("a b", "note", None),
            event("a\n", "note", None),
            event(&long_id, "note", None),
            event("1", "Note", None),
            event("1", "session.run.completed", None),
            event("1", "heartbeat", None),
            event("1", "note", Some("")),
            event("1", "note", Some("{}\n{}")),
            event("1", "note", Some(&large)),
        ] {
            let good = event("0", "note", None);
            let frames = checked(
                [&good, &bad, &good]
                    .map(|frame| Ok(Signal::Frame(frame.clone())))
                    .into(),
            );
            assert_eq!(frames.len(), 2, "{bad:?}");
            assert_eq!(frames[0], Ok(Signal::Frame(good)));
            assert!(matches!(frames[1], Err(Cut::Protocol(_))), "{bad:?}");
        }
    }

    #[test]
    fn nothing_follows_an_ending_and_its_words_are_bounded() {
        let failed = |message: String| Frame {
            id: "9".into(),
            body: FrameBody::Failed { message },
        };
        let completed = Frame {
            id: "9".into(),
            body: FrameBody::Completed,
        };
        let long = "é".repeat(2_048);
        let bounded = "é".repeat(1_024);
        let more = event("10", "note", None);
        for (last, expected) in [
            (completed.clone(), completed),
            (failed(long), failed(bounded)),
        ] {
            let frames = checked(vec![
                Ok(Signal::Alive),
                Ok(Signal::Frame(last)),
                Ok(Signal::Frame(more.clone())),
            ]);
            assert_eq!(frames, [Ok(Signal::Alive), Ok(Signal::Frame(expected))]);
        }
    }
}
