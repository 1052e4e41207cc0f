//! What each version of the schema has left in databases: its tables, and runs of every kind.
//!
//! Owns that no version is without rows, that each file is recovered by some test, and that what a version
//! made is never made otherwise.

use super::columns;
use super::list::migrated;
use super::rows::{folder, schema};
use crate::tidy::files;
use futures::executor::block_on;
use std::fs;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, Section, Statement, migrations, version};

/// The kinds of stored runs that each version has a file of. A kind that comes later, such as a run that
/// is detached from its turn, comes here with the version that stores it first.
const KINDS: &[(u32, &[&str])] = &[
    (
        1,
        &[
            "cancelling",
            "chat",
            "erased",
            "expired",
            "queued",
            "retained",
            "running",
            "unshipped",
            "untold",
        ],
    ),
    (
        2,
        &[
            "approved",
            "cancelling",
            "chat",
            "erased",
            "errand-branches",
            "errand-retries",
            "errand-sleeps",
            "expired",
            "hooks",
            "library-failed",
            "library",
            "own",
            "plain",
            "queued",
            "research",
            "retained",
            "running",
            "saving",
            "unshipped",
            "untold",
        ],
    ),
];

#[test]
fn every_version_has_rows_of_every_kind_it_can_store() {
    let versions: Vec<u32> = KINDS.iter().map(|(version, _)| *version).collect();
    let expected: Vec<u32> = (1..=version()).collect();
    assert_eq!(
        versions, expected,
        "a schema's version without rows of its releases"
    );
    let tests: String = files("tests/it/persisted", ".rs")
        .into_iter()
        .map(|source| source.text)
        .collect();
    for (version, kinds) in KINDS {
        let entries = fs::read_dir(folder().join(version.to_string())).expect("it is there");
        let mut there: Vec<String> = entries
            .map(|entry| entry.expect("it can be read").file_name())
            .map(|name| name.into_string().expect("names are UTF-8"))
            .filter(|name| name != "schema.sql")
            .collect();
        there.sort_unstable();
        let listed: Vec<String> = kinds.iter().map(|kind| format!("{kind}.sql")).collect();
        assert_eq!(there, listed, "version {version}");
        for kind in *kinds {
            let read = [
                format!("(version, \"{kind}\")"),
                format!("({version}, \"{kind}\")"),
            ];
            assert!(
                read.iter().any(|read| tests.contains(read)),
                "no test recovers {version}/{kind}.sql"
            );
        }
    }
}

/// What a database is made of, without the white space and the comments of its statements.
fn shape(database: &NativeSqlite) -> Vec<String> {
    let made = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name";
    let plain = |sql: String| {
        let lines = sql
            .lines()
            .map(|line| line.split("--").next().unwrap_or(line));
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        words.join(" ").replace("( ", "(").replace(" )", ")")
    };
    columns(database, made).into_iter().map(plain).collect()
}

#[test]
fn an_old_schema_is_what_todays_first_versions_make() {
    for (section, store) in [(Section::Object, "object"), (Section::D1, "d1")] {
        let [old, new] = [(), ()].map(|()| NativeSqlite::in_memory().expect("there is memory"));
        let apply = |database: &NativeSqlite, batch: Vec<Statement>| {
            block_on(database.apply(batch)).expect("it is a schema's");
        };
        let bootstrap = schema(1, store).into_iter().take(1).collect();
        apply(&new, bootstrap);
        for migration in migrations(section) {
            apply(&old, schema(migration.version, store));
            let statements = migration.statements.iter();
            let today = statements.map(|sql| Statement {
                sql,
                params: vec![],
            });
            apply(&new, today.collect());
            assert_eq!(
                shape(&new),
                shape(&old),
                "version {} is out: databases have it as on the right, and are never made anew",
                migration.version
            );
        }
        assert_eq!(shape(&migrated(section)), shape(&old), "{section:?}");
    }
}
