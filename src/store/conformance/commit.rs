//! What a drain makes true: together, under its fence, at the end of the log it knows, once.

use super::scene::{
    NOW, Scene, both, done, ended, expect_eq, last_step, lines, message, moved, only, only_lines,
    row, state, step,
};
use crate::store::{
    Attempt, Cancel, Changes, Error, Handle, LastError, Lease, Lines, MessageStatus, Policy, Role,
    RunOutcome, Status, Step, StepDetail, StepFailure, Store, UpstreamCancel,
};

type Verdict = Result<(), String>;

/// An end of turn 0 whose log is `["started"]`, with a second line.
fn the_end() -> Changes {
    both(&["ended"], ended(0, Status::Completed, 2))
}

/// One of each: lines, a move, both, an end.
fn one_of_each(end: u64) -> [Changes; 4] {
    [
        only_lines(&["x"]),
        only(moved(Status::Suspended, end)),
        both(&["x", "y"], moved(Status::Running, end + 2)),
        both(&["x"], ended(0, Status::Failed, end + 1)),
    ]
}

pub(super) async fn one_decision_is_stored_together<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    let mut end = ended(0, Status::Cancelled, 3);
    end.state.attempts.push(Attempt {
        number: 2,
        reason: "stream_lost".to_owned(),
        started_at: NOW + 50,
    });
    end.state.handle = Some(Handle {
        suspended_at: Some(NOW + 60),
        waited_ms: 7,
        ..Handle::new("execution:a2".to_owned(), 2)
    });
    end.state.outcome = Some(RunOutcome {
        text_units: 9,
        reason: Some("enough".to_owned()),
    });
    end.state.usage = Some(r#"{"tokens":1.0}"#.to_owned());
    end.state.last_error = Some(LastError {
        code: "upstream_unavailable".to_owned(),
        message: "gone".to_owned(),
        at: NOW + 60,
    });
    end.upstream_cancel = Some(UpstreamCancel {
        execution_id: "execution:a2".to_owned(),
        tries: 0,
        next_at: NOW + 100,
    });
    let mut own = last_step();
    own.detail = detail();
    let tool = Step {
        detail: StepDetail::default(),
        ..step(1, "running")
    };
    let changes = Changes {
        steps: vec![own.clone(), tool.clone()],
        ..both(&["a", "b"], end.clone())
    };
    done("commit", scene.commit(0, 1, 1, &changes).await)?;

    let found = scene.snapshot(0).await?;
    let log = vec![row(0, 1, &["started"]), row(1, 1, &["a", "b"])];
    expect_eq("log", &log, &found.log)?;
    let mut run = scene.turn(0).run;
    run.state = end.state;
    run.upstream_cancel = end.upstream_cancel;
    run.rev = 2;
    run.updated_at = NOW + 100;
    expect_eq("run", &Some(run), &found.run)?;
    let mut answer = message(0, Role::Assistant, "hello");
    answer.rev = 2;
    let messages = vec![message(0, Role::User, "hi"), answer];
    expect_eq("messages", &messages, &found.messages)?;
    let steps: Vec<Step> = [own, tool]
        .into_iter()
        .map(|step| Step { rev: 2, ..step })
        .collect();
    expect_eq("steps", &steps, &found.steps)
}

/// Every field that only some steps have.
fn detail() -> StepDetail {
    StepDetail {
        name: Some("tool:1".to_owned()),
        input_hash: Some("00ff".to_owned()),
        deadline: Some(NOW + 9),
        failures: vec![StepFailure {
            attempt: 1,
            run_attempt: 1,
            code: "boom".to_owned(),
            author: true,
            message: "it did \"not\" work".to_owned(),
            at: NOW + 1,
            retry_at: Some(NOW + 2),
        }],
        workspace: Some("ref-1".to_owned()),
    }
}

pub(super) async fn lines_alone_leave_the_run_as_it_is<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    done(
        "commit",
        scene.commit(0, 1, 1, &only_lines(&["a", "b"])).await,
    )?;
    done("commit", scene.commit(0, 1, 3, &only_lines(&["c"])).await)?;
    let found = scene.snapshot(0).await?;
    expect_eq("run", &Some(scene.turn(0).run), &found.run)?;
    let log = vec![
        row(0, 1, &["started"]),
        row(1, 1, &["a", "b"]),
        row(3, 1, &["c"]),
    ];
    expect_eq("log", &log, &found.log)
}

pub(super) async fn no_changes_change_nothing<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    let before = scene.snapshot(0).await?;
    for changes in [Changes::default(), only_lines(&[])] {
        done("commit", scene.commit(0, 1, 1, &changes).await)?;
    }
    expect_eq("what is stored", &before, &scene.snapshot(0).await?)?;
    // An empty row would stand where the next line belongs.
    done("commit", scene.commit(0, 1, 1, &only_lines(&["a"])).await)
}

