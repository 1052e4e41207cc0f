//! Steadfast on Cloudflare Workers: translation only, no decisions.
//!
//! Owns how requests, objects, storage, D1, timers and the network look on this platform, and the
//! ready Worker's exports. Invariant: nothing below this folder is named outside of it.

mod body;
mod d1;
mod demo_object;
mod entry;
#[cfg(feature = "faults")]
mod faults;
mod js;
mod line_source;
mod object_sqlite;
mod platform;
mod ports;
mod request;
mod router;
mod session_object;
mod transport;
