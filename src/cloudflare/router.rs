//! Paths and methods: which command a request is.
//!
//! Owns the table of PROTOCOL §2. It parses no body and knows no credentials.

use crate::wire::problem::Problem;
use matchit::Router;
use worker::Method;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/healthz`
    Health,
    /// `/v1/runs`
    Runs,
    /// `/v1/sessions/{s}`
    Session,
    /// `…/messages`
    Messages,
    /// `…/turns`
    Turns,
    /// `…/turns/{n}`
    Turn,
    /// `…/turns/{n}/stream`
    Stream,
    /// `…/turns/{n}/steps`
    Steps,
    /// `…/turns/{n}/cancel`
    Cancel,
    /// `…/turns/{n}/poke`
    Poke,
    /// `…/turns/{n}/events/{key}`
    Event,
    /// `/__faults/{s}`, in test builds only.
    #[cfg(feature = "faults")]
    Faults,
}

const PATHS: &[(&str, Resource)] = &[
    ("/healthz", Resource::Health),
    ("/v1/runs", Resource::Runs),
    ("/v1/sessions/{session}", Resource::Session),
    ("/v1/sessions/{session}/messages", Resource::Messages),
    ("/v1/sessions/{session}/turns", Resource::Turns),
    ("/v1/sessions/{session}/turns/{turn}", Resource::Turn),
    (
        "/v1/sessions/{session}/turns/{turn}/stream",
        Resource::Stream,
    ),
    ("/v1/sessions/{session}/turns/{turn}/steps", Resource::Steps),
    (
        "/v1/sessions/{session}/turns/{turn}/cancel",
        Resource::Cancel,
    ),
    ("/v1/sessions/{session}/turns/{turn}/poke", Resource::Poke),
    (
        "/v1/sessions/{session}/turns/{turn}/events/{key}",
        Resource::Event,
    ),
    #[cfg(feature = "faults")]
    ("/__faults/{session}", Resource::Faults),
];

impl Resource {
    /// The methods that the path has, as an `Allow` header names them.
    const fn allow(self) -> &'static str {
        match self {
            Resource::Health
            | Resource::Runs
            | Resource::Messages
            | Resource::Turn
            | Resource::Stream
            | Resource::Steps => "GET, OPTIONS",
            Resource::Session => "GET, DELETE, OPTIONS",
            Resource::Turns | Resource::Event => "GET, POST, OPTIONS",
            Resource::Cancel | Resource::Poke => "POST, OPTIONS",
            #[cfg(feature = "faults")]
            Resource::Faults => "GET, POST",
        }
    }
}

/// A request's resource with the parts of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What the path names.
    pub resource: Resource,
    /// `{session}`, as sent.
    pub session: Option<String>,
    /// `{turn}`, as sent.
    pub turn: Option<String>,
    /// `{key}`, as sent.
    pub key: Option<String>,
}

/// Finds what a path names.
///
/// # Errors
/// 404 for an unknown path, 405 for a method that it doesn't have.
pub fn route(method: &Method, path: &str) -> Result<Route, Problem> {
    let mut router = Router::new();
    for (pattern, resource) in PATHS {
        router
            .insert(*pattern, *resource)
            .expect("the table's patterns don't conflict");
    }
    let found = router.at(path).map_err(|_| Problem::not_found())?;
    let part = |name| found.params.get(name).map(str::to_owned);
    let resource = *found.value;
    let allow = resource.allow();
    if !allow.split(", ").any(|allowed| allowed == method.as_ref()) {
        return Err(Problem::method_not_allowed(allow));
    }
    Ok(Route {
        resource,
        session: part("session"),
        turn: part("turn"),
        key: part("key"),
    })
}
