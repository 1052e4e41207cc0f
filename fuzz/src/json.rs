//! JSON kept as text: what is taken apart goes together again, and means what it meant.

use crate::input::text;
use serde_json::Value;
use steadfast::json::{self as raw, Token};

/// Validation, compaction, tokens, members, elements and strings agree with each other, and with a
/// reader that makes values.
pub fn json(data: &[u8]) {
    let input = text(data);
    let units: Vec<u16> = data
        .chunks(2)
        .map(|pair| u16::from_le_bytes([pair[0], *pair.last().unwrap_or(&0)]))
        .collect();
    strings(&units);
    assert_eq!(
        raw::string_units(&raw::quote(&input)),
        Some(input.encode_utf16().collect())
    );

    let value: Option<Value> = serde_json::from_str(&input).ok();
    let Some(compact) = raw::compact(&input) else {
        assert!(value.is_none(), "a value was refused as text");
        assert!(raw::members(&input).is_err() && raw::elements(&input).is_none());
        return;
    };
    assert_eq!(raw::compact(&compact).as_deref(), Some(compact.as_str()));
    assert_eq!(raw::depth(&compact), raw::depth(&input));
    assert!(!compact.contains(['\n', '\r']));
    let tokens: Vec<Token<'_>> = raw::tokens(&input).collect();
    assert_eq!(tokens, raw::tokens(&compact).collect::<Vec<_>>());
    assert_eq!(joined(&tokens), compact);
    if let Some(value) = value {
        assert_eq!(serde_json::from_str::<Value>(&compact).ok(), Some(value));
    }
    apart(&compact);
}

fn joined(tokens: &[Token<'_>]) -> String {
    let mut out = String::new();
    for token in tokens {
        match token {
            Token::Mark(mark) => out.push(char::from(*mark)),
            Token::Literal(part) | Token::Word(part) => out.push_str(part),
        }
    }
    out
}

/// Exactly one way of taking a value apart fits it, and its parts make it up.
fn apart(compact: &str) {
    let members = raw::members(compact);
    let elements = raw::elements(compact);
    let literal = raw::string_units(compact);
    match compact.as_bytes()[0] {
        b'{' => {
            assert!(elements.is_none() && literal.is_none());
            match members {
                Ok(members) => {
                    let parts: usize = members.values().map(|value| value.len() + 1).sum();
                    assert!(parts < compact.len());
                    for (name, value) in members {
                        assert!(raw::string_units(&format!("\"{name}\"")).is_some());
                        assert!(compact.contains(value));
                    }
                }
                Err(why) => assert_eq!(why, raw::NotMembers::DuplicateKey),
            }
        }
        b'[' => {
            assert!(members.is_err() && literal.is_none());
            let elements = elements.expect("it is an array");
            assert_eq!(format!("[{}]", elements.join(",")), compact);
        }
        b'"' => {
            assert!(members.is_err() && elements.is_none());
            strings(&literal.expect("it is a string"));
        }
        _ => assert!(members.is_err() && elements.is_none() && literal.is_none()),
    }
}

/// Any units are a string, lone surrogates too.
fn strings(units: &[u16]) {
    let quoted = raw::quote_units(units);
    assert_eq!(raw::string_units(&quoted).as_deref(), Some(units));
    assert_eq!(raw::compact(&quoted), Some(quoted));
}
