//! Requests as they were sent: bodies, parameters and keys, checked and kept as text.
//!
//! Owns the rules of PROTOCOL §2.1 and of every parameter in §2.3 and §2.4. It doesn't own what
//! depends on a session's state or on the configuration: whether an index is next, or a model is
//! known. Invariant: JSON that will be stored or sent on stays the sender's text, without white
//! space, and a refusal names the rule, never the value.

use super::problem::Problem;
use crate::caps;
use crate::ids::{EventKey, SessionId};
use crate::json::{self, NotMembers};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The largest integer that every JSON reader holds exactly: 2^53 − 1 (RFC 8259 §6).
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// A submitted turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// The user's content as compact JSON: a string literal or an array of parts. `None` when
    /// `retry_of` says whose message it is.
    pub message: Option<String>,
    /// The turn that the caller means; `None` is the next one.
    pub turn_index: Option<u64>,
    /// The model asked for, not yet compared with the configured ones.
    pub model: Option<String>,
    /// The upstream asked for, not yet compared with the configured ones.
    pub upstream: Option<String>,
    /// What to do when another turn runs.
    pub if_running: IfRunning,
    /// The turn whose message is run again.
    pub retry_of: Option<u64>,
    /// The caller's metadata as a compact JSON object.
    pub metadata: Option<String>,
    /// `Idempotency-Key`.
    pub key: Option<String>,
}

/// What a submit does when another turn of its session runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IfRunning {
    /// Answers 409.
    #[default]
    Reject,
    /// Cancels the running turn, then goes on.
    Cancel,
}

impl Submit {
    /// Lower-case hex SHA-256 of the turn's input: message, model, upstream and `retryOf`, as sent.
    ///
    /// Where the turn lands, metadata, `ifRunning` and the key are not part of it. PERSISTED, and
    /// known to upstreams as `X-Input-Hash`: a change makes every retry of an older turn a mismatch.
    pub fn input_hash(&self) -> String {
        let retry_of = self.retry_of.map(|index| index.to_string());
        let mut hasher = Sha256::new_with_prefix("steadfast.input.1");
        for field in [&self.message, &self.model, &self.upstream, &retry_of] {
            // Presence and length stand before each text, so no two inputs have one encoding.
            match field {
                None => hasher.update([0]),
                Some(text) => {
                    hasher.update([1]);
                    hasher.update((text.len() as u64).to_be_bytes());
                    hasher.update(text);
                }
            }
        }
        hex::encode(hasher.finalize())
    }
}

/// Reads a submit. Unknown fields are ignored; `null` is no way to leave a field out, because a
/// `turnIndex` that a client computed wrongly would turn into "the next turn".
pub fn parse_submit(
    content_type: Option<&str>,
    body: &[u8],
    idempotency_key: Option<&str>,
) -> Result<Submit, Problem> {
    let body = json_body(content_type, body, caps::REQUEST_BODY_BYTES)?;
    let fields = object(body, "the body")?;
    let field = |name: &str| fields.get(name).copied();

    let message = field("message").map(parse_message).transpose()?;
    let retry_of = optional(field("retryOf"), "retryOf", parse_integer)?;
    match (&message, retry_of) {
        (None, None) => return Err(refuse("`message` or `retryOf` is required")),
        (Some(_), Some(_)) => return Err(refuse("`message` and `retryOf` exclude each other")),
        _ => {}
    }
    Ok(Submit {
        message,
        turn_index: optional(field("turnIndex"), "turnIndex", parse_integer)?,
        model: optional(field("model"), "model", parse_text)?,
        upstream: optional(field("upstream"), "upstream", parse_text)?,
        if_running: optional(field("ifRunning"), "ifRunning", parse_if_running)?
            .unwrap_or_default(),
        retry_of,
        metadata: field("metadata").map(parse_metadata).transpose()?,
        key: idempotency_key.map(parse_idempotency_key).transpose()?,
    })
}

/// Reads the body of a cancel: nothing, or `{reason?}`.
pub fn parse_cancel(content_type: Option<&str>, body: &[u8]) -> Result<Option<String>, Problem> {
    if body.is_empty() {
        return Ok(None);
    }
    let body = json_body(content_type, body, caps::REQUEST_BODY_BYTES)?;
    let fields = object(body, "the body")?;
    let reason = optional(fields.get("reason").copied(), "reason", parse_text)?;
    if let Some(reason) = &reason
        && reason.chars().count() > caps::CANCEL_REASON_CHARS
    {
        let detail = format!(
            "`reason` has at most {} characters",
            caps::CANCEL_REASON_CHARS
        );
        return Err(refuse(detail));
    }
    Ok(reason)
}

