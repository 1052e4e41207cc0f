//! Paths and methods: what a request is about.
//!
//! Owns the table of PROTOCOL §2: the paths, the methods of each, and the ids that stand in them. It
//! parses no body and knows no credentials. Invariant: a path is matched as it was sent, so an
//! escaped letter is another letter and a slash at the end is another path; and a method that a path
//! doesn't have is refused before its ids are looked at.

use crate::ids::{EventKey, SessionId};
use crate::wire::problem::Problem;
use crate::wire::request::{parse_event_key, parse_session, parse_turn_index};

/// The path that says whether the Worker is there; the only one that needs no credentials.
pub(super) const HEALTH: &str = "/healthz";

/// The methods that the API gives a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Asks for something to be done.
    Post,
    /// Erases.
    Delete,
    /// Any other one; no path has it.
    Other,
}

impl Method {
    /// Reads a request's method. Methods are told apart by case (RFC 9110 §9.1).
    pub fn parse(name: &str) -> Self {
        match name {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "DELETE" => Method::Delete,
            _ => Method::Other,
        }
    }
}

/// What a request with credentials is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /v1/runs`
    Runs,
    /// `GET /v1/sessions/{session}`
    Session {
        /// Which one.
        session: SessionId,
    },
    /// `DELETE /v1/sessions/{session}`
    Delete {
        /// Which one.
        session: SessionId,
    },
    /// `GET …/messages`
    Messages {
        /// Of which session.
        session: SessionId,
    },
    /// `GET …/turns`
    Turns {
        /// Of which session.
        session: SessionId,
    },
    /// `POST …/turns`
    Submit {
        /// To which session.
        session: SessionId,
    },
    /// `GET …/turns/{turn}`
    Turn {
        /// Of which session.
        session: SessionId,
        /// Which one.
        turn: u64,
    },
    /// `GET …/turns/{turn}/stream`
    Stream {
        /// Of which session.
        session: SessionId,
        /// Of which turn.
        turn: u64,
    },
    /// `GET …/turns/{turn}/steps`
    Steps {
        /// Of which session.
        session: SessionId,
        /// Of which turn.
        turn: u64,
    },
    /// `POST …/turns/{turn}/cancel`
    Cancel {
        /// Of which session.
        session: SessionId,
        /// Which turn.
        turn: u64,
    },
    /// `POST …/turns/{turn}/poke`
    Poke {
        /// Of which session.
        session: SessionId,
        /// Which turn.
        turn: u64,
    },
    /// `POST …/turns/{turn}/events/{key}`
    Emit {
        /// Of which session.
        session: SessionId,
        /// To which turn.
        turn: u64,
        /// Which event.
        key: EventKey,
    },
    /// `GET …/turns/{turn}/events/{key}`
    Event {
        /// Of which session.
        session: SessionId,
        /// Of which turn.
        turn: u64,
        /// Which one.
        key: EventKey,
    },
}

/// Finds what a method and a path are about. Of the address this is the path alone, escapes and all.
///
/// # Errors
/// 404 for an unknown path, 405 for a method that it doesn't have, 400 for an id that is none.
pub fn route(method: Method, path: &str) -> Result<Route, Problem> {
    let segments: Vec<&str> = path.split('/').collect();
    match *segments.as_slice() {
        ["", "v1", "runs"] => get(method, || Ok(Route::Runs)),
        ["", "v1", "sessions", session, ref rest @ ..] if !session.is_empty() => {
            of_session(method, session, rest)
        }
        _ => Err(Problem::not_found()),
    }
}

fn of_session(method: Method, session: &str, rest: &[&str]) -> Result<Route, Problem> {
    let parsed = || parse_session(session);
    match *rest {
        [] => match method {
            Method::Get => Ok(Route::Session { session: parsed()? }),
            Method::Delete => Ok(Route::Delete { session: parsed()? }),
            Method::Post | Method::Other => {
                Err(Problem::method_not_allowed("GET, DELETE, OPTIONS"))
            }
        },
        ["messages"] => get(method, || Ok(Route::Messages { session: parsed()? })),
        ["turns"] => match method {
            Method::Get => Ok(Route::Turns { session: parsed()? }),
            Method::Post => Ok(Route::Submit { session: parsed()? }),
            Method::Delete | Method::Other => Err(Problem::method_not_allowed(GET_POST)),
        },
        ["turns", turn, ref rest @ ..] if !turn.is_empty() => of_turn(method, session, turn, rest),
        _ => Err(Problem::not_found()),
    }
}

