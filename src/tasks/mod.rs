//! Durable tasks that come with the crate.
//!
//! Each is a body over [`DurableContext`](crate::run::DurableContext), written like one of a user's
//! own; a session runs it as a turn under `upstream: "task:<name>"`.

mod calculator;
pub mod research;
