//! Event streams: the incremental decoder against a reader that has the whole text.
//!
//! Owns that reader, which follows the format's own steps (WHATWG HTML, "Interpreting an event
//! stream") with this crate's three differences: an id is an event's own; one with a NUL takes the
//! event's earlier id with it; and what is kept must be UTF-8 and within the cap.

use crate::input::{SINGLE_BYTES, cuttings, filled};
use steadfast::caps::FRAME_BYTES;
use steadfast::upstream::event_stream::Decoder;
use steadfast::upstream::framing::{Event, Malformed};

/// What a stream comes to: its events, and what ended it if not its end.
type Read = (Vec<Event>, Option<Malformed>);

/// However a stream is cut, its events are those of the whole.
pub fn sse(data: &[u8]) {
    let body = filled(data);
    let expected = reference(&body);
    assert_eq!(decoded(vec![body.clone()]), expected, "whole");
    for pieces in cuttings(&body) {
        let shape: Vec<usize> = pieces.iter().take(200).map(Vec::len).collect();
        assert_eq!(decoded(pieces), expected, "cut as {shape:?}");
    }
    // An unfinished event is no event; a finished one is, whatever follows.
    if expected.1.is_none() && body.len() <= SINGLE_BYTES {
        let mut ended = body;
        ended.extend_from_slice(b"\r\r\n\ndata: end\n\n");
        let (events, malformed) = decoded(vec![ended]);
        if malformed.is_none() {
            assert!(events.starts_with(&expected.0));
            assert_eq!(events.last().map(|event| event.data.as_str()), Some("end"));
        }
    }
}

/// All that a decoder makes of these pieces.
pub fn decoded(pieces: Vec<Vec<u8>>) -> Read {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(malformed) => return (events, Some(malformed)),
            }
        }
    }
    (events, None)
}

#[derive(Default)]
struct Fields {
    id: Option<Vec<u8>>,
    event: Option<Vec<u8>>,
    data: Option<Vec<u8>>,
}

fn reference(body: &[u8]) -> Read {
    let mut rest = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let mut events = Vec::new();
    let mut fields = Fields::default();
    loop {
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
        let read = match (end, line) {
            (Some(_), []) => match std::mem::take(&mut fields).dispatch() {
                Ok(event) => {
                    events.extend(event);
                    Ok(())
                }
                Err(malformed) => Err(malformed),
            },
            // The end of the body may stand in a name as well as in a value.
            (None, line) if !line.contains(&b':') => Ok(()),
            (_, line) => fields.take(line),
        };
        if let Err(malformed) = read {
            return (events, Some(malformed));
        }
        rest = match (after.strip_prefix(b"\r\n"), after.split_first()) {
            (Some(after), _) => after,
            (None, Some((_, after))) => after,
            (None, None) => return (events, None),
        };
    }
}

impl Fields {
    fn take(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value).to_vec();
        match (name, &mut self.data) {
            (b"id", _) => self.id = Some(value),
            (b"event", _) => self.event = Some(value),
            (b"data", Some(data)) => {
                data.push(b'\n');
                data.extend_from_slice(&value);
            }
            (b"data", data @ None) => *data = Some(value),
            _ => {}
        }
        let kept = [&self.id, &self.event, &self.data].into_iter().flatten();
        match kept.map(Vec::len).sum::<usize>() > FRAME_BYTES {
            true => Err(Malformed::TooLarge),
            false => Ok(()),
        }
    }

    fn dispatch(self) -> Result<Option<Event>, Malformed> {
        let Some(data) = self.data else {
            return Ok(None);
        };
        let text = |bytes| String::from_utf8(bytes).map_err(|_| Malformed::NotUtf8);
        Ok(Some(Event {
            id: self
                .id
                .map(text)
                .transpose()?
                .filter(|id| !id.contains('\0')),
            event: self.event.map(text).transpose()?,
            data: text(data)?,
        }))
    }
}
