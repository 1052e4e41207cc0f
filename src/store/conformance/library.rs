//! Runs that belong to no session: created, leased by time, and opened again once they failed.

use super::scene::{
    ALL, NOW, Scene, done, expect_eq, moved, only, only_lines, only_steps, state, step,
};
use super::task::{EPOCH, Sight, Task, UNTIL, again, lease};
use crate::store::{Begun, Error, Fence, Policy, Run, RunState, Status, Store};
use futures::future::join;

type Verdict = Result<(), String>;

pub(super) async fn a_created_run_is_stored_as_it_is<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let task = Task::created(&scene).await?;
    let expected = Sight {
        run: Some(task.run.clone()),
        log: vec![],
        steps: vec![],
    };
    task.is_still(&expected).await?;
    let id = &task.run.run_id;
    expect_eq("log_end", &Ok(0), &scene.store.log_end(id).await)
}

pub(super) async fn a_created_run_belongs_to_no_session<S: Store>(scene: Scene<'_, S>) -> Verdict {
    Task::created(&scene).await?;
    let key = scene.session_key();
    expect_eq("session", &Ok(None), &scene.store.session(key).await)?;
    let runs = scene.store.runs(key, 0, ALL).await;
    expect_eq("runs", &Ok(vec![]), &runs)?;
    // Nor does it count as one of the session's turns.
    scene.begin(0).await
}

pub(super) async fn a_created_run_carries_its_epoch_and_lease<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let task = Task::created(&scene).await?;
    let found = task.ask("b", NOW).await;
    expect_eq("b", &Err(Error::LeaseHeld { until: UNTIL }), &found)?;
    let mine = Ok(Fence { epoch: EPOCH });
    expect_eq("a", &mine, &task.ask("a", NOW).await)?;
    let steps = only_steps(&[step(0, "running")]);
    for stale in [EPOCH - 1, EPOCH + 1] {
        let found = task.commit(stale, 0, &steps).await;
        expect_eq("another epoch", &Err(Error::Fenced), &found)?;
    }
    done("commit", task.commit(EPOCH, 0, &steps).await)?;
    let next = Ok(Fence { epoch: EPOCH + 1 });
    expect_eq("b at the end", &next, &task.ask("b", UNTIL).await)
}

pub(super) async fn a_taken_creation_changes_nothing<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let task = Task::created(&scene).await?;
    let steps = only_steps(&[step(0, "running")]);
    done("commit", task.commit(EPOCH, 0, &steps).await)?;
    let mut other = task.run.clone();
    other.lease = Some(lease("b", UNTIL + 9));
    other.epoch = EPOCH + 9;
    other.rev = 99;
    other.request = r#"{"other":true}"#.to_owned();
    other.state = state(Status::Suspended, 0);
    for over in [false, true] {
        if over {
            let end = only(moved(Status::Completed, 0));
            done("the end", task.commit(EPOCH, 0, &end).await)?;
        }
        let before = task.sight().await?;
        for run in [&other, &task.run] {
            let begun = done("create", scene.store.create(run).await)?;
            expect_eq("create", &Begun::Taken, &begun)?;
            task.is_still(&before).await?;
        }
    }
    Ok(())
}

pub(super) async fn two_racing_creations_have_one_winner<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let (one, mut other) = (Task::new(&scene), Task::new(&scene));
    other.run.lease = Some(lease("b", UNTIL));
    let found = join(scene.store.create(&one.run), scene.store.create(&other.run)).await;
    let winner = match found {
        (Ok(Begun::Begun), Ok(Begun::Taken)) => one.run.clone(),
        (Ok(Begun::Taken), Ok(Begun::Begun)) => other.run,
        found => return Err(format!("expected one winner, found {found:?}")),
    };
    expect_eq("run", &winner, &one.stored().await?)
}

pub(super) async fn a_renewal_lengthens_the_lease_and_nothing_else<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let task = Task::created(&scene).await?;
    for until in [UNTIL + 500, UNTIL + 2_000] {
        let mut before = task.sight().await?;
        expect_eq("renew", &Ok(()), &task.renew(EPOCH, "a", until).await)?;
        if let Some(run) = &mut before.run {
            run.lease = Some(lease("a", until));
        }
        task.is_still(&before).await?;
        let found = task.ask("b", until - 1).await;
        expect_eq("b", &Err(Error::LeaseHeld { until }), &found)?;
    }
    Ok(())
}

