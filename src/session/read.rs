//! Reading a session: its state, transcript, runs, steps and events as JSON.
//!
//! Owns the public shapes, apart from the stored ones; times are Unix ms. Invariant: what the
//! object no longer has comes out of D1, and what is not there is 404 without a trace.

use super::accepted::{Accepted, Target};
use super::{Caller, Page, Platform, Reply, Session};
use crate::ids::EventKey;
use crate::json::quote;
use crate::store::{self, EventRecord, LogHome, Message, Role, Run, Step, StepDetail, Store};
use crate::wire::cursor::{decode_cursor, encode_cursor};
use crate::wire::problem::Problem;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::rc::Rc;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionView<'a> {
    session_id: &'a str,
    turn_count: u64,
    running: Option<u64>,
    created_at: i64,
    updated_at: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageView<'a> {
    role: &'a str,
    content: Option<&'a RawValue>,
    turn_index: u64,
    status: &'a str,
    created_at: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RunView<'a> {
    execution_id: &'a str,
    session_id: &'a str,
    turn_index: u64,
    status: &'a str,
    attempts: &'a [store::Attempt],
    line_count: u64,
    handle: Option<&'a store::Handle>,
    outcome: Option<&'a store::RunOutcome>,
    usage: Option<&'a RawValue>,
    last_error: Option<&'a store::LastError>,
    cancel: Option<&'a store::Cancel>,
    upstream: Option<Cow<'a, str>>,
    model: Option<&'a str>,
    history: Option<&'a super::accepted::Window>,
    retry_of: Option<u64>,
    user: Option<&'a str>,
    metadata: Option<&'a RawValue>,
    epoch: u64,
    created_at: i64,
    updated_at: i64,
    finished_at: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepView<'a> {
    index: u32,
    intent: &'a str,
    kind: &'a str,
    status: &'a str,
    attempts: u32,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    started_at: i64,
    completed_at: Option<i64>,
    #[serde(flatten)]
    detail: &'a StepDetail,
}

/// Text that this code stored as JSON; unreadable text shows as null rather than breaking a list.
fn raw(text: Option<&str>) -> Option<&RawValue> {
    serde_json::from_str(text?).ok()
}

/// These shapes have string keys and no floats, so they always serialise.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A run as the API shows it. `line_count` is the log's present end, where that is known better.
pub fn run_view(run: &Run, line_count: Option<u64>) -> String {
    let target: Option<Target> = serde_json::from_str(&run.upstream).ok();
    let accepted: Option<Accepted> = serde_json::from_str(&run.request).ok();
    let state = &run.state;
    json(&RunView {
        execution_id: &run.run_id,
        session_id: &run.session,
        turn_index: run.turn_index,
        status: state.status.name(),
        attempts: &state.attempts,
        line_count: line_count.unwrap_or(state.line_count),
        handle: state.handle.as_ref(),
        outcome: state.outcome.as_ref(),
        usage: raw(state.usage.as_deref()),
        last_error: state.last_error.as_ref(),
        cancel: run.cancel.as_ref(),
        upstream: target.as_ref().map(|target| target.resolved.public_name()),
        model: target
            .as_ref()
            .and_then(|target| target.resolved.model.as_deref()),
        history: target.as_ref().map(|target| &target.history),
        retry_of: accepted.as_ref().and_then(|accepted| accepted.retry_of),
        user: run.user.as_deref(),
        metadata: accepted
            .as_ref()
            .and_then(|accepted| accepted.metadata.as_deref()),
        epoch: run.epoch,
        created_at: run.created_at,
        updated_at: run.updated_at,
        finished_at: state.finished_at,
    })
}

/// An event as the API shows it.
pub(super) fn event_view(event: &EventRecord) -> String {
    format!(
        r#"{{"key":{},"payload":{},"emittedAt":{}}}"#,
        quote(&event.key),
        event.payload,
        event.emitted_at
    )
}

fn message_view(message: &Message) -> String {
    json(&MessageView {
        role: message.role.name(),
        content: raw(Some(&message.content)),
        turn_index: message.turn_index,
        status: message.status.name(),
        created_at: message.created_at,
    })
}

fn step_view(step: &Step) -> String {
    json(&StepView {
        index: step.index,
        intent: &step.intent,
        kind: &step.kind,
        status: &step.status,
        attempts: step.attempts,
        result: raw(step.result.as_deref()),
        error: raw(step.error.as_deref()),
        started_at: step.started_at,
        completed_at: step.completed_at,
        detail: &step.detail,
    })
}

