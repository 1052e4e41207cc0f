//! Budgets of a turn and the pace of asking again.
//!
//! Pure. Invariant: a wait is bounded, and never shorter than the upstream asked for within that
//! bound.

use crate::caps;

/// How often the upstream may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Consecutive failures to attach; restored by progress.
    pub attempts: u32,
    /// Starts a turn, unknown ones included; never restored.
    pub starts: u32,
}

/// Exponential back-off with jitter.
#[derive(Clone, Copy, Debug)]
pub struct Backoff;

impl Backoff {
    /// The wait before the try after `failures` failures, in ms, at least `least_ms`.
    pub fn wait_ms(self, failures: u32, least_ms: u64, chance: u64) -> u64 {
        let doublings = failures.saturating_sub(1).min(16);
        let full = (caps::BACKOFF_FIRST_MS << doublings).min(caps::BACKOFF_MOST_MS);
        let half = full / 2;
        // Half fixed, half random: never at once, never all clients together.
        let wait = half + chance % (half + 1);
        wait.max(least_ms.min(caps::RETRY_AFTER_MOST_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_bounds() {
        for (failures, least, chance, expected) in [
            (1, 0, 0, 100),
            (1, 0, 100, 200),
            (2, 0, 0, 200),
            (3, 0, 0, 400),
            (99, 0, 0, 7_500),
            (99, 0, u64::MAX, 7_500 + u64::MAX % 7_501),
            (1, 3_000, 0, 3_000),
            (1, 9_999_999, 0, 60_000),
        ] {
            assert_eq!(
                Backoff.wait_ms(failures, least, chance),
                expected,
                "{failures} {least} {chance}"
            );
        }
    }
}