/// Reads an event's payload: any JSON, returned compact.
pub fn parse_event_payload(content_type: Option<&str>, body: &[u8]) -> Result<String, Problem> {
    let body = json_body(content_type, body, caps::EVENT_BODY_BYTES)?;
    json::compact(body).ok_or_else(|| refuse("the body must be JSON"))
}

/// Reads the session of a path.
pub fn parse_session(segment: &str) -> Result<SessionId, Problem> {
    Ok(SessionId::parse(segment)?)
}

/// Reads the turn index of a path.
pub fn parse_turn_index(segment: &str) -> Result<u64, Problem> {
    parse_integer(segment).map_err(|Unfit(rule)| refuse(format!("the turn index must be {rule}")))
}

/// Reads the event key of a path.
pub fn parse_event_key(segment: &str) -> Result<EventKey, Problem> {
    Ok(EventKey::parse(segment)?)
}

/// The first line that a reader wants, by the seq of the last one it has; −1 is before the first line.
///
/// `last_event_id` is for SSE alone, where it wins: a browser repeats the `after` of its first
/// request for ever. An empty one is what event sources have before their first id: none.
pub fn parse_after(after: Option<&str>, last_event_id: Option<&str>) -> Result<u64, Problem> {
    let (name, text) = match (last_event_id.filter(|id| !id.is_empty()), after) {
        (Some(id), _) => ("Last-Event-ID", id),
        (None, Some(after)) => ("after", after),
        (None, None) => return Ok(0),
    };
    if text == "-1" {
        return Ok(0);
    }
    // Seqs are stored as 64-bit integers with a sign.
    let seq = parse_integer(text).ok().and_then(|n| i64::try_from(n).ok());
    let seq = seq.ok_or_else(|| refuse(format!("`{name}` must be an integer from -1 on")))?;
    Ok(seq.unsigned_abs() + 1)
}

/// Whether a follower waits for lines to come: `live=false` ends at the log's present end.
pub fn parse_live(live: Option<&str>) -> Result<bool, Problem> {
    match live {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(refuse("`live` must be `true` or `false`")),
    }
}

/// How many items a page of a list has.
pub fn parse_limit(limit: Option<&str>) -> Result<u32, Problem> {
    let Some(limit) = limit else {
        return Ok(caps::LIST_LIMIT_DEFAULT);
    };
    let limit = parse_integer(limit)
        .ok()
        .and_then(|n| u32::try_from(n).ok());
    limit
        .filter(|limit| (1..=caps::LIST_LIMIT).contains(limit))
        .ok_or_else(|| {
            refuse(format!(
                "`limit` must be an integer from 1 to {}",
                caps::LIST_LIMIT
            ))
        })
}

/// A body that is declared as JSON, small enough, in UTF-8, and not too deep; not yet known to be valid.
fn json_body<'b>(
    content_type: Option<&str>,
    body: &'b [u8],
    max_bytes: usize,
) -> Result<&'b str, Problem> {
    if !content_type.is_some_and(is_json) {
        return Err(Problem::unsupported_media_type());
    }
    if body.len() > max_bytes {
        return Err(Problem::payload_too_large(max_bytes));
    }
    let body = std::str::from_utf8(body).map_err(|_| refuse("the body must be UTF-8"))?;
    if json::depth(body) > caps::REQUEST_DEPTH {
        let detail = format!("the body nests deeper than {} levels", caps::REQUEST_DEPTH);
        return Err(refuse(detail));
    }
    Ok(body)
}

/// `application/json`, in UTF-8 when it names a character set. Other parameters mean nothing here.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parts
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .all(|(_, value)| value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"));
    is_json && is_utf8
}

fn object<'b>(raw: &'b str, what: &str) -> Result<BTreeMap<String, &'b str>, Problem> {
    json::members(raw).map_err(|why| {
        refuse(match why {
            NotMembers::NotAnObject => format!("{what} must be a JSON object"),
            NotMembers::DuplicateKey => format!("{what} has a key twice"),
        })
    })
}