pub(super) async fn a_lease_that_ran_out_is_renewed_while_nobody_took_it<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let task = Task::created(&scene).await?;
    // The store has no clock: that the lease ran out shows in who may take the run.
    let (late, until) = (UNTIL + 5_000, UNTIL + 6_000);
    expect_eq("renew", &Ok(()), &task.renew(EPOCH, "a", until).await)?;
    let found = task.ask("b", late).await;
    expect_eq("b", &Err(Error::LeaseHeld { until }), &found)?;
    // Taken meanwhile, it is gone, also once the taker's own has run out.
    let next = Ok(Fence { epoch: EPOCH + 1 });
    expect_eq("b behind it", &next, &task.ask("b", until).await)?;
    let before = task.sight().await?;
    let found = task.renew(EPOCH, "a", until + 9_000).await;
    expect_eq("a", &Err(Error::Fenced), &found)?;
    task.is_still(&before).await
}

pub(super) async fn whoever_lost_a_lease_renews_nothing<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let task = Task::created(&scene).await?;
    let refused = async |epoch: u64, holder: &str| -> Verdict {
        let before = task.sight().await?;
        let found = task.renew(epoch, holder, UNTIL + 9_000).await;
        expect_eq(holder, &Err(Error::Fenced), &found)?;
        task.is_still(&before).await
    };
    refused(EPOCH, "b").await?;
    refused(EPOCH - 1, "a").await?;
    refused(EPOCH + 1, "a").await?;
    task.release(EPOCH).await?;
    refused(EPOCH, "a").await?;
    let next = Ok(Fence { epoch: EPOCH + 1 });
    expect_eq("a again", &next, &task.ask("a", NOW).await)?;
    refused(EPOCH, "a").await?;
    let end = only(moved(Status::Completed, 0));
    done("the end", task.commit(EPOCH + 1, 0, &end).await)?;
    refused(EPOCH + 1, "a").await
}

pub(super) async fn what_does_not_exist_has_no_lease<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let task = Task::new(&scene);
    let found = task.renew(EPOCH, "a", UNTIL).await;
    expect_eq("renew", &Err(Error::Missing), &found)?;
    task.release(EPOCH).await?;
    let found = task.reopen(&task.run, "a").await;
    expect_eq("reopen", &Err(Error::Missing), &found)?;
    expect_eq("run", &None, &task.sight().await?.run)
}

pub(super) async fn a_released_run_is_free_at_once<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let task = Task::created(&scene).await?;
    task.release(EPOCH).await?;
    let freed = Run {
        lease: None,
        ..task.run.clone()
    };
    expect_eq("run", &freed, &task.stored().await?)?;
    let next = Ok(Fence { epoch: EPOCH + 1 });
    expect_eq("b", &next, &task.ask("b", NOW).await)?;
    // The token that was given back is a new acquisition now.
    task.release(EPOCH + 1).await?;
    let next = Ok(Fence { epoch: EPOCH + 2 });
    expect_eq("b again", &next, &task.ask("b", NOW).await)
}

pub(super) async fn whoever_lost_a_run_releases_nothing<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let task = Task::created(&scene).await?;
    let next = Ok(Fence { epoch: EPOCH + 1 });
    expect_eq("b", &next, &task.ask("b", UNTIL).await)?;
    let before = task.sight().await?;
    for stale in [EPOCH, EPOCH + 2] {
        task.release(stale).await?;
        task.is_still(&before).await?;
    }
    let end = only(moved(Status::Failed, 0));
    done("the end", task.commit(EPOCH + 1, 0, &end).await)?;
    let before = task.sight().await?;
    task.release(EPOCH + 1).await?;
    task.is_still(&before).await
}

pub(super) async fn a_failed_run_is_reopened_for_one_more_attempt<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let task = Task::failed(&scene).await?;
    let (read, before) = (task.stored().await?, task.sight().await?);
    let fence = Ok(Fence { epoch: EPOCH + 1 });
    expect_eq("reopen", &fence, &task.reopen(&read, "b").await)?;
    let mut attempts = read.state.attempts.clone();
    attempts.push(again());
    let opened = Run {
        state: RunState {
            status: Status::Running,
            attempts,
            outcome: None,
            finished_at: None,
            ..read.state
        },
        epoch: EPOCH + 1,
        lease: Some(lease("b", UNTIL)),
        cancel: None,
        rev: read.rev + 1,
        updated_at: NOW + 200,
        ..read
    };
    let expected = Sight {
        run: Some(opened),
        ..before
    };
    task.is_still(&expected).await?;
    let found = task.ask("c", UNTIL - 1).await;
    expect_eq("c", &Err(Error::LeaseHeld { until: UNTIL }), &found)
}

