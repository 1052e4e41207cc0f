//! Canonical JSON: one text a value, by rules said twice here, and by ECMAScript itself.

use crate::input::text;
use crate::{ecmascript, node};
use serde_json::value::RawValue;
use steadfast::caps::RUN_JSON_DEPTH;
use steadfast::json::canonical::{
    Invalid, canonical as of_value, canonical_hash, canonical_text, hash,
};
use steadfast::json::{self, Token};

/// A text has one canonical form, which is its own; bits have the number that ECMAScript prints.
pub fn canonical(data: &[u8]) {
    let input = text(data);
    match canonical_text(&input) {
        Ok(canonical) => {
            assert_eq!(
                canonical_text(&canonical).as_deref(),
                Ok(canonical.as_str()),
                "twice is once"
            );
            assert_eq!(
                json::compact(&canonical).as_deref(),
                Some(canonical.as_str())
            );
            let spaced = format!(" {input}\n");
            assert_eq!(canonical_text(&spaced).as_deref(), Ok(canonical.as_str()));
            let raw: &RawValue = serde_json::from_str(&input).expect("it is JSON");
            assert_eq!(canonical_hash(raw), Ok(hash(&canonical)));
            for token in json::tokens(&canonical) {
                if let Token::Word(word) = token
                    && let Ok(number) = word.parse::<f64>()
                {
                    assert_eq!(word, ecmascript::number(number));
                }
            }
        }
        Err(Invalid::NotFinite) => assert!(json::tokens(&input).any(|token| match token {
            Token::Word(word) => word.parse().is_ok_and(f64::is_infinite),
            Token::Mark(_) | Token::Literal(_) => false,
        })),
        Err(Invalid::TooDeep) => assert!(json::depth(&input) > RUN_JSON_DEPTH),
        Err(Invalid::NotJson(why)) => {
            assert_eq!(json::compact(&input), None);
            assert!(!why.contains(crate::SECRET));
        }
        Err(Invalid::NotAnObject) => panic!("nobody asked for an object"),
    }
    for number in doubles(data) {
        if !number.is_finite() {
            assert_eq!(of_value(&number), Err(Invalid::NotFinite));
            continue;
        }
        let expected = Ok(ecmascript::number(number));
        assert_eq!(of_value(&number), expected);
        for spelled in [
            format!("{number:e}"),
            format!("{number}"),
            format!("{number:.17e}"),
        ] {
            assert_eq!(canonical_text(&spelled), expected, "{spelled}");
        }
    }
}

/// Node reads the same texts, the same numbers, and the same keys in the same order.
pub fn canonical_node(data: &[u8]) {
    let input = text(data);
    if json::depth(&input) <= RUN_JSON_DEPTH {
        beside_node(&input);
    }
    let numbers: Vec<String> = doubles(data)
        .filter(|number| number.is_finite())
        .map(|number| format!("{number:e}"))
        .collect();
    beside_node(&format!("[{}]", numbers.join(",")));
    // Keys of one to four units, so that most are near each other.
    let keys: Vec<String> = data
        .chunks(7)
        .take(16)
        .filter_map(|part| part.split_first())
        .map(|(len, part)| {
            let units: String = part
                .chunks_exact(2)
                .take(usize::from(len % 4))
                .map(|unit| format!("\\u{:02x}{:02x}", unit[0], unit[1]))
                .collect();
            format!("\"{units}\":{len}")
        })
        .collect();
    beside_node(&format!("{{{}}}", keys.join(",")));
    // Keys that are numbers, or look like some.
    let numbers: Vec<String> = data
        .chunks(5)
        .take(16)
        .map(|part| format!("\"{}\":0", text(part).escape_default()))
        .collect();
    beside_node(&format!("{{{}}}", numbers.join(",")));
}

fn beside_node(document: &str) {
    // The reference reads a document a line; a line end between values is as good as a space.
    let document = document.replace(['\n', '\r'], " ");
    let ours = match canonical_text(&document) {
        Ok(text) => format!("{} {text}", hash(&text)),
        Err(Invalid::NotFinite) => "refused".to_owned(),
        Err(_) => "invalid".to_owned(),
    };
    assert_eq!(ours, node::answer(&document), "of {document}");
}

fn doubles(data: &[u8]) -> impl Iterator<Item = f64> {
    data.chunks_exact(8).take(32).map(|bits| {
        f64::from_bits(u64::from_le_bytes(
            bits.try_into().expect("there are eight"),
        ))
    })
}
