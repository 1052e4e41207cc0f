//! What a durable body is given: steps, waits, time, chance, and lines.
//!
//! Owns the contract between a body and whatever runs it. It stays a trait, so that a body written
//! for it runs wherever steps can be recorded. Invariant: what a body gets from here is the same in
//! every replay; a body that takes time, chance or the outside from elsewhere is not durable.

use super::error::{Error, StepError};
use super::step::{Scope, StepOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;

/// The context of a durable body.
///
/// Calls without a name are known by their position: the body makes the same ones in the same order
/// in every replay, one after another. Branches that run at once take named ones, inside
/// [`DurableContext::join`].
///
/// Who wins a race of two calls is not recorded: where both came to their end before a crash, a replay
/// may see the other one first. A body that has to know takes both, and decides by what they came to.
///
/// Every call fails with [`Error::Stopped`] once the run has to stop, and with
/// [`Error::StepDivergence`] when the body asks for something else than is recorded.
pub trait DurableContext: Clone {
    /// The run's id.
    fn run_id(&self) -> String;

    /// Runs `f` once and records its result, or gives the recorded one. An attempt that dies with its
    /// process is made again; so is one that failed, as far as the step's policy goes. When the run
    /// is cancelled or out of time, and when an attempt is, `f` is dropped where it waits. A result has
    /// 1 MiB at most, all results of a run and its log 16 MiB, in a turn `TURN_MAX_BYTES`.
    ///
    /// # Errors
    /// [`Error::StepFailed`], [`Error::StepInputMismatch`], [`Error::TooLarge`], [`Error::NotJson`],
    /// [`Error::Concurrent`], [`Error::Nested`].
    fn step<T, F>(
        &self,
        options: impl Into<StepOptions>,
        f: F,
    ) -> impl Future<Output = Result<T, Error>>
    where
        T: Serialize + DeserializeOwned,
        F: AsyncFnMut(Scope) -> Result<T, StepError>;

    /// The same for a step known by its name, `[A-Za-z0-9_.:-]{1,128}`, whatever stands before it.
    ///
    /// # Errors
    /// As [`DurableContext::step`]; [`Error::DuplicateStep`], [`Error::InvalidId`].
    fn named_step<T, F>(
        &self,
        options: impl Into<StepOptions>,
        f: F,
    ) -> impl Future<Output = Result<T, Error>>
    where
        T: Serialize + DeserializeOwned,
        F: AsyncFnMut(Scope) -> Result<T, StepError>;

    /// The time of the first asking, Unix ms.
    ///
    /// # Errors
    /// Those of every call.
    fn now(&self) -> impl Future<Output = Result<i64, Error>>;

    /// A random UUID, the same in every replay.
    ///
    /// # Errors
    /// Those of every call.
    fn uuid(&self) -> impl Future<Output = Result<String, Error>>;

    /// Waits for the run's event `key`, for `timeout_ms` at most; the deadline stands from the first
    /// asking on, whatever crashes. While nothing but waits is under way the run is suspended.
    ///
    /// # Errors
    /// [`Error::AwaitEventTimeout`], [`Error::Unreadable`], [`Error::InvalidId`].
    fn await_event<T: DeserializeOwned>(
        &self,
        key: &str,
        timeout_ms: Option<u64>,
    ) -> impl Future<Output = Result<T, Error>>;

    /// The same for a wait known by its name, so that several can be pending at once.
    ///
    /// # Errors
    /// As [`DurableContext::await_event`]; [`Error::DuplicateStep`].
    fn named_event<T: DeserializeOwned>(
        &self,
        name: &str,
        key: &str,
        timeout_ms: Option<u64>,
    ) -> impl Future<Output = Result<T, Error>>;

    /// Waits until `at`, Unix ms; as suspended as a wait for an event.
    ///
    /// # Errors
    /// Those of every call.
    fn sleep_until(&self, at: i64) -> impl Future<Output = Result<(), Error>>;

    /// The same for a wait known by its name.
    ///
    /// # Errors
    /// As [`DurableContext::sleep_until`]; [`Error::DuplicateStep`].
    fn named_sleep(&self, name: &str, at: i64) -> impl Future<Output = Result<(), Error>>;

    /// Tells this run an event; false when the key had one before, which stays. Not a step: a replay
    /// tells it again, and is told that it stood.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::NotJson`], [`Error::InvalidId`].
    fn emit_event<T: Serialize>(
        &self,
        key: &str,
        payload: &T,
    ) -> impl Future<Output = Result<bool, Error>>;

    /// Adds a line to the run's log, once for its `id` (1 to 128 of `[A-Za-z0-9_.:-]`): a replay tells
    /// it again and nothing happens. It is durable with the next step, or within the commit window.
    ///
    /// # Errors
    /// [`Error::NotJson`], [`Error::TooLarge`], [`Error::InvalidId`].
    fn tell<T: Serialize>(&self, id: &str, kind: &str, data: &T) -> Result<(), Error>;

    /// Runs branches at once, of which each may take named steps and waits only.
    fn join<F: Future>(&self, branches: Vec<F>) -> impl Future<Output = Vec<F::Output>>;
}
