//! The driver over a Durable Object's own SQLite.
//!
//! Invariant: a batch is one `transactionSync`, so no other event of the object comes in between,
//! and an exception in it leaves nothing.

use super::js;
use crate::store::{Driver, DriverError, Outcome, Statement};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// An object's storage; its class must be one of `new_sqlite_classes`. In an object of a class of your
/// own, not of [`session_object!`](crate::session_object), whose tables these would be.
#[derive(Clone)]
pub struct ObjectSqlite {
    storage: js::Storage,
}

impl ObjectSqlite {
    /// Over `ctx.storage`.
    pub fn new(state: &worker::State) -> Self {
        let storage = JsValue::from(state.storage().as_raw());
        ObjectSqlite {
            storage: storage.unchecked_into(),
        }
    }
}

fn execute(sql: &js::Sql, statement: &Statement) -> Result<Outcome, JsValue> {
    let cursor = sql.exec(statement.sql, &js::bindings(&statement.params))?;
    let mut rows = Vec::new();
    for row in cursor.raw()?.into_iter() {
        let columns = js_sys::Array::from(&row?);
        rows.push(columns.iter().map(|column| js::value(&column)).collect());
    }
    Ok(Outcome {
        rows,
        // Index rows count too; what matters is whether it is zero.
        changes: cursor.rows_written() as u64,
    })
}

impl Driver for ObjectSqlite {
    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        let sql = self.storage.sql();
        // One statement is a transaction by itself.
        if let [statement] = batch.as_slice() {
            return execute(&sql, statement)
                .map(|outcome| vec![outcome])
                .map_err(|thrown| js::failure(&thrown, false));
        }
        let outcomes = Rc::new(RefCell::new(Vec::with_capacity(batch.len())));
        let collected = Rc::clone(&outcomes);
        let closure = Closure::new(move || {
            for statement in &batch {
                let outcome = execute(&sql, statement)?;
                collected.borrow_mut().push(outcome);
            }
            Ok(JsValue::UNDEFINED)
        });
        self.storage
            .transaction_sync(&closure)
            .map_err(|thrown| js::failure(&thrown, false))?;
        Ok(outcomes.take())
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        // The output gate holds every request that leaves the object until its writes are durable.
        Ok(())
    }

    async fn sync(&self) -> Result<(), DriverError> {
        let promise = self
            .storage
            .sync()
            .map_err(|thrown| js::failure(&thrown, true))?;
        JsFuture::from(promise)
            .await
            .map_err(|thrown| js::failure(&thrown, true))?;
        Ok(())
    }
}
