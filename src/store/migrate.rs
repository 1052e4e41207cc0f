//! `schema.sql` cut into versions and sections.
//!
//! Owns the reading of that file's marks. Invariant: one batch a version, whose first statements
//! make the version table and insert the version's key, so that a version is applied whole, once.

use super::{Statement, Value};

const SCHEMA: &str = include_str!("../../schema.sql");

/// The kind of database a schema goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The durable store shared by all sessions.
    D1,
    /// One session's write-ahead log.
    Object,
}

impl Section {
    const fn name(self) -> &'static str {
        match self {
            Section::D1 => "d1",
            Section::Object => "object",
        }
    }
}

/// One version of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// From 1, without gaps.
    pub version: u32,
    /// Its statements, in order.
    pub statements: Vec<&'static str>,
}

/// What every batch begins with.
fn bootstrap() -> Vec<&'static str> {
    marked(SCHEMA)
        .filter(|(mark, _)| *mark == "bootstrap")
        .flat_map(|(_, body)| statements(body))
        .collect()
}

/// All versions of one section, in order.
pub fn migrations(section: Section) -> Vec<Migration> {
    let mut versions: Vec<Migration> = Vec::new();
    for (mark, body) in marked(SCHEMA) {
        let Some((version, part)) = mark
            .strip_prefix("migration ")
            .and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        if part != "common" && part != section.name() {
            continue;
        }
        let Ok(version) = version.parse() else {
            continue;
        };
        match versions.iter_mut().find(|known| known.version == version) {
            Some(known) => known.statements.extend(statements(body)),
            None => versions.push(Migration {
                version,
                statements: statements(body).collect(),
            }),
        }
    }
    versions
}

/// The version this code was written for.
pub fn version() -> u32 {
    migrations(Section::D1)
        .last()
        .map_or(0, |migration| migration.version)
}

/// The one batch that applies a version.
pub(crate) fn batch(migration: &Migration, now: i64) -> Vec<Statement> {
    bootstrap()
        .into_iter()
        .map(|sql| Statement {
            sql,
            params: vec![],
        })
        .chain([Statement {
            sql: super::sql::RECORD_VERSION,
            params: vec![migration.version.into(), Value::Integer(now)],
        }])
        .chain(migration.statements.iter().map(|sql| Statement {
            sql,
            params: vec![],
        }))
        .collect()
}

/// The file's parts: each mark with what follows it.
fn marked(schema: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    schema.split("\n-- @").skip(1).map(|part| {
        part.split_once('\n')
            .map_or((part, ""), |(mark, body)| (mark.trim(), body))
    })
}

/// The statements of a part. Statements end with `;` at a line's end; none holds one elsewhere.
fn statements(body: &'static str) -> impl Iterator<Item = &'static str> {
    body.split_inclusive(";\n").map(str::trim).filter(|text| {
        text.lines()
            .any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_from_1_without_gaps_in_every_section() {
        for section in [Section::D1, Section::Object] {
            let versions: Vec<u32> = migrations(section).iter().map(|m| m.version).collect();
            let expected: Vec<u32> = (1..=version()).collect();
            assert_eq!(versions, expected, "{section:?}");
        }
    }

    #[test]
    fn sections_get_the_common_part_and_their_own() {
        let text = |section| -> String {
            migrations(section)
                .into_iter()
                .flat_map(|migration| migration.statements)
                .collect()
        };
        assert!(text(Section::D1).contains("CREATE TABLE runs"));
        assert!(text(Section::Object).contains("CREATE TABLE runs"));
        assert!(text(Section::D1).contains("runs_by_tenant"));
        assert!(!text(Section::Object).contains("runs_by_tenant"));
        assert!(text(Section::Object).contains("CREATE TABLE unshipped"));
        assert!(!text(Section::D1).contains("CREATE TABLE unshipped"));
    }

    #[test]
    fn a_batch_claims_its_version_before_it_changes_anything_else() {
        let all = migrations(Section::D1);
        let first = all.first().unwrap();
        let batch = batch(first, 7);
        assert!(
            batch[0]
                .sql
                .contains("CREATE TABLE IF NOT EXISTS schema_info")
        );
        assert_eq!(batch[1].sql, crate::store::sql::RECORD_VERSION);
        assert_eq!(batch[1].params, [Value::Integer(1), Value::Integer(7)]);
        assert_eq!(batch.len(), 2 + first.statements.len());
    }
}
