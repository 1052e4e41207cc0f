//! What a drain makes durable: groups of lines, new attempts, and the one commit that ends a turn.
//!
//! Owns the records of those commits. When one is made is decided in `mod.rs`. Invariant: followers
//! are woken, and hooks told of a line, only once it is durable.

use super::{Ending, Loop, current_attempt};
use crate::ids;
use crate::log::{Ended, Shown, own_step, step_error};
use crate::ops::Why;
use crate::ports::Ports;
use crate::store::{
    self, Attempt, Handle, RunState, Status, Step, Store, Transition, UpstreamCancel,
};
use crate::turn::Hooks;
use crate::upstream::Upstream;
use crate::wire::code::FailureCode;
use crate::wire::line;

impl<P: Ports, S: Store + Clone, U: Upstream, H: Hooks> Loop<P, S, U, H> {
    pub(super) async fn flush(&mut self) -> Result<(), store::Error> {
        let bytes = self.log.buffer().bytes();
        if bytes > 0 {
            self.commit(vec![], None).await?;
        }
        Ok(())
    }

    /// Commits the buffered lines, with a transition when one is given, and shows them once they are
    /// durable.
    pub(super) async fn commit(
        &mut self,
        steps: Vec<Step>,
        transition: Option<Transition>,
    ) -> Result<(), store::Error> {
        let attempt = current_attempt(&self.drain.run.state);
        let group = self.log.store(attempt, steps, transition).await?;
        self.log.show(&group, Shown::Durable).await?;
        if let Some(transition) = group.changes.transition {
            self.drain.run.state = transition.state;
        }
        if let Some(lines) = group.changes.lines {
            self.show(&lines.text).await;
        }
        Ok(())
    }

    pub(super) async fn restart(&mut self, attempt: u32, reason: &str) -> Result<(), store::Error> {
        // The old attempt's lines are its own row, so that its frame ids are not the new one's.
        self.flush().await?;
        self.log(Status::Running, Why::Restarted(reason));
        let now = self.now();
        let end = self.log.write(|log| {
            let seq = log.next_seq();
            log.restart();
            log.push_own(line::restarted(seq, attempt, reason));
            log.next_seq()
        });
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
        state.line_count = end;
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
        let our_code;
        let (ended, stop_upstream) = match &ending {
            Ending::Completed => (Ended::Completed, false),
            Ending::Failed {
                code,
                message,
                stop_upstream,
            } => {
                our_code = FailureCode::Ours(*code);
                let code = &our_code;
                (Ended::Failed { code, message }, *stop_upstream)
            }
            Ending::Cancelled { reason } => {
                let reason = reason.as_deref();
                (Ended::Cancelled { reason }, true)
            }
        };
        let status = ended.status();
        let session = &self.drain.run.session;
        self.log.write(|log| ended.write(log, session));
        self.log(status, ended.why());
        let text = self.text();
        let state = ended.state(&self.drain.run.state, &self.log.buffer(), text.len(), now);
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
        if self.drain.hooks.transforms_text() && !self.log.buffer().is_settled() {
            return Vec::new();
        }
        self.log.buffer().transcript().units()
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
