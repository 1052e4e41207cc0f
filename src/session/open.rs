//! Submitting a turn: accept a new one, or answer from the one that is there.
//!
//! Owns the order: decide, make the intent and the alarm durable, then ask the upstream.
//! Invariant: whatever is refused is refused before the head of the answer.

use super::accepted::{Accepted, Target, history};
use super::state::{Asked, Facts, Known, Opening, decide};
use super::{App, Caller, Command, Mode, Platform, Reply, Session, Streaming, location};
use crate::config::{OwnNames, Resolved, TurnConfig, UpstreamConfig, UpstreamKind};
use crate::ids;
use crate::store::{
    self, Attempt, Begin, Begun, Handle, Lines, LogHome, Message, MessageStatus, Role, Run,
    RunState, Status, Step, StepDetail, Store,
};
use crate::wire::problem::Problem;
use crate::wire::request::Submit;
use crate::wire::{Framing, line};
use serde_json::value::RawValue;
use std::rc::Rc;

/// Decisions are repeated when another request of the session was faster.
const DECISIONS: usize = 8;

impl<P: Platform> Session<P> {
    pub(super) async fn submit(
        self: &Rc<Self>,
        caller: &Caller,
        submit: Submit,
        framing: Framing,
    ) -> Result<Reply<P>, Problem> {
        let asked = Asked {
            turn_index: submit.turn_index,
            input_hash: submit.input_hash(),
            if_running: submit.if_running,
            retry_of: submit.retry_of,
        };
        let mut resumed = None;
        for _ in 0..DECISIONS {
            let session = self.existing(caller).await?;
            if let Some(session) = &session {
                resumed = resumed.or(self.revive(session).await?);
            }
            let facts = self.facts(caller, &submit, session.as_ref()).await?;
            match decide(&asked, &facts, |turn| {
                location(caller.session.as_str(), turn)
            }) {
                Opening::Existing(turn) => {
                    return self.answer_from(caller, turn, resumed, framing).await;
                }
                Opening::Create => {
                    if session.as_ref().is_some_and(|s| s.deleted_at.is_some()) {
                        self.finish_erasure(&caller.session_key()).await?;
                    }
                    if self.create(caller, &submit, &asked, session).await? {
                        return self
                            .stream(caller, facts.next_turn, Mode::Fresh, framing)
                            .await;
                    }
                }
                Opening::CancelFirst(turn) => {
                    self.cancel_and_wait(caller, turn, Some("superseded by a newer turn"))
                        .await?;
                }
                Opening::Refuse(problem) => return Err(problem),
            }
        }
        Err(Problem::session_unavailable())
    }

