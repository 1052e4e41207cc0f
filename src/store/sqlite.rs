//! Native SQLite: the driver for tests, tools and servers that are not Workers.
//!
//! Owns one connection and its transactions. It knows no table and no fence; the SQL above it is
//! the one that D1 and objects run, so it keeps their limits too.
//! Invariant: a batch that failed leaves neither rows nor an open transaction behind.

use super::{Driver, DriverError, Outcome, Statement, Value};
use crate::caps;
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, TransactionBehavior, params_from_iter};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// One connection to one database. Clones share it.
#[derive(Clone, Debug)]
pub struct NativeSqlite {
    connection: Rc<RefCell<Connection>>,
}

impl NativeSqlite {
    /// Opens or creates the database file at `path`.
    ///
    /// # Errors
    /// A [`DriverError`] when the file can't be opened or is no database.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DriverError> {
        Self::over(Connection::open(path))
    }

    /// An empty database that lives as long as its last clone.
    ///
    /// # Errors
    /// A [`DriverError`] when there is no memory for it.
    pub fn in_memory() -> Result<Self, DriverError> {
        Self::over(Connection::open_in_memory())
    }

    fn over(opened: rusqlite::Result<Connection>) -> Result<Self, DriverError> {
        let configure = || {
            let connection = opened?;
            connection.busy_timeout(Duration::from_millis(caps::SQLITE_BUSY_MS))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // A commit has reached the disk when it returns; `sync` rests on this.
            connection.pragma_update(None, "synchronous", "FULL")?;
            // Otherwise many statements are compiled again whenever a parameter is bound anew.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            // Every statement of `sql` fits; the default of 16 would prepare them again and again.
            connection.set_prepared_statement_cache_capacity(caps::SQLITE_STATEMENTS);
            Ok(connection)
        };
        Ok(NativeSqlite {
            connection: Rc::new(RefCell::new(configure().map_err(not_stored)?)),
        })
    }
}

impl Driver for NativeSqlite {
    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        // Nothing below awaits, so no other task meets this borrow or the transaction half-way.
        let mut connection = self.connection.borrow_mut();
        // Immediate, also for reads: a batch that begins with a read and then writes could
        // otherwise find its snapshot overtaken and fail where waiting would have helped.
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(not_stored)?;
        // An early return drops the transaction, and that rolls it back.
        let outcomes = batch
            .iter()
            .map(|statement| execute(&transaction, statement))
            .collect::<Result<_, _>>()?;
        transaction.commit().map_err(|error| failed(&error, true))?;
        Ok(outcomes)
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        // A commit is durable when it returns.
        Ok(())
    }

    async fn sync(&self) -> Result<(), DriverError> {
        Ok(())
    }
}

fn execute(connection: &Connection, statement: &Statement) -> Result<Outcome, DriverError> {
    if statement.params.len() > caps::STATEMENT_PARAMS {
        return Err(DriverError {
            message: format!("a statement has {} parameters", statement.params.len()),
            unknown: false,
            full: false,
        });
    }
    let run = || {
        // The difference, since SQLite's own count of one statement outlives reads and DDL.
        let before = connection.total_changes();
        let mut prepared = connection.prepare_cached(statement.sql)?;
        let columns = prepared.column_count();
        let mut cursor = prepared.query(params_from_iter(&statement.params))?;
        let mut rows = Vec::new();
        while let Some(row) = cursor.next()? {
            let values = (0..columns).map(|column| read(row, column));
            rows.push(values.collect::<rusqlite::Result<_>>()?);
        }
        let changes = connection.total_changes().saturating_sub(before);
        Ok(Outcome { rows, changes })
    };
    run().map_err(not_stored)
}

