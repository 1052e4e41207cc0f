//! What a step is asked to be: its intent, kind, input, and how often it is tried.
//!
//! Owns options and the retry policy, pure. Invariant: a policy has a bound, and what it decides
//! follows from the recorded failures alone.

use super::error::StepError;
use crate::caps;
use crate::json::canonical::{self, Invalid};
use crate::wire::code::{Code, FailureCode};
use serde::Serialize;

/// What a step does. PERSISTED by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepKind {
    /// Anything.
    #[default]
    Logic,
    /// A call of a model.
    Llm,
    /// A call of a tool.
    Tool,
    /// A check that something is there.
    Readiness,
    /// A value that only has to stay the same: the time, a random id, a time to wake at.
    Deterministic,
    /// A wait for an event.
    Event,
}

impl StepKind {
    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            StepKind::Logic => "logic",
            StepKind::Llm => "llm",
            StepKind::Tool => "tool",
            StepKind::Readiness => "readiness",
            StepKind::Deterministic => "deterministic",
            StepKind::Event => "event",
        }
    }
}

/// How often a step is tried, and how long it waits between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    first_ms: u64,
    most_ms: u64,
    chosen: Option<Chosen>,
}

/// The failures that are tried again, where not all are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chosen {
    authors: Vec<String>,
    ours: Vec<Code>,
}

impl Chosen {
    fn has(&self, code: &FailureCode) -> bool {
        match code {
            FailureCode::Ours(code) => self.ours.contains(code),
            FailureCode::Author(code) => self.authors.iter().any(|chosen| code == chosen.as_str()),
        }
    }
}

impl Default for RetryPolicy {
    /// One attempt.
    fn default() -> Self {
        RetryPolicy::attempts(1)
    }
}

impl RetryPolicy {
    /// Up to so many attempts that failed, [`caps::STEP_FAILURES`] at most; waits double from 100 ms
    /// to 1 s.
    pub const fn attempts(attempts: u32) -> Self {
        const MOST: u32 = caps::STEP_FAILURES as u32;
        RetryPolicy {
            attempts: if attempts < MOST { attempts } else { MOST },
            first_ms: caps::STEP_RETRY_FIRST_MS,
            most_ms: caps::STEP_RETRY_MOST_MS,
            chosen: None,
        }
    }

    /// The first wait, which doubles up to the longest one, in ms.
    pub fn waits(self, first_ms: u64, most_ms: u64) -> Self {
        RetryPolicy {
            first_ms,
            most_ms,
            ..self
        }
    }

    /// Only failures with one of these codes are tried again: an author's, as
    /// [`StepError::new`] was given them. One that reads like a code of ours is not that code.
    pub fn only(self, codes: &[&str]) -> Self {
        let mut chosen = self.chosen.unwrap_or_default();
        chosen.authors = codes.iter().map(|code| (*code).to_owned()).collect();
        RetryPolicy {
            chosen: Some(chosen),
            ..self
        }
    }

    /// Only failures with one of these codes of ours are tried again, [`Code::StepTimeout`] for one;
    /// beside [`only`](RetryPolicy::only), those too.
    pub fn only_ours(self, codes: &[Code]) -> Self {
        let mut chosen = self.chosen.unwrap_or_default();
        chosen.ours = codes.to_vec();
        RetryPolicy {
            chosen: Some(chosen),
            ..self
        }
    }

    /// The wait in ms before the next attempt; `None` when there is none. `failures` counts this
    /// one.
    pub fn next(&self, failures: u32, error: &StepError) -> Option<u64> {
        let chosen = self.chosen.as_ref();
        let chosen = chosen.is_none_or(|chosen| chosen.has(error.code()));
        let doublings = failures.saturating_sub(1).min(32);
        let wait = self.first_ms.saturating_mul(1 << doublings);
        (error.retryable && chosen && failures < self.attempts).then(|| wait.min(self.most_ms))
    }
}

