//! The operations of a durable run that isn't a turn, each thin over one write of the contract.
//!
//! Owns what an operation must know before it writes: how the step or run stands, where the log
//! ends. Whether it may write is decided in the statement itself, by its fence. Events from outside
//! need nothing more than [`Store::emit_event`] and [`Store::event`]; a failed run is opened again
//! by [`Store::reopen`]. Code that replays itself on these operations is `run/`.
//! Invariant: what is recorded stays as it was first recorded, and a run that is over is only read.

mod stream;

pub use stream::{
    Appended, StreamEvent, StreamLog, StreamPage, append_stream_event, read_stream_events,
};

use super::{
    Begun, Changes, Fence, Handle, Held, Lease, Policy, Run, RunOutcome, RunState, Status, Step,
    StepDetail, Store, Transition,
};
use crate::caps;

/// Why an operation did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The id belongs to a run that was asked for something else.
    #[error("the run was created for the input {expected}, not for {found}")]
    ManifestMismatch {
        /// The stored run's input hash.
        expected: String,
        /// The given one.
        found: String,
    },
    /// Another acquisition is at work.
    #[error("the lease is held until {until}")]
    LeaseHeld {
        /// Unix ms.
        until: i64,
    },
    /// The code asks for another step than the one that is recorded in this place.
    #[error("step {index} is {expected}, not {found}")]
    StepDivergence {
        /// The place.
        index: u32,
        /// The recorded intent.
        expected: String,
        /// The one that was asked for.
        found: String,
    },
    /// The recorded step had another input.
    #[error("step {index} had the input {expected}, not {found}")]
    StepInputMismatch {
        /// The place.
        index: u32,
        /// The recorded hash.
        expected: String,
        /// The one that was given.
        found: String,
    },
    /// The step was not begun, or it has ended otherwise.
    #[error("step {index} is not running")]
    StepNotRunning {
        /// The place.
        index: u32,
    },
    /// The event's id or payload can't stand in a log: ids have 1 to `FRAME_ID_BYTES`, payloads are
    /// JSON of one line and at most `FRAME_BYTES`.
    #[error("the event can't be logged")]
    InvalidEvent,
    /// What the store said.
    #[error(transparent)]
    Store(super::Error),
}

impl From<super::Error> for Error {
    fn from(error: super::Error) -> Self {
        match error {
            super::Error::LeaseHeld { until } => Error::LeaseHeld { until },
            error => Error::Store(error),
        }
    }
}

/// How a run was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nobody had created it; it is the caller's.
    Fresh(Fence),
    /// It was open and is the caller's now.
    Resumed(Fence),
    /// It is over: nothing was taken or written, and nothing may be.
    Replayed,
}

/// A run as [`start_or_resume`] met it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// How it was met.
    pub mode: Mode,
    /// As it is stored.
    pub run: Run,
    /// Its first steps by index, at most [`caps::STEP_PAGE_ROWS`]; behind a full page there may be
    /// more, which [`Store::steps`] reads.
    pub steps: Vec<Step>,
}

