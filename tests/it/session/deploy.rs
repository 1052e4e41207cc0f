//! What is deployed while a turn is open: other variables, a newer schema.
//!
//! Owns that a turn ends as it was accepted, whatever is deployed meanwhile, and that an object brings its own
//! storage up to the code's schema whoever wakes it. The history's window is `history`'s.

use super::submit;
use crate::support::{Behaviour, ERRAND, Object, Script, TENANT, World, assert_shipped};
use futures::executor::block_on;
use std::collections::BTreeSet;
use steadfast::api::{Command, Page};
use steadfast::ids::EventKey;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, Outcome, Section, Statement, Status, Value, migrations, version};
use steadfast::tasks::research::{self, APPROVAL};
use steadfast::wire::request::Submit;

/// A research whose calls take a second and a half, accepted under this setting.
fn accepted(name: &str, value: &str) -> (World, Object) {
    let world = World::new(0);
    world.set("UPSTREAM", &format!("task:{}", research::NAME));
    world.set(name, value);
    let object = world.object("s");
    object.submit(Submit {
        metadata: Some(r#"{"research":{"paceMs":1500}}"#.to_owned()),
        ..submit("1 + 1; 2 + 2; 3 + 3")
    });
    (world, object)
}

/// How a research ends that is taken over under another value than it was accepted with.
fn ending(name: &str, accepted_with: &str, deployed: &str, after_ms: u64) -> String {
    let (world, object) = accepted(name, accepted_with);
    world.run_for(after_ms);
    world.set(name, deployed);
    object.end();
    object.ask(Command::Poke(0));
    world.run_for(10_000);
    let key = EventKey::parse(APPROVAL).expect("it is one");
    object.ask(Command::Emit(0, key, "true".to_owned()));
    world.run_for(10_000);
    assert_shipped(&world, &object);
    let state = object.dump().runs[0].0.state.clone();
    match state.status {
        Status::Completed => "completed".to_owned(),
        _ => state.last_error.expect("a failure says why").code,
    }
}

#[test]
fn a_task_is_bounded_by_what_its_turn_was_accepted_with() {
    // In its first step, and in its wait.
    for after_ms in [300, 8_000] {
        for (name, wide, narrow) in [
            ("TURN_TIMEOUT_MS", "1800000", "1000"),
            ("TURN_MAX_BYTES", "1000000", "1024"),
        ] {
            let ended = ending(name, wide, narrow, after_ms);
            assert_eq!(ended, "completed", "{name} lowered after {after_ms} ms");
        }
    }
    for (name, narrow, wide, code) in [
        ("TURN_TIMEOUT_MS", "1000", "1800000", "turn_timeout"),
        ("TURN_MAX_BYTES", "1024", "1000000", "turn_too_large"),
    ] {
        assert_eq!(ending(name, narrow, wide, 300), code, "{name} raised");
    }
}

fn apply(database: &NativeSqlite, sql: String, params: Vec<Value>) -> Outcome {
    let sql = Box::leak(sql.into_boxed_str());
    let outcomes = block_on(database.apply(vec![Statement { sql, params }]));
    outcomes.expect("it is one").remove(0)
}

fn texts(database: &NativeSqlite, sql: &str) -> Vec<String> {
    let rows = apply(database, sql.to_owned(), vec![]).rows;
    let text = |row: Vec<Value>| match row.into_iter().next() {
        Some(Value::Text(text)) => text,
        other => panic!("{other:?} is no name"),
    };
    rows.into_iter().map(text).collect()
}

const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table'";

fn columns(database: &NativeSqlite, table: &str) -> Vec<String> {
    texts(
        database,
        &format!("SELECT name FROM pragma_table_info('{table}')"),
    )
}

/// Has a storage be as the code of an earlier version left it: its tables, and of each row what they hold.
fn put_back(database: &NativeSqlite, version: u32) {
    let versions = migrations(Section::Object).into_iter();
    let statements = versions
        .filter(|migration| migration.version <= version)
        .flat_map(|migration| migration.statements);
    let statements: Vec<String> = statements.map(str::to_owned).collect();
    let earlier = NativeSqlite::in_memory().expect("there is memory");
    for sql in &statements {
        apply(&earlier, sql.clone(), vec![]);
    }
    let mut kept = Vec::new();
    for table in texts(&earlier, TABLES) {
        let columns = columns(&earlier, &table).join(", ");
        let rows = apply(database, format!("SELECT {columns} FROM {table}"), vec![]).rows;
        kept.extend(rows.into_iter().map(|row| {
            let places: Vec<String> = (1..=row.len()).map(|n| format!("?{n}")).collect();
            let places = places.join(", ");
            (
                format!("INSERT INTO {table} ({columns}) VALUES ({places})"),
                row,
            )
        }));
        apply(database, format!("DROP TABLE {table}"), vec![]);
    }
    let later = format!("DELETE FROM schema_info WHERE version > {version}");
    apply(database, later, vec![]);
    for sql in statements {
        apply(database, sql, vec![]);
    }
    for (sql, row) in kept {
        apply(database, sql, row);
    }
}

/// Nobody calls, or somebody does before the alarm.
#[test]
fn whoever_wakes_an_object_of_an_earlier_schema_brings_its_storage_up_to_date() {
    assert!(version() > 1, "there is an earlier one");
    for earlier in 1..version() {
        for is_called in [false, true] {
            let world = World::new(0);
            let object = world.object("s");
            world.upstream.behave([Behaviour::StallsAfter(5)]);
            object.submit(submit("hello"));
            world.run_for(1_000);
            object.end();
            put_back(&object.storage(), earlier);
            if is_called {
                object.ask(Command::Turn(0));
            }
            world.settle();
            let dump = object.dump();
            assert_eq!(dump.runs[0].0.state.status, Status::Completed);
            assert_eq!(dump.runs[0].1, Script::standard().log(TENANT, "s", 0));
            let steps = object.ask(Command::Steps(
                0,
                Page {
                    limit: 50,
                    cursor: None,
                },
            ));
            world.run_for(1_000);
            assert_eq!(
                steps.brief(),
                "200",
                "version {earlier}, called: {is_called}"
            );
            assert_shipped(&world, &object);
        }
    }
}

/// The same JSON, with one field more in each of its objects.
fn with_a_field_more(json: &str) -> String {
    fn add(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(members) => {
                members.values_mut().for_each(add);
                let later = serde_json::json!({ "of": [1, "a"] });
                members.insert("addedLater".to_owned(), later);
            }
            serde_json::Value::Array(all) => all.iter_mut().for_each(add),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(json).expect("it is JSON");
    add(&mut value);
    value.to_string()
}

/// Columns of JSON that this code reads itself.
const OWN_JSON: [(&str, &str); 9] = [
    ("runs", "request"),
    ("runs", "upstream"),
    ("runs", "attempts"),
    ("runs", "handle"),
    ("runs", "outcome"),
    ("runs", "last_error"),
    ("runs", "cancel"),
    ("runs", "upstream_cancel"),
    ("steps", "detail"),
];

/// Rewrites what an object holds as a later release would have it: fields are only added.
fn put_forward(database: &NativeSqlite) -> BTreeSet<&'static str> {
    let mut rewritten = BTreeSet::new();
    for (table, column) in OWN_JSON {
        let known = format!("SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL");
        for json in texts(database, &known) {
            let newer = Value::Text(with_a_field_more(&json));
            let update = format!("UPDATE {table} SET {column} = ?1 WHERE {column} = ?2");
            apply(database, update, vec![newer, Value::Text(json)]);
            rewritten.insert(column);
        }
    }
    rewritten
}

/// A release that adds fields is taken back, or comes to some objects before others.
#[test]
fn what_a_newer_release_stored_is_read_and_ended_by_this_one() {
    let world = World::new(0);
    world.set("UPSTREAM", &format!("sandbox,task:{ERRAND}"));
    let mut rewritten = BTreeSet::new();
    let mut deploy = |object: &Object| {
        object.end();
        rewritten.extend(put_forward(&object.storage()));
    };
    // One that failed, one that runs, and one that waits.
    let chat = world.object("chat");
    world.upstream.play(Script {
        fails: Some("out of luck"),
        ..Script::short()
    });
    chat.submit(submit("hello"));
    world.settle();
    world.upstream.play(Script::standard());
    world.upstream.behave([Behaviour::StallsAfter(5)]);
    chat.submit(submit("again"));
    let errand = world.object("errand");
    errand.submit(Submit {
        upstream: Some(format!("task:{ERRAND}")),
        ..submit("hello")
    });
    world.run_for(5_000);
    // And one that was cancelled, of which its upstream is still to be told.
    let cancelled = world.object("cancelled");
    cancelled.submit(submit("hello"));
    world.upstream.answer_cancels([503; 4]);
    world.run_for(200);
    cancelled.ask(Command::Cancel(0, Some("enough".to_owned())));
    world.run_for(100);
    for object in [&chat, &errand, &cancelled] {
        deploy(object);
    }
    let key = EventKey::parse(APPROVAL).expect("it is one");
    errand.ask(Command::Emit(0, key, "true".to_owned()));
    world.settle();
    assert_eq!(
        chat.dump().runs[1].1,
        Script::standard().log(TENANT, "chat", 1)
    );
    assert_eq!(errand.dump().runs[0].0.state.status, Status::Completed);
    assert_eq!(cancelled.dump().runs[0].0.upstream_cancel, None);
    assert_eq!(
        world.upstream.cancels().last().map(String::as_str),
        Some("acme:cancelled:0")
    );
    for (object, turn) in [(&chat, 0), (&chat, 1), (&errand, 0), (&cancelled, 0)] {
        let page = Page {
            limit: 50,
            cursor: None,
        };
        let asked = [Command::Turn(turn), Command::Steps(turn, page)];
        let answers = asked.map(|command| object.ask(command));
        world.run_for(1_000);
        assert_eq!(answers.map(|client| client.brief()), ["200", "200"]);
    }
    let all: BTreeSet<&str> = OWN_JSON.iter().map(|(_, column)| *column).collect();
    assert_eq!(rewritten, all, "each was met");
}
