//! Each layout's rules, at every cut of the bytes where that could matter, and how ends are taken.

use super::*;
use futures::{StreamExt, stream};
use proptest::prelude::*;

/// The texts of a body's events, and what made it unreadable.
type Read = (Vec<String>, Option<Malformed>);

fn decode(framing: BodyFraming, chunks: impl IntoIterator<Item = Vec<u8>>) -> Read {
    let mut decoder = Decoder::new(framing);
    let mut texts = Vec::new();
    let mut take = |event: Result<Option<Event>, Malformed>| match event {
        Ok(event) => {
            let is_one = event.is_some();
            texts.extend(event.map(|event| event.data));
            Ok(is_one)
        }
        Err(malformed) => Err(malformed),
    };
    let read = || {
        for chunk in chunks {
            decoder.feed(chunk);
            while take(decoder.next_event())? {}
        }
        take(decoder.end()).map(drop)
    };
    let malformed = read().err();
    (texts, malformed)
}

/// Reads `bytes` whole, cut once at every place, and byte by byte.
fn check(framing: BodyFraming, bytes: impl AsRef<[u8]>, texts: &[&str], bad: Option<Malformed>) {
    let bytes = bytes.as_ref();
    let expected: Read = (texts.iter().map(|text| (*text).to_owned()).collect(), bad);
    let shown = String::from_utf8_lossy(bytes);
    assert_eq!(decode(framing, [bytes.to_vec()]), expected, "{shown:?}");
    let single = bytes.chunks(1).map(<[u8]>::to_vec);
    assert_eq!(decode(framing, single), expected, "{shown:?} byte by byte");
    for cut in 1..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        let pieces = [first.to_vec(), second.to_vec()];
        assert_eq!(decode(framing, pieces), expected, "{shown:?} cut at {cut}");
    }
}

#[test]
fn a_media_type_names_its_layout() {
    for framing in BodyFraming::ALL {
        assert_eq!(BodyFraming::of(framing.media_type()), Some(framing));
    }
    assert_eq!(
        BodyFraming::of("application/jsonl"),
        Some(BodyFraming::Ndjson)
    );
    assert_eq!(
        BodyFraming::of("application/ndjson"),
        Some(BodyFraming::Ndjson)
    );
    assert_eq!(BodyFraming::of("text/html"), None);
    assert_eq!(BodyFraming::of(""), None);
}

#[test]
fn server_sent_events_keep_their_rules() {
    let framing = BodyFraming::EventStream;
    check(
        framing,
        "data: a\n\ndata: b\ndata: c\n\n",
        &["a", "b\nc"],
        None,
    );
    // A clean end finishes no event.
    check(framing, "data: a\n\ndata: {}\n", &["a"], None);
    check(framing, b"data: \xFF\n\n", &[], Some(Malformed::NotUtf8));
}

#[test]
fn a_line_end_ends_a_line_of_json() {
    let framing = BodyFraming::Ndjson;
    check(
        framing,
        "{\"a\":1}\n{\"é\":\"🦀\"}\n",
        &["{\"a\":1}", "{\"é\":\"🦀\"}"],
        None,
    );
    // Whether it is JSON is for whoever reads it.
    check(framing, "x\n 7 \n", &["x", " 7 "], None);
    // White space around a JSON text is part of it.
    check(framing, "{}\r\n[]\r\n", &["{}\r", "[]\r"], None);
    check(framing, "", &[], None);
}

#[test]
fn an_empty_line_of_json_is_no_event() {
    check(BodyFraming::Ndjson, "\n\r\n \t\n{}\n\n", &["{}"], None);
}

