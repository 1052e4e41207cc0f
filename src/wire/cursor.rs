//! The cursors of lists: where the next page begins, opaque to clients.
//!
//! Owns the text form. It doesn't own what a position means: each list writes and reads its own.
//! Invariant: a cursor is a place, not a permission, so every query that uses one still names
//! its tenant.

use super::problem::Problem;
use crate::caps;

/// The cursor for a position in a list.
pub fn encode_cursor(position: &str) -> String {
    hex::encode(position)
}

/// The position that a client's cursor stands for; whether it means anything is the list's to say.
pub fn decode_cursor(cursor: &str) -> Result<String, Problem> {
    let refused = || Problem::invalid_request("`cursor` must be one that a list returned");
    if cursor.is_empty() || cursor.len() > caps::CURSOR_BYTES {
        return Err(refused());
    }
    let bytes = hex::decode(cursor).map_err(|_| refused())?;
    String::from_utf8(bytes).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_brings_its_position_back() {
        for position in ["7", "1730000000000 acme:s1:0", "é"] {
            assert_eq!(
                decode_cursor(&encode_cursor(position)).as_deref(),
                Ok(position)
            );
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let longest = "61".repeat(256);
        assert_eq!(decode_cursor(&longest), Ok("a".repeat(256)));
        let long = longest + "61";
        for cursor in ["", "1", "zz", "37 ", "+37", "ff", &long] {
            let problem = decode_cursor(cursor).unwrap_err();
            assert_eq!(
                (problem.status(), problem.code.name()),
                (400, "invalid_request"),
                "{cursor}"
            );
        }
    }

    #[test]
    fn the_longest_position_fits() {
        // Time, then project, tenant and session of 64 characters each, and a turn index.
        let position = format!("{} {}:{}", i64::MAX, "x".repeat(3 * 64 + 2), u64::MAX);
        assert_eq!(decode_cursor(&encode_cursor(&position)), Ok(position));
    }
}
