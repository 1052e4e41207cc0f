//! Lines of a run's own on their way into its log.
//!
//! Owns their ids in the log, by which a replayed body tells nothing twice, and the lines of steps
//! and waits. Invariant: a line is told once for its id, whoever asks again.

use crate::json;
use crate::log::Buffer;
use crate::store::Step;
use crate::wire::content::{STEP_COMPLETED, STEP_FAILED, STEP_STARTED};
use crate::wire::line;

/// A line that has no seq yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum QueuedLine {
    /// The body's own.
    Told {
        /// The body's id for it.
        id: String,
        /// Checked as an upstream's.
        kind: String,
        /// Compact JSON.
        data: String,
    },
    /// What became of a step.
    Step {
        /// Which one, and which moment of it.
        id: String,
        /// Its type.
        kind: &'static str,
        /// Compact JSON.
        data: String,
    },
    /// A wait has the run suspended.
    Suspended {
        /// The wait.
        index: u32,
        /// What it waits for.
        key: String,
        /// Unix ms.
        deadline: Option<i64>,
    },
    /// That wait is over.
    Awakened {
        /// The wait.
        index: u32,
        /// What it waited for.
        key: String,
    },
}

impl QueuedLine {
    /// The line that tells where a step stands.
    pub fn of_step(step: &Step) -> Self {
        let name = step.detail.name.as_ref().unwrap_or(&step.intent);
        let mut data = format!(
            r#"{{"step":{},"kind":{},"attempt":{}"#,
            json::quote(name),
            json::quote(&step.kind),
            step.attempts
        );
        let failed = step
            .detail
            .failures
            .last()
            .filter(|last| last.attempt == step.attempts);
        let kind = match failed {
            Some(failure) if step.completed_at.is_none() || step.error.is_some() => {
                data.push_str(&format!(r#","code":{}"#, json::quote(&failure.code)));
                if let Some(retry_at) = failure.retry_at {
                    data.push_str(&format!(r#","retryAt":{retry_at}"#));
                }
                STEP_FAILED
            }
            Some(_) | None if step.result.is_some() => STEP_COMPLETED,
            Some(_) | None => STEP_STARTED,
        };
        data.push('}');
        QueuedLine::Step {
            id: format!("s:{}:{}:{kind}", step.index, step.attempts),
            kind,
            data,
        }
    }

    fn bytes(&self) -> usize {
        // The frame of a line is about this long; only their sum matters.
        const FRAME: usize = 48;
        FRAME
            + match self {
                QueuedLine::Told { data, .. } | QueuedLine::Step { data, .. } => data.len(),
                QueuedLine::Suspended { key, .. } | QueuedLine::Awakened { key, .. } => key.len(),
            }
    }

    /// Numbers the line, unless the log has it.
    pub fn write(self, buffer: &mut Buffer) {
        let seq = buffer.next_seq();
        match self {
            QueuedLine::Told { id, kind, data } => {
                buffer.push(format!("t:{id}"), &kind, Some(&data));
            }
            QueuedLine::Step { id, kind, data } => {
                buffer.push(id, kind, Some(&data));
            }
            QueuedLine::Suspended {
                index,
                key,
                deadline,
            } => {
                buffer.push_own_once(suspended_id(index), line::suspended(seq, &key, deadline));
            }
            QueuedLine::Awakened { index, key } => {
                buffer.push_own_once(format!("w:{index}:awakened"), line::awakened(seq, &key));
            }
        }
    }

    /// Whether the log says that this wait has the run suspended.
    pub fn has_told_wait(buffer: &Buffer, index: u32) -> bool {
        buffer.has(&suspended_id(index))
    }
}

fn suspended_id(index: u32) -> String {
    format!("w:{index}:suspended")
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Lines {
    queue: Vec<QueuedLine>,
    bytes: usize,
}

impl Lines {
    pub fn push(&mut self, line: QueuedLine) {
        self.bytes += line.bytes();
        self.queue.push(line);
    }

    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn take(&mut self) -> Vec<QueuedLine> {
        self.bytes = 0;
        std::mem::take(&mut self.queue)
    }
}
