//! Who may take a run: the decision of an acquisition, pure.
//!
//! The in-memory model takes it from here; the SQL store states it in `sql::ACQUIRE`, so that it
//! holds in the statement itself, and asks here what a refused statement means.
//! Invariant: a lease is free at the instant it expires, and a token is one acquisition for ever.

use super::{Policy, Status};

/// What an acquisition comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The run is free: take it under a higher epoch.
    Take,
    /// This very acquisition took it before; its answer was lost.
    Mine,
    /// Somebody's lease is live until then, Unix ms.
    Held {
        /// Unix ms.
        until: i64,
    },
    /// The run is over: nobody takes it any more.
    Over,
}

/// Decides at `now`, Unix ms. `mine` says that the run's holder is this acquisition's token, and
/// `until` how long the holder's lease lasts, if it has one.
pub fn claim(now: i64, status: Status, mine: bool, until: Option<i64>, policy: &Policy) -> Claim {
    if status.is_terminal() {
        return Claim::Over;
    }
    if mine {
        return Claim::Mine;
    }
    match (policy, until) {
        (Policy::WhenFree { .. }, Some(until)) if until > now => Claim::Held { until },
        (Policy::WhenFree { .. } | Policy::Sole, _) => Claim::Take,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_claims() {
        use Status::{Cancelled, Completed, Failed, Queued, Running, Suspended};
        let free = Policy::WhenFree { until: 9_000 };
        let cases = [
            (Running, false, None, &free, Claim::Take),
            (Running, false, Some(999), &free, Claim::Take),
            (Running, false, Some(1_000), &free, Claim::Take),
            (
                Running,
                false,
                Some(1_001),
                &free,
                Claim::Held { until: 1_001 },
            ),
            (
                Queued,
                false,
                Some(1_001),
                &free,
                Claim::Held { until: 1_001 },
            ),
            (
                Suspended,
                false,
                Some(1_001),
                &free,
                Claim::Held { until: 1_001 },
            ),
            (Running, true, Some(1_001), &free, Claim::Mine),
            (Running, true, Some(999), &free, Claim::Mine),
            (Running, false, Some(1_001), &Policy::Sole, Claim::Take),
            (Running, true, None, &Policy::Sole, Claim::Mine),
            (Completed, false, None, &Policy::Sole, Claim::Over),
            (Failed, true, Some(1_001), &free, Claim::Over),
            (Cancelled, false, None, &free, Claim::Over),
        ];
        for (status, mine, until, policy, expected) in cases {
            assert_eq!(
                claim(1_000, status, mine, until, policy),
                expected,
                "{status:?} {mine} {until:?} {policy:?}"
            );
        }
    }
}
