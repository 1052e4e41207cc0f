//! The HTTP API: the way of a request to its object.
//!
//! Owns who is calling, which command it is, which object is asked, and what is answered without
//! one. Invariant: nothing is parsed, stored or revealed before the caller is known.

use super::d1::D1;
use super::platform::var;
use super::ports::{now_ms, random};
use super::router::{Resource, Route, route};
use super::{body, request, stub};
use crate::config::{AuthConfig, CorsConfig, Identity, read_project};
use crate::session::{Caller, Command, list_runs};
use crate::store::{Section, SqlStore, Status, Store, version};
use crate::wire::problem::Problem;
use crate::wire::request as parse;
use worker::{Env, Method, Request, Response, Result};

/// Answers a request to the HTTP API, whole: CORS, credentials, every path, and a problem for what is
/// refused. The configuration comes from the variables of `env`, the sessions' objects from its
/// binding `SESSIONS`, D1 from `DB`.
///
/// # Errors
/// What the platform throws while an answer is put together; refusals are answers.
pub async fn handle(mut request: Request, env: &Env) -> Result<Response> {
    let origin = request::header(&request, "origin");
    let cors = match CorsConfig::read(&|name| var(env, name)) {
        Ok(cors) => cors,
        Err(problem) => return body::refusal(&problem),
    };
    if request.method() == Method::Options {
        let answer = Response::empty()?.with_status(204);
        return body::with_headers(answer, &cors.preflight_headers(origin.as_deref()));
    }
    let answer = match answer(&mut request, env).await {
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
    let caller = caller(env, identity, &route)?;
    ask(request, env, &route, caller).await
}

/// Who asks, by the credentials, and for what, by the API's paths: for a Worker that answers without
/// session objects. The configuration comes from the variables of `env`.
///
/// # Errors
/// The [`Problem`] to answer with: 401 before anything else is looked at, 404 for a path that names no
/// session, what the parsers refuse.
pub async fn command(
    request: &mut Request,
    env: &Env,
) -> std::result::Result<(Caller, Command), Problem> {
    let url = request::address(request)?;
    let authorization = request::header(request, "authorization");
    let identity = AuthConfig::read(&|name| var(env, name))?
        .authenticate(&url.hostname(), authorization.as_deref())?;
    let route = route(&request.method(), &url.pathname())?;
    let caller = caller(env, identity, &route)?;
    Ok((caller, request::command(request, &route).await?))
}

fn caller(env: &Env, identity: Identity, route: &Route) -> std::result::Result<Caller, Problem> {
    Ok(Caller {
        project: read_project(&|name| var(env, name))?,
        tenant: identity.tenant,
        user: identity.user,
        session: parse::parse_session(route.session.as_deref().unwrap_or_default())?,
    })
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
    stub::ask(env, caller, command).await
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
    let durable = SqlStore::new(D1::new(env), Section::D1);
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
