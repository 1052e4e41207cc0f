//! That the comparison of an object's rows with D1's looks at every column that there is.
//!
//! Owns another value for each column. A column that is new stands here, or in the list of those that may
//! differ, with its reason.

use crate::support::{ALONE, DIFFERS, ERRAND, Object, World, assert_shipped, differences, submit};
use futures::executor::block_on;
use std::collections::BTreeSet;
use steadfast::api::Command;
use steadfast::ids::EventKey;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, Outcome, Statement, Value};
use steadfast::tasks::research::APPROVAL;
use steadfast::wire::request::Submit;

/// What each column could hold as well, in SQL.
const ANOTHER: &[(&str, &str)] = &[
    ("sessions.session_key", "'other:s'"),
    ("sessions.tenant", "'other'"),
    ("sessions.session", "'other'"),
    ("sessions.birth", "'other'"),
    ("sessions.turn_count", "turn_count + 1"),
    ("sessions.first_turn", "first_turn + 1"),
    ("sessions.created_at", "created_at + 1"),
    ("sessions.updated_at", "updated_at + 1"),
    ("sessions.deleted_at", "1"),
    ("runs.run_id", "'other:s:0'"),
    ("runs.tenant", "'other'"),
    ("runs.session", "'other'"),
    ("runs.turn_index", "7"),
    ("runs.user", "'u'"),
    ("runs.idempotency_key", "'k'"),
    ("runs.input_hash", "'h'"),
    ("runs.request", "'{}'"),
    ("runs.upstream", "'{}'"),
    ("runs.status", "'cancelled'"),
    ("runs.attempts", "'[]'"),
    ("runs.epoch", "epoch + 1"),
    ("runs.handle", "'{\"executionId\":\"x\",\"attempt\":9}'"),
    ("runs.outcome", "NULL"),
    ("runs.usage", "'{}'"),
    (
        "runs.last_error",
        "'{\"code\":\"c\",\"message\":\"m\",\"at\":1}'",
    ),
    ("runs.line_count", "line_count - 1"),
    ("runs.wake_at", "1"),
    ("runs.rev", "rev + 1"),
    ("runs.cancel", "'{\"reason\":\"r\",\"at\":1}'"),
    (
        "runs.upstream_cancel",
        "'{\"executionId\":\"x\",\"tries\":1,\"nextAt\":1}'",
    ),
    ("runs.created_at", "created_at + 1"),
    ("runs.updated_at", "updated_at + 1"),
    ("runs.finished_at", "finished_at + 1"),
    ("stream_log.run_id", "'other:s:0'"),
    ("stream_log.epoch", "epoch + 1"),
    ("stream_log.attempt", "attempt + 1"),
    ("stream_log.cursor", "'c'"),
    (
        "stream_log.frame_ids",
        "replace(frame_ids, 'null', '\"x\"')",
    ),
    ("stream_log.lines", "replace(lines, 'errand', 'other')"),
    ("messages.session_key", "'other:s'"),
    ("messages.turn_index", "7"),
    ("messages.position", "1 - position"),
    ("messages.content", "'\"other\"'"),
    ("messages.status", "'partial'"),
    ("messages.retry_of", "7"),
    ("messages.rev", "rev + 90"),
    ("messages.created_at", "created_at + 1"),
    ("steps.run_id", "'other:s:0'"),
    ("steps.step_index", "step_index + 500"),
    ("steps.intent", "'other'"),
    ("steps.kind", "'other'"),
    ("steps.status", "'other'"),
    ("steps.attempts", "attempts + 1"),
    ("steps.result", "'7'"),
    ("steps.error", "'{}'"),
    ("steps.rev", "rev + 90"),
    ("steps.started_at", "started_at + 1"),
    ("steps.completed_at", "NULL"),
    ("steps.detail", "'{\"name\":\"other\"}'"),
    ("events.run_id", "'other:s:0'"),
    ("events.key", "'other'"),
    ("events.payload", "'7'"),
    ("events.rev", "rev + 90"),
    ("events.emitted_at", "emitted_at + 1"),
];

/// The position says the role; nothing reads its name.
const WRITTEN_ONLY: &[&str] = &["messages.role"];

