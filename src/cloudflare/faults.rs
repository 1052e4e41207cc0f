//! Test hooks that break things on purpose: panics, resets, and a durable store that fails.
//!
//! Compiled with the feature `faults` only; a deployed Worker has none of it.

use super::d1::D1;
use super::object_sqlite::ObjectSqlite;
use super::platform::WorkerPlatform;
use super::ports::now_ms;
use super::request::Received;
use super::stub::SESSIONS_BINDING;
use super::transport::DEMO_BINDING;
use super::{body, js};
use crate::api::{Caller, Incoming};
use crate::session::{App, Platform, Session};
use crate::store::conformance;
use crate::store::{Driver, DriverError, Outcome, Section, SqlStore, Statement, Store};
use crate::wire::problem::Problem;
use serde::Deserialize;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::JsValue;
use worker::{Delay, Env, Method, Request, RequestInit, Response, Result};

/// How every call of a faulty store goes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fault {
    /// As it should.
    #[default]
    Ok,
    /// It fails before it reaches the store.
    Throw,
    /// It never answers.
    Hang,
    /// It commits, then fails.
    Lost,
    /// It answers after three seconds.
    Slow,
}

/// A driver whose calls can be made to fail.
#[derive(Clone)]
pub struct Faulty<D> {
    driver: D,
    fault: Rc<Cell<Fault>>,
}

impl<D> Faulty<D> {
    /// A driver that works.
    pub fn new(driver: D) -> Self {
        Faulty {
            driver,
            fault: Rc::default(),
        }
    }
}

fn failure(message: &str, unknown: bool) -> DriverError {
    DriverError {
        message: message.to_owned(),
        unknown,
        full: false,
    }
}

impl<D: Driver> Driver for Faulty<D> {
    async fn apply(&self, batch: Vec<Statement>) -> std::result::Result<Vec<Outcome>, DriverError> {
        match self.fault.get() {
            Fault::Ok => self.driver.apply(batch).await,
            Fault::Throw => Err(failure("fault: thrown", false)),
            Fault::Hang => std::future::pending().await,
            Fault::Lost => {
                self.driver.apply(batch).await?;
                Err(failure("fault: the answer was lost", true))
            }
            Fault::Slow => {
                Delay::from(Duration::from_secs(3)).await;
                self.driver.apply(batch).await
            }
        }
    }

    async fn barrier(&self) -> std::result::Result<(), DriverError> {
        self.driver.barrier().await
    }

    async fn sync(&self) -> std::result::Result<(), DriverError> {
        self.driver.sync().await
    }
}

thread_local! {
    static DIE_BEFORE_HEAD: Cell<bool> = const { Cell::new(false) };
}

/// Resets the object before it answers, when a test has asked for that: once, whichever object of
/// this module is asked next.
pub async fn before_answer<A: App>(session: &Session<WorkerPlatform<A>>) {
    if DIE_BEFORE_HEAD.replace(false) {
        let state = JsValue::from(session.platform().state().as_raw());
        if js::abort_soon(&state, "fault: died before the head").is_ok() {
            std::future::pending().await
        }
    }
}

/// What a test asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hook {
    panic: bool,
    die: bool,
    #[serde(rename = "dieBeforeHead")]
    die_before_head: bool,
    d1: Option<Fault>,
}

/// Where a hook is performed.
#[derive(PartialEq, Eq)]
enum Place {
    /// In the session's object.
    Session,
    /// In the Worker's own request.
    Request,
    /// In an object of the demo agent.
    Demo,
}

impl Place {
    /// By the query's `at`.
    fn of(request: &Received<'_>) -> Self {
        let query: BTreeMap<String, String> = request.query().into_iter().collect();
        match query.get("at").map(String::as_str) {
            Some("request") => Place::Request,
            Some("demo") => Place::Demo,
            _ => Place::Session,
        }
    }
}

/// Panics.
#[allow(clippy::panic, reason = "a panic is what the test asks for")]
pub fn panicked() -> ! {
    panic!("fault: panicked")
}

/// Panics in the Worker's own request, when a test asks for that.
pub fn in_request(request: &Received<'_>) {
    if session_of(request).is_some() && Place::of(request) == Place::Request {
        panicked();
    }
}

/// The session of a path `/__faults/{session}`.
pub fn session_of(request: &Received<'_>) -> Option<String> {
    let path = request.path();
    path.strip_prefix("/__faults/").map(str::to_owned)
}

