//! The durable runner: code whose steps are recorded once and replayed for ever.

mod lease;

pub use lease::{Acquired, LeaseTerms, keep};
