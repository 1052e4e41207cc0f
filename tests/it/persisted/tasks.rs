//! Tasks of earlier releases: in the middle of their steps, and while they wait.
//!
//! Owns that what is recorded of a task is not done again, that its waits end as they were begun, and
//! that what was told of it is told once.

use super::recovered::Scene;
use crate::support::{Act, assert_shipped, lines_of};
use steadfast::api::Command;
use steadfast::ids::EventKey;
use steadfast::store::Status;

const FOUND: &str = "3 found:\n- 2 * (3 + 4) = 14 (calculator)\n\
    - nothing in this session about \"the weather\" (search)\n- 10 / 4 = 2.5 (calculator)\n";

fn approve(scene: &Scene) {
    let key = EventKey::parse("approval").expect("it is one");
    let told = scene.ask(Command::Emit(0, key, "true".to_owned()));
    assert_eq!(told.brief(), "201");
}

/// What its steps did in this release, each with its attempt.
fn acts(scene: &Scene) -> Vec<String> {
    let acts = scene.world.own.acts().into_iter();
    acts.map(|Act { step, attempt }| format!("{step} {attempt}"))
        .collect()
}

/// The task is over, in both stores, and says this. What the release before had told stands at the
/// beginning of its log, and each thing is told once.
fn check_completed(scene: &Scene, told: &str, answer: &str) {
    let (run, log, steps) = scene.run(0);
    assert_eq!(run.state.status, Status::Completed, "{log}");
    assert!(log.starts_with(told), "{log}");
    lines_of(&log);
    let ids = "SELECT COUNT(*), COUNT(DISTINCT value) FROM stream_log, json_each(frame_ids) \
         WHERE value IS NOT NULL";
    let ids = super::columns(&scene.object.storage(), ids).concat();
    let (all, distinct) = ids.split_once(" | ").expect("there are two");
    assert_eq!(all, distinct, "a line was told twice: {log}");
    let answer = serde_json::to_string(answer).expect("it is text");
    assert_eq!(scene.answer(), answer);
    for step in steps {
        assert!(step.completed_at.is_some(), "{step:?}");
    }
    assert_shipped(&scene.world, &scene.object);
}

#[test]
fn steps_that_are_recorded_are_not_done_again_and_those_under_way_are() {
    let scene = Scene::open(2, "errand-branches");
    let told = scene.run(0).1;
    scene.world.run_for(6_000);
    assert_eq!(acts(&scene), ["branch:a 2", "branch:b 2", "branch:c 2"]);
    approve(&scene);
    scene.world.settle();
    let all = [
        "branch:a 2",
        "branch:b 2",
        "branch:c 2",
        "second 1",
        "last 1",
    ];
    assert_eq!(acts(&scene), all);
    check_completed(&scene, &told, "3 done, approved, true");
    let began = r#"{"at":1700000000102,"id":"5b0e4d7a-91c3-4f26-8a1d-c0de37f9b264"}"#;
    assert!(told.contains(began), "{told}");
}

#[test]
fn a_step_that_waits_to_be_tried_again_is_tried_once() {
    let scene = Scene::open(2, "errand-retries");
    let told = scene.run(0).1;
    scene.world.settle();
    assert_eq!(acts(&scene), ["branch:b 2", "second 1", "last 1"]);
    check_completed(&scene, &told, "3 done, too late, true");
}

#[test]
fn a_task_that_sleeps_wakes_at_its_stored_time() {
    let scene = Scene::open(2, "errand-sleeps");
    let told = scene.run(0).1;
    scene.world.settle();
    assert_eq!(acts(&scene), ["last 1"]);
    check_completed(&scene, &told, "3 done, approved, true");
    let (run, _, steps) = scene.run(0);
    let slept = steps.iter().find(|step| step.intent == "sleep");
    let woken = slept.and_then(|step| step.completed_at).expect("it woke");
    let [due, late] = [1_700_000_021_164, 1_700_000_021_264];
    assert!((due..late).contains(&woken), "{woken}");
    // 844 ms stood in the row; this life added both sleeps to them.
    let waited = run.state.handle.map(|handle| handle.waited_ms);
    assert!(
        waited.is_some_and(|ms| (27_000..28_000).contains(&ms)),
        "{waited:?}"
    );
}

#[test]
fn a_task_that_waits_for_an_event_goes_on_with_it() {
    let scene = Scene::open(2, "research");
    let told = scene.run(0).1;
    approve(&scene);
    check_completed(&scene, &told, FOUND);
    let awakened = r#"{"seq":18,"type":"session.run.awakened","data":{"key":"approval"}}"#;
    assert_eq!(scene.run(0).1.lines().nth(18), Some(awakened));
}

#[test]
fn a_deadline_is_the_stored_one() {
    let scene = Scene::open(2, "research");
    let told = scene.run(0).1;
    scene.world.run_for(105_000);
    assert_eq!(scene.run(0).0.state.status, Status::Suspended);
    scene.world.run_for(1_000);
    check_completed(&scene, &told, "No approval came in time.\n");
}

#[test]
fn an_event_that_was_stored_and_woke_nobody_is_heard() {
    let scene = Scene::open(2, "approved");
    let told = scene.run(0).1;
    scene.ask(Command::Turn(0));
    check_completed(&scene, &told, FOUND);
}
