//! PROTOCOL §4.1 from both sides: what is sent, and what each event becomes.

use super::super::scripted::{Scripted, all, ask, head};
use super::super::{Checked, HttpRequest, Signal, Unreachable};
use super::*;
use futures::executor::block_on;

fn sandbox(http: &Scripted) -> Sandbox<Scripted> {
    Sandbox::new(http.clone(), "https://u.test/api/", Some("k-1".into()))
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers.get(name)
}

#[test]
fn a_start_carries_the_whole_ask_and_no_cursor() {
    let http = Scripted::stream(vec![]);
    assert!(block_on(sandbox(&http).start(&ask())).is_ok());
    let [request] = &http.requests()[..] else {
        panic!("one request")
    };
    assert_eq!(request.url, "https://u.test/api/agents/run/stream");
    assert_eq!(
        request.body,
        r#"{"message":[{"type":"text","text":"hi \ud83d"}],"history":[{"role":"user","content":"a\u00e9"},{"role":"assistant","content":"b"}],"model":"m\"1","sessionId":"s1","metadata":{"n":1.0}}"#
    );
    assert_eq!(header(request, "x-execution-id"), Some("acme:s1:3"));
    assert_eq!(header(request, "x-input-hash"), Some("ab12"));
    assert_eq!(header(request, "authorization"), Some("Bearer k-1"));
    assert_eq!(header(request, "content-type"), Some("application/json"));
    assert_eq!(header(request, "accept"), Some("text/event-stream"));
    assert_eq!(header(request, "last-event-id"), None);
}

#[test]
fn what_an_ask_does_not_have_is_null_and_no_key_is_no_header() {
    let http = Scripted::stream(vec![]);
    let bare = Ask {
        history: vec![],
        model: None,
        metadata: None,
        ..ask()
    };
    assert!(block_on(Sandbox::new(http.clone(), "https://u.test", None).start(&bare)).is_ok());
    let [request] = &http.requests()[..] else {
        panic!("one request")
    };
    assert_eq!(request.url, "https://u.test/agents/run/stream");
    assert_eq!(
        request.body,
        r#"{"message":[{"type":"text","text":"hi \ud83d"}],"history":[],"model":null,"sessionId":"s1","metadata":null}"#
    );
    assert_eq!(header(request, "authorization"), None);
}

#[test]
fn an_attach_is_the_start_with_a_cursor() {
    for (cursor, expected) in [(None, None), (Some("f7"), Some("f7"))] {
        let http = Scripted::stream(vec![]);
        let start = Scripted::stream(vec![]);
        assert!(block_on(sandbox(&http).attach(&ask(), cursor)).is_ok());
        assert!(block_on(sandbox(&start).start(&ask())).is_ok());
        let mut sent = http.requests();
        assert_eq!(header(&sent[0], "last-event-id"), expected);
        let kept = sent[0]
            .headers
            .iter()
            .filter(|(name, _)| *name != "last-event-id");
        let kept = kept.map(|(name, value)| (name.to_owned(), value.to_owned()));
        sent[0].headers = kept.collect();
        assert_eq!(sent, start.requests());
    }
}

#[test]
fn a_request_shows_neither_key_nor_conversation() {
    let http = Scripted::stream(vec![]);
    assert!(block_on(sandbox(&http).start(&ask())).is_ok());
    let shown = format!("{:?}", http.requests());
    assert!(shown.contains("https://u.test/api"), "{shown}");
    assert!(
        !shown.contains("k-1") && !shown.contains("message"),
        "{shown}"
    );
}

#[test]
fn refusals_are_told_apart() {
    let start = |status| {
        let http = Scripted::answer(Ok(head(status)));
        block_on(sandbox(&http).start(&ask())).err()
    };
    assert_eq!(start(404), Some(Refusal::Gone));
    assert_eq!(start(409), Some(Refusal::Conflict));
    assert_eq!(start(400), Some(Refusal::Rejected { status: 400 }));
}

