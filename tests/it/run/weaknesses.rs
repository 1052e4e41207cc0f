//! Weaknesses.
