//! The store contract, run on every store that needs no Worker.
//!
//! Owns where the conformance cases run natively: the model, and the SQL store over native SQLite
//! in both of its schema's sections.

mod corrupt;
mod differential;
mod durable;
mod erasure;
mod migration;
mod operations;
mod plans;
mod record;

use futures::executor::block_on;
use std::collections::BTreeSet;
use steadfast::store::conformance::{
    CASES, Case, CaseResult, DRIVER_CASES, SHARED_CASES, cases, driver_cases, run_all,
    run_all_on_driver, run_all_shared, shared_cases,
};
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{MemoryStore, Section, SqlStore, Store};

const SECTIONS: [Section; 2] = [Section::D1, Section::Object];

/// A migrated store over an empty database in memory.
fn sqlite(section: Section) -> SqlStore<NativeSqlite> {
    let driver = NativeSqlite::in_memory().expect("there is memory");
    let store = SqlStore::new(driver, section);
    block_on(store.migrate(1)).expect("an empty database takes the schema");
    store
}

/// All rules hold, and all of them were asked.
fn check(rules: &[&str], results: &[CaseResult]) {
    let names: Vec<&str> = results.iter().map(|result| result.name).collect();
    assert_eq!(names, rules);
    let broken: Vec<_> = results
        .iter()
        .filter(|result| result.error.is_some())
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

fn each<T>(cases: Vec<Case<T>>, fresh: impl Fn() -> T) -> Vec<CaseResult> {
    let run = |case: &Case<T>| block_on(case.run(&fresh(), "fresh"));
    cases.iter().map(run).collect()
}

#[test]
fn every_rule_holds_on_a_fresh_model() {
    check(CASES, &each(cases(), MemoryStore::new));
}

#[test]
fn every_rule_holds_on_fresh_sqlite_in_both_sections() {
    for section in SECTIONS {
        check(CASES, &each(cases(), || sqlite(section)));
    }
}

/// An object's own storage holds one session, and its index of keys relies on that.
#[test]
fn every_rule_of_a_shared_store_holds_on_a_fresh_model_and_on_fresh_sqlite() {
    check(SHARED_CASES, &each(shared_cases(), MemoryStore::new));
    let fresh = || sqlite(Section::D1);
    check(SHARED_CASES, &each(shared_cases(), fresh));
}

#[test]
fn every_rule_of_a_driver_holds_on_fresh_sqlite_in_both_sections() {
    for section in SECTIONS {
        let fresh = || sqlite(section).driver().clone();
        check(DRIVER_CASES, &each(driver_cases(), fresh));
    }
}

#[test]
fn all_rules_hold_on_one_shared_database_run_after_run() {
    let model = MemoryStore::new();
    let store = sqlite(Section::D1);
    for salt in ["1", "2"] {
        check(CASES, &block_on(run_all(&model, salt)));
        check(CASES, &block_on(run_all(&store, salt)));
        for results in [
            block_on(run_all_shared(&model, salt)),
            block_on(run_all_shared(&store, salt)),
        ] {
            check(SHARED_CASES, &results);
        }
        check(
            DRIVER_CASES,
            &block_on(run_all_on_driver(store.driver(), salt)),
        );
    }
}

#[test]
fn every_rule_has_a_name_of_its_own() {
    let all = [CASES, SHARED_CASES, DRIVER_CASES].concat();
    let names: BTreeSet<&str> = all.iter().copied().collect();
    assert_eq!(names.len(), all.len());
}

#[test]
fn clones_share_one_store() {
    let store = sqlite(Section::Object);
    let model = MemoryStore::new();
    check(CASES, &block_on(run_all(&store.clone(), "clone")));
    check(CASES, &block_on(run_all(&model.clone(), "clone")));
    let key = "t-clone:a_begun_turn_is_stored_whole";
    assert!(block_on(store.session(key)).is_ok_and(|session| session.is_some()));
    assert!(block_on(model.session(key)).is_ok_and(|session| session.is_some()));
}
