//! A new life of a session's object: from its own storage, or out of D1.
//!
//! Owns the decision which it is, and the taking over from the life before. Invariant: before its
//! first decision an object knows all that was ever accepted for its session, and the life before
//! can write to D1 no more.

use super::{Platform, Session};
use crate::caps;
use crate::ops::{About, Why};
use crate::store::{self, Hydration, LogHome, Store, Unshipped};
use crate::wire::problem::Problem;
use std::rc::Rc;

/// Lets the next one try when a load ends, however it does.
struct Loading<'a, P: Platform>(&'a Session<P>);

impl<P: Platform> Drop for Loading<'_, P> {
    fn drop(&mut self) {
        self.0.loading.set(false);
        self.0.loaded.wake();
    }
}

impl<P: Platform> Session<P> {
    /// Whether the session exists, tombstones included; its storage is alive then.
    pub(super) async fn ready(self: &Rc<Self>, session_key: &str) -> Result<bool, Problem> {
        loop {
            if self.ready.get() {
                return Ok(true);
            }
            let since = self.loaded.generation();
            if !self.loading.replace(true) {
                break;
            }
            self.loaded.changed(since).await;
        }
        let _loading = Loading(self);
        let found = self.load(session_key).await;
        let found = found.map_err(|failure| self.failed(&failure))?;
        self.ready.set(found);
        Ok(found)
    }

    async fn load(&self, session_key: &str) -> Result<bool, store::Error> {
        if self.store.has_schema().await? {
            self.store.migrate(self.now()).await?;
            if self.store.sole_session().await?.is_some() {
                // The platform drops an alarm that failed too often; what it was for is still to be done.
                if self.platform.alarm().await?.is_none() {
                    self.arm().await?;
                }
                return Ok(true);
            }
        }
        self.hydrate(session_key).await
    }

    /// Loads the session from D1, if D1 has it.
    async fn hydrate(&self, session_key: &str) -> Result<bool, store::Error> {
        // A new session's first token waits for this read, so it isn't preceded by another one that
        // asks for the schema's version; where there is no schema yet it fails and is repeated.
        let before = match self.durable.session(session_key).await {
            Ok(before) => before,
            Err(_) => self.durable().await?.session(session_key).await?,
        };
        let Some(before) = before else {
            return Ok(false);
        };
        let durable = self.durable().await?;
        // While D1 was read, another instance may have got the storage, and have shipped since. One
        // that can't write there any more must not take the session away from it.
        self.store.migrate(self.now()).await?;
        self.store.forget().await?;
        self.store.sync().await?;
        let birth = self.token();
        // From here on the life before can ship nothing: what is read below stays true.
        if !durable.claim(session_key, &before.birth, &birth).await? {
            return Err(store::Error::Fenced);
        }
        let claimed = durable
            .session(session_key)
            .await?
            .ok_or(store::Error::Missing)?;
        self.hydrate_runs(session_key).await?;
        self.hydrate_messages(session_key).await?;
        // An alarm that finds no session costs a look; a session without one may wait for the cron.
        let now = self.now();
        self.arm_at(now.saturating_add_unsigned(self.look_again_ms()))
            .await?;
        // The session's row comes last: without it the storage counts as empty.
        self.store
            .hydrate(session_key, &Hydration::default(), Some(&claimed))
            .await?;
        self.arm().await?;
        self.store.sync().await?;
        self.log(About::Session(session_key), Why::Rehydrated);
        Ok(true)
    }

    async fn hydrate_runs(&self, session_key: &str) -> Result<(), store::Error> {
        let durable = self.durable().await?;
        let mut after: Option<String> = None;
        loop {
            let mut runs = durable
                .hydration_runs(session_key, after.as_deref(), caps::HYDRATION_ROWS)
                .await?;
            let Some(last) = runs.last() else {
                return Ok(());
            };
            after = Some(last.run_id.clone());
            let mut part = Hydration::default();
            for run in &mut runs {
                if run.state.status.is_terminal() {
                    continue;
                }
                // The open run goes on here, so all of it comes along.
                run.log_home = LogHome::Object;
                self.hydrate_open(&run.run_id, &mut part).await?;
                part.unshipped.push(Unshipped {
                    run_id: run.run_id.clone(),
                    rev: run.rev,
                    lines: run.state.line_count,
                });
            }
            part.runs = runs;
            self.store.hydrate(session_key, &part, None).await?;
        }
    }

    async fn hydrate_open(&self, run_id: &str, part: &mut Hydration) -> Result<(), store::Error> {
        let durable = self.durable().await?;
        let mut next_seq = 0;
        loop {
            let page = durable.log(run_id, next_seq, caps::LOG_PAGE_ROWS).await?;
            let before = next_seq;
            for row in page {
                if row.first_seq >= before {
                    next_seq = row.next_seq();
                    part.log.push((run_id.to_owned(), row));
                }
            }
            if next_seq == before {
                break;
            }
        }
        let mut from = 0;
        loop {
            let steps = durable.steps(run_id, from, caps::LIST_LIMIT).await?;
            let Some(last) = steps.last() else { break };
            from = last.index.saturating_add(1);
            part.steps
                .extend(steps.into_iter().map(|step| (run_id.to_owned(), step)));
        }
        let mut since = 0;
        loop {
            let events = durable
                .events_since(run_id, since, caps::LIST_LIMIT)
                .await?;
            let Some(last) = events.last() else { break };
            since = last.rev;
            part.events
                .extend(events.into_iter().map(|event| (run_id.to_owned(), event)));
        }
        Ok(())
    }

    async fn hydrate_messages(&self, session_key: &str) -> Result<(), store::Error> {
        let durable = self.durable().await?;
        let mut after = None;
        loop {
            let messages = durable
                .messages(session_key, after, caps::HYDRATION_ROWS)
                .await?;
            let Some(last) = messages.last() else {
                return Ok(());
            };
            after = Some((last.turn_index, last.role));
            let part = Hydration {
                messages,
                ..Hydration::default()
            };
            self.store.hydrate(session_key, &part, None).await?;
        }
    }
}
