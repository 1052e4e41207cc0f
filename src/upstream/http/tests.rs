//! What a head says: statuses, `Retry-After`, types; and an upstream's own words.

use super::super::scripted::{Answer, Scripted, head, typed};
use super::*;

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
        answer.headers.push("Retry-After", "7");
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
    let server = Server::new(Scripted::answer(answer), "https://u.test", None);
    let request = server.request(Method::Get, "/");
    futures::executor::block_on(server.send(request, refusal)).map(|answer| answer.status)
}

#[test]
fn without_executions_none_is_gone_or_in_conflict() {
    let busy = Refusal::Unavailable {
        retry_after_ms: Some(1),
        maybe_started: false,
    };
    for (status, expected) in [
        (404, Refusal::Rejected { status: 404 }),
        (410, Refusal::Rejected { status: 410 }),
        (409, busy),
        (503, refusal(503, Some(1))),
        (401, refusal(401, Some(1))),
    ] {
        assert_eq!(refusal_without_executions(status, Some(1)), expected);
    }
}

#[test]
fn retry_after_counts_in_whole_seconds() {
    for (sent, expected) in [
        ("7", Some(7_000)),
        (" 0 ", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None),
    ] {
        let mut answer = head(503);
        answer.headers.push("RETRY-AFTER", sent);
        assert_eq!(answer.retry_after_ms(), expected, "{sent:?}");
    }
    assert_eq!(head(503).retry_after_ms(), None);
}

#[test]
fn a_media_type_has_neither_case_nor_parameters() {
    for (sent, expected) in [
        ("text/event-stream", "text/event-stream"),
        ("Text/Event-Stream; charset=utf-8", "text/event-stream"),
        (" application/json ;x", "application/json"),
        ("", ""),
    ] {
        assert_eq!(typed(sent).media_type().as_deref(), Some(expected));
    }
    assert_eq!(head(200).media_type(), None);
}

#[test]
fn a_headers_name_has_no_case_and_its_first_value_counts() {
    let mut headers = Headers::default();
    headers.push("X-A", "1");
    headers.push("x-a", "2");
    assert_eq!(headers.get("x-A"), Some("1"));
    assert_eq!(headers.get("x-b"), None);
    assert_eq!(headers.iter().count(), 2);
}

#[test]
fn a_request_says_what_it_is_and_shows_no_secret() {
    let server = Server::new(
        Scripted::default(),
        "https://u.test/v1//",
        Some("k-1".into()),
    );
    for method in [Method::Get, Method::Post, Method::Delete] {
        let request = server.request(method, "/a");
        assert_eq!(
            (request.method, request.url.as_str()),
            (method, "https://u.test/v1/a")
        );
        assert_eq!(request.headers.get("authorization"), Some("Bearer k-1"));
        assert_eq!(request.body, "");
    }
    let request = server
        .request(Method::Post, "/a")
        .json(r#"{"secret":1}"#.into());
    assert_eq!(
        request.headers.get("content-type"),
        Some("application/json")
    );
    let mut answer = typed("text/plain");
    answer.headers.push("set-cookie", "k-1");
    let shown = format!("{server:?} {request:?} {:?}", answer.headers);
    assert!(
        shown.contains("authorization") && shown.contains("set-cookie"),
        "{shown}"
    );
    assert!(
        !shown.contains("k-1") && !shown.contains("secret"),
        "{shown}"
    );
}

#[test]
fn a_failure_speaks_its_own_words_and_not_the_key() {
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
    // However it is spelled.
    for raw in [
        r#"{"message":"bad key sk\/1"}"#,
        r#"{"message":"bad key \u0073k/1"}"#,
        r#""bad key sk\u002f1""#,
        r#"{"reason":"bad key sk\/1"}"#,
        r#"["sk\u002f1"]"#,
    ] {
        let shown = failure_message(raw, Some("sk/1"));
        assert!(shown.contains("***") && !shown.contains("sk"), "{shown}");
    }
    let shown = failure_message(r#"{"reason":"a\"b"}"#, Some("a\"b"));
    assert_eq!(shown, r#"{"reason":"***"}"#);
    assert_eq!(failure_message(r#""k-1""#, None), "k-1");
    assert_eq!(failure_message(r#""k-1""#, Some("")), "k-1");
}
