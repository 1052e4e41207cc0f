//! The drains of this session, and the alarm that outlives them.
//!
//! Owns the three ways in which an orphaned run goes on: a call after a rebirth, the alarm, a poke
//! by the sweep. Invariant: the alarm is set before anything that can fail, and it waits for
//! nothing that takes long.

use super::accepted::{Target, ask, settings};
use super::alarm::{Facts, must_set, next_alarm};
use super::{App, Platform, Session};
use crate::caps;
use crate::config::read_upstream_key;
use crate::ids;
use crate::log::Live;
use crate::ops::{About, Why};
use crate::ports::Spawn;
use crate::store::{self, Policy, Run, Status, Store};
use crate::turn::{Drain, Drained};
use crate::upstream::{AnyUpstream, Means, UpstreamKind};
use crate::wire::problem::Problem;
use std::rc::Rc;

/// What its platform and its app give for the upstream of a run.
impl<P: Platform> Means for Session<P> {
    type Http = P::Http;
    type Own = <P::App as App>::Upstream;

    fn network(&self) -> P::Http {
        self.platform.network()
    }

    fn demo_agent(&self) -> P::Http {
        self.platform.demo_agent()
    }

    fn key(&self) -> Option<String> {
        let key = read_upstream_key(&|name| self.platform.var(name));
        // A bad one was refused when the turn was accepted; a server that wants one says so itself.
        key.ok().flatten().map(|secret| secret.expose().to_owned())
    }

    fn own(&self, name: &str) -> Option<Self::Own> {
        let vars = |name: &str| self.platform.var(name);
        self.platform.app().upstream(name, &vars)
    }
}

impl<P: Platform> Session<P> {
    /// Takes the open run over if its drain is gone; the turn it took over.
    pub(super) async fn revive(
        self: &Rc<Self>,
        session: &store::Session,
    ) -> Result<Option<u64>, Problem> {
        let failed = |failure: store::Error| self.failed(&failure);
        let Some(run) = self.open_run(session).await.map_err(failed)? else {
            return Ok(None);
        };
        let is_due = self.is_due(&run).await.map_err(failed)?;
        if self.live(&run.run_id).is_some() {
            return Ok(None);
        }
        if !is_due {
            // Nothing is to be done before its deadline or its event; the alarm knows the deadline.
            return Ok(None);
        }
        // Occupied before the first await, so that two calls don't both take over.
        let live = Live::new(&run.run_id);
        self.live.replace(Some(Rc::clone(&live)));
        let turn = run.turn_index;
        match self.take_over(run, &live).await {
            Ok(()) => Ok(Some(turn)),
            Err(failure) => {
                live.end();
                Err(self.failed(&failure))
            }
        }
    }

    /// Whether an open run without a drain has to go on: a suspended one at its deadline, at an event,
    /// or when it is cancelled.
    async fn is_due(&self, run: &Run) -> Result<bool, store::Error> {
        match run.state.status {
            Status::Queued | Status::Running => Ok(true),
            Status::Completed | Status::Failed | Status::Cancelled => Ok(false),
            Status::Suspended => {
                let deadline = run.state.wake_at;
                if run.cancel.is_some() || deadline.is_some_and(|at| at <= self.now()) {
                    return Ok(true);
                }
                if self.rests.get() {
                    return Ok(false);
                }
                // An event that came just before the suspension has set no time, and whoever would
                // have seen it behind the suspension may have ended there.
                let has_event = self.store.has_awaited_event(&run.run_id).await?;
                self.rests.set(!has_event);
                Ok(has_event)
            }
        }
    }

    async fn take_over(self: &Rc<Self>, run: Run, live: &Rc<Live>) -> Result<(), store::Error> {
        self.rests.set(false);
        let token = self.token();
        self.store
            .acquire(&run.run_id, Policy::Sole, &token, self.now())
            .await?;
        self.arm().await?;
        self.store.sync().await?;
        let run = self
            .store
            .run(&run.run_id)
            .await?
            .ok_or(store::Error::Missing)?;
        self.log(About::Run(&run.run_id), Why::Resumed);
        self.taken.wake();
        self.drain(run, Rc::clone(live), false).await
    }