pub(super) async fn stale_epoch_cannot_append<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    let epoch = scene.take(0, "b").await?;
    scene
        .denied(0, 1, 1, &only_lines(&["late"]), Error::Fenced)
        .await?;
    done(
        "commit",
        scene.commit(0, epoch, 1, &only_lines(&["a"])).await,
    )?;
    scene
        .denied(0, 1, 2, &only_lines(&["late"]), Error::Fenced)
        .await?;
    expect_eq(
        "log",
        &vec![row(0, 1, &["started"]), row(1, 2, &["a"])],
        &scene.log(0).await?,
    )
}

pub(super) async fn stale_epoch_cannot_transition<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    scene.take(0, "b").await?;
    for changes in one_of_each(1) {
        scene.denied(0, 1, 1, &changes, Error::Fenced).await?;
    }
    Ok(())
}

pub(super) async fn an_epoch_never_given_is_fenced<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    for epoch in [0, 2] {
        for changes in one_of_each(1) {
            scene.denied(0, epoch, 1, &changes, Error::Fenced).await?;
        }
    }
    Ok(())
}

pub(super) async fn terminal_is_final<S: Store>(scene: Scene<'_, S>) -> Verdict {
    for status in [Status::Completed, Status::Failed, Status::Cancelled] {
        let session = format!("{}-{}", scene.session(), status.name());
        let scene = scene.other(None, &session);
        scene.begin(0).await?;
        let end = both(&["ended"], moved(status, 2));
        done("the end", scene.commit(0, 1, 1, &end).await)?;
        for at in [2, 1] {
            for changes in one_of_each(at) {
                scene.denied(0, 1, at, &changes, Error::Fenced).await?;
            }
        }
        let other = if status == Status::Failed {
            Status::Completed
        } else {
            Status::Failed
        };
        scene
            .denied(0, 1, 2, &only(moved(other, 2)), Error::Fenced)
            .await?;
    }
    Ok(())
}

pub(super) async fn a_repeated_commit_is_recognised<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    let changes = [
        (1, only_lines(&["a", "b"])),
        (3, both(&["c"], moved(Status::Suspended, 4))),
        (4, both(&["d"], moved(Status::Running, 5))),
    ];
    for (at, changes) in &changes {
        done("the first", scene.commit(0, 1, *at, changes).await)?;
        let before = scene.snapshot(0).await?;
        done("the second", scene.commit(0, 1, *at, changes).await)?;
        expect_eq("what is stored", &before, &scene.snapshot(0).await?)?;
    }
    let before = scene.snapshot(0).await?;
    done(
        "behind others",
        scene.commit(0, 1, 1, &only_lines(&["a", "b"])).await,
    )?;
    expect_eq("what is stored", &before, &scene.snapshot(0).await?)
}

pub(super) async fn a_repeated_terminal_commit_is_recognised<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    done("the first", scene.commit(0, 1, 1, &the_end()).await)?;
    let before = scene.snapshot(0).await?;
    done("the second", scene.commit(0, 1, 1, &the_end()).await)?;
    expect_eq("what is stored", &before, &scene.snapshot(0).await?)?;
    // The same lines with another end are another decision.
    let other = both(&["ended"], ended(0, Status::Failed, 2));
    scene.denied(0, 1, 1, &other, Error::Fenced).await
}

pub(super) async fn a_repeat_under_another_epoch_is_fenced<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    let changes = only_lines(&["a"]);
    done("commit", scene.commit(0, 1, 1, &changes).await)?;
    let epoch = scene.take(0, "b").await?;
    scene.denied(0, 1, 1, &changes, Error::Fenced).await?;
    // The new owner did not write them either.
    let elsewhere = Error::SeqMismatch {
        expected: 1,
        found: 2,
    };
    scene.denied(0, epoch, 1, &changes, elsewhere).await
}

pub(super) async fn a_commit_at_another_end_of_the_log_changes_nothing<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    done(
        "commit",
        scene.commit(0, 1, 1, &only_lines(&["a", "b"])).await,
    )?;
    for expected in [0, 1, 2, 4, 1_000] {
        for changes in one_of_each(expected) {
            let error = Error::SeqMismatch { expected, found: 3 };
            scene.denied(0, 1, expected, &changes, error).await?;
        }
    }
    Ok(())
}

pub(super) async fn another_commit_at_the_same_place_changes_nothing<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    done(
        "commit",
        scene.commit(0, 1, 1, &only_lines(&["a", "b"])).await,
    )?;
    let error = Error::SeqMismatch {
        expected: 1,
        found: 3,
    };
    // As many lines as are there, so that the log ends where this decision would have it end.
    let ends = both(&["x", "y"], ended(0, Status::Completed, 3));
    scene.denied(0, 1, 1, &ends, error.clone()).await?;
    let moves = both(&["x", "y"], moved(Status::Suspended, 3));
    scene.denied(0, 1, 1, &moves, error.clone()).await?;
    // The same lines, but with a move that is not true yet.
    let half = both(&["a", "b"], moved(Status::Suspended, 3));
    scene.denied(0, 1, 1, &half, error.clone()).await?;
    // The same text, but of other frames: what they said twice was said twice.
    for change in [
        |lines: &mut Lines| lines.frame_ids = vec![None, Some("frame-b".to_owned())],
        |lines: &mut Lines| lines.cursor = None,
        |lines: &mut Lines| lines.attempt = 2,
    ] {
        let mut other = lines(&["a", "b"]);
        change(&mut other);
        let other = Changes {
            lines: Some(other),
            ..Changes::default()
        };
        scene.denied(0, 1, 1, &other, error.clone()).await?;
    }
    Ok(())
}

