//! Durable AI chat turns on Cloudflare Workers.
//!
//! Modules stand in the order of one turn's way; `ARCHITECTURE.md` draws the map.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]
// A test says an error's words; its clock and its sleep are kept away by other means (clippy.toml).
#![cfg_attr(test, allow(clippy::disallowed_methods))]
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
mod certain;
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
