//! What becomes of a submit: the decision table of PROTOCOL §2.1, pure.
//!
//! Invariant: whatever is refused is refused here, before anything is stored or streamed.

use crate::store::Status;
use crate::wire::problem::Problem;
use crate::wire::request::IfRunning;

/// What a submit says about which turn it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `turnIndex`.
    pub turn_index: Option<u64>,
    /// Hex SHA-256 of the input.
    pub input_hash: String,
    /// `ifRunning`.
    pub if_running: IfRunning,
    /// `retryOf`.
    pub retry_of: Option<u64>,
}

/// A run, as far as the decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its place.
    pub turn_index: u64,
    /// Its input.
    pub input_hash: String,
    /// Where it stands.
    pub status: Status,
}

/// What the session knows that bears on a submit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The next turn's index.
    pub next_turn: u64,
    /// The run that the key names.
    pub by_key: Option<Known>,
    /// The run at the asked index.
    pub by_index: Option<Known>,
    /// The last run: the only one that may be open.
    pub last: Option<Known>,
    /// The run that `retryOf` names.
    pub retried: Option<Known>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Answer from this existing turn.
    Existing(u64),
    /// Accept a new turn at the next index.
    Create,
    /// Cancel this running turn, then decide again.
    CancelFirst(u64),
    /// Refuse.
    Refuse(Problem),
}

/// Decides. `location` gives the path of a turn's stream.
pub fn decide(asked: &Asked, facts: &Facts, location: impl Fn(u64) -> String) -> Opening {
    if let Some(named) = &facts.by_key
        && asked
            .turn_index
            .is_some_and(|turn| turn != named.turn_index)
    {
        return Opening::Refuse(Problem::manifest_mismatch());
    }
    if let Some(known) = facts.by_key.as_ref().or(facts.by_index.as_ref()) {
        return if known.input_hash == asked.input_hash {
            Opening::Existing(known.turn_index)
        } else {
            Opening::Refuse(Problem::manifest_mismatch())
        };
    }
    // An index below the next without a run was erased with its session: it is never used again.
    if asked.turn_index.is_some_and(|turn| turn != facts.next_turn) {
        return Opening::Refuse(Problem::turn_out_of_order(facts.next_turn));
    }
    if asked.retry_of.is_some() {
        match &facts.retried {
            None => return Opening::Refuse(Problem::not_found()),
            Some(retried) if !matches!(retried.status, Status::Failed | Status::Cancelled) => {
                return Opening::Refuse(Problem::turn_not_retryable());
            }
            Some(_) => {}
        }
    }
    match &facts.last {
        Some(last) if !last.status.is_terminal() => match asked.if_running {
            IfRunning::Reject => {
                Opening::Refuse(Problem::turn_in_progress(location(last.turn_index)))
            }
            IfRunning::Cancel => Opening::CancelFirst(last.turn_index),
        },
        Some(_) | None => Opening::Create,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(turn_index: u64, input_hash: &str, status: Status) -> Option<Known> {
        Some(Known {
            turn_index,
            input_hash: input_hash.into(),
            status,
        })
    }

    fn asked(turn_index: Option<u64>) -> Asked {
        Asked {
            turn_index,
            input_hash: "h".into(),
            if_running: IfRunning::Reject,
            retry_of: None,
        }
    }

    fn check(asked: &Asked, facts: &Facts, expected: &str) {
        let opening = decide(asked, facts, |turn| format!("/t/{turn}"));
        let brief = match &opening {
            Opening::Existing(turn) => format!("existing {turn}"),
            Opening::Create => "create".into(),
            Opening::CancelFirst(turn) => format!("cancel {turn}"),
            Opening::Refuse(problem) => format!("{} {}", problem.status(), problem.code),
        };
        assert_eq!(brief, expected, "{asked:?} {facts:?}");
    }

    #[test]
    fn the_table_of_situations() {
        use Status::{Completed, Running};
        let none = Facts::default();
        let one = |status| Facts {
            next_turn: 1,
            by_index: known(0, "h", status),
            last: known(0, "h", status),
            ..Facts::default()
        };
        check(&asked(None), &none, "create");
        check(&asked(Some(0)), &none, "create");
        check(&asked(Some(1)), &none, "409 turn_out_of_order");
        check(&asked(Some(0)), &one(Running), "existing 0");
        check(&asked(Some(0)), &one(Completed), "existing 0");
        let other = Facts {
            by_index: known(0, "x", Completed),
            ..one(Completed)
        };
        check(&asked(Some(0)), &other, "409 manifest_mismatch");
        let busy = Facts {
            by_index: None,
            ..one(Running)
        };
        check(&asked(None), &busy, "409 turn_in_progress");
        check(&asked(Some(1)), &busy, "409 turn_in_progress");
        check(&asked(Some(2)), &busy, "409 turn_out_of_order");
        let cancel = Asked {
            if_running: IfRunning::Cancel,
            ..asked(None)
        };
        check(&cancel, &busy, "cancel 0");
        let idle = Facts {
            by_index: None,
            ..one(Completed)
        };
        check(&cancel, &idle, "create");
        let erased = Facts {
            next_turn: 3,
            ..Facts::default()
        };
        check(&asked(Some(1)), &erased, "409 turn_out_of_order");
        check(&asked(Some(3)), &erased, "create");
    }

    #[test]
    fn keys_name_turns() {
        let keyed = |hash: &str| Facts {
            next_turn: 2,
            by_key: known(0, hash, Status::Completed),
            last: known(1, "z", Status::Completed),
            ..Facts::default()
        };
        check(&asked(None), &keyed("h"), "existing 0");
        check(&asked(None), &keyed("x"), "409 manifest_mismatch");
        check(&asked(Some(0)), &keyed("h"), "existing 0");
        check(&asked(Some(1)), &keyed("h"), "409 manifest_mismatch");
        check(&asked(Some(2)), &keyed("h"), "409 manifest_mismatch");
    }

    #[test]
    fn only_what_failed_or_was_cancelled_is_retried() {
        let retry = Asked {
            retry_of: Some(0),
            ..asked(None)
        };
        let facts = |status: Option<Status>| Facts {
            next_turn: 1,
            last: known(0, "x", status.unwrap_or(Status::Completed)),
            retried: status.and_then(|status| known(0, "x", status)),
            ..Facts::default()
        };
        check(&retry, &facts(None), "404 not_found");
        check(&retry, &facts(Some(Status::Failed)), "create");
        check(&retry, &facts(Some(Status::Cancelled)), "create");
        check(
            &retry,
            &facts(Some(Status::Completed)),
            "409 turn_not_retryable",
        );
        check(
            &retry,
            &facts(Some(Status::Running)),
            "409 turn_not_retryable",
        );
    }
}
