//! What lies between the upstream's last frame and the turn's end: the hooks.
//!
//! Owns their order, the durable mark that the upstream has said all, and the tries to have the
//! answer saved. Invariant: no turn is completed unless it was saved, where its hooks save; a try
//! whose outcome is unknown counts as one that failed; and nothing gives a try back.

use super::budget::Backoff;
use super::hooks::within;
use super::{Fact, FinishedTurn, HookError, Hooks, Loop, current_attempt};
use crate::caps;
use crate::ports::Ports;
use crate::store::{self, Step, StepDetail, StepFailure, Store};
use crate::upstream::Upstream;
use crate::wire::code::Code;
use crate::wire::line;
use futures::future::{Either, select};
use std::pin::pin;
use std::rc::Rc;

/// The step in which an answer is saved.
const SAVING: u32 = 1;

impl<P: Ports, S: Store + Clone, U: Upstream, H: Hooks> Loop<P, S, U, H> {
    /// Learns what a drain before this one came to.
    pub(super) async fn recall(&mut self) -> Result<(), store::Error> {
        if self.drain.accepted_here {
            return Ok(());
        }
        let run_id = &self.drain.run.run_id;
        let steps = self.drain.store.steps(run_id, 0, SAVING + 1).await?;
        self.drained = steps
            .iter()
            .any(|step| step.index == 0 && step.status == "completed");
        if self.drain.hooks.persists() {
            self.saving = steps.into_iter().find(|step| step.index == SAVING);
        }
        Ok(())
    }

    /// Takes a drained stream through the hooks.
    pub(super) async fn settle(&mut self) -> Result<Fact, store::Error> {
        if self.drain.hooks.transforms_text() && !self.log.buffer().is_settled() {
            match self.transform().await {
                Ok(text) => self.log.write(|log| log.settle(&text)),
                Err(fact) => return Ok(fact),
            }
        }
        let done = self.finished();
        if self.drain.hooks.persists()
            && let Some(fact) = self.persist(&done).await?
        {
            return Ok(fact);
        }
        let completing = self.drain.hooks.on_turn_complete(&done);
        if let Err(failure) = within(&self.drain.ports, caps::HOOK_MS, completing).await {
            self.hook_failed("on_turn_complete", &failure);
        }
        Ok(Fact::Settled)
    }

    fn finished(&self) -> FinishedTurn {
        FinishedTurn {
            turn: self.turn.clone(),
            text: String::from_utf16_lossy(&self.text()),
            usage: self.log.buffer().transcript().usage().map(str::to_owned),
            attempt: current_attempt(&self.drain.run.state),
        }
    }

    /// The transformed text, or why there is none. Takes as long as the turn may.
    async fn transform(&self) -> Result<String, Fact> {
        let text = String::from_utf16_lossy(&self.log.buffer().transcript().units());
        let mut call = pin!(self.drain.hooks.transform_final_text(&self.turn, text));
        loop {
            let pause = pin!(self.pause(u64::MAX));
            match select(call.as_mut(), pause).await {
                Either::Left((Ok(text), _)) => return Ok(text),
                Either::Left((Err(failure), _)) => {
                    self.hook_failed("transform_final_text", &failure);
                    return Err(Fact::NotTransformed);
                }
                Either::Right((Some(fact), _)) => return Err(fact),
                Either::Right((None, _)) => {}
            }
        }
    }

    /// Has the answer saved; a fact when it isn't.
    async fn persist(&mut self, done: &FinishedTurn) -> Result<Option<Fact>, store::Error> {
        let mut saving = match self.saving.take() {
            Some(saving) => {
                let cut_short = HookError::new("its outcome is unknown");
                self.again(saving, Code::Interrupted, &cut_short).await?
            }
            None => Some(self.begin_saving().await?),
        };
        while let Some(step) = saving.take() {
            if let Some(fact) = self.wait_for(&step).await {
                self.saving = Some(step);
                return Ok(Some(fact));
            }
            let hooks = Rc::clone(&self.drain.hooks);
            // A cancel waits for a try under way: whether it saves something decides who was first.
            let saved = within(&self.drain.ports, caps::PERSIST_TRY_MS, hooks.persist(done));
            match saved.await {
                Ok(()) => {
                    self.saving = Some(step);
                    return Ok(None);
                }
                Err(failure) => {
                    self.hook_failed("persist", &failure);
                    saving = self.again(step, Code::Failed, &failure).await?;
                }
            }
        }
        Ok(Some(Fact::NotPersisted))
    }

