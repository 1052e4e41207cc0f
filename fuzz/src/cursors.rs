//! Cursors and the numbers of paths and queries: what is taken has one plain form.

use crate::SECRET;
use crate::input::text;
use steadfast::caps;
use steadfast::wire::cursor::{decode_cursor, encode_cursor};
use steadfast::wire::problem::Problem;
use steadfast::wire::request::{parse_after, parse_limit, parse_live, parse_turn_index};

/// A line each: `after`, then `Last-Event-ID`; and all of it as anything else.
pub fn cursors(data: &[u8]) {
    let input = text(data);
    let (after, id) = match input.split_once('\n') {
        Some((after, id)) => (Some(after), Some(id)),
        None => (Some(input.as_str()), None),
    };
    let wanted = id.filter(|id| !id.is_empty()).or(after);
    one_form(
        parse_after(after, id).map(|first| i128::from(first) - 1),
        wanted.unwrap_or_default(),
        -1..=(1 << 53) - 1,
    );
    assert_eq!(
        parse_after(None, id).is_ok(),
        id.is_none_or(|id| id.is_empty() || parse_after(Some(id), None).is_ok())
    );

    one_form(
        parse_turn_index(&input).map(i128::from),
        &input,
        0..=(1 << 53) - 1,
    );
    one_form(
        parse_limit(Some(&input)).map(i128::from),
        &input,
        1..=i128::from(caps::LIST_LIMIT),
    );
    let live = checked(parse_live(Some(&input)));
    assert_eq!(
        live.map(|live| live.to_string()),
        ["true", "false"]
            .contains(&input.as_str())
            .then_some(input.clone())
    );

    match checked(decode_cursor(&input)) {
        Some(position) => {
            assert!(input.len() <= caps::CURSOR_BYTES && !position.is_empty());
            assert_eq!(encode_cursor(&position), input.to_ascii_lowercase());
        }
        None => {
            let readable = hex::decode(&input).is_ok_and(|bytes| String::from_utf8(bytes).is_ok());
            assert!(!readable || input.is_empty() || input.len() > caps::CURSOR_BYTES);
        }
    }
    if (1..=caps::CURSOR_BYTES / 2).contains(&input.len()) {
        assert_eq!(decode_cursor(&encode_cursor(&input)), Ok(input));
    }
}

/// A number is taken exactly when it is within bounds and written as it would be printed.
fn one_form(read: Result<i128, Problem>, text: &str, bounds: std::ops::RangeInclusive<i128>) {
    let number = text.parse::<i128>().ok();
    let expected = number.filter(|number| bounds.contains(number) && number.to_string() == text);
    assert_eq!(checked(read), expected, "{text:?}");
}

/// Checks the refusal, if it is one.
pub fn checked<T>(read: Result<T, Problem>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(problem) => {
            refusal(&problem, &[(400, "invalid_request")]);
            None
        }
    }
}

/// A refusal has a known code, can be read, and repeats no secret.
pub fn refusal(problem: &Problem, codes: &[(u16, &str)]) {
    assert!(
        codes.contains(&(problem.status(), problem.code.name())),
        "{problem}"
    );
    let json = problem.to_json();
    assert!(!json.contains(SECRET), "{json}");
    let fields = steadfast::json::members(&json).expect("a problem is an object");
    assert_eq!(
        fields.get("code").copied(),
        Some(format!("\"{}\"", problem.code).as_str())
    );
    for (_, value) in problem.headers() {
        assert!(!value.contains(['\r', '\n']) && !value.contains(SECRET));
    }
}
