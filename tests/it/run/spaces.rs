//! Workspaces: saved before the record that refers to them, brought back with the run, and taken away
//! with its end.

use super::{Done, RUN, completed, manifest, result, stored};
use crate::support::{Ctx, Outcome, Worker, World};
use std::cell::Cell;
use std::rc::Rc;
use steadfast::ports::Timer;
use steadfast::run::{
    CancelToken, DurableContext, Error, MemoryWorkspace, RetryPolicy, RunEnd, RunMode, RunOptions,
    StepError, StepOptions, Stop, Workspace, WorkspaceError, run_durable_in,
};
use steadfast::store::Status;
use steadfast::wire::code::Code;

/// A workspace that can be told to fail, or to hang, in its checkpoints.
#[derive(Clone, Default)]
struct Space {
    files: MemoryWorkspace,
    trouble: Rc<Cell<Trouble>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    Start,
    Resume,
    Checkpoint,
    /// Saved, and not answered.
    Hangs,
}

fn broken() -> WorkspaceError {
    WorkspaceError {
        message: "as planned".to_owned(),
    }
}

impl Space {
    fn is_in(&self, trouble: Trouble) -> bool {
        self.trouble.get() == trouble
    }

    fn check(&self, trouble: Trouble) -> Result<(), WorkspaceError> {
        if self.is_in(trouble) {
            Err(broken())
        } else {
            Ok(())
        }
    }
}

impl Workspace for Space {
    async fn start(&self, key: &str) -> Result<(), WorkspaceError> {
        self.check(Trouble::Start)?;
        self.files.start(key).await
    }

    async fn resume(&self, key: &str, reference: &str) -> Result<(), WorkspaceError> {
        self.check(Trouble::Resume)?;
        self.files.resume(key, reference).await
    }

    async fn checkpoint(&self, key: &str) -> Result<Option<String>, WorkspaceError> {
        self.check(Trouble::Checkpoint)?;
        let saved = self.files.checkpoint(key).await;
        if self.is_in(Trouble::Hangs) {
            std::future::pending::<()>().await;
        }
        saved
    }

    async fn abort(&self, key: &str) -> Result<(), WorkspaceError> {
        self.files.abort(key).await
    }

    async fn cleanup(&self, key: &str) -> Result<(), WorkspaceError> {
        self.files.cleanup(key).await
    }
}

type Ended = Result<RunEnd<String>, Error>;

fn start(
    world: &World,
    space: &Space,
    options: RunOptions,
    body: impl AsyncFnOnce(Ctx<Space>) -> Result<String, Error> + 'static,
) -> (Worker, Outcome<Ended>) {
    let worker = world.worker();
    let (own, space) = (worker.clone(), space.clone());
    let outcome = worker
        .run(async move { run_durable_in(&own.ports, &own.store, space, options, body).await });
    world.run_for(1_000);
    (worker, outcome)
}

fn options() -> RunOptions {
    RunOptions::new(RUN, manifest())
}

/// Appends to a file in two steps.
fn body(
    space: &Space,
    done: &Done,
) -> impl AsyncFnOnce(Ctx<Space>) -> Result<String, Error> + 'static + use<> {
    let (files, done) = (space.files.clone(), done.clone());
    async move |ctx: Ctx<Space>| {
        for name in ["a", "b"] {
            let step = StepOptions::new(name).retry(RetryPolicy::attempts(2).only(&["busy"]));
            ctx.named_step(step, async |_| {
                done.note(name);
                let before = files.read("log").unwrap_or_default();
                let written = files.write("log", &format!("{before}{name}"));
                written.map_err(|failure| StepError::new("lost", failure.message))
            })
            .await?;
        }
        Ok(files.read("log").unwrap_or_default())
    }
}

#[test]
fn a_checkpoint_without_its_record_is_made_again_from_the_last_record() {
    let world = World::new(0);
    let (space, done) = (Space::default(), Done::default());
    let first_is_recorded = {
        let (space, files, noted) = (space.clone(), space.files.clone(), done.clone());
        async move |ctx: Ctx<Space>| {
            ctx.named_step("a", async |_| {
                noted.note("a");
                let written = files.write("log", "a");
                written.map_err(|failure| StepError::new("lost", failure.message))
            })
            .await?;
            space.trouble.set(Trouble::Hangs);
            ctx.named_step("b", async |_| {
                noted.note("b");
                let written = files.write("log", "ab, half");
                written.map_err(|failure| StepError::new("lost", failure.message))
            })
            .await?;
            Ok(String::new())
        }
    };
    let (worker, _) = start(&world, &space, options(), first_is_recorded);
    worker.end();
    assert_eq!(space.files.read("log").as_deref(), Some("ab, half"));
    space.files.lose();
    space.trouble.set(Trouble::None);
    world.run_for(31_000);
    let (_, outcome) = start(&world, &space, options(), body(&space, &done));
    assert_eq!(
        result(&outcome),
        completed("ab".to_owned(), RunMode::Resumed)
    );
    assert_eq!(done.all(), ["a", "b", "b"]);
    assert_eq!(
        space.files.calls(),
        [
            "r-1:start",
            "r-1:1:pause:a",
            "r-1:1:pause:b",
            "r-1:1:resume",
            "r-1:cleanup"
        ]
    );
    assert!(!space.files.is_open());
}

