//! Turns on an upstream of the deployment's own.
//!
//! Owns that such a turn is a turn like any other, and what becomes of one whose upstream, or whose
//! kind of upstream, is not in the code.

use super::{Submit, World, run_turn, submit};
use crate::support::{FORGED, Object, SPELLER, TENANT, assert_shipped, lines_of};
use futures::executor::block_on;
use steadfast::api::Command;
use steadfast::ids::run_id;
use steadfast::store::{Driver, Statement, Status};

const WORDS: &str = "one two three four five";

fn scene() -> (World, Object) {
    let world = World::new(0);
    world.set("UPSTREAM", &format!("sandbox,{SPELLER}"));
    let object = world.object("s");
    (world, object)
}

fn spell(message: &str) -> Submit {
    Submit {
        upstream: Some(SPELLER.to_owned()),
        ..submit(message)
    }
}

/// The log of a turn that spelled these words.
fn spelled(words: &str) -> String {
    let mut log = format!(
        "{{\"seq\":0,\"type\":\"session.run.started\",\"data\":{{\"sessionId\":\"s\",\
         \"tenantId\":\"{TENANT}\",\"turnIndex\":0,\"executionId\":\"{TENANT}:s:0\"}}}}\n"
    );
    let mut seq = 0;
    for word in words.split_inclusive(' ') {
        seq += 1;
        log.push_str(&format!(
            "{{\"seq\":{seq},\"type\":\"message.part.updated\",\"data\":\
             {{\"part\":{{\"id\":\"p1\",\"type\":\"text\"}},\"delta\":\"{word}\"}}}}\n"
        ));
    }
    log.push_str(&format!(
        "{{\"seq\":{},\"type\":\"session.run.completed\",\"data\":{{\"sessionId\":\"s\"}}}}\n",
        seq + 1
    ));
    log
}

fn log_of(object: &Object) -> String {
    let dump = object.dump();
    let (run, log, _) = dump.runs.first().expect("there is a turn");
    assert!(run.state.status.is_terminal());
    log.clone()
}

#[test]
fn an_own_upstream_runs_a_turn_beside_the_built_in_ones() {
    let (world, object) = scene();
    let client = run_turn(&world, &object, spell(WORDS));
    assert_eq!(client.log(), spelled(WORDS));
    assert_eq!(world.own.asked(), ["start"]);
    assert!(world.upstream.asked().is_empty());
    let dump = object.dump();
    let answer = dump.messages.last().expect("it answered");
    assert_eq!(answer.content, format!("\"{WORDS}\""));
    assert!(
        dump.runs[0]
            .0
            .upstream
            .contains(r#""kind":"own","name":"speller""#)
    );
    assert_shipped(&world, &object);
    // The next turn is the default's.
    run_turn(&world, &object, submit("hello"));
    assert_eq!(world.own.asked(), ["start"]);
    assert_eq!(world.upstream.asked().len(), 1);
}

#[test]
fn a_turn_on_an_own_upstream_goes_on_after_a_crash_where_it_was() {
    let (world, object) = scene();
    object.submit(spell(WORDS));
    world.run_for(150);
    object.end();
    world.settle();
    assert_eq!(log_of(&object), spelled(WORDS));
    let asked = world.own.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0], "start");
    let cursor = asked[1].strip_prefix("attach ").expect("it is attached");
    assert!(cursor.parse::<usize>().is_ok_and(|at| at > 0), "{asked:?}");
    assert_shipped(&world, &object);
}

#[test]
fn a_cancel_reaches_an_own_upstream() {
    let (world, object) = scene();
    object.submit(spell(WORDS));
    world.run_for(100);
    object.ask(Command::Cancel(0, None));
    world.settle();
    let kinds = lines_of(&log_of(&object));
    assert_eq!(
        kinds.last().map(String::as_str),
        Some("session.run.cancelled")
    );
    let told = format!("cancel {TENANT}:s:0");
    assert_eq!(world.own.asked(), ["start", told.as_str()]);
}

