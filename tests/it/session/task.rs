//! Turns that are run by a durable task.
//!
//! Owns that such a turn is a turn like any other, and that one which waits costs nothing until it is
//! woken.

use super::{Submit, World, submit};
use crate::support::{
    CROWD, Client, Crash, ERRAND, Fault, Moment, Object, RACER, StorageFault, WAITER,
    assert_shipped, lines_of,
};
use futures::executor::block_on;
use steadfast::api::{Command, Page};
use steadfast::caps;
use steadfast::ids::EventKey;
use steadfast::store::{Section, SqlStore, Statement, Status, Step, Store};
use steadfast::wire::request::IfRunning;

const QUESTION: &str = "What is 2 * (3 + 4)? the weather; 10 / 4";
const APPROVED: &str = "3 found:\n- 2 * (3 + 4) = 14 (calculator)\n\
    - nothing in this session about \"the weather\" (search)\n- 10 / 4 = 2.5 (calculator)\n";

fn scene() -> (World, Object) {
    let world = World::new(0);
    world.set("UPSTREAM", "sandbox,task:research");
    let object = world.object("s");
    (world, object)
}

fn research() -> Submit {
    Submit {
        upstream: Some("task:research".to_owned()),
        key: Some("k".to_owned()),
        ..submit(QUESTION)
    }
}

fn approve(object: &Object) -> Client {
    let key = EventKey::parse("approval").unwrap();
    object.ask(Command::Emit(0, key, "true".to_owned()))
}

fn status(object: &Object) -> Status {
    let runs = object.dump().runs;
    runs.first()
        .map_or(Status::Queued, |run| run.0.state.status)
}

/// The turn is over, approved, and everywhere the same.
fn check_approved(world: &World, object: &Object) {
    let dump = object.dump();
    let (run, log, steps) = &dump.runs[0];
    assert_eq!(run.state.status, Status::Completed, "{log}");
    let kinds = lines_of(log);
    assert_eq!(
        kinds.iter().filter(|kind| *kind == "tool.result").count(),
        3
    );
    let answer = serde_json::to_string(APPROVED).unwrap();
    assert_eq!(dump.messages[1].content, answer);
    for step in steps {
        assert_eq!(step.status, "completed", "{step:?}");
    }
    assert_shipped(world, object);
}

#[test]
fn a_task_streams_its_stages_waits_and_answers() {
    let (world, object) = scene();
    let client = object.submit(research());
    world.run_for(1_000);
    assert_eq!(client.brief(), "fresh");
    assert_eq!(status(&object), Status::Suspended);
    let told = client.log();
    assert!(
        told.ends_with(&format!(
            "\"type\":\"session.run.suspended\",\"data\":{{\"key\":\"approval\",\"deadline\":{}}}}}\n",
            object.dump().runs[0].0.state.wake_at.unwrap()
        )),
        "{told}"
    );
    let approval = approve(&object);
    world.run_for(1_000);
    assert_eq!(approval.brief(), "201");
    assert!(client.has_ended());
    check_approved(&world, &object);
    assert_eq!(client.log(), object.dump().runs[0].1);
    let again = approve(&object);
    let replay = object.submit(research());
    world.run_for(1_000);
    assert_eq!(
        (again.brief(), replay.brief()),
        ("200".into(), "replayed".into())
    );
    assert_eq!(replay.log(), client.log());
    let steps = object.ask(Command::Steps(
        0,
        Page {
            limit: 50,
            cursor: None,
        },
    ));
    world.run_for(1_000);
    let steps = steps.json();
    let listed: Vec<(&str, &str, u64)> = steps["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            let text = |field: &str| step[field].as_str().unwrap();
            let index = step["index"].as_u64().unwrap();
            (text("intent"), text("kind"), index)
        })
        .collect();
    // Those known by position stand behind the turn's own step, those known by name behind 2^20.
    assert_eq!(
        listed,
        [
            ("turn", "task", 0),
            ("plan", "logic", 1),
            ("event:approval", "event", 2),
            ("answer", "logic", 3),
            ("calculator:0", "tool", 1_048_576),
            ("search:1", "tool", 1_048_577),
            ("calculator:2", "tool", 1_048_578)
        ]
    );
}

#[test]
fn a_suspended_turn_polls_nothing_and_its_followers_are_let_go() {
    let (world, object) = scene();
    let client = object.submit(research());
    world.run_for(1_000);
    let deadline = object.dump().runs[0].0.state.wake_at.unwrap();
    world.run_for(120_000);
    assert!(client.was_cut(), "60 s behind `suspended`");
    let waited = client.ended_at() - world.sim.now() + 120_000;
    assert!((58_000..61_000).contains(&waited), "{waited}");
    assert_shipped(&world, &object);
    assert_eq!(
        object.alarm(),
        Some(deadline),
        "nothing before the deadline"
    );
    let before = object.dump().runs[0].0.clone();
    for _ in 0..3 {
        let turn = object.ask(Command::Turn(0));
        world.run_for(60_000);
        assert_eq!(turn.json()["status"], "suspended");
    }
    assert_eq!(object.dump().runs[0].0, before, "reading wakes nobody");
    assert_eq!(world.sweep(), [] as [&str; 0]);
}

