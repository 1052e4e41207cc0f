//! JSON as text: validated, compacted, taken apart by one level or into tokens, and its strings
//! as UTF-16.
//!
//! Owns what keeps JSON as its sender wrote it: key order, `1.0`, `1e400`, duplicate keys
//! and lone surrogates survive, since no number or string is ever parsed into a value here.
//! It doesn't own what a document means. Invariant: no input, however deep, uses stack
//! in proportion to its depth.

pub mod canonical;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// Removes white space outside strings; `None` when `raw` is not one JSON value.
///
/// What comes back holds no line break, since JSON strings can't hold a bare one.
pub fn compact(raw: &str) -> Option<String> {
    validate(raw).ok()?;
    let mut out = String::with_capacity(raw.len());
    let mut run_start = 0;
    for (at, byte) in Structure::of(raw) {
        if is_space(byte) {
            out.push_str(raw.get(run_start..at)?);
            run_start = at + 1;
        }
    }
    out.push_str(raw.get(run_start..)?);
    Some(out)
}

/// As [`compact`], of text that is given away: what has no white space outside strings is not copied.
pub fn compacted(raw: String) -> Option<String> {
    validate(&raw).ok()?;
    match Structure::of(&raw).any(|(_, byte)| is_space(byte)) {
        true => compact(&raw),
        false => Some(raw),
    }
}

/// How many arrays and objects stand inside each other at the deepest place of valid JSON.
pub fn depth(raw: &str) -> usize {
    let mut open = 0_usize;
    let mut deepest = 0;
    for (_, byte) in Structure::of(raw) {
        match byte {
            b'{' | b'[' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// `Ok` when `raw` is one JSON value and nothing else; the error names a place and no content.
pub(crate) fn validate(raw: &str) -> Result<(), serde_json::Error> {
    // IgnoredAny walks with a heap stack, checks the grammar and looks at neither the range of
    // numbers nor the pairing of surrogates; the tests hold it to that.
    serde_json::from_str::<IgnoredAny>(raw).map(drop)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The bytes of valid JSON that stand outside strings, with their places; quotes count as inside.
struct Structure<'a> {
    bytes: std::iter::Enumerate<std::str::Bytes<'a>>,
}

impl<'a> Structure<'a> {
    fn of(raw: &'a str) -> Self {
        Self {
            bytes: raw.bytes().enumerate(),
        }
    }

    fn skip_string(&mut self) {
        while let Some((_, byte)) = self.bytes.next() {
            match byte {
                b'"' => return,
                b'\\' => drop(self.bytes.next()),
                _ => {}
            }
        }
    }
}

impl Iterator for Structure<'_> {
    type Item = (usize, u8);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.bytes.next()? {
                (_, b'"') => self.skip_string(),
                item => return Some(item),
            }
        }
    }
}

/// A piece of JSON text between its white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// One of `{`, `}`, `[`, `]`, `:` and `,`.
    Mark(u8),
    /// A string with its quotes.
    Literal(&'a str),
    /// A number, `true`, `false` or `null`.
    Word(&'a str),
}

/// The tokens of valid JSON, in its order.
pub fn tokens(raw: &str) -> impl Iterator<Item = Token<'_>> {
    Tokens { rest: raw }
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn take(&mut self, len: usize) -> Option<&'a str> {
        let (token, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(token)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        match self.rest.bytes().next()? {
            b'"' => {
                let mut text = Structure::of(self.rest);
                text.bytes.next();
                text.skip_string();
                let len = self.rest.len() - text.bytes.len();
                self.take(len).map(Token::Literal)
            }
            mark @ (b'{' | b'}' | b'[' | b']' | b':' | b',') => {
                self.take(1).map(|_| Token::Mark(mark))
            }
            _ => {
                let ends = |c| matches!(c, ',' | ']' | '}' | ' ' | '\t' | '\n' | '\r');
                let len = self.rest.find(ends).unwrap_or(self.rest.len());
                self.take(len).map(Token::Word)
            }
        }
    }
}

/// Why a text could not be taken apart as an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMembers {
    /// Not valid JSON, or not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// A key stands twice, and readers would disagree on which one counts.
    #[error("a key stands twice")]
    DuplicateKey,
}

/// The members of a JSON object by key, each value as raw text.
///
/// Keys are the text of their canonical literal ([`quote_units`]) without its quotes: `a` for
/// both `"a"` and `"\u0061"`. So even keys with lone surrogates have one name each.
pub fn members(raw: &str) -> Result<BTreeMap<String, &str>, NotMembers> {
    let mut duplicate = false;
    let visitor = Members {
        duplicate: &mut duplicate,
    };
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    let members = deserializer
        .deserialize_map(visitor)
        .and_then(|members| deserializer.end().map(|()| members))
        .map_err(|_| NotMembers::NotAnObject)?;
    if duplicate {
        return Err(NotMembers::DuplicateKey);
    }
    Ok(members)
}

