//! Steps beside the log and the state of their run: fenced as they are, known when repeated.

use super::scene::{
    NOW, Scene, Snapshot, done, expect_eq, moved, only, only_lines, only_steps, row, step,
};
use crate::store::{Changes, Error, Run, Status, Step, StepDetail, StepFailure, Store};

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

/// As a write does that lands behind its own repeat and what came after that.
pub(super) async fn a_state_that_a_step_has_left_behind_changes_nothing<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    let begun = |attempts: u32, failures: u32| Step {
        attempts,
        detail: StepDetail {
            failures: (1..=failures).map(failure).collect(),
            ..StepDetail::default()
        },
        ..step(1, "running")
    };
    let completed = Step {
        result: Some("7".to_owned()),
        ..begun(2, 1)
    };
    let completed = Step {
        status: "completed".to_owned(),
        ..completed
    };
    let life = [begun(1, 0), begun(1, 1), begun(2, 1), completed];
    for (now, state) in life.iter().enumerate() {
        let written = scene
            .commit(0, 1, 1, &only_steps(std::slice::from_ref(state)))
            .await;
        done("commit", written)?;
        for before in life.iter().take(now) {
            let late = scene
                .commit(0, 1, 1, &only_steps(std::slice::from_ref(before)))
                .await;
            done("a late commit", late)?;
        }
        let found = scene.snapshot(0).await?.steps.pop();
        let expected = found.as_ref().map(|found| Step {
            rev: found.rev,
            ..state.clone()
        });
        expect_eq("the step", &expected, &found)?;
    }
    Ok(())
}

fn failure(attempt: u32) -> StepFailure {
    StepFailure {
        attempt,
        run_attempt: 1,
        code: "busy".to_owned(),
        author: false,
        message: String::new(),
        at: NOW,
        retry_at: None,
    }
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

/// Every field of a detail.
fn detail() -> StepDetail {
    StepDetail {
        name: Some("ask".to_owned()),
        input_hash: Some("00ff".to_owned()),
        deadline: Some(NOW + 9),
        failures: vec![StepFailure {
            attempt: 1,
            run_attempt: 1,
            code: "boom".to_owned(),
            author: true,
            message: "it did not work".to_owned(),
            at: NOW + 1,
            retry_at: None,
        }],
        workspace: Some("ref-1".to_owned()),
    }
}

pub(super) async fn a_step_that_stands_keeps_what_it_is_and_takes_its_detail<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    for (rev, detail) in (2..).zip([detail(), StepDetail::default(), detail()]) {
        let again = Step {
            intent: "another".to_owned(),
            kind: "tool".to_owned(),
            started_at: NOW + 7,
            attempts: 4,
            result: Some("1".to_owned()),
            error: Some("2".to_owned()),
            completed_at: Some(NOW + 8),
            detail,
            ..step(0, "completed")
        };
        let steps = only_steps(std::slice::from_ref(&again));
        done("commit", scene.commit(0, 1, 1, &steps).await)?;
        let first = step(0, "running");
        let kept = Step {
            intent: first.intent,
            kind: first.kind,
            started_at: first.started_at,
            rev,
            ..again
        };
        expect_eq("steps", &vec![kept], &scene.snapshot(0).await?.steps)?;
    }
    Ok(())
}

/// What a snapshot shows but for revs, which may grow with a repeat.
fn but_for_revs(mut snapshot: Snapshot) -> Snapshot {
    if let Some(run) = &mut snapshot.run {
        run.rev = 0;
    }
    snapshot.steps.iter_mut().for_each(|step| step.rev = 0);
    snapshot
}

pub(super) async fn a_repeated_commit_of_steps_is_recognised<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    let steps = [step(0, "completed"), step(1, "running")];
    done("alone", scene.commit(0, 1, 1, &only_steps(&steps)).await)?;
    let before = but_for_revs(scene.snapshot(0).await?);
    done("again", scene.commit(0, 1, 1, &only_steps(&steps)).await)?;
    let after = but_for_revs(scene.snapshot(0).await?);
    expect_eq("what is stored", &before, &after)?;

    // With lines the log's end tells a repeat from a new decision.
    let done_now = Step {
        detail: detail(),
        ..step(1, "completed")
    };
    let with_line = |step: Step| Changes {
        steps: vec![step],
        ..only_lines(&["a"])
    };
    let first = with_line(done_now.clone());
    done("with a line", scene.commit(0, 1, 1, &first).await)?;
    let before = scene.snapshot(0).await?;
    let log = vec![row(0, 1, &["started"]), row(1, 1, &["a"])];
    expect_eq("log", &log, &before.log)?;
    let found = before.steps.get(1).map(|step| &step.detail);
    expect_eq("detail", &Some(&done_now.detail), &found)?;
    done("again", scene.commit(0, 1, 1, &first).await)?;
    expect_eq("what is stored", &before, &scene.snapshot(0).await?)?;
    let error = Error::SeqMismatch {
        expected: 1,
        found: 2,
    };
    let other = with_line(Step {
        detail: StepDetail::default(),
        ..done_now.clone()
    });
    scene.denied(0, 1, 1, &other, error.clone()).await?;
    let more = with_line(step(2, "running"));
    scene.denied(0, 1, 1, &more, error).await?;

    // And so does the end of the run.
    let last = Changes {
        steps: vec![step(2, "completed")],
        ..only(moved(Status::Completed, 2))
    };
    done("the end", scene.commit(0, 1, 2, &last).await)?;
    let before = scene.snapshot(0).await?;
    done("again", scene.commit(0, 1, 2, &last).await)?;
    expect_eq("what is stored", &before, &scene.snapshot(0).await?)
}

pub(super) async fn steps_on_a_finished_run_are_fenced<S: Store>(scene: Scene<'_, S>) -> Verdict {
    for (turn, status) in (0..).zip([Status::Completed, Status::Failed, Status::Cancelled]) {
        scene.begin(turn).await?;
        scene.end(turn, status).await?;
        for step in [step(0, "failed"), step(1, "running")] {
            let alone = only_steps(std::slice::from_ref(&step));
            scene.denied(turn, 1, 2, &alone, Error::Fenced).await?;
            let with_line = Changes {
                steps: vec![step],
                ..only_lines(&["late"])
            };
            scene.denied(turn, 1, 2, &with_line, Error::Fenced).await?;
        }
    }
    Ok(())
}
