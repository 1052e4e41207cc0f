//! The lines of a turn's log: what is built is taken apart as it was built, in both views.
//!
//! An input's lines are `<type> <JSON>` for an upstream's frame; any other is the text of a line of
//! ours.

use crate::events::decoded;
use crate::input::{cuttings, text};
use steadfast::json;
use steadfast::wire::line::{self, check_upstream_kind, is_terminal, parse_kind_and_data};
use steadfast::wire::view::{Items, View, ViewKind, ndjson as lines};

/// Longer logs show nothing more.
const LINES: usize = 64;

/// What a log says is what its readers read, however it is framed and cut.
pub fn ndjson(data: &[u8]) {
    let input = text(data);
    // Any text may stand in a stored row; a wrong one is no line.
    if let Some((kind, raw)) = parse_kind_and_data(&input) {
        assert!(input.contains(kind) && input.ends_with(&format!("{raw}}}")));
    }
    accepts(&input);
    let first_seq = data.len() as u64;
    let built: Vec<String> = (first_seq..)
        .zip(input.split('\n').take(LINES))
        .map(|(seq, input)| built(seq, input))
        .collect();
    framed(first_seq, &built);
}

fn accepts(header: &str) {
    let named = header.to_ascii_lowercase().contains("text/event-stream");
    let kind = ViewKind::from_accept(Some(header));
    assert!(named || kind == ViewKind::Ndjson);
}

/// Builds the line that `input` stands for, and takes it apart again.
fn built(seq: u64, input: &str) -> String {
    let frame = input.split_once(' ').and_then(|(kind, data)| {
        let allowed = check_upstream_kind(kind).ok()?;
        Some((allowed, json::compact(data)?))
    });
    let Some((kind, data)) = frame else {
        return ours(seq, input);
    };
    assert!(!is_terminal(&kind) && !kind.starts_with("session.") && kind != line::ERROR);
    let whole = line::upstream(seq, &kind, Some(&data));
    assert_eq!(parse_kind_and_data(&whole), Some((&*kind, &*data)));
    check_line(seq, &whole, &kind);
    whole
}

fn ours(seq: u64, words: &str) -> String {
    let lines = [
        (line::started(seq, words, words, seq, words), line::STARTED),
        (line::restarted(seq, 2, words), line::RESTARTED),
        (line::suspended(seq, words, Some(i64::MIN)), line::SUSPENDED),
        (line::awakened(seq, words), line::AWAKENED),
        (line::completed(seq, words), line::COMPLETED),
        (line::error(seq, words, words), line::ERROR),
        (line::failed(seq, words, words), line::FAILED),
        (line::cancelled(seq, words, Some(words)), line::CANCELLED),
    ];
    for (whole, kind) in &lines {
        check_line(seq, whole, kind);
        let (_, data) = parse_kind_and_data(whole).expect("it is ours");
        let fields = json::members(data).expect("it is an object");
        assert!(
            fields.values().any(|value| json::string_units(value)
                .is_some_and(|units| words.encode_utf16().eq(units))),
            "the words come back: {whole}"
        );
    }
    let [.., (last, _)] = lines;
    last
}

/// A line is compact JSON of three members, and of one line.
fn check_line(seq: u64, line: &str, kind: &str) {
    assert!(!line.contains(['\n', '\r']), "{line:?}");
    assert_eq!(json::compact(line).as_deref(), Some(line));
    let members = json::members(line).expect("a line is an object");
    assert_eq!(members.len(), 3, "{line}");
    assert_eq!(members.get("seq").copied(), Some(seq.to_string().as_str()));
    assert_eq!(
        members.get("type").copied(),
        Some(json::quote(kind).as_str())
    );
    assert!(line.starts_with(&format!(r#"{{"seq":{seq},"type":"{kind}","data":"#)));
}

fn framed(first_seq: u64, built: &[String]) {
    let log: String = built.iter().map(|line| format!("{line}\n")).collect();
    let mut body = Vec::new();
    let mut events = Vec::new();
    for (seq, line) in (first_seq..).zip(built) {
        for (kind, out) in [(ViewKind::Ndjson, &mut body), (ViewKind::Sse, &mut events)] {
            let (mut view, mut items) = (kind.view(), Items::default());
            view.line(seq, line, &mut items);
            out.extend(items.take().expect("each line is an item"));
            if seq % 3 == 0 {
                out.extend_from_slice(view.heartbeat().as_bytes());
            }
        }
    }
    let read: String = text(&body)
        .split_inclusive('\n')
        .filter(|line| *line != lines::HEARTBEAT)
        .collect();
    assert_eq!(read, log);

    let mut all = cuttings(&events);
    all.push(vec![events]);
    for pieces in all {
        let (events, malformed) = decoded(pieces);
        assert_eq!(malformed, None);
        assert_eq!(events.len(), built.len());
        for ((seq, line), event) in (first_seq..).zip(built).zip(events) {
            assert_eq!(event.id, Some(seq.to_string()));
            assert_eq!(event.event, None, "`onmessage` sees each line");
            assert_eq!(&event.data, line);
        }
    }
}