/// Passes a hook on to the session's object, or to the demo agent's of this name, as it came.
pub async fn forward(
    request: &mut Received<'_>,
    env: &Env,
    caller: &Caller,
) -> std::result::Result<Response, Problem> {
    let unavailable = |_| Problem::session_unavailable();
    let query = request.search();
    let text = request.text().await.map_err(unavailable)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_body(Some(text.as_str().into()));
    let url = format!("http://session.invalid/__faults{query}");
    let hook = Request::new_with_init(&url, &init).map_err(unavailable)?;
    let binding = match Place::of(request) {
        Place::Demo => DEMO_BINDING,
        Place::Session | Place::Request => SESSIONS_BINDING,
    };
    let namespace = env.durable_object(binding).map_err(unavailable)?;
    let stub = namespace
        .get_by_name(&caller.session_key())
        .map_err(unavailable)?;
    stub.fetch_with_request(hook).await.map_err(unavailable)
}

/// Performs a hook in the object.
pub async fn fetch<A: App>(
    session: &Rc<Session<WorkerPlatform<A>>>,
    mut request: Request,
) -> Result<Response> {
    let query: BTreeMap<String, String> = {
        let received = Received::new(&mut request).map_err(|problem| problem.detail)?;
        received.query().into_iter().collect()
    };
    if let Some(store) = query.get("store") {
        return match (query.get("seed"), query.get("operations")) {
            (Some(seed), Some(operations)) => compare(session, store, seed, operations).await,
            _ => conform(session, store).await,
        };
    }
    let hook: Hook = serde_json::from_slice(&request.bytes().await?).unwrap_or_default();
    if let Some(fault) = hook.d1 {
        session.platform().faulty().fault.set(fault);
    }
    if hook.die_before_head {
        DIE_BEFORE_HEAD.set(true);
    }
    if hook.die {
        let state = JsValue::from(session.platform().state().as_raw());
        js::abort_soon(&state, "fault: died")?;
    }
    if hook.panic {
        panicked();
    }
    body::json(200, "{}")
}

/// The migrated stores that can be conformed.
async fn object<A: App>(session: &Session<WorkerPlatform<A>>) -> Result<SqlStore<ObjectSqlite>> {
    let store = SqlStore::new(session.platform().object(), Section::Object);
    migrated(store).await
}

async fn durable<A: App>(session: &Session<WorkerPlatform<A>>) -> Result<SqlStore<Faulty<D1>>> {
    let store = SqlStore::new(session.platform().durable(), Section::D1);
    migrated(store).await
}

async fn migrated<D: Driver>(store: SqlStore<D>) -> Result<SqlStore<D>> {
    let done = store.migrate(now_ms()).await;
    done.map_err(|failure| failure.to_string())?;
    Ok(store)
}

/// A salt that no call before used on these stores.
fn salt(store: &str) -> String {
    format!("{store}-{}", now_ms())
}

async fn conform<A: App>(
    session: &Rc<Session<WorkerPlatform<A>>>,
    store: &str,
) -> Result<Response> {
    let salt = salt(store);
    let mut results = Vec::new();
    match store {
        "object" => {
            let store = object(session).await?;
            results.extend(conformance::run_all(&store, &salt).await);
            results.extend(conformance::run_all_on_driver(store.driver(), &salt).await);
        }
        _ => {
            let store = durable(session).await?;
            results.extend(conformance::run_all(&store, &salt).await);
            results.extend(conformance::run_all_shared(&store, &salt).await);
            results.extend(conformance::run_all_on_driver(store.driver(), &salt).await);
        }
    }
    let cases: Vec<serde_json::Value> = results
        .into_iter()
        .map(|case| {
            serde_json::json!({
                "name": case.name,
                "ok": case.error.is_none(),
                "detail": case.error,
            })
        })
        .collect();
    body::json(200, &serde_json::json!({ "cases": cases }).to_string())
}

/// Random operations on the store and on the model.
async fn compare<A: App>(
    session: &Rc<Session<WorkerPlatform<A>>>,
    store: &str,
    seed: &str,
    operations: &str,
) -> Result<Response> {
    let seed = seed.parse().map_err(|_| "seed: not a number")?;
    let operations = operations.parse().map_err(|_| "operations: not a number")?;
    let salt = salt(store);
    let compared = match store {
        "object" => {
            let store = object(session).await?;
            conformance::run_random(&store, &salt, seed, operations).await
        }
        _ => {
            let store = durable(session).await?;
            conformance::run_random(&store, &salt, seed, operations).await
        }
    };
    let answer = serde_json::json!({ "difference": compared.err() });
    body::json(200, &answer.to_string())
}
