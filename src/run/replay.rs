//! What a replay makes of a record: the decision of one step, pure.
//!
//! Owns the comparison of what is asked with what is recorded. Invariant: what is recorded as done
//! is never done again, and what is asked in another shape is never answered.

use super::error::{Error, Place};
use crate::store::{Step, StepFailure};

/// A step as the body asks for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub place: &'a Place,
    pub intent: &'a str,
    pub input_hash: Option<&'a str>,
    /// The attempt of the run that asks, from 1.
    pub run_attempt: u32,
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Recall {
    /// It was never begun.
    Begin,
    /// It was begun, and not ended in this attempt of the run.
    Again(Box<Step>),
    /// Its recorded result.
    Result(String),
    /// Its recorded failure.
    Failed(StepFailure),
}

/// Status names of a step. PERSISTED.
pub(super) const RUNNING: &str = "running";
pub(super) const COMPLETED: &str = "completed";
pub(super) const FAILED: &str = "failed";

pub(super) fn recall(known: Option<&Step>, asked: Asked<'_>) -> Result<Recall, Error> {
    let Some(step) = known else {
        return Ok(Recall::Begin);
    };
    if step.intent != asked.intent {
        return Err(Error::StepDivergence {
            place: asked.place.clone(),
            expected: step.intent.clone(),
            found: asked.intent.to_owned(),
        });
    }
    if let (Some(expected), Some(found)) = (&step.detail.input_hash, asked.input_hash)
        && expected != found
    {
        return Err(Error::StepInputMismatch {
            place: asked.place.clone(),
            expected: expected.clone(),
            found: found.to_owned(),
        });
    }
    if step.status == COMPLETED {
        let result = step.result.clone();
        return Ok(Recall::Result(result.unwrap_or_else(|| "null".to_owned())));
    }
    match step.detail.failures.last() {
        // Another attempt of the run tries it anew; in this one the body has seen it fail.
        Some(last) if is_final(step, last) && last.run_attempt == asked.run_attempt => {
            Ok(Recall::Failed(last.clone()))
        }
        Some(_) | None => Ok(Recall::Again(Box::new(step.clone()))),
    }
}

/// Whether a step ended with this failure, not with its run while it was to be tried again.
fn is_final(step: &Step, last: &StepFailure) -> bool {
    step.status == FAILED && last.attempt == step.attempts && last.retry_at.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StepDetail;

    fn failure(run_attempt: u32) -> StepFailure {
        StepFailure {
            attempt: 1,
            run_attempt,
            code: "boom".into(),
            author: false,
            message: String::new(),
            at: 1,
            retry_at: None,
        }
    }

    fn step(status: &str, failures: &[u32]) -> Step {
        Step {
            index: 3,
            intent: "charge".into(),
            kind: "tool".into(),
            status: status.into(),
            attempts: 1,
            result: (status == COMPLETED).then(|| "7".into()),
            error: None,
            rev: 1,
            started_at: 1,
            completed_at: None,
            detail: StepDetail {
                input_hash: Some("aa".into()),
                failures: failures.iter().map(|attempt| failure(*attempt)).collect(),
                ..StepDetail::default()
            },
        }
    }

    fn check(
        known: Option<&Step>,
        intent: &str,
        input: Option<&str>,
        expected: Result<Recall, &str>,
    ) {
        let place = Place::Position(3);
        let asked = Asked {
            place: &place,
            intent,
            input_hash: input,
            run_attempt: 2,
        };
        let found = recall(known, asked);
        assert_eq!(
            found.as_ref().map_err(|error| error.code().to_string()),
            expected.as_ref().map_err(|code| (*code).to_owned()),
            "{known:?}"
        );
    }

    #[test]
    fn the_table_of_recalls() {
        let again = |step: &Step| Ok(Recall::Again(Box::new(step.clone())));
        check(None, "charge", None, Ok(Recall::Begin));
        let done = step(COMPLETED, &[1]);
        check(Some(&done), "charge", None, Ok(Recall::Result("7".into())));
        check(
            Some(&done),
            "charge",
            Some("aa"),
            Ok(Recall::Result("7".into())),
        );
        check(
            Some(&done),
            "charge",
            Some("bb"),
            Err("step_input_mismatch"),
        );
        check(Some(&done), "refund", Some("aa"), Err("step_divergence"));
        let running = step(RUNNING, &[]);
        check(Some(&running), "charge", None, again(&running));
        check(Some(&running), "refund", None, Err("step_divergence"));
        let failed = step(FAILED, &[1, 2]);
        check(
            Some(&failed),
            "charge",
            None,
            Ok(Recall::Failed(failure(2))),
        );
        let before = step(FAILED, &[1]);
        check(Some(&before), "charge", None, again(&before));
        // Given up with its run, before its next attempt or within it.
        let mut given_up = step(FAILED, &[2]);
        given_up.attempts = 2;
        check(Some(&given_up), "charge", None, again(&given_up));
        let mut given_up = step(FAILED, &[2]);
        given_up.detail.failures[0].retry_at = Some(9);
        check(Some(&given_up), "charge", None, again(&given_up));
        // Failed attempts of a step that is still being tried decide nothing.
        let trying = step(RUNNING, &[2]);
        check(Some(&trying), "charge", None, again(&trying));
    }

    #[test]
    fn a_divergence_names_position_expected_and_found() {
        let place = Place::Position(3);
        let asked = Asked {
            place: &place,
            intent: "refund",
            input_hash: None,
            run_attempt: 1,
        };
        let error = recall(Some(&step(COMPLETED, &[])), asked).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the step at position 3 diverged: expected `charge`, found `refund`"
        );
    }
}
