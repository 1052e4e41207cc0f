//! How the Worker asks a session's object.
//!
//! Owns the envelope between the two: a command with its caller, built anew by the Worker, so that
//! no header of a client says whose session it is. Invariant: a command is sent twice only when what
//! the first one did is found, and not done again.

use super::js;
use crate::ops::{About, Event, Why};
use crate::session::{Caller, Command};
use crate::wire::problem::Problem;
use serde::{Deserialize, Serialize};
use worker::{Env, Headers, Method, Request, RequestInit, Response, Result};

/// The binding of the session objects' namespace.
pub const SESSIONS_BINDING: &str = "SESSIONS";

/// What a Worker sends to a session's object.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// Whose session it is, by the caller's credentials.
    pub caller: Caller,
    /// What is asked of it.
    pub command: Command,
}

/// Asks the caller's session, a second time when its object was reset before it answered.
///
/// # Errors
/// `session_unavailable` when no object answers.
pub async fn ask(
    env: &Env,
    caller: Caller,
    command: Command,
) -> std::result::Result<Response, Problem> {
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
    let told = Event::Object {
        about: About::Unreached,
        why: Why::Words(&error.to_string()),
    };
    worker::console_log!("{told}");
    Problem::session_unavailable()
}