/// What a value must be and isn't, to be read behind "must be".
struct Unfit(&'static str);

/// Reads the optional field `name` with `parse`.
fn optional<T>(
    raw: Option<&str>,
    name: &str,
    parse: impl Fn(&str) -> Result<T, Unfit>,
) -> Result<Option<T>, Problem> {
    raw.map(parse)
        .transpose()
        .map_err(|Unfit(rule)| refuse(format!("`{name}` must be {rule}")))
}

/// An integer in its one plain form, in JSON and in URLs alike: no sign, fraction, exponent or leading zero.
fn parse_integer(raw: &str) -> Result<u64, Unfit> {
    const RULE: Unfit = Unfit("an integer from 0 to 2^53-1");
    let plain = raw == "0" || !raw.starts_with('0') && raw.bytes().all(|b| b.is_ascii_digit());
    raw.parse()
        .ok()
        .filter(|value| plain && *value <= MAX_INTEGER)
        .ok_or(RULE)
}

fn parse_text(raw: &str) -> Result<String, Unfit> {
    serde_json::from_str(raw).map_err(|_| Unfit("a string of valid Unicode"))
}

fn parse_if_running(raw: &str) -> Result<IfRunning, Unfit> {
    match parse_text(raw)?.as_str() {
        "reject" => Ok(IfRunning::Reject),
        "cancel" => Ok(IfRunning::Cancel),
        _ => Err(Unfit("`reject` or `cancel`")),
    }
}

fn parse_metadata(raw: &str) -> Result<String, Problem> {
    let metadata = json::compact(raw).filter(|compact| compact.starts_with('{'));
    let metadata = metadata.ok_or_else(|| refuse("`metadata` must be an object"))?;
    if metadata.len() > caps::METADATA_BYTES {
        let detail = format!("`metadata` has at most {} bytes", caps::METADATA_BYTES);
        return Err(refuse(detail));
    }
    Ok(metadata)
}

fn parse_idempotency_key(key: &str) -> Result<String, Problem> {
    let fits = (1..=caps::IDEMPOTENCY_KEY_BYTES).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_graphic());
    if !fits {
        return Err(refuse(format!(
            "`Idempotency-Key` must be 1 to {} visible ASCII characters",
            caps::IDEMPOTENCY_KEY_BYTES
        )));
    }
    Ok(key.to_owned())
}

/// The content of a message as compact JSON, whether it was sent bare or with its role.
fn parse_message(raw: &str) -> Result<String, Problem> {
    if !raw.starts_with('{') {
        return parse_content(raw);
    }
    let fields = object(raw, "`message`")?;
    let role = fields.get("role").copied().and_then(json::string_units);
    if role.is_none_or(|role| !role.iter().copied().eq("user".encode_utf16())) {
        return Err(refuse("`message.role` must be `user`"));
    }
    match fields.get("content") {
        Some(content) => parse_content(content),
        None => Err(refuse("`message.content` is required")),
    }
}

fn parse_content(raw: &str) -> Result<String, Problem> {
    if let Some(units) = json::string_units(raw) {
        if units.iter().all(|unit| is_white_space(*unit)) {
            return Err(refuse("the message must not be empty"));
        }
        return Ok(raw.to_owned());
    }
    let parts = json::elements(raw)
        .ok_or_else(|| refuse("the message must be a string, an array of parts, or an object with `role` and `content`"))?;
    if parts.is_empty() {
        return Err(refuse("the message must not be empty"));
    }
    for part in parts {
        let fields = object(part, "a part of the message")?;
        let kind = fields.get("type").copied().and_then(json::string_units);
        if kind.is_none() {
            return Err(refuse("a part of the message must have a `type`, a string"));
        }
    }
    json::compact(raw).ok_or_else(|| refuse("the message must be JSON"))
}

/// A unit of a surrogate pair is no white space, paired or not.
fn is_white_space(unit: u16) -> bool {
    char::from_u32(u32::from(unit)).is_some_and(char::is_whitespace)
}

