//! What a drain does next: the decisions of one turn, pure.
//!
//! Owns attempts, budgets, back-off and endings. It knows no store, no stream and no clock: facts
//! come in with the time, an action goes out, and `turn/mod.rs` performs it.
//! Invariant: the number of starts never exceeds the budget, whatever crashes, since attempts are
//! durable before the upstream is asked and nothing takes one back.

use super::budget::{Backoff, Limits};
use crate::store::Attempt;
use crate::upstream::{Capabilities, Refusal};
use crate::wire::code::Code;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A drain begins. The turn was accepted by this very task, and nobody has asked the upstream.
    Accepted,
    /// A drain begins on a run that somebody drained before.
    Recovered,
    /// The upstream gave a stream.
    Opened,
    /// The upstream gave none.
    Refused(Refusal),
    /// A new line came in since the stream opened, then the stream was cut.
    CutAfterProgress,
    /// The stream was cut without a new line.
    Cut,
    /// The stream was silent for too long.
    Silent,
    /// The upstream broke its protocol.
    Protocol(String),
    /// The upstream runs another input under this execution id.
    Conflict,
    /// The upstream's terminal frame: it succeeded.
    Completed,
    /// The upstream's terminal frame: it failed.
    Failed(String),
    /// The turn's time is over.
    TimedOut,
    /// The turn's log is full.
    TooLarge,
    /// Its caller cancelled it.
    Cancelled(Option<String>),
    /// What a new attempt would send is no longer what was accepted.
    InputLost,
    /// A drain begins on a run whose upstream said all to one before.
    Drained,
    /// The hooks have done what must be done before the end.
    Settled,
    /// The final text can't be transformed.
    NotTransformed,
    /// The finished turn can't be saved.
    NotPersisted,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// After `wait_ms`, ask for the execution from its first frame.
    Start {
        /// Back-off.
        wait_ms: u64,
    },
    /// After `wait_ms`, attach to the execution behind the last frame in the log.
    Attach {
        /// Back-off.
        wait_ms: u64,
    },
    /// Take frames in.
    Read,
    /// Make a new attempt durable and visible, then start it after `wait_ms`.
    Restart {
        /// Its number.
        attempt: u32,
        /// What ended the one before.
        reason: &'static str,
        /// Back-off.
        wait_ms: u64,
    },
    /// The upstream has said all: take the answer through the hooks.
    Settle,
    /// End the turn.
    End(Ending),
}

/// How a turn ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It succeeded.
    Completed,
    /// It failed.
    Failed {
        /// With what.
        code: Code,
        /// For people.
        message: String,
        /// The upstream may still be at work and is to be told to stop.
        stop_upstream: bool,
    },
    /// It was cancelled.
    Cancelled {
        /// The caller's reason.
        reason: Option<String>,
    },
}

/// The decisions of one drain.
#[derive(Clone, Debug)]
pub struct TurnState {
    capabilities: Capabilities,
    limits: Limits,
    attempts: u32,
    failures: u32,
    backoff: Backoff,
}

impl TurnState {
    /// The state of a run with these durable attempts.
    pub fn new(capabilities: Capabilities, limits: Limits, attempts: &[Attempt]) -> Self {
        TurnState {
            capabilities,
            limits,
            attempts: attempts.last().map_or(0, |attempt| attempt.number),
            failures: 0,
            backoff: Backoff,
        }
    }

    /// Decides. `chance` is 64 random bits for jitter.
    pub fn on(&mut self, fact: Fact, chance: u64) -> Action {
        match fact {
            Fact::Accepted => Action::Start { wait_ms: 0 },
            Fact::Recovered => self.on_recovered(chance),
            Fact::Opened => Action::Read,
            Fact::Refused(refusal) => self.on_refused(refusal, chance),
            Fact::CutAfterProgress => {
                self.failures = 0;
                self.on_cut(chance)
            }
            Fact::Cut => self.on_cut(chance),
            Fact::Silent => self.on_silent(chance),
            Fact::Protocol(message) => fail(Code::UpstreamProtocol, message, true),
            Fact::Conflict => fail(
                Code::UpstreamConflict,
                "the upstream runs another input under this execution id",
                false,
            ),
            Fact::Completed | Fact::Drained => Action::Settle,
            Fact::Settled => Action::End(Ending::Completed),
            Fact::NotTransformed => fail(
                Code::TransformFailed,
                "the answer could not be made fit to show",
                false,
            ),
            Fact::NotPersisted => fail(Code::PersistFailed, "the answer could not be saved", false),
            Fact::Failed(message) => fail(Code::UpstreamFailed, message, false),
            Fact::TimedOut => fail(Code::TurnTimeout, "the turn took too long", true),
            Fact::TooLarge => fail(Code::TurnTooLarge, "the turn's log is full", true),
            Fact::Cancelled(reason) => Action::End(Ending::Cancelled { reason }),
            Fact::InputLost => fail(
                Code::Internal,
                "the messages this turn was accepted with are gone",
                true,
            ),
        }
    }

