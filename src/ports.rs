//! The ports through which the core meets time, chance, tasks and the log.
//!
//! Owns the traits only; `cloudflare/ports.rs` and the test support implement them.
//! Invariant: nothing outside an implementation of these traits reads a clock,
//! makes randomness, sleeps, or starts a task.

use std::future::Future;

/// Wall-clock time.
pub trait Clock {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;
}

/// Waiting.
pub trait Timer {
    /// Completes `ms` milliseconds from now, never earlier; late is allowed.
    fn sleep(&self, ms: u64) -> impl Future<Output = ()> + 'static;
}

/// Randomness fit for identifiers and jitter.
pub trait Entropy {
    /// 128 fresh random bits.
    fn random(&self) -> u128;
}

/// Tasks that outlive the request that started them.
pub trait Spawn {
    /// Runs `task` to its end on this object, independent of any client.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);
}

/// Structured operational log: one JSON object a line, never content or secrets.
pub trait Log {
    /// Writes one line.
    fn log(&self, line: &str);
}

/// Everything the core needs from its surroundings, cheap to clone.
pub trait Ports: Clock + Timer + Entropy + Spawn + Log + Clone + 'static {}

impl<P: Clock + Timer + Entropy + Spawn + Log + Clone + 'static> Ports for P {}
