//! Everything that is tested through the crate's boundary, in one binary.

mod canonical;
mod crash;
mod run;
mod session;
mod store;
mod support;
mod tidy;
mod turn;
