//! What a submit comes to without an object: a new turn, one to go on with, or one to read.
//!
//! Owns the writes that come before an answer, and the lease that they take. The table of situations
//! is `session::decide`. Invariant: a lease that was taken is kept by a task, or released.

use super::keep::{Task, log};
use super::{TurnInput, TurnRefused, TurnTerms, WhenHeld, cancel_turn};
use crate::config::TurnConfig;
use crate::ids;
use crate::log::Live;
use crate::ops::Why;
use crate::ports::Ports;
use crate::run::{Acquired, LeaseTerms};
use crate::session::{
    Accepting, Asked, DECISIONS, Mode, Opening, Window, ask, decide, facts, history, location,
    message_of, next_session, session_key_of, settings,
};
use crate::store::{self, Begun, Corrupt, Fence, Lease, LogHome, Policy, Run, Store};
use crate::turn::{Drain, Hooks};
use crate::upstream::Upstream;
use crate::wire::problem::Problem;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// What recovery needs of the terms. PERSISTED in `runs.upstream` of a turn without an object:
/// fields are only added, with defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    turn: TurnConfig,
    history: Window,
}

/// Whatever is decided and written before there is an answer.
pub(super) struct Opener<'a, P, S> {
    pub(super) ports: &'a P,
    pub(super) store: &'a S,
}

/// A run, how it is answered, and its lease where it is to be drained here.
type Opened = (Run, Mode, Option<Acquired>);

impl<P: Ports, S: Store + Clone + 'static> Opener<'_, P, S> {
    /// The turn that a submit means, and its lease where it is to be drained here.
    pub(super) async fn open(&self, input: &TurnInput) -> Result<Opened, TurnRefused> {
        let TurnInput { caller, submit, .. } = input;
        if submit.upstream.is_some() {
            let detail = "there is one upstream here; it has no name";
            return Err(TurnRefused::Rule(Problem::invalid_request(detail)));
        }
        let asked = Asked {
            turn_index: submit.turn_index,
            input_hash: submit.input_hash(),
            if_running: submit.if_running,
            retry_of: submit.retry_of,
        };
        for _ in 0..DECISIONS {
            let session = self.store.session(&caller.session_key()).await?;
            let facts = facts(self.store, caller, submit, session.as_ref()).await?;
            let name = caller.session.as_str();
            match decide(&asked, &facts, |turn| location(name, turn)) {
                Opening::Existing(turn) => {
                    if let Some(opened) = self.existing(input, turn).await? {
                        return Ok(opened);
                    }
                }
                Opening::Create => {
                    if let Some(opened) = self.create(input, &asked, session).await? {
                        return Ok(opened);
                    }
                }
                Opening::CancelFirst(turn) => {
                    let why = Some("superseded by a newer turn");
                    cancel_turn(self.ports, self.store, caller, turn, why).await?;
                    let there = location(name, turn);
                    return Err(TurnRefused::Rule(Problem::turn_in_progress(there)));
                }
                Opening::Refuse(problem) => return Err(TurnRefused::Rule(problem)),
            }
        }
        Err(TurnRefused::Rule(Problem::session_unavailable()))
    }

