//! What a submit comes to without an object: a new turn, one to go on with, or one to read.
//!
//! Owns the writes that come before an answer, and the lease that they take. The order of an opening is
//! the session's, with an object or without. Invariant: a lease that was taken is kept by a task, or released.

use super::keep::{Task, log};
use super::{TurnInput, TurnRefused, TurnTerms, WhenHeld, cancel_turn};
use crate::api::{Mode, location};
use crate::config::TurnConfig;
use crate::ids;
use crate::log::Live;
use crate::ops::Why;
use crate::ports::Ports;
use crate::run::{Acquired, LeaseTerms};
use crate::session::{Kept, Opener, Window, ask, open, settings};
use crate::store::{self, Begin, Begun, Corrupt, Fence, Lease, LogHome, Policy, Run, Store};
use crate::turn::{Drain, Hooks};
use crate::upstream::Upstream;
use crate::wire::problem::Problem;
use crate::wire::request::Submit;
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

/// Whatever is written before there is an answer.
pub(super) struct Desk<'a, P, S> {
    pub(super) ports: &'a P,
    pub(super) store: &'a S,
}

/// A run, how it is answered, and its lease where it is to be drained here.
type Opened = (Run, Mode, Option<Acquired>);

/// One submit without an object.
struct Submitting<'a, P, S> {
    desk: &'a Desk<'a, P, S>,
    input: &'a TurnInput,
}

impl<P: Ports, S: Store + Clone + 'static> Opener for Submitting<'_, P, S> {
    type Store = S;
    type Terms = Lease;
    type Opened = Opened;
    type Error = TurnRefused;

    fn store(&self) -> &S {
        self.desk.store
    }

    fn failed(&self, failure: store::Error) -> TurnRefused {
        failure.into()
    }

    fn token(&self) -> String {
        self.desk.token()
    }

    fn now_ms(&self) -> i64 {
        self.desk.ports.now_ms()
    }

    async fn session(&mut self) -> Result<Option<store::Session>, TurnRefused> {
        let key = self.input.caller.session_key();
        Ok(self.desk.store.session(&key).await?)
    }

    /// A turn that is there: read, joined or taken over.
    async fn existing(&mut self, turn: u64) -> Result<Option<Opened>, TurnRefused> {
        let (desk, terms) = (self.desk, &self.input.terms);
        let run_id = ids::run_id(&self.input.caller.session_key(), turn);
        let run = desk.store.run(&run_id).await?;
        let run = run.ok_or(store::Error::Missing)?;
        if run.state.status.is_terminal() {
            if run.log_home == LogHome::Expired {
                return Err(TurnRefused::Rule(Problem::log_expired()));
            }
            return Ok(Some((run, Mode::Replayed, None)));
        }
        match desk.acquire(&run_id, terms.lease).await {
            Ok((run, acquired)) => {
                log(desk.ports, &run_id, Why::Resumed);
                Ok(Some((run, Mode::Resumed, Some(acquired))))
            }
            Err(store::Error::LeaseHeld { until }) => match terms.when_held {
                WhenHeld::Join => Ok(Some((run, Mode::Joined, None))),
                WhenHeld::Refuse => {
                    let left = until.saturating_sub(desk.ports.now_ms());
                    Err(TurnRefused::LeaseHeld {
                        retry_after_ms: u64::try_from(left).unwrap_or(0),
                    })
                }
            },
            Err(store::Error::Fenced) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Nobody here can wait for the drain, which may be another Worker's: the client asks again.
    async fn cancel_first(&mut self, turn: u64, why: &str) -> Result<(), TurnRefused> {
        let (desk, caller) = (self.desk, &self.input.caller);
        cancel_turn(desk.ports, desk.store, caller, turn, Some(why)).await?;
        let there = location(caller.session.as_str(), turn);
        Err(TurnRefused::Rule(Problem::turn_in_progress(there)))
    }

    async fn terms(
        &mut self,
        _submit: &Submit,
        _session: Option<&store::Session>,
    ) -> Result<Lease, TurnRefused> {
        Ok(Lease {
            holder: self.desk.token(),
            until: self.input.terms.lease.until(self.desk.ports.now_ms()),
        })
    }

    fn kept(&self, lease: &Lease, history: Window) -> Option<Kept> {
        let TurnInput { submit, terms, .. } = self.input;
        let target = Target {
            model: submit.model.clone().or_else(|| terms.model.clone()),
            turn: terms.turn.clone(),
            history,
        };
        Some(Kept {
            upstream: serde_json::to_string(&target).ok()?,
            step_kind: "llm",
            wake_at: lease.until,
            lease: Some(lease.clone()),
            log_home: LogHome::D1,
        })
    }

    fn turn<'t>(&'t self, _lease: &'t Lease) -> &'t TurnConfig {
        &self.input.terms.turn
    }

    async fn begin(&mut self, begin: Begin, lease: Lease) -> Result<Option<Opened>, TurnRefused> {
        let store = self.desk.store;
        if store.begin(&begin).await? == Begun::Taken {
            return Ok(None);
        }
        store.sync().await?;
        let acquired = Acquired {
            run_id: begin.run.run_id.clone(),
            fence: Fence {
                epoch: begin.run.epoch,
            },
            holder: lease.holder,
            until: lease.until,
        };
        Ok(Some((begin.run, Mode::Fresh, Some(acquired))))
    }
}

impl<P: Ports, S: Store + Clone + 'static> Desk<'_, P, S> {
    /// The turn that a submit means, and its lease where it is to be drained here.
    pub(super) async fn open(&self, input: &TurnInput) -> Result<Opened, TurnRefused> {
        let TurnInput { caller, submit, .. } = input;
        if submit.upstream.is_some() {
            let detail = "there is one upstream here; it has no name";
            return Err(TurnRefused::Rule(Problem::invalid_request(detail)));
        }
        open(&mut Submitting { desk: self, input }, caller, submit).await
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
        let session_key = ids::session_key_of(&run.run_id).to_owned();
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
