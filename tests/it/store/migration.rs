//! How a schema comes to a database: whole, once, from any version, past any interruption.

use super::{SECTIONS, check, sqlite};
use futures::executor::block_on;
use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Barrier;
use std::thread;
use steadfast::store::conformance::{CASES, run_all};
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{
    Driver, DriverError, Outcome, Section, SqlStore, Statement, Store, Value, migrations,
};

/// What befalls a migration's batches; reads pass.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The first `applied` versions go through, and of the next one everything up to a statement
    /// in place of number `statement`, which fails.
    BreakAt { applied: usize, statement: usize },
    /// All go through, but each answer is lost.
    LoseAnswers,
    /// All go through, and claim versions of a schema that this code doesn't know yet.
    ComeFromLater { by: i64 },
}

/// A driver under a fate.
#[derive(Clone)]
struct Fated {
    driver: NativeSqlite,
    fate: Fate,
    applied: Rc<Cell<usize>>,
}

impl Fated {
    fn new(driver: &NativeSqlite, fate: Fate) -> Self {
        Fated {
            driver: driver.clone(),
            fate,
            applied: Rc::new(Cell::new(0)),
        }
    }

    fn store(&self, section: Section) -> SqlStore<Fated> {
        SqlStore::new(self.clone(), section)
    }
}

impl Driver for Fated {
    async fn apply(&self, mut batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        if batch.len() == 1 {
            return self.driver.apply(batch).await;
        }
        match self.fate {
            Fate::BreakAt { applied, statement } if self.applied.get() == applied => {
                batch[statement] = Statement {
                    sql: "no statement",
                    params: vec![],
                };
            }
            Fate::BreakAt { .. } | Fate::LoseAnswers => {}
            Fate::ComeFromLater { by } => {
                let version = batch
                    .iter_mut()
                    .find_map(|statement| statement.params.first_mut());
                if let Some(Value::Integer(version)) = version {
                    *version += by;
                }
            }
        }
        let outcomes = self.driver.apply(batch).await?;
        self.applied.set(self.applied.get() + 1);
        match self.fate {
            Fate::BreakAt { .. } | Fate::ComeFromLater { .. } => Ok(outcomes),
            Fate::LoseAnswers => Err(DriverError {
                message: "lost".to_owned(),
                unknown: true,
                full: false,
            }),
        }
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        self.driver.barrier().await
    }

    async fn sync(&self) -> Result<(), DriverError> {
        self.driver.sync().await
    }
}

fn empty() -> NativeSqlite {
    NativeSqlite::in_memory().expect("there is memory")
}

/// The schema is whole: every rule of a store holds.
fn check_whole(driver: &NativeSqlite, section: Section) {
    let store = SqlStore::new(driver.clone(), section);
    check(CASES, &block_on(run_all(&store, "migrated")));
}

#[test]
fn an_interruption_at_any_statement_of_any_version_leaves_it_unapplied() {
    for section in SECTIONS {
        for (applied, migration) in migrations(section).iter().enumerate() {
            // The version table and the version's key stand before the version's own statements.
            for statement in 0..migration.statements.len() + 2 {
                let driver = empty();
                let fate = Fate::BreakAt { applied, statement };
                let broken = Fated::new(&driver, fate);
                let failed = block_on(broken.store(section).migrate(1));
                assert!(failed.is_err(), "{section:?} {fate:?}");
                assert_eq!(broken.applied.get(), applied, "{section:?} {fate:?}");
                // What was left makes no difference to whoever comes next, from that version on.
                let store = SqlStore::new(driver.clone(), section);
                assert_eq!(block_on(store.migrate(2)), Ok(()), "{section:?} {fate:?}");
                if statement == migration.statements.len() + 1 {
                    check_whole(&driver, section);
                }
            }
        }
    }
}

#[test]
fn a_lost_answer_to_a_migration_is_no_failure() {
    for section in SECTIONS {
        let driver = empty();
        let lossy = Fated::new(&driver, Fate::LoseAnswers);
        assert_eq!(block_on(lossy.store(section).migrate(1)), Ok(()));
        assert_eq!(lossy.applied.get(), migrations(section).len());
        check_whole(&driver, section);
    }
}

/// T30: the schema's install fails on a real D1, and fails again when it is repeated. Here each version
/// is one batch of single statements behind its key, and a repeat writes nothing.
#[test]
fn a_migrated_database_is_not_written_again() {
    for section in SECTIONS {
        let driver = sqlite(section).driver().clone();
        let counted = Fated::new(&driver, Fate::LoseAnswers);
        assert_eq!(block_on(counted.store(section).migrate(2)), Ok(()));
        assert_eq!(counted.applied.get(), 0, "{section:?}");
    }
}

#[test]
fn a_newer_schema_is_accepted_and_left_alone() {
    for section in SECTIONS {
        let driver = empty();
        let later = Fated::new(&driver, Fate::ComeFromLater { by: 1_000 });
        assert_eq!(block_on(later.store(section).migrate(1)), Ok(()));
        let counted = Fated::new(&driver, Fate::LoseAnswers);
        assert_eq!(block_on(counted.store(section).migrate(2)), Ok(()));
        assert_eq!(counted.applied.get(), 0, "{section:?}");
        check_whole(&driver, section);
    }
}

/// A database file that is gone with its folder at the end of the test.
struct File {
    folder: PathBuf,
}

impl File {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("steadfast-{}-{name}", std::process::id()));
        std::fs::create_dir(&folder).expect("no other process has this id");
        let file = File { folder };
        // Opened once alone, since turning the write-ahead log on needs the file for itself.
        drop(file.open());
        file
    }

    fn open(&self) -> NativeSqlite {
        NativeSqlite::open(self.folder.join("store.sqlite")).expect("the folder is writable")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // A file left behind in the system's temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn two_connections_that_race_to_migrate_one_file_both_succeed() {
    for section in SECTIONS {
        let file = File::new(&format!("race-{section:?}"));
        let start = Barrier::new(2);
        let racer = || {
            let store = SqlStore::new(file.open(), section);
            start.wait();
            block_on(store.migrate(1))
        };
        let migrated = thread::scope(|scope| {
            [scope.spawn(racer), scope.spawn(racer)]
                .map(|thread| thread.join().expect("a racer doesn't panic"))
        });
        assert_eq!(migrated, [Ok(()), Ok(())], "{section:?}");
        check_whole(&file.open(), section);
    }
}

#[test]
fn what_is_stored_in_a_file_is_there_when_it_is_opened_again() {
    let file = File::new("reopen");
    let key = "t-file:a_begun_turn_is_stored_whole";
    let stored = {
        let store = SqlStore::new(file.open(), Section::Object);
        assert_eq!(block_on(store.migrate(1)), Ok(()));
        check(CASES, &block_on(run_all(&store, "file")));
        block_on(store.session(key))
    };
    assert!(matches!(stored, Ok(Some(_))), "{stored:?}");
    let store = SqlStore::new(file.open(), Section::Object);
    assert_eq!(block_on(store.migrate(2)), Ok(()));
    assert_eq!(block_on(store.session(key)), stored);
}
