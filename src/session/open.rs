//! Submitting a turn to its session's object: accept a new one, or answer from the one that is there.
//!
//! Owns what an object adds to `opening`: the alarm and the intent are durable before the upstream is asked.
//! Invariant: whatever is refused is refused before the head of the answer.

use super::accepted::{Target, Window};
use super::opening::{Kept, Opener, open};
use super::{App, Caller, Mode, Platform, Reply, Session, Streaming, location};
use crate::config::{ObjectConfig, TurnConfig, UpstreamConfig, read_upstream_key};
use crate::store::{self, Begin, Begun, LogHome, SqlStore, Store};
use crate::upstream::{OwnNames, Resolved};
use crate::wire::problem::Problem;
use crate::wire::request::Submit;
use crate::wire::view::{Start, ViewKind};
use std::rc::Rc;

/// One submit in an object.
struct Submitting<'a, P: Platform> {
    session: &'a Rc<Session<P>>,
    caller: &'a Caller,
    /// The turn that this request took over.
    resumed: Option<u64>,
}

/// What a turn of an object is accepted with.
struct Terms {
    config: ObjectConfig,
    resolved: Resolved,
    turn: TurnConfig,
}

impl<P: Platform> Opener for Submitting<'_, P> {
    type Store = SqlStore<P::Object>;
    type Terms = Terms;
    type Opened = (u64, Mode);
    type Error = Problem;

    fn store(&self) -> &Self::Store {
        &self.session.store
    }

    fn failed(&self, failure: store::Error) -> Problem {
        self.session.failed(&failure)
    }

    fn token(&self) -> String {
        self.session.token()
    }

    fn now_ms(&self) -> i64 {
        self.session.now()
    }

    async fn session(&mut self) -> Result<Option<store::Session>, Problem> {
        let session = self.session.existing(self.caller).await?;
        if let Some(session) = &session {
            let resumed = self.session.revive(session).await?;
            self.resumed = self.resumed.or(resumed);
        }
        Ok(session)
    }

    async fn existing(&mut self, turn: u64) -> Result<Option<(u64, Mode)>, Problem> {
        let run = self
            .session
            .run_at(&self.caller.session_key(), turn)
            .await?;
        let mode = if self.resumed == Some(turn) {
            Mode::Resumed
        } else if run.state.status.is_terminal() {
            Mode::Replayed
        } else {
            Mode::Joined
        };
        Ok(Some((turn, mode)))
    }

    async fn cancel_first(&mut self, turn: u64, why: &str) -> Result<(), Problem> {
        self.session
            .cancel_and_wait(self.caller, turn, Some(why))
            .await
    }

    async fn terms(
        &mut self,
        submit: &Submit,
        session: Option<&store::Session>,
    ) -> Result<Terms, Problem> {
        let object = self.session;
        if session.is_some_and(|session| session.deleted_at.is_some()) {
            object.finish_erasure(&self.caller.session_key()).await?;
        }
        let vars = |name: &str| object.platform.var(name);
        let terms = Terms {
            config: object.config.clone()?,
            resolved: object.resolve(submit)?,
            turn: TurnConfig::read(&vars)?,
        };
        read_upstream_key(&vars)?;
        if session.is_none() {
            let migrated = object.store.migrate(object.now()).await;
            migrated.map_err(|failure| object.failed(&failure))?;
        }
        Ok(terms)
    }

    fn kept(&self, terms: &Terms, history: Window) -> Option<Kept> {
        let target = Target {
            resolved: terms.resolved.clone(),
            turn: terms.turn.clone(),
            history,
        };
        let watchdog_ms = terms.config.watchdog_ms;
        Some(Kept {
            upstream: serde_json::to_string(&target).ok()?,
            step_kind: target.resolved.kind.step_kind(),
            wake_at: self.session.now().saturating_add_unsigned(watchdog_ms),
            lease: None,
            log_home: LogHome::Object,
        })
    }

    fn turn<'t>(&'t self, terms: &'t Terms) -> &'t TurnConfig {
        &terms.turn
    }

    async fn begin(&mut self, begin: Begin, _terms: Terms) -> Result<Option<(u64, Mode)>, Problem> {
        let object = self.session;
        let failed = |failure: store::Error| object.failed(&failure);
        let wake_at = begin.run.state.wake_at.unwrap_or_else(|| object.now());
        // The alarm first: one that finds no turn costs a look, a turn without one could be lost.
        object.arm_at(wake_at).await.map_err(failed)?;
        if object.store.begin(&begin).await.map_err(failed)? == Begun::Taken {
            return Ok(None);
        }
        object.ready.set(true);
        let turn = begin.run.turn_index;
        object.start_drain(begin.run).await.map_err(failed)?;
        Ok(Some((turn, Mode::Fresh)))
    }
}

impl<P: Platform> Session<P> {
    pub(super) async fn submit(
        self: &Rc<Self>,
        caller: &Caller,
        submit: &Submit,
        view: ViewKind,
    ) -> Result<Reply<P>, Problem> {
        let mut submitting = Submitting {
            session: self,
            caller,
            resumed: None,
        };
        let (turn, mode) = open(&mut submitting, caller, submit).await?;
        let run = self.run_at(&caller.session_key(), turn).await?;
        let body = self.body(&run, Start::Line(0), true, view).await?;
        Ok(Reply::Stream(Box::new(Streaming {
            mode: Some(mode),
            execution_id: run.run_id,
            location: location(caller.session.as_str(), turn),
            body,
        })))
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
        if !resolved.is_here(self) {
            return Err(Problem::misconfigured("UPSTREAM"));
        }
        Ok(resolved)
    }
}
