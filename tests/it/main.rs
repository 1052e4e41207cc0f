//! Everything that is tested through the crate's boundary, in one binary.

mod store;
