//! The session as its callers meet it, on the simulated platform.
//!
//! Owns what a submit, a follow, a read and a steer are answered in each situation of PROTOCOL §2.
//! The laws under crashes are `crash`.

mod cancels;
mod compared;
mod delete;
mod deploy;
mod follow;
mod history;
mod hooks;
mod own;
mod retention;
mod ship;
mod task;
mod waits;

use crate::support::{Answer, Client, Object, Script, TENANT, World, assert_shipped, submit};
use steadfast::api::{Command, Page};
use steadfast::ids::EventKey;
use steadfast::store::Status;
use steadfast::wire::request::{IfRunning, Submit};

/// A world with one object, in which turns take about half a second.
fn scene() -> (World, Object) {
    let world = World::new(0);
    let object = world.object("s");
    (world, object)
}

fn keyed(key: &str, message: &str) -> Submit {
    Submit {
        key: Some(key.to_owned()),
        ..submit(message)
    }
}

fn at_index(turn: u64, message: &str) -> Submit {
    Submit {
        turn_index: Some(turn),
        ..submit(message)
    }
}

fn all() -> Page {
    Page {
        limit: 200,
        cursor: None,
    }
}

/// Runs a turn to its end.
fn run_turn(world: &World, object: &Object, submit: Submit) -> Client {
    let client = object.submit(submit);
    world.settle();
    assert!(client.has_ended(), "{}", client.brief());
    client
}

/// Asks while the first turn of a new session runs, or after its end; how that is answered.
fn check(second: Submit, running: bool, expected: &str) {
    let (world, object) = scene();
    let first = object.submit(keyed("k", "hello"));
    if running {
        world.run_for(200);
    } else {
        world.settle();
    }
    let asked = object.submit(second.clone());
    world.settle();
    assert_eq!(
        asked.brief(),
        expected,
        "{second:?} while running: {running}"
    );
    assert_eq!(first.log(), Script::standard().log(TENANT, "s", 0));
    if matches!(expected, "joined" | "replayed") {
        assert!(asked.has_ended());
        assert_eq!(asked.log(), first.log());
    }
    if let Some(Answer::Refused(problem)) = asked.answer()
        && problem.code.name() == "turn_in_progress"
    {
        let running = Some("/v1/sessions/s/turns/0/stream");
        assert_eq!(problem.location.as_deref(), running);
    }
}

#[test]
fn a_submit_is_answered_by_the_table_of_situations() {
    let both = |key: &str, turn| Submit {
        key: Some(key.to_owned()),
        ..at_index(turn, "hello")
    };
    let other_model = Submit {
        model: Some("small".to_owned()),
        ..keyed("k", "hello")
    };
    for (second, running, finished) in [
        (keyed("k", "hello"), "joined", "replayed"),
        (at_index(0, "hello"), "joined", "replayed"),
        (both("k", 0), "joined", "replayed"),
        (both("other", 0), "joined", "replayed"),
        (
            keyed("k", "other"),
            "409 manifest_mismatch",
            "409 manifest_mismatch",
        ),
        (
            other_model,
            "409 manifest_mismatch",
            "409 manifest_mismatch",
        ),
        (
            at_index(0, "other"),
            "409 manifest_mismatch",
            "409 manifest_mismatch",
        ),
        (
            both("k", 1),
            "409 manifest_mismatch",
            "409 manifest_mismatch",
        ),
        (submit("hello"), "409 turn_in_progress", "fresh"),
        (at_index(1, "hello"), "409 turn_in_progress", "fresh"),
        (
            at_index(2, "hello"),
            "409 turn_out_of_order",
            "409 turn_out_of_order",
        ),
        (keyed("other", "hello"), "409 turn_in_progress", "fresh"),
    ] {
        check(second.clone(), true, running);
        check(second, false, finished);
    }
}

#[test]
fn an_orphaned_turn_is_resumed_by_whoever_asks_first() {
    let (world, object) = scene();
    object.submit(keyed("k", "hello"));
    world.run_for(200);
    object.end();
    let second = object.submit(keyed("k", "hello"));
    let third = object.submit(at_index(0, "hello"));
    world.settle();
    assert_eq!(
        (second.brief().as_str(), third.brief().as_str()),
        ("resumed", "joined")
    );
    let expected = Script::standard().log(TENANT, "s", 0);
    assert_eq!((second.log(), third.log()), (expected.clone(), expected));
    assert_eq!(world.upstream.started(), ["acme:s:0"]);
    let attempts = world.dump(&object).runs[0].0.state.attempts.len();
    assert_eq!(attempts, 1);
}

#[test]
fn racing_first_submits_make_one_turn() {
    for seed in 0..10 {
        let world = World::new(seed);
        let object = world.object("s");
        let same = [0, 1, 2].map(|_| object.submit(keyed("k", "hello")));
        let other = object.submit(submit("other"));
        world.settle();
        let mut modes = same.each_ref().map(Client::brief);
        modes.sort();
        match other.brief().as_str() {
            "fresh" => assert_eq!(modes, [(); 3].map(|()| "409 turn_in_progress")),
            "409 turn_in_progress" => assert_eq!(modes, ["fresh", "joined", "joined"]),
            unexpected => panic!("{unexpected}"),
        }
        assert_eq!(object.dump().runs.len(), 1);
        assert_eq!(world.upstream.started().len(), 1);
        assert_shipped(&world, &object);
    }
}

