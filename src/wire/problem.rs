//! Refusals before the head of an answer: RFC 9457 problems.
//!
//! Owns the words, headers and body of each refusal; its code, with status and whether asking again
//! can help, is of the table in `code`. It doesn't own failures after the head was sent: those are
//! lines. An object answers the Worker with [`Problem::status`], [`Problem::headers`] and
//! [`Problem::to_json`], and the Worker passes that response on as it is, so nothing is ever read back
//! or rewritten.
//! Invariant: a detail names rules, limits and variables, never a value of the caller's request,
//! a secret, or what belongs to another tenant.

use super::code::{Code, HttpStatus};
use crate::ids::InvalidId;
use crate::json::push_quoted;

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Seconds after which a request that met a replaced object or an unreadable store is worth
/// repeating; both are over within seconds as a rule.
const RETRY_AFTER_S: u32 = 1;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Problem {
    /// What programs branch on; status and retryable follow from it.
    pub code: Code,
    /// For people.
    pub detail: String,
    /// Seconds to wait before asking again, where that is known.
    pub retry_after_s: Option<u32>,
    /// The path of what is in the way.
    pub location: Option<String>,
    /// The methods that the path has, for a 405.
    pub allow: Option<&'static str>,
}

impl Problem {
    fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            retry_after_s: None,
            location: None,
            allow: None,
        }
    }

    fn unavailable(code: Code, detail: &str) -> Self {
        Self {
            retry_after_s: Some(RETRY_AFTER_S),
            ..Self::new(code, detail)
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        self.code.status().number()
    }

    /// The same request may succeed later without anyone changing it or the configuration.
    pub const fn is_retryable(&self) -> bool {
        self.code.is_retryable()
    }

    /// An id, a body or a parameter breaks a rule; `detail` says which.
    pub fn invalid_request(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// `after` lies beyond the last line of the log.
    pub fn cursor_out_of_range() -> Self {
        let detail = "`after` lies beyond the last line of this turn";
        Self::new(Code::CursorOutOfRange, detail)
    }

    /// No credentials, or not valid ones; which of the two is not told.
    pub fn unauthorized() -> Self {
        let detail = "a valid `Authorization: Bearer` token is required";
        Self::new(Code::Unauthorized, detail)
    }

    /// Absent, deleted, or another tenant's: the three must look alike.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "there is no such resource")
    }

    /// The path exists, but not with this method. `allow` is the value of `Allow`.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(
                Code::MethodNotAllowed,
                "this path does not have this method",
            )
        }
    }

    /// This turn, or this key, stands for another input already.
    pub fn manifest_mismatch() -> Self {
        let detail = "this turn index or idempotency key belongs to another request";
        Self::new(Code::ManifestMismatch, detail)
    }

    /// Another turn of the session runs; `location` is its stream.
    pub fn turn_in_progress(location: String) -> Self {
        Self {
            location: Some(location),
            ..Self::new(
                Code::TurnInProgress,
                "another turn of this session is running",
            )
        }
    }

    /// The index leaves a gap; `next` is the index that would not.
    pub fn turn_out_of_order(next: u64) -> Self {
        let detail = format!("the next turn of this session is {next}");
        Self::new(Code::TurnOutOfOrder, detail)
    }

    /// The turn is terminal and takes no new event.
    pub fn turn_finished() -> Self {
        Self::new(Code::TurnFinished, "this turn has ended")
    }

    /// Only a failed or cancelled turn can be run again.
    pub fn turn_not_retryable() -> Self {
        Self::new(
            Code::TurnNotRetryable,
            "only a failed or cancelled turn can be run again",
        )
    }

    /// The turn is known, but its lines are past their retention.
    pub fn log_expired() -> Self {
        Self::new(Code::LogExpired, "the log of this turn has expired")
    }

    /// The body has more than `max_bytes`.
    pub fn payload_too_large(max_bytes: usize) -> Self {
        let detail = format!("the body has more than {max_bytes} bytes");
        Self::new(Code::PayloadTooLarge, detail)
    }

    /// The body is not declared as JSON in UTF-8.
    pub fn unsupported_media_type() -> Self {
        let detail = "the body must be `application/json` in UTF-8";
        Self::new(Code::UnsupportedMediaType, detail)
    }

    /// A fault of ours; what it was stands in the log, not here.
    pub fn internal() -> Self {
        Self::new(Code::Internal, "something went wrong here")
    }

    /// The object was replaced under the request; a new stub reaches its successor.
    pub fn session_unavailable() -> Self {
        let detail = "the session is being moved; ask again";
        Self::unavailable(Code::SessionUnavailable, detail)
    }

    /// The durable store must be read for this request and can't be.
    pub fn store_unavailable() -> Self {
        Self::unavailable(
            Code::StoreUnavailable,
            "the store can't be reached; ask again",
        )
    }

    /// Neither tokens are configured, nor is this a local host that needs none.
    pub fn auth_not_configured() -> Self {
        let detail = "API_TOKENS is not set, and AUTH_MODE=none is for loopback hosts only";
        Self::new(Code::AuthNotConfigured, detail)
    }

    /// A variable is missing or can't be used; it is named, its value is not shown.
    pub fn misconfigured(variable: &str) -> Self {
        let detail = format!("the variable {variable} is missing or invalid");
        Self::new(Code::Misconfigured, detail)
    }

    /// The headers of the answer, names in lower case.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", CONTENT_TYPE.to_owned()),
            ("cache-control", "no-store, no-transform".to_owned()),
        ];
        if self.code.status() == HttpStatus::Unauthorized {
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
        push_quoted(&mut json, self.code.status().phrase());
        json.push_str(&format!(r#","status":{},"detail":"#, self.status()));
        push_quoted(&mut json, &self.detail);
        json.push_str(r#","code":"#);
        push_quoted(&mut json, self.code.name());
        json.push_str(r#","retryable":"#);
        json.push_str(if self.is_retryable() {
            "true}"
        } else {
            "false}"
        });
        json
    }
}

impl From<InvalidId> for Problem {
    fn from(invalid: InvalidId) -> Self {
        Self::invalid_request(invalid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::Told;
    use super::*;

    /// One of each.
    fn all() -> Vec<Problem> {
        vec![
            Problem::invalid_request("d"),
            Problem::cursor_out_of_range(),
            Problem::unauthorized(),
            Problem::not_found(),
            Problem::method_not_allowed("GET"),
            Problem::manifest_mismatch(),
            Problem::turn_in_progress("/x".into()),
            Problem::turn_out_of_order(4),
            Problem::turn_finished(),
            Problem::turn_not_retryable(),
            Problem::log_expired(),
            Problem::payload_too_large(1),
            Problem::unsupported_media_type(),
            Problem::internal(),
            Problem::session_unavailable(),
            Problem::store_unavailable(),
            Problem::auth_not_configured(),
            Problem::misconfigured("UPSTREAM"),
        ]
    }

    #[test]
    fn every_refusal_of_the_table_is_here_and_no_other_code() {
        let said: Vec<Code> = all().iter().map(|problem| problem.code).collect();
        let refusals = Code::ALL.iter().copied();
        let refusals = refusals.filter(|code| code.told().contains(&Told::Refusal));
        assert_eq!(said, refusals.collect::<Vec<Code>>());
    }

    #[test]
    fn whoever_is_told_to_ask_again_later_is_told_when() {
        for problem in all() {
            assert_eq!(
                problem.retry_after_s.is_some(),
                problem.status() == 503 && problem.is_retryable(),
                "{problem}"
            );
        }
    }

    #[test]
    fn the_body_is_a_problem_of_rfc_9457() {
        assert_eq!(
            Problem::invalid_request("a \"quoted\" rule").to_json(),
            r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"a \"quoted\" rule","code":"invalid_request","retryable":false}"#
        );
        for problem in all() {
            let body: serde_json::Value = serde_json::from_str(&problem.to_json()).unwrap();
            assert_eq!(body["status"], problem.status());
            assert_eq!(body["code"], problem.code.name());
            assert_eq!(body["retryable"], problem.is_retryable());
            assert_eq!(body["title"], problem.code.status().phrase());
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
        assert_eq!(problem.code, Code::InvalidRequest);
        assert_eq!(problem.detail, "an id must not be empty");
    }
}
