//! Steps beside the log and the state of their run: fenced as they are, known when repeated.

use super::scene::{NOW, Scene, done, expect_eq, only_steps, step};
use crate::store::{Error, Run, Store};

type Verdict = Result<(), String>;

pub(super) async fn steps_alone_leave_the_log_and_the_state_as_they_are<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    let before = scene.snapshot(0).await?;
    let steps = [step(1, "running"), step(2, "running")];
    done("commit", scene.commit(0, 1, 1, &only_steps(&steps)).await)?;
    let found = scene.snapshot(0).await?;
    expect_eq("log", &before.log, &found.log)?;
    let run = before.run.map(|run| Run {
        rev: 2,
        updated_at: NOW + 100,
        ..run
    });
    expect_eq("run", &run, &found.run)?;
    let revs: Vec<u64> = found.steps.iter().map(|step| step.rev).collect();
    expect_eq("revs", &vec![1, 2, 2], &revs)
}

pub(super) async fn steps_are_fenced_like_everything_else<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    scene.take(0, "b").await?;
    let before = scene.snapshot(0).await?;
    let steps = only_steps(&[step(0, "failed"), step(1, "running")]);
    let found = scene.commit(0, 1, 1, &steps).await;
    expect_eq("a stale epoch", &Err(Error::Fenced), &found)?;
    let found = scene.commit(0, 2, 7, &steps).await;
    let elsewhere = Err(Error::SeqMismatch {
        expected: 7,
        found: 1,
    });
    expect_eq("another end of the log", &elsewhere, &found)?;
    expect_eq(
        "what is stored behind the refusals",
        &before,
        &scene.snapshot(0).await?,
    )
}
