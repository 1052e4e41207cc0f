//! What stands on the wire: requests in, lines and problems out.
//!
//! A turn's log is a sequence of JSON lines, `{"seq":N,"type":"…","data":…}`, numbered from 0
//! without gaps and ended by exactly one terminal line. A client is shown the stored lines by one of the
//! views; heartbeats stand between what they give and outside the log.
//! What can be refused is refused as a [`problem::Problem`] before the head of an answer is sent.
//!
//! Owns the text of PROTOCOL §2 in both directions. It doesn't own stores, turns or HTTP types.
//! Invariant: NDJSON and SSE add bytes around stored lines and change none within them.

pub mod code;
pub mod content;
pub mod cursor;
pub mod line;
pub mod problem;
pub mod request;
pub mod view;