pub(super) async fn a_state_must_count_the_lines<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    for (changes, expected, found) in [
        (only(moved(Status::Suspended, 2)), 2, 1),
        (both(&["a"], ended(0, Status::Completed, 1)), 1, 2),
        (both(&["a"], ended(0, Status::Completed, 3)), 3, 2),
    ] {
        let error = Error::SeqMismatch { expected, found };
        scene.denied(0, 1, 1, &changes, error).await?;
    }
    Ok(())
}

pub(super) async fn a_transition_keeps_what_is_not_its_own<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    let until = NOW + 1_000;
    let lease = Policy::WhenFree { until };
    done(
        "acquire",
        scene.store.acquire(&scene.run_id(0), lease, "a", NOW).await,
    )?;
    let cancel = Cancel {
        reason: Some("enough".to_owned()),
        at: NOW,
    };
    done(
        "cancel",
        scene.store.request_cancel(&scene.run_id(0), &cancel).await,
    )?;
    let mut bare = moved(Status::Running, 1);
    bare.state.handle = None;
    bare.state.wake_at = None;
    done("commit", scene.commit(0, 2, 1, &only(bare.clone())).await)?;
    let found = scene.run(0).await?;
    let mut run = scene.turn(0).run;
    run.state = bare.state;
    run.epoch = 2;
    run.lease = Some(Lease {
        holder: "a".to_owned(),
        until,
    });
    run.cancel = Some(cancel);
    run.rev = 4;
    run.updated_at = NOW + 100;
    expect_eq("run", &run, &found)
}

pub(super) async fn a_message_and_a_step_keep_when_they_began<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    let mut end = ended(0, Status::Failed, 1);
    let mut replaced = message(0, Role::User, "replaced");
    replaced.status = MessageStatus::Partial;
    replaced.retry_of = Some(3);
    replaced.created_at = NOW + 7;
    end.message = Some(replaced);
    let mut again = step(0, "failed");
    again.intent = "another".to_owned();
    again.kind = "tool".to_owned();
    again.attempts = 2;
    again.error = Some(r#"{"code":"x"}"#.to_owned());
    again.started_at = NOW + 7;
    again.completed_at = Some(NOW + 8);
    let changes = Changes {
        steps: vec![again.clone()],
        ..only(end)
    };
    done("commit", scene.commit(0, 1, 1, &changes).await)?;

    let found = scene.snapshot(0).await?;
    let mut kept = message(0, Role::User, "replaced");
    kept.status = MessageStatus::Partial;
    kept.rev = 2;
    expect_eq("messages", &vec![kept], &found.messages)?;
    let kept = Step {
        status: again.status,
        attempts: again.attempts,
        error: again.error,
        completed_at: again.completed_at,
        rev: 2,
        ..step(0, "running")
    };
    expect_eq("steps", &vec![kept], &found.steps)
}

pub(super) async fn rev_grows_with_each_change<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let id = scene.run_id(0);
    let grown = async |what: &str, rev: u64| expect_eq(what, &rev, &scene.run(0).await?.rev);
    scene.begin(0).await?;
    grown("begin", 1).await?;
    scene.take(0, "a").await?;
    grown("acquire", 2).await?;
    let cancel = Cancel {
        reason: None,
        at: NOW,
    };
    for _ in 0..2 {
        done("cancel", scene.store.request_cancel(&id, &cancel).await)?;
        grown("the first cancel", 3).await?;
    }
    for _ in 0..2 {
        done("event", scene.store.emit_event(&id, "e", "1", NOW).await)?;
        grown("the first event", 4).await?;
    }
    expect_eq("the event's rev", &4, &scene.event(0, "e").await?.rev)?;
    done("lines", scene.commit(0, 2, 1, &only_lines(&["a"])).await)?;
    grown("lines alone", 4).await?;
    let end = both(&["b"], ended(0, Status::Completed, 3));
    done("end", scene.commit(0, 2, 2, &end).await)?;
    grown("a transition", 5).await?;
    let told = UpstreamCancel {
        execution_id: "execution".to_owned(),
        tries: 1,
        next_at: NOW,
    };
    for _ in 0..2 {
        done(
            "tell",
            scene.store.set_upstream_cancel(&id, Some(&told), NOW).await,
        )?;
        grown("a pending cancel", 6).await?;
    }
    expect_eq(
        "state",
        &state(Status::Completed, 3).line_count,
        &scene.run(0).await?.state.line_count,
    )
}

pub(super) async fn a_missing_run_takes_no_commit<S: Store>(scene: Scene<'_, S>) -> Verdict {
    for changes in one_of_each(0) {
        scene.denied(0, 1, 0, &changes, Error::Missing).await?;
    }
    Ok(())
}