/// Creates `run`, or takes over the one that has its id, under the lease of `holder` until `until`,
/// Unix ms. A run that is over is read without a lease, by any number of readers at once.
/// `holder` is a fresh token of this acquisition: with a worker's name two tasks of one worker
/// would share a lease, and the same token again means the same call again.
///
/// # Errors
/// [`Error::ManifestMismatch`] when the input hashes differ, whoever holds the lease; then
/// [`Error::LeaseHeld`], also for the loser of two first starts; [`Error::Store`].
pub async fn start_or_resume<S: Store>(
    store: &S,
    run: &Run,
    holder: &str,
    until: i64,
    now: i64,
) -> Result<Started, Error> {
    let created = Run {
        lease: Some(Lease {
            holder: holder.to_owned(),
            until,
        }),
        ..run.clone()
    };
    if store.create(&created).await? == Begun::Begun {
        let epoch = created.epoch;
        return Ok(Started {
            mode: Mode::Fresh(Fence { epoch }),
            run: created,
            steps: vec![],
        });
    }
    let found = stored(store, &run.run_id).await?;
    if found.input_hash != run.input_hash {
        return Err(Error::ManifestMismatch {
            expected: found.input_hash,
            found: run.input_hash.clone(),
        });
    }
    // Not left to the acquisition to refuse: a replay asks for no lease.
    if found.state.status.is_terminal() {
        return started(store, Mode::Replayed, found).await;
    }
    let policy = Policy::WhenFree { until };
    match store.acquire(&run.run_id, policy, holder, now).await {
        Ok(fence) => {
            let found = stored(store, &run.run_id).await?;
            started(store, Mode::Resumed(fence), found).await
        }
        Err(super::Error::Fenced) => {
            // It ended since it was read, or was opened again since: then somebody has it.
            let found = stored(store, &run.run_id).await?;
            if found.state.status.is_terminal() {
                return started(store, Mode::Replayed, found).await;
            }
            Err(super::Error::Fenced.into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn started<S: Store>(store: &S, mode: Mode, run: Run) -> Result<Started, Error> {
    let steps = store.steps(&run.run_id, 0, caps::STEP_PAGE_ROWS).await?;
    Ok(Started { mode, run, steps })
}

async fn stored<S: Store>(store: &S, run_id: &str) -> Result<Run, Error> {
    Ok(store.run(run_id).await?.ok_or(super::Error::Missing)?)
}

/// The run, when this acquisition is still its last one.
async fn owned<S: Store>(store: &S, run_id: &str, fence: Fence) -> Result<Run, Error> {
    let run = stored(store, run_id).await?;
    if run.epoch == fence.epoch {
        return Ok(run);
    }
    Err(super::Error::Fenced.into())
}

/// Commits behind the log as it is. Its end is read first; whoever appends meanwhile is of the same
/// acquisition, and one of the two is told so.
async fn commit<S: Store>(
    store: &S,
    run_id: &str,
    fence: Fence,
    end: u64,
    changes: &Changes,
    now: i64,
) -> Result<(), Error> {
    // No session's key is needed: that is for messages, and these changes have none.
    store.commit("", run_id, fence, end, changes, now).await?;
    Ok(())
}

/// Has the lease of one's own acquisition last until `until`, Unix ms. One that ran out may still be
/// renewed while nobody has taken the run; whoever lost it renews nothing.
///
/// # Errors
/// [`Error::Store`] with `Fenced`: the lease is lost; stop.
pub async fn renew_lease<S: Store>(
    store: &S,
    run_id: &str,
    held: Held<'_>,
    until: i64,
) -> Result<(), Error> {
    Ok(store.renew(run_id, held, until).await?)
}

/// The step in a place, in any status; none when it was never begun.
///
/// # Errors
/// [`Error::Store`].
pub async fn load_step<S: Store>(
    store: &S,
    run_id: &str,
    index: u32,
) -> Result<Option<Step>, Error> {
    let steps = store.steps(run_id, index, 1).await?;
    Ok(steps.into_iter().find(|step| step.index == index))
}

/// A step to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewStep<'a> {
    /// Its place, which is its identity.
    pub index: u32,
    /// What it is for; compared with what is recorded in its place.
    pub intent: &'a str,
    /// As [`Step::kind`] lists them.
    pub kind: &'a str,
    /// Hex SHA-256 of its input; compared when both this and the recorded one are given.
    pub input_hash: Option<&'a str>,
}

/// What is to be done about a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepBegun {
    /// Run it: this is begin number `attempts`.
    Run {
        /// From 1.
        attempts: u32,
    },
    /// It is completed already; nothing was written.
    Recorded(Box<Step>),
}

/// Begins a step, for the first time or once more. A completed one is not opened again.
///
/// # Errors
/// [`Error::StepDivergence`], [`Error::StepInputMismatch`], [`Error::Store`].
pub async fn begin_step<S: Store>(
    store: &S,
    run_id: &str,
    fence: Fence,
    new: NewStep<'_>,
    now: i64,
) -> Result<StepBegun, Error> {
    let found = load_step(store, run_id, new.index).await?;
    if let Some(found) = &found {
        expect_same(found, &new)?;
    }
    let step = match found {
        Some(found) if found.status == COMPLETED => {
            owned(store, run_id, fence).await?;
            return Ok(StepBegun::Recorded(Box::new(found)));
        }
        Some(found) => Step {
            status: RUNNING.to_owned(),
            attempts: found.attempts.saturating_add(1),
            result: None,
            error: None,
            completed_at: None,
            ..found
        },
        None => first_begin(&new, now),
    };
    let attempts = step.attempts;
    commit_step(store, run_id, fence, step, now).await?;
    Ok(StepBegun::Run { attempts })
}

const RUNNING: &str = "running";
const COMPLETED: &str = "completed";
const FAILED: &str = "failed";

fn expect_same(found: &Step, new: &NewStep<'_>) -> Result<(), Error> {
    let index = new.index;
    if found.intent != new.intent {
        return Err(Error::StepDivergence {
            index,
            expected: found.intent.clone(),
            found: new.intent.to_owned(),
        });
    }
    match (&found.detail.input_hash, new.input_hash) {
        (Some(expected), Some(given)) if expected != given => Err(Error::StepInputMismatch {
            index,
            expected: expected.clone(),
            found: given.to_owned(),
        }),
        (Some(_) | None, _) => Ok(()),
    }
}

fn first_begin(new: &NewStep<'_>, now: i64) -> Step {
    Step {
        index: new.index,
        intent: new.intent.to_owned(),
        kind: new.kind.to_owned(),
        status: RUNNING.to_owned(),
        attempts: 1,
        result: None,
        error: None,
        // The commit gives it the run's.
        rev: 0,
        started_at: now,
        completed_at: None,
        detail: StepDetail {
            input_hash: new.input_hash.map(str::to_owned),
            ..StepDetail::default()
        },
    }
}

async fn commit_step<S: Store>(
    store: &S,
    run_id: &str,
    fence: Fence,
    step: Step,
    now: i64,
) -> Result<(), Error> {
    let end = store.log_end(run_id).await?;
    let changes = Changes {
        steps: vec![step],
        ..Changes::default()
    };
    commit(store, run_id, fence, end, &changes, now).await
}

/// Records a running step's result, raw JSON. On a completed step the first result stays.
///
/// # Errors
/// [`Error::StepNotRunning`], [`Error::Store`].
pub async fn complete_step<S: Store>(
    store: &S,
    run_id: &str,
    fence: Fence,
    index: u32,
    result: &str,
    now: i64,
) -> Result<(), Error> {
    close_step(store, run_id, fence, index, Ok(result), now).await
}

/// Records why a running step failed, raw JSON. It may be begun again.
///
/// # Errors
/// [`Error::StepNotRunning`], [`Error::Store`].
pub async fn fail_step<S: Store>(
    store: &S,
    run_id: &str,
    fence: Fence,
    index: u32,
    error: &str,
    now: i64,
) -> Result<(), Error> {
    close_step(store, run_id, fence, index, Err(error), now).await
}

async fn close_step<S: Store>(
    store: &S,
    run_id: &str,
    fence: Fence,
    index: u32,
    how: Result<&str, &str>,
    now: i64,
) -> Result<(), Error> {
    let status = if how.is_ok() { COMPLETED } else { FAILED };
    let found = load_step(store, run_id, index).await?;
    let found = found.ok_or(Error::StepNotRunning { index })?;
    if found.status == RUNNING {
        let step = Step {
            status: status.to_owned(),
            result: how.ok().map(str::to_owned),
            error: how.err().map(str::to_owned),
            completed_at: Some(now),
            ..found
        };
        return commit_step(store, run_id, fence, step, now).await;
    }
    // A repeat, perhaps behind a lost answer; whoever lost the run is told that first.
    owned(store, run_id, fence).await?;
    if found.status == status {
        return Ok(());
    }
    Err(Error::StepNotRunning { index })
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It did what it was for.
    Completed,
    /// It didn't; without lines it may be opened again.
    Failed,
    /// Somebody wanted it to stop.
    Cancelled,
}

impl End {
    /// The run's status from then on.
    pub const fn status(self) -> Status {
        match self {
            End::Completed => Status::Completed,
            End::Failed => Status::Failed,
            End::Cancelled => Status::Cancelled,
        }
    }
}

/// Ends a run. The same end again changes nothing, neither the outcome nor the time.
///
/// # Errors
/// [`Error::Store`] with `Fenced` when another acquisition owns the run or it ended otherwise.
pub async fn end_run<S: Store>(
    store: &S,
    run_id: &str,
    fence: Fence,
    end: End,
    outcome: Option<RunOutcome>,
    now: i64,
) -> Result<(), Error> {
    let run = owned(store, run_id, fence).await?;
    if run.state.status == end.status() {
        return Ok(());
    }
    let state = RunState {
        status: end.status(),
        outcome,
        wake_at: None,
        finished_at: Some(now),
        ..run.state.clone()
    };
    transition(store, run, fence, state, now).await
}

/// Replaces the execution that a later acquisition attaches to: before its first event is logged.
///
/// # Errors
/// [`Error::Store`] with `Fenced` when another acquisition owns the run or it is over.
pub async fn set_run_handle<S: Store>(
    store: &S,
    run_id: &str,
    fence: Fence,
    handle: Handle,
    now: i64,
) -> Result<(), Error> {
    let run = owned(store, run_id, fence).await?;
    let state = RunState {
        handle: Some(handle),
        ..run.state.clone()
    };
    transition(store, run, fence, state, now).await
}

async fn transition<S: Store>(
    store: &S,
    run: Run,
    fence: Fence,
    state: RunState,
    now: i64,
) -> Result<(), Error> {
    let end = store.log_end(&run.run_id).await?;
    let transition = Transition {
        state: RunState {
            line_count: end,
            ..state
        },
        message: None,
        upstream_cancel: run.upstream_cancel,
    };
    let changes = Changes {
        transition: Some(Box::new(transition)),
        ..Changes::default()
    };
    commit(store, &run.run_id, fence, end, &changes, now).await
}
