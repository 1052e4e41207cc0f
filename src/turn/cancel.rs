//! Telling an upstream of a cancel: one try, and what its answer comes to.
//!
//! Owns which answers are final and how long the next try waits. Who tells, and where the pending cancel is
//! kept meanwhile, is the session's or the plain turn's. Invariant: a cancel stays pending until the
//! upstream has said that it knows, or that there is nothing to know, or its tries are used up.

use super::hooks::bounded;
use crate::caps;
use crate::ports::Ports;
use crate::store::UpstreamCancel;
use crate::upstream::{Refusal, Upstream};

/// What one try came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It knows, or there is nothing to know.
    Known,
    /// It won't be told; asking again would not help.
    Rejected {
        /// The HTTP status.
        status: u16,
    },
    /// It is told again then.
    Later(UpstreamCancel),
    /// Its tries are used up.
    GivenUp(UpstreamCancel),
}

/// Tells an upstream once, within bounds; `most_tries` is how often it is told in all.
pub(crate) async fn tell<P: Ports, U: Upstream>(
    ports: &P,
    upstream: &U,
    cancel: UpstreamCancel,
    most_tries: u32,
) -> Told {
    let call = upstream.cancel(&cancel.execution_id);
    let answer = bounded(ports, caps::CANCEL_TRY_MS, call).await;
    // No answer is as good as none that helps.
    let answer = answer.unwrap_or(Err(Refusal::Unavailable {
        retry_after_ms: None,
        maybe_started: false,
    }));
    judge(answer, cancel, most_tries, ports.now_ms())
}

/// What an answer comes to (PROTOCOL §4.2): 2xx and every 4xx are final but 408, 425 and 429, which ask
/// for patience as every other status does.
fn judge(answer: Result<(), Refusal>, cancel: UpstreamCancel, most_tries: u32, now: i64) -> Told {
    let retry_after_ms = match answer {
        Ok(()) | Err(Refusal::Gone | Refusal::Conflict) => return Told::Known,
        // A redirect is nobody's answer to a cancel.
        Err(Refusal::Rejected { status }) if !(300..400).contains(&status) => {
            return Told::Rejected { status };
        }
        Err(Refusal::Rejected { .. }) => None,
        Err(Refusal::Unavailable { retry_after_ms, .. }) => retry_after_ms,
    };
    let tries = cancel.tries.saturating_add(1);
    let doubled = caps::CANCEL_RETRY_FIRST_MS << cancel.tries.min(16);
    let wait = doubled
        .max(retry_after_ms.unwrap_or(0))
        .min(caps::CANCEL_RETRY_MOST_MS);
    let next = UpstreamCancel {
        tries,
        next_at: now.saturating_add_unsigned(wait),
        ..cancel
    };
    if tries >= most_tries {
        Told::GivenUp(next)
    } else {
        Told::Later(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancel(tries: u32) -> UpstreamCancel {
        UpstreamCancel {
            execution_id: "x".into(),
            tries,
            next_at: 0,
        }
    }

    #[test]
    fn waits_double_and_end() {
        for (tries, retry_after_ms, expected) in [
            (0, None, Some(1_500)),
            (1, None, Some(2_000)),
            (0, Some(4_000), Some(5_000)),
            (30, None, Some(301_000)),
            (caps::CANCEL_TRIES - 1, None, None),
        ] {
            let answer = Err(Refusal::Unavailable {
                retry_after_ms,
                maybe_started: true,
            });
            let next_at = match judge(answer, cancel(tries), caps::CANCEL_TRIES, 1_000) {
                Told::Later(cancel) => Some(cancel.next_at),
                Told::GivenUp(_) => None,
                told => panic!("{told:?}"),
            };
            assert_eq!(next_at, expected, "{tries} {retry_after_ms:?}");
        }
    }

    #[test]
    fn what_an_upstream_says_for_good_is_final() {
        for (answer, expected) in [
            (Ok(()), Told::Known),
            (Err(Refusal::Gone), Told::Known),
            (Err(Refusal::Conflict), Told::Known),
            (
                Err(Refusal::Rejected { status: 422 }),
                Told::Rejected { status: 422 },
            ),
            (
                Err(Refusal::Rejected { status: 501 }),
                Told::Rejected { status: 501 },
            ),
        ] {
            assert_eq!(judge(answer, cancel(0), 8, 0), expected);
        }
        let redirected = judge(Err(Refusal::Rejected { status: 302 }), cancel(0), 8, 0);
        assert!(matches!(redirected, Told::Later(_)));
    }
}
