//! When the object must be looked at next: one alarm for everything that is due.
//!
//! Pure. Invariant: while a run is open, something is unshipped, a cancel is untold or an erasure
//! is unfinished, there is an alarm; the earliest due time wins.

/// What there is to be done, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// A run is open: look after this many ms.
    pub open_run_within_ms: Option<u64>,
    /// A run is suspended until this time.
    pub wake_at: Option<i64>,
    /// Something is unshipped: try at this time.
    pub ship_at: Option<i64>,
    /// A cancel is untold: try at this time.
    pub cancel_at: Option<i64>,
    /// An erasure is unfinished: try at this time.
    pub erase_at: Option<i64>,
    /// The oldest log here expires at this time.
    pub log_expires_at: Option<i64>,
}

/// The next alarm, Unix ms, never in the past; `None` when nothing is due ever.
pub fn next_alarm(now: i64, facts: &Facts) -> Option<i64> {
    let open = facts
        .open_run_within_ms
        .map(|within| now.saturating_add_unsigned(within));
    [
        open,
        facts.wake_at,
        facts.ship_at,
        facts.cancel_at,
        facts.erase_at,
        facts.log_expires_at,
    ]
    .into_iter()
    .flatten()
    .min()
    .map(|at| at.max(now))
}

/// Whether to set the alarm to `next` when it stands at `armed`: it is never postponed.
pub fn must_set(now: i64, armed: Option<i64>, next: i64) -> bool {
    match armed {
        // One that is overdue is firing or was lost; setting it again costs one row.
        Some(armed) => armed < now || next < armed,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_due_time_wins() {
        let cases: [(Facts, Option<i64>); 8] = [
            (
                Facts {
                    wake_at: Some(9_000),
                    ..Facts::default()
                },
                Some(9_000),
            ),
            (Facts::default(), None),
            (
                Facts {
                    open_run_within_ms: Some(5_000),
                    ..Facts::default()
                },
                Some(6_000),
            ),
            (
                Facts {
                    open_run_within_ms: Some(5_000),
                    ship_at: Some(4_000),
                    ..Facts::default()
                },
                Some(4_000),
            ),
            (
                Facts {
                    cancel_at: Some(2_000),
                    ship_at: Some(4_000),
                    ..Facts::default()
                },
                Some(2_000),
            ),
            (
                Facts {
                    erase_at: Some(500),
                    ..Facts::default()
                },
                Some(1_000),
            ),
            (
                Facts {
                    log_expires_at: Some(9_000),
                    ..Facts::default()
                },
                Some(9_000),
            ),
            (
                Facts {
                    open_run_within_ms: Some(5_000),
                    log_expires_at: Some(900),
                    ..Facts::default()
                },
                Some(1_000),
            ),
        ];
        for (facts, expected) in cases {
            assert_eq!(next_alarm(1_000, &facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn an_alarm_is_never_postponed() {
        for (armed, next, expected) in [
            (None, 2_000, true),
            (Some(3_000), 2_000, true),
            (Some(2_000), 2_000, false),
            (Some(1_500), 2_000, false),
            (Some(999), 2_000, true),
        ] {
            assert_eq!(must_set(1_000, armed, next), expected, "{armed:?} {next}");
        }
    }
}