    /// The session's open run: only the last one can be.
    pub(super) async fn open_run(
        &self,
        session: &store::Session,
    ) -> Result<Option<Run>, store::Error> {
        let Some(last) = session.turn_count.checked_sub(1) else {
            return Ok(None);
        };
        let run = self
            .store
            .run(&ids::run_id(&session.session_key, last))
            .await?;
        Ok(run.filter(|run| !run.state.status.is_terminal()))
    }

    /// Starts the drain of a turn that this task has just stored.
    pub(super) async fn start_drain(self: &Rc<Self>, run: Run) -> Result<(), store::Error> {
        // Occupied before the first await: another request would find the turn orphaned.
        let live = Live::new(&run.run_id);
        self.live.replace(Some(Rc::clone(&live)));
        let started = self.drain_accepted(run, &live).await;
        if started.is_err() {
            // Nobody drains it: the next look takes it over.
            live.end();
        }
        started
    }

    async fn drain_accepted(
        self: &Rc<Self>,
        run: Run,
        live: &Rc<Live>,
    ) -> Result<(), store::Error> {
        self.store.sync().await?;
        self.drain(run, Rc::clone(live), true).await
    }

    async fn drain(
        self: &Rc<Self>,
        run: Run,
        live: Rc<Live>,
        accepted_here: bool,
    ) -> Result<(), store::Error> {
        let session_key = ids::session_key_of(&run.run_id).to_owned();
        let target: Target = serde_json::from_str(&run.upstream).map_err(|_| {
            store::Error::Corrupt(store::Corrupt {
                table: "runs",
                column: 8,
                key: run.run_id.clone(),
            })
        })?;
        let ask = ask(
            &self.store,
            &session_key,
            &run,
            target.resolved.model.as_deref(),
            &target.turn,
            &target.history,
        )
        .await?;
        if target.resolved.kind == UpstreamKind::Task {
            self.run_task(run, session_key, &target, ask, live);
            return Ok(());
        }
        let config = self.config();
        let drain = Drain {
            ports: self.platform.ports().clone(),
            store: self.store.clone(),
            upstream: self.upstream(&target),
            session_key,
            ask,
            settings: settings(
                &run,
                &target.turn,
                config.commit_window_ms,
                config.watchdog_ms,
            ),
            live,
            accepted_here,
            hooks: Rc::new(self.platform.app().hooks()),
            run,
        };
        self.keep_shipping();
        let session = Rc::clone(self);
        self.platform.ports().spawn(async move {
            let run_id = drain.run.run_id.clone();
            let drained = drain.run().await;
            session.drained(&run_id, &drained).await;
        });
        Ok(())
    }

    pub(super) fn upstream(&self, target: &Target) -> AnyUpstream {
        target.resolved.upstream(self).unwrap_or_else(|missing| {
            self.log(About::Upstream, Why::NoUpstream(&missing.name));
            AnyUpstream::new(missing)
        })
    }

    pub(super) async fn drained(self: &Rc<Self>, run_id: &str, drained: &Drained) {
        match drained {
            Drained::Finished(_) => {
                self.keep_shipping();
                self.keep_telling();
                self.arm_or_log().await;
            }
            Drained::Suspended => {
                self.rests.set(true);
                self.taken.wake();
                self.keep_shipping();
                self.arm_or_log().await;
            }
            Drained::Fenced => self.log(About::Run(run_id), Why::Fenced),
            // The alarm stands; it takes the run over.
            Drained::Stopped(failure) => self.log(About::Run(run_id), Why::Store(failure)),
        }
    }

    /// The object's alarm: sets the next one first, then starts what is due and waits for none of
    /// it.
    ///
    /// # Errors
    /// The platform fires it again after an error.
    pub async fn on_alarm(self: &Rc<Self>) -> Result<(), store::Error> {
        self.armed.set(None);
        if !self.ready.get() {
            if !self.store.has_schema().await? {
                return Ok(());
            }
            self.store.migrate(self.now()).await?;
        }
        let Some(session) = self.store.sole_session().await? else {
            return Ok(());
        };
        self.ready.set(true);
        self.arm().await?;
        self.look(&session).await;
        Ok(())
    }

    /// Looks at everything, as the alarm does.
    pub(super) async fn look(self: &Rc<Self>, session: &store::Session) {
        if session.deleted_at.is_some() {
            self.keep_erasing(&session.session_key);
        } else if let Err(problem) = self.revive(session).await {
            self.log(
                About::Session(&session.session_key),
                Why::Code(problem.code),
            );
        }
        self.keep_shipping();
        self.keep_telling();
        if let Err(failure) = self.retain().await {
            self.log(About::Session(&session.session_key), Why::Store(&failure));
        }
    }

