//! The store contract: sessions, runs, the packed log, messages, steps, events.
//!
//! Owns what may be written together and under which fence ([`Store`]), and the stores that keep
//! it: one SQL text over three drivers, and a readable in-memory model. It knows no kinds of
//! line, no upstream and no client.
//! Invariant: every write of a run carries its epoch in its own statement; a stale writer changes
//! nothing and is told [`Error::Fenced`].

mod batch;
mod decode;
mod driver;
mod durable;
mod encode;
mod lease;
mod memory;
mod migrate;
mod object;
mod patience;
mod record;
pub(crate) mod sql;
mod sql_store;
mod status;

pub mod conformance;
pub mod operations;
#[cfg(all(feature = "sqlite", not(target_arch = "wasm32")))]
pub mod sqlite;

pub use decode::Corrupt;
pub use driver::{Driver, DriverError, Outcome, Statement, Value};
pub use durable::{DueRun, RunFilter, Shipment, Stands};
pub use lease::{Claim, claim};
pub use memory::MemoryStore;
pub use migrate::{Section, migrations, version};
pub use object::{Hydration, Unshipped};
pub(crate) use patience::patiently;
pub use record::{
    Attempt, Cancel, EventRecord, Handle, LastError, Lease, LogHome, LogRow, Message,
    MessageStatus, Role, Run, RunOutcome, RunState, Session, Step, StepDetail, StepFailure,
    UpstreamCancel,
};
pub use sql_store::SqlStore;
pub use status::Status;

use std::future::Future;

/// Why an operation of the store did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another acquisition owns the run, or the run is over: stop, write nothing more.
    #[error("another acquisition owns this run, or it is over")]
    Fenced,
    /// The log ends elsewhere than the writer believes.
    #[error("the log ends at {found}, not at {expected}")]
    SeqMismatch {
        /// As the writer believed.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// No such run.
    #[error("no such run")]
    Missing,
    /// Somebody holds the lease.
    #[error("the lease is held until {until}")]
    LeaseHeld {
        /// Unix ms.
        until: i64,
    },
    /// A stored row can't be read.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The driver failed.
    #[error(transparent)]
    Unavailable(#[from] DriverError),
}

/// The token of one acquisition, checked by every write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// As [`Store::acquire`] or [`Store::begin`] gave it.
    pub epoch: u64,
}

/// How to take a run over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// At once: the caller knows that whoever held it is gone, as a session object does.
    Sole,
    /// When no lease is live; at the instant of expiry it is free.
    WhenFree {
        /// Unix ms until which the new lease holds.
        until: i64,
    },
}

/// A turn to be accepted, with everything that is true once it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The session as it is afterwards: `turn_count` is the new run's index + 1.
    pub session: Session,
    /// The run, with epoch 1.
    pub run: Run,
    /// The first line, seq 0.
    pub first: Lines,
    /// The user's message.
    pub message: Message,
    /// The turn's own step.
    pub step: Step,
}

/// What became of a [`Begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// All of it is stored.
    Begun,
    /// Nothing is stored: the index or key is taken, or the turn before is still open. Decide again.
    Taken,
}

/// Lines of one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The attempt their frames came from.
    pub attempt: u32,
    /// The upstream's last frame id up to here.
    pub cursor: Option<String>,
    /// One id or none a line; without any these are no lines and nothing is written.
    pub frame_ids: Vec<Option<String>>,
    /// Each line with `\n` behind it.
    pub text: String,
}

/// A change of the run beside its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Replaces the run's state as a whole. Its `line_count` is where the log ends behind this
    /// commit's lines; another count is an [`Error::SeqMismatch`].
    pub state: RunState,
    /// The assistant's message, with a terminal state.
    pub message: Option<Message>,
    /// A cancel that the upstream is still to be told.
    pub upstream_cancel: Option<UpstreamCancel>,
}

/// What one decision of a drain makes true together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Lines to append.
    pub lines: Option<Lines>,
    /// Steps as they are from now on; one that stands already keeps its intent, kind and start, and a
    /// state that it has left behind changes nothing of it.
    pub steps: Vec<Step>,
    /// A change of the run.
    pub transition: Option<Box<Transition>>,
}

/// The lease of one acquisition, as its holder knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<'a> {
    /// The acquisition's epoch.
    pub fence: Fence,
    /// Its token.
    pub holder: &'a str,
}

/// An event as it stands after an emit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// This emit was the first.
    pub accepted: bool,
    /// The first emit's record.
    pub record: EventRecord,
}

/// The store contract. Each *must* is a case in [`conformance::CASES`], run on every store.
pub trait Store {
    /// Brings the schema up to this code's version.
    /// It must be safe to run twice and from two places at once, and accept a newer schema.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn migrate(&self, now: i64) -> impl Future<Output = Result<(), Error>>;

    /// Returns when everything written before is durable.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn sync(&self) -> impl Future<Output = Result<(), Error>>;

    /// Returns when something may be done to the outside that nothing written before may be lost
    /// behind. Where the platform itself holds what leaves it until its writes are durable, that
    /// is at once.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn barrier(&self) -> impl Future<Output = Result<(), Error>>;

    /// The session, tombstones included.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    fn session(&self, session_key: &str) -> impl Future<Output = Result<Option<Session>, Error>>;

