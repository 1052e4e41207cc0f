//! The statuses of a run and their legal transitions.
//!
//! Invariant: terminal is final; nothing leaves `completed`, `failed` or `cancelled`.

use serde::{Deserialize, Serialize};

/// Where a run stands. PERSISTED by these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted, not begun.
    Queued,
    /// Begun.
    Running,
    /// Waits for an event or a time.
    Suspended,
    /// Succeeded.
    Completed,
    /// Failed.
    Failed,
    /// Cancelled by its caller.
    Cancelled,
}

impl Status {
    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Running => "running",
            Status::Suspended => "suspended",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// Reads a stored or requested name.
    pub fn parse(name: &str) -> Option<Self> {
        [
            Status::Queued,
            Status::Running,
            Status::Suspended,
            Status::Completed,
            Status::Failed,
            Status::Cancelled,
        ]
        .into_iter()
        .find(|status| status.name() == name)
    }

    /// Nothing follows.
    pub const fn is_terminal(self) -> bool {
        match self {
            Status::Queued | Status::Running | Status::Suspended => false,
            Status::Completed | Status::Failed | Status::Cancelled => true,
        }
    }

    /// Whether a run may go from here to `next`.
    pub const fn may_become(self, next: Status) -> bool {
        match (self, next) {
            (Status::Queued | Status::Running | Status::Suspended, Status::Queued) => false,
            (Status::Queued, Status::Suspended) => false,
            (Status::Queued | Status::Running | Status::Suspended, _) => true,
            (Status::Completed | Status::Failed | Status::Cancelled, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Status::{self, *};

    const ALL: [Status; 6] = [Queued, Running, Suspended, Completed, Failed, Cancelled];

    #[test]
    fn terminal_is_final() {
        for from in [Completed, Failed, Cancelled] {
            for to in ALL {
                assert!(!from.may_become(to), "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn nothing_returns_to_the_queue_and_only_begun_runs_suspend() {
        for from in ALL {
            assert!(!from.may_become(Queued), "{from:?}");
        }
        assert!(!Queued.may_become(Suspended));
        assert!(Running.may_become(Suspended) && Suspended.may_become(Running));
    }

    #[test]
    fn names_round_trip() {
        for status in ALL {
            assert_eq!(Status::parse(status.name()), Some(status));
            assert_eq!(
                serde_json::to_string(&status).unwrap(),
                format!("\"{}\"", status.name())
            );
        }
        assert_eq!(Status::parse("COMPLETED"), None);
    }
}
