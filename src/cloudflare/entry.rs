//! The ready Worker's exports: `fetch`, `scheduled`, and its Durable Object classes.
//!
//! Owns the way of a request to its object: who is calling, which command, which object.
//! Invariant: nothing is parsed, stored or revealed before the caller is known.

use super::d1::D1;
use super::platform::var;
use super::ports::{now_ms, random};
use super::router::{Resource, Route, route};
use super::session_object::{Envelope, SessionHost};
use super::{body, js, request};
use crate::config::{AuthConfig, CorsConfig, Identity, ObjectConfig, read_project};
use crate::ids::{SessionId, TenantId};
use crate::session::{Caller, Command, list_runs, sweep};
use crate::store::{DueRun, Section, SqlStore, Status, Store, version};
use crate::wire::problem::Problem;
use crate::wire::request as parse;
use worker::{
    Context, DurableObject, Env, Headers, Method, Request, RequestInit, Response, Result,
    ScheduleContext, ScheduledEvent, State, durable_object, event,
};

/// The binding of the session objects' namespace.
const SESSIONS_BINDING: &str = "SESSIONS";

/// The object of one session.
#[durable_object(alarm)]
pub struct SessionObject {
    host: SessionHost,
}

impl DurableObject for SessionObject {
    fn new(state: State, env: Env) -> Self {
        SessionObject {
            host: SessionHost::new(state, env),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        self.host.fetch(request).await
    }

    async fn alarm(&self) -> Result<Response> {
        self.host.alarm().await
    }
}

#[event(fetch)]
async fn fetch(mut request: Request, env: Env, _context: Context) -> Result<Response> {
    let origin = request::header(&request, "origin");
    let cors = match CorsConfig::read(&|name| var(&env, name)) {
        Ok(cors) => cors,
        Err(problem) => return body::refusal(&problem),
    };
    if request.method() == Method::Options {
        let answer = Response::empty()?.with_status(204);
        return body::with_headers(answer, &cors.preflight_headers(origin.as_deref()));
    }
    let answer = match answer(&mut request, &env).await {
        Ok(answer) => answer,
        Err(problem) => body::refusal(&problem)?,
    };
    body::with_headers(answer, &cors.headers(origin.as_deref()))
}

async fn answer(request: &mut Request, env: &Env) -> std::result::Result<Response, Problem> {
    let broken = |_| Problem::internal();
    let vars = |name: &str| var(env, name);
    if request.path() == "/healthz" {
        route(&request.method(), "/healthz")?;
        return body::json(200, &health()).map_err(broken);
    }
    let url = request::address(request)?;
    let authorization = request::header(request, "authorization");
    let identity =
        AuthConfig::read(&vars)?.authenticate(&url.hostname(), authorization.as_deref())?;
    let route = route(&request.method(), &url.pathname())?;
    if route.resource == Resource::Runs {
        let runs = runs(request, env, &identity).await?;
        return body::json(200, &runs).map_err(broken);
    }
    let session = parse::parse_session(route.session.as_deref().unwrap_or_default())?;
    let caller = Caller {
        project: read_project(&vars)?,
        tenant: identity.tenant,
        user: identity.user,
        session,
    };
    ask(request, env, &route, caller).await
}

fn health() -> String {
    format!(
        r#"{{"ok":true,"version":"{}","schemaVersion":{}}}"#,
        env!("CARGO_PKG_VERSION"),
        version()
    )
}

/// Asks the session's object.
async fn ask(
    request: &mut Request,
    env: &Env,
    route: &Route,
    caller: Caller,
) -> std::result::Result<Response, Problem> {
    #[cfg(feature = "faults")]
    if route.resource == Resource::Faults {
        return super::faults::forward(request, env, &caller).await;
    }
    let mut command = request::command(request, route).await?;
    if let Command::Submit(submit, _) = &mut command
        && submit.key.is_none()
        && submit.turn_index.is_none()
    {
        // With a key of its own the submit can be sent twice.
        submit.key = Some(format!("steadfast-{:032x}", random()));
    }
    let repeatable = command.is_repeatable();
    let object = caller.session_key();
    let Ok(envelope) = serde_json::to_string(&Envelope { caller, command }) else {
        return Err(Problem::internal());
    };
    match send(env, &object, &envelope).await {
        Ok(answer) => Ok(answer),
        // The object was reset before the head of its answer: a new stub finds the new one.
        Err(error) if repeatable && !is_overloaded(&error) => send(env, &object, &envelope)
            .await
            .map_err(|error| unavailable(&error)),
        Err(error) => Err(unavailable(&error)),
    }
}

async fn send(env: &Env, object: &str, envelope: &str) -> Result<Response> {
    let headers = Headers::new();
    headers.set("content-type", "application/json")?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(headers)
        .with_body(Some(envelope.into()));
    let request = Request::new_with_init("http://session.invalid/", &init)?;
    let stub = env.durable_object(SESSIONS_BINDING)?.get_by_name(object)?;
    stub.fetch_with_request(request).await
}

/// An overloaded object must not be asked again at once.
fn is_overloaded(error: &worker::Error) -> bool {
    match error {
        worker::Error::UnknownJsError { original, .. } => js::flag(original, "overloaded"),
        _ => false,
    }
}

fn unavailable(error: &worker::Error) -> Problem {
    worker::console_log!(
        r#"{{"object":"session","why":{}}}"#,
        crate::wire::json::quote(&error.to_string())
    );
    Problem::session_unavailable()
}

fn durable(env: &Env) -> SqlStore<D1> {
    SqlStore::new(D1::new(env), Section::D1)
}

async fn runs(
    request: &Request,
    env: &Env,
    identity: &Identity,
) -> std::result::Result<String, Problem> {
    let query = request::query(request)?;
    let limit = parse::parse_limit(query.get("limit").map(String::as_str))?;
    let status = match query.get("status") {
        None => None,
        Some(name) => Some(
            Status::parse(name)
                .ok_or_else(|| Problem::invalid_request("`status` must be a run's status"))?,
        ),
    };
    let session = query.get("session");
    let session = session.map(|text| parse::parse_session(text)).transpose()?;
    let durable = durable(env);
    let migrated = durable.migrate(now_ms()).await;
    migrated.map_err(|_| Problem::store_unavailable())?;
    list_runs(
        &durable,
        read_project(&|name| var(env, name))?.as_ref(),
        &identity.tenant,
        status,
        session.map(|session| session.as_str().to_owned()),
        limit,
        query.get("cursor").map(String::as_str),
    )
    .await
}

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    if let Err(why) = sweep_once(&env).await {
        worker::console_log!(
            r#"{{"object":"sweep","why":{}}}"#,
            crate::wire::json::quote(&why)
        );
    }
}

