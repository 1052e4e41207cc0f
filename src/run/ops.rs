//! The context of a run in a store: each call of a body, from the record or for the first time.
//!
//! Owns the way of one call: its place, its record, its attempts. It doesn't own the queue of
//! writes (`journal`). Invariant: nothing is done before its begin is recorded, and a result is
//! given to the body as a replay would read it.

use super::context::DurableContext;
use super::error::{Error, Place, StepError};
use super::journal::Journal;
use super::lines::QueuedLine;
use super::replay::{Asked, COMPLETED, FAILED, RUNNING, Recall, recall};
use super::step::{Scope, StepKind, StepOptions};
use super::wait::Until;
use super::workspace::{NoWorkspace, Workspace, checkpoint_key};
use crate::caps;
use crate::ids::{EventKey, StepName};
use crate::json::canonical;
use crate::ports::Ports;
use crate::store::patiently;
use crate::store::{Step, StepDetail, StepFailure, Store};
use crate::wire::code::{Code, FailureCode};
use crate::wire::line;
use futures::future::{Either, LocalBoxFuture, join_all, select};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;

/// The context of a run in a store.
pub struct RunContext<P, S, W = NoWorkspace>(pub(super) Rc<Journal<P, S, W>>);

impl<P, S, W> Clone for RunContext<P, S, W> {
    fn clone(&self) -> Self {
        RunContext(Rc::clone(&self.0))
    }
}

/// What a step does, whatever the type of its result.
trait Body {
    /// One attempt; its result as it is stored.
    fn attempt(&mut self, scope: Scope) -> LocalBoxFuture<'_, Result<String, StepError>>;
}

/// A step's own body.
struct Typed<F>(F);

impl<T: Serialize, F: AsyncFnMut(Scope) -> Result<T, StepError>> Body for Typed<F> {
    fn attempt(&mut self, scope: Scope) -> LocalBoxFuture<'_, Result<String, StepError>> {
        Box::pin(async move { result_text(&(self.0)(scope).await?) })
    }
}

/// How a call is known.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    Position,
    Name(&'a str),
}

/// A call that is under way for as long as this lives.
pub(super) struct Active<'a, P: Ports, S: Store + Clone, W: Workspace>(&'a Journal<P, S, W>);

impl<P: Ports, S: Store + Clone, W: Workspace> Drop for Active<'_, P, S, W> {
    fn drop(&mut self) {
        self.0.state.borrow_mut().active -= 1;
    }
}

/// A flag raised while a future is polled, so that whatever it calls knows where it stands.
async fn within<F: Future>(depth: &Cell<u32>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        depth.set(depth.get() + 1);
        let polled = future.as_mut().poll(cx);
        depth.set(depth.get() - 1);
        polled
    })
    .await
}

impl<P: Ports, S: Store + Clone, W: Workspace> RunContext<P, S, W> {
    pub(super) fn journal(&self) -> &Journal<P, S, W> {
        &self.0
    }

    /// The place of a call; refused where a replay could not find it again.
    pub(super) fn enter(&self, by: By<'_>, intent: &str) -> Result<(Place, u32), Error> {
        let journal = self.journal();
        if let Some(stop) = journal.stopped() {
            return Err(Error::Stopped(stop));
        }
        if journal.in_step.get() > 0 {
            return Err(Error::Nested {
                intent: intent.to_owned(),
            });
        }
        match by {
            By::Position => {
                let busy = {
                    let state = journal.state.borrow();
                    state.active > 0 || !state.waiting.is_empty()
                };
                if busy || journal.in_branch.get() > 0 {
                    return Err(Error::Concurrent {
                        intent: intent.to_owned(),
                    });
                }
                journal.take_position()
            }
            By::Name(name) => {
                StepName::parse(name).map_err(|why| Error::InvalidId {
                    what: "a step's name",
                    why,
                })?;
                journal.take_name(name)
            }
        }
    }