    fn on_recovered(&mut self, chance: u64) -> Action {
        match self.capabilities {
            // The same execution id finds the same execution, begun or not.
            Capabilities {
                resumable: true,
                start_idempotent: _,
            } => Action::Attach { wait_ms: 0 },
            // The start, if it happened at all, is known to be unknown.
            Capabilities {
                resumable: false,
                start_idempotent: _,
            } => self.restart("interrupted", 0, chance),
        }
    }

    fn on_refused(&mut self, refusal: Refusal, chance: u64) -> Action {
        match refusal {
            Refusal::Unavailable {
                retry_after_ms,
                maybe_started,
            } => {
                let least = retry_after_ms.unwrap_or(0);
                if maybe_started && !self.capabilities.start_idempotent {
                    return self.restart("start outcome unknown", least, chance);
                }
                self.failures += 1;
                if self.failures >= self.limits.attempts {
                    return self.unavailable();
                }
                let wait_ms = self.backoff.wait_ms(self.failures, least, chance);
                self.ask_again(wait_ms)
            }
            Refusal::Gone => self.restart("execution gone", 0, chance),
            Refusal::Conflict => self.on(Fact::Conflict, chance),
            Refusal::Rejected { status } => fail(
                Code::UpstreamRejected,
                format!("the upstream rejected the request with status {status}"),
                false,
            ),
        }
    }

    fn on_cut(&mut self, chance: u64) -> Action {
        if !self.capabilities.resumable {
            return self.restart("stream cut", 0, chance);
        }
        self.failures += 1;
        if self.failures >= self.limits.attempts {
            return self.unavailable();
        }
        Action::Attach {
            wait_ms: self.backoff.wait_ms(self.failures, 0, chance),
        }
    }

    fn on_silent(&mut self, chance: u64) -> Action {
        if !self.capabilities.resumable {
            return self.restart("stream silent", 0, chance);
        }
        // Being accepted and staying silent costs nothing; the idle time itself paces it.
        Action::Attach { wait_ms: 0 }
    }

    fn ask_again(&self, wait_ms: u64) -> Action {
        if self.capabilities.resumable {
            Action::Attach { wait_ms }
        } else {
            Action::Start { wait_ms }
        }
    }

    fn restart(&mut self, reason: &'static str, least_ms: u64, chance: u64) -> Action {
        if self.attempts >= self.limits.starts {
            return self.unavailable();
        }
        // The first attempt's wait is the shortest step of the back-off.
        let wait_ms = self.backoff.wait_ms(self.attempts, least_ms, chance);
        self.attempts += 1;
        self.failures = 0;
        Action::Restart {
            attempt: self.attempts,
            reason,
            wait_ms,
        }
    }

    fn unavailable(&self) -> Action {
        fail(
            Code::UpstreamUnavailable,
            format!(
                "the upstream was not available (starts: {}, failures in a row: {})",
                self.attempts, self.failures
            ),
            true,
        )
    }
}

