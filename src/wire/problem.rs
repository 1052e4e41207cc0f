//! Refusals before the head of an answer: RFC 9457 problems.
//!
//! Owns every code that a client may branch on, with its status, whether asking again can help,
//! and its headers. It doesn't own failures after the head was sent: those are lines. An object
//! answers the Worker with [`Problem::status`], [`Problem::headers`] and [`Problem::to_json`],
//! and the Worker passes that response on as it is, so nothing is ever read back or rewritten.
//! Invariant: a detail names rules, limits and variables, never a value of the caller's request,
//! a secret, or what belongs to another tenant.

use crate::ids::InvalidId;
use crate::json::push_quoted;
use std::fmt::Write;

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Seconds after which a request that met a replaced object or an unreadable store is worth
/// repeating; both are over within seconds as a rule.
const RETRY_AFTER_S: u32 = 1;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// Stable, snake_case; what programs branch on.
    pub code: &'static str,
    /// For people.
    pub detail: String,
    /// The same request may succeed later without anyone changing it or the configuration.
    pub retryable: bool,
    /// Seconds to wait before asking again, where that is known.
    pub retry_after_s: Option<u32>,
    /// The path of what is in the way.
    pub location: Option<String>,
    /// The methods that the path has, for a 405.
    pub allow: Option<&'static str>,
}