    pub(super) fn activate(&self) -> Active<'_, P, S, W> {
        let journal = self.journal();
        journal.state.borrow_mut().active += 1;
        Active(journal)
    }

    /// What is recorded of a call.
    pub(super) async fn recall(
        &self,
        place: &Place,
        index: u32,
        intent: &str,
        input_hash: Option<&str>,
    ) -> Result<Recall, Error> {
        let journal = self.journal();
        let asked = Asked {
            place,
            intent,
            input_hash,
            run_attempt: journal.run_attempt(),
        };
        let recalled = recall(journal.known(index).as_ref(), asked)?;
        if let Place::Position(_) = place {
            journal.pause().await;
        }
        match recalled {
            Recall::Begin | Recall::Again(_) if journal.settings.read_only => {
                let divergence = Error::StepDivergence {
                    place: place.clone(),
                    expected: "the end of the run".to_owned(),
                    found: intent.to_owned(),
                };
                Ok(journal.leave_unanswered(divergence).await)
            }
            recalled => Ok(recalled),
        }
    }

    pub(super) fn begin(&self, index: u32, by: By<'_>, intent: &str, kind: StepKind) -> Step {
        Step {
            index,
            intent: intent.to_owned(),
            kind: kind.name().to_owned(),
            status: RUNNING.to_owned(),
            attempts: 0,
            result: None,
            error: None,
            rev: 0,
            started_at: self.journal().now(),
            completed_at: None,
            detail: StepDetail {
                name: match by {
                    By::Position => None,
                    By::Name(name) => Some(name.to_owned()),
                },
                ..StepDetail::default()
            },
        }
    }

    async fn perform<T, F>(&self, by: By<'_>, options: StepOptions, f: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: AsyncFnMut(Scope) -> Result<T, StepError>,
    {
        let text = self.perform_text(by, &options, &mut Typed(f)).await?;
        read(&options.intent, &text)
    }

    /// A step's result as it is recorded. The same code for steps of every type.
    async fn perform_text(
        &self,
        by: By<'_>,
        options: &StepOptions,
        body: &mut dyn Body,
    ) -> Result<String, Error> {
        let StepOptions { intent, kind, .. } = options;
        let input_hash = options.input_hash.clone().transpose();
        let input_hash = input_hash.map_err(|why| Error::NotJson {
            what: "a step's input",
            why,
        })?;
        let (place, index) = self.enter(by, intent)?;
        let _active = self.activate();
        let step = match self
            .recall(&place, index, intent, input_hash.as_deref())
            .await?
        {
            Recall::Result(text) => return Ok(text),
            Recall::Failed(failure) => return Err(failed(intent, &failure)),
            Recall::Begin => {
                let mut step = self.begin(index, by, intent, *kind);
                step.detail.input_hash = input_hash;
                step
            }
            Recall::Again(step) => *step,
        };
        self.attempts(step, options, body).await
    }

    /// Tries a step until it has a result or failed for good.
    async fn attempts(
        &self,
        mut step: Step,
        options: &StepOptions,
        body: &mut dyn Body,
    ) -> Result<String, Error> {
        let journal = self.journal();
        loop {
            self.wait_for_retry(&step).await;
            let slot = journal.slots.take().await;
            if is_interrupted_too_often(&step) {
                let error = StepError::ours(
                    Code::StepInterrupted,
                    "it was begun again and again, and never came to its end",
                );
                return Err(self.fail(step, options, error.permanent()).await);
            }
            step.attempts += 1;
            RUNNING.clone_into(&mut step.status);
            step.completed_at = None;
            step.error = None;
            self.put(step.clone()).await;
            let scope = Scope {
                attempt: step.attempts,
                // No run's id and no name has a slash in it.
                idempotency_key: format!("{}/{}", journal.run_id(), step_key(&step)),
            };
            let outcome = self
                .bounded(options, within(&journal.in_step, body.attempt(scope)))
                .await;
            let saved = match outcome {
                Ok(text) => self.checkpoint(&step).await.map(|saved| (text, saved)),
                Err(error) => Err(error),
            };
            match saved {
                Ok((text, saved)) => {
                    step.detail.workspace = saved;
                    step.result = Some(text.clone());
                    COMPLETED.clone_into(&mut step.status);
                    step.completed_at = Some(journal.now());
                    self.put(step).await;
                    return Ok(text);
                }
                Err(error) => {
                    drop(slot);
                    let given_up = self.fail(step.clone(), options, error).await;
                    let stored = journal.known(step.index);
                    match stored.filter(|stored| stored.status == RUNNING) {
                        Some(again) => step = again,
                        None => return Err(given_up),
                    }
                }
            }
        }
    }

    async fn put(&self, step: Step) {
        let journal = self.journal();
        let told = journal
            .settings
            .tells_steps
            .then(|| QueuedLine::of_step(&step));
        journal.put(step, told.into_iter().collect()).await;
    }

    /// Records a failed attempt; the step goes on when its policy says so. What it comes to
    /// otherwise.
    async fn fail(&self, mut step: Step, options: &StepOptions, error: StepError) -> Error {
        let journal = self.journal();
        let run_attempt = journal.run_attempt();
        let now = journal.now();
        let before = step.detail.failures.iter();
        let failures = before.filter(|failure| failure.run_attempt == run_attempt);
        let failures = u32::try_from(failures.count()).unwrap_or(u32::MAX);
        let wait_ms = options.retry.next(failures.saturating_add(1), &error);
        let failure = StepFailure {
            attempt: step.attempts,
            run_attempt,
            code: error.code().as_str().to_owned(),
            author: error.code().is_authors_namesake(),
            message: shortened(error.message),
            at: now,
            retry_at: wait_ms.map(|wait_ms| now.saturating_add_unsigned(wait_ms)),
        };
        // The last ones tell enough of a step that fails for ever.
        if step.detail.failures.len() >= caps::STEP_FAILURES {
            step.detail.failures.remove(0);
        }
        step.detail.failures.push(failure.clone());
        if wait_ms.is_none() {
            FAILED.clone_into(&mut step.status);
            step.completed_at = Some(now);
            step.error = Some(error_json(&failure));
        }
        self.put(step).await;
        failed(&options.intent, &failure)
    }

    /// What is left of the wait before the next attempt, also when the last one was another life's.
    async fn wait_for_retry(&self, step: &Step) {
        let journal = self.journal();
        let retry_at = step.detail.failures.last().and_then(|last| last.retry_at);
        let left = retry_at.map(|at| at.saturating_sub(journal.now()));
        if let Some(left) = left.and_then(|left| u64::try_from(left).ok())
            && left > 0
        {
            journal.ports.sleep(left).await;
        }
    }

    /// One attempt within its time.
    async fn bounded(
        &self,
        options: &StepOptions,
        attempt: impl Future<Output = Result<String, StepError>>,
    ) -> Result<String, StepError> {
        let Some(timeout_ms) = options.timeout_ms else {
            return attempt.await;
        };
        let sleep = pin!(self.journal().ports.sleep(timeout_ms));
        match select(pin!(attempt), sleep).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(StepError::ours(
                Code::StepTimeout,
                format!("it took more than {timeout_ms} ms"),
            )),
        }
    }

    /// The workspace's state behind a step: saved before the step's record, which refers to it. What
    /// can't be saved can't be brought back, so that the attempt has failed.
    async fn checkpoint(&self, step: &Step) -> Result<Option<String>, StepError> {
        let journal = self.journal();
        let key = checkpoint_key(&journal.run_id(), journal.run_attempt(), &step_key(step));
        let saved = journal.workspace.checkpoint(&key).await;
        saved.map_err(|failure| StepError::ours(Code::WorkspaceFailed, failure.message))
    }

    async fn deterministic<T>(&self, intent: &str, value: impl FnOnce() -> T) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
    {
        let (place, index) = self.enter(By::Position, intent)?;
        let _active = self.activate();
        if let Recall::Result(text) = self.recall(&place, index, intent, None).await? {
            return read(intent, &text);
        }
        let value = value();
        let mut step = self.begin(index, By::Position, intent, StepKind::Deterministic);
        step.attempts = 1;
        COMPLETED.clone_into(&mut step.status);
        step.completed_at = Some(step.started_at);
        step.result = Some(result_text(&value).map_err(|error| failed_with(intent, &error))?);
        self.journal().put(step, vec![]).await;
        Ok(value)
    }
}

