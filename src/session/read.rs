//! Reading a session: its state, transcript, runs, steps and events as the API shows them.
//!
//! Owns what each public member is taken from; the shapes are `api/answer`. Invariant: what the
//! object no longer has comes out of D1, and what is not there is 404 without a trace.

use super::accepted::{Accepted, Target, Window};
use super::{Caller, Page, Platform, Reply, Session};
use crate::api::{
    Answer, List, PublicAttempt, PublicCancel, PublicError, PublicEvent, PublicHandle,
    PublicHistory, PublicMessage, PublicOutcome, PublicRun, PublicSession, PublicStep,
    PublicStepFailure, Raw,
};
use crate::ids::EventKey;
use crate::store::{
    self, Attempt, Cancel, EventRecord, Handle, LastError, LogHome, Message, Role, Run, RunOutcome,
    Step, StepDetail, StepFailure, Store,
};
use crate::wire::cursor::decode_cursor;
use crate::wire::problem::Problem;
use std::rc::Rc;

/// A run as the API shows it. `line_count` is the log's present end, where that is known better.
pub(super) fn public_run(run: Run, line_count: Option<u64>) -> PublicRun {
    let target: Option<Target> = serde_json::from_str(&run.upstream).ok();
    let accepted: Option<Accepted> = serde_json::from_str(&run.request).ok();
    let state = run.state;
    let upstream = target.as_ref().map(|target| target.resolved.public_name());
    PublicRun {
        execution_id: run.run_id,
        session_id: run.session,
        turn_index: run.turn_index,
        status: state.status.name(),
        attempts: state.attempts.into_iter().map(public_attempt).collect(),
        line_count: line_count.unwrap_or(state.line_count),
        handle: state.handle.map(public_handle),
        outcome: state.outcome.map(public_outcome),
        usage: state.usage.map(Raw),
        last_error: state.last_error.map(public_error),
        cancel: run.cancel.map(public_cancel),
        upstream: upstream.map(|name| name.into_owned()),
        retry_of: accepted.as_ref().and_then(|accepted| accepted.retry_of),
        metadata: accepted
            .and_then(|accepted| accepted.metadata)
            .map(|metadata| Raw(metadata.get().to_owned())),
        history: target
            .as_ref()
            .map(|target| public_history(&target.history)),
        model: target.and_then(|target| target.resolved.model),
        user: run.user,
        epoch: run.epoch,
        created_at: run.created_at,
        updated_at: run.updated_at,
        finished_at: state.finished_at,
    }
}

fn public_attempt(attempt: Attempt) -> PublicAttempt {
    PublicAttempt {
        number: attempt.number,
        reason: attempt.reason,
        started_at: attempt.started_at,
    }
}

fn public_handle(handle: Handle) -> PublicHandle {
    PublicHandle {
        execution_id: handle.execution_id,
        attempt: handle.attempt,
        suspended_at: handle.suspended_at,
        waited_ms: Some(handle.waited_ms).filter(|ms| *ms > 0),
    }
}

fn public_outcome(outcome: RunOutcome) -> PublicOutcome {
    PublicOutcome {
        text_units: outcome.text_units,
        reason: outcome.reason,
    }
}

fn public_error(error: LastError) -> PublicError {
    PublicError {
        code: error.code,
        message: error.message,
        at: error.at,
    }
}

fn public_cancel(cancel: Cancel) -> PublicCancel {
    PublicCancel {
        reason: cancel.reason,
        at: cancel.at,
    }
}

fn public_history(window: &Window) -> PublicHistory {
    PublicHistory {
        messages: window.messages,
        from_turn: window.from_turn,
        to_turn: window.to_turn,
        hash: window.hash.clone(),
    }
}

/// An event as the API shows it.
pub(super) fn public_event(event: EventRecord) -> PublicEvent {
    PublicEvent {
        key: event.key,
        payload: Raw(event.payload),
        emitted_at: event.emitted_at,
    }
}

