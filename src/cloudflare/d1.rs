//! The driver over a D1 database.
//!
//! Invariant: one `batch` call a batch, which D1 runs as one transaction; any exception may have
//! come after its commit.

use super::js;
use crate::store::{Driver, DriverError, Outcome, Statement};
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// The binding's name.
const BINDING: &str = "DB";

/// A D1 database. The platform limits the queries of one invocation, to 1,000 and on the free plan to
/// 50; a durable step takes two batches of two statements, so that a long run belongs into an object.
/// A call may hang for as long as the platform lets it: in [`Timed`](crate::ship::Timed) it doesn't.
#[derive(Clone)]
pub struct D1 {
    database: Option<js::Database>,
}

impl D1 {
    /// The database behind the binding `DB`.
    pub fn new(env: &worker::Env) -> Self {
        let binding = js_sys::Reflect::get(env, &JsValue::from_str(BINDING)).ok();
        D1 {
            database: binding
                .filter(JsValue::is_object)
                .map(JsCast::unchecked_into),
        }
    }
}

/// The field of an object; undefined when there is none.
fn field(object: &JsValue, name: &str) -> JsValue {
    js_sys::Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

/// What D1 says of a statement beside its rows.
#[derive(Deserialize)]
struct Meta {
    changes: u64,
}

fn outcome(result: &JsValue) -> Outcome {
    let rows = js_sys::Array::from(&field(result, "results"));
    let meta = js::read(&field(result, "meta"));
    Outcome {
        rows: rows
            .iter()
            .map(|row| {
                // D1 gives rows as objects whose keys keep the columns' order.
                js_sys::Object::values(row.unchecked_ref())
                    .iter()
                    .map(|column| js::value(&column))
                    .collect()
            })
            .collect(),
        changes: meta.map_or(0, |Meta { changes }| changes),
    }
}

impl Driver for D1 {
    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let Some(database) = &self.database else {
            return Err(DriverError {
                message: format!("the D1 binding {BINDING} is missing"),
                unknown: false,
                full: false,
            });
        };
        let failed = |thrown: JsValue| js::failure(&thrown, false);
        let statements = js_sys::Array::new();
        for statement in &batch {
            let prepared = database.prepare(statement.sql).map_err(failed)?;
            let bound = prepared
                .bind(&js::bindings(&statement.params))
                .map_err(failed)?;
            statements.push(&bound);
        }
        let promise = database.batch(&statements).map_err(failed)?;
        let results = JsFuture::from(promise)
            .await
            .map_err(|thrown| js::failure(&thrown, true))?;
        Ok(js_sys::Array::from(&results)
            .iter()
            .map(|result| outcome(&result))
            .collect())
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        // A batch is durable when it answers.
        Ok(())
    }

    async fn sync(&self) -> Result<(), DriverError> {
        // D1 answers after its commit is durable.
        Ok(())
    }
}