#[test]
fn cancel_names_the_execution_and_an_execution_that_is_over_is_gone() {
    let cancel = |answer| {
        let http = Scripted::answer(answer);
        let outcome = block_on(sandbox(&http).cancel("acme:s1:3:a2"));
        let [request] = &http.requests()[..] else {
            panic!("one request")
        };
        assert_eq!(
            request.url,
            "https://u.test/api/agents/run/acme:s1:3:a2/cancel"
        );
        assert_eq!(header(request, "authorization"), Some("Bearer k-1"));
        outcome
    };
    assert_eq!(cancel(Ok(head(202))), Ok(()));
    assert_eq!(cancel(Ok(head(404))), Err(Refusal::Gone));
    assert_eq!(cancel(Ok(head(409))), Err(Refusal::Gone));
    assert_eq!(
        cancel(Ok(head(403))),
        Err(Refusal::Rejected { status: 403 })
    );
    let unavailable = Refusal::Unavailable {
        retry_after_ms: None,
        maybe_started: true,
    };
    assert_eq!(cancel(Err(Unreachable)), Err(unavailable));
}

fn frames(chunks: Vec<Result<&str, Unreachable>>) -> Vec<Result<Signal, Cut>> {
    let http = Scripted::stream(chunks);
    let frames = block_on(sandbox(&http).start(&ask())).expect("an accepted start");
    // As the drain reads them.
    all(Checked::new(frames))
}

/// What one event becomes; `Err` is the text of the breach of protocol.
fn check(event: &str, expected: Result<(&str, FrameBody), &str>) {
    let expected = match expected {
        Ok((id, body)) => Ok(Signal::Frame(Frame {
            id: id.into(),
            body,
        })),
        Err(why) => Err(Cut::Protocol(why.into())),
    };
    let first = frames(vec![Ok(event), Ok("\n\n")])
        .into_iter()
        .find(|item| *item != Ok(Signal::Alive));
    assert_eq!(first, Some(expected), "{event}");
}

fn line(kind: &str, data: Option<&str>) -> FrameBody {
    FrameBody::Event {
        kind: kind.into(),
        data: data.map(String::from),
    }
}

fn started(input_hash: Option<&str>) -> FrameBody {
    FrameBody::Started {
        input_hash: input_hash.map(String::from),
    }
}

fn failed(message: &str) -> FrameBody {
    FrameBody::Failed {
        message: message.into(),
    }
}