struct Members<'f> {
    duplicate: &'f mut bool,
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = BTreeMap<String, &'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let units = string_units(key.get())
                .ok_or_else(|| serde::de::Error::custom("a key is not a string"))?;
            let mut name = String::with_capacity(units.len());
            push_units(&mut name, &units);
            *self.duplicate |= members.insert(name, value.get()).is_some();
        }
        Ok(members)
    }
}

/// The elements of a JSON array as raw text; `None` when `raw` is not a JSON array.
pub fn elements(raw: &str) -> Option<Vec<&str>> {
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    let elements = deserializer.deserialize_seq(Elements).ok()?;
    deserializer.end().ok()?;
    Some(elements)
}

struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element::<&RawValue>()? {
            elements.push(element.get());
        }
        Ok(elements)
    }
}

/// The text of a JSON string literal as UTF-16 units, lone surrogates kept.
///
/// `None` when `raw_literal` is not exactly one literal with its quotes.
pub fn string_units(raw_literal: &str) -> Option<Vec<u16>> {
    let inner = raw_literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut units = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => units.push(escaped_unit(&mut chars)?),
            '"' | '\0'..='\x1f' => return None,
            _ => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
        }
    }
    Some(units)
}

/// The unit that an escape stands for; `chars` is behind the backslash.
fn escaped_unit(chars: &mut std::str::Chars<'_>) -> Option<u16> {
    let unit = match chars.next()? {
        '"' => 0x22,
        '\\' => 0x5c,
        '/' => 0x2f,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'u' => {
            let mut unit = 0;
            for _ in 0..4 {
                unit = unit * 16 + u16::try_from(chars.next()?.to_digit(16)?).ok()?;
            }
            unit
        }
        _ => return None,
    };
    Some(unit)
}

/// A JSON string literal with the text of `units`; a lone surrogate becomes an escape like `\ud83d`.
pub fn quote_units(units: &[u16]) -> String {
    let mut out = String::with_capacity(units.len() + 2);
    out.push('"');
    push_units(&mut out, units);
    out.push('"');
    out
}

fn push_units(out: &mut String, units: &[u16]) {
    for decoded in char::decode_utf16(units.iter().copied()) {
        match decoded {
            Ok(c) => push_char(out, c),
            Err(lone) => push_unit_escape(out, lone.unpaired_surrogate()),
        }
    }
}

/// A JSON string literal with the text of `text`.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// Appends a JSON string literal with the text of `text`.
pub fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        push_char(out, c);
    }
    out.push('"');
}

fn push_char(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        control @ '\0'..='\x1f' => push_unit_escape(out, control as u16),
        c => out.push(c),
    }
}

