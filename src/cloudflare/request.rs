//! A request's parts as the pure parsers take them: body, query, headers.
//!
//! Invariant: a body is never read beyond its limit, whatever its length header says.

use super::router::{Resource, Route};
use crate::caps;
use crate::session::{Command, Page};
use crate::wire::problem::Problem;
use crate::wire::request as parse;
use crate::wire::view::ViewKind;
use futures_util::StreamExt;
use std::collections::BTreeMap;
use worker::{Method, Request};

/// A header's value; one that isn't text counts as absent.
pub fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// The request's address. The platform's own parser reads it: it is there anyway, and a second one
/// would be a tenth of the Worker's code.
///
/// # Errors
/// `invalid_request` for one that can't be read.
pub fn address(request: &Request) -> Result<web_sys::Url, Problem> {
    web_sys::Url::new(&request.inner().url())
        .map_err(|_| Problem::invalid_request("the address can't be read"))
}

/// The query's parameters, decoded.
///
/// # Errors
/// `invalid_request` for one that stands twice: nobody could say which was meant.
pub fn query(request: &Request) -> Result<BTreeMap<String, String>, Problem> {
    let mut parameters = BTreeMap::new();
    let pairs = js_sys::try_iter(&address(request)?.search_params());
    for pair in pairs.ok().flatten().into_iter().flatten().flatten() {
        let pair = js_sys::Array::from(&pair);
        let (name, value) = (pair.get(0).as_string(), pair.get(1).as_string());
        if parameters
            .insert(name.unwrap_or_default(), value.unwrap_or_default())
            .is_some()
        {
            return Err(Problem::invalid_request(
                "a query parameter must not stand twice",
            ));
        }
    }
    Ok(parameters)
}

/// A whole body within `most` bytes.
async fn body(request: &mut Request, most: usize) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::payload_too_large(most);
    let declared = header(request, "content-length").and_then(|text| text.parse::<usize>().ok());
    if declared.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    // A request without a body has no stream.
    let Ok(mut chunks) = request.stream() else {
        return Ok(Vec::new());
    };
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::invalid_request("the body broke off"))?;
        if bytes.len() + chunk.len() > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn page(query: &BTreeMap<String, String>) -> Result<Page, Problem> {
    Ok(Page {
        limit: parse::parse_limit(query.get("limit").map(String::as_str))?,
        cursor: query.get("cursor").cloned(),
    })
}

/// The command that a request to a session is.
///
/// # Errors
/// What the parsers refuse.
pub async fn command(request: &mut Request, route: &Route) -> Result<Command, Problem> {
    let query = query(request)?;
    let content_type = header(request, "content-type");
    let content_type = content_type.as_deref();
    let accept = header(request, "accept");
    let view = ViewKind::from_accept(accept.as_deref());
    let turn = || parse::parse_turn_index(route.turn.as_deref().unwrap_or_default());
    let key = || parse::parse_event_key(route.key.as_deref().unwrap_or_default());
    let posting = request.method() == Method::Post;
    Ok(match route.resource {
        Resource::Session if request.method() == Method::Delete => Command::Delete,
        Resource::Session => Command::Session,
        Resource::Messages => Command::Messages(page(&query)?),
        Resource::Turns if posting => {
            let idempotency_key = header(request, "idempotency-key");
            let bytes = body(request, caps::REQUEST_BODY_BYTES).await?;
            let submit = parse::parse_submit(content_type, &bytes, idempotency_key.as_deref())?;
            Command::Submit(Box::new(submit), view)
        }
        Resource::Turns => Command::Turns(page(&query)?),
        Resource::Turn => Command::Turn(turn()?),
        Resource::Stream => {
            let last_event_id = header(request, "last-event-id");
            Command::Follow {
                turn: turn()?,
                start: view.start(
                    query.get("after").map(String::as_str),
                    last_event_id.as_deref(),
                )?,
                live: parse::parse_live(query.get("live").map(String::as_str))?,
                view,
            }
        }
        Resource::Steps => Command::Steps(turn()?, page(&query)?),
        Resource::Cancel => {
            let turn = turn()?;
            let bytes = body(request, caps::REQUEST_BODY_BYTES).await?;
            Command::Cancel(turn, parse::parse_cancel(content_type, &bytes)?)
        }
        Resource::Poke => Command::Poke(turn()?),
        Resource::Event if posting => {
            let (turn, key) = (turn()?, key()?);
            let bytes = body(request, caps::EVENT_BODY_BYTES).await?;
            Command::Emit(turn, key, parse::parse_event_payload(content_type, &bytes)?)
        }
        Resource::Event => Command::Event(turn()?, key()?),
        Resource::Health | Resource::Runs => return Err(Problem::not_found()),
        #[cfg(feature = "faults")]
        Resource::Faults => return Err(Problem::not_found()),
    })
}
