//! What a status means, and the order in which frames, endings and cuts are handed out.

use super::super::scripted::{Answer, Chunk, Scripted, all, head};
use super::*;
use futures_util::stream;

#[test]
fn each_status_has_one_meaning() {
    let unavailable = |maybe_started| Refusal::Unavailable {
        retry_after_ms: Some(7_000),
        maybe_started,
    };
    let cases = [
        (404, Refusal::Gone),
        (410, Refusal::Gone),
        (409, Refusal::Conflict),
        (425, unavailable(false)),
        (429, unavailable(false)),
        (408, unavailable(true)),
        (500, unavailable(true)),
        (503, unavailable(true)),
        (599, unavailable(true)),
        (302, Refusal::Rejected { status: 302 }),
        (400, Refusal::Rejected { status: 400 }),
        (401, Refusal::Rejected { status: 401 }),
        (422, Refusal::Rejected { status: 422 }),
    ];
    for (status, expected) in cases {
        let mut answer = head(status);
        answer.retry_after_ms = Some(7_000);
        assert_eq!(send(Ok(answer)), Err(expected), "{status}");
    }
    assert_eq!(send(Ok(head(200))), Ok(200));
    assert_eq!(send(Ok(head(202))), Ok(202));
}

#[test]
fn after_a_broken_connection_nobody_knows_whether_it_began() {
    let expected = Refusal::Unavailable {
        retry_after_ms: None,
        maybe_started: true,
    };
    assert_eq!(send(Err(Unreachable)), Err(expected));
}

fn send(answer: Answer) -> Result<u16, Refusal> {
    let request = HttpRequest {
        url: "https://u.test/".into(),
        headers: headers(None),
        body: String::new(),
    };
    let http = Scripted::answer(answer);
    futures_executor::block_on(accepted(&http, request, refusal)).map(|answer| answer.status)
}

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
    let chunks: Vec<Chunk> = chunks
        .into_iter()
        .map(|chunk| chunk.map(|text| text.as_bytes().to_vec()))
        .collect();
    let answer = HttpResponse {
        status: 200,
        retry_after_ms: None,
        content_type: content_type.map(String::from),
        body: stream::iter(chunks),
    };
    let opening = letter("open", FrameBody::Started { input_hash: None });
    let items = all(Frames::of(answer, Letters).opened_by(opening));
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
fn an_answer_that_is_no_event_stream_is_a_breach_of_protocol() {
    let expected = &["upstream protocol: the answer is not text/event-stream"];
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
fn a_failure_speaks_its_own_words_within_bounds_and_without_the_key() {
    let cases = [
        (r#""plain""#, "plain"),
        (
            r#"{"code":1,"message":"a \"b\" \ud83d\ude00"}"#,
            "a \"b\" 😀",
        ),
        (r#"{"message":"lone \ud83d"}"#, "lone \u{fffd}"),
        (r#"{"code":503}"#, r#"{"code":503}"#),
        (r#"{"message":null}"#, r#"{"message":null}"#),
        (r#"[1]"#, "[1]"),
        (
            r#"{"message":"key k-1 is bad, k-1!"}"#,
            "key *** is bad, ***!",
        ),
        (r#"{"key":"k-1"}"#, r#"{"key":"***"}"#),
    ];
    for (raw, expected) in cases {
        assert_eq!(failure_message(raw, Some("k-1")), expected);
    }
    assert_eq!(failure_message(r#""k-1""#, None), "k-1");
    assert_eq!(failure_message(r#""k-1""#, Some("")), "k-1");
    let long = format!("\"a{}\"", "é".repeat(UPSTREAM_MESSAGE_BYTES));
    let message = failure_message(&long, None);
    assert_eq!(message.len(), UPSTREAM_MESSAGE_BYTES - 1);
}
