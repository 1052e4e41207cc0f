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
//! For durable runs in an object of a class of your own: [`ObjectSqlite`] and [`WorkerPorts`] are what
//! [`run_durable`](crate::run::run_durable) runs on there, by a [`SqlStore`](crate::store::SqlStore).
//!
//! For a Worker without objects, on [`run_supervised_turn`](crate::plain::run_supervised_turn) and its
//! siblings: [`command`] says who asks for what, [`RequestPorts`], [`D1`] and [`Transport`] are what they
//! run on, [`turn_response`], [`lines_response`] and [`refusal`] answer. `examples/plain-worker/` is one.
//!
//! `examples/custom-worker/` in the repository is a Worker with objects, whole, and `worker/` is the ready
//! one. Invariant: nothing below this folder is named outside of it.

mod api;
mod body;
mod d1;
mod demo_object;
#[cfg(feature = "faults")]
mod faults;
mod isolate;
mod js;
mod line_source;
mod object_sqlite;
mod panics;
mod plain;
mod platform;
mod ports;
mod request;
mod session_object;
mod stub;
mod sweep;
mod transport;

pub use api::{command, handle};
pub use body::refusal;
pub use d1::D1;
pub use demo_object::DemoHost;
pub use object_sqlite::ObjectSqlite;
pub use plain::{RequestPorts, lines_response, turn_response};
pub use platform::var;
pub use ports::{WorkerPorts, sleep};
pub use session_object::SessionHost;
pub use sweep::sweep;
pub use transport::{Body, Transport};