fn of_turn(method: Method, session: &str, turn: &str, rest: &[&str]) -> Result<Route, Problem> {
    let parsed = || Ok::<_, Problem>((parse_session(session)?, parse_turn_index(turn)?));
    match *rest {
        [] => get(method, || {
            parsed().map(|(session, turn)| Route::Turn { session, turn })
        }),
        ["stream"] => get(method, || {
            parsed().map(|(session, turn)| Route::Stream { session, turn })
        }),
        ["steps"] => get(method, || {
            parsed().map(|(session, turn)| Route::Steps { session, turn })
        }),
        ["cancel"] => post(method, || {
            parsed().map(|(session, turn)| Route::Cancel { session, turn })
        }),
        ["poke"] => post(method, || {
            parsed().map(|(session, turn)| Route::Poke { session, turn })
        }),
        ["events", key] if !key.is_empty() => {
            let whole =
                || parsed().and_then(|(session, turn)| Ok((session, turn, parse_event_key(key)?)));
            match method {
                Method::Get => {
                    whole().map(|(session, turn, key)| Route::Event { session, turn, key })
                }
                Method::Post => {
                    whole().map(|(session, turn, key)| Route::Emit { session, turn, key })
                }
                Method::Delete | Method::Other => Err(Problem::method_not_allowed(GET_POST)),
            }
        }
        _ => Err(Problem::not_found()),
    }
}

const GET_POST: &str = "GET, POST, OPTIONS";

/// What a path that is only read is about.
pub(super) fn get<T>(
    method: Method,
    about: impl FnOnce() -> Result<T, Problem>,
) -> Result<T, Problem> {
    match method {
        Method::Get => about(),
        Method::Post | Method::Delete | Method::Other => {
            Err(Problem::method_not_allowed("GET, OPTIONS"))
        }
    }
}

/// What a path that is only asked to do something is about.
fn post(method: Method, about: impl FnOnce() -> Result<Route, Problem>) -> Result<Route, Problem> {
    match method {
        Method::Post => about(),
        Method::Get | Method::Delete | Method::Other => {
            Err(Problem::method_not_allowed("POST, OPTIONS"))
        }
    }
}