/// `{"<name>":[…],"cursor":…}`; the cursor is there when more may follow.
pub(super) fn list(name: &str, items: &[String], cursor: Option<&str>) -> String {
    let cursor = cursor.map_or("null".to_owned(), |position| {
        quote(&encode_cursor(position))
    });
    format!(r#"{{"{name}":[{}],"cursor":{cursor}}}"#, items.join(","))
}

/// The number a cursor stands for.
fn position(page: &Page) -> Result<Option<u64>, Problem> {
    let Some(cursor) = &page.cursor else {
        return Ok(None);
    };
    let refused = |_| Problem::invalid_request("`cursor` must be one that this list returned");
    decode_cursor(cursor)?.parse().map(Some).map_err(refused)
}

fn ok<P: Platform>(body: String) -> Result<Reply<P>, Problem> {
    Ok(Reply::Json { status: 200, body })
}

impl<P: Platform> Session<P> {
    pub(super) async fn read_session(
        self: &Rc<Self>,
        caller: &Caller,
    ) -> Result<Reply<P>, Problem> {
        let session = self.present(caller).await?;
        let open = self.open_run(&session).await;
        let open = open.map_err(|failure| self.failed(&failure))?;
        ok(json(&SessionView {
            session_id: &session.session,
            turn_count: session.turn_count,
            running: open.map(|run| run.turn_index),
            created_at: session.created_at,
            updated_at: session.updated_at,
        }))
    }

    pub(super) async fn read_messages(
        self: &Rc<Self>,
        caller: &Caller,
        page: &Page,
    ) -> Result<Reply<P>, Problem> {
        let session = self.present(caller).await?;
        // A message's place as one number: two a turn.
        let after = position(page)?.map(|place| {
            let role = if place % 2 == 0 {
                Role::User
            } else {
                Role::Assistant
            };
            (place / 2, role)
        });
        let messages = self
            .store
            .messages(&session.session_key, after, page.limit)
            .await
            .map_err(|failure| self.failed(&failure))?;
        let more = messages
            .last()
            .filter(|_| messages.len() as u64 >= u64::from(page.limit))
            .map(|last| (last.turn_index * 2 + u64::from(last.role.position())).to_string());
        let items: Vec<String> = messages.iter().map(message_view).collect();
        ok(list("messages", &items, more.as_deref()))
    }

    pub(super) async fn read_turns(
        self: &Rc<Self>,
        caller: &Caller,
        page: &Page,
    ) -> Result<Reply<P>, Problem> {
        let failed = |failure: store::Error| self.failed(&failure);
        let session = self.present(caller).await?;
        let from = position(page)?.unwrap_or(session.first_turn);
        let runs = self
            .store
            .runs(&session.session_key, from, page.limit)
            .await
            .map_err(failed)?;
        let mut items = Vec::with_capacity(runs.len());
        for run in &runs {
            items.push(run_view(run, self.end_of(run).await.map_err(failed)?));
        }
        let more = runs
            .last()
            .filter(|_| runs.len() as u64 >= u64::from(page.limit))
            .map(|last| (last.turn_index + 1).to_string());
        ok(list("turns", &items, more.as_deref()))
    }

    /// An open run's row changes at transitions only; its log says how far it is.
    async fn end_of(&self, run: &Run) -> Result<Option<u64>, store::Error> {
        if run.state.status.is_terminal() {
            return Ok(None);
        }
        self.store.log_end(&run.run_id).await.map(Some)
    }

    pub(super) async fn read_turn(
        self: &Rc<Self>,
        caller: &Caller,
        turn: u64,
    ) -> Result<Reply<P>, Problem> {
        let session = self.present(caller).await?;
        let run = self.run_at(&session.session_key, turn).await?;
        let end = self.end_of(&run).await;
        ok(run_view(
            &run,
            end.map_err(|failure| self.failed(&failure))?,
        ))
    }

    pub(super) async fn read_steps(
        self: &Rc<Self>,
        caller: &Caller,
        turn: u64,
        page: &Page,
    ) -> Result<Reply<P>, Problem> {
        let failed = |failure: store::Error| self.failed(&failure);
        let session = self.present(caller).await?;
        let run = self.run_at(&session.session_key, turn).await?;
        let from = u32::try_from(position(page)?.unwrap_or(0)).unwrap_or(u32::MAX);
        let mut steps = self
            .store
            .steps(&run.run_id, from, page.limit)
            .await
            .map_err(failed)?;
        if steps.is_empty() && run.log_home != LogHome::Object {
            let durable = self.durable().await.map_err(failed)?;
            steps = durable
                .steps(&run.run_id, from, page.limit)
                .await
                .map_err(failed)?;
        }
        let more = steps
            .last()
            .filter(|_| steps.len() as u64 >= u64::from(page.limit))
            .map(|last| (u64::from(last.index) + 1).to_string());
        let items: Vec<String> = steps.iter().map(step_view).collect();
        ok(list("steps", &items, more.as_deref()))
    }

    pub(super) async fn read_event(
        self: &Rc<Self>,
        caller: &Caller,
        turn: u64,
        key: &EventKey,
    ) -> Result<Reply<P>, Problem> {
        let failed = |failure: store::Error| self.failed(&failure);
        let session = self.present(caller).await?;
        let run = self.run_at(&session.session_key, turn).await?;
        let mut event = self
            .store
            .event(&run.run_id, key.as_str())
            .await
            .map_err(failed)?;
        if event.is_none() && run.log_home != LogHome::Object {
            let durable = self.durable().await.map_err(failed)?;
            event = durable
                .event(&run.run_id, key.as_str())
                .await
                .map_err(failed)?;
        }
        ok(event_view(&event.ok_or_else(Problem::not_found)?))
    }
}