#[test]
fn an_unfinished_line_is_an_event_at_a_clean_end_unless_it_may_go_on() {
    for whole in [
        "{\"done\":true}",
        "[1]",
        "\"a\"",
        "true",
        "null",
        "{} ",
        "7 ",
    ] {
        check(
            BodyFraming::Ndjson,
            format!("{{}}\n{whole}"),
            &["{}", whole],
            None,
        );
    }
    for cut in [
        "{\"done\":tr",
        "[1",
        "\"a",
        "\"\\ud8",
        "tru",
        "7",
        "-",
        "1e",
        "1.5",
        " ",
        "{\"done\":true",
    ] {
        check(BodyFraming::Ndjson, format!("{{}}\n{cut}"), &["{}"], None);
    }
    // No end makes JSON of it, so whoever reads it may say what it is.
    check(BodyFraming::Ndjson, "{}\n<html>", &["{}", "<html>"], None);
    // Half a character is a cut, not a breach.
    check(BodyFraming::Ndjson, b"{}\n\"\xF0\x9F", &["{}"], None);
    check(
        BodyFraming::Ndjson,
        b"{}\n\"\xFF\"",
        &["{}"],
        Some(Malformed::NotUtf8),
    );
}

#[test]
fn a_document_is_one_event_at_its_clean_end() {
    check(
        BodyFraming::Json,
        "{\"a\":\n[1, 2]}\n",
        &["{\"a\":\n[1, 2]}\n"],
        None,
    );
    for cut in ["", "\n", "{\"a\":[1,", "17", "\"\\u00"] {
        check(BodyFraming::Json, cut, &[], None);
    }
    check(BodyFraming::Json, "{} x", &["{} x"], None);
    check(BodyFraming::Json, b"\"\xC3", &[], None);
    check(
        BodyFraming::Json,
        b"\"\xFF\"",
        &[],
        Some(Malformed::NotUtf8),
    );
}

#[test]
fn a_text_is_one_event_at_its_clean_end() {
    check(BodyFraming::Text, "Hello\n\n🦀 7", &["Hello\n\n🦀 7"], None);
    check(BodyFraming::Text, "", &[], None);
    check(BodyFraming::Text, b"Hello \xF0\x9F\xA6", &[], None);
    check(BodyFraming::Text, b"a \xFF", &[], Some(Malformed::NotUtf8));
}

#[test]
fn one_byte_order_mark_is_dropped_at_the_beginning() {
    let ndjson = BodyFraming::Ndjson;
    check(
        ndjson,
        "\u{feff}{}\n\u{feff}[]\n",
        &["{}", "\u{feff}[]"],
        None,
    );
    check(ndjson, "\u{feff}\n{}", &["{}"], None);
    check(BodyFraming::Json, "\u{feff}{}", &["{}"], None);
    check(BodyFraming::Text, "\u{feff}\u{feff}a", &["\u{feff}a"], None);
    check(BodyFraming::Text, "\u{feff}", &[], None);
}

#[test]
fn an_event_may_fill_the_limit_and_not_one_byte_more() {
    let full = format!("\"{}\"", "x".repeat(FRAME_BYTES - 2));
    let too_large = Some(Malformed::TooLarge);
    for framing in [BodyFraming::Ndjson, BodyFraming::Json, BodyFraming::Text] {
        let pieces = |more: &str| [full.clone().into_bytes(), more.as_bytes().to_vec()];
        assert_eq!(decode(framing, pieces("")), (vec![full.clone()], None));
        assert_eq!(
            decode(framing, pieces(" ")),
            (vec![], too_large),
            "{framing:?}"
        );
    }
    let lines = [format!("{full}\n {full}\n").into_bytes()];
    assert_eq!(decode(BodyFraming::Ndjson, lines), (vec![full], too_large));
}

/// A decoder that moved or scanned bytes again would not come to an end here.
#[test]
fn many_lines_and_long_ones_take_linear_time() {
    let many = "[]\n".repeat(1_000_000).into_bytes();
    assert_eq!(decode(BodyFraming::Ndjson, [many]).0.len(), 1_000_000);
    let long = format!("\"{}\"\n", "x".repeat(FRAME_BYTES - 2));
    let single = long.as_bytes().chunks(1).map(<[u8]>::to_vec);
    assert_eq!(decode(BodyFraming::Ndjson, single).0.len(), 1);
}

