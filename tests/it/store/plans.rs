//! How SQLite finds what the store asks for: by an index or a primary key, whatever else is there.
//!
//! Owns the reading of query plans. The statements are those that the store sends.

use super::{SECTIONS, sqlite};
use futures::executor::block_on;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use steadfast::store::conformance::{run_all, run_all_shared};
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, DriverError, Outcome, Section, SqlStore, Statement, Value};

/// A driver that notes what it is sent.
#[derive(Clone)]
struct Noted {
    driver: NativeSqlite,
    sent: Rc<RefCell<Vec<Statement>>>,
}

impl Noted {
    fn store(section: Section) -> (SqlStore<Noted>, Rc<RefCell<Vec<Statement>>>) {
        let sent: Rc<RefCell<Vec<Statement>>> = Rc::default();
        let noted = Noted {
            driver: sqlite(section).driver().clone(),
            sent: Rc::clone(&sent),
        };
        (SqlStore::new(noted, section), sent)
    }
}

impl Driver for Noted {
    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        self.sent.borrow_mut().extend(batch.iter().cloned());
        self.driver.apply(batch).await
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        self.driver.barrier().await
    }

    async fn sync(&self) -> Result<(), DriverError> {
        self.driver.sync().await
    }
}

/// Each text that the store's rules have it send, and what SQLite does for it.
fn plans(section: Section) -> BTreeMap<&'static str, Vec<String>> {
    let (store, sent) = Noted::store(section);
    block_on(run_all(&store, "plans"));
    if section == Section::D1 {
        block_on(run_all_shared(&store, "plans"));
    }
    let driver = store.driver().driver.clone();
    let mut plans = BTreeMap::new();
    for Statement { sql, params } in sent.take() {
        plans.entry(sql).or_insert_with(|| {
            let sql = Box::leak(format!("EXPLAIN QUERY PLAN {sql}").into_boxed_str());
            let outcomes = block_on(driver.apply(vec![Statement { sql, params }]));
            let rows = outcomes.expect("it was sent before").remove(0).rows;
            rows.into_iter().map(detail).collect()
        });
    }
    plans
}

/// A plan's line: its id, its parent, a number of no use, and its words.
fn detail(row: Vec<Value>) -> String {
    match row.into_iter().next_back() {
        Some(Value::Text(words)) => words,
        other => panic!("a plan is text: {other:?}"),
    }
}

#[test]
fn no_statement_reads_a_table_from_end_to_end() {
    for section in SECTIONS {
        let plans = plans(section);
        assert!(plans.len() > 30, "{section:?}: {}", plans.len());
        for (sql, plan) in plans {
            let scan = plan
                .iter()
                .find(|words| words.starts_with("SCAN ") && *words != "SCAN CONSTANT ROW");
            assert_eq!(scan, None, "{section:?}: {sql}");
        }
    }
}

/// Where many sessions are, a key is looked for among its session's own turns and no tenant's: by the
/// primary key's range. An object, which has one session, has an index of keys.
#[test]
fn a_key_is_looked_for_in_its_session_alone() {
    let search = |section| match section {
        Section::D1 => "SEARCH runs USING PRIMARY KEY (run_id>? AND run_id<?)",
        Section::Object => {
            "SEARCH runs USING INDEX runs_by_key (tenant=? AND session=? AND idempotency_key=?)"
        }
    };
    for section in SECTIONS {
        let mut asked = 0;
        for (sql, plan) in plans(section) {
            if sql.contains("idempotency_key = ?") {
                let covered = search(section).replace("USING INDEX", "USING COVERING INDEX");
                let is_found = |words: &String| *words == search(section) || *words == covered;
                assert!(plan.iter().any(is_found), "{section:?}: {sql}: {plan:?}");
                asked += 1;
            }
        }
        assert_eq!(asked, 2, "a lookup and a begin");
    }
}
