//! The agent's answers, its pace, and its connections under a clock of the test's own.

use super::super::scripted::{Scripted, all, ask};
use super::super::{Checked, Cut, Frame, FrameBody, Signal, Upstream};
use super::*;
use crate::caps::FRAME_BYTES;

fn script(message: &str, demo: &str) -> DemoScript {
    let metadata = format!(r#"{{"other":1,"demo":{demo}}}"#);
    DemoScript::new("acme:s1:0", message, Some(&metadata)).expect("good options")
}

fn kinds(script: &DemoScript) -> Vec<&'static str> {
    let frames = (0..script.frame_count()).map(|index| script.frame(index).expect("a frame"));
    frames.map(|frame| frame.kind).collect()
}

fn deltas(script: &DemoScript) -> Vec<String> {
    script.deltas.clone()
}

const DELTA: &str = "message.part.updated";

#[test]
fn a_small_script_in_full() {
    let script = script(r#""Hi \"you\" 👋\ud83d""#, r#"{"words":5}"#);
    let frames: Vec<String> = (0..)
        .map_while(|index| script.frame(index))
        .map(|frame| format!("{} {} {}", frame.id, frame.kind, frame.data))
        .collect();
    assert_eq!(
        frames,
        [
            r#"f0 execution.started {"executionId":"acme:s1:0","sandboxId":"demo"}"#,
            r#"f1 message.part.updated {"part":{"id":"text-0","type":"text"},"delta":"You"}"#,
            r#"f2 message.part.updated {"part":{"id":"text-0","type":"text"},"delta":" wrote"}"#,
            r#"f3 message.part.updated {"part":{"id":"text-0","type":"text"},"delta":" “Hi"}"#,
            r#"f4 tool.call {"id":"call-0","name":"count_words","arguments":"{\"text\":\"Hi \\\"you\\\" 👋\\ud83d\"}"}"#,
            r#"f5 tool.result {"id":"call-0","name":"count_words","output":{"words":3}}"#,
            r#"f6 message.part.updated {"part":{"id":"text-0","type":"text"},"delta":" \"you\""}"#,
            r#"f7 message.part.updated {"part":{"id":"text-0","type":"text"},"delta":" 👋\ud83d”."}"#,
            r#"f8 usage {"inputTokens":3,"outputTokens":5,"totalTokens":8}"#,
            r#"f9 result {"finalText":"You wrote “Hi \"you\" 👋\ud83d”.","finishReason":"stop"}"#,
            "f10 execution.completed {}",
        ]
    );
}

#[test]
fn the_final_text_is_the_deltas_joined() {
    for words in [1, 2, 37, 200] {
        let script = script(
            r#""What is a durable turn?""#,
            &format!(r#"{{"words":{words}}}"#),
        );
        assert_eq!(deltas(&script).len(), words);
        let result = script.frame(script.frame_count() - 2).expect("a result");
        let text = deltas(&script).concat();
        assert_eq!(
            result.data,
            format!(r#"{{"finalText":"{text}","finishReason":"stop"}}"#)
        );
        assert_eq!(text.replace("\\n\\n", " ").split(' ').count(), words);
    }
}

#[test]
fn without_options_it_says_a_few_whole_sentences_at_a_steady_pace() {
    let script = DemoScript::new("x", r#""What is a durable turn?""#, None).expect("no options");
    let text = deltas(&script).concat();
    assert!(
        text.starts_with("You wrote “What is a durable turn?”. "),
        "{text}"
    );
    assert!(text.ends_with('.'), "{text}");
    assert!((40..60).contains(&deltas(&script).len()), "{text}");
    assert_eq!([0, 1, 25].map(|index| script.due_ms(index)), [0, 40, 1_000]);
}

#[test]
fn the_same_message_has_the_same_answer_and_another_has_another() {
    let text = |message| deltas(&script(message, "{}")).concat();
    assert_eq!(text(r#""one two""#), text(r#""one two""#));
    let tail = |message| {
        text(message)
            .split_once("”.")
            .map(|(_, tail)| tail.to_owned())
    };
    assert_ne!(tail(r#""first words""#), tail(r#""other words""#));
}

#[test]
fn long_answers_visit_every_sentence_before_any_comes_again() {
    let text = deltas(&script(r#""topic""#, r#"{"words":400}"#)).concat();
    for sentence in prose::SENTENCES {
        let said = sentence.replace("{}", "topic");
        assert!(text.contains(&said), "{said}");
    }
}

#[test]
fn parts_are_read_for_their_text() {
    let words = |message| script(message, "{}").message.word_count();
    assert_eq!(
        words(r#"[{"type":"text","text":"a b"},{"type":"file"},{"type":"text","text":"c"}]"#),
        3
    );
    assert_eq!(words(r#""a\tb\nc\u00a0d  ""#), 4);
    let silent = deltas(&script(r#"[{"type":"file"}]"#, "{}")).concat();
    assert!(
        silent.starts_with("Your message has no words in it,"),
        "{silent}"
    );
}

#[test]
fn a_message_that_is_neither_text_nor_parts_is_refused() {
    for message in ["7", "{}", "[7]", "\"", "null"] {
        let refused = DemoScript::new("x", message, None).err();
        assert_eq!(refused, Some(BadRequest::Message), "{message}");
    }
}

#[test]
fn long_words_are_clipped_but_never_within_a_character() {
    let crab = "🦀".repeat(40);
    let text = deltas(&script(&format!("\"a{crab}\""), "{}")).concat();
    // 24 units are the letter and 11 crabs and a half.
    assert!(
        text.contains(&format!("“a{}…”.", "🦀".repeat(11))),
        "{text}"
    );
    let many = vec!["w"; 13].join(" ");
    let text = deltas(&script(&format!("\"{many}\""), "{}")).concat();
    assert!(text.contains("w…”. "), "{text}");
}

#[test]
fn the_longest_answer_still_fits_a_frame() {
    // A control character takes six bytes in a literal, more than any other unit.
    let word = "\\u0001".repeat(1_000);
    let script = script(&format!("\"{word}\""), r#"{"words":20000}"#);
    for index in 0..script.frame_count() {
        let frame = script.frame(index).expect("a frame");
        assert!(encode(&frame).len() <= FRAME_BYTES, "{}", frame.id);
    }
}

#[test]
fn options_are_bounded_and_errors_name_them() {
    let check = |metadata: &str, expected: &str| {
        let refused = DemoScript::new("x", r#""a""#, Some(metadata)).expect_err(metadata);
        assert_eq!(refused.to_string(), expected);
    };
    for words in ["0", "20001", "-1", "1.5", "\"7\"", "null"] {
        check(
            &format!(r#"{{"demo":{{"words":{words}}}}}"#),
            "`metadata.demo.words` must be an integer from 1 to 20000",
        );
    }
    check(
        r#"{"demo":{"delayMs":60001}}"#,
        "`metadata.demo.delayMs` must be an integer from 0 to 60000",
    );
    check(
        r#"{"demo":{"failAfter":0}}"#,
        "`metadata.demo.failAfter` must be an integer from 1 to 20006",
    );
    check(
        r#"{"demo":{"cutAfter":0}}"#,
        "`metadata.demo.cutAfter` must be an integer from 1 to 20006",
    );
    check(
        r#"{"demo":{"stallAfter":-1}}"#,
        "`metadata.demo.stallAfter` must be an integer from 0 to 20006",
    );
    check(
        r#"{"demo":{"cutafter":1}}"#,
        "`metadata.demo` takes words, delayMs, failAfter, stallAfter and cutAfter, not \"cutafter\"",
    );
    for metadata in [
        "[]",
        r#"{"demo":7}"#,
        r#"{"demo":null}"#,
        r#"{"demo":{"words":1,"words":2}}"#,
    ] {
        check(metadata, "`metadata.demo` must be an object");
    }
    for metadata in [None, Some("null"), Some("{}"), Some(r#"{"demo":{}}"#)] {
        assert!(
            DemoScript::new("x", r#""a""#, metadata).is_ok(),
            "{metadata:?}"
        );
    }
}

#[test]
fn a_request_body_is_read_like_its_fields() {
    let body = r#"{"message":"hi","history":[],"model":null,"sessionId":"s","metadata":{"demo":{"words":3}}}"#;
    let expected = DemoScript::new("x", r#""hi""#, Some(r#"{"demo":{"words":3}}"#));
    assert_eq!(DemoScript::of_request("x", body), expected);
    assert_eq!(DemoScript::of_request("x", "[]"), Err(BadRequest::Body));
    assert_eq!(DemoScript::of_request("x", "{}"), Err(BadRequest::Message));
}

#[test]
fn a_request_that_is_not_taken_fails_with_the_reason() {
    let why = BadRequest::UnknownOption("x".into());
    let script = DemoScript::refusing("x", &why);
    assert_eq!(kinds(&script), ["execution.started", "execution.failed"]);
    let said = script.frame(1).expect("the failure").data;
    assert!(said.contains(r#"not \"x\""#), "{said}");
    assert_eq!((script.existing(0), script.due_ms(1)), (2, 0));
    assert_eq!(script.clone().cancelled_at(5), script, "it was over");
}

#[test]
fn fail_after_ends_the_script_with_a_failure() {
    let failing = |after| {
        kinds(&script(
            r#""a""#,
            &format!(r#"{{"words":2,"failAfter":{after}}}"#),
        ))
    };
    let whole = kinds(&script(r#""a""#, r#"{"words":2}"#));
    assert_eq!(whole.len(), 8);
    for after in 1..8 {
        let expected = [&whole[..after], &["execution.failed"]].concat();
        assert_eq!(failing(after), expected);
    }
    assert_eq!(failing(8), whole, "the script was over before");
}

#[test]
fn frames_exist_from_their_due_time_on() {
    let script = script(r#""a""#, r#"{"words":2,"delayMs":10}"#);
    let cases = [(0, 1), (9, 1), (10, 2), (69, 7), (70, 8), (u64::MAX, 8)];
    for (elapsed_ms, expected) in cases {
        assert_eq!(script.existing(elapsed_ms), expected, "{elapsed_ms}");
    }
    let at_once = self::script(r#""a""#, r#"{"words":2,"delayMs":0}"#);
    assert_eq!(at_once.existing(0), 8);
}

#[test]
fn a_cancel_keeps_what_was_due_and_fails_after_it() {
    let whole = script(r#""a""#, r#"{"words":2,"delayMs":10}"#);
    let cancelled = whole.clone().cancelled_at(25);
    assert_eq!(
        kinds(&cancelled),
        ["execution.started", DELTA, "tool.call", "execution.failed"]
    );
    let last = cancelled.frame(3).expect("the failure");
    assert_eq!(last.data, r#"{"message":"cancelled"}"#);
    assert_eq!(cancelled.due_ms(3), 25);
    assert_eq!(
        [24, 25].map(|elapsed_ms| cancelled.existing(elapsed_ms)),
        [3, 4]
    );
    assert_eq!(
        cancelled.clone().cancelled_at(40),
        cancelled,
        "the first cancel stands"
    );
    assert_eq!(whole.clone().cancelled_at(70), whole, "it was over");
}

#[test]
fn a_transcript_is_the_lines_of_the_script() {
    let metadata = r#"{"demo":{"words":2,"failAfter":3}}"#;
    let lines = transcript(r#""a""#, Some(metadata)).expect("good options");
    let lines: Vec<_> = lines.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(lines, [DELTA, "tool.call"]);
    assert_eq!(
        transcript(r#""a""#, Some("7")),
        Err(BadRequest::NotAnObject)
    );
}

#[test]
fn the_clock_never_stands_before_the_start() {
    let cases = [(5, 3, 2), (3, 5, 0), (i64::MAX, i64::MIN, i64::MAX as u64)];
    for (now_ms, started_at_ms, expected) in cases {
        assert_eq!(connection::elapsed_ms(now_ms, started_at_ms), expected);
    }
}

/// Performs a connection as the object does. What it sent, the clock after it, and how it ended.
fn perform(
    script: &DemoScript,
    mut elapsed_ms: u64,
    cursor: Option<&str>,
    first: bool,
) -> (String, u64, Next) {
    let mut connection =
        DemoConnection::open(script, elapsed_ms, cursor, first).expect("a known cursor");
    let mut sent = String::new();
    loop {
        match connection.next(script, elapsed_ms) {
            Next::Send(text) => sent.push_str(&text),
            Next::Wait(ms) => {
                assert!((1..=connection::WAIT_MOST_MS).contains(&ms));
                elapsed_ms += ms;
            }
            ended => return (sent, elapsed_ms, ended),
        }
    }
}

/// All events of the script from an index on.
fn events(script: &DemoScript, from: u64) -> String {
    (from..)
        .map_while(|index| script.frame(index))
        .map(|frame| encode(&frame))
        .collect()
}

#[test]
fn a_connection_sends_each_frame_when_it_is_due() {
    let script = script(r#""a""#, r#"{"words":2,"delayMs":1500}"#);
    let sent = perform(&script, 0, None, true);
    assert_eq!(sent, (events(&script, 0), 7 * 1_500, Next::End));
}

#[test]
fn a_late_connection_is_sent_what_it_missed_at_once() {
    let script = script(r#""a""#, r#"{"words":1000,"delayMs":10}"#);
    let over_ms = script.due_ms(script.frame_count());
    let sent = perform(&script, over_ms, None, true);
    assert_eq!(sent, (events(&script, 0), over_ms, Next::End));
}

#[test]
fn a_connection_goes_on_strictly_after_its_cursor() {
    let script = script(r#""a""#, r#"{"words":20,"delayMs":10}"#);
    for index in 0..script.frame_count() {
        let sent = perform(
            &script,
            script.due_ms(index),
            Some(&format!("f{index}")),
            false,
        );
        assert_eq!((sent.0, sent.2), (events(&script, index + 1), Next::End));
    }
}

#[test]
fn a_cursor_must_be_the_id_of_a_frame_that_exists() {
    let script = script(r#""a""#, r#"{"words":2,"delayMs":10}"#);
    for cursor in [
        "",
        "f",
        "1",
        "f01",
        "f+1",
        "f-1",
        "f2",
        "f99",
        "g1",
        "f18446744073709551615",
    ] {
        let opened = DemoConnection::open(&script, 19, Some(cursor), false);
        assert_eq!(opened, Err(UnknownCursor), "{cursor}");
    }
    assert!(DemoConnection::open(&script, 19, Some("f1"), false).is_ok());
}

#[test]
fn every_connection_is_cut_after_its_frames_and_the_last_comes_to_the_end() {
    let script = script(r#""a""#, r#"{"words":20,"delayMs":10,"cutAfter":7}"#);
    let (mut text, mut elapsed_ms, mut cursor, mut connections) = (String::new(), 0, None, 0);
    loop {
        let (sent, after_ms, ended) =
            perform(&script, elapsed_ms, cursor.as_deref(), connections == 0);
        text.push_str(&sent);
        (elapsed_ms, connections) = (after_ms, connections + 1);
        if ended == Next::End {
            break;
        }
        assert_eq!((sent.matches("data: ").count(), ended), (7, Next::Cut));
        cursor = Some(format!("f{}", connections * 7 - 1));
    }
    assert_eq!((text, connections), (events(&script, 0), 4));
}

#[test]
fn only_the_first_connection_stalls() {
    let script = script(
        r#""a""#,
        r#"{"words":20,"delayMs":10,"stallAfter":3,"cutAfter":5}"#,
    );
    let (sent, elapsed_ms, ended) = perform(&script, 0, None, true);
    assert_eq!((sent.matches("data: ").count(), ended), (3, Next::Stall));
    let (sent, _, ended) = perform(&script, elapsed_ms, Some("f2"), false);
    assert_eq!((sent.matches("data: ").count(), ended), (5, Next::Cut));
    let silent = self::script(r#""a""#, r#"{"stallAfter":0}"#);
    assert_eq!(
        perform(&silent, 0, None, true),
        (String::new(), 0, Next::Stall)
    );
}

#[test]
fn a_connection_learns_of_a_cancel_while_it_waits() {
    let script = script(r#""a""#, r#"{"words":2,"delayMs":60000}"#);
    let mut connection = DemoConnection::open(&script, 0, None, true).expect("no cursor");
    assert_eq!(
        connection.next(&script, 0),
        Next::Send(encode(&script.frame(0).expect("a frame")))
    );
    assert_eq!(
        connection.next(&script, 0),
        Next::Wait(connection::WAIT_MOST_MS)
    );
    let cancelled = script.cancelled_at(500);
    let failure = encode(&cancelled.frame(1).expect("the failure"));
    assert_eq!(connection.next(&cancelled, 1_000), Next::Send(failure));
    assert_eq!(connection.next(&cancelled, 1_000), Next::End);
}

/// The agent speaks PROTOCOL §4.1: through the sandbox adapter its frames become the transcript.
#[test]
fn the_sandbox_adapter_reads_the_transcript() {
    let (message, metadata) = (r#""Hi \ud83d 👋""#, r#"{"demo":{"words":60}}"#);
    let script = DemoScript::new("x", message, Some(metadata)).expect("good options");
    let (text, ..) = perform(&script, 0, None, true);
    let sandbox = Sandbox::new(Scripted::stream(vec![Ok(&text)]), "https://demo.test", None);
    let frames = futures::executor::block_on(sandbox.start(&ask())).expect("accepted");
    // As the drain reads them.
    let frames = all(Checked::new(frames));
    let bodies: Vec<FrameBody> = frames
        .into_iter()
        .map(|item: Result<Signal, Cut>| match item {
            Ok(Signal::Frame(Frame { body, .. })) => body,
            other => panic!("{other:?}"),
        })
        .collect();
    let lines = transcript(message, Some(metadata)).expect("good options");
    let mut expected = vec![FrameBody::Started { input_hash: None }];
    expected.extend(lines.into_iter().map(|(kind, data)| FrameBody::Event {
        kind: kind.into(),
        data: Some(data),
    }));
    expected.push(FrameBody::Completed);
    assert_eq!(bodies, expected);
}
