//! What must be true of every parser that reads what others wrote, whatever they wrote.
//!
//! Owns one function a target, which takes any bytes and panics when a property doesn't hold. It
//! doesn't own where bytes come from: libFuzzer gives them, from `corpus/` and by mutation, in the
//! short run and in the long one alike. Invariant: a target is a pure function of its bytes, and it
//! sees nothing of the crate but what every user sees.

mod bodies;
mod canonical;
mod config;
mod credentials;
mod cursors;
mod ecmascript;
mod events;
mod ids;
mod input;
mod json;
mod lines;
mod node;
mod requests;
mod upstreams;

pub use bodies::bodies;
pub use canonical::{canonical, canonical_node};
pub use config::config;
pub use credentials::credentials;
pub use cursors::cursors;
pub use events::sse;
pub use ids::ids;
pub use json::json;
pub use lines::ndjson;
pub use requests::requests;
pub use upstreams::{openai_chat, sandbox};

/// A word that seeds and dictionaries use for what is nobody's business: no refusal may repeat it.
const SECRET: &str = "hunter2";
