//! The HTTP API without a platform: from a request to what it asks, and from an answer's data to JSON.
//!
//! Owns which requests there are (PROTOCOL §2), who may send them, what a Worker tells a session's
//! object, and the public shapes. It doesn't own what an answer is (`session/`), nor how requests and
//! answers look on a platform (`cloudflare/`). Invariant: nothing of a request is parsed, and nothing
//! revealed, before its caller is known; and a body is read only where one is wanted, to its limit.
//!
//! A new endpoint is three edits, and the compiler asks for the second and the third:
//!
//! 1. `route.rs`: a [`Route`] with its ids, and its line in the table of paths and methods;
//! 2. `command.rs`: the [`Command`] that it is, with what it takes from body, query and headers;
//! 3. `session/mod.rs`: who handles that command, which is a function in the file of its kind.
//!
//! What it answers that nothing answers yet is a shape in `answer.rs`. A new command changes the envelope
//! by an addition, so the objects must know it a release before a Worker sends it.

mod access;
mod answer;
mod command;
mod envelope;
mod incoming;
mod mode;
mod route;

pub use access::{Asked, Caller, TenantRuns, ask, caller};
pub use answer::{
    Answer, List, PublicAttempt, PublicCancel, PublicEmitted, PublicError, PublicEvent,
    PublicHandle, PublicHealth, PublicHistory, PublicMessage, PublicOutcome, PublicRun,
    PublicSession, PublicStep, PublicStepFailure, Raw,
};
pub use command::{Command, Page, RunList};
pub use envelope::{Envelope, VERSION, deliver};
pub use incoming::{BodyCut, Incoming};
pub use mode::Mode;
pub use route::{Method, Route, location, route};

#[cfg(test)]
mod tests;
