//! Tasks that wait: more than once, for many events, and what counts as the answer that they wait for.
//!
//! Owns the second wait and the second page of events. One wait is `task`'s, the runner's own waits are
//! `run/waits`.

use crate::support::{Client, ERRAND, Object, World, assert_shipped, submit};
use steadfast::api::Command;
use steadfast::caps;
use steadfast::ids::EventKey;
use steadfast::store::Status;
use steadfast::tasks::research::{self, APPROVAL};

/// A task that has begun to wait for its approval, and who asked for it.
fn waiting(task: &str) -> (World, Object, Client) {
    let world = World::new(0);
    world.set("UPSTREAM", &format!("task:{task}"));
    let object = world.object("s");
    let client = object.submit(submit("What is 1 + 1?"));
    world.run_for(1_000);
    assert_eq!(status(&object), Status::Suspended);
    (world, object, client)
}

fn status(object: &Object) -> Status {
    object.dump().runs[0].0.state.status
}

fn emit(object: &Object, key: &str, payload: &str) -> Client {
    let key = EventKey::parse(key).expect("it is one");
    object.ask(Command::Emit(0, key, payload.to_owned()))
}

/// It waits three times; the third wait ends in the third minute.
#[test]
fn a_followers_patience_begins_anew_with_each_wait() {
    let second = 1_000;
    for first_wait_ms in [30 * second, 45 * second, 58 * second] {
        let (world, object, client) = waiting(ERRAND);
        world.run_for(first_wait_ms);
        emit(&object, APPROVAL, "true");
        world.settle();
        assert_eq!(status(&object), Status::Completed);
        assert!(!client.was_cut(), "{first_wait_ms} ms");
        assert_eq!(client.log(), object.dump().runs[0].1);
    }
}

#[test]
fn a_new_life_takes_over_every_event_of_an_open_run() {
    for count in [
        caps::LIST_LIMIT,
        caps::LIST_LIMIT + 1,
        2 * caps::LIST_LIMIT + 1,
    ] {
        let (world, object, _) = waiting(research::NAME);
        let keys: Vec<String> = (0..count).map(|n| format!("e{n}")).collect();
        for key in &keys {
            emit(&object, key, &format!(r#"{{"of":"{key}"}}"#));
        }
        world.run_for(120_000);
        assert_shipped(&world, &object);
        object.lose_storage();
        let again: Vec<Client> = keys.iter().map(|key| emit(&object, key, "2")).collect();
        world.run_for(120_000);
        for (key, client) in keys.iter().zip(&again) {
            assert_eq!(client.brief(), "200", "{key} of {count}");
            let payload = client.json()["record"]["payload"].to_string();
            assert_eq!(payload, format!(r#"{{"of":"{key}"}}"#));
        }
        assert_shipped(&world, &object);
    }
}

#[test]
fn nothing_but_true_approves() {
    for (payload, approves) in [
        ("true", true),
        (r#"{"approved":true}"#, true),
        (r#"{"approved":true,"by":"me"}"#, true),
        ("false", false),
        ("null", false),
        ("1", false),
        (r#""true""#, false),
        (r#""rejected""#, false),
        ("[true]", false),
        ("{}", false),
        (r#"{"by":"me"}"#, false),
        (r#"{"approved":false}"#, false),
        (r#"{"approved":null}"#, false),
        (r#"{"approved":"no"}"#, false),
        (r#"{"approved":"yes"}"#, false),
        (r#"{"approved":1}"#, false),
        (r#"{"approved":{"approved":true}}"#, false),
    ] {
        let (world, object, _) = waiting(research::NAME);
        emit(&object, APPROVAL, payload);
        world.run_for(1_000);
        assert_eq!(status(&object), Status::Completed);
        let expected = if approves {
            "\"1 found:\\n- 1 + 1 = 2 (calculator)\\n\""
        } else {
            "\"The research was not approved.\\n\""
        };
        assert_eq!(object.dump().messages[1].content, expected, "{payload}");
    }
}
