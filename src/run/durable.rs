//! A durable run on any store: begun once, taken over after a crash, replayed when it is over.
//!
//! Owns who may run it, and what its end is in the store. Invariant: whoever lost the lease writes
//! nothing more, whoever fails before the end frees it, and a replay writes nothing at all.

use super::drive::{Halt, Watch, drive};
use super::error::{Error, Stop};
use super::journal::{Journal, Settings};
use super::lease::{Acquired, renew};
use super::ops::RunContext;
use super::options::{RunEnd, RunMode, RunOptions};
use super::workspace::{NoWorkspace, Workspace, abort_key, cleanup_key, resume_key, start_key};
use crate::caps;
use crate::ids::RunId;
use crate::json::canonical::Invalid;
use crate::ops::{Event, Why};
use crate::ports::Ports;
use crate::store::patiently;
use crate::store::{
    self, Attempt, Begun, Cancel, Fence, Handle, LastError, Lease, LogHome, Policy, Run,
    RunOutcome, RunState, Status, Step, Store,
};
use crate::turn::bounded;
use crate::wire::code::{Code, FailureCode};
use futures::future::select;
use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// A run that may be driven, or one that is over.
enum Opened {
    Open(Box<Run>, Acquired, RunMode),
    Over(Box<Run>),
}

/// How often a run that changes under our hands is looked at again.
const LOOKS: usize = 4;

/// Runs a durable body: begins it, goes on with it after a crash, or replays it.
///
/// ```
/// use steadfast::run::manifest::Manifest;
/// use steadfast::run::{DurableContext, RunEnd, RunOptions, StepError, run_durable};
/// use steadfast::store::MemoryStore;
///
/// # steadfast::native::run(async |ports| {
/// let store = MemoryStore::new();
/// let input = serde_json::json!({ "order": 42 });
/// let manifest = Manifest::new("shop", "ship-order", "Ship an order.", "orders", &input)?;
/// let options = RunOptions::new("ship-order:42", manifest);
/// let end = run_durable(&ports, &store, options, async |ctx| {
///     let label: String = ctx
///         .step("print the label", async |scope| {
///             // Whoever prints is given the same key by every attempt.
///             Ok::<_, StepError>(format!("label for {}", scope.idempotency_key))
///         })
///         .await?;
///     Ok(label.len())
/// })
/// .await?;
/// assert!(matches!(end, RunEnd::Completed { value: 26, .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })
/// # .unwrap();
/// ```
///
/// # Errors
/// [`Error::ManifestMismatch`], [`Error::LeaseHeld`], [`Error::Over`] before anything was done; the
/// body's own error, which is the run's end; [`Error::Stopped`]; [`Error::Store`], after which
/// whoever runs it next goes on.
pub async fn run_durable<P, S, T, F>(
    ports: &P,
    store: &S,
    options: RunOptions,
    body: F,
) -> Result<RunEnd<T>, Error>
where
    P: Ports,
    S: Store + Clone,
    F: AsyncFnOnce(RunContext<P, S>) -> Result<T, Error>,
{
    run_durable_in(ports, store, NoWorkspace, options, body).await
}

/// As [`run_durable`], with a workspace that is saved behind each step and brought back with the run.
///
/// # Errors
/// As [`run_durable`]; `workspace_failed` when it can't be started, brought back or saved.
pub async fn run_durable_in<P, S, W, T, F>(
    ports: &P,
    store: &S,
    workspace: W,
    options: RunOptions,
    body: F,
) -> Result<RunEnd<T>, Error>
where
    P: Ports,
    S: Store + Clone,
    W: Workspace,
    F: AsyncFnOnce(RunContext<P, S, W>) -> Result<T, Error>,
{
    match open(ports, store, &options).await? {
        Opened::Over(run) => replay(ports, store, workspace, &options, *run, body).await,
        Opened::Open(run, acquired, mode) => {
            let driven = Driven {
                ports,
                store,
                options: &options,
                acquired: &acquired,
                mode,
            };
            let ended = driven.drive(workspace, *run, body).await;
            if driven.is_to_free(&ended) {
                free(store, &acquired).await;
            }
            match ended {
                Ok(RunEnd::Suspended { wake_at }) => Ok(RunEnd::Suspended {
                    wake_at: due_at(store, &acquired.run_id).await.or(wake_at),
                }),
                ended => ended,
            }
        }
    }
}