/// What a step is asked to be. A text alone is the intent of a [`StepKind::Logic`] step.
#[derive(Clone, Debug)]
pub struct StepOptions {
    pub(super) intent: String,
    pub(super) kind: StepKind,
    pub(super) input_hash: Option<Result<String, Invalid>>,
    pub(super) retry: RetryPolicy,
    pub(super) timeout_ms: Option<u64>,
}

impl StepOptions {
    /// A step with this intent; of a named step it is the name.
    pub fn new(intent: impl Into<String>) -> Self {
        StepOptions {
            intent: intent.into(),
            kind: StepKind::default(),
            input_hash: None,
            retry: RetryPolicy::default(),
            timeout_ms: None,
        }
    }

    /// What it does.
    pub fn kind(self, kind: StepKind) -> Self {
        StepOptions { kind, ..self }
    }

    /// What it works on. A replay with another input is refused instead of answered with the
    /// recorded result.
    pub fn input<T: Serialize + ?Sized>(self, input: &T) -> Self {
        StepOptions {
            input_hash: Some(canonical::canonical_hash(input)),
            ..self
        }
    }

    /// How often it is tried.
    pub fn retry(self, retry: RetryPolicy) -> Self {
        StepOptions { retry, ..self }
    }

    /// How long one attempt may take, in ms.
    pub fn timeout_ms(self, timeout_ms: u64) -> Self {
        StepOptions {
            timeout_ms: Some(timeout_ms),
            ..self
        }
    }
}

impl From<&str> for StepOptions {
    fn from(intent: &str) -> Self {
        StepOptions::new(intent)
    }
}

impl From<String> for StepOptions {
    fn from(intent: String) -> Self {
        StepOptions::new(intent)
    }
}

/// What an attempt of a step knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// How often the step was begun, from 1: an attempt that died with its process counts.
    pub attempt: u32,
    /// The same for every attempt of this step of this run, and for no other: for whoever is asked
    /// to do something once.
    pub idempotency_key: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_bounds_and_end() {
        let error = StepError::new("boom", "");
        let policy = RetryPolicy::attempts(5).waits(100, 300);
        let waits: Vec<Option<u64>> = (1..=6).map(|n| policy.next(n, &error)).collect();
        let some = |ms| Some(ms);
        assert_eq!(
            waits,
            [some(100), some(200), some(300), some(300), None, None]
        );
        assert_eq!(RetryPolicy::default().next(1, &error), None);
        let long = RetryPolicy::attempts(u32::MAX).waits(u64::MAX, u64::MAX);
        assert_eq!(long.next(31, &error), Some(u64::MAX));
        assert_eq!(long.next(32, &error), None);
    }

    #[test]
    fn only_chosen_and_retryable_failures_are_tried_again() {
        let policy = RetryPolicy::attempts(3).only(&["busy"]);
        assert_eq!(policy.next(1, &StepError::new("busy", "")), Some(100));
        assert_eq!(policy.next(1, &StepError::new("other", "")), None);
        assert_eq!(
            policy.next(1, &StepError::new("busy", "").permanent()),
            None
        );
    }

    #[test]
    fn a_policy_never_takes_an_authors_code_for_one_of_ours() {
        let authors = StepError::new("step_timeout", "");
        let ours = StepError::ours(Code::StepTimeout, "");
        let busy = StepError::new("busy", "");
        let check = |policy: &RetryPolicy, expected: [bool; 3]| {
            let tried = [&authors, &ours, &busy].map(|error| policy.next(1, error).is_some());
            assert_eq!(tried, expected, "{policy:?}");
        };
        let policy = RetryPolicy::attempts(3);
        check(&policy, [true, true, true]);
        check(
            &policy.clone().only(&["step_timeout"]),
            [true, false, false],
        );
        let ours = policy.clone().only_ours(&[Code::StepTimeout]);
        check(&ours, [false, true, false]);
        check(&ours.only(&["busy"]), [false, true, true]);
        check(&policy.clone().only(&[]), [false, false, false]);
        // What isn't of the form of a code is no code.
        let odd = StepError::new("HTTP 503", "");
        assert_eq!(policy.only(&["HTTP 503"]).next(1, &odd), None);
    }
}
