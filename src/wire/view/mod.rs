//! Views: what a reader is shown of a turn's log.
//!
//! A view is a pure fold over the log's lines: for each line it gives items, none or several, and what it
//! gives depends on nothing else. So the same log gives the same items whenever it is read, and a reader
//! who comes back with the cursor of an item gets exactly the rest. A view that keeps state folds the lines
//! before that item again and gives nothing of them.
//!
//! Owns the trait, the list of views, how a request chooses one, and what a client's cursor means to it.
//! It doesn't own where lines come from nor when a body ends or beats: that is `log/`. Invariant: a view may
//! give nothing for a line, and nothing but its own items hangs on that.
//!
//! A further view is a file here and a row in each match of this one.

pub mod ndjson;
pub mod sse;

use super::problem::Problem;
use super::request::parse_after;
use ndjson::Ndjson;
use serde::{Deserialize, Serialize};
use sse::Sse;

/// A pure fold of a log's lines into what a reader gets.
pub trait View {
    /// The media type of its bodies.
    fn content_type(&self) -> &'static str;

    /// Takes the next line of the log, whose number is `seq`, and pushes what it gives.
    fn line(&mut self, seq: u64, line: &str, items: &mut Items);

    /// What is sent after a time of quiet: no item, and no part of any log.
    fn heartbeat(&self) -> &'static str;
}

/// The items that a view has given and nobody has been sent yet.
#[derive(Debug, Default)]
pub struct Items {
    bytes: Vec<u8>,
    /// How many were given, silent ones included.
    count: u64,
    /// So many are silent: their reader has them.
    silent: u64,
}

impl Items {
    /// Items of which the first `silent` are not sent.
    pub fn behind(silent: u64) -> Self {
        Items {
            silent,
            ..Items::default()
        }
    }

    /// Gives one item.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.count >= self.silent {
            write(&mut self.bytes);
        }
        self.count += 1;
    }

    /// The next item's place, from 0: a cursor for views that have their own.
    pub const fn next(&self) -> u64 {
        self.count
    }

    /// Whether all silent items were given.
    pub const fn has_caught_up(&self) -> bool {
        self.count >= self.silent
    }

    /// Whether nothing is to be sent.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes to send, if there are some.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        let bytes = std::mem::take(&mut self.bytes);
        (!bytes.is_empty()).then_some(bytes)
    }
}

/// Where a reader's view begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// At this line. What comes before it doesn't matter to the view.
    Line(u64),
    /// Behind so many items: the log is folded from its first line on, silently until then.
    Item(u64),
}

/// The views that a request may choose from. It travels from Worker to object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ViewKind {
    /// One line of text per line; the default.
    #[default]
    Ndjson,
    /// Server-sent events, for `EventSource`.
    Sse,
}

impl ViewKind {
    /// Chooses by the request's `Accept`: SSE when it is named and wanted more than NDJSON.
    ///
    /// Wildcards don't ask for SSE, since every client sends them; a header that can't be read is no
    /// reason to refuse a turn.
    pub fn from_accept(accept: Option<&str>) -> Self {
        let accept = accept.unwrap_or_default();
        let sse = quality(accept, sse::CONTENT_TYPE);
        if sse > 0 && sse > quality(accept, ndjson::CONTENT_TYPE) {
            Self::Sse
        } else {
            Self::Ndjson
        }
    }

    /// Where the view of a client begins that names the last thing it has: `after` of the query, or
    /// `Last-Event-ID`, which a browser sends by itself and which therefore wins where events have ids.
    ///
    /// # Errors
    /// `invalid_request` for a cursor of another form.
    pub fn start(self, after: Option<&str>, last_event_id: Option<&str>) -> Result<Start, Problem> {
        let last_event_id = match self {
            Self::Ndjson => None,
            Self::Sse => last_event_id,
        };
        parse_after(after, last_event_id).map(Start::Line)
    }

    /// How a body without a single item is answered: SSE's clients come back until they are told that
    /// there is nothing more.
    pub const fn ends_by_no_content(self) -> bool {
        match self {
            Self::Ndjson => false,
            Self::Sse => true,
        }
    }

    /// The view at the beginning of its fold.
    pub const fn view(self) -> AnyView {
        match self {
            Self::Ndjson => AnyView::Ndjson(Ndjson),
            Self::Sse => AnyView::Sse(Sse),
        }
    }
}

/// A view of any kind.
#[derive(Clone, Copy, Debug)]
pub enum AnyView {
    /// See [`ndjson`].
    Ndjson(Ndjson),
    /// See [`sse`].
    Sse(Sse),
}

