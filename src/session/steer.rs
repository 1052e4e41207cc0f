//! Steering a turn: cancel, poke, events; and deleting a session.
//!
//! Invariant: a caller is told only what is durable. A disconnect never comes here.

use super::read::{public_event, public_run};
use super::{Caller, Platform, Reply, Session};
use crate::api::{Answer, PublicEmitted};
use crate::caps;
use crate::ids::EventKey;
use crate::log::Stop;
use crate::ops::{About, Why};
use crate::ports::Timer;
use crate::store::{self, Cancel, Run, Status, Store};
use crate::wire::problem::Problem;
use futures::future::{Either, select};
use std::pin::pin;
use std::rc::Rc;

fn shown<P: Platform>(status: u16, run: Run) -> Reply<P> {
    let answer = Answer::Turn(Box::new(public_run(run, None)));
    Reply::Answer { status, answer }
}

impl<P: Platform> Session<P> {
    pub(super) async fn cancel(
        self: &Rc<Self>,
        caller: &Caller,
        turn: u64,
        reason: Option<String>,
    ) -> Result<Reply<P>, Problem> {
        let session = self.existing(caller).await?;
        let session = session
            .filter(|session| session.deleted_at.is_none())
            .ok_or_else(Problem::not_found)?;
        let run = self.run_at(&session.session_key, turn).await?;
        if run.state.status.is_terminal() {
            return Ok(shown(200, run));
        }
        self.stop(&session, &run, reason).await?;
        let run = self.run_at(&session.session_key, turn).await?;
        Ok(shown(202, run))
    }

    /// Makes the intent durable, then has the drain act on it.
    async fn stop(
        self: &Rc<Self>,
        session: &store::Session,
        run: &Run,
        reason: Option<String>,
    ) -> Result<(), Problem> {
        let failed = |failure: store::Error| self.failed(&failure);
        self.arm_for_news(run).await?;
        let cancel = Cancel {
            reason,
            at: self.now(),
        };
        let open = self
            .store
            .request_cancel(&run.run_id, &cancel)
            .await
            .map_err(failed)?;
        self.store.sync().await.map_err(failed)?;
        if !open {
            return Ok(());
        }
        // The first reason stands, whoever gave it.
        let kept = self.store.run(&run.run_id).await.map_err(failed)?;
        let reason = kept.and_then(|run| run.cancel).and_then(|c| c.reason);
        match self.live(&run.run_id) {
            Some(live) => live.stop(Stop::Cancel(reason)),
            // Nobody drains it: whoever takes it over finds the intent first.
            None => {
                self.revive(session).await?;
            }
        }
        Ok(())
    }

    /// Cancels a turn and returns when it is over.
    pub(super) async fn cancel_and_wait(
        self: &Rc<Self>,
        caller: &Caller,
        turn: u64,
        reason: Option<&str>,
    ) -> Result<(), Problem> {
        let Some(session) = self.existing(caller).await? else {
            return Ok(());
        };
        let run = self.run_at(&session.session_key, turn).await?;
        if run.state.status.is_terminal() {
            return Ok(());
        }
        self.stop(&session, &run, reason.map(str::to_owned)).await?;
        let mut patience = pin!(self.platform.ports().sleep(caps::CANCEL_WAIT_MS));
        loop {
            let live = self.live(&run.run_id);
            let since = live.as_ref().map(|live| live.changed().generation());
            let now = self.run_at(&session.session_key, turn).await?;
            if now.state.status.is_terminal() {
                return Ok(());
            }
            let (Some(live), Some(since)) = (live, since) else {
                return Err(Problem::session_unavailable());
            };
            let changed = live.changed().changed(since);
            if let Either::Right(_) = select(changed, patience.as_mut()).await {
                return Err(Problem::session_unavailable());
            }
        }
    }

    pub(super) async fn poke(
        self: &Rc<Self>,
        caller: &Caller,
        turn: u64,
    ) -> Result<Reply<P>, Problem> {
        let session = self
            .existing(caller)
            .await?
            .filter(|session| session.deleted_at.is_none())
            .ok_or_else(Problem::not_found)?;
        let run = self.run_at(&session.session_key, turn).await?;
        // A suspended run is to be looked at when it says, not after every look.
        if matches!(run.state.status, Status::Queued | Status::Running) {
            // A turn that has nothing to ship would be poked again and again.
            let now = self.now();
            let wake_at = now.saturating_add_unsigned(self.look_again_ms());
            let looked = self.store.looked_at(&run.run_id, wake_at, now).await;
            looked.map_err(|failure| self.failed(&failure))?;
        }
        self.look(&session).await;
        Ok(shown(202, run))
    }

    pub(super) async fn emit(
        self: &Rc<Self>,
        caller: &Caller,
        turn: u64,
        key: &EventKey,
        payload: &str,
    ) -> Result<Reply<P>, Problem> {
        let session = self.present(caller).await?;
        let run = self.run_at(&session.session_key, turn).await?;
        self.arm_for_news(&run).await?;
        let emitted = self
            .store
            .emit_event(&run.run_id, key.as_str(), payload, self.now())
            .await
            .map_err(|failure| match failure {
                store::Error::Fenced => Problem::turn_finished(),
                failure => self.failed(&failure),
            })?;
        let synced = self.store.sync().await;
        synced.map_err(|failure| self.failed(&failure))?;
        self.tell_event(&session, &run.run_id).await;
        if emitted.accepted {
            self.keep_shipping();
        }
        Ok(Reply::Answer {
            status: if emitted.accepted { 201 } else { 200 },
            answer: Answer::Emitted(PublicEmitted {
                accepted: emitted.accepted,
                record: public_event(emitted.record),
            }),
        })
    }

    /// An event or a cancel makes a suspended run due; an end of this life right behind it must not
    /// leave it so.
    async fn arm_for_news(&self, run: &Run) -> Result<(), Problem> {
        if run.state.status != Status::Suspended {
            return Ok(());
        }
        let soon = self.now().saturating_add_unsigned(caps::ALARM_LEAST_MS);
        let armed = self.arm_at(soon).await;
        armed.map_err(|failure| self.failed(&failure))
    }

    /// Has whoever waits for an event look: the drain that is here, or one that takes the run over.
    /// The event is durable, so a failure leaves it to the alarm.
    async fn tell_event(self: &Rc<Self>, session: &store::Session, run_id: &str) {
        match self.live(run_id) {
            Some(live) => live.event(),
            None => {
                if let Err(problem) = self.revive(session).await {
                    self.log(About::Run(run_id), Why::Code(problem.code));
                }
            }
        }
    }
}
