//! The batches of the larger operations: which statements, in which order, with which parameters.
//!
//! Owns how a begin and a commit are laid out; `sql` has the texts, `encode` the records' columns,
//! `sql_store` reads the results. Invariant: statements of one commit ask the same of the run and
//! its log, so that all of them change something or none does.

use super::encode::{
    detail, json, message_params, optional_json, run_params, session_params, step_params,
};
use super::{Begin, Section, Statement, Step, Transition, Value, sql};
use crate::ids::run_id;

/// The run first, its session last.
pub(super) fn begin_batch(begin: &Begin, section: Section) -> Vec<Statement> {
    let run = &begin.run;
    let session_key = &begin.session.session_key;
    let before = run
        .turn_index
        .checked_sub(1)
        .map(|turn| run_id(session_key, turn));
    let behind = |params: Vec<Value>| -> Vec<Value> {
        [Value::from(&run.run_id)]
            .into_iter()
            .chain(params)
            .collect()
    };
    let mut run_row = run_params(run);
    run_row.extend([session_key.into(), before.into()]);
    let mut batch = vec![
        Statement {
            sql: match section {
                Section::Object => sql::BEGIN_RUN,
                Section::D1 => sql::D1_BEGIN_RUN,
            },
            params: run_row,
        },
        Statement {
            sql: sql::BEGIN_LINES,
            params: behind(vec![
                session_key.into(),
                (begin.first.frame_ids.len() as u64).into(),
                begin.first.attempt.into(),
                begin.first.cursor.as_ref().into(),
                json(&begin.first.frame_ids),
                (&begin.first.text).into(),
            ]),
        },
        Statement {
            sql: sql::BEGIN_MESSAGE,
            params: behind(message_params(session_key, &begin.message)),
        },
        Statement {
            sql: sql::BEGIN_STEP,
            params: behind([vec![session_key.into()], step_params(&begin.step)].concat()),
        },
    ];
    if section == Section::Object {
        batch.push(Statement {
            sql: sql::BEGIN_UNSHIPPED,
            params: behind(vec![session_key.into()]),
        });
    }
    batch.push(Statement {
        sql: sql::BEGIN_SESSION,
        params: behind(session_params(&begin.session)),
    });
    batch
}

/// A step of a commit, behind its fence.
pub(super) fn commit_step(fenced: &[Value], step: &Step) -> Statement {
    let mut params = fenced.to_vec();
    params.extend([
        step.index.into(),
        (&step.intent).into(),
        (&step.kind).into(),
        (&step.status).into(),
        step.attempts.into(),
        step.result.as_ref().into(),
        step.error.as_ref().into(),
        step.started_at.into(),
        step.completed_at.into(),
        detail(step),
    ]);
    Statement {
        sql: sql::COMMIT_STEP,
        params,
    }
}

/// A transition of a commit, behind its fence.
pub(super) fn transition_batch(
    session_key: &str,
    fenced: &[Value],
    transition: &Transition,
    now: i64,
) -> Vec<Statement> {
    let state = &transition.state;
    let mut batch = Vec::with_capacity(2);
    if let Some(message) = &transition.message {
        let mut params = fenced.to_vec();
        params.extend([
            session_key.into(),
            message.role.name().into(),
            message.turn_index.into(),
            message.role.position().into(),
            (&message.content).into(),
            message.status.name().into(),
            message.retry_of.into(),
            message.created_at.into(),
        ]);
        batch.push(Statement {
            sql: sql::COMMIT_MESSAGE,
            params,
        });
    }
    let mut params = fenced.to_vec();
    params.extend([
        state.status.name().into(),
        json(&state.attempts),
        optional_json(state.handle.as_ref()),
        optional_json(state.outcome.as_ref()),
        state.usage.as_ref().into(),
        optional_json(state.last_error.as_ref()),
        state.line_count.into(),
        state.wake_at.into(),
        state.finished_at.into(),
        optional_json(transition.upstream_cancel.as_ref()),
        now.into(),
    ]);
    batch.push(Statement {
        sql: sql::TRANSITION,
        params,
    });
    batch
}
