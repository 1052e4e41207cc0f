//! Who owns a run: epochs, leases, and the tokens of acquisitions.

use super::scene::{NOW, Scene, done, expect_eq, moved, only, only_lines, state};
use crate::store::{Error, Fence, Lease, Policy, Status, Store};
use futures::future::join;

type Verdict = Result<(), String>;

const UNTIL: i64 = NOW + 1_000;

/// Asks for turn 0 at `now`, for as long as [`UNTIL`] lies ahead.
async fn ask<S: Store>(scene: &Scene<'_, S>, holder: &str, now: i64) -> Result<Fence, Error> {
    let until = now + (UNTIL - NOW);
    let policy = Policy::WhenFree { until };
    scene
        .store
        .acquire(&scene.run_id(0), policy, holder, now)
        .await
}

/// `ask` must be answered with `epoch`.
async fn given<S: Store>(scene: &Scene<'_, S>, holder: &str, now: i64, epoch: u64) -> Verdict {
    let found = ask(scene, holder, now).await;
    expect_eq(holder, &Ok(Fence { epoch }), &found)
}

pub(super) async fn each_acquisition_raises_the_epoch<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    for (epoch, holder) in (2..).zip(["a", "b", "a"]) {
        expect_eq(holder, &epoch, &scene.take(0, holder).await?)?;
        let run = scene.run(0).await?;
        expect_eq("epoch", &epoch, &run.epoch)?;
        expect_eq("updated_at", &NOW, &run.updated_at)?;
    }
    Ok(())
}

pub(super) async fn a_queued_run_runs_once_it_is_acquired<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let mut queued = scene.turn(0);
    queued.run.state = state(Status::Queued, 1);
    scene.begin_as(&queued).await?;
    scene.take(0, "a").await?;
    let found = scene.run(0).await?.state;
    expect_eq("state", &state(Status::Running, 1), &found)
}

pub(super) async fn a_suspended_run_stays_suspended_when_acquired<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    let suspend = only(moved(Status::Suspended, 1));
    done("suspend", scene.commit(0, 1, 1, &suspend).await)?;
    scene.take(0, "a").await?;
    expect_eq(
        "status",
        &Status::Suspended,
        &scene.run(0).await?.state.status,
    )
}

pub(super) async fn sole_takes_over_at_once<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    given(&scene, "a", NOW, 2).await?;
    expect_eq("epoch", &3, &scene.take(0, "b").await?)?;
    expect_eq("lease", &None, &scene.run(0).await?.lease)?;
    scene
        .denied(0, 2, 1, &only_lines(&["late"]), Error::Fenced)
        .await
}

pub(super) async fn a_live_lease_is_not_given_away<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    given(&scene, "a", NOW, 2).await?;
    let before = scene.snapshot(0).await?;
    let found = ask(&scene, "b", UNTIL - 1).await;
    expect_eq("b", &Err(Error::LeaseHeld { until: UNTIL }), &found)?;
    expect_eq(
        "what is stored behind the refusal",
        &before,
        &scene.snapshot(0).await?,
    )?;
    let lease = Lease {
        holder: "a".to_owned(),
        until: UNTIL,
    };
    expect_eq("lease", &Some(lease), &scene.run(0).await?.lease)
}

pub(super) async fn a_lease_is_free_at_the_instant_of_expiry<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    given(&scene, "a", NOW, 2).await?;
    given(&scene, "b", UNTIL, 3).await?;
    let lease = scene.run(0).await?.lease.map(|lease| lease.holder);
    expect_eq("holder", &Some("b".to_owned()), &lease)
}

pub(super) async fn a_run_can_begin_under_a_lease<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let mut held = scene.turn(0);
    held.run.lease = Some(Lease {
        holder: "a".to_owned(),
        until: UNTIL,
    });
    scene.begin_as(&held).await?;
    let found = ask(&scene, "b", NOW).await;
    expect_eq("b", &Err(Error::LeaseHeld { until: UNTIL }), &found)?;
    given(&scene, "a", NOW, 1).await
}

pub(super) async fn the_same_token_is_the_same_acquisition<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    given(&scene, "a", NOW, 2).await?;
    let before = scene.snapshot(0).await?;
    given(&scene, "a", NOW, 2).await?;
    given(&scene, "a", UNTIL + 1, 2).await?;
    expect_eq("epoch", &2, &scene.take(0, "a").await?)?;
    expect_eq(
        "what is stored behind the repeats",
        &before,
        &scene.snapshot(0).await?,
    )?;
    // A token is remembered without a lease too, and only for as long as nobody came after it.
    expect_eq("epoch", &3, &scene.take(0, "b").await?)?;
    expect_eq("epoch", &3, &scene.take(0, "b").await?)?;
    expect_eq("epoch", &4, &scene.take(0, "a").await?)
}

pub(super) async fn two_racing_acquisitions_have_one_winner<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    let found = join(ask(&scene, "a", NOW), ask(&scene, "b", NOW)).await;
    let (won, lost) = (
        Ok(Fence { epoch: 2 }),
        Err(Error::LeaseHeld { until: UNTIL }),
    );
    if found == (won.clone(), lost.clone()) || found == (lost, won) {
        return expect_eq("epoch", &2, &scene.run(0).await?.epoch);
    }
    Err(format!(
        "expected one winner and one refusal, found {found:?}"
    ))
}

pub(super) async fn a_finished_run_cannot_be_acquired<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    scene.take(0, "a").await?;
    scene.end(0, Status::Completed).await?;
    let before = scene.snapshot(0).await?;
    for holder in ["a", "b"] {
        let found = ask(&scene, holder, UNTIL).await;
        expect_eq(holder, &Err(Error::Fenced), &found)?;
        let id = scene.run_id(0);
        let found = scene.store.acquire(&id, Policy::Sole, holder, UNTIL).await;
        expect_eq(holder, &Err(Error::Fenced), &found)?;
    }
    expect_eq(
        "what is stored behind the refusals",
        &before,
        &scene.snapshot(0).await?,
    )
}

pub(super) async fn what_does_not_exist_cannot_be_acquired<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    expect_eq(
        "acquire",
        &Err(Error::Missing),
        &ask(&scene, "a", NOW).await,
    )?;
    let id = scene.run_id(0);
    let found = scene.store.acquire(&id, Policy::Sole, "a", NOW).await;
    expect_eq("acquire", &Err(Error::Missing), &found)?;
    let run = done("run", scene.store.run(&id).await)?;
    expect_eq("run", &None, &run)
}