fn fail(code: Code, message: impl Into<String>, stop_upstream: bool) -> Action {
    Action::End(Ending::Failed {
        code,
        message: message.into(),
        stop_upstream,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESUMABLE: Capabilities = Capabilities {
        resumable: true,
        start_idempotent: true,
    };
    const PLAIN: Capabilities = Capabilities {
        resumable: false,
        start_idempotent: false,
    };

    fn state(capabilities: Capabilities, attempts: u32) -> TurnState {
        let attempts: Vec<Attempt> = (1..=attempts)
            .map(|number| Attempt {
                number,
                reason: String::new(),
                started_at: 0,
            })
            .collect();
        let limits = Limits {
            attempts: 3,
            starts: 2,
        };
        TurnState::new(capabilities, limits, &attempts)
    }

    fn unavailable(maybe_started: bool) -> Fact {
        Fact::Refused(Refusal::Unavailable {
            retry_after_ms: None,
            maybe_started,
        })
    }

    /// The action's name, and its code or reason.
    fn brief(action: &Action) -> String {
        match action {
            Action::Start { .. } => "start".into(),
            Action::Attach { .. } => "attach".into(),
            Action::Read => "read".into(),
            Action::Settle => "settle".into(),
            Action::Restart {
                attempt, reason, ..
            } => format!("restart {attempt} {reason}"),
            Action::End(Ending::Completed) => "completed".into(),
            Action::End(Ending::Failed {
                code,
                stop_upstream,
                ..
            }) => format!(
                "failed {code}{}",
                if *stop_upstream { " +stop" } else { "" }
            ),
            Action::End(Ending::Cancelled { .. }) => "cancelled".into(),
        }
    }

    fn check(capabilities: Capabilities, attempts: u32, facts: &[Fact], expected: &[&str]) {
        let mut state = state(capabilities, attempts);
        let actions: Vec<String> = facts
            .iter()
            .map(|fact| brief(&state.on(fact.clone(), 7)))
            .collect();
        assert_eq!(actions, expected, "{facts:?}");
    }

    #[test]
    fn a_plain_way_through() {
        check(
            RESUMABLE,
            1,
            &[Fact::Accepted, Fact::Opened, Fact::Completed, Fact::Settled],
            &["start", "read", "settle", "completed"],
        );
    }

    #[test]
    fn recovery_attaches_where_it_can_and_restarts_visibly_where_not() {
        check(RESUMABLE, 1, &[Fact::Recovered], &["attach"]);
        check(PLAIN, 1, &[Fact::Recovered], &["restart 2 interrupted"]);
        check(
            PLAIN,
            2,
            &[Fact::Recovered],
            &["failed upstream_unavailable +stop"],
        );
    }

    #[test]
    fn a_drained_upstream_is_not_asked_again() {
        for capabilities in [RESUMABLE, PLAIN] {
            check(capabilities, 1, &[Fact::Drained], &["settle"]);
        }
    }

    #[test]
    fn failures_in_a_row_are_bounded_and_progress_restores_them() {
        check(
            RESUMABLE,
            1,
            &[Fact::Cut, Fact::Cut, Fact::Cut],
            &["attach", "attach", "failed upstream_unavailable +stop"],
        );
        check(
            RESUMABLE,
            1,
            &[
                Fact::Cut,
                Fact::Cut,
                Fact::CutAfterProgress,
                Fact::Cut,
                Fact::Cut,
            ],
            &[
                "attach",
                "attach",
                "attach",
                "attach",
                "failed upstream_unavailable +stop",
            ],
        );
    }

    #[test]
    fn starts_are_bounded_and_nothing_restores_them() {
        check(
            PLAIN,
            1,
            &[Fact::CutAfterProgress, Fact::Opened, Fact::CutAfterProgress],
            &[
                "restart 2 stream cut",
                "read",
                "failed upstream_unavailable +stop",
            ],
        );
        check(
            RESUMABLE,
            1,
            &[Fact::Refused(Refusal::Gone), Fact::Refused(Refusal::Gone)],
            &[
                "restart 2 execution gone",
                "failed upstream_unavailable +stop",
            ],
        );
    }

    #[test]
    fn an_unknown_start_is_never_silent() {
        check(
            PLAIN,
            1,
            &[unavailable(true)],
            &["restart 2 start outcome unknown"],
        );
        check(PLAIN, 1, &[unavailable(false)], &["start"]);
        check(RESUMABLE, 1, &[unavailable(true)], &["attach"]);
    }

    #[test]
    fn silence_costs_nothing() {
        let mut state = state(RESUMABLE, 1);
        for _ in 0..100 {
            assert_eq!(state.on(Fact::Silent, 1), Action::Attach { wait_ms: 0 });
        }
        check(PLAIN, 1, &[Fact::Silent], &["restart 2 stream silent"]);
    }

    #[test]
    fn endings_say_whether_the_upstream_is_to_stop() {
        let cases: [(Fact, &str); 10] = [
            (Fact::Protocol("x".into()), "failed upstream_protocol +stop"),
            (Fact::Conflict, "failed upstream_conflict"),
            (Fact::Refused(Refusal::Conflict), "failed upstream_conflict"),
            (
                Fact::Refused(Refusal::Rejected { status: 401 }),
                "failed upstream_rejected",
            ),
            (Fact::Failed("x".into()), "failed upstream_failed"),
            (Fact::TimedOut, "failed turn_timeout +stop"),
            (Fact::TooLarge, "failed turn_too_large +stop"),
            (Fact::Cancelled(None), "cancelled"),
            (Fact::NotTransformed, "failed transform_failed"),
            (Fact::NotPersisted, "failed persist_failed"),
        ];
        for (fact, expected) in cases {
            check(RESUMABLE, 1, &[fact], &[expected]);
        }
    }

    #[test]
    fn retry_after_is_kept() {
        let mut state = state(RESUMABLE, 1);
        let fact = Fact::Refused(Refusal::Unavailable {
            retry_after_ms: Some(4_000),
            maybe_started: false,
        });
        let Action::Attach { wait_ms } = state.on(fact, 0) else {
            panic!("attach expected");
        };
        assert!(wait_ms >= 4_000);
    }
}
