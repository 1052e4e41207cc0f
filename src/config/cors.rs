//! Which browser pages may call: `CORS_ORIGINS` (PROTOCOL §3).
//!
//! Owns the list and the headers that follow from it. It doesn't own authentication: an origin
//! that is let in still needs a token. Invariant: an origin is matched whole, never by a pattern,
//! and every answer that depends on it says so in `Vary`.

use super::{Vars, is_authority, list};
use crate::caps;
use crate::wire::problem::Problem;

/// The headers of ours that a page may read.
const EXPOSED: &str = "X-Execution-ID, X-Turn-Mode, Location";
/// The methods of the protocol.
const METHODS: &str = "GET, POST, DELETE";
/// The headers of a request that the protocol gives a meaning and browsers don't allow unasked.
const REQUEST_HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID";

/// The origins whose pages may call; none unless configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsConfig {
    origins: Vec<String>,
}

impl CorsConfig {
    /// Reads `CORS_ORIGINS`. An entry that no browser would send is a mistake and refused, and so
    /// is `*`: the list is exact.
    pub fn read(vars: Vars<'_>) -> Result<Self, Problem> {
        let origins = list(vars, "CORS_ORIGINS")?;
        if !origins.iter().all(|origin| is_origin(origin)) {
            return Err(Problem::misconfigured("CORS_ORIGINS"));
        }
        Ok(Self { origins })
    }

    /// The headers that every answer to a request from `origin` gets, refusals included: a page
    /// must be able to read why.
    pub fn headers(&self, origin: Option<&str>) -> Vec<(&'static str, String)> {
        let mut headers = self.allow_origin(origin);
        if self.allows(origin) {
            headers.push(("access-control-expose-headers", EXPOSED.to_owned()));
        }
        headers
    }

    /// The headers of the answer to a preflight; without the first of them a browser stops there.
    pub fn preflight_headers(&self, origin: Option<&str>) -> Vec<(&'static str, String)> {
        let mut headers = self.allow_origin(origin);
        if self.allows(origin) {
            headers.push(("access-control-allow-methods", METHODS.to_owned()));
            headers.push(("access-control-allow-headers", REQUEST_HEADERS.to_owned()));
            headers.push((
                "access-control-max-age",
                caps::PREFLIGHT_MAX_AGE_S.to_string(),
            ));
        }
        headers
    }

    fn allows(&self, origin: Option<&str>) -> bool {
        origin.is_some_and(|origin| self.origins.iter().any(|allowed| allowed == origin))
    }

    fn allow_origin(&self, origin: Option<&str>) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if let Some(origin) = origin.filter(|origin| self.allows(Some(origin))) {
            headers.push(("access-control-allow-origin", origin.to_owned()));
        }
        if !self.origins.is_empty() {
            headers.push(("vary", "Origin".to_owned()));
        }
        headers
    }
}

/// Whether `text` is an origin as browsers serialise it: scheme, host, port, in lower case.
fn is_origin(text: &str) -> bool {
    let authority = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    authority.is_some_and(is_authority) && !text.bytes().any(|b| b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::super::tests::vars;
    use super::*;

    fn read(origins: &str) -> Result<CorsConfig, Problem> {
        CorsConfig::read(&vars(&[("CORS_ORIGINS", origins)]))
    }

    fn owned<const N: usize>(headers: [(&'static str, &str); N]) -> Vec<(&'static str, String)> {
        headers
            .map(|(name, value)| (name, value.to_owned()))
            .to_vec()
    }

    #[test]
    fn a_listed_origin_is_let_in() {
        let cors = read("https://a.example, http://localhost:3000").unwrap();
        for origin in ["https://a.example", "http://localhost:3000"] {
            assert_eq!(
                cors.headers(Some(origin)),
                owned([
                    ("access-control-allow-origin", origin),
                    ("vary", "Origin"),
                    (
                        "access-control-expose-headers",
                        "X-Execution-ID, X-Turn-Mode, Location"
                    ),
                ])
            );
            assert_eq!(
                cors.preflight_headers(Some(origin)),
                owned([
                    ("access-control-allow-origin", origin),
                    ("vary", "Origin"),
                    ("access-control-allow-methods", "GET, POST, DELETE"),
                    (
                        "access-control-allow-headers",
                        "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
                    ),
                    ("access-control-max-age", "3600"),
                ])
            );
        }
    }

    #[test]
    fn others_learn_nothing_but_that_it_varies() {
        let cors = read("https://a.example").unwrap();
        for origin in [
            None,
            Some(""),
            Some("null"),
            Some("*"),
            Some("http://a.example"),
            Some("https://a.example:443"),
            Some("https://a.example.evil"),
            Some("https://b.a.example"),
            Some("https://A.example"),
        ] {
            assert_eq!(
                cors.headers(origin),
                owned([("vary", "Origin")]),
                "{origin:?}"
            );
            assert_eq!(
                cors.preflight_headers(origin),
                owned([("vary", "Origin")]),
                "{origin:?}"
            );
        }
    }

    #[test]
    fn without_a_list_there_is_no_cors() {
        for cors in [read(""), CorsConfig::read(&vars(&[]))] {
            let cors = cors.unwrap();
            assert_eq!(cors.headers(Some("https://a.example")), []);
            assert_eq!(cors.preflight_headers(Some("https://a.example")), []);
        }
    }

    #[test]
    fn entries_that_no_browser_sends_are_refused() {
        for origins in [
            "*",
            "null",
            "a.example",
            "https://a.example/",
            "https://a.example/x",
            "https://A.example",
            "HTTPS://a.example",
            "ftp://a.example",
            "https://",
            "https://u@a.example",
            "https://a.example,",
            "https://a.example,,https://b.example",
            "https://*.example",
            "https://a.example https://b.example",
        ] {
            assert_eq!(
                read(origins),
                Err(Problem::misconfigured("CORS_ORIGINS")),
                "{origins}"
            );
        }
    }
}