fn read(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Value> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(integer) => Ok(Value::Integer(integer)),
        text @ ValueRef::Text(_) => Ok(Value::Text(text.as_str()?.to_owned())),
        other @ (ValueRef::Real(_) | ValueRef::Blob(_)) => Err(rusqlite::Error::InvalidColumnType(
            column,
            "a kind of value that the schema doesn't use".to_owned(),
            other.data_type(),
        )),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// A failure before `COMMIT`: the transaction is rolled back, or was never begun.
fn not_stored(error: rusqlite::Error) -> DriverError {
    failed(&error, false)
}

fn failed(error: &rusqlite::Error, unknown: bool) -> DriverError {
    DriverError {
        message: error.to_string(),
        unknown,
        full: error.sqlite_error_code() == Some(ErrorCode::DiskFull),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    fn statement(sql: &'static str, params: Vec<Value>) -> Statement {
        Statement { sql, params }
    }

    fn apply(driver: &NativeSqlite, sql: &'static str) -> Result<Vec<Outcome>, DriverError> {
        block_on(driver.apply(vec![statement(sql, vec![])]))
    }

    #[test]
    fn a_failing_commit_is_unknown_and_leaves_no_transaction_open() {
        let driver = NativeSqlite::in_memory().unwrap();
        for sql in [
            "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
            "CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
        ] {
            apply(&driver, sql).unwrap();
        }
        driver
            .connection
            .borrow()
            .pragma_update(None, "foreign_keys", true)
            .unwrap();
        let error = apply(&driver, "INSERT INTO child VALUES (7)").unwrap_err();
        assert!(error.unknown, "{error:?}");
        apply(&driver, "INSERT INTO parent VALUES (1)").unwrap();
        let children = apply(&driver, "SELECT COUNT(*) FROM child").unwrap();
        assert_eq!(children[0].rows, [[Value::Integer(0)]]);
    }

    #[test]
    fn a_full_database_says_so_and_keeps_nothing_of_the_batch() {
        let driver = NativeSqlite::in_memory().unwrap();
        apply(&driver, "CREATE TABLE heap (text TEXT)").unwrap();
        let pages: u32 = driver
            .connection
            .borrow()
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        driver
            .connection
            .borrow()
            .pragma_update(None, "max_page_count", pages)
            .unwrap();
        let insert = |text: String| statement("INSERT INTO heap VALUES (?1)", vec![text.into()]);
        let batch = vec![insert("small".into()), insert("x".repeat(100_000))];
        let error = block_on(driver.apply(batch)).unwrap_err();
        assert!(error.full && !error.unknown, "{error:?}");
        let rows = apply(&driver, "SELECT COUNT(*) FROM heap").unwrap();
        assert_eq!(rows[0].rows, [[Value::Integer(0)]]);
    }

    #[test]
    fn as_many_parameters_as_d1_takes_are_taken_and_no_more() {
        let driver = NativeSqlite::in_memory().unwrap();
        let sum = |count: usize| {
            let places: Vec<String> = (1..=count).map(|n| format!("?{n}")).collect();
            let sql: &'static str = format!("SELECT {}", places.join("+")).leak();
            let params = vec![Value::Integer(1); count];
            block_on(driver.apply(vec![statement(sql, params)]))
        };
        let most = i64::try_from(caps::STATEMENT_PARAMS).unwrap();
        let taken = sum(caps::STATEMENT_PARAMS).unwrap();
        assert_eq!(taken[0].rows, [[Value::Integer(most)]]);
        let error = sum(caps::STATEMENT_PARAMS + 1).unwrap_err();
        assert!(!error.unknown && !error.full, "{error:?}");
    }

    #[test]
    fn a_missing_parameter_is_an_error_not_a_null() {
        let driver = NativeSqlite::in_memory().unwrap();
        assert!(apply(&driver, "SELECT ?1").is_err());
    }

    #[test]
    fn a_kind_of_value_without_a_counterpart_is_an_error() {
        let driver = NativeSqlite::in_memory().unwrap();
        for sql in ["SELECT 1.5", "SELECT x'00'"] {
            let error = apply(&driver, sql).unwrap_err();
            assert!(!error.unknown, "{sql}: {error:?}");
        }
    }

    #[test]
    fn batches_of_two_connections_wait_for_each_other() {
        const BATCHES: i64 = 50;
        let folder = std::env::temp_dir().join(format!("steadfast-wait-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let open = || NativeSqlite::open(folder.join("one.sqlite")).unwrap();
        apply(&open(), "CREATE TABLE t (id INTEGER)").unwrap();
        // A read first: what it has seen must still be so when the write behind it comes.
        let work = || {
            let driver = open();
            for _ in 0..BATCHES {
                let batch = vec![
                    statement("SELECT COUNT(*) FROM t", vec![]),
                    statement("INSERT INTO t SELECT COUNT(*) FROM t", vec![]),
                ];
                let outcomes = block_on(driver.apply(batch)).unwrap();
                assert_eq!(outcomes[1].changes, 1);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(work);
            scope.spawn(work);
        });
        let found = apply(&open(), "SELECT COUNT(DISTINCT id) FROM t").unwrap();
        assert_eq!(found[0].rows, [[Value::Integer(2 * BATCHES)]]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn making_a_table_changes_no_rows() {
        let driver = NativeSqlite::in_memory().unwrap();
        let made = apply(&driver, "CREATE TABLE t (id INTEGER)").unwrap();
        assert_eq!(made, [Outcome::default()]);
    }
}