async fn sweep_once(env: &Env) -> std::result::Result<(), String> {
    let config = ObjectConfig::read(&|name| var(env, name)).map_err(|problem| problem.detail)?;
    let durable = durable(env);
    let now = now_ms();
    let migrated = durable.migrate(now).await;
    migrated.map_err(|failure| failure.to_string())?;
    let project = read_project(&|name| var(env, name)).map_err(|problem| problem.detail)?;
    let due = sweep(&durable, project.as_ref(), now, config.d1_log_days).await;
    for run in due.map_err(|failure| failure.to_string())? {
        if let Err(why) = poke(env, &run).await {
            worker::console_log!(
                r#"{{"object":{},"why":{}}}"#,
                crate::wire::json::quote(&run.run_id),
                crate::wire::json::quote(&why)
            );
        }
    }
    Ok(())
}

async fn poke(env: &Env, run: &DueRun) -> std::result::Result<(), String> {
    let caller = caller_of(run)?;
    let object = caller.session_key();
    let command = Command::Poke(run.turn_index);
    let envelope = serde_json::to_string(&Envelope { caller, command });
    let envelope = envelope.map_err(|error| error.to_string())?;
    let answer = send(env, &object, &envelope).await;
    answer.map(|_| ()).map_err(|error| error.to_string())
}

/// The caller that a run's own row names; its project is what its id begins with.
fn caller_of(run: &DueRun) -> std::result::Result<Caller, String> {
    let invalid = |error: crate::ids::InvalidId| error.to_string();
    let own = format!("{}:{}:{}", run.tenant, run.session, run.turn_index);
    let project = run
        .run_id
        .strip_suffix(&own)
        .and_then(|project| project.strip_suffix(':'))
        .map(crate::ids::ProjectId::parse)
        .transpose()
        .map_err(invalid)?;
    Ok(Caller {
        project,
        tenant: TenantId::parse(&run.tenant).map_err(invalid)?,
        user: None,
        session: SessionId::parse(&run.session).map_err(invalid)?,
    })
}
