//! Durable AI chat turns on Cloudflare Workers.
//!
//! Modules stand in the order of one turn's way; `ARCHITECTURE.md` draws the map.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::todo,
        clippy::unreachable
    )
)]
#![warn(missing_docs)]
// Futures of the core stay on one thread; `Send` bounds would be noise here.
#![allow(async_fn_in_trait)]

pub mod wire;

pub mod api;

pub mod session;

pub mod plain;

pub mod turn;

pub mod log;

pub mod run;

pub mod ready;
pub mod tasks;

pub mod upstream;

pub mod store;

pub mod ship;

pub mod json;

pub mod caps;
pub mod config;
pub mod ids;
mod ops;
pub mod ports;

#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub mod native;

#[cfg(target_arch = "wasm32")]
pub mod cloudflare;

/// What this page tells a stranger to write compiles.
#[cfg(doctest)]
#[doc = include_str!("../docs/add-an-upstream.md")]
struct AddAnUpstream;