fn public_message(message: Message) -> PublicMessage {
    PublicMessage {
        role: message.role.name(),
        content: Raw(message.content),
        turn_index: message.turn_index,
        status: message.status.name(),
        created_at: message.created_at,
    }
}

fn public_step(step: Step) -> PublicStep {
    let StepDetail {
        name,
        input_hash,
        deadline,
        failures,
        workspace,
    } = step.detail;
    PublicStep {
        index: step.index,
        intent: step.intent,
        kind: step.kind,
        status: step.status,
        attempts: step.attempts,
        result: step.result.map(Raw),
        error: step.error.map(Raw),
        started_at: step.started_at,
        completed_at: step.completed_at,
        name,
        input_hash,
        deadline,
        failures: failures.into_iter().map(public_failure).collect(),
        workspace,
    }
}

fn public_failure(failure: StepFailure) -> PublicStepFailure {
    PublicStepFailure {
        attempt: failure.attempt,
        run_attempt: failure.run_attempt,
        code: failure.code,
        author: failure.author,
        message: failure.message,
        at: failure.at,
        retry_at: failure.retry_at,
    }
}

/// The number a cursor stands for.
fn position(page: &Page) -> Result<Option<u64>, Problem> {
    let Some(cursor) = &page.cursor else {
        return Ok(None);
    };
    let refused = |_| Problem::invalid_request("`cursor` must be one that this list returned");
    decode_cursor(cursor)?.parse().map(Some).map_err(refused)
}

fn ok<P: Platform>(answer: Answer) -> Result<Reply<P>, Problem> {
    Ok(Reply::Answer {
        status: 200,
        answer,
    })
}

