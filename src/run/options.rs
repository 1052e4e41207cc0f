//! What a durable run is asked to be, and what it comes to.
//!
//! Owns options and their defaults, the token that cancels, and the shapes of an end. Invariant: every
//! option has a bound or a default that has one.

use super::drive::Waits;
use super::error::Stop;
use super::lease::LeaseTerms;
use super::manifest::Manifest;
use crate::caps;
use crate::log::Wake;
use std::cell::RefCell;
use std::rc::Rc;

/// Takes back what was asked for. Clones are one token; one may serve many runs.
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    reason: Rc<RefCell<Option<Option<String>>>>,
    pub(super) wake: Rc<Wake>,
}

impl CancelToken {
    /// A token that nobody has used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels every run that has this token, also those that begin later. The first reason stands.
    pub fn cancel(&self, reason: Option<&str>) {
        let mut present = self.reason.borrow_mut();
        present.get_or_insert_with(|| reason.map(str::to_owned));
        drop(present);
        self.wake.wake();
    }

    pub(super) fn stop(&self) -> Option<Stop> {
        let reason = self.reason.borrow().clone()?;
        Some(Stop::Cancelled { reason })
    }
}

/// What a run is asked to be.
#[derive(Clone, Debug)]
pub struct RunOptions {
    pub(super) run_id: String,
    pub(super) manifest: Manifest,
    pub(super) lease: LeaseTerms,
    pub(super) waits: Waits,
    pub(super) timeout_ms: u64,
    pub(super) max_parallel: usize,
    pub(super) attempts: u32,
    pub(super) cancel: CancelToken,
}

impl RunOptions {
    /// A run under this id, for what the manifest says. The id has 1 to 200 of `[A-Za-z0-9_.:-]`, and
    /// not the form of a turn's, `<tenant>:<session>:<number>`.
    pub fn new(run_id: impl Into<String>, manifest: Manifest) -> Self {
        RunOptions {
            run_id: run_id.into(),
            manifest,
            lease: LeaseTerms::default(),
            waits: Waits::default(),
            timeout_ms: caps::RUN_TIMEOUT_MS,
            max_parallel: caps::MAX_PARALLEL,
            attempts: 1,
            cancel: CancelToken::default(),
        }
    }

    /// How its lease is kept.
    pub fn lease(self, lease: LeaseTerms) -> Self {
        RunOptions { lease, ..self }
    }

    /// How it waits.
    pub fn waits(self, waits: Waits) -> Self {
        RunOptions { waits, ..self }
    }

    /// Its time in ms, waiting not counted.
    pub fn timeout_ms(self, timeout_ms: u64) -> Self {
        RunOptions { timeout_ms, ..self }
    }

    /// How many steps run at once, 1 at least.
    pub fn max_parallel(self, max_parallel: usize) -> Self {
        RunOptions {
            max_parallel: max_parallel.max(1),
            ..self
        }
    }

    /// Opens a failed run again while it has had fewer attempts than this. What succeeded in an
    /// earlier attempt is not done again.
    pub fn attempts(self, attempts: u32) -> Self {
        RunOptions { attempts, ..self }
    }

    /// Who may cancel it.
    pub fn cancel(self, cancel: CancelToken) -> Self {
        RunOptions { cancel, ..self }
    }
}

/// How a run came to be at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// It began here.
    Fresh,
    /// It was begun before, and goes on.
    Resumed,
    /// It was over: everything came from its record.
    Replayed,
}

/// How a run came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd<T> {
    /// The body's own result.
    Completed {
        /// What the body returned.
        value: T,
        /// How it came to be at work.
        mode: RunMode,
    },
    /// It waits. Run it again at `wake_at`, or when an event has come.
    Suspended {
        /// The first deadline it waits for, or the time of an event that came at the last moment,
        /// Unix ms.
        wake_at: Option<i64>,
    },
}
