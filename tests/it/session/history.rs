//! What an upstream is told of the turns before: the window, retries, and that recovery asks the
//! same.

use super::{run_turn, scene};
use crate::support::{Object, Script, World, submit};
use steadfast::store::Status;
use steadfast::wire::request::Submit;

/// The histories that the upstream was told, each as `role content` lines.
fn histories(world: &World) -> Vec<Vec<String>> {
    let asked = world.upstream.asked();
    let told = asked.iter().map(|asked| {
        let body: serde_json::Value = serde_json::from_str(&asked.body).expect("it is JSON");
        let history = body["history"].as_array().expect("it is a list").clone();
        let lines = history.iter().map(|message| {
            let role = message["role"].as_str().expect("it is text");
            let content = message["content"].as_str().expect("it is text");
            format!("{role} {content}")
        });
        lines.collect()
    });
    told.collect()
}

fn retry(turn: u64) -> Submit {
    Submit {
        message: None,
        retry_of: Some(turn),
        ..submit("")
    }
}

fn failing() -> Script {
    Script {
        fails: Some("out of luck"),
        ..Script::short()
    }
}

/// Four short turns under these settings; what the last one's upstream was told.
fn window(settings: &[(&str, &str)]) -> Vec<String> {
    let (world, object) = scene();
    world.upstream.play(Script::short());
    for (name, value) in settings {
        world.set(name, value);
    }
    for message in ["one", "two", "three", "four"] {
        run_turn(&world, &object, submit(message));
    }
    histories(&world).pop().expect("it was asked")
}

#[test]
fn the_window_is_bounded_in_messages_and_bytes_and_opens_with_a_question() {
    let three = [
        "user one",
        "assistant Yes.",
        "user two",
        "assistant Yes.",
        "user three",
        "assistant Yes.",
    ];
    // A message's bytes are those of its JSON: 6 of "Yes.", 5 of "one" and "two", 7 of "three".
    for (settings, kept) in [
        (&[] as &[(&str, &str)], 6),
        (&[("HISTORY_MESSAGES", "4")], 4),
        (&[("HISTORY_MESSAGES", "3")], 2),
        (&[("HISTORY_MESSAGES", "1")], 0),
        (&[("HISTORY_MESSAGES", "0")], 0),
        (&[("HISTORY_BYTES", "13")], 2),
        (&[("HISTORY_BYTES", "12")], 0),
        (&[("HISTORY_BYTES", "23")], 2),
        (&[("HISTORY_BYTES", "24")], 4),
    ] {
        assert_eq!(window(settings), three[6 - kept..], "{settings:?}");
    }
}

#[test]
fn a_retried_turn_is_skipped_by_every_later_history() {
    let (world, object) = scene();
    world.upstream.play(Script::short());
    run_turn(&world, &object, submit("one"));
    world.upstream.play(failing());
    run_turn(&world, &object, submit("two"));
    run_turn(&world, &object, retry(1));
    world.upstream.play(Script::short());
    run_turn(&world, &object, retry(2));
    run_turn(&world, &object, submit("three"));
    let first = vec!["user one".to_owned(), "assistant Yes.".to_owned()];
    let retried = ["user two", "assistant Yes."].map(str::to_owned);
    let with_retried = [first.clone(), retried.to_vec()].concat();
    assert_eq!(
        histories(&world),
        [vec![], first.clone(), first.clone(), first, with_retried]
    );
    let asked = world.upstream.asked();
    assert!(
        asked[2].body.contains(r#""message":"two""#),
        "{}",
        asked[2].body
    );
    let statuses: Vec<Status> = object
        .dump()
        .runs
        .iter()
        .map(|run| run.0.state.status)
        .collect();
    assert_eq!(
        statuses,
        [
            Status::Completed,
            Status::Failed,
            Status::Failed,
            Status::Completed,
            Status::Completed
        ]
    );
}

#[test]
fn only_what_failed_or_was_cancelled_is_retried() {
    let (world, object) = scene();
    world.upstream.play(Script::short());
    run_turn(&world, &object, submit("one"));
    for (turn, expected) in [(0, "409 turn_not_retryable"), (1, "404 not_found")] {
        let asked = object.submit(retry(turn));
        world.settle();
        assert_eq!(asked.brief(), expected);
    }
}

/// Changes every variable that a turn was accepted under, then ends its object.
fn change_everything(world: &World, object: &Object) {
    for (name, value) in [
        ("HISTORY_MESSAGES", "1"),
        ("HISTORY_BYTES", "1"),
        ("UPSTREAM_MODEL", "large"),
        ("UPSTREAM_URL", "http://other.test"),
        ("SYSTEM_PROMPT", "other"),
        ("UPSTREAM", "demo"),
    ] {
        world.set(name, value);
    }
    object.end();
}

#[test]
fn recovery_asks_what_was_accepted_whatever_the_variables_say_by_then() {
    let (world, object) = scene();
    world.upstream.play(Script::short());
    run_turn(&world, &object, submit("one"));
    world.upstream.play(Script::standard());
    object.submit(submit("two"));
    world.run_for(200);
    change_everything(&world, &object);
    world.settle();
    let asked = world.upstream.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[2].body, asked[1].body);
    assert!(asked[2].body.contains(r#""model":"small""#));
    assert_eq!(asked[2].execution_id, "acme:s:1");
    let dump = world.dump(&object);
    assert_eq!(dump.runs[1].0.state.status, Status::Completed);
    assert_eq!(dump.messages[3].content, Script::standard().message);
}

#[test]
fn retried_turns_take_no_place_of_the_window() {
    // As many messages of skipped turns as the window has places.
    for (kept, retried) in [(2, 1), (3, 2), (3, 3), (5, 4)] {
        let (world, object) = scene();
        world.set("HISTORY_MESSAGES", &(2 * kept).to_string());
        world.upstream.play(Script::short());
        for n in 0..kept - 1 {
            run_turn(&world, &object, submit(&format!("m{n}")));
        }
        world.upstream.play(failing());
        run_turn(&world, &object, submit("again"));
        for n in 1..retried {
            run_turn(&world, &object, retry(kept - 2 + n));
        }
        world.upstream.play(Script::short());
        run_turn(&world, &object, retry(kept - 2 + retried));
        run_turn(&world, &object, submit("last"));
        let told = histories(&world).pop().expect("it was asked");
        let asked = (0..kept - 1).map(|n| format!("m{n}"));
        let questions: Vec<String> = asked.chain(["again".to_owned()]).collect();
        let expected: Vec<String> = questions
            .iter()
            .flat_map(|text| [format!("user {text}"), "assistant Yes.".to_owned()])
            .collect();
        assert_eq!(told, expected, "{kept} kept, {retried} retried");
    }
}
