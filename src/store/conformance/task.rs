//! The surroundings of a case about a run without a session, and the steps that lead to its point.

use super::scene::{ALL, NOW, Scene, done, expect_eq, moved, only, only_lines, state, step};
use crate::store::{
    Attempt, Begun, Cancel, Changes, Error, Fence, Held, LastError, Lease, LogRow, Policy, Run,
    RunOutcome, Status, Step, Store,
};

type Verdict = Result<(), String>;

/// The end of a created run's lease.
pub(super) const UNTIL: i64 = NOW + 1_000;
/// The epoch of a created run: not 1, which a store could have made up.
pub(super) const EPOCH: u64 = 3;

pub(super) fn lease(holder: &str, until: i64) -> Lease {
    Lease {
        holder: holder.to_owned(),
        until,
    }
}

fn held(epoch: u64, holder: &str) -> Held<'_> {
    Held {
        fence: Fence { epoch },
        holder,
    }
}

/// Everything that is stored of the run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) run: Option<Run>,
    pub(super) log: Vec<LogRow>,
    pub(super) steps: Vec<Step>,
}

/// A run without a session, and the store it is in.
pub(super) struct Task<'a, S> {
    pub(super) store: &'a S,
    pub(super) run: Run,
}

impl<'a, S: Store> Task<'a, S> {
    /// Leased to `a` until [`UNTIL`], and not created yet.
    pub(super) fn new(scene: &Scene<'a, S>) -> Self {
        Self::named(scene, "task")
    }

    pub(super) fn named(scene: &Scene<'a, S>, name: &str) -> Self {
        Task {
            store: scene.store,
            run: Run {
                run_id: format!("{}/{name}", scene.session_key()),
                state: state(Status::Running, 0),
                epoch: EPOCH,
                lease: Some(lease("a", UNTIL)),
                rev: 7,
                ..scene.turn(0).run
            },
        }
    }

    pub(super) async fn created(scene: &Scene<'a, S>) -> Result<Self, String> {
        let task = Self::new(scene);
        task.create().await?;
        Ok(task)
    }

    pub(super) async fn create(&self) -> Verdict {
        let begun = done("create", self.store.create(&self.run).await)?;
        expect_eq("create", &Begun::Begun, &begun)
    }

    /// Created, and failed under its first epoch with all that an end leaves behind.
    pub(super) async fn failed(scene: &Scene<'a, S>) -> Result<Self, String> {
        let task = Self::created(scene).await?;
        let cancel = Cancel {
            reason: None,
            at: NOW,
        };
        let asked = task.store.request_cancel(&task.run.run_id, &cancel).await;
        done("cancel", asked)?;
        let mut end = moved(Status::Failed, 0);
        end.state.outcome = Some(RunOutcome {
            text_units: 1,
            reason: Some("gave up".to_owned()),
        });
        end.state.last_error = Some(LastError {
            code: "boom".to_owned(),
            message: "it did not work".to_owned(),
            at: NOW,
        });
        let changes = Changes {
            steps: vec![step(0, "failed")],
            ..only(end)
        };
        done("the end", task.commit(EPOCH, 0, &changes).await)?;
        Ok(task)
    }

    /// Created, and ended so with one line.
    pub(super) async fn ended(scene: &Scene<'a, S>, status: Status) -> Result<Self, String> {
        let task = Self::named(scene, status.name());
        task.create().await?;
        let line = task.commit(EPOCH, 0, &only_lines(&["a"])).await;
        done("a line", line)?;
        let end = task.commit(EPOCH, 1, &only(moved(status, 1))).await;
        done("the end", end)?;
        Ok(task)
    }

    pub(super) async fn commit(
        &self,
        epoch: u64,
        seq: u64,
        changes: &Changes,
    ) -> Result<(), Error> {
        let (id, fence) = (&self.run.run_id, Fence { epoch });
        self.store
            .commit("", id, fence, seq, changes, NOW + 100)
            .await
    }

    pub(super) async fn renew(&self, epoch: u64, holder: &str, until: i64) -> Result<(), Error> {
        let held = held(epoch, holder);
        self.store.renew(&self.run.run_id, held, until).await
    }

    pub(super) async fn release(&self, epoch: u64) -> Verdict {
        let released = self.store.release(&self.run.run_id, Fence { epoch });
        done("release", released.await)
    }

    /// Asks for the run at `now`, for 500 ms.
    pub(super) async fn ask(&self, holder: &str, now: i64) -> Result<Fence, Error> {
        let policy = Policy::WhenFree { until: now + 500 };
        let id = &self.run.run_id;
        self.store.acquire(id, policy, holder, now).await
    }

    /// Opens the run again as `read`, for one more attempt.
    pub(super) async fn reopen(&self, read: &Run, holder: &str) -> Result<Fence, Error> {
        let attempt = again();
        self.store
            .reopen(read, &attempt, holder, UNTIL, NOW + 200)
            .await
    }

    /// The run as it is stored, which it must be.
    pub(super) async fn stored(&self) -> Result<Run, String> {
        done("run", self.store.run(&self.run.run_id).await)?
            .ok_or_else(|| "run: expected one, found none".to_owned())
    }

    pub(super) async fn sight(&self) -> Result<Sight, String> {
        let id = &self.run.run_id;
        Ok(Sight {
            run: done("run", self.store.run(id).await)?,
            log: done("log", self.store.log(id, 0, ALL).await)?,
            steps: done("steps", self.store.steps(id, 0, ALL).await)?,
        })
    }

    pub(super) async fn is_still(&self, before: &Sight) -> Verdict {
        expect_eq("what is stored", before, &self.sight().await?)
    }
}

/// The attempt that a reopening adds.
pub(super) fn again() -> Attempt {
    Attempt {
        number: 2,
        reason: "asked".to_owned(),
        started_at: NOW + 150,
    }
}
