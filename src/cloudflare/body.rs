//! Answers: replies, problems and streams of lines as responses.

use super::line_source::Served;
use crate::session::{Platform, Reply, Streaming};
use crate::wire::problem::{self, Problem};
use worker::{Headers, Response, ResponseBuilder, Result};

/// Nothing of an answer may be kept or changed on its way.
const CACHE_CONTROL: &str = "no-store, no-transform";

pub(super) fn builder(status: u16) -> Result<ResponseBuilder> {
    ResponseBuilder::new()
        .with_status(status)
        .with_header("cache-control", CACHE_CONTROL)?
        .with_header("x-content-type-options", "nosniff")
}

/// A JSON answer.
pub fn json(status: u16, body: &str) -> Result<Response> {
    Ok(builder(status)?
        .with_header("content-type", "application/json")?
        .fixed(body.as_bytes().to_vec()))
}

/// A refusal as an answer.
///
/// # Errors
/// What the platform throws while the answer is put together.
pub fn refusal(problem: &Problem) -> Result<Response> {
    let mut builder =
        builder(problem.status())?.with_header("content-type", problem::CONTENT_TYPE)?;
    for (name, value) in problem.headers() {
        builder = builder.with_header(name, &value)?;
    }
    Ok(builder.fixed(problem.to_json().into_bytes()))
}

/// A session's reply; its lines are one more body that the object serves.
pub fn reply<P: Platform>(reply: Reply<P>, served: &Served) -> Result<Response> {
    match reply {
        Reply::Answer { status, answer } => json(status, &answer.to_json()),
        Reply::NoContent => Ok(builder(204)?.empty()),
        Reply::Stream(streaming) => lines(*streaming, served),
    }
}

fn lines<P: Platform>(streaming: Streaming<P>, served: &Served) -> Result<Response> {
    let mut builder = builder(200)?
        .with_header("content-type", streaming.body.content_type())?
        .with_header("x-execution-id", &streaming.execution_id)?
        .with_header("location", &streaming.location)?;
    if let Some(mode) = streaming.mode {
        builder = builder.with_header("x-turn-mode", mode.name())?;
    }
    Ok(builder.stream(served.stream(streaming.body)?))
}

/// The same answer with more headers; an answer of an object can't be changed itself.
pub fn with_headers(answer: Response, more: &[(&'static str, String)]) -> Result<Response> {
    if more.is_empty() {
        return Ok(answer);
    }
    let headers = Headers::new();
    for (name, value) in answer.headers().entries() {
        headers.append(&name, &value)?;
    }
    for (name, value) in more {
        headers.append(name, value)?;
    }
    let status = answer.status_code();
    let (_, body) = answer.into_parts();
    Ok(ResponseBuilder::new()
        .with_status(status)
        .with_headers(headers)
        .body(body))
}
