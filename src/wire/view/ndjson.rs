//! NDJSON: the body is the stored lines.
//!
//! Owns the view's constants and its fold, which copies. It doesn't own the lines.
//! Invariant: without heartbeats a body is the log, byte for byte.

use super::{Items, View};

/// The view's media type.
pub const CONTENT_TYPE: &str = "application/x-ndjson";
/// A line without `seq`, so that nobody takes it for a line of the log.
pub const HEARTBEAT: &str = "{\"type\":\"heartbeat\"}\n";

/// Each line as it is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ndjson;

impl View for Ndjson {
    fn content_type(&self) -> &'static str {
        CONTENT_TYPE
    }

    fn line(&mut self, _seq: u64, line: &str, items: &mut Items) {
        items.push(|out| {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        });
    }

    fn heartbeat(&self) -> &'static str {
        HEARTBEAT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::line;
    use crate::wire::view::{ViewKind, encoded};

    #[test]
    fn the_body_is_the_log() {
        let log = "{\"seq\":0}\n{\"seq\":1}\n";
        assert_eq!(encoded(ViewKind::Ndjson, 0, log), log);
    }

    #[test]
    fn the_heartbeat_is_its_line_ended() {
        assert_eq!(HEARTBEAT, format!("{}\n", line::HEARTBEAT));
    }
}