impl View for AnyView {
    fn content_type(&self) -> &'static str {
        match self {
            AnyView::Ndjson(view) => view.content_type(),
            AnyView::Sse(view) => view.content_type(),
        }
    }

    fn line(&mut self, seq: u64, line: &str, items: &mut Items) {
        match self {
            AnyView::Ndjson(view) => view.line(seq, line, items),
            AnyView::Sse(view) => view.line(seq, line, items),
        }
    }

    fn heartbeat(&self) -> &'static str {
        match self {
            AnyView::Ndjson(view) => view.heartbeat(),
            AnyView::Sse(view) => view.heartbeat(),
        }
    }
}

/// How much an `Accept` header wants a media type that it names, in thousandths.
fn quality(accept: &str, media_type: &str) -> u16 {
    let mut best = 0;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        if !parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(media_type))
        {
            continue;
        }
        let weight = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(1000, |(_, value)| thousandths(value.trim()));
        best = best.max(weight);
    }
    best
}

/// A weight between 0 and 1 with at most three decimals (RFC 9110 §12.4.2); anything else counts as 1.
fn thousandths(value: &str) -> u16 {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    let readable = decimals.len() <= 3 && decimals.bytes().all(|b| b.is_ascii_digit());
    match whole {
        "0" if readable => format!("{decimals:0<3}").parse().unwrap_or(1000),
        _ => 1000,
    }
}

/// All that a view of this kind gives for the lines from `first_seq` on.
#[cfg(test)]
pub(crate) fn encoded(kind: ViewKind, first_seq: u64, lines: &str) -> String {
    let (mut view, mut items) = (kind.view(), Items::default());
    for (seq, line) in (first_seq..).zip(lines.lines()) {
        view.line(seq, line, &mut items);
    }
    String::from_utf8(items.take().unwrap_or_default()).expect("views of text give text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sse_is_for_those_who_ask_for_it() {
        let cases = [
            (None, ViewKind::Ndjson),
            (Some(""), ViewKind::Ndjson),
            (Some("*/*"), ViewKind::Ndjson),
            (Some("text/*"), ViewKind::Ndjson),
            (Some("application/json"), ViewKind::Ndjson),
            (Some("application/x-ndjson"), ViewKind::Ndjson),
            (Some("text/event-stream"), ViewKind::Sse),
            (Some("Text/Event-Stream ; charset=utf-8"), ViewKind::Sse),
            (Some("text/event-stream, */*;q=0.1"), ViewKind::Sse),
            (Some("*/*, text/event-stream;q=0.5"), ViewKind::Sse),
            (Some("text/event-stream;q=0"), ViewKind::Ndjson),
            (Some("text/event-stream;q=0.000"), ViewKind::Ndjson),
            (
                Some("text/event-stream, application/x-ndjson"),
                ViewKind::Ndjson,
            ),
            (
                Some("application/x-ndjson;q=0.5, text/event-stream;q=0.501"),
                ViewKind::Sse,
            ),
            (
                Some("application/x-ndjson, text/event-stream; Q=0.9"),
                ViewKind::Ndjson,
            ),
            (Some("text/event-stream;q=nonsense"), ViewKind::Sse),
            (Some("text/event-stream;q=0.0000"), ViewKind::Sse),
            (
                Some("text/event-stream, text/event-stream;q=0"),
                ViewKind::Sse,
            ),
            (Some("text/event-streams"), ViewKind::Ndjson),
            (Some(",;=,text/event-stream"), ViewKind::Sse),
        ];
        for (accept, expected) in cases {
            assert_eq!(ViewKind::from_accept(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn a_view_names_its_media_type() {
        assert_eq!(
            ViewKind::Ndjson.view().content_type(),
            "application/x-ndjson"
        );
        assert_eq!(ViewKind::Sse.view().content_type(), "text/event-stream");
    }

    #[test]
    fn silent_items_are_counted_and_not_sent() {
        let mut items = Items::behind(2);
        for n in 0..4_u8 {
            assert_eq!(items.next(), u64::from(n));
            assert_eq!(items.has_caught_up(), n >= 2);
            items.push(|out| out.push(n));
        }
        assert_eq!(items.take(), Some(vec![2, 3]));
        assert_eq!(items.take(), None);
    }

    #[test]
    fn a_cursor_is_the_views_own() {
        for (kind, after, id, expected) in [
            (ViewKind::Ndjson, None, None, 0),
            (ViewKind::Ndjson, Some("-1"), Some("7"), 0),
            (ViewKind::Ndjson, Some("4"), Some("7"), 5),
            (ViewKind::Sse, Some("4"), Some("7"), 8),
            (ViewKind::Sse, Some("4"), Some(""), 5),
        ] {
            assert_eq!(kind.start(after, id), Ok(Start::Line(expected)));
        }
    }
}
