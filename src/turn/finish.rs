//! What a drain makes durable: groups of lines, new attempts, and the one commit that ends a turn.
//!
//! Owns the records of those commits. When one is made is decided in `mod.rs`. Invariant: followers
//! are woken, and hooks told of a line, only once it is durable.

use super::{Ending, Loop, current_attempt};
use crate::ids;
use crate::log::{Ended, own_step, step_error};
use crate::ports::Ports;
use crate::store::{
    self, Attempt, Changes, Fence, Handle, RunState, Status, Step, Store, Transition,
    UpstreamCancel,
};
use crate::turn::Hooks;
use crate::upstream::Upstream;
use crate::wire::line;

impl<P: Ports, S: Store, U: Upstream, H: Hooks> Loop<P, S, U, H> {
    pub(super) async fn flush(&mut self) -> Result<(), store::Error> {
        if self.buffer.bytes() > 0 {
            self.commit(vec![], None).await?;
        }
        Ok(())
    }

    /// Commits the buffered lines, with a transition when one is given, and wakes followers.
    pub(super) async fn commit(
        &mut self,
        steps: Vec<Step>,
        transition: Option<Transition>,
    ) -> Result<(), store::Error> {
        let drain = &self.drain;
        let attempt = current_attempt(&drain.run.state);
        let expect = self.buffer.committed_seq();
        let bytes = self.buffer.bytes();
        let changes = Changes {
            lines: self.buffer.lines(attempt),
            steps,
            transition: transition.map(Box::new),
        };
        let fence = Fence {
            epoch: drain.run.epoch,
        };
        let now = drain.ports.now_ms();
        drain
            .store
            .commit(
                &drain.session_key,
                &drain.run.run_id,
                fence,
                expect,
                &changes,
                now,
            )
            .await?;
        drain.store.sync().await?;
        self.buffer.committed();
        let committed_at = drain.ports.now_ms();
        self.policy.committed(now, committed_at);
        let transitioned = changes.transition.is_some();
        if let Some(transition) = changes.transition {
            self.drain.run.state = transition.state;
        }
        self.drain.live.committed(bytes, transitioned);
        if let Some(lines) = changes.lines {
            self.show(&lines.text).await;
        }
        Ok(())
    }

    pub(super) async fn restart(&mut self, attempt: u32, reason: &str) -> Result<(), store::Error> {
        // The old attempt's lines are its own row, so that its frame ids are not the new one's.
        self.flush().await?;
        self.log(&Status::Running, reason);
        let now = self.now();
        let seq = self.buffer.next_seq();
        self.buffer.restart();
        self.buffer.push_own(line::restarted(seq, attempt, reason));
        let run = &self.drain.run;
        let mut state = run.state.clone();
        state.attempts.push(Attempt {
            number: attempt,
            reason: reason.to_owned(),
            started_at: now,
        });
        state.handle = Some(Handle::new(
            ids::execution_id(&run.run_id, attempt),
            attempt,
        ));
        state.line_count = self.buffer.next_seq();
        state.wake_at = Some(now.saturating_add_unsigned(self.drain.settings.watchdog_ms));
        // The row that opens the new attempt belongs to it.
        self.drain.run.state.attempts.clone_from(&state.attempts);
        let transition = Transition {
            state,
            message: None,
            upstream_cancel: None,
        };
        self.commit(vec![], Some(transition)).await
    }

    pub(super) async fn finish(&mut self, ending: Ending) -> Result<Status, store::Error> {
        let now = self.now();
        let (ended, stop_upstream) = match &ending {
            Ending::Completed => (Ended::Completed, false),
            Ending::Failed {
                code,
                message,
                stop_upstream,
            } => (Ended::Failed { code, message }, *stop_upstream),
            Ending::Cancelled { reason } => {
                let reason = reason.as_deref();
                (Ended::Cancelled { reason }, true)
            }
        };
        let status = ended.status();
        ended.write(&mut self.buffer, &self.drain.run.session);
        self.log(&status, ended.why());
        let text = self.text();
        let state = ended.state(&self.drain.run.state, &self.buffer, text.len(), now);
        let steps = self.last_steps(&state, now);
        let transition = Transition {
            message: Some(ended.message(self.drain.run.turn_index, &text, now)),
            upstream_cancel: self.upstream_cancel(stop_upstream, now),
            state,
        };
        self.commit(steps, Some(transition)).await?;
        Ok(status)
    }

    /// The answer as it may be kept: what was held back and never transformed is not.
    pub(super) fn text(&self) -> Vec<u16> {
        if self.drain.hooks.transforms_text() && !self.buffer.is_settled() {
            return Vec::new();
        }
        self.buffer.transcript().units()
    }

    /// The turn's own step, unless it stands, and that of its saving, if it came to that.
    fn last_steps(&mut self, state: &RunState, now: i64) -> Vec<Step> {
        let completed = state.status == Status::Completed;
        let status = if completed { "completed" } else { "failed" };
        let error = (!completed).then(|| step_error(state));
        let mut steps = Vec::with_capacity(2);
        if !self.drained {
            steps.push(Step {
                error: error.clone(),
                ..self.step(state, status, now)
            });
        }
        if let Some(saving) = self.saving.take() {
            steps.push(Step {
                status: status.to_owned(),
                error,
                completed_at: Some(now),
                ..saving
            });
        }
        steps
    }

    /// The turn's own step, over.
    pub(super) fn step(&self, state: &RunState, status: &str, now: i64) -> Step {
        own_step(state, status, self.drain.run.created_at, now)
    }

    fn upstream_cancel(&self, stop: bool, now: i64) -> Option<UpstreamCancel> {
        // Where closing the connection is the cancel, there is nobody to tell.
        (stop && self.drain.upstream.capabilities().resumable).then(|| UpstreamCancel {
            execution_id: ids::execution_id(
                &self.drain.run.run_id,
                current_attempt(&self.drain.run.state),
            ),
            tries: 0,
            next_at: now,
        })
    }
}
