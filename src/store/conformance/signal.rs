//! What reaches a run from outside: events, the intent to cancel, and the cancel yet to be told.

use super::scene::{NOW, Scene, done, expect_eq, moved, only};
use crate::store::{Cancel, Emitted, Error, EventRecord, Status, Store, UpstreamCancel};

type Verdict = Result<(), String>;

fn record(key: &str, payload: &str, rev: u64) -> EventRecord {
    EventRecord {
        key: key.to_owned(),
        payload: payload.to_owned(),
        rev,
        emitted_at: NOW,
    }
}

/// Emits, which must be answered with `record`.
async fn emit<S: Store>(
    scene: &Scene<'_, S>,
    payload: &str,
    accepted: bool,
    record: EventRecord,
) -> Verdict {
    let (id, key) = (scene.run_id(0), record.key.clone());
    let later = if accepted { NOW } else { NOW + 1 };
    let found = scene.store.emit_event(&id, &key, payload, later).await;
    expect_eq("emit", &Ok(Emitted { accepted, record }), &found)
}

fn cancel(reason: &str, at: i64) -> Cancel {
    Cancel {
        reason: Some(reason.to_owned()),
        at,
    }
}

pub(super) async fn first_emit_wins<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    emit(&scene, "1", true, record("a", "1", 2)).await?;
    emit(&scene, "2", false, record("a", "1", 2)).await?;
    emit(&scene, "3", true, record("A", "3", 3)).await?;
    emit(&scene, "1", false, record("a", "1", 2)).await?;
    expect_eq("event", &record("a", "1", 2), &scene.event(0, "a").await?)?;
    expect_eq("event", &record("A", "3", 3), &scene.event(0, "A").await?)
}

pub(super) async fn a_new_event_on_a_finished_run_is_fenced<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.finished(0).await?;
    let before = scene.snapshot(0).await?;
    let id = scene.run_id(0);
    let found = scene.store.emit_event(&id, "a", "1", NOW).await;
    expect_eq("emit", &Err(Error::Fenced), &found)?;
    expect_eq("event", &Ok(None), &scene.store.event(&id, "a").await)?;
    expect_eq(
        "what is stored behind the refusal",
        &before,
        &scene.snapshot(0).await?,
    )
}

/// Suspends turn 0, which is to be looked at by `wake_at`.
async fn suspend<S: Store>(scene: &Scene<'_, S>, wake_at: Option<i64>) -> Verdict {
    let mut suspended = moved(Status::Suspended, 1);
    suspended.state.wake_at = wake_at;
    done("suspend", scene.commit(0, 1, 1, &only(suspended)).await)
}

pub(super) async fn a_new_event_makes_a_suspended_run_due<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    let id = scene.run_id(0);
    let known = Some(NOW + 6_000);
    // A key that is known is no news, whatever it brings.
    for (key, wake_at, news) in [
        ("a", Some(NOW + 5_000), true),
        ("b", None, true),
        ("a", known, false),
        ("b", known, false),
    ] {
        suspend(&scene, wake_at).await?;
        let mut run = scene.run(0).await?;
        let emitted = scene.store.emit_event(&id, key, "1", NOW + 40).await;
        expect_eq("accepted", &news, &done("emit", emitted)?.accepted)?;
        if news {
            run.state.wake_at = Some(NOW + 40);
            run.rev += 1;
        }
        expect_eq("run", &run, &scene.run(0).await?)?;
    }
    Ok(())
}

pub(super) async fn an_event_leaves_a_run_that_runs_as_due_as_it_was<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    let due = scene.run(0).await?.state.wake_at;
    let id = scene.run_id(0);
    done(
        "emit",
        scene.store.emit_event(&id, "a", "1", NOW + 40).await,
    )?;
    expect_eq("wake_at", &due, &scene.run(0).await?.state.wake_at)
}

pub(super) async fn a_known_event_answers_on_a_finished_run<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    emit(&scene, "1", true, record("a", "1", 2)).await?;
    scene.end(0, Status::Completed).await?;
    let before = scene.snapshot(0).await?;
    emit(&scene, "2", false, record("a", "1", 2)).await?;
    expect_eq("event", &record("a", "1", 2), &scene.event(0, "a").await?)?;
    expect_eq(
        "what is stored behind the repeat",
        &before,
        &scene.snapshot(0).await?,
    )
}

