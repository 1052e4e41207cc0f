//! A turn as it is accepted: what the decision needs to know, and everything that is true once it is.
//!
//! Owns the records of a begin, for objects and for turns that live in a store alone. It decides
//! nothing and knows no object. Invariant: a turn is accepted by one batch, or not at all.

use super::Caller;
use super::accepted::Accepted;
use super::state::{Facts, Known};
use crate::ids;
use crate::store::{
    self, Attempt, Begin, Handle, Lease, Lines, LogHome, Message, MessageStatus, Role, Run,
    RunState, Session, Status, Step, StepDetail, Store,
};
use crate::wire::line;
use crate::wire::request::Submit;
use serde_json::value::RawValue;

/// What the store knows that bears on a submit.
pub(crate) async fn facts<S: Store>(
    store: &S,
    submit: &Submit,
    session: Option<&Session>,
) -> Result<Facts, store::Error> {
    let Some(session) = session else {
        return Ok(Facts::default());
    };
    let session_key = &session.session_key;
    let known = |run: Run| Known {
        turn_index: run.turn_index,
        input_hash: run.input_hash,
        status: run.state.status,
    };
    // Erased turns may still be there while the erasure goes on.
    let at = async |turn: Option<u64>| -> Result<Option<Known>, store::Error> {
        let Some(turn) = turn.filter(|turn| *turn >= session.first_turn) else {
            return Ok(None);
        };
        let run = store.run(&ids::run_id(session_key, turn)).await?;
        Ok(run.map(known))
    };
    let by_key = match &submit.key {
        Some(key) => store
            .run_by_key(session_key, key)
            .await?
            .filter(|run| run.turn_index >= session.first_turn)
            .map(known),
        None => None,
    };
    Ok(Facts {
        next_turn: session.turn_count,
        by_key,
        by_index: at(submit.turn_index).await?,
        last: at(session.turn_count.checked_sub(1)).await?,
        retried: at(submit.retry_of).await?,
    })
}

/// The session as it is with one turn more; `birth` names a new one's storage.
pub(crate) fn next_session(
    caller: &Caller,
    session: Option<Session>,
    birth: impl FnOnce() -> String,
    now: i64,
) -> Session {
    match session {
        Some(session) => Session {
            turn_count: session.turn_count + 1,
            updated_at: now,
            deleted_at: None,
            ..session
        },
        None => Session {
            session_key: caller.session_key(),
            tenant: caller.tenant.as_str().to_owned(),
            session: caller.session.as_str().to_owned(),
            birth: birth(),
            turn_count: 1,
            first_turn: 0,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        },
    }
}

/// A turn about to be accepted.
pub(crate) struct Accepting<'a> {
    /// Whose it is.
    pub caller: &'a Caller,
    /// As sent.
    pub submit: &'a Submit,
    /// Of the submit.
    pub input_hash: &'a str,
    /// The session with this turn counted.
    pub session: Session,
    /// The user's message, raw JSON.
    pub content: String,
    /// What recovery needs of the upstream, JSON.
    pub upstream: String,
    /// The kind of the turn's own step.
    pub step_kind: &'static str,
    /// When somebody should look at it.
    pub wake_at: i64,
    /// Held by whoever accepts it, where leases are held.
    pub lease: Option<Lease>,
    /// Where its lines are.
    pub log_home: LogHome,
    /// Unix ms.
    pub now: i64,
}

impl Accepting<'_> {
    /// All of its records; `None` when the request can't be written as JSON.
    pub(crate) fn begin(self) -> Option<Begin> {
        let turn_index = self.session.turn_count.saturating_sub(1);
        let run_id = ids::run_id(&self.session.session_key, turn_index);
        let mut text = line::started(
            0,
            self.caller.session.as_str(),
            self.caller.tenant.as_str(),
            turn_index,
            &run_id,
        );
        text.push('\n');
        Some(Begin {
            first: Lines {
                attempt: 1,
                cursor: None,
                frame_ids: vec![None],
                text,
            },
            step: self.step(),
            run: self.run(run_id, turn_index)?,
            message: Message {
                turn_index,
                role: Role::User,
                content: self.content,
                status: MessageStatus::Complete,
                retry_of: self.submit.retry_of,
                rev: 1,
                created_at: self.now,
            },
            session: self.session,
        })
    }

    fn step(&self) -> Step {
        Step {
            index: 0,
            intent: "turn".to_owned(),
            kind: self.step_kind.to_owned(),
            status: "running".to_owned(),
            attempts: 1,
            result: None,
            error: None,
            rev: 1,
            started_at: self.now,
            completed_at: None,
            detail: StepDetail::default(),
        }
    }

    fn run(&self, run_id: String, turn_index: u64) -> Option<Run> {
        let accepted = Accepted {
            model: self.submit.model.clone(),
            upstream: self.submit.upstream.clone(),
            retry_of: self.submit.retry_of,
            metadata: match &self.submit.metadata {
                // It was parsed as JSON before it came here.
                Some(raw) => RawValue::from_string(raw.clone()).ok(),
                None => None,
            },
        };
        Some(Run {
            tenant: self.caller.tenant.as_str().to_owned(),
            session: self.caller.session.as_str().to_owned(),
            turn_index,
            user: self.caller.user.clone(),
            key: self.submit.key.clone(),
            input_hash: self.input_hash.to_owned(),
            request: serde_json::to_string(&accepted).ok()?,
            upstream: self.upstream.clone(),
            created_at: self.now,
            state: RunState {
                status: Status::Running,
                attempts: vec![Attempt {
                    number: 1,
                    reason: "submitted".to_owned(),
                    started_at: self.now,
                }],
                handle: Some(Handle::new(run_id.clone(), 1)),
                outcome: None,
                usage: None,
                last_error: None,
                line_count: 1,
                wake_at: Some(self.wake_at),
                finished_at: None,
            },
            epoch: 1,
            lease: self.lease.clone(),
            cancel: None,
            upstream_cancel: None,
            log_home: self.log_home,
            rev: 1,
            updated_at: self.now,
            run_id,
        })
    }
}
