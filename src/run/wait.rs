//! Waits of a body: for an event, or for a time.
//!
//! Owns the way of one wait: its deadline, its looks at the store, its end in the record. When a run
//! is suspended is `drive`'s. Invariant: a deadline is set once and recorded before anything waits
//! for it, and an event counts that was emitted by then, whenever it is looked at.

use super::error::{Error, Stop};
use super::journal::{Journal, Waiting};
use super::lines::QueuedLine;
use super::ops::{By, RunContext, error_json, event_key, read};
use super::replay::{COMPLETED, FAILED, RUNNING, Recall};
use super::step::StepKind;
use super::workspace::Workspace;
use crate::ids::EventKey;
use crate::ports::Ports;
use crate::store::patiently;
use crate::store::{Step, StepFailure, Store};
use serde::de::DeserializeOwned;

/// What a wait waits for.
pub(super) enum Until<'a> {
    Event {
        key: &'a EventKey,
        timeout_ms: Option<u64>,
    },
    Time(i64),
}

impl Until<'_> {
    fn intent(&self) -> String {
        match self {
            Until::Event { key, .. } => format!("event:{key}"),
            Until::Time(_) => "sleep".to_owned(),
        }
    }

    const fn kind(&self) -> StepKind {
        match self {
            Until::Event { .. } => StepKind::Event,
            Until::Time(_) => StepKind::Deterministic,
        }
    }

    /// What lines call it.
    fn told_as(&self, step: &Step) -> String {
        match (self, &step.detail.name) {
            (Until::Event { key, .. }, _) => key.as_str().to_owned(),
            (Until::Time(_), Some(name)) => format!("sleep:{name}"),
            (Until::Time(_), None) => format!("sleep:{}", step.index),
        }
    }

    /// Set once, when the wait begins.
    fn deadline(&self, now: i64) -> Option<i64> {
        match self {
            Until::Event { timeout_ms, .. } => {
                timeout_ms.map(|timeout_ms| now.saturating_add_unsigned(timeout_ms))
            }
            Until::Time(at) => Some(*at),
        }
    }
}

impl<P: Ports, S: Store + Clone, W: Workspace> RunContext<P, S, W> {
    /// Waits; the event's payload, or `null` of a time.
    pub(super) async fn wait(&self, by: By<'_>, until: Until<'_>) -> Result<String, Error> {
        let journal = self.journal();
        let intent = until.intent();
        let (place, index) = self.enter(by, &intent)?;
        let active = self.activate();
        let mut step = match self.recall(&place, index, &intent, None).await? {
            Recall::Result(text) => return Ok(text),
            Recall::Failed(_) => return Err(timed_out(&until)),
            Recall::Again(step) if step.status == RUNNING => *step,
            // One that timed out in an earlier attempt of the run begins anew.
            Recall::Again(step) => Step {
                status: RUNNING.to_owned(),
                error: None,
                completed_at: None,
                ..*step
            },
            Recall::Begin => self.begin(index, by, &intent, until.kind()),
        };
        let mut is_begun = journal.is_under_way(index);
        if !is_begun {
            step.attempts += 1;
            step.detail.deadline = until.deadline(journal.now());
        }
        let mut active = Some(active);
        loop {
            let seen = journal.tick.generation();
            if let Some(over) = self.look(&mut step, &until).await {
                return over;
            }
            if !is_begun {
                is_begun = true;
                journal.put(step.clone(), vec![]).await;
                continue;
            }
            let waiting = Waiting {
                key: until.told_as(&step),
                deadline: step.detail.deadline,
                seen,
            };
            let _waiting = self.waiting(index, waiting);
            active.take();
            journal.tick.changed(seen).await;
            active = Some(self.activate());
        }
    }

    fn waiting(&self, index: u32, waiting: Waiting) -> Unlisted<'_, P, S, W> {
        let journal = self.journal();
        journal.state.borrow_mut().waiting.insert(index, waiting);
        journal.waits_changed.wake();
        Unlisted { journal, index }
    }

    /// Whether a wait is over, and if so how; that is recorded.
    async fn look(&self, step: &mut Step, until: &Until<'_>) -> Option<Result<String, Error>> {
        let journal = self.journal();
        let payload = match until {
            Until::Event { key, .. } => {
                let run_id = journal.run_id();
                let look = async || journal.store.event(&run_id, key.as_str()).await;
                let event = match patiently(&journal.ports, look).await {
                    Ok(event) => event,
                    Err(failure) => journal.break_off(failure).await,
                };
                let in_time = event.filter(|event| {
                    let deadline = step.detail.deadline;
                    deadline.is_none_or(|deadline| event.emitted_at <= deadline)
                });
                in_time.map(|event| event.payload)
            }
            Until::Time(_) => None,
        };
        let now = journal.now();
        let is_late = step.detail.deadline.is_some_and(|deadline| now >= deadline);
        let over = match (payload, until) {
            (Some(payload), _) => Ok(payload),
            (None, Until::Time(_)) if is_late => Ok("null".to_owned()),
            (None, Until::Event { .. }) if is_late => Err(timed_out(until)),
            (None, _) => return None,
        };
        step.completed_at = Some(now);
        match &over {
            Ok(payload) => {
                COMPLETED.clone_into(&mut step.status);
                step.result = Some(payload.clone());
            }
            Err(error) => {
                let failure = StepFailure {
                    attempt: step.attempts,
                    run_attempt: journal.run_attempt(),
                    code: error.code().as_str().to_owned(),
                    author: false,
                    message: error.to_string(),
                    at: now,
                    retry_at: None,
                };
                FAILED.clone_into(&mut step.status);
                step.error = Some(error_json(&failure));
                step.detail.failures.push(failure);
            }
        }
        let told = journal
            .has_told_wait(step.index)
            .then(|| QueuedLine::Awakened {
                index: step.index,
                key: until.told_as(step),
            });
        journal.put(step.clone(), told.into_iter().collect()).await;
        Some(over)
    }

    pub(super) async fn event<T: DeserializeOwned>(
        &self,
        by: By<'_>,
        key: &str,
        timeout_ms: Option<u64>,
    ) -> Result<T, Error> {
        let parsed = event_key(key)?;
        let until = Until::Event {
            key: &parsed,
            timeout_ms,
        };
        let payload = self.wait(by, until).await?;
        read(&format!("event:{key}"), &payload)
    }
}

/// A wait that stands in the list for as long as this lives.
struct Unlisted<'a, P: Ports, S: Store + Clone, W: Workspace> {
    journal: &'a Journal<P, S, W>,
    index: u32,
}

impl<P: Ports, S: Store + Clone, W: Workspace> Drop for Unlisted<'_, P, S, W> {
    fn drop(&mut self) {
        self.journal.state.borrow_mut().waiting.remove(&self.index);
        self.journal.waits_changed.wake();
    }
}

fn timed_out(until: &Until<'_>) -> Error {
    match until {
        Until::Event { key, .. } => Error::AwaitEventTimeout {
            key: key.as_str().to_owned(),
        },
        // Its time always comes.
        Until::Time(_) => Error::Stopped(Stop::TimedOut),
    }
}