    /// Lets logs go whose time is over, one bounded batch.
    async fn retain(&self) -> Result<(), store::Error> {
        let Ok(config) = &self.config else {
            return Ok(());
        };
        let kept_ms = config.retention_days.saturating_mul(caps::DAY_MS);
        let before = self.now().saturating_sub_unsigned(kept_ms);
        // Two statements a run, and the one that finds them.
        let runs = u32::try_from((caps::PASS_STATEMENTS - 1) / 2).unwrap_or(1);
        self.store.drop_logs(before, runs).await?;
        Ok(())
    }

    /// Sets the alarm for whatever is due first.
    pub(super) async fn arm(&self) -> Result<(), store::Error> {
        let now = self.now();
        let Some(session) = self.store.sole_session().await? else {
            return Ok(());
        };
        let config = self.config();
        let open = self.open_run(&session).await?;
        let suspended = open
            .as_ref()
            .filter(|run| run.state.status == Status::Suspended);
        // One whose drain is still here may be on its way to rest, and must not be lost there.
        let is_watched = suspended.is_none() || self.live_drain().is_some();
        let unshipped = !self.store.unshipped(1).await?.is_empty();
        let cancel_at = self
            .store
            .pending_cancels(caps::LIST_LIMIT)
            .await?
            .into_iter()
            .filter_map(|run| run.upstream_cancel.map(|cancel| cancel.next_at))
            .min();
        let retention_ms = config.retention_days.saturating_mul(caps::DAY_MS);
        let expires_at = self.store.oldest_log().await?;
        let expires_at = expires_at.map(|at| at.saturating_add_unsigned(retention_ms));
        // Nothing goes by a variable that can't be read.
        let log_expires_at = match self.config {
            Ok(_) => expires_at,
            Err(_) => {
                expires_at.map(|at| at.max(now.saturating_add_unsigned(caps::RETENTION_RETRY_MS)))
            }
        };
        let erasing = session.deleted_at.is_some() && !self.erased.get();
        let facts = Facts {
            open_run_within_ms: (open.is_some() && is_watched).then_some(config.watchdog_ms),
            // A cancel may have been stored just before the suspension, and a crash come behind both.
            wake_at: suspended
                .and_then(|run| run.cancel.as_ref().map_or(run.state.wake_at, |_| Some(now))),
            ship_at: unshipped.then(|| {
                let wait_ms = self.ship.retry_in_ms(now);
                now.saturating_add_unsigned(wait_ms.unwrap_or(config.ship_interval_ms))
            }),
            // A teller at work sets its own time; this is for the one that died.
            cancel_at: cancel_at.map(|at| at.max(now.saturating_add_unsigned(config.watchdog_ms))),
            erase_at: erasing.then(|| now.saturating_add_unsigned(caps::ERASE_RETRY_MS)),
            log_expires_at,
        };
        match next_alarm(now, &facts) {
            // A pass is bounded; the rest of what has expired follows a moment later.
            Some(at) => {
                self.arm_at(at.max(now.saturating_add_unsigned(caps::ALARM_LEAST_MS)))
                    .await
            }
            None => Ok(()),
        }
    }

    /// As [`Session::arm`], where nobody waits for the outcome; the alarm that stands looks again.
    pub(super) async fn arm_or_log(&self) {
        if let Err(failure) = self.arm().await {
            self.log(About::Alarm, Why::Store(&failure));
        }
    }

    /// Sets the alarm unless an earlier one stands.
    pub(super) async fn arm_at(&self, at: i64) -> Result<(), store::Error> {
        let now = self.now();
        let armed = match self.armed.get() {
            Some(armed) => Some(armed),
            None => {
                let read = self.platform.alarm().await?;
                // Somebody else may have set it meanwhile, for an earlier time.
                self.armed.get().or(read)
            }
        };
        if !must_set(now, armed, at) {
            self.armed.set(armed);
            return Ok(());
        }
        self.armed.set(Some(at));
        let set = self.platform.set_alarm(at).await;
        if set.is_err() {
            self.armed.set(None);
        }
        Ok(set?)
    }
}