    /// Accepts a turn: session, run, first line, message and step together.
    /// Of two racing begins of one index exactly one must win; an index must follow the last one;
    /// a turn must not begin while the one before is open; a key must name one turn.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn begin(&self, begin: &Begin) -> impl Future<Output = Result<Begun, Error>>;

    /// Stores a run that belongs to no session, with the epoch and lease it carries. Of two racing
    /// creations of one id exactly one must win; the other must change nothing. The caller sees to
    /// it that no session's turn can have this id, and that the run has no key: a begin would meet
    /// them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn create(&self, run: &Run) -> impl Future<Output = Result<Begun, Error>>;

    /// Takes an open run over under a new, higher epoch. `holder` is a token of this acquisition:
    /// the same token again must be recognised as the same acquisition.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the run is over, [`Error::LeaseHeld`], [`Error::Missing`],
    /// [`Error::Unavailable`].
    fn acquire(
        &self,
        run_id: &str,
        policy: Policy,
        holder: &str,
        now: i64,
    ) -> impl Future<Output = Result<Fence, Error>>;

    /// Has a lease last until `until`, Unix ms, also one that has run out and that nobody took
    /// since. Whoever lost it must change nothing.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::Missing`], [`Error::Unavailable`].
    fn renew(
        &self,
        run_id: &str,
        held: Held<'_>,
        until: i64,
    ) -> impl Future<Output = Result<(), Error>>;

    /// Frees an open run that this acquisition still owns; whoever lost it must change nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn release(&self, run_id: &str, fence: Fence) -> impl Future<Output = Result<(), Error>>;

    /// Opens a failed run without a log again, as `run` was read, for one more attempt under a new
    /// epoch and a lease until `until`, Unix ms. Of two at once one must win. A run that is open,
    /// that succeeded, was cancelled, or has lines must stay as it is.
    ///
    /// # Errors
    /// [`Error::Fenced`] when it isn't such a run any more, [`Error::Missing`],
    /// [`Error::Unavailable`].
    fn reopen(
        &self,
        run: &Run,
        attempt: &Attempt,
        holder: &str,
        until: i64,
        now: i64,
    ) -> impl Future<Output = Result<Fence, Error>>;

    /// Makes all of `changes` true, or nothing. A repeated commit must be recognised as its own.
    /// A commit under a stale epoch, on a run that is over, or at another end of the log must
    /// change nothing.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::SeqMismatch`], [`Error::Missing`], [`Error::Unavailable`].
    fn commit(
        &self,
        session_key: &str,
        run_id: &str,
        fence: Fence,
        expect_next_seq: u64,
        changes: &Changes,
        now: i64,
    ) -> impl Future<Output = Result<(), Error>>;

    /// Records the intent to cancel; the first reason must be kept. False when the run is over. A
    /// first intent must make a suspended run due: its `wake_at` is then the intent's time.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unavailable`].
    fn request_cancel(
        &self,
        run_id: &str,
        cancel: &Cancel,
    ) -> impl Future<Output = Result<bool, Error>>;

    /// Replaces the cancel that the upstream is still to be told; `None` when it knows.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn set_upstream_cancel(
        &self,
        run_id: &str,
        pending: Option<&UpstreamCancel>,
        now: i64,
    ) -> impl Future<Output = Result<(), Error>>;

    /// Records an event; the first emit of a key must win for ever. On a run that is over a new
    /// key is refused with [`Error::Fenced`], a known one must still answer. A new event must make
    /// a suspended run due: its `wake_at` is then `now`.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::Missing`], [`Error::Unavailable`].
    fn emit_event(
        &self,
        run_id: &str,
        key: &str,
        payload: &str,
        now: i64,
    ) -> impl Future<Output = Result<Emitted, Error>>;

    /// One event.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    fn event(
        &self,
        run_id: &str,
        key: &str,
    ) -> impl Future<Output = Result<Option<EventRecord>, Error>>;

    /// One run.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    fn run(&self, run_id: &str) -> impl Future<Output = Result<Option<Run>, Error>>;

    /// The run that a key names in a session, and in no other that ends alike: another project's may
    /// have the same tenant and the same id.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    fn run_by_key(
        &self,
        session_key: &str,
        key: &str,
    ) -> impl Future<Output = Result<Option<Run>, Error>>;

    /// A session's runs from `from_turn` on, by turn index.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    fn runs(
        &self,
        session_key: &str,
        from_turn: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Run>, Error>>;

    /// Rows of a run's log, from the one that holds `from_seq` on; none when it ends before that.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    fn log(
        &self,
        run_id: &str,
        from_seq: u64,
        rows: u32,
    ) -> impl Future<Output = Result<Vec<LogRow>, Error>>;

    /// The seq behind the last line.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn log_end(&self, run_id: &str) -> impl Future<Output = Result<u64, Error>>;

    /// Messages in order, strictly after `after` (turn index and position).
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    fn messages(
        &self,
        session_key: &str,
        after: Option<(u64, Role)>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Message>, Error>>;

    /// The last messages before a turn, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    fn messages_before(
        &self,
        session_key: &str,
        turn_index: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Message>, Error>>;

    /// A run's steps from `from_index` on.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    fn steps(
        &self,
        run_id: &str,
        from_index: u32,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Step>, Error>>;
}
