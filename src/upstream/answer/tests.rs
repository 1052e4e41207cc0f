//! Which answers are read, and the order in which frames, endings and cuts are handed out.

use super::super::scripted::{Chunk, all, head, typed};
use super::super::{Checked, FrameBody};
use super::*;
use futures::stream;

/// Data `end` completes and goes on all the same, `bad` is a cut, `none` makes no frame, and each letter of others makes one.
struct Letters;

impl Translate for Letters {
    fn event(&mut self, event: Event, frames: &mut Ready) -> Result<(), Cut> {
        match event.data.as_str() {
            "bad" => return Err(Cut::Protocol("bad".into())),
            "end" => {
                frames.push(letter("end", FrameBody::Completed));
                frames.push(letter("late", FrameBody::Completed));
            }
            "none" => {}
            letters => {
                for id in letters.split_inclusive(char::is_alphanumeric) {
                    frames.push(letter(id, FrameBody::Started { input_hash: None }));
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, _frames: &mut Ready) -> Result<(), Cut> {
        Err(Cut::Broken)
    }
}

fn letter(id: &str, body: FrameBody) -> Frame {
    Frame {
        id: id.into(),
        body,
    }
}

fn check(content_type: Option<&str>, chunks: Vec<Result<&str, Unreachable>>, expected: &[&str]) {
    let framings = [BodyFraming::EventStream, BodyFraming::Text];
    let answer = answer(content_type, chunks);
    check_frames(Frames::of(answer, &framings, Letters), expected);
}

type Body = stream::Iter<std::vec::IntoIter<Chunk>>;

fn answer(
    content_type: Option<&str>,
    chunks: Vec<Result<&str, Unreachable>>,
) -> HttpResponse<Body> {
    let chunks: Vec<Chunk> = chunks
        .into_iter()
        .map(|chunk| chunk.map(|text| text.as_bytes().to_vec()))
        .collect();
    let head = content_type.map_or_else(|| head(200), typed);
    HttpResponse {
        status: head.status,
        headers: head.headers,
        body: stream::iter(chunks),
    }
}

/// As the drain reads them.
fn check_frames(frames: Frames<Body, Letters>, expected: &[&str]) {
    let opening = letter("open", FrameBody::Started { input_hash: None });
    let items = all(Checked::new(frames.opened_by(opening)));
    let seen: Vec<String> = items
        .into_iter()
        .map(|item| match item {
            Ok(Signal::Alive) => "alive".into(),
            Ok(Signal::Frame(frame)) => frame.id,
            Err(cut) => cut.to_string(),
        })
        .collect();
    assert_eq!(seen, expected);
}

const SSE: Option<&str> = Some("text/event-stream");
const BROKEN: &str = "the upstream's stream was cut";

#[test]
fn frames_come_in_order_and_each_chunk_is_heard() {
    check(
        SSE,
        vec![
            Ok(": hb\n"),
            Ok("data: a"),
            Ok("bc\n\ndata: none\n\ndata: d\n\n"),
            Ok("data: end\n\n"),
        ],
        &["open", "alive", "alive", "a", "b", "c", "alive", "d", "end"],
    );
}

#[test]
fn nothing_follows_the_terminal_frame() {
    check(
        SSE,
        vec![Ok("data: end\n\ndata: a\n\n"), Err(Unreachable)],
        &["open", "end"],
    );
}

#[test]
fn an_end_without_terminal_frame_is_a_cut() {
    check(
        SSE,
        vec![Ok("data: a\n\ndata: end\n")],
        &["open", "a", BROKEN],
    );
    check(
        SSE,
        vec![Err(Unreachable), Ok("data: end\n\n")],
        &["open", BROKEN],
    );
}

#[test]
fn nothing_follows_a_breach_of_protocol() {
    check(
        SSE,
        vec![Ok("data: ab\n\ndata: bad\n\ndata: end\n\n")],
        &["open", "a", "b", "upstream protocol: bad"],
    );
}

#[test]
fn an_answer_of_another_type_is_a_breach_of_protocol() {
    let expected = &["upstream protocol: the answer is not text/event-stream or text/plain"];
    check(
        Some("application/json"),
        vec![Ok("data: end\n\n")],
        expected,
    );
    check(None, vec![Ok("data: end\n\n")], expected);
}

#[test]
fn bytes_that_are_no_events_are_a_breach_of_protocol() {
    let large = "x".repeat(crate::caps::FRAME_BYTES + 1);
    check(
        SSE,
        vec![Ok("data: "), Ok(&large)],
        &[
            "open",
            "alive",
            "upstream protocol: an event is larger than 1048576 bytes",
        ],
    );
}

#[test]
fn the_answers_type_says_how_its_body_is_laid_out() {
    check(
        Some("Text/Plain; charset=utf-8"),
        vec![Ok("a"), Ok("b")],
        &["open", "alive", "alive", "a", "b", BROKEN],
    );
}

#[test]
fn an_adapter_may_know_better_than_the_answers_type() {
    let frames = |chunks| {
        let answer = answer(Some("application/json"), chunks);
        Frames::framed(answer, BodyFraming::Ndjson, Letters)
    };
    check_frames(
        frames(vec![Ok("a\nb"), Ok("\nc\nend")]),
        &["open", "a", "b", "c", "end"],
    );
    check_frames(
        frames(vec![Ok("a\nen"), Err(Unreachable)]),
        &["open", "a", BROKEN],
    );
}