#[test]
fn an_own_upstream_can_not_forge_a_line() {
    let (world, object) = scene();
    run_turn(&world, &object, spell(&format!("one two {FORGED}")));
    let log = log_of(&object);
    let kinds = lines_of(&log);
    assert_eq!(kinds.last().map(String::as_str), Some("session.run.failed"));
    assert!(log.contains(r#""code":"upstream_protocol""#), "{log}");
}

#[test]
fn an_own_upstream_that_is_not_there_is_refused_before_anything_is_stored() {
    let (world, object) = scene();
    // Not configured, though the code has it.
    world.set("UPSTREAM", "sandbox");
    let client = object.submit(spell(WORDS));
    world.settle();
    assert_eq!(client.brief(), "400 invalid_request");
    // Configured, and the code can't give it: a variable of its own is missing, say.
    world.set("UPSTREAM", SPELLER);
    world.own.undeploy();
    let client = object.submit(submit(WORDS));
    world.settle();
    assert_eq!(client.brief(), "503 misconfigured");
    assert!(object.dump().runs.is_empty());
}

#[test]
fn a_run_whose_own_upstream_left_the_code_fails_once_and_for_all() {
    let (world, object) = scene();
    let client = object.submit(spell(WORDS));
    world.run_for(150);
    object.end();
    world.own.undeploy();
    world.settle();
    let log = log_of(&object);
    assert!(log.starts_with(&client.log()), "what was seen stays");
    assert!(
        log.contains(r#""type":"error","data":{"code":"upstream_rejected""#),
        "{log}"
    );
    let kinds = lines_of(&log);
    assert_eq!(kinds.last().map(String::as_str), Some("session.run.failed"));
    assert!(
        !kinds.contains(&"session.run.restarted".to_owned()),
        "{log}"
    );
    assert_eq!(world.own.asked(), ["start"]);
    let dump = object.dump();
    let run = &dump.runs[0].0;
    assert_eq!(
        (run.state.status, run.run_id.clone()),
        (Status::Failed, run_id(&object.session_key(), 0))
    );
    let said = format!("this code has no upstream `{SPELLER}`");
    assert_eq!(
        world
            .log
            .borrow()
            .iter()
            .filter(|line| line.contains(&said))
            .count(),
        1
    );
    // The session goes on, on an upstream that is there.
    let next = run_turn(&world, &object, submit("hello"));
    assert_eq!(next.brief(), "fresh");
    assert_shipped(&world, &object);
}

/// A deployment may be rolled back to code that is older than an open turn's kind of upstream.
#[test]
fn a_run_of_a_kind_that_the_code_does_not_know_fails_once_and_for_all() {
    let (world, object) = scene();
    let client = object.submit(submit("hello"));
    world.run_for(150);
    object.end();
    let rename = Statement {
        sql: r#"UPDATE runs SET upstream = replace(upstream, '"kind":"sandbox"', '"kind":"telepathy"')"#,
        params: vec![],
    };
    let renamed = block_on(object.storage().apply(vec![rename])).expect("the column is there");
    assert_eq!(renamed[0].changes, 1);
    world.settle();
    let log = log_of(&object);
    assert!(log.starts_with(&client.log()), "what was seen stays");
    assert!(
        log.contains(r#""type":"error","data":{"code":"upstream_rejected""#),
        "{log}"
    );
    let kinds = lines_of(&log);
    assert_eq!(kinds.last().map(String::as_str), Some("session.run.failed"));
    assert!(
        !kinds.contains(&"session.run.restarted".to_owned()),
        "{log}"
    );
    // The row still says what the turn was accepted with, as it was.
    let run = &object.dump().runs[0].0;
    assert!(
        run.upstream.contains(r#""kind":"telepathy""#),
        "{}",
        run.upstream
    );
    let view = object.ask(Command::Turn(0));
    world.settle();
    assert_eq!(view.json()["upstream"], "telepathy");
    let next = run_turn(&world, &object, submit("hello"));
    assert_eq!(next.brief(), "fresh");
    assert_shipped(&world, &object);
}