/// Two steps at once, of which the one that began first ends last: what it saved is what comes back.
#[test]
fn a_run_goes_on_with_the_workspace_of_the_step_that_ended_last() {
    let world = World::new(0);
    let space = Space::default();
    let body = |is_first: bool| {
        let (files, ports) = (space.files.clone(), world.worker().ports);
        async move |ctx: Ctx<Space>| {
            let steps = [("slow", 0, 400), ("quick", 50, 100)].map(|(name, behind_ms, ms)| {
                let (ctx, files, ports) = (ctx.clone(), files.clone(), ports.clone());
                async move {
                    ports.sleep(behind_ms).await;
                    ctx.named_step(name, async |_| {
                        ports.sleep(ms).await;
                        let written = files.write("log", name);
                        written.map_err(|failure| StepError::new("lost", failure.message))
                    })
                    .await
                }
            });
            for done in ctx.join(steps.into()).await {
                done?;
            }
            if is_first {
                std::future::pending::<()>().await;
            }
            Ok(files.read("log").unwrap_or_default())
        }
    };
    let (worker, _) = start(&world, &space, options(), body(true));
    worker.end();
    space.files.lose();
    world.run_for(31_000);
    let (_, outcome) = start(&world, &space, options(), body(false));
    assert_eq!(
        result(&outcome),
        completed("slow".to_owned(), RunMode::Resumed)
    );
}

#[test]
fn a_workspace_that_can_not_be_entered_leaves_the_run_free_and_open() {
    for trouble in [Trouble::Start, Trouble::Resume] {
        let world = World::new(0);
        let (space, done) = (Space::default(), Done::default());
        if trouble == Trouble::Resume {
            let (worker, _) = start(&world, &space, options(), async |ctx| {
                ctx.named_step("a", async |_| Ok(())).await?;
                std::future::pending::<()>().await;
                Ok(String::new())
            });
            worker.end();
            world.run_for(31_000);
        }
        space.trouble.set(trouble);
        let (_, outcome) = start(&world, &space, options(), body(&space, &done));
        let error = result(&outcome).expect_err("it can't be entered");
        assert_eq!(error.code(), Code::WorkspaceFailed.into());
        let run = stored(&world);
        assert_eq!((run.state.status, run.lease), (Status::Running, None));
        assert_eq!(done.all(), [] as [&str; 0]);
        space.trouble.set(Trouble::None);
        let (_, outcome) = start(&world, &space, options(), body(&space, &done));
        assert!(matches!(result(&outcome), Ok(RunEnd::Completed { .. })));
    }
}

#[test]
fn a_checkpoint_that_fails_is_its_steps_failure_and_is_kept() {
    let world = World::new(0);
    let (space, done) = (Space::default(), Done::default());
    space.trouble.set(Trouble::Checkpoint);
    let (_, outcome) = start(&world, &space, options(), body(&space, &done));
    let error = result(&outcome).expect_err("it can't be saved");
    assert_eq!(error.code(), Code::WorkspaceFailed.into());
    let steps = super::steps(&world);
    assert_eq!(steps[0].status, "failed");
    assert_eq!(steps[0].detail.failures[0].code, "workspace_failed");
    assert_eq!(stored(&world).state.status, Status::Failed);
    assert!(space.files.is_open(), "another attempt may go on with it");
    space.trouble.set(Trouble::None);
    let (_, outcome) = start(&world, &space, options().attempts(2), body(&space, &done));
    assert!(matches!(result(&outcome), Ok(RunEnd::Completed { .. })));
    let calls = space.files.calls();
    let of_second: Vec<_> = calls.iter().filter(|call| call.contains(":2:")).collect();
    assert_eq!(of_second, ["r-1:2:pause:a", "r-1:2:pause:b"]);
}

#[test]
fn a_cancelled_runs_workspace_is_aborted_and_a_replay_has_none() {
    let world = World::new(0);
    let space = Space::default();
    let token = CancelToken::new();
    let ports = world.worker().ports;
    let cancelled = token.clone();
    let (_, outcome) = start(&world, &space, options().cancel(token), async move |ctx| {
        ctx.named_step("a", async |_| {
            ports.sleep(100).await;
            cancelled.cancel(None);
            std::future::pending::<()>().await;
            Ok(())
        })
        .await?;
        Ok(String::new())
    });
    let stopped = Error::Stopped(Stop::Cancelled { reason: None });
    assert_eq!(result(&outcome), Err(stopped));
    assert_eq!(space.files.calls(), ["r-1:start", "r-1:abort"]);
    assert!(!space.files.is_open());

    let world = World::new(0);
    let space = Space::default();
    let simple = || async |ctx: Ctx<Space>| ctx.named_step("a", async |_| Ok("x".to_owned())).await;
    let (_, outcome) = start(&world, &space, options(), simple());
    assert_eq!(result(&outcome), completed("x".to_owned(), RunMode::Fresh));
    let calls = space.files.calls();
    let (_, outcome) = start(&world, &space, options(), simple());
    assert_eq!(
        result(&outcome),
        completed("x".to_owned(), RunMode::Replayed)
    );
    assert_eq!(space.files.calls(), calls);
}