impl<P: Ports, S: Store + Clone, W: Workspace> DurableContext for RunContext<P, S, W> {
    fn run_id(&self) -> String {
        self.journal().run_id()
    }

    async fn step<T, F>(&self, options: impl Into<StepOptions>, f: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: AsyncFnMut(Scope) -> Result<T, StepError>,
    {
        self.perform(By::Position, options.into(), f).await
    }

    async fn named_step<T, F>(&self, options: impl Into<StepOptions>, f: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: AsyncFnMut(Scope) -> Result<T, StepError>,
    {
        let options = options.into();
        let name = options.intent.clone();
        self.perform(By::Name(&name), options, f).await
    }

    async fn now(&self) -> Result<i64, Error> {
        self.deterministic("deterministic:now", || self.journal().now())
            .await
    }

    async fn uuid(&self) -> Result<String, Error> {
        self.deterministic("deterministic:uuid", || {
            let random = self.journal().ports.random();
            uuid::Builder::from_random_bytes(random.to_be_bytes())
                .into_uuid()
                .to_string()
        })
        .await
    }

    async fn await_event<T: DeserializeOwned>(
        &self,
        key: &str,
        timeout_ms: Option<u64>,
    ) -> Result<T, Error> {
        self.event(By::Position, key, timeout_ms).await
    }

    async fn named_event<T: DeserializeOwned>(
        &self,
        name: &str,
        key: &str,
        timeout_ms: Option<u64>,
    ) -> Result<T, Error> {
        self.event(By::Name(name), key, timeout_ms).await
    }

    async fn sleep_until(&self, at: i64) -> Result<(), Error> {
        self.wait(By::Position, Until::Time(at)).await.map(drop)
    }

    async fn named_sleep(&self, name: &str, at: i64) -> Result<(), Error> {
        self.wait(By::Name(name), Until::Time(at)).await.map(drop)
    }

    async fn emit_event<T: Serialize>(&self, key: &str, payload: &T) -> Result<bool, Error> {
        let journal = self.journal();
        if let Some(stop) = journal.stopped() {
            return Err(Error::Stopped(stop));
        }
        let key = event_key(key)?;
        let payload = event_payload(payload)?;
        if journal.settings.read_only {
            return Ok(false);
        }
        let _active = self.activate();
        let (run_id, now) = (journal.run_id(), journal.now());
        let emit = async || {
            let store = &journal.store;
            store.emit_event(&run_id, key.as_str(), &payload, now).await
        };
        let emitted = match patiently(&journal.ports, emit).await {
            Ok(emitted) => emitted,
            Err(failure) => journal.break_off(failure).await,
        };
        journal.tick.wake();
        Ok(emitted.accepted)
    }

    fn tell<T: Serialize>(&self, id: &str, kind: &str, data: &T) -> Result<(), Error> {
        let journal = self.journal();
        if let Some(stop) = journal.stopped() {
            return Err(Error::Stopped(stop));
        }
        StepName::parse(id).map_err(|why| Error::InvalidId {
            what: "a line's id",
            why,
        })?;
        line::check_upstream_kind(kind).map_err(|_| Error::InvalidLine)?;
        let data = checked_json("a line", data, caps::FRAME_BYTES)?;
        if !journal.settings.read_only {
            journal.tell(QueuedLine::Told {
                id: id.to_owned(),
                kind: kind.to_owned(),
                data,
            });
        }
        Ok(())
    }

    async fn join<F: Future>(&self, branches: Vec<F>) -> Vec<F::Output> {
        within(&self.journal().in_branch, join_all(branches)).await
    }
}

/// An event's payload as it is stored.
///
/// # Errors
/// [`Error::NotJson`], [`Error::TooLarge`].
pub fn event_payload<T: Serialize>(payload: &T) -> Result<String, Error> {
    checked_json("an event's payload", payload, caps::EVENT_BODY_BYTES)
}

pub(super) fn event_key(key: &str) -> Result<EventKey, Error> {
    EventKey::parse(key).map_err(|why| Error::InvalidId {
        what: "an event's key",
        why,
    })
}

fn checked_json<T: Serialize>(what: &'static str, value: &T, max: usize) -> Result<String, Error> {
    let text = canonical::to_json(value).map_err(|why| Error::NotJson { what, why })?;
    if text.len() > max {
        return Err(Error::TooLarge { what, max });
    }
    Ok(text)
}

/// A result as it is stored. One that can't be is the step's failure, which no other attempt mends.
fn result_text<T: Serialize>(value: &T) -> Result<String, StepError> {
    let (what, max) = ("a step's result", caps::STEP_RESULT_BYTES);
    let refused = |code, error: Error| StepError::ours(code, error.to_string()).permanent();
    let text = canonical::to_json(value).map_err(|why| {
        let error = Error::NotJson { what, why };
        refused(Code::StepResultNotJson, error)
    })?;
    if text.len() > max {
        let error = Error::TooLarge { what, max };
        return Err(refused(Code::StepResultTooLarge, error));
    }
    Ok(text)
}

pub(super) fn read<T: DeserializeOwned>(step: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| Error::Unreadable {
        step: step.to_owned(),
    })
}

fn failed(step: &str, failure: &StepFailure) -> Error {
    let (code, message) = FailureCode::recorded(&failure.code, failure.author, &failure.message);
    Error::StepFailed {
        step: step.to_owned(),
        code,
        message,
    }
}

fn failed_with(step: &str, error: &StepError) -> Error {
    Error::StepFailed {
        step: step.to_owned(),
        code: error.code().clone(),
        message: error.message.clone(),
    }
}

/// Begun again and again without a result or a failure: whatever it does takes its process along.
fn is_interrupted_too_often(step: &Step) -> bool {
    let last = step.detail.failures.last().map_or(0, |last| last.attempt);
    step.attempts.saturating_sub(last) >= caps::STEP_INTERRUPTIONS
}

/// A step's part of a key: its name, or its place as no name can be written.
fn step_key(step: &Step) -> String {
    match &step.detail.name {
        Some(name) => name.clone(),
        None => format!("#{}", step.index),
    }
}

pub(super) fn error_json(failure: &StepFailure) -> String {
    format!(
        r#"{{"code":{},"message":{}}}"#,
        crate::json::quote(&failure.code),
        crate::json::quote(&failure.message)
    )
}

/// A message within its bound; what is cut off is noise by then.
fn shortened(mut message: String) -> String {
    let end = message
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| *at > caps::STEP_MESSAGE_BYTES);
    if let Some(end) = end {
        message.truncate(end);
    }
    message
}