/// Pieces that come next to each other in bodies, good and bad.
fn piece() -> impl Strategy<Value = &'static [u8]> {
    let pieces: Vec<&[u8]> = vec![
        b"\n",
        b"\r",
        b"\r\n",
        b" ",
        b"data: ",
        b"id: 1",
        b"event",
        b":",
        b"{\"a\":",
        b"1",
        b"}",
        b"\"",
        b"\\",
        b"true",
        b"[",
        b"]",
        b"\xEF\xBB\xBF",
        b"\xF0\x9F\xA6\x80",
        b"\xC3\xA9",
        b"\xFF",
        b"\xF0\x9F",
    ];
    prop::sample::select(pieces)
}

proptest! {
    #[test]
    fn however_a_body_is_cut_its_events_are_the_same(
        pieces in prop::collection::vec(piece(), 0..40),
        cuts in prop::collection::vec(0_usize..200, 0..8),
    ) {
        let body = pieces.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        for framing in BodyFraming::ALL {
            let cut = cuts.windows(2).map(|pair| body[pair[0]..pair[1]].to_vec());
            prop_assert_eq!(decode(framing, cut), decode(framing, [body.clone()]));
        }
    }

    #[test]
    fn finished_lines_are_the_bodys_lines(lines in prop::collection::vec("[ -~é]{0,12}", 0..12)) {
        let body = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let whole: Vec<String> = lines.into_iter().filter(|line| !line.trim().is_empty()).collect();
        prop_assert_eq!(decode(BodyFraming::Ndjson, [body.into_bytes()]), (whole, None));
    }
}

fn data(data: &str) -> Arrival {
    Arrival::Event(Event::of(data.to_owned()))
}

fn arrivals(
    framing: BodyFraming,
    chunks: Vec<Result<&str, Unreachable>>,
) -> Vec<Result<Arrival, Stopped>> {
    let chunks = chunks
        .into_iter()
        .map(|chunk| chunk.map(|bytes| bytes.as_bytes().to_vec()));
    let body = stream::iter(chunks.collect::<Vec<_>>());
    futures::executor::block_on(Events::new(body, framing).collect())
}

#[test]
fn a_chunk_that_ends_no_event_is_alive_once() {
    assert_eq!(
        arrivals(
            BodyFraming::EventStream,
            vec![
                Ok(": hb\n\n: hb\n\n"),
                Ok(""),
                Ok("data: a"),
                Ok("\n\ndata: b")
            ]
        ),
        vec![Ok(Arrival::Alive), Ok(Arrival::Alive), Ok(data("a")),]
    );
}

#[test]
fn a_broken_connection_is_told_apart_from_bad_bytes() {
    assert_eq!(
        arrivals(
            BodyFraming::EventStream,
            vec![Ok("data: a\n\n"), Err(Unreachable)]
        ),
        vec![Ok(data("a")), Err(Unreachable.into())]
    );
    let large = "x".repeat(FRAME_BYTES + 1);
    assert_eq!(
        arrivals(BodyFraming::EventStream, vec![Ok("data: "), Ok(&large)]).last(),
        Some(&Err(Malformed::TooLarge.into()))
    );
}

#[test]
fn a_clean_end_finishes_what_a_broken_connection_must_not() {
    for framing in [BodyFraming::Ndjson, BodyFraming::Json, BodyFraming::Text] {
        let half = vec![Ok("{\"a\""), Ok(":1}")];
        let alive = || vec![Ok(Arrival::Alive), Ok(Arrival::Alive)];
        let mut clean = alive();
        clean.push(Ok(data("{\"a\":1}")));
        assert_eq!(arrivals(framing, half.clone()), clean, "{framing:?}");
        let mut broken = alive();
        broken.push(Err(Unreachable.into()));
        let cut = [half, vec![Err(Unreachable), Ok("\n")]].concat();
        assert_eq!(arrivals(framing, cut), broken, "{framing:?}");
    }
    let bad = arrivals(BodyFraming::Text, vec![Ok("a"), Ok("\u{feff}")]);
    assert_eq!(bad.last(), Some(&Ok(data("a\u{feff}"))));
}
