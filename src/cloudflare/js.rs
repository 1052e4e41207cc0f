//! The few JavaScript interfaces that the bindings lack or don't let fail.
//!
//! Owns their declarations. Invariant: whatever can throw is declared `catch`, since an exception
//! that crosses wasm frames leaves them in the middle.

use crate::store::{DriverError, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// `ctx.storage` of an object.
    #[derive(Clone)]
    pub type Storage;

    #[wasm_bindgen(method, getter)]
    pub fn sql(this: &Storage) -> Sql;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    pub fn transaction_sync(
        this: &Storage,
        closure: &Closure<dyn FnMut() -> Result<JsValue, JsValue>>,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn sync(this: &Storage) -> Result<js_sys::Promise, JsValue>;

    /// `ctx.storage.sql`.
    pub type Sql;

    #[wasm_bindgen(method, catch, variadic)]
    pub fn exec(this: &Sql, query: &str, bindings: &js_sys::Array) -> Result<Cursor, JsValue>;

    /// What `exec` returns.
    pub type Cursor;

    #[wasm_bindgen(method, catch)]
    pub fn raw(this: &Cursor) -> Result<js_sys::Iterator, JsValue>;

    #[wasm_bindgen(method, getter, js_name = rowsWritten)]
    pub fn rows_written(this: &Cursor) -> f64;

    /// A D1 database.
    #[derive(Clone)]
    pub type Database;

    #[wasm_bindgen(method, catch)]
    pub fn prepare(this: &Database, query: &str) -> Result<Prepared, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn batch(this: &Database, statements: &js_sys::Array) -> Result<js_sys::Promise, JsValue>;

    /// The controller of a stream.
    #[derive(Clone)]
    pub type StreamController;

    #[wasm_bindgen(method, catch)]
    pub fn enqueue(this: &StreamController, chunk: &js_sys::Uint8Array) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn close(this: &StreamController) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn error(this: &StreamController, reason: &JsValue) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = ReadableStream)]
    pub type SourceStream;

    #[wasm_bindgen(constructor, catch, js_class = "ReadableStream")]
    fn new(source: JsValue, strategy: &JsValue) -> Result<SourceStream, JsValue>;

    #[wasm_bindgen(catch, js_name = setTimeout)]
    fn set_timeout(callback: &js_sys::Function, ms: u32) -> Result<JsValue, JsValue>;

    /// A prepared D1 statement.
    pub type Prepared;

    #[wasm_bindgen(method, catch, variadic)]
    pub fn bind(this: &Prepared, values: &js_sys::Array) -> Result<Prepared, JsValue>;
}

/// A stream over an underlying source, of which nothing is read ahead: a slow client reads from the store at
/// its own pace.
///
/// # Errors
/// What the constructor throws.
pub fn new_stream(source: JsValue) -> Result<JsValue, JsValue> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Strategy {
        high_water_mark: u32,
    }
    let strategy = serde_wasm_bindgen::to_value(&Strategy { high_water_mark: 0 })?;
    SourceStream::new(source, &strategy).map(Into::into)
}

/// Resets the object of this state in a turn of the event loop of its own: the reset ends whatever
/// runs, and the module's task queue must not be what is running then.
///
/// # Errors
/// What JavaScript throws.
pub fn abort_soon(state: &JsValue, reason: &str) -> Result<(), JsValue> {
    let abort = js_sys::Reflect::get(state, &JsValue::from_str("abort"))?;
    let abort: js_sys::Function = abort.dyn_into()?;
    let bound = abort.bind1(state, &JsValue::from_str(reason));
    set_timeout(bound.unchecked_ref(), 0)?;
    Ok(())
}

/// Parameters as JavaScript takes them. Integers are exact up to 2^53; this schema has none above.
pub fn bindings(params: &[Value]) -> js_sys::Array {
    params
        .iter()
        .map(|value| match value {
            Value::Null => JsValue::NULL,
            Value::Integer(integer) => JsValue::from_f64(*integer as f64),
            Value::Text(text) => JsValue::from_str(text),
        })
        .collect()
}

/// A column's value. Other kinds than this schema's come back as null and are found corrupt.
pub fn value(column: &JsValue) -> Value {
    if let Some(text) = column.as_string() {
        Value::Text(text)
    } else if let Some(number) = column.as_f64() {
        Value::Integer(number as i64)
    } else {
        Value::Null
    }
}

/// A small object of the platform's, whose fields are plain and don't throw: none when it lacks one, or has it in
/// another form. Rows are not read so: each name and each value would go through a visitor.
pub fn read<T: DeserializeOwned>(object: &JsValue) -> Option<T> {
    serde_wasm_bindgen::from_value(object.clone()).ok()
}

/// A thrown value's message, for the operator.
pub fn message(thrown: &JsValue) -> String {
    #[derive(Deserialize)]
    struct Thrown {
        message: String,
    }
    read(thrown)
        .map(|Thrown { message }| message)
        .or_else(|| thrown.as_string())
        .unwrap_or_else(|| "an unknown exception".to_owned())
}

/// Whether the platform threw this because an object has more to do than it can.
pub fn is_overloaded(thrown: &JsValue) -> bool {
    #[derive(Deserialize)]
    struct Thrown {
        overloaded: bool,
    }
    read(thrown).is_some_and(|Thrown { overloaded }| overloaded)
}

/// A thrown value as a driver's failure. A full database has no flag of its own, only SQLite's name
/// for it in the message; a miss costs a wait, not a fact.
pub fn failure(thrown: &JsValue, unknown: bool) -> DriverError {
    let message = message(thrown);
    let full = message.contains("SQLITE_FULL") || message.contains("exceeded its maximum size");
    DriverError {
        message,
        unknown,
        full,
    }
}