    /// A turn that is there: read, joined or taken over; `None` when it ended meanwhile.
    async fn existing(&self, input: &TurnInput, turn: u64) -> Result<Option<Opened>, TurnRefused> {
        let run_id = ids::run_id(&input.caller.session_key(), turn);
        let run = self.store.run(&run_id).await?;
        let run = run.ok_or(store::Error::Missing)?;
        if run.state.status.is_terminal() {
            if run.log_home == LogHome::Expired {
                return Err(TurnRefused::Rule(Problem::log_expired()));
            }
            return Ok(Some((run, Mode::Replayed, None)));
        }
        match self.acquire(&run_id, input.terms.lease).await {
            Ok((run, acquired)) => {
                log(self.ports, &run_id, Why::Resumed);
                Ok(Some((run, Mode::Resumed, Some(acquired))))
            }
            Err(store::Error::LeaseHeld { until }) => match input.terms.when_held {
                WhenHeld::Join => Ok(Some((run, Mode::Joined, None))),
                WhenHeld::Refuse => {
                    let left = until.saturating_sub(self.ports.now_ms());
                    Err(TurnRefused::LeaseHeld {
                        retry_after_ms: u64::try_from(left).unwrap_or(0),
                    })
                }
            },
            Err(store::Error::Fenced) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Accepts a new turn; `None` when another request was faster.
    async fn create(
        &self,
        input: &TurnInput,
        asked: &Asked,
        session: Option<store::Session>,
    ) -> Result<Option<Opened>, TurnRefused> {
        let TurnInput {
            caller,
            submit,
            terms,
        } = input;
        let now = self.ports.now_ms();
        let session = next_session(caller, session, || self.token(), now);
        let turn_index = session.turn_count.saturating_sub(1);
        let key = &session.session_key;
        let content = match (&submit.message, submit.retry_of) {
            (Some(content), _) => Some(content.clone()),
            (None, Some(retried)) => message_of(self.store, key, retried).await?,
            (None, None) => None,
        };
        let Some(content) = content else {
            let problem = Problem::invalid_request("`message` is required");
            return Err(TurnRefused::Rule(problem));
        };
        let told = history(self.store, key, turn_index, submit.retry_of, &terms.turn);
        let target = Target {
            model: submit.model.clone().or_else(|| terms.model.clone()),
            turn: terms.turn.clone(),
            history: told.await?.0,
        };
        let internal = || TurnRefused::Rule(Problem::internal());
        let until = terms.lease.until(now);
        let lease = Lease {
            holder: self.token(),
            until,
        };
        let accepting = Accepting {
            caller,
            submit,
            input_hash: &asked.input_hash,
            session,
            content,
            upstream: serde_json::to_string(&target).map_err(|_| internal())?,
            wake_at: until,
            lease: Some(lease.clone()),
            log_home: LogHome::D1,
            now,
        };
        let begin = accepting.begin().ok_or_else(internal)?;
        if self.store.begin(&begin).await? == Begun::Taken {
            return Ok(None);
        }
        self.store.sync().await?;
        let acquired = Acquired {
            run_id: begin.run.run_id.clone(),
            fence: Fence {
                epoch: begin.run.epoch,
            },
            holder: lease.holder,
            until,
        };
        Ok(Some((begin.run, Mode::Fresh, Some(acquired))))
    }

    /// Takes an open run's lease under a token of its own; the run as it is then.
    pub(super) async fn acquire(
        &self,
        run_id: &str,
        terms: LeaseTerms,
    ) -> Result<(Run, Acquired), store::Error> {
        let (now, holder) = (self.ports.now_ms(), self.token());
        let until = terms.until(now);
        let policy = Policy::WhenFree { until };
        let fence = self.store.acquire(run_id, policy, &holder, now).await?;
        let acquired = Acquired {
            run_id: run_id.to_owned(),
            fence,
            holder,
            until,
        };
        let read = async {
            self.store.sync().await?;
            self.store.run(run_id).await?.ok_or(store::Error::Missing)
        };
        match read.await {
            Ok(run) => Ok((run, acquired)),
            Err(failure) => {
                self.release(&acquired).await;
                Err(failure)
            }
        }
    }

    /// Starts the task that drains an acquired run.
    pub(super) async fn start<U: Upstream + 'static, H: Hooks + 'static>(
        &self,
        run: Run,
        acquired: Acquired,
        upstream: U,
        hooks: Rc<H>,
        terms: &TurnTerms,
        accepted_here: bool,
    ) -> Result<Rc<Live>, TurnRefused> {
        let drain = self.drain(run, upstream, hooks, terms, accepted_here);
        let drain = match drain.await {
            Ok(drain) => drain,
            Err(failure) => {
                self.release(&acquired).await;
                return Err(failure.into());
            }
        };
        let live = Rc::clone(&drain.live);
        let task = Task {
            ports: self.ports.clone(),
            store: self.store.clone(),
            acquired,
            terms: terms.lease,
        };
        self.ports.spawn(task.run(drain));
        Ok(live)
    }

    async fn drain<U: Upstream, H: Hooks>(
        &self,
        run: Run,
        upstream: U,
        hooks: Rc<H>,
        terms: &TurnTerms,
        accepted_here: bool,
    ) -> Result<Drain<P, S, Rc<U>, H>, store::Error> {
        let target: Target = serde_json::from_str(&run.upstream).map_err(|_| Corrupt {
            table: "runs",
            column: 8,
            key: run.run_id.clone(),
        })?;
        let session_key = session_key_of(&run);
        let model = target.model.as_deref();
        let ask = ask(
            self.store,
            &session_key,
            &run,
            model,
            &target.turn,
            &target.history,
        );
        Ok(Drain {
            ports: self.ports.clone(),
            store: self.store.clone(),
            upstream: Rc::new(upstream),
            ask: ask.await?,
            session_key,
            settings: settings(&run, &target.turn, terms.window_ms, terms.lease.lease_ms),
            live: Live::new(&run.run_id),
            accepted_here,
            hooks,
            run,
        })
    }

    /// Frees a run whose drain could not begin: nobody should wait for a lease that nobody uses.
    async fn release(&self, acquired: &Acquired) {
        let released = self.store.release(&acquired.run_id, acquired.fence).await;
        if let Err(failure) = released {
            log(self.ports, &acquired.run_id, Why::Store(&failure));
        }
    }

    /// 128 random bits as 32 hex digits: births and acquisition tokens.
    fn token(&self) -> String {
        format!("{:032x}", self.ports.random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_target_is_read_and_written_alike() {
        let stored = r#"{"model":"m","turn":{"upstreamIdleMs":1,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":4,"turnMaxBytes":5,"historyMessages":6,"historyBytes":7},"history":{"messages":0,"hash":"h"}}"#;
        let read: Target = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), stored);
        let newer = stored.replacen('{', r#"{"addedLater":1,"#, 1);
        assert_eq!(serde_json::from_str::<Target>(&newer).unwrap(), read);
    }
}
