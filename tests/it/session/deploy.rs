//! What is deployed while a turn is open: other variables, a newer schema.
//!
//! Owns that a turn ends as it was accepted, whatever is deployed meanwhile, and that an object brings its own
//! storage up to the code's schema whoever wakes it. The history's window is `history`'s.

use super::submit;
use crate::support::{Behaviour, Object, Script, TENANT, World, assert_shipped};
use futures::executor::block_on;
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
