//! How the Worker reaches a session's object.
//!
//! Owns the sending. What is sent, and when a second time, is `api/`.

use super::js;
use crate::api::{Caller, Command, Envelope, deliver};
use crate::ops::{About, Event, Why};
use crate::wire::problem::Problem;
use worker::{Env, Headers, Method, Request, RequestInit, Response, Result};

/// The binding of the session objects' namespace.
pub const SESSIONS_BINDING: &str = "SESSIONS";

/// Asks the caller's session.
///
/// # Errors
/// `session_unavailable` when no object answers.
pub async fn ask(
    env: &Env,
    caller: Caller,
    command: Command,
) -> std::result::Result<Response, Problem> {
    let is_repeatable = command.is_repeatable();
    let object = caller.session_key();
    let envelope = Envelope::new(caller, command).write()?;
    let send = async || send(env, &object, &envelope).await;
    let answer = deliver(is_repeatable, send, is_overloaded).await;
    answer.map_err(|error| unavailable(&error))
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

fn is_overloaded(error: &worker::Error) -> bool {
    match error {
        worker::Error::UnknownJsError { original, .. } => js::is_overloaded(original),
        _ => false,
    }
}

fn unavailable(error: &worker::Error) -> Problem {
    let told = Event::Object {
        about: About::Unreached,
        why: Why::Words(&error.to_string()),
    };
    worker::console_log!("{told}");
    Problem::session_unavailable()
}
