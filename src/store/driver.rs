//! The one primitive of every SQL store: a batch of statements, all or nothing.
//!
//! Owns statements, values and rows as they pass between the SQL module and a driver
//! (D1, an object's SQLite, native SQLite). It knows no table.
//! Invariant: after an `Err` whose outcome is not `unknown`, nothing of the batch is stored.

use std::future::Future;

/// A bound parameter or a column's value. D1 and objects know no other kinds that this schema uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// An integer; JavaScript stores carry it exactly up to 2^53.
    Integer(i64),
    /// Text.
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Value::Text(text.clone())
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Value::Integer(integer)
    }
}

impl From<u64> for Value {
    fn from(integer: u64) -> Self {
        // Counters start at 0 and grow by one: i64 outlasts them, and saturating keeps the order.
        Value::Integer(i64::try_from(integer).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(integer: u32) -> Self {
        Value::Integer(i64::from(integer))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(option: Option<T>) -> Self {
        option.map_or(Value::Null, Into::into)
    }
}

/// One statement with its parameters `?1`, `?2`, ….
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// SQL from the SQL module; never built from input.
    pub sql: &'static str,
    /// In order.
    pub params: Vec<Value>,
}

/// What one statement did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows of a `SELECT` or `RETURNING`, columns in the statement's order.
    pub rows: Vec<Vec<Value>>,
    /// Zero exactly when nothing was changed. Beyond that each driver counts in its own way: an
    /// object's SQLite counts entries of indexes too.
    pub changes: u64,
}

/// A driver's failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DriverError {
    /// For the operator's log; never sent to a client.
    pub message: String,
    /// The batch may have been committed although its answer was lost.
    pub unknown: bool,
    /// The database is full: retrying hot makes it worse.
    pub full: bool,
}

/// A SQL database that applies batches.
pub trait Driver: Clone + 'static {
    /// Applies all statements in order in one transaction, or none of them. It is awaited for as long as
    /// it takes: whoever can hang is put into [`Timed`](crate::ship::Timed).
    ///
    /// # Errors
    /// A [`DriverError`]; unless it is `unknown`, nothing was stored.
    fn apply(
        &self,
        batch: Vec<Statement>,
    ) -> impl Future<Output = Result<Vec<Outcome>, DriverError>>;

    /// Returns when everything applied before is durable.
    ///
    /// # Errors
    /// A [`DriverError`] when durability could not be confirmed.
    fn sync(&self) -> impl Future<Output = Result<(), DriverError>>;

    /// Returns when an effect on the outside may follow: see [`Store::barrier`](super::Store::barrier).
    ///
    /// # Errors
    /// A [`DriverError`] when durability could not be confirmed.
    fn barrier(&self) -> impl Future<Output = Result<(), DriverError>>;
}
