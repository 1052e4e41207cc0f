//! The durable runner: code whose steps are recorded once and replayed for ever.

pub mod canonical;
mod lease;
pub mod manifest;

pub use lease::{Acquired, LeaseTerms, keep};
