//! The group-commit policy: when buffered lines are written.
//!
//! Pure. A first line after quiet pays one commit; a burst pays one a window; a large group goes
//! at once. Where a commit takes longer than the window, because the machine or the store is busy, the
//! next one waits as long as it took: larger groups instead of a queue that grows. Invariant: no buffered
//! line waits longer than the window, or than the last commit took; of the latter
//! [`caps::COMMIT_WAIT_MS`] at most.

use crate::caps;

/// When the last group was committed, and how often one may be.
#[derive(Clone, Copy, Debug)]
pub struct CommitPolicy {
    window_ms: u64,
    last_at: Option<i64>,
    /// The wait behind the last commit, in ms.
    wait_ms: u64,
}

/// What to do with the buffer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is empty.
    Nothing,
    /// Commit it.
    Now,
    /// Commit it at this time, Unix ms.
    At(i64),
}

impl CommitPolicy {
    /// A policy that has seen no commit: the turn's opening line doesn't arm the window, or the
    /// first token would wait for it.
    pub const fn new(window_ms: u64) -> Self {
        CommitPolicy {
            window_ms,
            last_at: None,
            wait_ms: window_ms,
        }
    }

    /// A group was committed, which began at `since`.
    pub fn committed(&mut self, since: i64, now: i64) {
        self.last_at = Some(now);
        let took_ms = u64::try_from(now.saturating_sub(since)).unwrap_or(0);
        if self.window_ms > 0 {
            self.wait_ms = took_ms.min(caps::COMMIT_WAIT_MS).max(self.window_ms);
        }
    }

    /// When to commit a buffer of `bytes`.
    pub fn due(&self, now: i64, bytes: usize) -> Due {
        if bytes == 0 {
            return Due::Nothing;
        }
        let open_at = match self.last_at {
            Some(last_at) => last_at.saturating_add_unsigned(self.wait_ms),
            None => now,
        };
        // A clock that jumped back must not hold lines for longer than the wait.
        let open_at = open_at.min(now.saturating_add_unsigned(self.wait_ms));
        if bytes >= caps::COMMIT_BYTES || open_at <= now {
            Due::Now
        } else {
            Due::At(open_at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(last_at: Option<i64>, now: i64, bytes: usize, expected: Due) {
        let mut policy = CommitPolicy::new(50);
        if let Some(at) = last_at {
            policy.committed(at, at);
        }
        assert_eq!(
            policy.due(now, bytes),
            expected,
            "last {last_at:?} now {now} bytes {bytes}"
        );
    }

    #[test]
    fn groups_are_due_by_quiet_window_and_size() {
        check(None, 1_000, 0, Due::Nothing);
        check(Some(990), 1_000, 0, Due::Nothing);
        check(None, 1_000, 1, Due::Now);
        check(Some(0), 1_000, 1, Due::Now);
        check(Some(950), 1_000, 1, Due::Now);
        check(Some(951), 1_000, 1, Due::At(1_001));
        check(Some(1_000), 1_000, 1, Due::At(1_050));
        check(Some(1_000), 1_000, caps::COMMIT_BYTES - 1, Due::At(1_050));
        check(Some(1_000), 1_000, caps::COMMIT_BYTES, Due::Now);
    }

    #[test]
    fn a_clock_that_jumps_back_holds_no_line_beyond_the_window() {
        check(Some(600_000), 1_000, 1, Due::At(1_050));
    }

    #[test]
    fn no_window_means_at_once() {
        let mut policy = CommitPolicy::new(0);
        policy.committed(900, 1_000);
        assert_eq!(policy.due(1_000, 1), Due::Now);
    }

    #[test]
    fn a_slow_commit_is_followed_by_as_long_a_wait() {
        for (took, wait) in [
            (-9, 50),
            (0, 50),
            (50, 50),
            (51, 51),
            (400, 400),
            (9_999, 1_000),
        ] {
            let mut policy = CommitPolicy::new(50);
            policy.committed(10_000 - took, 10_000);
            assert_eq!(policy.due(10_000, 1), Due::At(10_000 + wait), "{took}");
            policy.committed(20_000, 20_000);
            assert_eq!(policy.due(20_000, 1), Due::At(20_050), "the next is quick");
        }
    }
}