fn refuse(detail: impl Into<String>) -> Problem {
    Problem::invalid_request(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Option<&str> = Some("application/json");

    fn submit(body: &str) -> Result<Submit, Problem> {
        parse_submit(JSON, body.as_bytes(), None)
    }

    fn code<T: std::fmt::Debug>(result: Result<T, Problem>) -> (u16, &'static str) {
        let problem = result.unwrap_err();
        (problem.status(), problem.code.name())
    }

    const INVALID: (u16, &str) = (400, "invalid_request");

    #[test]
    fn a_submit_is_read_whole() {
        let body = r#"{ "message": {"role":"user", "content": "hi  you"}, "turnIndex": 3,
            "model":"m", "upstream":"demo", "ifRunning":"cancel", "metadata": {"a": [1.0, 2]}, "new": 1 }"#;
        let expected = Submit {
            message: Some("\"hi  you\"".into()),
            turn_index: Some(3),
            model: Some("m".into()),
            upstream: Some("demo".into()),
            if_running: IfRunning::Cancel,
            retry_of: None,
            metadata: Some(r#"{"a":[1.0,2]}"#.into()),
            key: Some("k-1".into()),
        };
        assert_eq!(
            parse_submit(JSON, body.as_bytes(), Some("k-1")),
            Ok(expected)
        );
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let read = submit(r#"{"retryOf":0}"#).unwrap();
        let expected = Submit {
            message: None,
            turn_index: None,
            model: None,
            upstream: None,
            if_running: IfRunning::Reject,
            retry_of: Some(0),
            metadata: None,
            key: None,
        };
        assert_eq!(read, expected);
        assert_eq!(
            submit(r#"{"message":"a","ifRunning":"reject"}"#)
                .unwrap()
                .if_running,
            IfRunning::Reject
        );
    }

    #[test]
    fn messages_keep_their_text() {
        let cases = [
            (r#""hi""#, r#""hi""#),
            (r#"" hi ""#, r#"" hi ""#),
            (r#""\ud83d""#, r#""\ud83d""#),
            (r#""\u0041\/""#, r#""\u0041\/""#),
            (
                r#"[{"type": "text", "n": 1e400}]"#,
                r#"[{"type":"text","n":1e400}]"#,
            ),
            (r#"{"role":"user","content":"x","id":7}"#, r#""x""#),
            (
                r#"{"role":"\u0075ser","content":[ {"type":"file"} ]}"#,
                r#"[{"type":"file"}]"#,
            ),
        ];
        for (message, expected) in cases {
            let read = submit(&format!(r#"{{"message":{message}}}"#));
            assert_eq!(
                read.unwrap().message.as_deref(),
                Some(expected),
                "{message}"
            );
        }
    }

    #[test]
    fn bad_messages_are_refused() {
        for message in [
            "\"\"",
            r#"" \t\n\u3000""#,
            "null",
            "1",
            "true",
            "[]",
            "{}",
            r#"["a"]"#,
            "[[]]",
            "[{}]",
            "[null]",
            r#"[{"type":1}]"#,
            r#"[{"type":null}]"#,
            r#"[{"type":"a"},{}]"#,
            r#"[{"type":"a","type":"b"}]"#,
            r#"{"content":"x"}"#,
            r#"{"role":"user"}"#,
            r#"{"role":"system","content":"x"}"#,
            r#"{"role":"User","content":"x"}"#,
            r#"{"role":1,"content":"x"}"#,
            r#"{"role":"user","content":""}"#,
            r#"{"role":"user","content":[]}"#,
            r#"{"role":"user","content":null}"#,
            r#"{"role":"user","content":{"role":"user","content":"x"}}"#,
            r#"{"role":"user","content":"x","content":"y"}"#,
        ] {
            assert_eq!(
                code(submit(&format!(r#"{{"message":{message}}}"#))),
                INVALID,
                "{message}"
            );
        }
    }

    #[test]
    fn a_message_or_whose_it_is_but_not_both() {
        for body in ["{}", r#"{"turnIndex":0}"#, r#"{"message":"a","retryOf":0}"#] {
            assert_eq!(code(submit(body)), INVALID, "{body}");
        }
    }

    #[test]
    fn integers_have_one_form() {
        for (raw, expected) in [("0", 0), ("7", 7), ("9007199254740991", MAX_INTEGER)] {
            for field in ["turnIndex", "retryOf"] {
                let message = if field == "retryOf" {
                    ""
                } else {
                    r#","message":"a""#
                };
                let read = submit(&format!(r#"{{"{field}":{raw}{message}}}"#)).unwrap();
                assert_eq!(
                    read.turn_index.or(read.retry_of),
                    Some(expected),
                    "{field} {raw}"
                );
            }
            assert_eq!(parse_turn_index(raw), Ok(expected));
        }
        for raw in [
            "-1",
            "-0",
            "1.0",
            "1e0",
            "\"1\"",
            "true",
            "null",
            "[]",
            "9007199254740992",
            "1e400",
            "18446744073709551616",
        ] {
            assert_eq!(
                code(submit(&format!(r#"{{"message":"a","turnIndex":{raw}}}"#))),
                INVALID,
                "{raw}"
            );
            assert_eq!(
                code(submit(&format!(r#"{{"retryOf":{raw}}}"#))),
                INVALID,
                "{raw}"
            );
        }
        for raw in [
            "",
            "-1",
            "+1",
            " 1",
            "1 ",
            "01",
            "00",
            "1.0",
            "0x1",
            "١",
            "9007199254740992",
        ] {
            assert_eq!(code(parse_turn_index(raw)), INVALID, "{raw}");
        }
    }

    #[test]
    fn fields_of_another_type_are_refused() {
        for field in [
            r#""model":1"#,
            r#""model":null"#,
            r#""model":"\ud800""#,
            r#""upstream":{}"#,
            r#""ifRunning":"wait""#,
            r#""ifRunning":"Cancel""#,
            r#""ifRunning":true"#,
            r#""ifRunning":null"#,
            r#""metadata":[]"#,
            r#""metadata":"a""#,
            r#""metadata":null"#,
            r#""model":"a","model":"a""#,
            r#""x":1,"\u0078":2"#,
        ] {
            assert_eq!(
                code(submit(&format!(r#"{{"message":"a",{field}}}"#))),
                INVALID,
                "{field}"
            );
        }
    }

    #[test]
    fn bodies_that_are_no_object_are_refused() {
        for body in [
            "",
            " ",
            "[]",
            "\"a\"",
            "null",
            r#"{"message":"a"}x"#,
            r#"{"message":"a""#,
            r#"{"message":'a'}"#,
        ] {
            assert_eq!(code(submit(body)), INVALID, "{body}");
        }
        assert_eq!(
            code(parse_submit(JSON, b"{\"message\":\"\xff\"}", None)),
            INVALID
        );
        assert_eq!(code(submit("\u{feff}{\"message\":\"a\"}")), INVALID);
    }

    #[test]
    fn depth_is_bounded_before_anything_is_read() {
        let nested = |levels: usize| {
            let inside = "[".repeat(levels - 1) + &"]".repeat(levels - 1);
            submit(&format!(r#"{{"message":"a","x":{inside}}}"#))
        };
        assert!(nested(64).is_ok());
        assert_eq!(code(nested(65)), INVALID);
        assert_eq!(code(nested(500_000)), INVALID);
        assert_eq!(code(submit(&"[".repeat(1_000_000))), INVALID);
    }

    #[test]
    fn size_is_bounded() {
        let sized = |bytes: usize| {
            let frame = r#"{"message":""}"#.len();
            submit(&format!(r#"{{"message":"{}"}}"#, "a".repeat(bytes - frame)))
        };
        assert!(sized(1_048_576).is_ok());
        assert_eq!(code(sized(1_048_577)), (413, "payload_too_large"));

        let metadata = |bytes: usize| {
            let frame = r#"{"a":""}"#.len();
            let text = "é".repeat((bytes - frame) / 2);
            submit(&format!(
                r#"{{"message":"a","metadata":{{ "a" : "{text}" }}}}"#
            ))
        };
        assert!(metadata(4_096).is_ok());
        assert_eq!(code(metadata(4_098)), INVALID);
    }

    #[test]
    fn the_body_must_be_declared_as_json() {
        let typed = |content_type| parse_submit(content_type, br#"{"message":"a"}"#, None);
        for content_type in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; profile=x",
            "application/json;",
        ] {
            assert!(typed(Some(content_type)).is_ok(), "{content_type}");
        }
        for content_type in [
            None,
            Some(""),
            Some("text/plain"),
            Some("application/jsonp"),
            Some("application/json, text/plain"),
            Some("application/json; charset=iso-8859-1"),
            Some("text/plain; application/json"),
        ] {
            assert_eq!(
                code(typed(content_type)),
                (415, "unsupported_media_type"),
                "{content_type:?}"
            );
        }
    }

    #[test]
    fn keys_are_visible_ascii() {
        let longest = "k".repeat(200);
        let beyond = "k".repeat(201);
        let keyed = |key| parse_submit(JSON, br#"{"message":"a"}"#, Some(key)).map(|read| read.key);
        for key in ["a", "!~", "a:b/c\"", &longest] {
            assert_eq!(keyed(key), Ok(Some(key.to_owned())));
        }
        for key in ["", " ", "a b", "a, b", "é", "a\t", "\u{7f}", &beyond] {
            assert_eq!(code(keyed(key)), INVALID, "{key:?}");
        }
    }

    #[test]
    fn the_input_hash_is_fixed_for_ever() {
        // Computed outside this crate from the encoding that `input_hash` documents.
        for (body, expected) in [
            (
                r#"{"message":"hi"}"#,
                "7446510fbf838d3921f0c86af43240c3f0100b16ebaf34f3dac9c62e242fe3fe",
            ),
            (
                r#"{"message":[{"type":"text","text":"é"}],"model":"gpt","upstream":"demo"}"#,
                "aaca8eab9ef2ee7f1b744710b6dd0d8a84a0e190aa6943f0f4704a88054316a1",
            ),
            (
                r#"{"retryOf":3}"#,
                "a1eeffa2d6c86ae049c1cc91a65689be799ea1af742ce44b243c122f694af44c",
            ),
        ] {
            assert_eq!(submit(body).unwrap().input_hash(), expected, "{body}");
        }
    }

    #[test]
    fn the_same_input_has_one_hash() {
        let same = [
            r#"{"message":"x","model":"m"}"#,
            r#"{"model":"\u006d","message":"x"}"#,
            r#"{"message":{"content":"x","role":"user"},"model":"m"}"#,
            r#" { "message" : { "role" : "user" , "content" : "x" } , "model" : "m" } "#,
            r#"{"message":"x","model":"m","turnIndex":4,"metadata":{"a":1},"ifRunning":"cancel","new":1}"#,
        ];
        let expected = submit(same[0]).unwrap().input_hash();
        for body in same {
            assert_eq!(
                parse_submit(JSON, body.as_bytes(), Some("k"))
                    .unwrap()
                    .input_hash(),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn other_input_has_another_hash() {
        let hashes: Vec<_> = [
            r#"{"message":"x"}"#,
            r#"{"message":"x "}"#,
            r#"{"message":"\u0078"}"#,
            r#"{"message":"x","model":"m"}"#,
            r#"{"message":"x","upstream":"m"}"#,
            r#"{"message":"x","model":"m","upstream":"m"}"#,
            r#"{"message":"x","model":""}"#,
            r#"{"message":[{"type":"text","text":"x"}]}"#,
            r#"{"message":[{"text":"x","type":"text"}]}"#,
            r#"{"retryOf":1}"#,
            r#"{"retryOf":2}"#,
        ]
        .iter()
        .map(|body| submit(body).unwrap().input_hash())
        .collect();
        let distinct: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());
    }

    #[test]
    fn followers_begin_where_they_say() {
        let cases = [
            (None, None, Ok(0)),
            (Some("-1"), None, Ok(0)),
            (Some("0"), None, Ok(1)),
            (Some("41"), None, Ok(42)),
            (Some("3"), Some("7"), Ok(8)),
            (Some("nonsense"), Some("7"), Ok(8)),
            (Some("3"), Some(""), Ok(4)),
            (None, Some("-1"), Ok(0)),
        ];
        for (after, last_event_id, expected) in cases {
            assert_eq!(
                parse_after(after, last_event_id),
                expected,
                "{after:?} {last_event_id:?}"
            );
        }
        for bad in [
            "-2",
            "-0",
            "+1",
            " 1",
            "1 ",
            "01",
            "1.0",
            "a",
            "9007199254740992",
            "99999999999999999999",
        ] {
            assert_eq!(code(parse_after(Some(bad), None)), INVALID, "{bad}");
            assert_eq!(code(parse_after(Some("1"), Some(bad))), INVALID, "{bad}");
        }
        assert_eq!(code(parse_after(Some(""), None)), INVALID);
    }

    #[test]
    fn live_is_true_unless_told() {
        assert_eq!(parse_live(None), Ok(true));
        assert_eq!(parse_live(Some("true")), Ok(true));
        assert_eq!(parse_live(Some("false")), Ok(false));
        for bad in ["", "0", "False"] {
            assert_eq!(code(parse_live(Some(bad))), INVALID, "{bad}");
        }
    }

    #[test]
    fn pages_are_bounded() {
        assert_eq!(parse_limit(None), Ok(50));
        assert_eq!(parse_limit(Some("1")), Ok(1));
        assert_eq!(parse_limit(Some("200")), Ok(200));
        for bad in ["", "0", "201", "-1", "+5", "5.0", "99999999999"] {
            assert_eq!(code(parse_limit(Some(bad))), INVALID, "{bad}");
        }
    }

    #[test]
    fn a_cancel_may_say_why() {
        let longest = "é".repeat(200);
        assert_eq!(parse_cancel(None, b""), Ok(None));
        assert_eq!(parse_cancel(JSON, b"{}"), Ok(None));
        assert_eq!(
            parse_cancel(JSON, br#"{"reason":"user"}"#),
            Ok(Some("user".into()))
        );
        let body = format!(r#"{{"reason":"{longest}"}}"#);
        assert_eq!(
            parse_cancel(JSON, body.as_bytes()),
            Ok(Some(longest.clone()))
        );
        let beyond = format!(r#"{{"reason":"{longest}x"}}"#);
        for body in [" ", "[]", r#"{"reason":1}"#, r#"{"reason":null}"#, &beyond] {
            assert_eq!(code(parse_cancel(JSON, body.as_bytes())), INVALID, "{body}");
        }
        assert_eq!(
            code(parse_cancel(None, b"{}")),
            (415, "unsupported_media_type")
        );
    }

    #[test]
    fn an_event_carries_any_json() {
        for (body, expected) in [
            ("null", "null"),
            (" [ 1.0 ] ", "[1.0]"),
            ("\"\\ud800\"", "\"\\ud800\""),
        ] {
            assert_eq!(
                parse_event_payload(JSON, body.as_bytes()).as_deref(),
                Ok(expected)
            );
        }
        let too_big = format!("\"{}\"", "a".repeat(262_143));
        assert_eq!(
            code(parse_event_payload(JSON, too_big.as_bytes())),
            (413, "payload_too_large")
        );
        let fits = format!("\"{}\"", "a".repeat(262_142));
        assert!(parse_event_payload(JSON, fits.as_bytes()).is_ok());
        for body in ["", "{", "1 2"] {
            assert_eq!(
                code(parse_event_payload(JSON, body.as_bytes())),
                INVALID,
                "{body}"
            );
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(code(parse_event_payload(JSON, deep.as_bytes())), INVALID);
        assert_eq!(
            code(parse_event_payload(None, b"1")),
            (415, "unsupported_media_type")
        );
    }

    #[test]
    fn ids_of_a_path_are_checked() {
        assert_eq!(
            parse_session("s-1").map(|s| s.to_string()).as_deref(),
            Ok("s-1")
        );
        assert_eq!(code(parse_session("a:b")), INVALID);
        assert_eq!(
            parse_event_key("a:b").map(|k| k.to_string()).as_deref(),
            Ok("a:b")
        );
        assert_eq!(code(parse_event_key("a/b")), INVALID);
    }

    #[test]
    fn a_refusal_never_repeats_what_was_sent() {
        let secret = "hunter2";
        let details = [
            submit(&format!(r#"{{"{secret}":1,"{secret}":2}}"#)).unwrap_err(),
            submit(&format!(r#"{{"message":"a","turnIndex":"{secret}"}}"#)).unwrap_err(),
            submit(&format!(r#"{{"message":"a","ifRunning":"{secret}"}}"#)).unwrap_err(),
            submit(&format!(r#"{{"message":{secret}}}"#)).unwrap_err(),
            parse_submit(JSON, br#"{"message":"a"}"#, Some("hunter2 ")).unwrap_err(),
            parse_after(Some(secret), None).unwrap_err(),
            parse_session("hunter2:").unwrap_err(),
        ];
        for problem in details {
            assert!(!problem.to_json().contains(secret), "{problem}");
        }
    }
}
