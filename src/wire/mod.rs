//! What stands on the wire: requests in, lines and problems out.
//!
//! A turn's log is a sequence of JSON lines, `{"seq":N,"type":"…","data":…}`, numbered from 0
//! without gaps and ended by exactly one terminal line. A client reads the stored lines and
//! nothing else, in one of two framings; heartbeats stand between them and outside the log.
//! What can be refused is refused as a [`problem::Problem`] before the head of an answer is sent.
//!
//! Owns the text of PROTOCOL §2 in both directions. It doesn't own stores, turns or HTTP types.
//! Invariant: a framing adds bytes around stored lines and changes none within them.

pub mod code;
pub mod content;
pub mod cursor;
pub mod line;
pub mod ndjson;
pub mod problem;
pub mod request;
pub mod sse;

/// How lines are laid into a response body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Framing {
    /// One line of text per line; the default.
    #[default]
    Ndjson,
    /// Server-sent events, for `EventSource`.
    Sse,
}

impl Framing {
    /// Chooses by the request's `Accept`: SSE when it is named and not less wanted than NDJSON.
    ///
    /// A request that names both alike gets NDJSON. Wildcards don't ask for SSE, since every
    /// client sends them; a header that can't be read is no reason to refuse a turn.
    pub fn from_accept(accept: Option<&str>) -> Self {
        let accept = accept.unwrap_or_default();
        let sse = quality(accept, sse::CONTENT_TYPE);
        if sse > 0 && sse > quality(accept, ndjson::CONTENT_TYPE) {
            Self::Sse
        } else {
            Self::Ndjson
        }
    }

    /// The media type of a body in this framing.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => ndjson::CONTENT_TYPE,
            Self::Sse => sse::CONTENT_TYPE,
        }
    }

    /// Appends stored lines, each ended by `\n`, of which the first has the seq `first_seq`.
    pub fn encode(self, first_seq: u64, lines: &str, out: &mut Vec<u8>) {
        match self {
            Self::Ndjson => ndjson::encode(lines, out),
            Self::Sse => sse::encode(first_seq, lines, out),
        }
    }

    /// What is sent after a time of quiet; no part of any log.
    pub fn heartbeat(self) -> &'static str {
        match self {
            Self::Ndjson => ndjson::HEARTBEAT,
            Self::Sse => sse::HEARTBEAT,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sse_is_for_those_who_ask_for_it() {
        let cases = [
            (None, Framing::Ndjson),
            (Some(""), Framing::Ndjson),
            (Some("*/*"), Framing::Ndjson),
            (Some("text/*"), Framing::Ndjson),
            (Some("application/json"), Framing::Ndjson),
            (Some("application/x-ndjson"), Framing::Ndjson),
            (Some("text/event-stream"), Framing::Sse),
            (Some("Text/Event-Stream ; charset=utf-8"), Framing::Sse),
            (Some("text/event-stream, */*;q=0.1"), Framing::Sse),
            (Some("*/*, text/event-stream;q=0.5"), Framing::Sse),
            (Some("text/event-stream;q=0"), Framing::Ndjson),
            (Some("text/event-stream;q=0.000"), Framing::Ndjson),
            (
                Some("text/event-stream, application/x-ndjson"),
                Framing::Ndjson,
            ),
            (
                Some("application/x-ndjson;q=0.5, text/event-stream;q=0.501"),
                Framing::Sse,
            ),
            (
                Some("application/x-ndjson, text/event-stream; Q=0.9"),
                Framing::Ndjson,
            ),
            (Some("text/event-stream;q=nonsense"), Framing::Sse),
            (Some("text/event-stream;q=0.0000"), Framing::Sse),
            (
                Some("text/event-stream, text/event-stream;q=0"),
                Framing::Sse,
            ),
            (Some("text/event-streams"), Framing::Ndjson),
            (Some(",;=,text/event-stream"), Framing::Sse),
        ];
        for (accept, expected) in cases {
            assert_eq!(Framing::from_accept(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn a_framing_names_its_media_type() {
        assert_eq!(Framing::Ndjson.content_type(), "application/x-ndjson");
        assert_eq!(Framing::Sse.content_type(), "text/event-stream");
    }

    #[test]
    fn encoding_appends_in_any_split() {
        let lines = ["{\"seq\":7}\n", "{\"seq\":8}\n", "{\"seq\":9}\n"];
        for framing in [Framing::Ndjson, Framing::Sse] {
            let mut whole = Vec::new();
            framing.encode(7, &lines.concat(), &mut whole);
            let mut pieces = Vec::new();
            for (seq, line) in (7..).zip(lines) {
                framing.encode(seq, line, &mut pieces);
            }
            assert_eq!(whole, pieces, "{framing:?}");
            assert!(!whole.is_empty());
        }
    }
}
