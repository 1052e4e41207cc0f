//! Submitting a turn: accept a new one, or answer from the one that is there.
//!
//! Owns the order: decide, make the intent and the alarm durable, then ask the upstream.
//! Invariant: whatever is refused is refused before the head of the answer.

use super::acceptance::{Accepting, facts, message_of, next_session};
use super::accepted::{Target, history};
use super::state::{Asked, Opening, decide};
use super::{App, Caller, Command, Mode, Platform, Reply, Session, Streaming, location};
use crate::config::{OwnNames, Resolved, TurnConfig, UpstreamConfig, UpstreamKind};
use crate::store::{self, Begun, LogHome, Store};
use crate::wire::Framing;
use crate::wire::problem::Problem;
use crate::wire::request::Submit;
use std::rc::Rc;

/// Decisions are repeated when another request of the session was faster.
pub(crate) const DECISIONS: usize = 8;

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
            let facts = facts(&self.store, caller, &submit, session.as_ref())
                .await
                .map_err(|failure| self.failed(&failure))?;
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
        let session = next_session(caller, session, || self.token(), self.now());
        let turn_index = session.turn_count.saturating_sub(1);
        let content = match (&submit.message, submit.retry_of) {
            (Some(content), _) => content.clone(),
            (None, Some(retried)) => message_of(&self.store, &session.session_key, retried)
                .await
                .map_err(failed)?
                .ok_or_else(Problem::not_found)?,
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
        let accepting = Accepting {
            caller,
            submit,
            input_hash: &asked.input_hash,
            session,
            content,
            upstream: serde_json::to_string(&target).map_err(|_| Problem::internal())?,
            wake_at,
            lease: None,
            log_home: LogHome::Object,
            now: self.now(),
        };
        let begin = accepting.begin().ok_or_else(Problem::internal)?;
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