    /// Makes durable that the upstream has said all, before anything relies on it.
    async fn begin_saving(&mut self) -> Result<Step, store::Error> {
        let now = self.now();
        let mut state = self.drain.run.state.clone();
        state.line_count = self.log.buffer().next_seq();
        let turn = self.step(&state, "completed", now);
        let saving = Step {
            index: SAVING,
            intent: "persist".to_owned(),
            kind: "logic".to_owned(),
            status: "running".to_owned(),
            attempts: 1,
            result: None,
            error: None,
            rev: 0,
            started_at: now,
            completed_at: None,
            detail: StepDetail::default(),
        };
        self.commit(vec![turn, saving.clone()], None).await?;
        self.drained = true;
        Ok(saving)
    }

    /// Notes a failed try; the step as it is for the next one, `None` when there is none. The last
    /// failure is written with the turn's end.
    async fn again(
        &mut self,
        mut step: Step,
        code: Code,
        failure: &HookError,
    ) -> Result<Option<Step>, store::Error> {
        let now = self.now();
        let is_last = step.attempts >= caps::PERSIST_TRIES;
        let chance = self.drain.ports.random() as u64;
        let wait_ms = Backoff.wait_ms(step.attempts, 0, chance);
        step.detail.failures.push(StepFailure {
            attempt: step.attempts,
            run_attempt: current_attempt(&self.drain.run.state),
            code: code.name().to_owned(),
            author: false,
            message: words(failure),
            at: now,
            retry_at: (!is_last).then(|| now.saturating_add_unsigned(wait_ms)),
        });
        if is_last {
            self.saving = Some(step);
            return Ok(None);
        }
        step.attempts += 1;
        self.commit(vec![step.clone()], None).await?;
        Ok(Some(step))
    }

    /// Waits until the step's next try is due; a fact when the turn ends before it.
    async fn wait_for(&self, step: &Step) -> Option<Fact> {
        let due = step.detail.failures.last().and_then(|last| last.retry_at);
        loop {
            let left = due.map_or(0, |at| at.saturating_sub(self.now()));
            let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else {
                return self.interruption();
            };
            if let Some(fact) = self.pause(left).await {
                return Some(fact);
            }
        }
    }

    /// Tells the hooks of lines that are durable.
    pub(super) async fn show(&mut self, lines: &str) {
        let run = &self.drain.run;
        // The turn was accepted with its first line, before there was anyone to tell.
        let first = std::mem::take(&mut self.first_unseen)
            .then(|| line::started(0, &run.session, &run.tenant, run.turn_index, &run.run_id));
        let hooks = &self.drain.hooks;
        let telling = async {
            for line in first.iter().map(String::as_str).chain(lines.lines()) {
                if let Err(failure) = hooks.on_event(&self.turn, line).await {
                    self.hook_failed("on_event", &failure);
                }
            }
            Ok(())
        };
        if let Err(failure) = within(&self.drain.ports, caps::HOOK_MS, telling).await {
            self.hook_failed("on_event", &failure);
        }
    }

    fn hook_failed(&self, hook: &'static str, failure: &HookError) {
        let drain = &self.drain;
        super::hook_failed(&drain.ports, &*drain.hooks, &self.turn, hook, failure);
    }
}

/// A hook's words, cut to what is kept of them.
pub(super) fn words(failure: &HookError) -> String {
    let message = failure.message.chars();
    message.take(caps::HOOK_MESSAGE_CHARS).collect()
}
