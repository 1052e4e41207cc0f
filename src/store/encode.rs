//! Records to parameters: the counterpart of `decode.rs`, in the column orders of `sql.rs`.

use super::{EventRecord, LogRow, Message, Run, Session, Step, StepDetail, Value};
use crate::certain::Certain;
use crate::ids;
use serde::Serialize;

/// Our own records always serialise: their maps have string keys and no floats.
pub(super) fn json<T: Serialize>(value: &T) -> Value {
    Value::Text(serde_json::to_string(value).certain("records serialise"))
}

pub(super) fn optional_json<T: Serialize>(value: Option<&T>) -> Value {
    value.map_or(Value::Null, json)
}

/// In the order of `sql::session_columns`.
pub(super) fn session_params(session: &Session) -> Vec<Value> {
    vec![
        (&session.session_key).into(),
        (&session.tenant).into(),
        (&session.session).into(),
        (&session.birth).into(),
        session.turn_count.into(),
        session.first_turn.into(),
        session.created_at.into(),
        session.updated_at.into(),
        session.deleted_at.into(),
    ]
}

/// In the order of `sql::run_columns`.
pub(super) fn run_params(run: &Run) -> Vec<Value> {
    let state = &run.state;
    vec![
        (&run.run_id).into(),
        (&run.tenant).into(),
        (&run.session).into(),
        run.turn_index.into(),
        run.user.as_ref().into(),
        run.key.as_ref().into(),
        (&run.input_hash).into(),
        (&run.request).into(),
        (&run.upstream).into(),
        state.status.name().into(),
        json(&state.attempts),
        run.epoch.into(),
        run.lease.as_ref().map(|lease| &lease.holder).into(),
        run.lease.as_ref().map(|lease| lease.until).into(),
        optional_json(state.handle.as_ref()),
        optional_json(state.outcome.as_ref()),
        state.usage.as_ref().into(),
        optional_json(state.last_error.as_ref()),
        state.line_count.into(),
        state.wake_at.into(),
        run.rev.into(),
        optional_json(run.cancel.as_ref()),
        optional_json(run.upstream_cancel.as_ref()),
        run.log_home.name().into(),
        run.created_at.into(),
        run.updated_at.into(),
        state.finished_at.into(),
    ]
}

/// In the order of `sql::message_columns`, behind the key and role.
pub(super) fn message_params(session_key: &str, message: &Message) -> Vec<Value> {
    vec![
        session_key.into(),
        message.role.name().into(),
        message.turn_index.into(),
        message.role.position().into(),
        (&message.content).into(),
        message.status.name().into(),
        message.retry_of.into(),
        message.rev.into(),
        message.created_at.into(),
    ]
}

/// In the order of `sql::step_columns`.
pub(super) fn step_params(step: &Step) -> Vec<Value> {
    vec![
        step.index.into(),
        (&step.intent).into(),
        (&step.kind).into(),
        (&step.status).into(),
        step.attempts.into(),
        step.result.as_ref().into(),
        step.error.as_ref().into(),
        step.rev.into(),
        step.started_at.into(),
        step.completed_at.into(),
        detail(step),
    ]
}

/// Most steps have nothing to tell here.
pub(super) fn detail(step: &Step) -> Value {
    optional_json((step.detail != StepDetail::default()).then_some(&step.detail))
}

/// The bounds of a session's run ids.
pub(super) fn run_id_bounds(session_key: &str) -> [Value; 2] {
    ids::run_id_bounds(session_key).map(Value::Text)
}

/// In the order of `sql::log_columns`.
pub(super) fn log_params(row: &LogRow) -> Vec<Value> {
    vec![
        row.first_seq.into(),
        row.count.into(),
        row.epoch.into(),
        row.attempt.into(),
        row.cursor.as_ref().into(),
        (&row.frame_ids).into(),
        (&row.lines).into(),
    ]
}

/// In the order of `sql::event_columns`.
pub(super) fn event_params(event: &EventRecord) -> Vec<Value> {
    vec![
        (&event.key).into(),
        (&event.payload).into(),
        event.rev.into(),
        event.emitted_at.into(),
    ]
}
