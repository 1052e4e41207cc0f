//! What a library user adds to a turn: hooks around its answer, its lines and its end.
//!
//! Owns the trait, what its methods are told, and the bound on waiting for one. When each is called
//! is `finish.rs` and `mod.rs`. Invariant: a hook whose failure is swallowed is heard of in the log,
//! and a hook that never returns holds no turn for ever.

use crate::ports::Timer;
use crate::store::Run;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// A turn as its hooks know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnIdentity {
    /// The run's id: the same turn always has the same one.
    pub execution_id: String,
    /// Who the turn belongs to.
    pub tenant: String,
    /// Who asked, when the credentials say it.
    pub user: Option<String>,
    /// The session's id within the tenant.
    pub session: String,
    /// Its place in the session.
    pub turn_index: u64,
}

impl TurnIdentity {
    /// Of a stored run.
    pub fn of(run: &Run) -> Self {
        TurnIdentity {
            execution_id: run.run_id.clone(),
            tenant: run.tenant.clone(),
            user: run.user.clone(),
            session: run.session.clone(),
            turn_index: run.turn_index,
        }
    }
}

/// A turn whose upstream has said all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedTurn {
    /// Which one.
    pub turn: TurnIdentity,
    /// The assistant's final text, transformed if the hooks do that; half an emoji becomes U+FFFD.
    pub text: String,
    /// Raw JSON of the upstream's last `usage` frame.
    pub usage: Option<String>,
    /// The attempt that the text comes from, from 1.
    pub attempt: u32,
}

/// Why a hook failed. It is stored and logged, so it must hold no secret and no content of the
/// conversation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HookError {
    /// For operators.
    pub message: String,
}

impl HookError {
    /// A failure in these words.
    pub fn new(message: impl Into<String>) -> Self {
        HookError {
            message: message.into(),
        }
    }
}

/// What is called around a turn. On success the order is: the stream is drained, then
/// [`transform_final_text`](Hooks::transform_final_text), [`persist`](Hooks::persist),
/// [`on_turn_complete`](Hooks::on_turn_complete), the terminal line,
/// [`trace_flush`](Hooks::trace_flush). A replay calls none of them.
///
/// The first two have no default: a hook that is written but never called would go unnoticed. Both
/// must always answer alike for one turn, also in the code that goes on with it after a crash.
pub trait Hooks {
    /// Whether [`transform_final_text`](Hooks::transform_final_text) is called. The upstream's lines
    /// that carry text of the answer are then held back: no log, message, step or client ever has
    /// it untransformed, and the text comes as one line at the end. Other lines (tools, reasoning,
    /// the upstream's own errors) are not held back.
    fn transforms_text(&self) -> bool;

    /// Whether [`persist`](Hooks::persist) is called; it costs one more commit a turn.
    fn persists(&self) -> bool;

    /// Turns the final text into what is stored and shown. It may be called again after a crash.
    ///
    /// # Errors
    /// The turn fails with `transform_failed`, and none of its text is stored.
    async fn transform_final_text(
        &self,
        _turn: &TurnIdentity,
        text: String,
    ) -> Result<String, HookError> {
        Ok(text)
    }

    /// Saves the finished turn where the product wants it. It is called at least once before any
    /// client reads `completed`, again after a failure or a crash, and so must be keyed by the
    /// execution id. A turn that is cancelled meanwhile may have been saved.
    ///
    /// # Errors
    /// It is tried again, with back-off, [`PERSIST_TRIES`](crate::caps::PERSIST_TRIES) times in all;
    /// each failure stands in the turn's step `persist`. Then the turn fails with `persist_failed`.
    async fn persist(&self, _done: &FinishedTurn) -> Result<(), HookError> {
        Ok(())
    }

    /// The turn is about to be completed. It may be called again after a crash.
    ///
    /// # Errors
    /// They are logged and change nothing.
    async fn on_turn_complete(&self, _done: &FinishedTurn) -> Result<(), HookError> {
        Ok(())
    }

    /// A line of the log, with its number and type as every reader gets it, once it is durable. A
    /// crash loses the calls for the lines of its last commit: this is for telemetry.
    ///
    /// # Errors
    /// They are logged and change nothing.
    async fn on_event(&self, _turn: &TurnIdentity, _line: &str) -> Result<(), HookError> {
        Ok(())
    }

    /// The drain is over, however it ended; its last line has been seen.
    ///
    /// # Errors
    /// They are logged and change nothing.
    async fn trace_flush(&self, _turn: &TurnIdentity) -> Result<(), HookError> {
        Ok(())
    }

    /// A hook failed. The operator's log has it already; this is for a log of one's own.
    fn log(&self, _turn: &TurnIdentity, _hook: &str, _failure: &HookError) {}
}

/// A turn without hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoHooks;

impl Hooks for NoHooks {
    fn transforms_text(&self) -> bool {
        false
    }

    fn persists(&self) -> bool {
        false
    }
}

/// A hook's answer, or a failure in its stead after `most_ms`.
pub(super) async fn within<T>(
    timer: &impl Timer,
    most_ms: u64,
    call: impl Future<Output = Result<T, HookError>>,
) -> Result<T, HookError> {
    bounded(timer, most_ms, call)
        .await
        .unwrap_or_else(|| Err(HookError::new(format!("no answer within {most_ms} ms"))))
}

/// What `call` comes to within `most_ms`.
pub(crate) async fn bounded<T>(
    timer: &impl Timer,
    most_ms: u64,
    call: impl Future<Output = T>,
) -> Option<T> {
    let mut call = pin!(call);
    // Made only once it is needed: most calls answer at once, and a timer costs.
    let mut sleep = None;
    poll_fn(|cx| {
        if let Poll::Ready(answer) = call.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        let sleep = sleep.get_or_insert_with(|| Box::pin(timer.sleep(most_ms)));
        sleep.as_mut().poll(cx).map(|()| None)
    })
    .await
}
