//! How a turn begins: whole, once, in order, behind a finished one.

use super::scene::{ALL, NOW, Scene, Snapshot, done, expect_eq, message, row, state, step};
use crate::store::{Begun, Role, Status, Store};
use futures::future::join;

type Verdict = Result<(), String>;

pub(super) async fn a_begun_turn_is_stored_whole<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let mut turn = scene.turn(0);
    turn.run.key = Some("key".to_owned());
    turn.run.user = None;
    turn.message.retry_of = Some(7);
    scene.begin_as(&turn).await?;
    let stored = Snapshot {
        session: Some(turn.session),
        run: Some(turn.run),
        log: vec![row(0, 1, &["started"])],
        messages: vec![turn.message],
        steps: vec![turn.step],
    };
    expect_eq("what is stored", &stored, &scene.snapshot(0).await?)
}

pub(super) async fn a_repeated_begin_is_taken_and_changes_nothing<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    scene.refused(&scene.turn(0), 0).await?;
    // Another input for the same index leaves no trace either, be the first one open or over.
    let mut other = scene.turn(0);
    other.run.input_hash = "other".to_owned();
    other.message.content = "\"other\"".to_owned();
    other.step = step(3, "running");
    scene.refused(&other, 0).await?;
    scene.end(0, Status::Completed).await?;
    scene.refused(&other, 0).await
}

pub(super) async fn two_racing_begins_have_one_winner<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let racer = |name: &str| {
        let mut turn = scene.turn(0);
        turn.run.input_hash = name.to_owned();
        turn.message = message(0, Role::User, name);
        turn.step.intent = name.to_owned();
        turn
    };
    let (a, b) = (racer("a"), racer("b"));
    let (begun_a, begun_b) = join(scene.store.begin(&a), scene.store.begin(&b)).await;
    let winner = match (done("a", begun_a)?, done("b", begun_b)?) {
        (Begun::Begun, Begun::Taken) => a,
        (Begun::Taken, Begun::Begun) => b,
        other => return Err(format!("expected one winner, found {other:?}")),
    };
    let stored = Snapshot {
        session: Some(winner.session),
        run: Some(winner.run),
        log: vec![row(0, 1, &["started"])],
        messages: vec![winner.message],
        steps: vec![winner.step],
    };
    expect_eq("what is stored", &stored, &scene.snapshot(0).await?)
}

pub(super) async fn an_index_must_follow_the_last<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.refused(&scene.turn(1), 1).await?;
    scene.finished(0).await?;
    scene.refused(&scene.turn(2), 2).await?;
    scene.refused(&scene.turn(0), 0).await?;
    scene.begin(1).await
}

pub(super) async fn a_turn_cannot_begin_while_the_one_before_is_open<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    for status in [Status::Queued, Status::Running, Status::Suspended] {
        let session = format!("{}-{}", scene.session(), status.name());
        let scene = scene.other(None, &session);
        let mut first = scene.turn(0);
        first.run.state = state(status, 1);
        scene.begin_as(&first).await?;
        scene.refused(&scene.turn(1), 1).await?;
    }
    Ok(())
}

pub(super) async fn any_ending_lets_the_next_turn_begin<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let endings = [Status::Completed, Status::Failed, Status::Cancelled];
    for (turn, status) in (0..).zip(endings) {
        scene.begin(turn).await?;
        scene.end(turn, status).await?;
    }
    scene.begin(3).await?;
    let session = done("session", scene.store.session(scene.session_key()).await)?;
    expect_eq(
        "turn count",
        &Some(4),
        &session.map(|session| session.turn_count),
    )
}

pub(super) async fn a_key_names_one_turn<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let keyed = |turn: u64, key: &str| {
        let mut turn = scene.turn(turn);
        turn.run.key = Some(key.to_owned());
        turn
    };
    scene.begin_as(&keyed(0, "k")).await?;
    scene.end(0, Status::Completed).await?;
    scene.refused(&keyed(1, "k"), 1).await?;
    scene.begin_as(&keyed(1, "K")).await?;
    for (key, turn) in [("k", Some(0)), ("K", Some(1)), ("", None)] {
        let run = scene.store.run_by_key(scene.session_key(), key).await;
        let found = done("run_by_key", run)?.map(|run| run.turn_index);
        expect_eq(&format!("the turn of key {key:?}"), &turn, &found)?;
    }
    Ok(())
}

pub(super) async fn a_key_belongs_to_its_session<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let other = scene.other(None, &format!("{}-other", scene.session()));
    let other_tenant = scene.other(Some(&format!("{}-other", scene.tenant())), scene.session());
    for scene in [&scene, &other, &other_tenant] {
        let mut turn = scene.turn(0);
        turn.run.key = Some("key".to_owned());
        scene.begin_as(&turn).await?;
        let run = scene.store.run_by_key(scene.session_key(), "key").await;
        let found = done("run_by_key", run)?.map(|run| run.run_id);
        expect_eq("the key's run", &Some(scene.run_id(0)), &found)?;
    }
    Ok(())
}

/// A deployment's key is answered by its own turn, refuses only its own second one, and is looked for
/// among its own.
pub(super) async fn a_key_is_none_of_a_session_key_that_ends_alike<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let projects = [scene.of_project("eu"), scene.of_project("us"), scene];
    for (at, scene) in projects.iter().enumerate() {
        let mut turn = scene.turn(0);
        turn.run.key = Some("key".to_owned());
        scene.begin_as(&turn).await?;
        for (other, scene) in projects.iter().enumerate() {
            let run = scene.store.run_by_key(scene.session_key(), "key").await;
            let expected = (other <= at).then(|| scene.run_id(0));
            let found = done("run_by_key", run)?.map(|run| run.run_id);
            expect_eq("the key's run", &expected, &found)?;
        }
    }
    for scene in &projects {
        scene.end(0, Status::Completed).await?;
        let mut again = scene.turn(1);
        again.run.key = Some("key".to_owned());
        scene.refused(&again, 1).await?;
    }
    Ok(())
}

pub(super) async fn a_tombstone_keeps_the_turn_count<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let mut last = scene.turn(0);
    last.session.deleted_at = Some(NOW);
    scene.begin_as(&last).await?;
    scene.end(0, Status::Cancelled).await?;
    let read = async || done("session", scene.store.session(scene.session_key()).await);
    expect_eq("the tombstone", &Some(last.session), &read().await?)?;
    scene.refused(&scene.turn(0), 0).await?;
    scene.begin(1).await?;
    let revived = read()
        .await?
        .map(|session| (session.turn_count, session.deleted_at));
    expect_eq("the revived session", &Some((2, None)), &revived)?;
    let runs = scene.store.runs(scene.session_key(), 0, ALL).await;
    expect_eq("runs", &2, &done("runs", runs)?.len())
}

pub(super) async fn a_later_turn_keeps_the_birth_of_its_session<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.finished(0).await?;
    let mut second = scene.turn(1);
    second.session.birth = "another".to_owned();
    scene.begin_as(&second).await?;
    let mut kept = scene.turn(0).session;
    kept.turn_count = 2;
    kept.updated_at = second.session.updated_at;
    let found = done("session", scene.store.session(scene.session_key()).await)?;
    expect_eq("session", &Some(kept), &found)
}
