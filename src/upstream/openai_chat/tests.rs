//! The request, and what streams of chunks become, as real servers send them.

use super::super::scripted::{Scripted, all, ask, head};
use super::super::{Checked, Cut, Signal, Unreachable};
use super::*;
use crate::caps::FRAME_BYTES;
use futures::executor::block_on;

fn chat(http: &Scripted) -> OpenAiChat<Scripted> {
    OpenAiChat::new(http.clone(), "https://u.test/v1/", Some("k-1".into()))
}

#[test]
fn a_start_sends_system_prompt_history_and_message() {
    let http = Scripted::stream(vec![]);
    assert!(block_on(chat(&http).start(&ask())).is_ok());
    let [request] = &http.requests()[..] else {
        panic!("one request")
    };
    assert_eq!(request.url, "https://u.test/v1/chat/completions");
    assert_eq!(
        request.body,
        r#"{"model":"m\"1","messages":[{"role":"system","content":"Be \"brief\"."},{"role":"user","content":"a\u00e9"},{"role":"assistant","content":"b"},{"role":"user","content":[{"type":"text","text":"hi \ud83d"}]}],"stream":true,"stream_options":{"include_usage":true}}"#
    );
    assert_eq!(request.headers.get("authorization"), Some("Bearer k-1"));
}

#[test]
fn what_an_ask_does_not_have_is_not_sent() {
    let http = Scripted::stream(vec![]);
    let bare = Ask {
        history: vec![],
        model: None,
        system_prompt: None,
        message: r#""hi""#.into(),
        ..ask()
    };
    assert!(
        block_on(OpenAiChat::new(http.clone(), "https://u.test/v1", None).start(&bare)).is_ok()
    );
    let [request] = &http.requests()[..] else {
        panic!("one request")
    };
    assert_eq!(
        request.body,
        r#"{"messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}"#
    );
    assert_eq!(request.headers.get("authorization"), None);
}

#[test]
fn a_server_without_executions_has_none_that_is_gone_or_in_conflict() {
    let start = |status| {
        let http = Scripted::answer(Ok(head(status)));
        block_on(chat(&http).start(&ask())).err()
    };
    let unavailable = |maybe_started| Refusal::Unavailable {
        retry_after_ms: None,
        maybe_started,
    };
    assert_eq!(start(404), Some(Refusal::Rejected { status: 404 }));
    assert_eq!(start(410), Some(Refusal::Rejected { status: 410 }));
    assert_eq!(start(409), Some(unavailable(false)));
    assert_eq!(start(429), Some(unavailable(false)));
    assert_eq!(start(502), Some(unavailable(true)));
    assert_eq!(start(401), Some(Refusal::Rejected { status: 401 }));
}

#[test]
fn there_is_nothing_to_attach_to_and_nothing_to_tell_a_cancel() {
    let http = Scripted::default();
    assert_eq!(
        block_on(chat(&http).attach(&ask(), Some("3"))).err(),
        Some(Refusal::Gone)
    );
    assert_eq!(block_on(chat(&http).cancel("acme:s1:3")), Ok(()));
    assert_eq!(http.requests(), vec![]);
}

/// The items after `started`, each as `id kind data`, for these events.
fn translate(events: &[&str], end: Option<Unreachable>) -> Vec<String> {
    let text: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    let mut chunks = vec![Ok(text.as_str())];
    chunks.extend(end.map(Err));
    let http = Scripted::stream(chunks);
    let frames = block_on(chat(&http).start(&ask())).expect("an accepted start");
    // As the drain reads them.
    let mut items = all(Checked::new(frames));
    let started = Frame {
        id: "started".into(),
        body: FrameBody::Started { input_hash: None },
    };
    assert_eq!(items.remove(0), Ok(Signal::Frame(started)));
    items.into_iter().map(show).collect()
}

fn show(item: Result<Signal, Cut>) -> String {
    match item {
        Err(Cut::Broken) => "broken".into(),
        Err(Cut::Protocol(why)) => format!("protocol: {why}"),
        Ok(Signal::Alive) => "alive".into(),
        Ok(Signal::Frame(Frame { id, body })) => match body {
            FrameBody::Started { .. } => format!("{id} started"),
            FrameBody::Event { kind, data } => format!("{id} {kind} {}", data.unwrap_or_default()),
            FrameBody::Completed => format!("{id} completed"),
            FrameBody::Failed { message } => format!("{id} failed {message}"),
        },
    }
}

