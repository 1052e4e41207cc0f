//! The ship: what is carried from a session's object into D1, and what D1's answer means.
//!
//! Owns the decisions and the bound on a call; the session performs them behind its turns, the
//! fenced statements are the store's. Invariant: each ship is a correct resume point, and D1 never
//! goes back.

mod plan;
mod timed;

pub use plan::{Verdict, as_of, judge, pack, retry_ms};
pub use timed::Timed;