fn push_unit_escape(out: &mut String, unit: u16) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        let digit = u32::from(unit >> shift & 0xf);
        out.extend(char::from_digit(digit, 16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn compact_removes_white_space_outside_strings_only() {
        let cases = [
            ("{}", "{}"),
            (
                " { \"a\" : [ 1 , 2 ] ,\r\n\t\"b\":null } ",
                r#"{"a":[1,2],"b":null}"#,
            ),
            (r#""a  b\" c ""#, r#""a  b\" c ""#),
            (r#"["\\", "x y"]"#, r#"["\\","x y"]"#),
            ("\n1.0\n", "1.0"),
            ("\"\u{a0}\u{2028}é\"", "\"\u{a0}\u{2028}é\""),
        ];
        for (raw, expected) in cases {
            assert_eq!(compact(raw).as_deref(), Some(expected), "{raw:?}");
            assert_eq!(compacted(raw.to_owned()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn compact_keeps_what_a_number_parsing_tree_would_change() {
        for raw in [
            "1e400",
            "-0",
            "1.0",
            "1E+2",
            "123456789012345678901234567890",
            r#"{"b":1,"a":2,"b":3}"#,
            r#""\ud83d""#,
            r#""\uDE00\ud83d""#,
            r#"{"\ud800":"\/"}"#,
        ] {
            assert_eq!(compact(raw).as_deref(), Some(raw));
            assert_eq!(compacted(raw.to_owned()).as_deref(), Some(raw));
        }
    }

    #[test]
    fn compact_refuses_what_is_not_one_json_value() {
        for raw in [
            "",
            " ",
            "{",
            "}",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "--1",
            "nul",
            "NaN",
            "Infinity",
            "'a'",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "\"\t\"",
            "1 2",
            "{} {}",
            "[1 2]",
            "\u{feff}{}",
            "/*c*/1",
            "\u{a0}1",
            "{\"a\"}",
            "{1:2}",
            "[}",
        ] {
            assert_eq!(compact(raw), None, "{raw:?}");
            assert_eq!(compacted(raw.to_owned()), None, "{raw:?}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let levels = 1_000_000;
        let arrays = "[".repeat(levels) + &"]".repeat(levels);
        let objects = "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
        for raw in [&arrays, &objects] {
            assert_eq!(compact(raw).as_ref(), Some(raw));
            assert_eq!(depth(raw), levels);
        }
        assert_eq!(compact(&"[".repeat(levels)), None);
        assert_eq!(elements(&arrays).map(|e| e.len()), Some(1));
        assert_eq!(members(&objects).map(|m| m.len()), Ok(1));
    }

    #[test]
    fn depth_ignores_brackets_in_strings() {
        for (raw, expected) in [
            ("1", 0),
            (r#""[[[""#, 0),
            (r#"["\"[["]"#, 1),
            (r#"{"{":[{}],"b":[]}"#, 3),
        ] {
            assert_eq!(depth(raw), expected, "{raw}");
        }
    }

    #[test]
    fn tokens_stand_between_white_space() {
        let raw = " {\"a\\\"]\" : [ -1.0e+2 ,true\n],\"\\\\\":{}}\t";
        let found: Vec<_> = tokens(raw).collect();
        let expected = [
            Token::Mark(b'{'),
            Token::Literal("\"a\\\"]\""),
            Token::Mark(b':'),
            Token::Mark(b'['),
            Token::Word("-1.0e+2"),
            Token::Mark(b','),
            Token::Word("true"),
            Token::Mark(b']'),
            Token::Mark(b','),
            Token::Literal("\"\\\\\""),
            Token::Mark(b':'),
            Token::Mark(b'{'),
            Token::Mark(b'}'),
            Token::Mark(b'}'),
        ];
        assert_eq!(found, expected);
        assert_eq!(tokens(" null").collect::<Vec<_>>(), [Token::Word("null")]);
        assert_eq!(tokens("").count(), 0);
    }

    #[test]
    fn members_are_raw_and_named_once() {
        let raw = r#" {"a": 1e400 , "\u0062":[1, 2], "\uD800":"x","\n":null} "#;
        let found = members(raw).unwrap();
        let found: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        let expected = [
            ("\\n", "null"),
            ("\\ud800", "\"x\""),
            ("a", "1e400"),
            ("b", "[1, 2]"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn members_refuse_duplicates_and_what_is_no_object() {
        for raw in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"\ud800":1,"\uD800":2}"#,
        ] {
            assert_eq!(members(raw), Err(NotMembers::DuplicateKey), "{raw}");
        }
        for raw in [
            "",
            "[]",
            "1",
            "null",
            "\"a\"",
            "{\"a\":1",
            "{} x",
            "{\"a\":[}",
        ] {
            assert_eq!(members(raw), Err(NotMembers::NotAnObject), "{raw}");
        }
    }

    #[test]
    fn elements_are_raw() {
        assert_eq!(
            elements(" [ 1.0 , {\"a\": 1},[ ] ] "),
            Some(vec!["1.0", "{\"a\": 1}", "[ ]"])
        );
        assert_eq!(elements("[]"), Some(vec![]));
        for raw in ["{}", "1", "[1", "[1] 2", ""] {
            assert_eq!(elements(raw), None, "{raw}");
        }
    }

    #[test]
    fn string_units_decode_escapes_and_keep_lone_surrogates() {
        let cases: [(&str, Option<&[u16]>); 14] = [
            (r#""""#, Some(&[])),
            (r#""aé""#, Some(&[0x61, 0xe9])),
            (r#""😀""#, Some(&[0xd83d, 0xde00])),
            (r#""\ud83d\uDE00""#, Some(&[0xd83d, 0xde00])),
            (r#""\ud83d""#, Some(&[0xd83d])),
            (r#""\ude00x""#, Some(&[0xde00, 0x78])),
            (
                r#""\"\\\/\b\f\n\r\t""#,
                Some(&[0x22, 0x5c, 0x2f, 8, 0xc, 0xa, 0xd, 9]),
            ),
            ("", None),
            ("\"", None),
            ("a", None),
            (r#""a\""#, None),
            (r#""a"b""#, None),
            (r#""\u+123""#, None),
            ("\"\u{1}\"", None),
        ];
        for (raw, expected) in cases {
            assert_eq!(string_units(raw).as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn an_emoji_split_between_two_literals_is_whole_again() {
        let mut units = string_units(r#""a\ud83d""#).unwrap();
        assert_eq!(quote_units(&units), r#""a\ud83d""#);
        units.extend(string_units(r#""\ude00b""#).unwrap());
        assert_eq!(quote_units(&units), r#""a😀b""#);
    }

    #[test]
    fn quote_escapes_what_must_be() {
        assert_eq!(
            quote("\"\\\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}/é😀\u{2028}"),
            "\"\\\"\\\\\\n\\r\\t\\b\\f\\u0000\\u001f\u{7f}/é😀\u{2028}\""
        );
    }

    /// JSON text with white space wherever the grammar allows it, beside its compact form.
    fn spaced_json() -> impl Strategy<Value = (String, String)> {
        let space = "[ \t\r\n]{0,3}";
        let scalar = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,4})?",
            any::<String>().prop_map(|s| quote(&s)),
            any::<Vec<u16>>().prop_map(|units| quote_units(&units)),
        ]
        .prop_map(|text| (text.clone(), text));
        scalar.prop_recursive(4, 32, 4, move |inner| {
            let key = prop_oneof![Just("a".to_owned()), any::<String>()];
            let pad = (space, space);
            prop_oneof![
                proptest::collection::vec((inner.clone(), pad), 0..4).prop_map(|items| {
                    let spaced = items.iter().map(|((s, _), (l, r))| format!("{l}{s}{r}"));
                    let tight = items.iter().map(|((_, t), _)| t.clone());
                    let spaced = spaced.collect::<Vec<_>>().join(",");
                    (
                        format!("[{spaced}]"),
                        format!("[{}]", tight.collect::<Vec<_>>().join(",")),
                    )
                }),
                proptest::collection::vec((key, inner, pad), 0..4).prop_map(|items| {
                    let spaced = items.iter().map(|(k, (s, _), (l, r))| {
                        format!("{l}{key}{r}:{l}{s}{r}", key = quote(k))
                    });
                    let tight = items
                        .iter()
                        .map(|(k, (_, t), _)| format!("{}:{t}", quote(k)));
                    let spaced = spaced.collect::<Vec<_>>().join(",");
                    (
                        format!("{{{spaced}}}"),
                        format!("{{{}}}", tight.collect::<Vec<_>>().join(",")),
                    )
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn compact_finds_the_tight_form((spaced, tight) in spaced_json()) {
            prop_assert_eq!(compact(&spaced), Some(tight.clone()));
            prop_assert_eq!(compacted(spaced.clone()), Some(tight.clone()));
            let pieces = tokens(&spaced).map(|token| match token {
                Token::Mark(mark) => char::from(mark).to_string(),
                Token::Literal(text) | Token::Word(text) => text.to_owned(),
            });
            prop_assert_eq!(pieces.collect::<String>(), tight.clone());
            prop_assert_eq!(compact(&tight), Some(tight));
        }

        #[test]
        fn compact_agrees_with_a_parser_on_any_text(text in "[\\[\\]{}\",:\\\\ \nu0-9eE.+truefalsnd-]{0,12}") {
            let compacted = compact(&text);
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
                let compacted = compacted.as_deref().unwrap_or_default();
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(compacted).ok(), Some(value));
            } else if let Some(compacted) = compacted {
                // All that compact() takes and that parser doesn't are numbers out of its range
                // and lone surrogates.
                prop_assert!(compacted.contains(['e', 'E']) || compacted.contains("\\u"));
            }
        }

        #[test]
        fn keys_are_told_apart_to_the_last_half_of_an_emoji(keys in proptest::collection::btree_set(
            proptest::collection::vec(0xd7f0_u16..=0xe00f, 0..4), 0..5)) {
            let member = |key: &Vec<u16>| format!("{}:1", quote_units(key));
            let all: Vec<String> = keys.iter().map(member).collect();
            let raw = format!("{{{}}}", all.join(","));
            prop_assert_eq!(members(&raw).unwrap().len(), keys.len());
            if let Some(twice) = all.first() {
                let raw = format!("{{{},{twice}}}", all.join(","));
                prop_assert_eq!(members(&raw), Err(NotMembers::DuplicateKey));
            }
        }

        #[test]
        fn units_survive_their_literal(units in any::<Vec<u16>>()) {
            let literal = quote_units(&units);
            prop_assert_eq!(compact(&literal), Some(literal.clone()));
            prop_assert_eq!(string_units(&literal), Some(units));
        }

        #[test]
        fn text_survives_its_literal(text in any::<String>()) {
            let literal = quote(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&literal).unwrap(), text.clone());
            let units: Vec<u16> = text.encode_utf16().collect();
            prop_assert_eq!(quote_units(&units), literal);
        }
    }
}