/// The path of a turn's stream, as a `Location` header names it.
pub fn location(session: &str, turn: u64) -> String {
    format!("/v1/sessions/{session}/turns/{turn}/stream")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::code::Code;

    const METHODS: [&str; 8] = [
        "GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "get",
    ];

    fn s1() -> SessionId {
        SessionId::parse("s1").unwrap()
    }

    fn key() -> EventKey {
        EventKey::parse("approval:1").unwrap()
    }

    fn found(method: &str, path: &str) -> Result<Route, Problem> {
        route(Method::parse(method), path)
    }

    /// The path has exactly these methods, and says so to every other one.
    fn check(path: &str, routes: &[(&str, Route)], allow: &'static str) {
        for method in METHODS {
            let expected = routes.iter().find(|(known, _)| *known == method);
            let expected = expected.map(|(_, route)| route.clone());
            let expected = expected.ok_or(Problem::method_not_allowed(allow));
            assert_eq!(found(method, path), expected, "{method} {path}");
        }
        // `Allow` names what is there, and what the Worker answers of itself.
        let known: Vec<&str> = routes.iter().map(|(method, _)| *method).collect();
        assert_eq!(allow, format!("{}, OPTIONS", known.join(", ")), "{path}");
    }

    #[test]
    fn every_path_has_its_methods_and_no_other() {
        let (session, turn, key) = (s1(), 7, key());
        let of = |make: fn(SessionId) -> Route| make(s1());
        let at = |make: fn(SessionId, u64) -> Route| make(s1(), turn);
        check("/v1/runs", &[("GET", Route::Runs)], "GET, OPTIONS");
        check(
            "/v1/sessions/s1",
            &[
                ("GET", of(|session| Route::Session { session })),
                ("DELETE", of(|session| Route::Delete { session })),
            ],
            "GET, DELETE, OPTIONS",
        );
        let messages = of(|session| Route::Messages { session });
        check(
            "/v1/sessions/s1/messages",
            &[("GET", messages)],
            "GET, OPTIONS",
        );
        check(
            "/v1/sessions/s1/turns",
            &[
                ("GET", of(|session| Route::Turns { session })),
                ("POST", of(|session| Route::Submit { session })),
            ],
            "GET, POST, OPTIONS",
        );
        let read = [
            ("", at(|session, turn| Route::Turn { session, turn })),
            (
                "/stream",
                at(|session, turn| Route::Stream { session, turn }),
            ),
            ("/steps", at(|session, turn| Route::Steps { session, turn })),
        ];
        for (rest, route) in read {
            let path = format!("/v1/sessions/s1/turns/7{rest}");
            check(&path, &[("GET", route)], "GET, OPTIONS");
        }
        let done = [
            (
                "cancel",
                at(|session, turn| Route::Cancel { session, turn }),
            ),
            ("poke", at(|session, turn| Route::Poke { session, turn })),
        ];
        for (rest, route) in done {
            let path = format!("/v1/sessions/s1/turns/7/{rest}");
            check(&path, &[("POST", route)], "POST, OPTIONS");
        }
        let event = Route::Event {
            session: session.clone(),
            turn,
            key: key.clone(),
        };
        check(
            "/v1/sessions/s1/turns/7/events/approval:1",
            &[("GET", event), ("POST", Route::Emit { session, turn, key })],
            "GET, POST, OPTIONS",
        );
    }

    #[test]
    fn other_paths_are_not_found_whatever_the_method() {
        for path in [
            "",
            "/",
            "//",
            "v1/runs",
            "/v1",
            "/v1/",
            "/V1/runs",
            "/v1/runs/",
            "/v1//runs",
            "//v1/runs",
            "/v1/runs/x",
            "/v1/run",
            "/v2/sessions/s1",
            "/v1/%72uns",
            "/v1/sessions",
            "/v1/sessions/",
            "/v1/sessions//turns",
            "/v1/sessions/s1/",
            "/v1/sessions/s1/cancel",
            "/v1/sessions/s1/messages/",
            "/v1/sessions/s1/turns/",
            "/v1/sessions/s1/turns//stream",
            "/v1/sessions/s1/turns/7/",
            "/v1/sessions/s1/turns/7/nothing",
            "/v1/sessions/s1/turns/7/stream/",
            "/v1/sessions/s1/turns/7/%73tream",
            "/v1/sessions/s1/turns/7/events",
            "/v1/sessions/s1/turns/7/events/",
            "/v1/sessions/s1/turns/7/events/k/",
            "/v1/sessions/s1/turns/7/events/a/b",
            "/healthz",
            "/favicon.ico",
            "/__faults/s1",
        ] {
            for method in METHODS {
                let found = found(method, path);
                assert_eq!(found, Err(Problem::not_found()), "{method} {path}");
            }
        }
    }

    #[test]
    fn ids_are_taken_as_they_stand_in_the_path() {
        let long = "x".repeat(65);
        let (session, turn) = (s1(), 0);
        let path = |session: &str, turn: &str| format!("/v1/sessions/{session}/turns/{turn}");
        assert_eq!(
            found("GET", &path("s1", "0")),
            Ok(Route::Turn { session, turn })
        );
        for bad in [
            "a:b", "a%3Ab", "a%2Fb", "%2e%2e", "a%20b", "a%zz", "..", "ż", &long,
        ] {
            let refused = found("GET", &path(bad, "0")).unwrap_err();
            assert_eq!(
                (refused.status(), refused.code),
                (400, Code::InvalidRequest),
                "{bad}"
            );
        }
        for bad in [
            "-1",
            "01",
            "1.0",
            "x",
            "1e1",
            "9007199254740992",
            "%30",
            "+1",
        ] {
            let refused = found("GET", &path("s1", bad)).unwrap_err();
            assert_eq!(
                (refused.status(), refused.code),
                (400, Code::InvalidRequest),
                "{bad}"
            );
            assert!(
                refused.detail.starts_with("the turn index must be"),
                "{bad}"
            );
        }
        for bad in ["a%2Fb", "a b", "é", &"k".repeat(129)] {
            let refused = found("POST", &format!("/v1/sessions/s1/turns/0/events/{bad}"));
            let refused = refused.unwrap_err();
            assert_eq!(
                (refused.status(), refused.code),
                (400, Code::InvalidRequest),
                "{bad}"
            );
        }
        // A method that the path doesn't have says nothing of the ids.
        let refused = found("PUT", &path("a:b", "x")).unwrap_err();
        assert_eq!(refused.status(), 405);
    }

    #[test]
    fn a_location_leads_to_its_turns_stream() {
        let (session, turn) = (s1(), 7);
        assert_eq!(
            found("GET", &location("s1", 7)),
            Ok(Route::Stream { session, turn })
        );
    }
}
