//! What can be asked of a session, and which request asks it.
//!
//! Owns the commands, what each takes from body, query and headers, and which of them may be sent
//! twice. It doesn't own how a value is written (`wire/request`). Invariant: a command is whole: no
//! part of its request is needed to handle it.

use super::incoming::{Incoming, body, parameters};
use super::route::Route;
use crate::caps;
use crate::ids::{EventKey, SessionId};
use crate::store::Status;
use crate::wire::problem::Problem;
use crate::wire::request::{
    Submit, parse_cancel, parse_event_payload, parse_limit, parse_live, parse_session, parse_submit,
};
use crate::wire::view::{Start, ViewKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What can be asked of a session.
///
/// Worker and object speak by it ([`Envelope`](super::Envelope)), and not always of one release: fields
/// and commands are only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Run a turn, or answer from the one it names.
    Submit(Box<Submit>, ViewKind),
    /// Read a turn's lines.
    Follow {
        /// The turn.
        turn: u64,
        /// Where the caller's view begins.
        start: Start,
        /// Go on live.
        live: bool,
        /// What the caller is shown.
        view: ViewKind,
    },
    /// The session itself.
    Session,
    /// Erase it.
    Delete,
    /// Its transcript.
    Messages(Page),
    /// Its runs.
    Turns(Page),
    /// One run.
    Turn(u64),
    /// A run's steps.
    Steps(u64, Page),
    /// Cancel a run.
    Cancel(u64, Option<String>),
    /// Look at a run now.
    Poke(u64),
    /// Tell a run a keyed fact; raw JSON.
    Emit(u64, EventKey, String),
    /// Read one.
    Event(u64, EventKey),
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// How many at most.
    pub limit: u32,
    /// Behind this position, as an earlier page gave it.
    pub cursor: Option<String>,
}

/// Which of a tenant's runs are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunList {
    /// Of this status only.
    pub status: Option<Status>,
    /// Of this session only.
    pub session: Option<SessionId>,
    /// Which page of them.
    pub page: Page,
}

impl Command {
    /// Whether the command may be sent again when its outcome is unknown: all are idempotent, a
    /// submit by its key or index.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Command::Submit(submit, _) => submit.key.is_some() || submit.turn_index.is_some(),
            Command::Follow { .. }
            | Command::Session
            | Command::Delete
            | Command::Messages(_)
            | Command::Turns(_)
            | Command::Turn(_)
            | Command::Steps(..)
            | Command::Cancel(..)
            | Command::Poke(_)
            | Command::Emit(..)
            | Command::Event(..) => true,
        }
    }

    /// Gives a submit that names neither its turn nor a key one of 128 random bits: with a key it can
    /// be sent twice. A key that a client chose is never replaced.
    pub fn make_repeatable(&mut self, random: impl FnOnce() -> u128) {
        if let Command::Submit(submit, _) = self
            && submit.key.is_none()
            && submit.turn_index.is_none()
        {
            submit.key = Some(format!("steadfast-{:032x}", random()));
        }
    }
}

/// What a request is, once its route is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Of a tenant, by the Worker itself.
    Runs(RunList),
    /// Of a session.
    Session(SessionId, Command),
}

/// Reads what its route wants of a request, and no more.
pub(super) async fn read<R: Incoming>(route: Route, request: &mut R) -> Result<Wanted, Problem> {
    let query = parameters(request)?;
    let (session, command) = match route {
        Route::Runs => return Ok(Wanted::Runs(runs(&query)?)),
        Route::Session { session } => (session, Command::Session),
        Route::Delete { session } => (session, Command::Delete),
        Route::Messages { session } => (session, Command::Messages(page(&query)?)),
        Route::Turns { session } => (session, Command::Turns(page(&query)?)),
        Route::Submit { session } => (session, submit(request).await?),
        Route::Turn { session, turn } => (session, Command::Turn(turn)),
        Route::Stream { session, turn } => (session, follow(turn, &query, request)?),
        Route::Steps { session, turn } => (session, Command::Steps(turn, page(&query)?)),
        Route::Cancel { session, turn } => {
            let bytes = body(request, caps::REQUEST_BODY_BYTES).await?;
            let reason = parse_cancel(content_type(request).as_deref(), &bytes)?;
            (session, Command::Cancel(turn, reason))
        }
        Route::Poke { session, turn } => (session, Command::Poke(turn)),
        Route::Emit { session, turn, key } => {
            let bytes = body(request, caps::EVENT_BODY_BYTES).await?;
            let payload = parse_event_payload(content_type(request).as_deref(), &bytes)?;
            (session, Command::Emit(turn, key, payload))
        }
        Route::Event { session, turn, key } => (session, Command::Event(turn, key)),
    };
    Ok(Wanted::Session(session, command))
}

async fn submit<R: Incoming>(request: &mut R) -> Result<Command, Problem> {
    let bytes = body(request, caps::REQUEST_BODY_BYTES).await?;
    let key = request.header("idempotency-key");
    let submit = parse_submit(content_type(request).as_deref(), &bytes, key.as_deref())?;
    Ok(Command::Submit(Box::new(submit), view(request)))
}

fn follow<R: Incoming>(
    turn: u64,
    query: &BTreeMap<String, String>,
    request: &R,
) -> Result<Command, Problem> {
    let view = view(request);
    let last_event_id = request.header("last-event-id");
    let parameter = |name: &str| query.get(name).map(String::as_str);
    Ok(Command::Follow {
        turn,
        start: view.start(parameter("after"), last_event_id.as_deref())?,
        live: parse_live(parameter("live"))?,
        view,
    })
}

fn runs(query: &BTreeMap<String, String>) -> Result<RunList, Problem> {
    let page = page(query)?;
    let unknown = || Problem::invalid_request("`status` must be a run's status");
    let status = query.get("status");
    let status = status.map(|name| Status::parse(name).ok_or_else(unknown));
    let session = query.get("session").map(|text| parse_session(text));
    Ok(RunList {
        status: status.transpose()?,
        session: session.transpose()?,
        page,
    })
}

fn page(query: &BTreeMap<String, String>) -> Result<Page, Problem> {
    Ok(Page {
        limit: parse_limit(query.get("limit").map(String::as_str))?,
        cursor: query.get("cursor").cloned(),
    })
}

fn view<R: Incoming>(request: &R) -> ViewKind {
    ViewKind::from_accept(request.header("accept").as_deref())
}

fn content_type<R: Incoming>(request: &R) -> Option<String> {
    request.header("content-type")
}
