//! NDJSON: the body is the stored lines.
//!
//! Owns the framing's constants and its encoding, which copies. It doesn't own the lines.
//! Invariant: without heartbeats a body is the log, byte for byte.

/// The framing's media type.
pub const CONTENT_TYPE: &str = "application/x-ndjson";
/// A line without `seq`, so that nobody takes it for a line of the log.
pub const HEARTBEAT: &str = "{\"type\":\"heartbeat\"}\n";

/// Appends stored lines as they are.
pub fn encode(lines: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(lines.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::line;

    #[test]
    fn the_body_is_the_log() {
        let mut out = b"before\n".to_vec();
        encode("{\"seq\":0}\n{\"seq\":1}\n", &mut out);
        assert_eq!(out, b"before\n{\"seq\":0}\n{\"seq\":1}\n");
    }

    #[test]
    fn the_heartbeat_is_its_line_ended() {
        assert_eq!(HEARTBEAT, format!("{}\n", line::HEARTBEAT));
    }
}