#[test]
fn a_newer_turn_may_cancel_the_running_one() {
    let (world, object) = scene();
    let first = object.submit(submit("hello"));
    world.run_for(200);
    let second = object.submit(Submit {
        if_running: IfRunning::Cancel,
        ..submit("rather this")
    });
    world.settle();
    assert_eq!(second.brief(), "fresh");
    assert_eq!(second.log(), Script::standard().log(TENANT, "s", 1));
    assert!(first.has_ended());
    let last = first.log().lines().last().expect("it has lines").to_owned();
    assert!(last.contains("session.run.cancelled"), "{last}");
    assert_eq!(world.upstream.cancels(), ["acme:s:0"]);
    let statuses: Vec<Status> = object
        .dump()
        .runs
        .iter()
        .map(|run| run.0.state.status)
        .collect();
    assert_eq!(statuses, [Status::Cancelled, Status::Completed]);
    assert_shipped(&world, &object);
}

#[test]
fn what_does_not_exist_is_404_and_leaves_no_trace() {
    let (world, object) = scene();
    let key = EventKey::parse("k").expect("it is one");
    let commands = [
        Command::Session,
        Command::Delete,
        Command::Messages(all()),
        Command::Turns(all()),
        Command::Turn(0),
        Command::Steps(0, all()),
        Command::Cancel(0, None),
        Command::Poke(0),
        Command::Emit(0, key.clone(), "1".to_owned()),
        Command::Event(0, key),
    ];
    let mut asked = commands.map(|command| object.ask(command)).to_vec();
    asked.push(object.follow(0, -1));
    world.settle();
    for client in asked {
        assert_eq!(client.brief(), "404 not_found");
    }
    assert_eq!(object.dump().session, None);
    assert_eq!(object.alarm(), None);
    assert_eq!(world.dump(&object).session, None);
}

#[test]
fn a_bad_variable_refuses_new_turns_and_nothing_else() {
    let (world, object) = scene();
    let first = object.submit(keyed("k", "hello"));
    world.run_for(200);
    world.set("UPSTREAM", "nonsense");
    world.set("COMMIT_WINDOW_MS", "nonsense");
    object.end();
    world.settle();
    let refused = object.submit(submit("more"));
    let replayed = object.submit(keyed("k", "hello"));
    world.settle();
    assert_eq!(refused.brief(), "503 misconfigured");
    assert_eq!(replayed.brief(), "replayed");
    assert_eq!(replayed.log(), Script::standard().log(TENANT, "s", 0));
    assert!(replayed.log().starts_with(&first.log()));
}

#[test]
fn an_object_reads_its_settings_once_a_life() {
    let (world, object) = scene();
    run_turn(&world, &object, submit("hello"));
    world.set("COMMIT_WINDOW_MS", "nonsense");
    let same_life = run_turn(&world, &object, submit("more"));
    assert_eq!(same_life.brief(), "fresh");
    object.end();
    let next_life = object.submit(submit("yet more"));
    world.settle();
    assert_eq!(next_life.brief(), "503 misconfigured");
    // What a turn is accepted with is read when it is.
    world.set("COMMIT_WINDOW_MS", "50");
    object.end();
    run_turn(&world, &object, submit("yet more"));
    world.set("TURN_TIMEOUT_MS", "nonsense");
    let refused = object.submit(submit("and more"));
    world.settle();
    assert_eq!(refused.brief(), "503 misconfigured");
}

#[test]
fn the_first_emit_of_an_event_wins() {
    let (world, object) = scene();
    let key = EventKey::parse("approval:1").expect("it is one");
    let emit = |payload: &str| object.ask(Command::Emit(0, key.clone(), payload.to_owned()));
    object.submit(submit("hello"));
    world.run_for(200);
    let (first, second) = (emit(r#"{"ok":1.0}"#), emit("2"));
    world.settle();
    let late = emit("3");
    let other = EventKey::parse("late").expect("it is one");
    let refused = object.ask(Command::Emit(0, other, "4".to_owned()));
    let read = object.ask(Command::Event(0, key.clone()));
    world.settle();
    assert_eq!(
        [&first, &second, &late, &refused, &read].map(Client::brief),
        ["201", "200", "200", "409 turn_finished", "200"]
    );
    for client in [first, second, late] {
        assert_eq!(
            client.json()["record"]["payload"].to_string(),
            r#"{"ok":1.0}"#
        );
    }
    assert_eq!(read.json()["payload"].to_string(), r#"{"ok":1.0}"#);
    assert_shipped(&world, &object);
}

#[test]
fn a_session_reads_as_it_is() {
    let (world, object) = scene();
    run_turn(&world, &object, submit("hello"));
    object.submit(submit("more"));
    world.run_for(200);
    let [session, turn, turns, steps, messages] = [
        Command::Session,
        Command::Turn(1),
        Command::Turns(all()),
        Command::Steps(0, all()),
        Command::Messages(all()),
    ]
    .map(|command| object.ask(command));
    world.settle();
    let session = session.json();
    assert_eq!(
        (&session["turnCount"], &session["running"]),
        (&2.into(), &1.into())
    );
    let turn = turn.json();
    assert_eq!(turn["status"], "running");
    assert!(
        turn["lineCount"]
            .as_u64()
            .is_some_and(|lines| (2..14).contains(&lines)),
        "{turn}"
    );
    let turns = turns.json();
    assert_eq!(turns["turns"][0]["status"], "completed");
    assert_eq!(turns["turns"][0]["lineCount"], 14);
    assert_eq!(turns["turns"][0]["usage"]["inputTokens"], 7);
    assert_eq!(steps.json()["steps"][0]["status"], "completed");
    let contents: Vec<String> = messages.json()["messages"]
        .as_array()
        .expect("it is a list")
        .iter()
        .map(|message| message["content"].to_string())
        .collect();
    assert_eq!(
        contents,
        ["\"hello\"", Script::standard().message, "\"more\""]
    );
}