fn apply(database: &NativeSqlite, sql: String) -> Outcome {
    let sql = Box::leak(sql.into_boxed_str());
    let params = vec![];
    let outcomes = block_on(database.apply(vec![Statement { sql, params }]));
    outcomes.expect("it is one").remove(0)
}

fn texts(database: &NativeSqlite, sql: String) -> Vec<String> {
    let rows = apply(database, sql).rows;
    let text = |row: Vec<Value>| match row.into_iter().next() {
        Some(Value::Text(text)) => text,
        other => panic!("{other:?} is no name"),
    };
    rows.into_iter().map(text).collect()
}

/// Every column of a store, with its table.
fn columns(database: &NativeSqlite) -> BTreeSet<String> {
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let tables = texts(database, tables.to_owned());
    let of = |table: String| {
        let names = texts(
            database,
            format!("SELECT name FROM pragma_table_info('{table}')"),
        );
        names.into_iter().map(move |name| format!("{table}.{name}"))
    };
    tables.into_iter().flat_map(of).collect()
}

/// A task that has written to every table, and is wholly in D1.
fn shipped() -> (World, Object) {
    let world = World::new(0);
    world.set("UPSTREAM", &format!("task:{ERRAND}"));
    let object = world.object("s");
    object.submit(Submit {
        upstream: Some(format!("task:{ERRAND}")),
        ..submit("hello")
    });
    world.run_for(5_000);
    let key = EventKey::parse(APPROVAL).expect("it is one");
    object.ask(Command::Emit(0, key, "true".to_owned()));
    world.settle();
    assert_shipped(&world, &object);
    (world, object)
}

#[test]
fn every_column_of_both_stores_is_compared_or_may_differ() {
    let (world, object) = shipped();
    let listed = |list: &[(&'static str, &'static str)]| -> Vec<String> {
        list.iter().map(|(name, _)| (*name).to_owned()).collect()
    };
    let written_only = WRITTEN_ONLY.iter().map(|name| (*name).to_owned());
    let known: Vec<String> = listed(ANOTHER)
        .into_iter()
        .chain(listed(DIFFERS))
        .chain(written_only)
        .collect();
    let distinct: BTreeSet<String> = known.iter().cloned().collect();
    assert_eq!(distinct.len(), known.len(), "a column stands in one list");
    assert_eq!(columns(&world.d1.database()), distinct);
    let (alone, shared): (Vec<String>, Vec<String>) =
        columns(&object.storage()).into_iter().partition(|column| {
            let table = column.split('.').next();
            listed(ALONE)
                .iter()
                .any(|known| Some(known.as_str()) == table)
        });
    assert_eq!(shared.into_iter().collect::<BTreeSet<_>>(), distinct);
    assert!(!alone.is_empty());
}

#[test]
fn another_value_in_any_column_is_a_difference() {
    for (column, value) in ANOTHER {
        let (world, object) = shipped();
        let (table, name) = column.split_once('.').expect("a table's column");
        // One row, so that a key stays unique.
        let keys = match table {
            "steps" => "WHERE step_index = 1",
            "messages" => "WHERE position = 0",
            _ => "",
        };
        let d1 = world.d1.database();
        if *column == "messages.position" {
            apply(&d1, "DELETE FROM messages WHERE position = 1".to_owned());
        }
        let changed = apply(&d1, format!("UPDATE {table} SET {name} = {value} {keys}"));
        assert!(changed.changes > 0, "{column}: nothing was changed");
        let (ours, theirs) = (object.dump(), world.dump(&object));
        assert_ne!(differences(&ours, &theirs), [] as [&str; 0], "{column}");
    }
}

#[test]
fn an_objects_lease_is_no_difference() {
    for (column, _) in DIFFERS
        .iter()
        .filter(|(column, _)| column.starts_with("runs.lease"))
    {
        let (world, object) = shipped();
        let name = column.split_once('.').expect("a table's column").1;
        apply(&world.d1.database(), format!("UPDATE runs SET {name} = 7"));
        let (ours, theirs) = (object.dump(), world.dump(&object));
        assert_eq!(differences(&ours, &theirs), [] as [&str; 0], "{column}");
    }
}