    async fn facts(
        &self,
        caller: &Caller,
        submit: &Submit,
        session: Option<&store::Session>,
    ) -> Result<Facts, Problem> {
        let Some(session) = session else {
            return Ok(Facts::default());
        };
        let failed = |failure| self.failed(&failure);
        let session_key = &session.session_key;
        let known = |run: Run| Known {
            turn_index: run.turn_index,
            input_hash: run.input_hash,
            status: run.state.status,
        };
        // Erased turns may still be there while the erasure goes on.
        let at = async |turn: Option<u64>| -> Result<Option<Known>, Problem> {
            let Some(turn) = turn.filter(|turn| *turn >= session.first_turn) else {
                return Ok(None);
            };
            let run = self.store.run(&ids::run_id(session_key, turn)).await;
            Ok(run.map_err(failed)?.map(known))
        };
        let by_key = match &submit.key {
            Some(key) => self
                .store
                .run_by_key(caller.tenant.as_str(), caller.session.as_str(), key)
                .await
                .map_err(failed)?
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

    async fn answer_from(
        self: &Rc<Self>,
        caller: &Caller,
        turn: u64,
        resumed: Option<u64>,
        framing: Framing,
    ) -> Result<Reply<P>, Problem> {
        let run = self.run_at(&caller.session_key(), turn).await?;
        let mode = if resumed == Some(turn) {
            Mode::Resumed
        } else if run.state.status.is_terminal() {
            Mode::Replayed
        } else {
            Mode::Joined
        };
        self.stream(caller, turn, mode, framing).await
    }

    async fn stream(
        self: &Rc<Self>,
        caller: &Caller,
        turn: u64,
        mode: Mode,
        framing: Framing,
    ) -> Result<Reply<P>, Problem> {
        let run = self.run_at(&caller.session_key(), turn).await?;
        let follower = self.follower(&run, 0, true, framing).await?;
        Ok(Reply::Stream(Box::new(Streaming {
            mode: Some(mode),
            execution_id: run.run_id,
            location: location(caller.session.as_str(), turn),
            framing,
            follower,
        })))
    }

    /// Accepts the turn; false when another request was faster.
    async fn create(
        self: &Rc<Self>,
        caller: &Caller,
        submit: &Submit,
        asked: &Asked,
        session: Option<store::Session>,
    ) -> Result<bool, Problem> {
        let config = self.config()?;
        let vars = |name: &str| self.platform.var(name);
        let resolved = self.resolve(submit)?;
        crate::config::read_upstream_key(&vars)?;
        let turn = TurnConfig::read(&vars)?;
        let failed = |failure: store::Error| self.failed(&failure);
        let is_new = session.is_none();
        if is_new {
            self.store.migrate(self.now()).await.map_err(failed)?;
        }
        let session = self.next_session(caller, session);
        let turn_index = session.turn_count.saturating_sub(1);
        let content = match (&submit.message, submit.retry_of) {
            (Some(content), _) => content.clone(),
            (None, Some(retried)) => self.message_of(&session.session_key, retried).await?,
            (None, None) => return Err(Problem::invalid_request("`message` is required")),
        };
        let (window, _) = history(
            &self.store,
            &session.session_key,
            turn_index,
            submit.retry_of,
            &turn,
        )
        .await
        .map_err(failed)?;
        let target = Target {
            resolved,
            turn,
            history: window,
        };
        let wake_at = self.now().saturating_add_unsigned(config.watchdog_ms);
        let begin = self.begin(caller, submit, asked, session, content, &target, wake_at)?;
        // The alarm first: one that finds no turn costs a look, a turn without one could be lost.
        self.arm_at(wake_at).await.map_err(failed)?;
        if self.store.begin(&begin).await.map_err(failed)? == Begun::Taken {
            return Ok(false);
        }
        self.ready.set(true);
        self.start_drain(begin.run).await.map_err(failed)?;
        Ok(true)
    }

    /// The upstream that a submit is accepted with.
    fn resolve(&self, submit: &Submit) -> Result<Resolved, Problem> {
        let app = self.platform.app();
        let own = OwnNames {
            upstreams: app.upstream_names(),
            tasks: app.task_names(),
        };
        let upstreams = UpstreamConfig::read(&|name| self.platform.var(name), own)?;
        let resolved = upstreams.resolve(submit.model.as_deref(), submit.upstream.as_deref())?;
        let is_missing = |name| self.own_upstream(name).is_none();
        let is_own = resolved.kind == UpstreamKind::Own;
        if is_own && resolved.name.as_deref().is_some_and(is_missing) {
            return Err(Problem::misconfigured("UPSTREAM"));
        }
        Ok(resolved)
    }

    fn next_session(&self, caller: &Caller, session: Option<store::Session>) -> store::Session {
        let now = self.now();
        match session {
            Some(session) => store::Session {
                turn_count: session.turn_count + 1,
                updated_at: now,
                deleted_at: None,
                ..session
            },
            None => store::Session {
                session_key: caller.session_key(),
                tenant: caller.tenant.as_str().to_owned(),
                session: caller.session.as_str().to_owned(),
                birth: self.token(),
                turn_count: 1,
                first_turn: 0,
                created_at: now,
                updated_at: now,
                deleted_at: None,
            },
        }
    }

    async fn message_of(&self, session_key: &str, turn: u64) -> Result<String, Problem> {
        let before = turn.checked_sub(1).map(|turn| (turn, Role::Assistant));
        let messages = self
            .store
            .messages(session_key, before, 1)
            .await
            .map_err(|failure| self.failed(&failure))?;
        messages
            .into_iter()
            .find(|message| message.turn_index == turn && message.role == Role::User)
            .map(|message| message.content)
            .ok_or_else(Problem::not_found)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one record")]
    fn begin(
        &self,
        caller: &Caller,
        submit: &Submit,
        asked: &Asked,
        session: store::Session,
        content: String,
        target: &Target,
        wake_at: i64,
    ) -> Result<Begin, Problem> {
        let now = self.now();
        let turn_index = session.turn_count.saturating_sub(1);
        let run_id = ids::run_id(&session.session_key, turn_index);
        let accepted = Accepted {
            model: submit.model.clone(),
            upstream: submit.upstream.clone(),
            retry_of: submit.retry_of,
            metadata: match &submit.metadata {
                // It was parsed as JSON before it came here.
                Some(raw) => RawValue::from_string(raw.clone()).ok(),
                None => None,
            },
        };
        let (Ok(request), Ok(upstream)) = (
            serde_json::to_string(&accepted),
            serde_json::to_string(target),
        ) else {
            return Err(Problem::internal());
        };
        let mut text = line::started(
            0,
            caller.session.as_str(),
            caller.tenant.as_str(),
            turn_index,
            &run_id,
        );
        text.push('\n');
        Ok(Begin {
            first: Lines {
                attempt: 1,
                cursor: None,
                frame_ids: vec![None],
                text,
            },
            message: Message {
                turn_index,
                role: Role::User,
                content,
                status: MessageStatus::Complete,
                retry_of: submit.retry_of,
                rev: 1,
                created_at: now,
            },
            step: Step {
                index: 0,
                intent: "turn".to_owned(),
                kind: "llm".to_owned(),
                status: "running".to_owned(),
                attempts: 1,
                result: None,
                error: None,
                rev: 1,
                started_at: now,
                completed_at: None,
                detail: StepDetail::default(),
            },
            run: Run {
                tenant: caller.tenant.as_str().to_owned(),
                session: caller.session.as_str().to_owned(),
                turn_index,
                user: caller.user.clone(),
                key: submit.key.clone(),
                input_hash: asked.input_hash.clone(),
                request,
                upstream,
                created_at: now,
                state: RunState {
                    status: Status::Running,
                    attempts: vec![Attempt {
                        number: 1,
                        reason: "submitted".to_owned(),
                        started_at: now,
                    }],
                    handle: Some(Handle::new(run_id.clone(), 1)),
                    outcome: None,
                    usage: None,
                    last_error: None,
                    line_count: 1,
                    wake_at: Some(wake_at),
                    finished_at: None,
                },
                epoch: 1,
                lease: None,
                cancel: None,
                upstream_cancel: None,
                log_home: LogHome::Object,
                rev: 1,
                updated_at: now,
                run_id,
            },
            session,
        })
    }
}

impl Command {
    /// Whether the command may be sent again when its outcome is unknown: all are idempotent, a
    /// submit by its key or index.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Command::Submit(submit, _) => submit.key.is_some() || submit.turn_index.is_some(),
            Command::Follow { .. }
            | Command::Session
            | Command::Delete
            | Command::Messages(_)
            | Command::Turns(_)
            | Command::Turn(_)
            | Command::Steps(..)
            | Command::Cancel(..)
            | Command::Poke(_)
            | Command::Emit(..)
            | Command::Event(..) => true,
        }
    }
}
