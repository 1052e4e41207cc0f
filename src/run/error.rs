//! What can go wrong in a durable run, as its callers and its body tell apart.
//!
//! Owns the one error of the runner and its codes. Invariant: a code is stable, and no message holds
//! a result, a payload or an input.

use crate::ids::InvalidId;
use crate::json::canonical::Invalid;
use crate::store::{self, Status};
use std::fmt;

/// Which step: by position in the body, or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The body's n-th call, from 0.
    Position(u32),
    /// A named step.
    Named(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Position(position) => write!(f, "at position {position}"),
            Place::Named(name) => write!(f, "named `{name}`"),
        }
    }
}

/// Why a run has to stop; the first reason stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Somebody cancelled it.
    Cancelled {
        /// As they said.
        reason: Option<String>,
    },
    /// Its time is over, waiting not counted.
    TimedOut,
    /// Its log and the results of its steps are larger than they may be.
    TooLarge,
    /// Another acquisition may own it: nothing more is written.
    LeaseLost,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stop::Cancelled { .. } => "it was cancelled",
            Stop::TimedOut => "its time is over",
            Stop::TooLarge => "its log and its results are too large",
            Stop::LeaseLost => "its lease was lost, and another worker may have it",
        })
    }
}

/// Why a run or a call of its context came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body asks for another step than the one recorded in this place: its code has changed.
    #[error("the step {place} diverged: expected `{expected}`, found `{found}`")]
    StepDivergence {
        /// Where.
        place: Place,
        /// The intent that is recorded.
        expected: String,
        /// The intent that was asked for.
        found: String,
    },
    /// The step's input is another than when it was recorded.
    #[error("the step {place} has another input: expected {expected}, found {found}")]
    StepInputMismatch {
        /// Where.
        place: Place,
        /// The recorded hash.
        expected: String,
        /// The present one.
        found: String,
    },
    /// A step failed for good.
    #[error("the step `{step}` failed with `{code}`: {message}")]
    StepFailed {
        /// Its intent or name.
        step: String,
        /// As the step gave it, or `step_timeout`, `step_interrupted`, `step_result_too_large`,
        /// `step_result_not_json`, `workspace_failed`.
        code: String,
        /// For people.
        message: String,
    },
    /// No event came in time.
    #[error("no event `{key}` came in time")]
    AwaitEventTimeout {
        /// The event's key.
        key: String,
    },
    /// The run stops.
    #[error("the run stops: {0}")]
    Stopped(Stop),
    /// An id of the wrong form.
    #[error("{what}: {why}")]
    InvalidId {
        /// Which id.
        what: &'static str,
        /// What is wrong with it.
        why: InvalidId,
    },
    /// Two steps of one run have this name.
    #[error("two steps are named `{name}`")]
    DuplicateStep {
        /// The name.
        name: String,
    },
    /// A step known by its position beside another one: the next replay could find them the other
    /// way round. Branches take named steps.
    #[error("`{intent}` is known by its position only, and something else runs beside it")]
    Concurrent {
        /// The intent.
        intent: String,
    },
    /// A step inside another step: the outer one's record is all that a replay sees.
    #[error("`{intent}` stands inside another step")]
    Nested {
        /// The intent.
        intent: String,
    },
    /// More steps than a run may have.
    #[error("a run has at most {max} steps")]
    TooManySteps {
        /// The most.
        max: u32,
    },
    /// Too large to be stored.
    #[error("{what} has more than {max} bytes")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// The most, in bytes.
        max: usize,
    },
    /// Not JSON, or not as JSON can have it.
    #[error("{what}: {why}")]
    NotJson {
        /// What it is.
        what: &'static str,
        /// Why not.
        why: Invalid,
    },
    /// A recorded value is not of the type that was asked for.
    #[error("the record of `{step}` is not of the type that is asked for")]
    Unreadable {
        /// The step's intent or name.
        step: String,
    },
    /// Another manifest runs under this id.
    #[error("another manifest runs under this run id")]
    ManifestMismatch,
    /// Another worker has the run.
    #[error("another worker has the run until {until}")]
    LeaseHeld {
        /// Unix ms.
        until: i64,
    },
    /// The run is over and was not asked to be tried again.
    #[error("the run is over: {}", status.name())]
    Over {
        /// How it ended.
        status: Status,
    },
    /// The body's own failure.
    #[error("{message}")]
    Failed {
        /// Stable, of the body's choice.
        code: String,
        /// For people.
        message: String,
    },
    /// The store failed; whoever takes the run next goes on.
    #[error(transparent)]
    Store(store::Error),
}

impl Error {
    /// A failure of the body's own.
    pub fn failed(code: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Failed {
            code: code.into(),
            message: message.into(),
        }
    }

    /// Stable and in snake case, as lines and records have it.
    pub fn code(&self) -> &str {
        match self {
            Error::StepDivergence { .. } => "step_divergence",
            Error::StepInputMismatch { .. } => "step_input_mismatch",
            Error::StepFailed { code, .. } | Error::Failed { code, .. } => code,
            Error::AwaitEventTimeout { .. } => "await_event_timeout",
            Error::Stopped(Stop::Cancelled { .. }) => "cancelled",
            Error::Stopped(Stop::TimedOut) => "run_timeout",
            Error::Stopped(Stop::TooLarge) => "run_too_large",
            Error::Stopped(Stop::LeaseLost) => "lease_lost",
            Error::InvalidId { .. } => "invalid_id",
            Error::DuplicateStep { .. } => "duplicate_step",
            Error::Concurrent { .. } => "step_concurrent",
            Error::Nested { .. } => "step_nested",
            Error::TooManySteps { .. } => "too_many_steps",
            Error::TooLarge { .. } => "too_large",
            Error::NotJson { .. } => "not_json",
            Error::Unreadable { .. } => "step_unreadable",
            Error::ManifestMismatch => "manifest_mismatch",
            Error::LeaseHeld { .. } => "lease_held",
            Error::Over { .. } => "run_over",
            Error::Store(_) => "store_unavailable",
        }
    }
}

impl From<store::Error> for Error {
    fn from(failure: store::Error) -> Self {
        match failure {
            store::Error::Fenced => Error::Stopped(Stop::LeaseLost),
            store::Error::LeaseHeld { until } => Error::LeaseHeld { until },
            store::Error::SeqMismatch { .. }
            | store::Error::Missing
            | store::Error::Corrupt(_)
            | store::Error::Unavailable(_) => Error::Store(failure),
        }
    }
}

/// Why one attempt of a step failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct StepError {
    /// Stable; retry policies choose by it.
    pub code: String,
    /// For people; stored with the step.
    pub message: String,
    /// Whether another attempt may help.
    pub retryable: bool,
}

impl StepError {
    /// A failure that another attempt may get over.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        StepError {
            code: code.into(),
            message: message.into(),
            retryable: true,
        }
    }

    /// The same, where no other attempt would help.
    pub fn permanent(self) -> Self {
        StepError {
            retryable: false,
            ..self
        }
    }
}
