//! Databases that are used again: a model opens thousands, and to open one takes longer than a run.
//!
//! Owns the empty ones. Invariant: what is lent has the schema and no row.

use futures::executor::block_on;
use std::cell::RefCell;
use std::ops::Deref;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, Section, SqlStore, Statement, Store};

thread_local! {
    static SHELF: RefCell<Vec<(Section, NativeSqlite)>> = const { RefCell::new(Vec::new()) };
}

/// A database that goes back when it is dropped.
pub struct Lent {
    section: Section,
    database: NativeSqlite,
}

/// One with the schema of this section, and nothing in it.
pub fn lend(section: Section) -> Lent {
    let known = SHELF.with_borrow_mut(|shelf| {
        let at = shelf.iter().position(|(known, _)| *known == section);
        at.map(|at| shelf.swap_remove(at).1)
    });
    let database = known.unwrap_or_else(|| {
        let fresh = NativeSqlite::in_memory().expect("there is memory");
        let migrated = block_on(SqlStore::new(fresh.clone(), section).migrate(0));
        migrated.expect("it takes the schema");
        fresh
    });
    Lent { section, database }
}

impl Deref for Lent {
    type Target = NativeSqlite;

    fn deref(&self) -> &NativeSqlite {
        &self.database
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut tables = vec![
            "DELETE FROM sessions",
            "DELETE FROM runs",
            "DELETE FROM stream_log",
            "DELETE FROM messages",
            "DELETE FROM steps",
            "DELETE FROM events",
        ];
        if self.section == Section::Object {
            tables.push("DELETE FROM unshipped");
        }
        let emptied = tables.into_iter().map(|sql| Statement {
            sql,
            params: vec![],
        });
        // One that can't be emptied is not used again.
        if block_on(self.database.apply(emptied.collect())).is_ok() {
            SHELF.with_borrow_mut(|shelf| shelf.push((self.section, self.database.clone())));
        }
    }
}