impl Problem {
    fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retryable: false,
            retry_after_s: None,
            location: None,
            allow: None,
        }
    }

    fn unavailable(code: &'static str, detail: &str) -> Self {
        Self {
            retryable: true,
            retry_after_s: Some(RETRY_AFTER_S),
            ..Self::new(503, code, detail)
        }
    }

    /// An id, a body or a parameter breaks a rule; `detail` says which.
    pub fn invalid_request(detail: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", detail)
    }

    /// `after` lies beyond the last line of the log.
    pub fn cursor_out_of_range() -> Self {
        let detail = "`after` lies beyond the last line of this turn";
        Self::new(400, "cursor_out_of_range", detail)
    }

    /// No credentials, or not valid ones; which of the two is not told.
    pub fn unauthorized() -> Self {
        let detail = "a valid `Authorization: Bearer` token is required";
        Self::new(401, "unauthorized", detail)
    }

    /// Absent, deleted, or another tenant's: the three must look alike.
    pub fn not_found() -> Self {
        Self::new(404, "not_found", "there is no such resource")
    }

    /// The path exists, but not with this method. `allow` is the value of `Allow`.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(
                405,
                "method_not_allowed",
                "this path does not have this method",
            )
        }
    }

    /// This turn, or this key, stands for another input already.
    pub fn manifest_mismatch() -> Self {
        let detail = "this turn index or idempotency key belongs to another request";
        Self::new(409, "manifest_mismatch", detail)
    }

    /// Another turn of the session runs; `location` is its stream.
    pub fn turn_in_progress(location: String) -> Self {
        Self {
            retryable: true,
            location: Some(location),
            ..Self::new(
                409,
                "turn_in_progress",
                "another turn of this session is running",
            )
        }
    }

    /// The index leaves a gap; `next` is the index that would not.
    pub fn turn_out_of_order(next: u64) -> Self {
        let detail = format!("the next turn of this session is {next}");
        Self::new(409, "turn_out_of_order", detail)
    }

    /// The turn is terminal and takes no new event.
    pub fn turn_finished() -> Self {
        Self::new(409, "turn_finished", "this turn has ended")
    }

    /// Only a failed or cancelled turn can be run again.
    pub fn turn_not_retryable() -> Self {
        Self::new(
            409,
            "turn_not_retryable",
            "only a failed or cancelled turn can be run again",
        )
    }

    /// The turn is known, but its lines are past their retention.
    pub fn log_expired() -> Self {
        Self::new(410, "log_expired", "the log of this turn has expired")
    }

    /// The body has more than `max_bytes`.
    pub fn payload_too_large(max_bytes: usize) -> Self {
        let detail = format!("the body has more than {max_bytes} bytes");
        Self::new(413, "payload_too_large", detail)
    }

    /// The body is not declared as JSON in UTF-8.
    pub fn unsupported_media_type() -> Self {
        let detail = "the body must be `application/json` in UTF-8";
        Self::new(415, "unsupported_media_type", detail)
    }

    /// A fault of ours; what it was stands in the log, not here.
    pub fn internal() -> Self {
        Self::new(500, "internal", "something went wrong here")
    }

    /// The object was replaced under the request; a new stub reaches its successor.
    pub fn session_unavailable() -> Self {
        let detail = "the session is being moved; ask again";
        Self::unavailable("session_unavailable", detail)
    }

    /// The durable store must be read for this request and can't be.
    pub fn store_unavailable() -> Self {
        Self::unavailable("store_unavailable", "the store can't be reached; ask again")
    }

    /// Neither tokens are configured, nor is this a local host that needs none.
    pub fn auth_not_configured() -> Self {
        let detail = "API_TOKENS is not set, and AUTH_MODE=none is for loopback hosts only";
        Self::new(503, "auth_not_configured", detail)
    }

    /// A variable is missing or can't be used; it is named, its value is not shown.
    pub fn misconfigured(variable: &str) -> Self {
        let detail = format!("the variable {variable} is missing or invalid");
        Self::new(503, "misconfigured", detail)
    }

    /// The headers of the answer, names in lower case.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", CONTENT_TYPE.to_owned()),
            ("cache-control", "no-store, no-transform".to_owned()),
        ];
        if self.status == 401 {
            headers.push(("www-authenticate", "Bearer".to_owned()));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.push(("retry-after", seconds.to_string()));
        }
        if let Some(location) = &self.location {
            headers.push(("location", location.clone()));
        }
        if let Some(allow) = self.allow {
            headers.push(("allow", allow.to_owned()));
        }
        headers
    }

    /// The body of the answer.
    ///
    /// `type` is `about:blank`, and so `title` is the status's own phrase (RFC 9457 §4.2.1):
    /// `code` tells problems apart.
    pub fn to_json(&self) -> String {
        let mut json = String::from(r#"{"type":"about:blank","title":"#);
        push_quoted(&mut json, phrase(self.status));
        write!(json, r#","status":{},"detail":"#, self.status).expect("a String takes every write");
        push_quoted(&mut json, &self.detail);
        json.push_str(r#","code":"#);
        push_quoted(&mut json, self.code);
        json.push_str(r#","retryable":"#);
        json.push_str(if self.retryable { "true}" } else { "false}" });
        json
    }
}

impl From<InvalidId> for Problem {
    fn from(invalid: InvalidId) -> Self {
        Self::invalid_request(invalid.to_string())
    }
}

/// The phrase of a status that a [`Problem`] can have.
fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(Problem, u16, &'static str, bool)> {
        vec![
            (Problem::invalid_request("d"), 400, "invalid_request", false),
            (
                Problem::cursor_out_of_range(),
                400,
                "cursor_out_of_range",
                false,
            ),
            (Problem::unauthorized(), 401, "unauthorized", false),
            (Problem::not_found(), 404, "not_found", false),
            (
                Problem::method_not_allowed("GET"),
                405,
                "method_not_allowed",
                false,
            ),
            (
                Problem::manifest_mismatch(),
                409,
                "manifest_mismatch",
                false,
            ),
            (
                Problem::turn_in_progress("/x".into()),
                409,
                "turn_in_progress",
                true,
            ),
            (
                Problem::turn_out_of_order(4),
                409,
                "turn_out_of_order",
                false,
            ),
            (Problem::turn_finished(), 409, "turn_finished", false),
            (Problem::log_expired(), 410, "log_expired", false),
            (
                Problem::payload_too_large(1),
                413,
                "payload_too_large",
                false,
            ),
            (
                Problem::unsupported_media_type(),
                415,
                "unsupported_media_type",
                false,
            ),
            (Problem::internal(), 500, "internal", false),
            (
                Problem::session_unavailable(),
                503,
                "session_unavailable",
                true,
            ),
            (Problem::store_unavailable(), 503, "store_unavailable", true),
            (
                Problem::auth_not_configured(),
                503,
                "auth_not_configured",
                false,
            ),
            (
                Problem::misconfigured("UPSTREAM"),
                503,
                "misconfigured",
                false,
            ),
        ]
    }

    #[test]
    fn every_code_has_its_status_and_says_if_asking_again_helps() {
        for (problem, status, code, retryable) in all() {
            assert_eq!(
                (problem.status, problem.code, problem.retryable),
                (status, code, retryable)
            );
            assert_eq!(
                problem.retry_after_s.is_some(),
                status == 503 && retryable,
                "{code}"
            );
        }
    }

    #[test]
    fn the_body_is_a_problem_of_rfc_9457() {
        assert_eq!(
            Problem::invalid_request("a \"quoted\" rule").to_json(),
            r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"a \"quoted\" rule","code":"invalid_request","retryable":false}"#
        );
        for (problem, status, code, retryable) in all() {
            let body: serde_json::Value = serde_json::from_str(&problem.to_json()).unwrap();
            assert_eq!(body["status"], status);
            assert_eq!(body["code"], code);
            assert_eq!(body["retryable"], retryable);
            assert_eq!(
                body["title"] == "Internal Server Error",
                status == 500,
                "{code}"
            );
        }
    }

    #[test]
    fn headers_say_what_a_client_can_do() {
        let headers = |problem: Problem| {
            let always = [
                ("content-type", "application/problem+json".to_owned()),
                ("cache-control", "no-store, no-transform".to_owned()),
            ];
            let mut headers = problem.headers();
            assert_eq!(headers.drain(..2).collect::<Vec<_>>(), always);
            headers
        };
        assert_eq!(headers(Problem::not_found()), []);
        assert_eq!(
            headers(Problem::unauthorized()),
            [("www-authenticate", "Bearer".to_owned())]
        );
        assert_eq!(
            headers(Problem::store_unavailable()),
            [("retry-after", "1".to_owned())]
        );
        assert_eq!(
            headers(Problem::turn_in_progress("/v1/x".into())),
            [("location", "/v1/x".to_owned())]
        );
        assert_eq!(
            headers(Problem::method_not_allowed("GET, DELETE")),
            [("allow", "GET, DELETE".to_owned())]
        );
    }

    #[test]
    fn a_bad_id_is_a_bad_request() {
        let problem = Problem::from(InvalidId::Empty);
        assert_eq!((problem.status, problem.code), (400, "invalid_request"));
        assert_eq!(problem.detail, "an id must not be empty");
    }
}
