//! Deleting a session: a tombstone at once, then the erasure of everything behind it.
//!
//! Owns the order: nobody reads it any more, its open turn is cancelled and the upstream told, then
//! the object's content goes, then D1's. Invariant: the turn count outlives it, so no index and no
//! execution id is used twice.

use super::{Caller, Platform, Reply, Session};
use crate::api::Answer;
use crate::caps;
use crate::ops::{About, Why};
use crate::ports::{Spawn, Timer};
use crate::store::{self, Store};
use crate::wire::problem::Problem;
use std::rc::Rc;

impl<P: Platform> Session<P> {
    pub(super) async fn delete(self: &Rc<Self>, caller: &Caller) -> Result<Reply<P>, Problem> {
        let failed = |failure: store::Error| self.failed(&failure);
        let session = self.present(caller).await?;
        let session_key = session.session_key.clone();
        if let Some(run) = self.open_run(&session).await.map_err(failed)? {
            self.cancel_and_wait(caller, run.turn_index, Some("the session was deleted"))
                .await?;
        }
        self.erased.set(false);
        let now = self.now();
        // The alarm first: it finishes an erasure that this life doesn't.
        let erase_at = now.saturating_add_unsigned(caps::ERASE_RETRY_MS);
        self.arm_at(erase_at).await.map_err(failed)?;
        self.store.bury(&session_key, now).await.map_err(failed)?;
        self.store.sync().await.map_err(failed)?;
        self.keep_erasing(&session_key);
        Ok(Reply::Answer {
            status: 202,
            answer: Answer::Deleted,
        })
    }

    /// Starts the erasure unless it is under way.
    pub(super) fn keep_erasing(self: &Rc<Self>, session_key: &str) {
        if self.erased.get() || self.erasing.replace(true) {
            return;
        }
        let session = Rc::clone(self);
        let session_key = session_key.to_owned();
        self.platform.ports().spawn(async move {
            if let Err(failure) = session.erase(&session_key).await {
                session.log(About::Session(&session_key), Why::Store(&failure));
            }
            session.erasing.set(false);
        });
    }

    /// Finishes the erasure before a new turn begins under the tombstone.
    pub(super) async fn finish_erasure(self: &Rc<Self>, session_key: &str) -> Result<(), Problem> {
        if self.erased.get() {
            return Ok(());
        }
        if self.erasing.replace(true) {
            // The task at work needs moments; the client asks again.
            return Err(Problem::session_unavailable());
        }
        let erased = self.erase(session_key).await;
        self.erasing.set(false);
        erased.map_err(|failure| self.failed(&failure))
    }

    async fn erase(self: &Rc<Self>, session_key: &str) -> Result<(), store::Error> {
        self.wait_for_cancels().await?;
        let Some(session) = self.store.session(session_key).await? else {
            return Ok(());
        };
        // What is in the object goes first: a ship could bring it back to D1.
        self.store.forget_content().await?;
        self.ship.forget();
        self.store.sync().await?;
        let durable = self.durable().await?;
        durable.set_tombstone(&session, self.now()).await?;
        // Four statements a run and one for the messages.
        let runs = u32::try_from(caps::PASS_STATEMENTS / 4 - 1).unwrap_or(1);
        while durable
            .erase_runs(session_key, session.first_turn, runs)
            .await?
            > 0
        {}
        self.erased.set(true);
        Ok(())
    }

    /// Gives the upstream a moment to be told; what it can't be told by then is given up with the
    /// session.
    async fn wait_for_cancels(self: &Rc<Self>) -> Result<(), store::Error> {
        self.keep_telling();
        for _ in 0..caps::ERASE_CANCEL_CHECKS {
            if self.store.pending_cancels(1).await?.is_empty() {
                return Ok(());
            }
            self.platform
                .ports()
                .sleep(caps::ERASE_CANCEL_CHECK_MS)
                .await;
        }
        Ok(())
    }
}
