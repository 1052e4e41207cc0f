//! Everything that is tested through the crate's boundary, in one binary.

#![allow(
    clippy::disallowed_methods,
    reason = "a test says an error's words; a clock is no method, and `tidy` looks for a sleep"
)]

mod canonical;
mod chat;
mod crash;
mod limits;
mod model;
mod persisted;
mod run;
mod session;
mod sim;
mod store;
mod supervised;
mod support;
mod tidy;
mod turn;
mod worlds;