fn check(events: &[&str], expected: &[&str]) {
    assert_eq!(translate(events, None), expected);
}

/// A chunk whose first choice has this delta.
fn delta(delta: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
}

const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

/// What these deltas become, without the turn's end.
fn check_deltas(deltas: &[&str], expected: &[&str]) {
    let events: Vec<String> = deltas.iter().map(|text| delta(text)).collect();
    let mut events: Vec<&str> = events.iter().map(String::as_str).collect();
    events.extend([STOP, "[DONE]"]);
    let mut items = translate(&events, None);
    items.retain(|item| {
        item != "alive" && !item.contains(" result ") && !item.ends_with("completed")
    });
    assert_eq!(items, expected);
}

#[test]
fn a_whole_completion() {
    check(
        &[
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"lo\n"},"finish_reason":null}]}"#,
            STOP,
            r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}}"#,
            "[DONE]",
        ],
        &[
            "alive",
            r#"1 message.part.updated {"part":{"id":"text-0","type":"text"},"delta":"Hel"}"#,
            r#"2 message.part.updated {"part":{"id":"text-0","type":"text"},"delta":"lo\n"}"#,
            "alive",
            "alive",
            r#"5.0 usage {"inputTokens":9,"outputTokens":2,"totalTokens":11,"cachedInputTokens":4,"reasoningTokens":1}"#,
            r#"5.1 result {"finalText":"Hello\n","finishReason":"stop"}"#,
            "5.2 completed",
        ],
    );
}

#[test]
fn text_is_passed_on_as_it_was_escaped() {
    let events = [
        delta(r#"{"content":"\ud83d"}"#),
        delta(r#"{"content":"\ude00 \u00e9 é \/"}"#),
    ];
    check(
        &[&events[0], &events[1], STOP, "[DONE]"],
        &[
            r#"0 message.part.updated {"part":{"id":"text-0","type":"text"},"delta":"\ud83d"}"#,
            r#"1 message.part.updated {"part":{"id":"text-0","type":"text"},"delta":"\ude00 \u00e9 é \/"}"#,
            "alive",
            r#"3.0 result {"finalText":"\ud83d\ude00 \u00e9 é \/","finishReason":"stop"}"#,
            "3.1 completed",
        ],
    );
}

#[test]
fn reasoning_and_refusal_are_parts_of_their_own() {
    check_deltas(
        &[
            r#"{"reasoning_content":"a"}"#,
            r#"{"reasoning":"b"}"#,
            r#"{"reasoning":"c","reasoning_content":"c"}"#,
            r#"{"refusal":"no"}"#,
            r#"{"reasoning":"d","content":"e"}"#,
        ],
        &[
            r#"0 message.part.updated {"part":{"id":"reasoning-0","type":"reasoning"},"delta":"a"}"#,
            r#"1 message.part.updated {"part":{"id":"reasoning-0","type":"reasoning"},"delta":"b"}"#,
            r#"2 message.part.updated {"part":{"id":"reasoning-0","type":"reasoning"},"delta":"c"}"#,
            r#"3 message.part.updated {"part":{"id":"refusal-0","type":"refusal"},"delta":"no"}"#,
            r#"4.0 message.part.updated {"part":{"id":"reasoning-0","type":"reasoning"},"delta":"d"}"#,
            r#"4.1 message.part.updated {"part":{"id":"text-0","type":"text"},"delta":"e"}"#,
        ],
    );
}

#[test]
fn a_tool_call_is_whole_when_the_next_begins_or_the_reason_comes() {
    check_deltas(
        &[
            r#"{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"get","arguments":""}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":null,"function":{"arguments":"1}"}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"c2","function":{"name":"put","arguments":"{}"}}]}"#,
        ],
        &[
            r#"1 tool.call.delta {"id":"c1","name":"get","delta":"{\"a\":"}"#,
            r#"2 tool.call.delta {"id":"c1","name":"get","delta":"1}"}"#,
            r#"3.0 tool.call {"id":"c1","name":"get","arguments":"{\"a\":1}"}"#,
            r#"3.1 tool.call.delta {"id":"c2","name":"put","delta":"{}"}"#,
            r#"4 tool.call {"id":"c2","name":"put","arguments":"{}"}"#,
        ],
    );
}

#[test]
fn calls_are_told_apart_without_index_and_with_the_same_index() {
    for index in ["", r#""index":0,"#] {
        let call = |id: &str| {
            format!(
                r#"{{"tool_calls":[{{{index}"id":"{id}","function":{{"name":"f","arguments":"1"}}}}]}}"#
            )
        };
        check_deltas(
            &[&call("a"), &call("b")],
            &[
                r#"0 tool.call.delta {"id":"a","name":"f","delta":"1"}"#,
                r#"1.0 tool.call {"id":"a","name":"f","arguments":"1"}"#,
                r#"1.1 tool.call.delta {"id":"b","name":"f","delta":"1"}"#,
                r#"2 tool.call {"id":"b","name":"f","arguments":"1"}"#,
            ],
        );
    }
}

#[test]
fn a_call_goes_on_under_a_new_id_without_a_name() {
    check_deltas(
        &[
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"","arguments":"1"}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"2"}}]}"#,
        ],
        &[
            r#"1 tool.call.delta {"id":"a","name":"f","delta":"1"}"#,
            r#"2 tool.call.delta {"id":"a","name":"f","delta":"2"}"#,
            r#"3 tool.call {"id":"a","name":"f","arguments":"12"}"#,
        ],
    );
}