impl<P: Platform> Session<P> {
    pub(super) async fn read_session(
        self: &Rc<Self>,
        caller: &Caller,
    ) -> Result<Reply<P>, Problem> {
        let session = self.present(caller).await?;
        let open = self.open_run(&session).await;
        let open = open.map_err(|failure| self.failed(&failure))?;
        ok(Answer::Session(PublicSession {
            session_id: session.session,
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
        ok(Answer::Messages(List {
            items: messages.into_iter().map(public_message).collect(),
            next: more,
        }))
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
        let more = runs
            .last()
            .filter(|_| runs.len() as u64 >= u64::from(page.limit))
            .map(|last| (last.turn_index + 1).to_string());
        let mut items = Vec::with_capacity(runs.len());
        for run in runs {
            let end = self.end_of(&run).await.map_err(failed)?;
            items.push(public_run(run, end));
        }
        ok(Answer::Turns(List { items, next: more }))
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
        let end = end.map_err(|failure| self.failed(&failure))?;
        ok(Answer::Turn(Box::new(public_run(run, end))))
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
        ok(Answer::Steps(List {
            items: steps.into_iter().map(public_step).collect(),
            next: more,
        }))
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
        let event = event.ok_or_else(Problem::not_found)?;
        ok(Answer::Event(public_event(event)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MessageStatus, RunState, Status};

    fn bare_run() -> Run {
        Run {
            run_id: "acme:s1:0".to_owned(),
            tenant: "acme".to_owned(),
            session: "s1".to_owned(),
            turn_index: 0,
            user: None,
            key: None,
            input_hash: "h".to_owned(),
            request: "{}".to_owned(),
            upstream: "no target".to_owned(),
            created_at: 1,
            state: RunState {
                status: Status::Running,
                attempts: Vec::new(),
                handle: None,
                outcome: None,
                usage: None,
                last_error: None,
                line_count: 1,
                wake_at: Some(9),
                finished_at: None,
            },
            epoch: 1,
            lease: None,
            cancel: None,
            upstream_cancel: None,
            log_home: LogHome::Object,
            rev: 1,
            updated_at: 2,
        }
    }

    fn full_run() -> Run {
        let upstream = r#"{"kind":"sandbox","url":"http://u","model":"small","turn":{"upstreamIdleMs":1,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":4,"turnMaxBytes":5,"historyMessages":6,"historyBytes":7},"history":{"messages":2,"fromTurn":3,"toTurn":4,"hash":"abc"}}"#;
        Run {
            turn_index: 5,
            user: Some("ann \"a\"".to_owned()),
            request: r#"{"model":"m","upstream":"u","retryOf":3,"metadata":{"b":1.0,"a":[1e400]}}"#
                .to_owned(),
            upstream: upstream.to_owned(),
            state: RunState {
                status: Status::Cancelled,
                attempts: vec![
                    Attempt {
                        number: 1,
                        reason: "submitted".to_owned(),
                        started_at: 10,
                    },
                    Attempt {
                        number: 2,
                        reason: "lost".to_owned(),
                        started_at: 20,
                    },
                ],
                handle: Some(Handle {
                    execution_id: "acme:s1:5:a2".to_owned(),
                    attempt: 2,
                    suspended_at: Some(30),
                    waited_ms: 40,
                }),
                outcome: Some(RunOutcome {
                    text_units: 50,
                    reason: Some("enough".to_owned()),
                }),
                usage: Some(r#"{"outputTokens":1.50}"#.to_owned()),
                last_error: Some(LastError {
                    code: "upstream_unavailable".to_owned(),
                    message: "m\n".to_owned(),
                    at: 60,
                }),
                line_count: 70,
                wake_at: None,
                finished_at: Some(80),
            },
            epoch: 3,
            cancel: Some(Cancel {
                reason: Some("enough".to_owned()),
                at: 75,
            }),
            ..bare_run()
        }
    }

    fn check(answer: Answer, expected: &str) {
        assert_eq!(answer.to_json(), expected);
    }

    fn check_run(run: Run, line_count: Option<u64>, expected: &str) {
        check(
            Answer::Turn(Box::new(public_run(run, line_count))),
            expected,
        );
    }

    #[test]
    fn a_run_shows_what_was_accepted_and_what_came_of_it() {
        check_run(
            full_run(),
            None,
            r#"{"executionId":"acme:s1:0","sessionId":"s1","turnIndex":5,"status":"cancelled","attempts":[{"number":1,"reason":"submitted","startedAt":10},{"number":2,"reason":"lost","startedAt":20}],"lineCount":70,"handle":{"executionId":"acme:s1:5:a2","attempt":2,"suspendedAt":30,"waitedMs":40},"outcome":{"textUnits":50,"reason":"enough"},"usage":{"outputTokens":1.50},"lastError":{"code":"upstream_unavailable","message":"m\n","at":60},"cancel":{"reason":"enough","at":75},"upstream":"sandbox","model":"small","history":{"messages":2,"fromTurn":3,"toTurn":4,"hash":"abc"},"retryOf":3,"user":"ann \"a\"","metadata":{"b":1.0,"a":[1e400]},"epoch":3,"createdAt":1,"updatedAt":2,"finishedAt":80}"#,
        );
    }

    #[test]
    fn what_a_run_lacks_is_null_and_what_its_parts_lack_is_absent() {
        check_run(
            bare_run(),
            None,
            r#"{"executionId":"acme:s1:0","sessionId":"s1","turnIndex":0,"status":"running","attempts":[],"lineCount":1,"handle":null,"outcome":null,"usage":null,"lastError":null,"cancel":null,"upstream":null,"model":null,"history":null,"retryOf":null,"user":null,"metadata":null,"epoch":1,"createdAt":1,"updatedAt":2,"finishedAt":null}"#,
        );
        let mut run = full_run();
        run.state.handle = Some(Handle::new("acme:s1:5".to_owned(), 1));
        run.state.outcome = Some(RunOutcome {
            text_units: 0,
            reason: None,
        });
        run.cancel = Some(Cancel {
            reason: None,
            at: 75,
        });
        let task = r#"{"kind":"task","name":"research","#;
        let from = r#"{"kind":"sandbox","url":"http://u","model":"small","#;
        let window = r#""fromTurn":3,"toTurn":4,"#;
        run.upstream = run.upstream.replace(from, task).replace(window, "");
        check_run(
            run,
            Some(71),
            r#"{"executionId":"acme:s1:0","sessionId":"s1","turnIndex":5,"status":"cancelled","attempts":[{"number":1,"reason":"submitted","startedAt":10},{"number":2,"reason":"lost","startedAt":20}],"lineCount":71,"handle":{"executionId":"acme:s1:5","attempt":1},"outcome":{"textUnits":0},"usage":{"outputTokens":1.50},"lastError":{"code":"upstream_unavailable","message":"m\n","at":60},"cancel":{"at":75},"upstream":"task:research","model":null,"history":{"messages":2,"hash":"abc"},"retryOf":3,"user":"ann \"a\"","metadata":{"b":1.0,"a":[1e400]},"epoch":3,"createdAt":1,"updatedAt":2,"finishedAt":80}"#,
        );
    }

    #[test]
    fn a_step_shows_what_only_some_have_behind_what_all_have() {
        let step = Step {
            index: 1,
            intent: "turn".to_owned(),
            kind: "llm".to_owned(),
            status: "running".to_owned(),
            attempts: 1,
            result: None,
            error: None,
            rev: 1,
            started_at: 10,
            completed_at: None,
            detail: StepDetail::default(),
        };
        let failure = StepFailure {
            attempt: 1,
            run_attempt: 2,
            code: "c".to_owned(),
            author: true,
            message: "m".to_owned(),
            at: 3,
            retry_at: Some(4),
        };
        let full = Step {
            result: Some(r#"{"a":1.0}"#.to_owned()),
            error: Some(r#"{"code":"x"}"#.to_owned()),
            completed_at: Some(20),
            detail: StepDetail {
                name: Some("n".to_owned()),
                input_hash: Some("h".to_owned()),
                deadline: Some(5),
                failures: vec![
                    failure.clone(),
                    StepFailure {
                        author: false,
                        retry_at: None,
                        ..failure
                    },
                ],
                workspace: Some("w".to_owned()),
            },
            ..step.clone()
        };
        check(
            Answer::Steps(List {
                items: [step, full].map(public_step).into(),
                next: None,
            }),
            r#"{"steps":[{"index":1,"intent":"turn","kind":"llm","status":"running","attempts":1,"result":null,"error":null,"startedAt":10,"completedAt":null},{"index":1,"intent":"turn","kind":"llm","status":"running","attempts":1,"result":{"a":1.0},"error":{"code":"x"},"startedAt":10,"completedAt":20,"name":"n","inputHash":"h","deadline":5,"failures":[{"attempt":1,"runAttempt":2,"code":"c","author":true,"message":"m","at":3,"retryAt":4},{"attempt":1,"runAttempt":2,"code":"c","message":"m","at":3}],"workspace":"w"}],"cursor":null}"#,
        );
    }

    #[test]
    fn messages_and_events_keep_their_text() {
        let message = Message {
            turn_index: 4,
            role: Role::Assistant,
            content: r#"[{"type":"text","n":1e400}]"#.to_owned(),
            status: MessageStatus::Partial,
            retry_of: Some(3),
            rev: 2,
            created_at: 7,
        };
        check(
            Answer::Messages(List {
                items: vec![public_message(message)],
                next: None,
            }),
            r#"{"messages":[{"role":"assistant","content":[{"type":"text","n":1e400}],"turnIndex":4,"status":"partial","createdAt":7}],"cursor":null}"#,
        );
        let event = EventRecord {
            key: "approval:1".to_owned(),
            payload: r#"{"ok":1.0,"s":"\ud83d"}"#.to_owned(),
            rev: 1,
            emitted_at: 8,
        };
        check(
            Answer::Event(public_event(event)),
            r#"{"key":"approval:1","payload":{"ok":1.0,"s":"\ud83d"},"emittedAt":8}"#,
        );
    }
}
