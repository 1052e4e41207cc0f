//! The format's rules, each at every cut of the bytes where that could matter.

use super::*;

fn event(id: Option<&str>, kind: Option<&str>, data: &str) -> Event {
    Event {
        id: id.map(String::from),
        event: kind.map(String::from),
        data: data.into(),
    }
}

fn data(data: &str) -> Event {
    event(None, None, data)
}

fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Event>, Malformed> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk.to_vec());
        while let Some(event) = decoder.next_event()? {
            events.push(event);
        }
    }
    Ok(events)
}

/// Decodes `bytes` whole, cut once at every place, and byte by byte.
fn check(bytes: impl AsRef<[u8]>, expected: Result<Vec<Event>, Malformed>) {
    let bytes = bytes.as_ref();
    assert_eq!(decode([bytes]), expected, "whole");
    assert_eq!(decode(bytes.chunks(1)), expected, "byte by byte");
    for cut in 1..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(decode([first, second]), expected, "cut at {cut}");
    }
}

#[test]
fn an_empty_line_ends_an_event() {
    check("data: a\n\ndata: b\n\n", Ok(vec![data("a"), data("b")]));
    check("\n\n\ndata: a\n\n\n\n", Ok(vec![data("a")]));
}

#[test]
fn an_unfinished_event_is_no_event() {
    check("data: a", Ok(vec![]));
    check("data: a\n", Ok(vec![]));
}

#[test]
fn lines_end_with_lf_cr_or_crlf() {
    check("data: a\r\rdata: b\r\r", Ok(vec![data("a"), data("b")]));
    check(
        "data: a\r\n\r\ndata: b\r\n\r\n",
        Ok(vec![data("a"), data("b")]),
    );
    check(
        "data: a\n\r\ndata: b\r\ndata: c\r\n\n",
        Ok(vec![data("a"), data("b\nc")]),
    );
}

#[test]
fn a_cr_ends_its_event_without_waiting_for_a_lf() {
    assert_eq!(decode([b"data: a\r\r".as_slice()]), Ok(vec![data("a")]));
}

#[test]
fn data_lines_are_joined() {
    check("data: a\ndata:\ndata: b\n\n", Ok(vec![data("a\n\nb")]));
}

#[test]
fn only_one_space_after_the_colon_is_dropped() {
    check(
        "data:  a \n\ndata:b:c\n\n",
        Ok(vec![data(" a "), data("b:c")]),
    );
}

#[test]
fn a_field_without_colon_is_an_empty_value() {
    check("data\n\ndata\ndata\n\n", Ok(vec![data(""), data("\n")]));
}

#[test]
fn an_event_without_data_is_dropped_with_its_fields() {
    check("id: 1\nevent: x\n\ndata: a\n\n", Ok(vec![data("a")]));
}

#[test]
fn an_id_belongs_to_its_own_event_only() {
    check(
        "id: 1\nevent: x\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
        Ok(vec![
            event(Some("1"), Some("x"), "a"),
            data("b"),
            event(Some(""), None, "c"),
        ]),
    );
}

#[test]
fn the_last_id_of_an_event_wins() {
    check(
        "id: 1\nid: 2\ndata: a\n\n",
        Ok(vec![event(Some("2"), None, "a")]),
    );
}

#[test]
fn an_id_with_nul_is_ignored() {
    check("id: 1\x002\ndata: a\n\n", Ok(vec![data("a")]));
}

#[test]
fn comments_and_unknown_fields_are_skipped() {
    check(
        ": hi\nretry: 10\ndatum: x\ndat: x\nidentity\n data: x\ndata: a\n:\n\n",
        Ok(vec![data("a")]),
    );
}

#[test]
fn one_byte_order_mark_is_dropped_at_the_beginning() {
    check("\u{feff}data: a\n\n", Ok(vec![data("a")]));
    check(
        "\u{feff}\u{feff}data: a\n\ndata: b\n\n",
        Ok(vec![data("b")]),
    );
    check("data: a\n\n\u{feff}data: b\n\n", Ok(vec![data("a")]));
}

#[test]
fn half_a_byte_order_mark_is_an_unknown_field() {
    check(b"\xEF\xBBdata: a\ndata: b\n\n", Ok(vec![data("b")]));
    check(b"\xEF\n\ndata: b\n\n", Ok(vec![data("b")]));
}

#[test]
fn characters_may_be_cut_anywhere() {
    check(
        "id: ü\nevent: 名\ndata: 🦀\u{2028}é\n\n",
        Ok(vec![event(Some("ü"), Some("名"), "🦀\u{2028}é")]),
    );
}

#[test]
fn what_is_kept_must_be_utf8() {
    check(b"data: \xFF\n\n", Err(Malformed::NotUtf8));
    check(b"id: \xFF\ndata: a\n\n", Err(Malformed::NotUtf8));
    check(b"event: \xC3\ndata: \xA9\n\n", Err(Malformed::NotUtf8));
    check(b": \xFF\n\xFF: \xFF\ndata: a\n\n", Ok(vec![data("a")]));
}

#[test]
fn an_event_may_fill_the_limit_and_not_one_byte_more() {
    let full = "x".repeat(FRAME_BYTES - 2);
    let expected = event(Some("1"), Some("e"), &full);
    let head = "id: 1\nevent: e\ndata: ";
    assert_eq!(
        decode([head.as_bytes(), full.as_bytes(), b"\n\n"]),
        Ok(vec![expected])
    );
    assert_eq!(
        decode([head.as_bytes(), full.as_bytes(), b"x"]),
        Err(Malformed::TooLarge)
    );
}

#[test]
fn many_short_lines_do_not_slip_past_the_limit() {
    let lines = "data\n".repeat(FRAME_BYTES + 1);
    assert_eq!(decode([lines.as_bytes()]).map(|_| ()), Ok(()));
    let lines = "data\n".repeat(FRAME_BYTES + 2);
    assert_eq!(decode([lines.as_bytes()]), Err(Malformed::TooLarge));
}

#[test]
fn what_is_skipped_takes_no_room() {
    let noise = "n".repeat(FRAME_BYTES + 1);
    let bytes = format!(": {noise}\n{noise}\nretry: {noise}\ndata: a\n\n");
    assert_eq!(decode([bytes.as_bytes()]), Ok(vec![data("a")]));
}

/// A decoder that scanned a line again with each chunk would not come to an end here.
#[test]
fn a_full_event_in_single_bytes_takes_linear_time() {
    let full = "x".repeat(FRAME_BYTES);
    let bytes = format!("data: {full}\n\n");
    assert_eq!(decode(bytes.as_bytes().chunks(1)), Ok(vec![data(&full)]));
}

/// A decoder that moved the rest of a chunk after each event would not come to an end here.
#[test]
fn many_events_in_one_chunk_take_linear_time() {
    let bytes = "data: a\n\n".repeat(1_000_000);
    assert_eq!(
        decode([bytes.as_bytes()]).map(|events| events.len()),
        Ok(1_000_000)
    );
}