#[test]
fn a_call_without_id_is_given_one() {
    check_deltas(
        &[
            r#"{"tool_calls":[{"index":0,"function":{"name":"f"}}]}"#,
            r#"{"tool_calls":[{"index":1,"function":{"name":"g"}}]}"#,
        ],
        &[
            r#"1 tool.call {"id":"call-0","name":"f","arguments":""}"#,
            r#"2 tool.call {"id":"call-1","name":"g","arguments":""}"#,
        ],
    );
}

#[test]
fn a_call_without_name_is_a_breach_of_protocol() {
    let call = delta(r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"1"}}]}"#);
    let items = translate(&[&call, STOP, "[DONE]"], None);
    assert_eq!(
        items.last().map(String::as_str),
        Some("protocol: a tool call has no name")
    );
}

#[test]
fn a_call_that_outgrows_a_frame_is_a_breach_of_protocol() {
    let half = "x".repeat(FRAME_BYTES / 2);
    let call = delta(&format!(
        r#"{{"tool_calls":[{{"index":0,"id":"a","function":{{"name":"f","arguments":"{half}"}}}}]}}"#
    ));
    let items = translate(&[&call, &call], None);
    assert_eq!(items.len(), 2);
    assert_eq!(items[1], "protocol: a tool call is too large");
}

