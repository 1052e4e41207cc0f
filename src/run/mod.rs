//! The durable runner: code whose steps are recorded once and replayed for ever.
//!
//! A body is given a [`DurableContext`] and asks it for steps, waits, time and chance. What it asked for
//! is in the store before it happens, and what came of it before anyone sees it; a body that is run
//! again after a crash gets the recorded answers and goes on where they end. [`run_durable`] does this on
//! any [`Store`](crate::store::Store), under a lease; in a session's object a task does it as a turn.
//!
//! Owns replay, suspension, retries, leases, and the identity of runs. It knows no SQL, no HTTP and no
//! platform. Invariant: whatever is recorded is not done again, and a body never sees a value that a
//! replay would not give it.
//!
//! | file | what |
//! |---|---|
//! | `context` | the contract between a body and whatever runs it |
//! | `ops`, `wait` | its calls on a store |
//! | `replay`, `step` | pure: what a record means for a call, when a step is tried again |
//! | `journal`, `lines` | what is known, what is on its way into the store, one commit at a time |
//! | `drive` | the one loop: body, writer, watchers |
//! | `slots` | what runs at once, in the order of asking |
//! | `durable`, `options`, `lease` | who may run it, and what its end is |
//! | `manifest` | what a run is for, and its hash |

mod context;
mod drive;
mod durable;
mod error;
mod journal;
mod lease;
mod lines;
pub mod manifest;
mod ops;
mod options;
mod replay;
mod slots;
mod step;
mod task;
mod wait;
mod workspace;

pub use context::DurableContext;
pub use drive::Waits;
pub use durable::{run_durable, run_durable_in};
pub use error::{Error, Place, StepError, Stop};
pub(crate) use lease::under_lease;
pub use lease::{Acquired, LeaseTerms, keep};
pub use ops::{RunContext, event_payload};
pub use options::{CancelToken, RunEnd, RunMode, RunOptions};
pub use step::{RetryPolicy, Scope, StepKind, StepOptions};
pub use task::TaskInput;
pub(crate) use task::{TaskLimits, TaskTurn};
pub use workspace::{MemoryWorkspace, NoWorkspace, Workspace, WorkspaceError};
