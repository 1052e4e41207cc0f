//! Databases as earlier releases left them, from the files of `rows/`.
//!
//! Owns the reading of those files: each is made with the statements of its own version as literals, so
//! that no part of today's code says what an old database looks like.

use crate::support::{Object, World};
use futures::executor::block_on;
use std::fs;
use std::path::{Path, PathBuf};
use steadfast::store::{Driver, Statement};

/// One file: what the stores held when its release was replaced.
pub struct Rows {
    /// Unix ms.
    pub now: i64,
    /// When the object's alarm was to fire, Unix ms.
    alarm: Option<i64>,
    object: Vec<Statement>,
    d1: Vec<Statement>,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/persisted/rows")
}

fn read(version: u32, name: &str) -> String {
    let path = folder().join(format!("{version}/{name}.sql"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The statements behind `-- @<mark>`, up to the next mark.
fn section(text: &str, mark: &str) -> Vec<Statement> {
    let parts = text.split("\n-- @").skip(1);
    let parts = parts.filter_map(|part| part.split_once('\n'));
    let own = parts.filter(|(name, _)| *name == mark);
    let statements = own.flat_map(|(_, body)| body.split_inclusive(";\n"));
    statements
        .filter(|statement| !statement.trim().is_empty())
        .map(|statement| Statement {
            // A driver takes statements that live as long as the program.
            sql: statement.trim().to_owned().leak(),
            params: vec![],
        })
        .collect()
}

/// What a version's releases added to the schema of this kind of store.
pub fn schema(version: u32, store: &str) -> Vec<Statement> {
    let text = read(version, "schema");
    let mut statements = section(&text, "common");
    statements.extend(section(&text, store));
    statements
}

impl Rows {
    pub fn read(version: u32, name: &str) -> Self {
        let text = read(version, name);
        let number = |what: &str| {
            let mark = format!("-- {what} ");
            let found = text.lines().find_map(|line| line.strip_prefix(&mark));
            found.map(|number| number.parse().expect("it is a time"))
        };
        let whole = |store: &str| {
            let rows = section(&text, store);
            // A store that nothing had been written to had no tables either.
            if rows.is_empty() {
                return rows;
            }
            let schema = (1..=version).flat_map(|version| schema(version, store));
            schema.chain(rows).collect()
        };
        Rows {
            now: number("now").expect("the file says when"),
            alarm: number("alarm"),
            object: whole("object"),
            d1: whole("d1"),
        }
    }

    /// Goes to the file's moment, at which D1 holds this.
    pub fn restore_d1(&self, world: &World) {
        world.sim.run_until(self.now);
        if !self.d1.is_empty() {
            let restored = block_on(world.d1.database().apply(self.d1.clone()));
            restored.expect("an earlier release stored it");
        }
    }

    /// Goes to the file's moment, at which both stores hold this.
    pub fn restore(&self, world: &World, object: &Object) {
        self.restore_d1(world);
        object.restore(self.object.clone(), self.alarm);
    }
}