#[test]
fn whoever_wakes_it_and_whenever_it_goes_on() {
    for (life_ends, storage_lost) in [(false, false), (true, false), (true, true)] {
        let (world, object) = scene();
        object.submit(research());
        world.run_for(3 * 60_000);
        assert_eq!(status(&object), Status::Suspended);
        if storage_lost {
            object.lose_storage();
        } else if life_ends {
            object.end();
        }
        let approval = approve(&object);
        world.run_for(1_000);
        assert_eq!(approval.brief(), "201");
        check_approved(&world, &object);
    }
}

#[test]
fn an_event_that_came_first_is_no_wait() {
    let (world, object) = scene();
    let mut slow = research();
    slow.metadata = Some(r#"{"research":{"paceMs":500}}"#.to_owned());
    object.submit(slow);
    world.run_for(200);
    assert_eq!(status(&object), Status::Running);
    approve(&object);
    world.run_for(2_000);
    check_approved(&world, &object);
    let kinds = lines_of(&object.dump().runs[0].1);
    assert!(
        !kinds.iter().any(|kind| kind == "session.run.suspended"),
        "{kinds:?}"
    );
}

#[test]
fn a_deadline_passes_and_the_alarm_wakes_the_turn() {
    let (world, object) = scene();
    let mut brief = research();
    brief.metadata = Some(r#"{"research":{"approvalMs":120000}}"#.to_owned());
    object.submit(brief);
    world.run_for(1_000);
    object.end();
    world.run_for(118_000);
    assert_eq!(status(&object), Status::Suspended);
    world.run_for(3_000);
    let dump = object.dump();
    assert_eq!(dump.runs[0].0.state.status, Status::Completed);
    assert_eq!(dump.messages[1].content, r#""No approval came in time.\n""#);
    let handle = dump.runs[0].0.state.handle.clone().unwrap();
    assert!(handle.waited_ms >= 119_000, "{handle:?}");
}

#[test]
fn waiting_spends_no_budget() {
    let (world, object) = scene();
    world.set("TURN_TIMEOUT_MS", "5000");
    object.submit(research());
    world.run_for(3_600_000);
    assert_eq!(status(&object), Status::Suspended);
    approve(&object);
    world.run_for(1_000);
    check_approved(&world, &object);
}

#[test]
fn a_suspended_turn_can_be_cancelled_and_deleted() {
    let (world, object) = scene();
    object.submit(research());
    world.run_for(60_000);
    let cancel = object.ask(Command::Cancel(0, Some("enough".to_owned())));
    world.run_for(1_000);
    assert_eq!(cancel.brief(), "202");
    assert_eq!(status(&object), Status::Cancelled);
    let late = approve(&object);
    world.run_for(1_000);
    assert_eq!(late.brief(), "409 turn_finished");
    assert_shipped(&world, &object);

    let (world, object) = scene();
    object.submit(research());
    world.run_for(60_000);
    let delete = object.ask(Command::Delete);
    world.run_for(60_000);
    assert_eq!(delete.brief(), "202");
    assert!(object.dump().runs.is_empty());
}

#[test]
fn another_event_leaves_a_turn_suspended() {
    let (world, object) = scene();
    object.submit(research());
    world.run_for(60_000);
    let deadline = object.dump().runs[0].0.state.wake_at;
    let key = EventKey::parse("other").unwrap();
    object.ask(Command::Emit(0, key, "1".to_owned()));
    world.run_for(60_000);
    let run = object.dump().runs[0].0.clone();
    assert_eq!(run.state.status, Status::Suspended);
    assert_eq!(run.state.wake_at, deadline);
    assert_eq!(object.alarm(), deadline);
    assert_shipped(&world, &object);
}

#[test]
fn a_task_that_the_code_no_longer_has_ends_its_turn() {
    let (world, object) = scene();
    object.submit(research());
    world.run_for(60_000);
    world.own.undeploy();
    approve(&object);
    world.run_for(1_000);
    let run = object.dump().runs[0].0.clone();
    assert_eq!(run.state.status, Status::Failed);
    assert_eq!(run.state.last_error.unwrap().code, "unknown_task");
}

fn emit_other(object: &Object) -> Client {
    let key = EventKey::parse("other").unwrap();
    object.ask(Command::Emit(0, key, "1".to_owned()))
}

#[test]
fn a_suspended_turn_rests_whatever_was_asked_of_it() {
    type Ask = fn(&Object);
    let asks: [(&str, Ask); 4] = [
        ("a life without memory", |object| object.end()),
        ("a life without storage", |object| object.lose_storage()),
        ("an event twice", |object| {
            emit_other(object);
            emit_other(object);
        }),
        ("a poke", |object| {
            object.ask(Command::Poke(0));
        }),
    ];
    for (what, ask) in asks {
        let (world, object) = scene();
        object.submit(research());
        world.run_for(2 * 60_000);
        let deadline = object.dump().runs[0].0.state.wake_at;
        ask(&object);
        world.run_for(60_000);
        let turn = object.ask(Command::Turn(0));
        world.run_for(60_000);
        assert_eq!(turn.json()["status"], "suspended", "{what}");
        assert_eq!(object.alarm(), deadline, "{what}");
        let (calls, effects) = (world.d1.calls().len(), world.plan.count());
        world.run_for(3_600_000);
        assert_eq!(object.alarm(), deadline, "{what}");
        assert_eq!(world.d1.calls().len(), calls, "{what}");
        assert_eq!(world.plan.count(), effects, "{what}");
        assert_shipped(&world, &object);
    }
}

#[test]
fn d1_catches_up_with_the_steps_of_a_turn_that_told_much() {
    for storage_lost in [false, true] {
        let (world, object) = scene();
        world.d1.fail(|batch| {
            let ships = |statement: &Statement| statement.sql.contains("INTO runs");
            batch.iter().any(ships).then_some(Fault::Refused)
        });
        let long = "x".repeat(caps::SHIP_CHUNK_BYTES / 6);
        let question = format!("{long}; {long}; {long}");
        object.submit(Submit {
            message: Some(serde_json::Value::from(question).to_string()),
            ..research()
        });
        world.run_for(10_000);
        assert_eq!(status(&object), Status::Suspended);
        assert!(object.dump().runs[0].1.len() > caps::SHIP_CHUNK_BYTES);
        world.d1.heal();
        world.run_for(120_000);
        assert_shipped(&world, &object);
        if storage_lost {
            object.lose_storage();
        }
        approve(&object);
        world.run_for(1_000);
        assert_eq!(status(&object), Status::Completed);
        assert_shipped(&world, &object);
    }
}

#[test]
fn a_turn_with_more_steps_than_one_ship_takes_is_shipped_and_rests() {
    let (world, object) = scene();
    world.set("UPSTREAM", "sandbox,task:errand");
    object.submit(Submit {
        upstream: Some(format!("task:{ERRAND}")),
        ..submit(CROWD)
    });
    world.run_for(60_000);
    assert_eq!(status(&object), Status::Suspended);
    assert_shipped(&world, &object);
    let calls = world.d1.calls().len();
    object.ask(Command::Cancel(0, None));
    world.run_for(60_000);
    assert_eq!(status(&object), Status::Cancelled);
    assert_shipped(&world, &object);
    let calls = world.d1.calls().len() - calls;
    assert!(calls < 10, "{calls} calls of D1");
}

#[test]
fn a_task_out_of_time_fails_and_is_run_again_as_the_next_turn() {
    let (world, object) = scene();
    world.set("TURN_TIMEOUT_MS", "1000");
    let mut slow = research();
    slow.metadata = Some(r#"{"research":{"paceMs":1000}}"#.to_owned());
    object.submit(slow);
    world.run_for(2_000);
    let run = object.dump().runs[0].0.clone();
    assert_eq!(run.state.status, Status::Failed);
    assert_eq!(run.state.last_error.unwrap().code, "turn_timeout");
    let took = run.state.finished_at.unwrap() - run.created_at;
    assert!((1_000..1_200).contains(&took), "{took}");
    let again = object.submit(Submit {
        message: None,
        retry_of: Some(0),
        upstream: Some("task:research".to_owned()),
        ..submit("")
    });
    world.run_for(500);
    let key = EventKey::parse("approval").unwrap();
    object.ask(Command::Emit(1, key, "true".to_owned()));
    world.run_for(5_000);
    assert!(again.has_ended());
    let messages = object.dump().messages;
    let answer = serde_json::to_string(APPROVED).unwrap();
    // The failed turn's own messages are what the search finds now, so only the sums are the same.
    let content = &messages.last().unwrap().content;
    assert_eq!(content.split("- ").next(), answer.split("- ").next());
    assert_eq!(object.dump().runs[1].0.state.status, Status::Completed);
    assert_shipped(&world, &object);
}

#[test]
fn a_newer_turn_takes_the_place_of_one_that_waits() {
    let (world, object) = scene();
    object.submit(research());
    world.run_for(60_000);
    let refused = object.submit(submit("next"));
    let next = object.submit(Submit {
        if_running: IfRunning::Cancel,
        ..submit("next")
    });
    world.run_for(5_000);
    assert_eq!(refused.brief(), "409 turn_in_progress");
    assert_eq!(next.brief(), "fresh");
    assert!(next.has_ended());
    assert_eq!(status(&object), Status::Cancelled);
    assert_shipped(&world, &object);
}

fn waiting() -> Submit {
    Submit {
        upstream: Some(format!("task:{WAITER}")),
        ..research()
    }
}

#[test]
fn an_event_beside_the_suspension_is_not_lost_with_a_life() {
    let scene = || {
        let (world, object) = scene();
        world.set("UPSTREAM", &format!("task:{WAITER}"));
        object.submit(waiting());
        (world, object)
    };
    let (world, object) = scene();
    let mut suspended_after = 0;
    while status(&object) != Status::Suspended {
        world.run_for(1);
        suspended_after += 1;
    }
    let mut crashed = 0;
    for after_ms in suspended_after - 5..suspended_after + 5 {
        for (at, moment) in (1..10).flat_map(|at| [(at, Moment::Before), (at, Moment::After)]) {
            let (world, object) = scene();
            world.run_for(after_ms);
            world.plan.crash_again(Crash { at, moment });
            let approval = approve(&object);
            // Nobody comes back: the alarm is all there is.
            world.run_for(60_000);
            crashed += u32::from(world.plan.crashed().is_some());
            let store = SqlStore::new(object.storage(), Section::Object);
            let event = block_on(store.event("acme:s:0", "approval")).unwrap();
            let what = format!("{after_ms} ms, {at} {moment:?}, {}", approval.brief());
            match event {
                Some(_) => assert_eq!(status(&object), Status::Completed, "{what}"),
                None => assert_ne!(approval.brief(), "201", "{what}"),
            }
        }
    }
    assert!(crashed > 50, "{crashed}");
}

#[test]
fn a_wait_that_a_completed_task_dropped_does_not_seem_to_go_on() {
    let (world, object) = scene();
    world.set("UPSTREAM", &format!("task:{RACER}"));
    object.submit(Submit {
        upstream: Some(format!("task:{RACER}")),
        ..research()
    });
    world.run_for(1_000);
    assert_eq!(status(&object), Status::Completed);
    let steps = object.dump().runs[0].2.clone();
    let statuses: Vec<(&str, &str, &str)> = steps
        .iter()
        .map(|step| {
            let Step {
                intent,
                kind,
                status,
                ..
            } = step;
            (intent.as_str(), kind.as_str(), status.as_str())
        })
        .collect();
    assert_eq!(
        statuses,
        [
            ("turn", "task", "completed"),
            ("work", "logic", "completed"),
            ("event:approval", "event", "failed")
        ]
    );
}

/// A woken turn writes what it has heard of only once its upstream or its body is under way.
#[test]
fn a_woken_turn_is_shipped_though_d1_has_the_waking_before_its_first_line() {
    let (world, object) = scene();
    object.submit(research());
    world.run_for(40_000);
    assert_eq!(status(&object), Status::Suspended);
    assert_shipped(&world, &object);
    let until = world.sim.now() + 3_000;
    let sim = world.sim.clone();
    object.fail_storage(move |batch| {
        let mut all = batch.iter();
        let appends = all.any(|one| one.sql.starts_with("INSERT INTO stream_log"));
        (appends && sim.now() < until).then_some(StorageFault::Refused)
    });
    approve(&object);
    world.run_for(60_000);
    check_approved(&world, &object);
}

/// A list is the same page by page, wherever it is read from: of a finished turn whose object lost its
/// storage, D1 is asked.
#[test]
fn a_turns_steps_come_page_by_page_out_of_d1_as_out_of_the_object() {
    let (world, object) = scene();
    object.submit(research());
    world.run_for(1_000);
    approve(&object);
    world.settle();
    assert_shipped(&world, &object);
    let read = |object: &Object| {
        let (mut items, mut cursor) = (Vec::new(), None);
        loop {
            let page = Page { limit: 2, cursor };
            let client = object.ask(Command::Steps(0, page));
            world.run_for(1_000);
            let list = client.json();
            items.extend(list["steps"].as_array().expect("a list").clone());
            let Some(next) = list["cursor"].as_str() else {
                return items;
            };
            cursor = Some(next.to_owned());
        }
    };
    let here = read(&object);
    assert!(here.len() > 4, "three pages: {here:?}");
    object.lose_storage();
    assert_eq!(read(&object), here);
}
