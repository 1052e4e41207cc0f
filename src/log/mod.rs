//! The log of one run: how lines come into it, and what its memory holds while they do.
//!
//! Owns numbering, group commit, the records of an ending, the answer that lines amount to, and the
//! wake-ups of those who read. It doesn't own what a turn does next (`turn/`) nor what a step is (`run/`).
//! Invariant: a line is in the store before anybody is woken for it.

mod body;
mod buffer;
mod commit;
mod ending;
mod follow;
mod live;
mod transcript;
mod wake;
mod writer;

pub use body::{Body, NoBody, first_line};
pub(crate) use buffer::Buffer;
pub(crate) use commit::{CommitPolicy, Due};
pub(crate) use ending::{Ended, own_step, step_error};
pub use follow::{Follower, FollowerCut, Lines, Next, Source, Standing};
pub use live::{Live, Stop};
pub use transcript::Transcript;
pub use wake::Wake;
pub(crate) use wake::at_once;
pub(crate) use writer::{Shown, Writer};
