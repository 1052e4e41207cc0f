//! The HTTP API on this platform: the way of a request to whoever answers it.
//!
//! Owns the performing: which request it is and who may send it is `api/`, and a session's answer is
//! its object's. Invariant: nothing is parsed, stored or revealed before the caller is known.

use super::d1::D1;
use super::ports::{now_ms, random};
use super::request::{Received, header};
use super::{body, isolate, panics, stub};
use crate::api::{self, Answer, Asked, Caller, Command, PublicHealth, TenantRuns};
use crate::config::IsolateConfig;
use crate::session::list_runs;
use crate::store::{Section, SqlStore, Store, version};
use crate::wire::problem::Problem;
use worker::{Env, Method, Request, Response, Result};

/// Answers a request to the HTTP API, whole: CORS, credentials, every path, and a problem for what is
/// refused. The configuration comes from the variables of `env`, the sessions' objects from its
/// binding `SESSIONS`, D1 from `DB`.
///
/// # Errors
/// What the platform throws while an answer is put together; refusals are answers.
pub async fn handle(mut request: Request, env: &Env) -> Result<Response> {
    panics::tell();
    let config = isolate::config(env);
    let origin = header(&request, "origin");
    let cors = match &config.cors {
        Ok(cors) => cors,
        Err(problem) => return body::refusal(problem),
    };
    if request.method() == Method::Options {
        let answer = Response::empty()?.with_status(204);
        return body::with_headers(answer, &cors.preflight_headers(origin.as_deref()));
    }
    let answer = match answer(&mut request, env, &config).await {
        Ok(answer) => answer,
        Err(problem) => body::refusal(&problem)?,
    };
    body::with_headers(answer, &cors.headers(origin.as_deref()))
}

async fn answer(
    request: &mut Request,
    env: &Env,
    config: &IsolateConfig,
) -> std::result::Result<Response, Problem> {
    let broken = |_| Problem::internal();
    let mut request = Received::new(request)?;
    #[cfg(feature = "faults")]
    if let Some(session) = super::faults::session_of(&request) {
        super::faults::in_request(&request);
        let caller = api::caller(config, &request, &session)?;
        return super::faults::forward(&mut request, env, &caller).await;
    }
    match api::ask(config, &mut request).await? {
        Asked::Health => body::json(200, &health().to_json()).map_err(broken),
        Asked::Runs(asked) => {
            let runs = runs(env, &asked).await?;
            body::json(200, &runs.to_json()).map_err(broken)
        }
        Asked::Session(caller, mut command) => {
            command.make_repeatable(random);
            stub::ask(env, caller, command).await
        }
    }
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
    panics::tell();
    let mut request = Received::new(request)?;
    #[cfg(feature = "faults")]
    super::faults::in_request(&request);
    match api::ask(&isolate::config(env), &mut request).await? {
        Asked::Session(caller, command) => Ok((caller, command)),
        Asked::Health | Asked::Runs(_) => Err(Problem::not_found()),
    }
}

fn health() -> Answer {
    Answer::Health(PublicHealth {
        ok: true,
        version: env!("CARGO_PKG_VERSION"),
        schema_version: version(),
    })
}

async fn runs(env: &Env, asked: &TenantRuns) -> std::result::Result<Answer, Problem> {
    let durable = SqlStore::new(D1::new(env), Section::D1);
    let migrated = durable.migrate(now_ms()).await;
    migrated.map_err(|_| Problem::store_unavailable())?;
    list_runs(&durable, asked).await
}
