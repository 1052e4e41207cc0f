//! Steadfast on Cloudflare Workers: translation only, no decisions.
//!
//! Owns how requests, objects, storage, D1, timers and the network look on this platform, and what
//! another crate builds its Worker of:
//!
//! - [`session_object!`](crate::session_object) exports the class of the session objects,
//! - [`handle`] answers a request to the HTTP API, and [`sweep`] does the cron trigger's work,
//! - [`sleep`] is how an upstream of its own waits,
//! - [`demo_agent!`](crate::demo_agent) exports the class behind the upstream `demo`, if you want it.
//!
//! `examples/custom-worker/` in the repository is such a Worker, whole, and `worker/` is the ready one.
//! Invariant: nothing below this folder is named outside of it.

mod api;
mod body;
mod d1;
mod demo_object;
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
mod stub;
mod sweep;
mod transport;

pub use api::handle;
pub use demo_object::DemoHost;
pub use ports::sleep;
pub use session_object::SessionHost;
pub use sweep::sweep;