pub(super) async fn an_event_belongs_to_its_run<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.finished(0).await?;
    scene.begin(1).await?;
    let second = scene.run_id(1);
    let emitted = scene.store.emit_event(&second, "a", "1", NOW).await;
    done("emit", emitted)?;
    expect_eq("event", &record("a", "1", 2), &scene.event(1, "a").await?)?;
    let first = scene.store.event(&scene.run_id(0), "a").await;
    expect_eq("the other run's", &Ok(None), &first)
}

pub(super) async fn what_does_not_exist_takes_no_event<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let id = scene.run_id(0);
    let found = scene.store.emit_event(&id, "a", "1", NOW).await;
    expect_eq("emit", &Err(Error::Missing), &found)?;
    expect_eq("event", &Ok(None), &scene.store.event(&id, "a").await)
}

pub(super) async fn first_cancel_reason_is_kept<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    let id = scene.run_id(0);
    let first = cancel("first", NOW + 1);
    for asked in [&first, &cancel("second", NOW + 2)] {
        let found = scene.store.request_cancel(&id, asked).await;
        expect_eq("cancel", &Ok(true), &found)?;
        let run = scene.run(0).await?;
        expect_eq("the intent", &Some(first.clone()), &run.cancel)?;
        expect_eq("updated_at", &first.at, &run.updated_at)?;
        // An intent ends nothing: that is the drain's to commit.
        expect_eq("status", &Status::Running, &run.state.status)?;
    }
    Ok(())
}

pub(super) async fn a_cancel_makes_a_suspended_run_due<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    let id = scene.run_id(0);
    let first = cancel("first", NOW + 40);
    suspend(&scene, Some(NOW + 5_000)).await?;
    // What is known already is no news.
    for asked in [&first, &cancel("second", NOW + 50)] {
        let found = scene.store.request_cancel(&id, asked).await;
        expect_eq("cancel", &Ok(true), &found)?;
        let due = scene.run(0).await?.state.wake_at;
        expect_eq("wake_at", &Some(first.at), &due)?;
    }
    Ok(())
}

pub(super) async fn a_finished_run_cannot_be_cancelled<S: Store>(scene: Scene<'_, S>) -> Verdict {
    for before_the_end in [None, Some(cancel("first", NOW))] {
        let turn = u64::from(before_the_end.is_some());
        scene.begin(turn).await?;
        let id = scene.run_id(turn);
        if let Some(first) = &before_the_end {
            done("cancel", scene.store.request_cancel(&id, first).await)?;
        }
        scene.end(turn, Status::Completed).await?;
        let before = scene.snapshot(turn).await?;
        let found = scene.store.request_cancel(&id, &cancel("late", NOW)).await;
        expect_eq("cancel", &Ok(false), &found)?;
        expect_eq("what is stored", &before, &scene.snapshot(turn).await?)?;
    }
    Ok(())
}

pub(super) async fn what_does_not_exist_cannot_be_cancelled<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let id = scene.run_id(0);
    let found = scene.store.request_cancel(&id, &cancel("why", NOW)).await;
    expect_eq("cancel", &Err(Error::Missing), &found)?;
    done(
        "tell",
        scene.store.set_upstream_cancel(&id, None, NOW).await,
    )?;
    expect_eq("run", &None, &done("run", scene.store.run(&id).await)?)
}

pub(super) async fn a_pending_upstream_cancel_is_replaced_until_it_is_told<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.finished(0).await?;
    let id = scene.run_id(0);
    let pending = |tries| UpstreamCancel {
        execution_id: "execution".to_owned(),
        tries,
        next_at: NOW + i64::from(tries),
    };
    for (later, expected) in (200..).zip([Some(pending(0)), Some(pending(1)), None]) {
        let told = scene
            .store
            .set_upstream_cancel(&id, expected.as_ref(), NOW + later);
        done("tell", told.await)?;
        let run = scene.run(0).await?;
        expect_eq("what is pending", &expected, &run.upstream_cancel)?;
        expect_eq("updated_at", &(NOW + later), &run.updated_at)?;
        expect_eq("status", &Status::Completed, &run.state.status)?;
    }
    Ok(())
}