pub(super) async fn only_a_failed_run_without_lines_is_reopened<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let refused = async |task: &Task<'_, S>| -> Verdict {
        let before = task.sight().await?;
        let found = task.reopen(&task.stored().await?, "b").await;
        expect_eq(&task.run.run_id, &Err(Error::Fenced), &found)?;
        task.is_still(&before).await
    };
    // Only the failed one lacks nothing but an empty log.
    for status in [Status::Completed, Status::Cancelled, Status::Failed] {
        refused(&Task::ended(&scene, status).await?).await?;
    }
    for status in [Status::Queued, Status::Running, Status::Suspended] {
        let mut open = Task::named(&scene, status.name());
        open.run.state = state(status, 0);
        open.create().await?;
        refused(&open).await?;
        // Nor for one who took it at once, without a lease.
        let taken = scene
            .store
            .acquire(&open.run.run_id, Policy::Sole, "b", NOW);
        done("acquire", taken.await)?;
        refused(&open).await?;
    }
    for status in [Status::Completed, Status::Cancelled] {
        let task = Task::named(&scene, &format!("{}-empty", status.name()));
        task.create().await?;
        let end = only(moved(status, 0));
        done("the end", task.commit(EPOCH, 0, &end).await)?;
        refused(&task).await?;
    }
    Ok(())
}

pub(super) async fn a_run_is_reopened_only_as_it_was_read<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let task = Task::failed(&scene).await?;
    let (read, before) = (task.stored().await?, task.sight().await?);
    for rev in [read.rev - 1, read.rev + 1] {
        let elsewhere = Run {
            rev,
            ..read.clone()
        };
        let found = task.reopen(&elsewhere, "b").await;
        expect_eq("another rev", &Err(Error::Fenced), &found)?;
        task.is_still(&before).await?;
    }
    // Opened by another and failed again, it is another run than the one that was read.
    done("reopen", task.reopen(&read, "b").await)?;
    let mut end = moved(Status::Failed, 0);
    end.state.attempts.push(again());
    done("the end", task.commit(EPOCH + 1, 0, &only(end)).await)?;
    let before = task.sight().await?;
    for holder in ["b", "c"] {
        let found = task.reopen(&read, holder).await;
        expect_eq(holder, &Err(Error::Fenced), &found)?;
        task.is_still(&before).await?;
    }
    Ok(())
}

pub(super) async fn two_racing_reopenings_have_one_winner<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let task = Task::failed(&scene).await?;
    let read = task.stored().await?;
    let found = join(task.reopen(&read, "b"), task.reopen(&read, "c")).await;
    let (won, lost) = (Ok(Fence { epoch: EPOCH + 1 }), Err(Error::Fenced));
    let winner = match &found {
        (one, other) if *one == won && *other == lost => "b",
        (one, other) if *one == lost && *other == won => "c",
        found => return Err(format!("expected one winner, found {found:?}")),
    };
    let run = task.stored().await?;
    expect_eq("lease", &Some(lease(winner, UNTIL)), &run.lease)?;
    expect_eq("attempts", &2, &run.state.attempts.len())
}

pub(super) async fn a_repeated_reopening_is_recognised<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let task = Task::failed(&scene).await?;
    let read = task.stored().await?;
    let fence = Ok(Fence { epoch: EPOCH + 1 });
    expect_eq("the first", &fence, &task.reopen(&read, "b").await)?;
    let before = task.sight().await?;
    expect_eq("the second", &fence, &task.reopen(&read, "b").await)?;
    task.is_still(&before).await?;
    let found = task.reopen(&read, "c").await;
    expect_eq("another's", &Err(Error::Fenced), &found)?;
    task.is_still(&before).await
}

pub(super) async fn a_reopened_run_takes_commits_of_its_new_epoch_only<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let task = Task::failed(&scene).await?;
    done("reopen", task.reopen(&task.stored().await?, "b").await)?;
    let before = task.sight().await?;
    for changes in [
        only_lines(&["late"]),
        only_steps(&[step(1, "running")]),
        only(moved(Status::Completed, 0)),
    ] {
        let found = task.commit(EPOCH, 0, &changes).await;
        expect_eq("the old epoch", &Err(Error::Fenced), &found)?;
        task.is_still(&before).await?;
    }
    let found = task.renew(EPOCH, "a", UNTIL + 9_000).await;
    expect_eq("the old lease", &Err(Error::Fenced), &found)?;
    let steps = only_steps(&[step(0, "completed")]);
    done("a step", task.commit(EPOCH + 1, 0, &steps).await)?;
    let end = only(moved(Status::Completed, 0));
    done("the end", task.commit(EPOCH + 1, 0, &end).await)?;
    let found = task.stored().await?.state.status;
    expect_eq("status", &Status::Completed, &found)
}