async fn open<P: Ports, S: Store + Clone>(
    ports: &P,
    store: &S,
    options: &RunOptions,
) -> Result<Opened, Error> {
    let run_id = RunId::parse(&options.run_id).map_err(|why| Error::InvalidId {
        what: "a run's id",
        why,
    })?;
    let hash = options.manifest.hash().map_err(not_json)?;
    let holder = format!("{:032x}", ports.random());
    let acquired = |fence, now| Acquired {
        run_id: run_id.as_str().to_owned(),
        fence,
        holder: holder.clone(),
        until: options.lease.until(now),
    };
    for _ in 0..LOOKS {
        let now = ports.now_ms();
        let new = record(&run_id, options, &hash, &holder, now)?;
        // A repeat whose first try was stored is told that the id is taken: by ourselves.
        if patiently(ports, async || store.create(&new).await).await? == Begun::Begun {
            let acquired = acquired(Fence { epoch: new.epoch }, now);
            return Ok(Opened::Open(Box::new(new), acquired, RunMode::Fresh));
        }
        let found = patiently(ports, async || store.run(run_id.as_str()).await).await?;
        let found = found.ok_or(store::Error::Missing)?;
        if found.input_hash != hash {
            return Err(Error::ManifestMismatch);
        }
        let is_ours = |lease: &Lease| lease.holder == holder;
        let mode = match &found.lease {
            Some(lease) if found.epoch == new.epoch && is_ours(lease) => RunMode::Fresh,
            Some(_) | None => RunMode::Resumed,
        };
        let until = options.lease.until(now);
        let fence = match found.state.status {
            Status::Completed => return Ok(Opened::Over(Box::new(found))),
            Status::Failed if may_reopen(&found, options) => {
                let attempt = next_attempt(&found, now);
                let reopen = async || store.reopen(&found, &attempt, &holder, until, now).await;
                patiently(ports, reopen).await
            }
            status @ (Status::Failed | Status::Cancelled) => return Err(Error::Over { status }),
            Status::Queued | Status::Running | Status::Suspended => {
                let policy = Policy::WhenFree { until };
                let id = run_id.as_str();
                let acquire = async || store.acquire(id, policy.clone(), &holder, now).await;
                patiently(ports, acquire).await
            }
        };
        match fence {
            Ok(fence) => {
                let acquired = acquired(fence, now);
                let run = taken(ports, store, &acquired).await?;
                return Ok(Opened::Open(Box::new(run), acquired, mode));
            }
            // It ended, or was opened, while we looked.
            Err(store::Error::Fenced) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Err(Error::LeaseHeld {
        until: options.lease.until(ports.now_ms()),
    })
}

/// The run as it is behind its acquisition, which is given up when the run can't be read.
async fn taken<P: Ports, S: Store + Clone>(
    ports: &P,
    store: &S,
    acquired: &Acquired,
) -> Result<Run, store::Error> {
    let run = patiently(ports, async || store.run(&acquired.run_id).await).await;
    let run = run.and_then(|run| run.ok_or(store::Error::Missing));
    let mut run = match run {
        Ok(run) => run,
        Err(failure) => {
            free(store, acquired).await;
            return Err(failure);
        }
    };
    let attempt = run.state.attempts.last().map_or(1, |last| last.number);
    // What an earlier attempt waited is no part of this one's time.
    if run
        .state
        .handle
        .as_ref()
        .is_none_or(|handle| handle.attempt != attempt)
    {
        run.state.handle = Some(Handle::new(run.run_id.clone(), attempt));
    }
    Ok(run)
}

async fn free<S: Store + Clone>(store: &S, acquired: &Acquired) {
    // The lease lapses by itself when this fails too.
    store.release(&acquired.run_id, acquired.fence).await.ok();
}

/// When a run that was left suspended is due. Whoever emitted an event while its lease was still held
/// could not run it, and whoever held it had looked for the last time: it is due at once.
async fn due_at<S: Store + Clone>(store: &S, run_id: &str) -> Option<i64> {
    // Its first deadline is known as well, if this can't be read.
    let run = store.run(run_id).await.ok().flatten()?;
    let is_suspended = run.state.status == Status::Suspended;
    run.state.wake_at.filter(|_| is_suspended)
}

fn not_json(why: Invalid) -> Error {
    Error::NotJson {
        what: "the manifest",
        why,
    }
}

fn may_reopen(run: &Run, options: &RunOptions) -> bool {
    let had = u32::try_from(run.state.attempts.len()).unwrap_or(u32::MAX);
    had < options.attempts && run.state.line_count == 0
}

fn next_attempt(run: &Run, now: i64) -> Attempt {
    let number = run.state.attempts.last().map_or(0, |last| last.number) + 1;
    let why = run.state.last_error.as_ref();
    Attempt {
        number,
        reason: why.map_or_else(
            || Status::Failed.name().to_owned(),
            |error| error.code.clone(),
        ),
        started_at: now,
    }
}

/// A new run, held by `holder`.
pub(super) fn record(
    run_id: &RunId,
    options: &RunOptions,
    hash: &str,
    holder: &str,
    now: i64,
) -> Result<Run, Error> {
    let request = crate::json::canonical::to_json(&options.manifest).map_err(not_json)?;
    if request.len() > caps::MANIFEST_BYTES {
        return Err(Error::TooLarge {
            what: "the manifest",
            max: caps::MANIFEST_BYTES,
        });
    }
    Ok(Run {
        run_id: run_id.as_str().to_owned(),
        tenant: String::new(),
        session: options.manifest.scenario_id.clone().unwrap_or_default(),
        turn_index: 0,
        user: None,
        key: None,
        input_hash: hash.to_owned(),
        request,
        upstream: "{}".to_owned(),
        created_at: now,
        state: RunState {
            status: Status::Running,
            attempts: vec![Attempt {
                number: 1,
                reason: "submitted".to_owned(),
                started_at: now,
            }],
            handle: Some(Handle::new(run_id.as_str().to_owned(), 1)),
            outcome: None,
            usage: None,
            last_error: None,
            line_count: 0,
            wake_at: None,
            finished_at: None,
        },
        epoch: 1,
        lease: Some(Lease {
            holder: holder.to_owned(),
            until: options.lease.until(now),
        }),
        cancel: None,
        upstream_cancel: None,
        log_home: LogHome::D1,
        rev: 1,
        updated_at: now,
    })
}

fn settings(options: &RunOptions, read_only: bool) -> Settings {
    Settings {
        first_index: 0,
        max_parallel: options.max_parallel,
        window_ms: caps::COMMIT_WINDOW_MS.default,
        max_bytes: usize::try_from(caps::TURN_MAX_BYTES.default).unwrap_or(usize::MAX),
        watchdog_ms: None,
        tells_steps: false,
        read_only,
    }
}

/// A run that is over, from its record alone.
async fn replay<P, S, W, T, F>(
    ports: &P,
    store: &S,
    workspace: W,
    options: &RunOptions,
    run: Run,
    body: F,
) -> Result<RunEnd<T>, Error>
where
    P: Ports,
    S: Store + Clone,
    W: Workspace,
    F: AsyncFnOnce(RunContext<P, S, W>) -> Result<T, Error>,
{
    let journal = Journal::open(
        ports.clone(),
        store.clone(),
        workspace,
        settings(options, true),
        String::new(),
        run,
        None,
    )
    .await?;
    let mut body = pin!(body(RunContext(Rc::clone(&journal))));
    let value = poll_fn(|cx| {
        let pauses = journal.pauses.get();
        match (body.as_mut().poll(cx), journal.unanswered()) {
            (Poll::Ready(ended), _) => Poll::Ready(ended),
            // Nothing else goes on in a replay, so it would stay so.
            (Poll::Pending, Some(diverged)) if pauses == journal.pauses.get() => {
                Poll::Ready(Err(diverged))
            }
            (Poll::Pending, _) => Poll::Pending,
        }
    })
    .await?;
    ends_early(&journal)?;
    Ok(RunEnd::Completed {
        value,
        mode: RunMode::Replayed,
    })
}

/// Refuses an end that comes before all that is recorded was asked for.
fn ends_early<P: Ports, S: Store + Clone, W>(journal: &Journal<P, S, W>) -> Result<(), Error> {
    match journal.unasked() {
        None => Ok(()),
        Some((place, expected)) => Err(Error::StepDivergence {
            place,
            expected,
            found: "the end of the body".to_owned(),
        }),
    }
}

/// A run that this worker holds.
struct Driven<'a, P, S> {
    ports: &'a P,
    store: &'a S,
    options: &'a RunOptions,
    acquired: &'a Acquired,
    mode: RunMode,
}

impl<P: Ports, S: Store + Clone> Driven<'_, P, S> {
    /// Whether the run is open and still ours: nobody should have to wait for the lease to lapse.
    fn is_to_free<T>(&self, ended: &Result<RunEnd<T>, Error>) -> bool {
        match ended {
            // A lease that is held is another run's, which the body waits for.
            Ok(RunEnd::Suspended { .. }) | Err(Error::Store(_) | Error::LeaseHeld { .. }) => true,
            // It could not even be entered.
            Err(Error::Workspace(_)) => true,
            Ok(RunEnd::Completed { .. }) | Err(_) => false,
        }
    }

    async fn drive<W, T, F>(&self, workspace: W, run: Run, body: F) -> Result<RunEnd<T>, Error>
    where
        W: Workspace,
        F: AsyncFnOnce(RunContext<P, S, W>) -> Result<T, Error>,
    {
        let journal = Journal::open(
            self.ports.clone(),
            self.store.clone(),
            workspace,
            settings(self.options, false),
            String::new(),
            run,
            None,
        )
        .await?;
        self.enter_workspace(&journal).await?;
        let cancel = self.options.cancel.clone();
        let stopped = || cancel.stop();
        let until = Cell::new(self.acquired.until);
        let mut lost = pin!(self.lost(&journal, &until));
        let watch = Watch {
            control: Rc::clone(&cancel.wake),
            stopped: &stopped,
            timeout_ms: Some(self.timeout_ms(&journal)),
            waits: self.options.waits,
            lost: lost.as_mut(),
            until: &until,
        };
        let body = body(RunContext(Rc::clone(&journal)));
        let halt = drive(&journal, body, watch).await;
        let until = until.get();
        match halt {
            Halt::Ended(Ok(value)) => {
                if let Err(error) = ends_early(&journal) {
                    return Err(self.end(&journal, until, Err(error)).await);
                }
                match self.finish(&journal, until, Status::Completed, None).await {
                    Ok(()) => Ok(RunEnd::Completed {
                        value,
                        mode: self.mode,
                    }),
                    Err(failure) => Err(failure.into()),
                }
            }
            Halt::Ended(Err(error)) => Err(self.end(&journal, until, Err(error)).await),
            Halt::Stopped(stop) => Err(self.end(&journal, until, Err(Error::Stopped(stop))).await),
            Halt::Suspended(wake_at) => Ok(RunEnd::Suspended { wake_at }),
            Halt::Broken(failure) => Err(failure.into()),
        }
    }

    /// The run's time from its creation on: an attempt that was opened later has the whole of it.
    fn timeout_ms<W: Workspace>(&self, journal: &Journal<P, S, W>) -> u64 {
        let run = journal.run.borrow();
        let opened_at = run.state.attempts.last().map(|attempt| attempt.started_at);
        let before = opened_at.map_or(0, |at| at.saturating_sub(run.created_at));
        let timeout_ms = self.options.timeout_ms;
        timeout_ms.saturating_add(u64::try_from(before).unwrap_or(0))
    }

    /// Records what the run comes to, where that is its end; the error to return.
    async fn end<W: Workspace>(
        &self,
        journal: &Journal<P, S, W>,
        until: i64,
        ended: Result<(), Error>,
    ) -> Error {
        let Err(error) = ended else {
            return Error::Over {
                status: Status::Completed,
            };
        };
        let status = match &error {
            // Not the run's end: it goes on elsewhere, or later.
            Error::Stopped(Stop::LeaseLost) | Error::Store(_) | Error::LeaseHeld { .. } => {
                return error;
            }
            Error::Stopped(Stop::Cancelled { .. }) => Status::Cancelled,
            _ => Status::Failed,
        };
        match self.finish(journal, until, status, Some(&error)).await {
            Ok(()) => error,
            Err(failure) => failure.into(),
        }
    }

    /// Completes when the run is lost to this worker. Stops it when somebody cancelled it in the store.
    async fn lost<W: Workspace>(&self, journal: &Journal<P, S, W>, until: &Cell<i64>) -> Stop {
        let terms = self.options.lease;
        let kept = pin!(renew(self.ports, self.store, self.acquired, terms, until));
        let cancelled = pin!(async {
            let mut cancel = journal.run.borrow().cancel.clone();
            loop {
                if let Some(Cancel { reason, .. }) = cancel {
                    // Whoever polls this looks for a reason to stop right behind it.
                    journal.stop(Stop::Cancelled { reason });
                    return pending().await;
                }
                self.ports.sleep(terms.renew_after_ms()).await;
                let run = self.store.run(&self.acquired.run_id).await;
                // A store that can't be read is the lease's affair.
                cancel = run.ok().flatten().and_then(|run| run.cancel);
            }
        });
        select(cancelled, kept).await;
        Stop::LeaseLost
    }

    async fn enter_workspace<W: Workspace>(&self, journal: &Journal<P, S, W>) -> Result<(), Error> {
        let run_id = &self.acquired.run_id;
        let entered = match journal.last_workspace() {
            Some(reference) => {
                let key = resume_key(run_id, journal.run_attempt());
                journal.workspace.resume(&key, &reference).await
            }
            None => journal.workspace.start(&start_key(run_id)).await,
        };
        entered.map_err(Error::Workspace)
    }

    /// Stores the run's end, then lets its workspace go; that can't change the end any more. `until` is when the
    /// lease ends, Unix ms.
    async fn finish<W: Workspace>(
        &self,
        journal: &Journal<P, S, W>,
        until: i64,
        status: Status,
        error: Option<&Error>,
    ) -> Result<(), store::Error> {
        let now = self.ports.now_ms();
        let mut state = journal.run.borrow().state.clone();
        state.status = status;
        state.wake_at = None;
        state.finished_at = Some(now);
        state.outcome = Some(RunOutcome {
            text_units: 0,
            reason: match error {
                Some(Error::Stopped(Stop::Cancelled { reason })) => reason.clone(),
                Some(_) | None => None,
            },
        });
        if let Some(error) = error.filter(|_| status == Status::Failed) {
            state.last_error = Some(LastError {
                code: error.code().as_str().to_owned(),
                message: error.to_string(),
                at: now,
            });
        }
        // Behind a success there are those that the body dropped.
        let cut_with = error.map_or(Code::Dropped.into(), Error::code);
        journal.give_up_unfinished(&cut_with, now);
        let transition = journal.transition(state);
        // Nobody renews the lease meanwhile.
        let left_ms = u64::try_from(until.saturating_sub(self.ports.now_ms())).unwrap_or(0);
        let commit = journal.commit(Some(transition));
        let committed = bounded(self.ports, left_ms, commit).await;
        committed.unwrap_or(Err(store::Error::Fenced))?;
        let run_id = &self.acquired.run_id;
        let left = match status {
            Status::Completed => journal.workspace.cleanup(&cleanup_key(run_id)).await,
            Status::Cancelled => journal.workspace.abort(&abort_key(run_id)).await,
            Status::Failed | Status::Queued | Status::Running | Status::Suspended => Ok(()),
        };
        if let Err(failure) = left {
            let why = Why::Words(&failure.to_string());
            self.ports.log(&Event::Run { run_id, why }.to_string());
        }
        Ok(())
    }
}

/// A step that the run's end finds under way.
pub(super) fn given_up(step: Step, code: &FailureCode, now: i64) -> Step {
    Step {
        status: super::replay::FAILED.to_owned(),
        error: Some(format!(
            r#"{{"code":{},"message":"the run ended while it was under way"}}"#,
            crate::json::quote(code.as_str())
        )),
        completed_at: Some(now),
        ..step
    }
}
