//! What is stored, and must mean the same to every later release.
//!
//! Owns the list of everything that is PERSISTED (`list`, `versions`), what today's code stores as literals
//! (`written`), and runs of earlier releases as rows in files (`rows/`), which it must recover
//! (`recovered`, `tasks`, `without_objects`). A failure here says: an old row would be read otherwise,
//! or an old release could not read what this one writes. What is wanted then is a new field, name or
//! version beside the old one, never another literal here.

mod list;
mod recovered;
mod rows;
mod tasks;
mod versions;
mod without_objects;
mod written;

use futures::executor::block_on;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, Statement, Value};

/// What a database holds, a text a row: columns apart by ` | `, and `-` for nothing.
fn columns(database: &NativeSqlite, sql: &'static str) -> Vec<String> {
    let statement = Statement {
        sql,
        params: vec![],
    };
    let outcomes = block_on(database.apply(vec![statement])).expect("the database answers");
    let rows = outcomes.into_iter().flat_map(|outcome| outcome.rows);
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::Integer(integer) => integer.to_string(),
        Value::Text(text) => text.clone(),
    };
    rows.map(|row| row.iter().map(text).collect::<Vec<_>>().join(" | "))
        .collect()
}

/// How the runs of a database stand, by their ids.
const RUNS: &str = "SELECT run_id, status, attempts, epoch, handle, outcome, usage, line_count, \
     wake_at, cancel, upstream_cancel, log_home FROM runs ORDER BY run_id";