#[test]
fn an_event_keeps_its_data_as_sent_but_for_white_space() {
    check(
        "id: f1\ndata: { \"type\" : \"usage\",\ndata:  \"data\" : { \"b\": 1.0, \"a\": 1e400, \"s\": \"x \\ud83d\" } }",
        Ok((
            "f1",
            line("usage", Some(r#"{"b":1.0,"a":1e400,"s":"x \ud83d"}"#)),
        )),
    );
    check(
        r#"data: {"data":[1],"extra":{},"type":"tool.call"}
id: é"#,
        Err("a frame's id must be visible ASCII of at most 512 bytes"),
    );
}

#[test]
fn data_may_be_missing_or_null() {
    check(
        "id: 1\ndata: {\"type\":\"usage\"}",
        Ok(("1", line("usage", None))),
    );
    check(
        "id: 1\ndata: {\"type\":\"usage\",\"data\":null}",
        Ok(("1", line("usage", None))),
    );
}

#[test]
fn an_error_is_renamed_and_our_own_names_are_refused() {
    check(
        "id: 1\ndata: {\"type\":\"error\",\"data\":\"x\"}",
        Ok(("1", line("upstream.error", Some("\"x\"")))),
    );
    for kind in ["session.run.completed", "heartbeat"] {
        check(
            &format!("id: 1\ndata: {{\"type\":\"{kind}\"}}"),
            Err("a frame's type must not be `heartbeat` or begin with `session.`"),
        );
    }
    for kind in ["", "Usage", "a b"] {
        check(
            &format!("id: 1\ndata: {{\"type\":\"{kind}\"}}"),
            Err("a frame's type must be 1 to 64 of a-z 0-9 _ . -"),
        );
    }
}

#[test]
fn executions_frames_are_the_adapters_own() {
    check(
        r#"id: 1
data: {"type":"execution.started","data":{"executionId":"x","inputHash":"ab"}}"#,
        Ok(("1", started(Some("ab")))),
    );
    for data in ["{}", "{\"inputHash\":null}", "null"] {
        check(
            &format!("id: 1\ndata: {{\"type\":\"execution.started\",\"data\":{data}}}"),
            Ok(("1", started(None))),
        );
    }
    check(
        "id: 1\ndata: {\"type\":\"execution.started\",\"data\":{\"inputHash\":7}}",
        Err("inputHash must be a string"),
    );
    check(
        "id: 1\ndata: {\"type\":\"execution.started\",\"data\":[]}",
        Err("bad data of execution.started: not a JSON object"),
    );
    check(
        "id: 1\ndata: {\"type\":\"execution.completed\"}",
        Ok(("1", FrameBody::Completed)),
    );
    check(
        "id: 1\ndata: {\"type\":\"execution.failed\",\"data\":{\"message\":\"no k-1 left\"}}",
        Ok(("1", failed("no *** left"))),
    );
    check(
        "id: 1\ndata: {\"type\":\"execution.failed\"}",
        Ok(("1", failed("the execution failed"))),
    );
    check(
        "id: 1\ndata: {\"type\":\"execution.paused\"}",
        Err("a frame's type is an unknown execution.*"),
    );
}

#[test]
fn a_frame_without_a_usable_id_is_refused() {
    let usage = "data: {\"type\":\"usage\"}";
    check(usage, Err("a frame has no id"));
    check(&format!("id:\n{usage}"), Err("a frame has no id"));
    let bad = "a frame's id must be visible ASCII of at most 512 bytes";
    check(&format!("id: a b\n{usage}"), Err(bad));
    let longest = "i".repeat(512);
    check(
        &format!("id: {longest}\n{usage}"),
        Ok((&longest, line("usage", None))),
    );
    check(&format!("id: {longest}i\n{usage}"), Err(bad));
}

#[test]
fn an_id_is_not_inherited_from_the_frame_before() {
    let items = frames(vec![Ok(
        "id: 1\ndata: {\"type\":\"usage\"}\n\ndata: {\"type\":\"usage\"}\n\n",
    )]);
    assert_eq!(items.len(), 2);
    assert_eq!(items[1], Err(Cut::Protocol("a frame has no id".into())));
}

#[test]
fn what_is_no_envelope_is_refused() {
    for data in [
        "",
        "x",
        "[\"usage\",{}]",
        "{\"type\":\"usage\"} {}",
        "{\"type\":\"usage\",\"data\":{}",
    ] {
        check(
            &format!("id: 1\ndata: {data}"),
            Err("bad frame: not a JSON object"),
        );
    }
    check(
        "id: 1\ndata: {\"data\":{}}",
        Err("a frame's type must be a string"),
    );
    check(
        "id: 1\ndata: {\"type\":7}",
        Err("a frame's type must be a string"),
    );
    check(
        "id: 1\ndata: {\"type\":\"\\ud83d\"}",
        Err("a frame's type must be a string"),
    );
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    check(
        "id: 1\ndata: {\"type\":\"usage\",\"data\":1,\"data\":2}",
        Err("bad frame: a key stands twice"),
    );
}

#[test]
fn a_frame_over_the_limit_is_refused() {
    let filler = "x".repeat(1_048_576);
    check(
        &format!("id: 1\ndata: {{\"type\":\"usage\",\"data\":\"{filler}\"}}"),
        Err("an event is larger than 1048576 bytes"),
    );
}

#[test]
fn only_a_terminal_frame_ends_an_execution() {
    let usage = "id: 1\ndata: {\"type\":\"usage\"}\n\n";
    let completed = "id: 2\ndata: {\"type\":\"execution.completed\"}\n\n";
    assert_eq!(frames(vec![Ok(usage)]).last(), Some(&Err(Cut::Broken)));
    assert_eq!(
        frames(vec![Ok(usage), Err(Unreachable)]).last(),
        Some(&Err(Cut::Broken))
    );
    let items = frames(vec![Ok(usage), Ok(completed), Ok(usage)]);
    assert_eq!(items.len(), 2);
    let last = Frame {
        id: "2".into(),
        body: FrameBody::Completed,
    };
    assert_eq!(items[1], Ok(Signal::Frame(last)));
}
