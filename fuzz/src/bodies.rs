//! Bodies that are no event streams: lines of JSON, one document, one text.
//!
//! Owns a reader that has the whole body. An input's first byte chooses the layout: `n`, `j`, `t`, and
//! any other an event stream, whose own rules are the target `sse`'s.

use crate::events;
use crate::input::{cuttings, filled};
use futures::{FutureExt, StreamExt, stream};
use serde_json::value::RawValue;
use steadfast::caps::FRAME_BYTES;
use steadfast::upstream::Unreachable;
use steadfast::upstream::framing::{Arrival, BodyFraming, Events, Malformed, Stopped};

/// What a body comes to: its events' data, and what ended it if not its clean end.
type Read = (Vec<String>, Option<Stopped>);

/// However a body is cut, its events are those of the whole; a broken one finishes none.
pub fn bodies(data: &[u8]) {
    let Some((layout, body)) = data.split_first() else {
        return;
    };
    let framing = match layout {
        b'n' => BodyFraming::Ndjson,
        b'j' => BodyFraming::Json,
        b't' => BodyFraming::Text,
        _ => BodyFraming::EventStream,
    };
    let body = filled(body);
    let finished = finished(framing, &body);
    let whole = match finished.1 {
        None => with_its_end(framing, &body, finished.0.clone()),
        Some(_) => finished.clone(),
    };
    for pieces in [vec![vec![body.clone()]], cuttings(&body)].concat() {
        let shape: Vec<usize> = pieces.iter().take(200).map(Vec::len).collect();
        assert_eq!(
            read(framing, pieces.clone(), true),
            whole,
            "cut as {shape:?}"
        );
        let mut broken = finished.clone();
        broken.1.get_or_insert(Stopped::Unreachable(Unreachable));
        assert_eq!(read(framing, pieces, false), broken, "cut as {shape:?}");
    }
}

/// What the stream of a body gives.
fn read(framing: BodyFraming, pieces: Vec<Vec<u8>>, ends_cleanly: bool) -> Read {
    let mut chunks: Vec<Result<Vec<u8>, Unreachable>> = pieces.into_iter().map(Ok).collect();
    if !ends_cleanly {
        chunks.push(Err(Unreachable));
    }
    let arrivals = Events::new(stream::iter(chunks), framing).collect::<Vec<_>>();
    let arrivals = arrivals.now_or_never().expect("it waits for nothing");
    let mut events = Vec::new();
    for arrival in arrivals {
        match arrival {
            Ok(Arrival::Alive) => {}
            Ok(Arrival::Event(event)) => events.push(event.data),
            Err(stopped) => return (events, Some(stopped)),
        }
    }
    (events, None)
}

/// The events that stand finished in the bytes, whatever follows.
fn finished(framing: BodyFraming, body: &[u8]) -> Read {
    match framing {
        BodyFraming::EventStream => {
            let (events, malformed) = events::decoded(vec![body.to_vec()]);
            let events = events.into_iter().map(|event| event.data);
            (events.collect(), malformed.map(Stopped::Malformed))
        }
        BodyFraming::Ndjson => lines(body),
        BodyFraming::Json | BodyFraming::Text => (Vec::new(), too_large(body)),
    }
}

fn too_large(bytes: &[u8]) -> Option<Stopped> {
    (bytes.len() > FRAME_BYTES).then_some(Stopped::Malformed(Malformed::TooLarge))
}

fn lines(body: &[u8]) -> Read {
    let mut events = Vec::new();
    let mut lines = body.split(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        let stopped = too_large(line);
        if stopped.is_some() || lines.peek().is_none() {
            return (events, stopped);
        }
        match String::from_utf8(line.to_vec()) {
            Ok(line) if blank(unmarked(at, &line)) => {}
            Ok(line) => events.push(unmarked(at, &line).to_owned()),
            Err(_) => return (events, Some(Stopped::Malformed(Malformed::NotUtf8))),
        }
    }
    (events, None)
}

fn blank(line: &str) -> bool {
    line.bytes().all(|byte| byte.is_ascii_whitespace())
}

/// Without the mark that may stand at the body's beginning.
fn unmarked(line: usize, text: &str) -> &str {
    match text.strip_prefix('\u{feff}') {
        Some(rest) if line == 0 => rest,
        _ => text,
    }
}

/// The finished events, and the one that a clean end finishes.
fn with_its_end(framing: BodyFraming, body: &[u8], mut events: Vec<String>) -> Read {
    let (line, rest) = match framing {
        BodyFraming::EventStream => return (events, None),
        BodyFraming::Ndjson => {
            let line = body.iter().filter(|byte| **byte == b'\n').count();
            let rest = body.rsplit(|byte| *byte == b'\n').next();
            (line, rest.unwrap_or_default())
        }
        BodyFraming::Json | BodyFraming::Text => (0, body),
    };
    let text = match std::str::from_utf8(rest) {
        Ok(text) => unmarked(line, text),
        Err(bad) if bad.error_len().is_none() => return (events, None),
        Err(_) => return (events, Some(Stopped::Malformed(Malformed::NotUtf8))),
    };
    let is_whole = match framing {
        BodyFraming::Text => !text.is_empty(),
        _ => is_whole_json(text),
    };
    events.extend(is_whole.then(|| text.to_owned()));
    (events, None)
}

/// Whether no more bytes could make JSON of it: it is JSON and no number, or can't be any more.
fn is_whole_json(text: &str) -> bool {
    let is_json = |text: &str| serde_json::from_str::<&RawValue>(text).is_ok();
    let is_cut =
        |text: &str| serde_json::from_str::<&RawValue>(text).is_err_and(|error| error.is_eof());
    let more = format!("{text}0");
    match is_json(text) {
        true => !text.ends_with(|last: char| last.is_ascii_digit()),
        false => !is_cut(text) && !is_cut(&more) && !is_json(&more),
    }
}
