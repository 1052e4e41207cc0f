//! Request bodies: what is taken keeps to the caps, and is read again as it is printed.
//!
//! An input that begins with `#` has a first line `#<content type>|<idempotency key>`; the rest, or
//! all of any other input, is the body.

use crate::cursors::refusal;
use crate::input::filled;
use steadfast::caps;
use steadfast::json;
use steadfast::wire::request::{
    IfRunning, Submit, parse_cancel, parse_event_payload, parse_submit,
};

const JSON: &str = "application/json";
const REFUSALS: [(u16, &str); 3] = [
    (400, "invalid_request"),
    (413, "payload_too_large"),
    (415, "unsupported_media_type"),
];

/// A submit, a cancel and an event's payload out of one body.
pub fn requests(data: &[u8]) {
    let (head, body) = match data.strip_prefix(b"#") {
        Some(rest) => {
            let end = rest
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(rest.len());
            (
                std::str::from_utf8(&rest[..end]).ok(),
                rest.get(end + 1..).unwrap_or_default(),
            )
        }
        None => (None, data),
    };
    let (content_type, key) = head.and_then(|head| head.split_once('|')).unzip();
    let content_type = content_type.or(Some(JSON));
    let body = filled(body);
    let declared =
        content_type.is_some_and(|declared| declared.to_ascii_lowercase().contains(JSON));

    match parse_submit(content_type, &body, key) {
        Ok(submit) => {
            assert!(declared && body.len() <= caps::REQUEST_BODY_BYTES);
            accepted(&submit);
            assert_eq!(
                parse_submit(
                    Some(JSON),
                    printed(&submit).as_bytes(),
                    submit.key.as_deref()
                ),
                Ok(submit)
            );
        }
        Err(problem) => {
            refusal(&problem, &REFUSALS);
            assert_eq!(
                problem.status() == 413,
                body.len() > caps::REQUEST_BODY_BYTES && problem.status() != 415
            );
        }
    }
    match parse_cancel(content_type, &body) {
        Ok(reason) => {
            assert!(reason.is_none_or(|reason| reason.chars().count() <= caps::CANCEL_REASON_CHARS))
        }
        Err(problem) => refusal(&problem, &REFUSALS),
    }
    match parse_event_payload(content_type, &body) {
        Ok(payload) => {
            assert!(declared && body.len() <= caps::EVENT_BODY_BYTES);
            assert!(payload.len() <= body.len() && json::depth(&payload) <= caps::REQUEST_DEPTH);
            assert_eq!(
                parse_event_payload(Some(JSON), payload.as_bytes()),
                Ok(payload)
            );
        }
        Err(problem) => refusal(&problem, &REFUSALS),
    }
}

fn accepted(submit: &Submit) {
    assert!(submit.message.is_some() != submit.retry_of.is_some());
    for text in [&submit.message, &submit.metadata].into_iter().flatten() {
        assert_eq!(json::compact(text).as_ref(), Some(text), "kept compact");
        assert!(json::depth(text) <= caps::REQUEST_DEPTH);
    }
    if let Some(metadata) = &submit.metadata {
        assert!(metadata.len() <= caps::METADATA_BYTES && metadata.starts_with('{'));
    }
    for number in [submit.turn_index, submit.retry_of].into_iter().flatten() {
        assert!(number < 1 << 53);
    }
    if let Some(key) = &submit.key {
        assert!(
            key.len() <= caps::IDEMPOTENCY_KEY_BYTES
                && key.bytes().all(|byte| byte.is_ascii_graphic())
        );
    }
    assert_eq!(submit.input_hash().len(), 64);
    // Where a turn lands is no part of its input; what it asks is.
    let elsewhere = Submit {
        turn_index: Some(7),
        metadata: None,
        key: None,
        if_running: IfRunning::Cancel,
        ..submit.clone()
    };
    assert_eq!(elsewhere.input_hash(), submit.input_hash());
    let other = Submit {
        model: Some(format!("{}x", submit.model.as_deref().unwrap_or_default())),
        ..submit.clone()
    };
    assert_ne!(other.input_hash(), submit.input_hash());
    // A submit goes to its session's object as JSON.
    let sent = serde_json::to_string(submit).expect("a submit is JSON");
    assert_eq!(
        serde_json::from_str::<Submit>(&sent).ok().as_ref(),
        Some(submit)
    );
}

/// A submit as a client would send it.
fn printed(submit: &Submit) -> String {
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let text = |text: &Option<String>| text.as_deref().map(json::quote);
    let running = match submit.if_running {
        IfRunning::Reject => "\"reject\"",
        IfRunning::Cancel => "\"cancel\"",
    };
    let fields = [
        ("message", submit.message.clone()),
        ("turnIndex", number(submit.turn_index)),
        ("model", text(&submit.model)),
        ("upstream", text(&submit.upstream)),
        ("ifRunning", Some(running.to_owned())),
        ("retryOf", number(submit.retry_of)),
        ("metadata", submit.metadata.clone()),
    ];
    let fields: Vec<String> = fields
        .into_iter()
        .filter_map(|(name, value)| Some(format!("\"{name}\":{}", value?)))
        .collect();
    format!("{{{}}}", fields.join(","))
}
