//! Upstreams' answers: however a body is cut, what a drain reads is the same, and each frame can
//! become a line.
//!
//! Owns an HTTP port that gives the body in the pieces it is told.

use crate::SECRET;
use crate::input::{cuttings, filled};
use futures::{FutureExt, StreamExt, stream};
use std::collections::BTreeSet;
use steadfast::caps::{FRAME_BYTES, UPSTREAM_MESSAGE_BYTES};
use steadfast::json;
use steadfast::log::Transcript;
use steadfast::upstream::{
    Ask, Checked, Cut, Frame, FrameBody, Headers, Http, HttpRequest, HttpResponse, OpenAiChat,
    Sandbox, Signal, Unreachable, Upstream,
};
use steadfast::wire::line;

const KEY: &str = "sk-hunter2";

/// Frames as the sandbox sends them, one an event.
pub fn sandbox(data: &[u8]) {
    each_cut(data, |http| {
        checked(frames(&Sandbox::new(
            http,
            "http://u",
            Some(KEY.to_owned()),
        )))
    });
}

/// Chunks of a chat completion.
pub fn openai_chat(data: &[u8]) {
    let items = each_cut(data, |http| {
        let made = frames(&OpenAiChat::new(http, "http://u", Some(KEY.to_owned())));
        let read = checked(made.clone());
        // The adapter makes lines of chunks itself, so the check finds only what is too large or long.
        let changed = without_life(made)
            .into_iter()
            .zip(without_life(read.clone()))
            .find(|(made, read)| made != read);
        if let Some((Ok(frame), _)) = changed {
            let is_failure = matches!(frame.body, FrameBody::Failed { .. });
            assert!(is_failure || size(&frame) > FRAME_BYTES, "{frame:?}");
        }
        read
    });
    let ids: BTreeSet<&str> = items
        .iter()
        .flatten()
        .map(|frame| frame.id.as_str())
        .collect();
    assert_eq!(
        ids.len(),
        items.iter().flatten().count(),
        "ids are given once"
    );
    whole_text(&items);
}

type Item = Result<Frame, Cut>;

fn each_cut(data: &[u8], read: impl Fn(Pieces) -> Vec<Result<Signal, Cut>>) -> Vec<Item> {
    let body = filled(data);
    let items = without_life(read(Pieces(vec![body.clone()])));
    for pieces in cuttings(&body) {
        let shape: Vec<usize> = pieces.iter().take(200).map(Vec::len).collect();
        assert_eq!(
            without_life(read(Pieces(pieces))),
            items,
            "cut as {shape:?}"
        );
    }
    let mut rest = items.iter();
    while let Some(item) = rest.next() {
        if check(item) {
            assert_eq!(rest.next(), None, "nothing follows an end");
        }
    }
    items
}

/// As a drain reads them.
fn checked(items: Vec<Result<Signal, Cut>>) -> Vec<Result<Signal, Cut>> {
    let all = Checked::new(stream::iter(items)).collect();
    all.now_or_never().expect("it waits for nothing")
}

fn size(frame: &Frame) -> usize {
    match &frame.body {
        FrameBody::Event { data, .. } => data.as_ref().map_or(0, String::len),
        FrameBody::Failed { message } => message.len(),
        FrameBody::Started { .. } | FrameBody::Completed => 0,
    }
}

fn without_life(items: Vec<Result<Signal, Cut>>) -> Vec<Item> {
    let keep = |item| match item {
        Ok(Signal::Alive) => None,
        Ok(Signal::Frame(frame)) => Some(Ok(frame)),
        Err(cut) => Some(Err(cut)),
    };
    items.into_iter().filter_map(keep).collect()
}

/// Whether it is the last.
fn check(item: &Item) -> bool {
    let frame = match item {
        Ok(frame) => frame,
        Err(Cut::Broken) => return true,
        Err(Cut::Protocol(why)) => {
            assert!(!why.contains(SECRET) && why.len() < 200, "{why}");
            return true;
        }
    };
    assert!(!frame.id.is_empty() && frame.id.bytes().all(|byte| byte.is_ascii_graphic()));
    match &frame.body {
        FrameBody::Started { .. } => false,
        FrameBody::Event { kind, data } => {
            assert!(line::check_upstream_kind(kind).is_ok(), "{kind:?}");
            assert!(size(frame) <= FRAME_BYTES);
            if let Some(data) = data {
                assert_eq!(json::compact(data).as_ref(), Some(data));
            }
            let text = line::upstream(1, kind, data.as_deref());
            assert!(line::parse_kind_and_data(&text).is_some());
            false
        }
        FrameBody::Completed => true,
        FrameBody::Failed { message } => {
            assert!(
                message.len() <= UPSTREAM_MESSAGE_BYTES && !message.contains(KEY),
                "{message}"
            );
            true
        }
    }
}

/// The text of a whole answer is the text of its parts.
fn whole_text(items: &[Item]) {
    let mut parts = Transcript::default();
    let mut all = Transcript::default();
    let mut whole = false;
    for frame in items.iter().flatten() {
        let FrameBody::Event {
            kind,
            data: Some(data),
        } = &frame.body
        else {
            continue;
        };
        all.take(kind, data);
        if kind != "result" {
            parts.take(kind, data);
        } else {
            whole = data.starts_with(r#"{"finalText":"#);
        }
    }
    if whole {
        assert_eq!(
            String::from_utf16_lossy(&parts.units()),
            String::from_utf16_lossy(&all.units())
        );
    }
}

#[derive(Clone)]
struct Pieces(Vec<Vec<u8>>);

impl Http for Pieces {
    type Body = stream::Iter<std::vec::IntoIter<Result<Vec<u8>, Unreachable>>>;

    async fn send(&self, _request: HttpRequest) -> Result<HttpResponse<Self::Body>, Unreachable> {
        let pieces: Vec<_> = self.0.iter().cloned().map(Ok).collect();
        let mut headers = Headers::default();
        headers.push("content-type", "text/event-stream");
        Ok(HttpResponse {
            status: 200,
            headers,
            body: stream::iter(pieces),
        })
    }
}

fn frames(upstream: &impl Upstream) -> Vec<Result<Signal, Cut>> {
    let ask = Ask {
        execution_id: "t:s:0".to_owned(),
        input_hash: String::new(),
        session_id: "s".to_owned(),
        message: "\"hi\"".to_owned(),
        history: Vec::new(),
        model: None,
        system_prompt: None,
        metadata: None,
    };
    let all = async {
        upstream
            .start(&ask)
            .await
            .expect("it is accepted")
            .collect()
            .await
    };
    all.now_or_never().expect("it waits for nothing")
}
