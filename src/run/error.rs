//! What can go wrong in a durable run, as its callers and its body tell apart.
//!
//! Owns the one error of the runner and which code each has; the codes themselves are of the table in
//! `wire/code`. Invariant: only the runner fails with a code of ours, and no message of ours holds a
//! result, a payload or an input.

use super::workspace::WorkspaceError;
use crate::ids::InvalidId;
use crate::json::canonical::Invalid;
use crate::store::{self, Status};
use crate::wire::code::{AuthorCode, Code, FailureCode};
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
        /// As the step gave it, or [`Code::StepTimeout`], [`Code::StepInterrupted`],
        /// [`Code::StepResultTooLarge`], [`Code::StepResultNotJson`], [`Code::WorkspaceFailed`],
        /// [`Code::InvalidCode`]. The same in each replay.
        code: FailureCode,
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
    /// A line of a type that a body may not tell.
    #[error("a line's type is [a-z0-9_.-]{{1,64}}, not `session.*`")]
    InvalidLine,
    /// This code has no task of the run's name.
    #[error("this code has no task `{name}`")]
    UnknownTask {
        /// The task's.
        name: String,
    },
    /// The run's workspace can't be started or brought back.
    #[error("{}", .0.message)]
    Workspace(WorkspaceError),
    /// The body's own failure.
    #[error("{message}")]
    Failed {
        /// Stable, of the body's choice.
        code: AuthorCode,
        /// For people.
        message: String,
    },
    /// The body's own failure, with a code that isn't of the form of an [`AuthorCode`].
    #[error("{message}")]
    InvalidCode {
        /// The body's own, with the code as it was given behind it.
        message: String,
    },
    /// The store failed; whoever takes the run next goes on.
    #[error(transparent)]
    Store(store::Error),
}

impl Error {
    /// A failure of the body's own. The code is 1 to 64 of `[a-z0-9_]`, and told as it is; one of
    /// another form becomes [`Error::InvalidCode`].
    pub fn failed(code: impl Into<String>, message: impl Into<String>) -> Self {
        match FailureCode::of_author(code, message) {
            (FailureCode::Author(code), message) => Error::Failed { code, message },
            (FailureCode::Ours(_), message) => Error::InvalidCode { message },
        }
    }

    /// A code of ours, or the author's.
    pub fn code(&self) -> FailureCode {
        let ours = match self {
            Error::StepFailed { code, .. } => return code.clone(),
            Error::Failed { code, .. } => return FailureCode::Author(code.clone()),
            Error::StepDivergence { .. } => Code::StepDivergence,
            Error::StepInputMismatch { .. } => Code::StepInputMismatch,
            Error::AwaitEventTimeout { .. } => Code::AwaitEventTimeout,
            Error::Stopped(Stop::Cancelled { .. }) => Code::Cancelled,
            Error::Stopped(Stop::TimedOut) => Code::RunTimeout,
            Error::Stopped(Stop::TooLarge) => Code::RunTooLarge,
            Error::Stopped(Stop::LeaseLost) => Code::LeaseLost,
            Error::InvalidId { .. } => Code::InvalidId,
            Error::DuplicateStep { .. } => Code::DuplicateStep,
            Error::Concurrent { .. } => Code::StepConcurrent,
            Error::Nested { .. } => Code::StepNested,
            Error::TooManySteps { .. } => Code::TooManySteps,
            Error::TooLarge { .. } => Code::TooLarge,
            Error::NotJson { .. } => Code::NotJson,
            Error::Unreadable { .. } => Code::StepUnreadable,
            Error::ManifestMismatch => Code::ManifestMismatch,
            Error::LeaseHeld { .. } => Code::LeaseHeld,
            Error::Over { .. } => Code::RunOver,
            Error::InvalidLine => Code::InvalidLine,
            Error::UnknownTask { .. } => Code::UnknownTask,
            Error::Workspace(_) => Code::WorkspaceFailed,
            Error::InvalidCode { .. } => Code::InvalidCode,
            Error::Store(_) => Code::StoreUnavailable,
        };
        FailureCode::Ours(ours)
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
    /// Whose it is is the runner's to say: an author's step can't fail with a code of ours.
    code: FailureCode,
    /// For people; stored with the step.
    pub message: String,
    /// Whether another attempt may help.
    pub retryable: bool,
}

impl StepError {
    /// A failure that another attempt may get over. The code is 1 to 64 of `[a-z0-9_]`; it is told as
    /// it is, and retry policies choose by it. One of another form becomes [`Code::InvalidCode`], with
    /// the code as it was given behind the message.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, message) = FailureCode::of_author(code, message);
        StepError {
            code,
            message,
            retryable: true,
        }
    }

    /// A failure that the runner itself notes.
    pub(super) fn ours(code: Code, message: impl Into<String>) -> Self {
        StepError {
            code: FailureCode::Ours(code),
            message: message.into(),
            retryable: true,
        }
    }

    /// A code of ours, or the author's.
    pub const fn code(&self) -> &FailureCode {
        &self.code
    }

    /// The same, where no other attempt would help.
    pub fn permanent(self) -> Self {
        StepError {
            retryable: false,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_runner_fails_with_a_code_of_ours() {
        let check = |code: &str, expected: &str, is_ours: bool| {
            for (found, message) in [
                {
                    let error = StepError::new(code, "m");
                    (error.code().clone(), error.message)
                },
                {
                    let error = Error::failed(code, "m");
                    (error.code(), error.to_string())
                },
            ] {
                assert_eq!(found.as_str(), expected);
                assert_eq!(matches!(found, FailureCode::Ours(_)), is_ours, "{code}");
                assert!(message.starts_with('m'), "{message}");
                assert_eq!(is_ours, message.contains(code), "{message}");
            }
        };
        check("declined", "declined", false);
        check("step_timeout", "step_timeout", false);
        check("lease_lost", "lease_lost", false);
        check("Declined!", "invalid_code", true);
    }
}
