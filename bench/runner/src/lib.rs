//! The Worker whose durable runs are measured: as turns of a session, in an object of its own, on D1.
//!
//! Owns three ways to one body: a task of the session objects (`POST …/turns` with `metadata.bench`), a
//! library run in the object class `RunnerObject` (`POST /own/{run}`), a library run on D1 in the
//! request itself (`POST /d1/{run}`). Invariant: nothing of it is in the deployed Worker.

mod body;

use body::Script;
use serde::Deserialize;
use std::rc::Rc;
use steadfast::cloudflare::{D1, ObjectSqlite, RequestPorts, WorkerPorts};
use steadfast::config::Vars;
use steadfast::ports::Ports;
use steadfast::run::manifest::Manifest;
use steadfast::run::{self, DurableContext, RunEnd, RunOptions, TaskInput, run_durable};
use steadfast::session::{App, NoUpstream, unknown_task};
use steadfast::store::{Driver, Section, SqlStore, Store};
use steadfast::turn::NoHooks;
// What `#[durable_object]` makes of a class needs the name `wasm_bindgen` in scope.
use worker::wasm_bindgen;
use worker::{
    Context, DurableObject, Env, Request, Response, Result, State, durable_object, event,
};

steadfast::session_object!(SessionObject: Measured = |_env| Measured);

#[event(fetch)]
async fn fetch(mut request: Request, env: Env, context: Context) -> Result<Response> {
    let path = request.path();
    if let Some(run_id) = path.strip_prefix("/d1/") {
        let ports = RequestPorts::new(context);
        return library_run(&mut request, run_id, &ports, D1::new(&env)).await;
    }
    if let Some(run_id) = path.strip_prefix("/own/") {
        let object = env.durable_object("RUNNERS")?.get_by_name(run_id)?;
        return object.fetch_with_request(request).await;
    }
    steadfast::cloudflare::handle(request, &env).await
}

/// The session objects' app: its one task runs the script that the turn's metadata give.
struct Measured;

const TASK: &str = "measured";

#[derive(Deserialize)]
struct Metadata {
    bench: Script,
}

impl App for Measured {
    type Upstream = NoUpstream;
    type Hooks = NoHooks;

    fn hooks(&self) -> NoHooks {
        NoHooks
    }

    fn upstream_names(&self) -> &[&'static str] {
        &[]
    }

    fn upstream(&self, _name: &str, _vars: Vars<'_>) -> Option<NoUpstream> {
        None
    }

    fn task_names(&self) -> &[&'static str] {
        &[TASK]
    }

    async fn run_task<C: DurableContext, I: TaskInput>(
        &self,
        name: &str,
        ctx: C,
        input: I,
    ) -> std::result::Result<(), run::Error> {
        if name != TASK {
            return Err(unknown_task(name));
        }
        let metadata = input.ask().metadata.as_deref().unwrap_or("{}");
        let Metadata { bench } = serde_json::from_str(metadata)
            .map_err(|_| run::Error::failed("no_script", "metadata.bench is no script"))?;
        body::run(&ctx, &bench).await.map(drop)
    }
}

/// An object of its own, whose storage is a store of library runs.
#[durable_object]
pub struct RunnerObject {
    state: Rc<State>,
}

impl DurableObject for RunnerObject {
    fn new(state: State, _env: Env) -> Self {
        RunnerObject {
            state: Rc::new(state),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let path = request.path();
        let run_id = path.trim_start_matches("/own/");
        let ports = WorkerPorts::new(Rc::clone(&self.state));
        library_run(&mut request, run_id, &ports, ObjectSqlite::new(&self.state)).await
    }
}

/// Runs or replays the script in the request's body, and says which.
async fn library_run<P: Ports, D: Driver>(
    request: &mut Request,
    run_id: &str,
    ports: &P,
    driver: D,
) -> Result<Response> {
    let script: Script = request.json().await?;
    let store = SqlStore::new(driver, Section::D1);
    let failed = |why: String| worker::Error::RustError(why);
    store
        .migrate(ports.now_ms())
        .await
        .map_err(|failure| failed(failure.to_string()))?;
    let input = serde_json::json!({ "steps": script.steps });
    let manifest = Manifest::new("bench", "measured", "Be measured.", "bench", &input)
        .map_err(|invalid| failed(invalid.to_string()))?;
    let options = RunOptions::new(run_id, manifest);
    let ended = run_durable(ports, &store, options, async |ctx| {
        body::run(&ctx, &script).await
    })
    .await
    .map_err(|error| failed(error.to_string()))?;
    match ended {
        RunEnd::Completed { value, mode } => Response::ok(format!("{mode:?} {value}")),
        RunEnd::Suspended { .. } => Response::ok("Suspended"),
    }
}
