//! The records of a turn's end, whatever ran it: lines, state, message.
//!
//! Owns what stands in them. When a turn ends, and in which commit, is the drain's and the task's.
//! Invariant: the last line, the status and the message of one end say the same.

use super::Buffer;
use crate::caps;
use crate::json;
use crate::ops::Why;
use crate::store::{
    LastError, Message, MessageStatus, Role, RunOutcome, RunState, Status, Step, StepDetail,
};
use crate::wire::code::{Code, FailureCode};
use crate::wire::line;

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended<'a> {
    /// It succeeded.
    Completed,
    /// It failed.
    Failed {
        code: &'a FailureCode,
        message: &'a str,
    },
    /// Its caller took it back.
    Cancelled { reason: Option<&'a str> },
}

impl Ended<'_> {
    pub const fn status(self) -> Status {
        match self {
            Ended::Completed => Status::Completed,
            Ended::Failed { .. } => Status::Failed,
            Ended::Cancelled { .. } => Status::Cancelled,
        }
    }

    pub const fn message_status(self) -> MessageStatus {
        match self {
            Ended::Completed => MessageStatus::Complete,
            Ended::Failed { .. } => MessageStatus::Failed,
            Ended::Cancelled { .. } => MessageStatus::Partial,
        }
    }

    /// As the operator is told.
    pub const fn why(&self) -> Why<'_> {
        match self {
            Ended::Completed => Why::Completed,
            Ended::Failed { code, .. } => Why::Failed(code),
            Ended::Cancelled { .. } => Why::Code(Code::Cancelled),
        }
    }

    /// With what a step fails that this end finds under way.
    pub fn cuts_with(self) -> FailureCode {
        match self {
            // Behind a success there are those that the body dropped.
            Ended::Completed => Code::Dropped.into(),
            Ended::Failed { code, .. } => code.clone(),
            Ended::Cancelled { .. } => Code::Cancelled.into(),
        }
    }

    /// Adds the terminal lines.
    pub fn write(self, buffer: &mut Buffer, session: &str) {
        let seq = buffer.next_seq();
        match self {
            Ended::Completed => buffer.push_own(line::completed(seq, session)),
            Ended::Failed { code, message } => {
                buffer.push_own(line::error(seq, code.as_str(), message));
                buffer.push_own(line::failed(seq + 1, session, message));
            }
            Ended::Cancelled { reason } => {
                buffer.push_own(line::cancelled(seq, session, reason));
            }
        }
    }

    /// The run's last state. `text_units` is the answer's length; `buffer` ends with the terminal
    /// lines.
    pub fn state(
        self,
        before: &RunState,
        buffer: &Buffer,
        text_units: usize,
        now: i64,
    ) -> RunState {
        let mut state = before.clone();
        state.status = self.status();
        state.outcome = Some(RunOutcome {
            text_units: text_units as u64,
            reason: match self {
                Ended::Cancelled { reason } => reason.map(str::to_owned),
                Ended::Completed | Ended::Failed { .. } => None,
            },
        });
        state.usage = buffer
            .transcript()
            .usage()
            .filter(|usage| usage.len() <= caps::USAGE_BYTES)
            .map(str::to_owned);
        if let Ended::Failed { code, message } = self {
            state.last_error = Some(LastError {
                code: code.as_str().to_owned(),
                message: message.to_owned(),
                at: now,
            });
        }
        state.line_count = buffer.next_seq();
        state.wake_at = None;
        state.finished_at = Some(now);
        state
    }

    /// The assistant's message. What doesn't fit a row is in the log.
    pub fn message(self, turn_index: u64, text: &[u16], now: i64) -> Message {
        let whole = json::quote_units(text);
        let (content, status) = if whole.len() <= caps::MESSAGE_BYTES {
            (whole, self.message_status())
        } else {
            // Six bytes is the longest a unit is written with, so this many always fit between the quotes.
            let fits = text.get(..(caps::MESSAGE_BYTES - 2) / 6).unwrap_or(text);
            (json::quote_units(fits), MessageStatus::Partial)
        };
        Message {
            turn_index,
            role: Role::Assistant,
            content,
            status,
            retry_of: None,
            rev: 0,
            created_at: now,
        }
    }
}

/// The turn's own step, over.
pub(crate) fn own_step(state: &RunState, status: &str, created_at: i64, now: i64) -> Step {
    Step {
        index: 0,
        intent: "turn".to_owned(),
        kind: "llm".to_owned(),
        status: status.to_owned(),
        attempts: state.attempts.last().map_or(1, |last| last.number),
        result: (status == "completed").then(|| format!(r#"{{"lines":{}}}"#, state.line_count)),
        error: None,
        rev: 0,
        started_at: created_at,
        completed_at: Some(now),
        detail: StepDetail::default(),
    }
}

/// What a step that was not completed says of the turn's end.
pub(crate) fn step_error(state: &RunState) -> String {
    format!(r#"{{"status":"{}"}}"#, state.status.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_complete_only_when_all_of_it_is_there() {
        let code = FailureCode::from(Code::TurnTimeout);
        let failed = Ended::Failed {
            code: &code,
            message: "late",
        };
        let cancelled = Ended::Cancelled { reason: None };
        // Each unit of the text, and how many bytes it takes in JSON.
        for (unit, bytes) in [(u16::from(b'x'), 1), (u16::from(b'"'), 2), (0xd83d, 6)] {
            let fits = (caps::MESSAGE_BYTES - 2) / bytes;
            for (units, is_whole) in [(0, true), (1, true), (fits, true), (fits + 1, false)] {
                let text = vec![unit; units];
                for (ended, whole) in [
                    (Ended::Completed, MessageStatus::Complete),
                    (failed, MessageStatus::Failed),
                    (cancelled, MessageStatus::Partial),
                ] {
                    let message = ended.message(3, &text, 7);
                    let kept = json::string_units(&message.content).unwrap();
                    assert!(
                        text.starts_with(&kept) && message.content.len() <= caps::MESSAGE_BYTES
                    );
                    assert_eq!(kept.len() == units, is_whole, "{units} of {bytes}");
                    let expected = if is_whole {
                        whole
                    } else {
                        MessageStatus::Partial
                    };
                    assert_eq!(message.status, expected, "{units} of {bytes}: {ended:?}");
                }
            }
        }
    }
}