#[test]
fn a_text_that_outgrows_a_frame_stands_in_its_deltas_only() {
    let half = delta(&format!(
        r#"{{"content":"{}"}}"#,
        "x".repeat(FRAME_BYTES / 2)
    ));
    let items = translate(
        &[&half, &half, &delta(r#"{"content":"y"}"#), STOP, "[DONE]"],
        None,
    );
    assert_eq!(
        items[4..],
        [r#"4.0 result {"finishReason":"stop"}"#, "4.1 completed"]
    );
}

#[test]
fn every_reason_but_error_completes() {
    for reason in ["length", "content_filter", "tool_calls"] {
        let last = STOP.replace("stop", reason);
        let result = format!(r#"1.0 result {{"finalText":"","finishReason":"{reason}"}}"#);
        check(&[&last, "[DONE]"], &["alive", &result, "1.1 completed"]);
    }
    check(
        &[&STOP.replace("stop", "error"), "[DONE]"],
        &["alive", "1 failed the model stopped with an error"],
    );
}

#[test]
fn a_reason_completes_without_done() {
    let expected = [
        "alive",
        r#"1.0 result {"finalText":"","finishReason":"stop"}"#,
        "1.1 completed",
    ];
    assert_eq!(translate(&[STOP], None), expected);
    assert_eq!(translate(&[STOP], Some(Unreachable)), expected);
}

#[test]
fn done_or_an_end_without_a_reason_is_a_cut() {
    let text = delta(r#"{"content":"a"}"#);
    let empty = text.replace("null", r#""""#);
    for events in [
        &[text.as_str()][..],
        &[&text, "[DONE]"],
        &[&empty, "[DONE]"],
    ] {
        assert_eq!(
            translate(events, None).last().map(String::as_str),
            Some("broken")
        );
    }
    assert_eq!(
        translate(&[&text], Some(Unreachable))
            .last()
            .map(String::as_str),
        Some("broken")
    );
}

#[test]
fn errors_in_the_stream_fail_the_execution() {
    let cases = [
        (
            r#"{"error":{"message":"no k-1 left","code":429}}"#,
            "0 failed no *** left",
        ),
        (r#"{"error":"overloaded"}"#, "0 failed overloaded"),
        (
            r#"{"object":"error","message":"too long","code":400}"#,
            "0 failed too long",
        ),
        (
            r#"{"error":{"message":"lost"},"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}"#,
            "0 failed lost",
        ),
        (
            "x\nevent: error",
            "protocol: an event is not a chat completion chunk",
        ),
        ("{\"message\":\"named\"}\nevent: error", "0 failed named"),
    ];
    for (event, expected) in cases {
        check(&[event, STOP, "[DONE]"], &[expected]);
    }
}

#[test]
fn only_the_first_choice_counts() {
    check(
        &[
            r#"{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"stop"},{"index":0,"delta":{"content":"a"}}]}"#,
            r#"{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ],
        &[
            r#"0 message.part.updated {"part":{"id":"text-0","type":"text"},"delta":"a"}"#,
            "alive",
            "broken",
        ],
    );
}

#[test]
fn of_running_totals_the_last_is_reported_once() {
    let chunk = r#"{"choices":[{"index":0,"delta":{}}],"usage":{"completion_tokens":1}}"#;
    let last = r#"{"choices":[{"finish_reason":"stop"}],"usage":{"completion_tokens":2,"total_tokens":1.5,"prompt_tokens_details":null}}"#;
    check(
        &[chunk, last, "[DONE]"],
        &[
            "alive",
            "alive",
            r#"2.0 usage {"outputTokens":2}"#,
            r#"2.1 result {"finalText":"","finishReason":"stop"}"#,
            "2.2 completed",
        ],
    );
}

#[test]
fn an_odd_usage_is_left_out() {
    for usage in [
        "{}",
        "7",
        r#"{"prompt_tokens":-1}"#,
        r#"{"prompt_tokens":1,"prompt_tokens":2}"#,
    ] {
        let last = format!(r#"{{"choices":[{{"finish_reason":"stop"}}],"usage":{usage}}}"#);
        check(
            &[&last, "[DONE]"],
            &[
                "alive",
                r#"1.0 result {"finalText":"","finishReason":"stop"}"#,
                "1.1 completed",
            ],
        );
    }
}

#[test]
fn what_is_no_chunk_is_a_breach_of_protocol() {
    let no_chunk = "protocol: an event is not a chat completion chunk";
    for event in [
        "x",
        "[]x",
        r#"{"choices":7}"#,
        r#"{"choices":[{"delta":"x"}]}"#,
    ] {
        check(&[event, STOP, "[DONE]"], &[no_chunk]);
    }
    for bad in [
        r#"{"content":[]}"#,
        r#"{"reasoning":7}"#,
        r#"{"tool_calls":[{"id":7}]}"#,
    ] {
        check(
            &[&delta(bad)],
            &["protocol: a delta that must be a string is none"],
        );
    }
    let long = STOP.replace("stop", &"s".repeat(1_000));
    check(&[&long], &["protocol: finish_reason is too long"]);
}

#[test]
fn comments_and_empty_events_are_life() {
    check(
        &["\n\n: PROCESSING", STOP],
        &[
            "alive",
            "alive",
            r#"2.0 result {"finalText":"","finishReason":"stop"}"#,
            "2.1 completed",
        ],
    );
}
