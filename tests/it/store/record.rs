//! Records for tests that need no particular ones.

use steadfast::ids::run_id;
use steadfast::store::{
    Attempt, Begin, Lines, LogHome, Message, MessageStatus, Role, Run, RunOutcome, RunState,
    Session, Status, Step, StepDetail, UpstreamCancel,
};

/// A running turn, accepted at `at`.
pub(super) fn begin(session_key: &str, turn: u64, at: i64) -> Begin {
    let (tenant, session) = parts(session_key);
    Begin {
        session: Session {
            session_key: session_key.to_owned(),
            tenant: tenant.to_owned(),
            session: session.to_owned(),
            birth: format!("birth-{at}"),
            turn_count: turn + 1,
            first_turn: 0,
            created_at: at,
            updated_at: at,
            deleted_at: None,
        },
        run: Run {
            run_id: run_id(session_key, turn),
            tenant: tenant.to_owned(),
            session: session.to_owned(),
            turn_index: turn,
            user: None,
            key: None,
            input_hash: format!("hash-{at}"),
            request: "{}".to_owned(),
            upstream: "{}".to_owned(),
            created_at: at,
            state: run_state(Status::Running, 1, at),
            epoch: 1,
            lease: None,
            cancel: None,
            upstream_cancel: None,
            log_home: LogHome::Object,
            rev: 1,
            updated_at: at,
        },
        first: lines(1, 0),
        message: message(turn, Role::User, &format!("\"{at}\"")),
        step: step(0, &format!("intent-{at}"), "running"),
    }
}

/// The tenant and the session's id.
pub(super) fn parts(session_key: &str) -> (&str, &str) {
    session_key.rsplit_once(':').expect("keys have two parts")
}

pub(super) fn run_state(status: Status, line_count: u64, wake_at: i64) -> RunState {
    RunState {
        status,
        attempts: vec![Attempt {
            number: 1,
            reason: "submitted".to_owned(),
            started_at: 1,
        }],
        handle: None,
        outcome: status.is_terminal().then_some(RunOutcome {
            text_units: 1,
            reason: None,
        }),
        usage: None,
        last_error: None,
        line_count,
        wake_at: (!status.is_terminal()).then_some(wake_at),
        finished_at: status.is_terminal().then_some(9),
    }
}

pub(super) fn pending(tries: Option<u8>) -> Option<UpstreamCancel> {
    tries.map(|tries| UpstreamCancel {
        execution_id: "execution".to_owned(),
        tries: u32::from(tries),
        next_at: 1,
    })
}

pub(super) fn message(turn_index: u64, role: Role, content: &str) -> Message {
    Message {
        turn_index,
        role,
        content: content.to_owned(),
        status: MessageStatus::Complete,
        retry_of: None,
        rev: 1,
        created_at: 1,
    }
}

pub(super) fn step(index: u8, intent: &str, status: &str) -> Step {
    Step {
        index: u32::from(index),
        intent: intent.to_owned(),
        kind: "llm".to_owned(),
        status: status.to_owned(),
        attempts: 1,
        result: None,
        error: None,
        rev: 1,
        started_at: 1,
        completed_at: None,
        detail: StepDetail::default(),
    }
}

pub(super) fn lines(count: u8, text: u8) -> Lines {
    Lines {
        attempt: 1,
        cursor: Some(format!("cursor-{text}")),
        frame_ids: (0..count)
            .map(|frame| Some(format!("{text}-{frame}")))
            .collect(),
        text: format!("line-{text}\n").repeat(usize::from(count)),
    }
}
