//! Everything that is tested through the crate's boundary, in one binary.

mod canonical;
mod chat;
mod crash;
mod model;
mod mutants;
mod run;
mod session;
mod sim;
mod store;
mod supervised;
mod support;
mod tidy;
mod turn;
mod worlds;
