//! How a submit was answered.
//!
//! Owns the names that `X-Turn-Mode` has. When a turn is which of them is for whoever opens it to say.

/// How a submit was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A new turn.
    Fresh,
    /// It is running here.
    Joined,
    /// It was orphaned and this request took it over.
    Resumed,
    /// It is over.
    Replayed,
}

impl Mode {
    /// As in `X-Turn-Mode`.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Fresh => "fresh",
            Mode::Joined => "joined",
            Mode::Resumed => "resumed",
            Mode::Replayed => "replayed",
        }
    }
}
