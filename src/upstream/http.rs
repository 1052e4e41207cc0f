//! One HTTP exchange with an upstream, as every adapter makes it.
//!
//! Owns the port ([`Http`]), what a request and the head of an answer are, and what a status and
//! `Retry-After` mean. It doesn't own a body: its layout is `framing`, its meaning each adapter's.
//! Invariant: neither a key nor a conversation is shown by `Debug`, or stands in a failure's words.

use super::Refusal;
use crate::json;
use futures::Stream;
use std::fmt;
use std::future::Future;

/// The HTTP client port of the adapters.
pub trait Http: Clone + 'static {
    /// The answer's body in chunks as they arrive. `Err` is a broken connection.
    type Body: Stream<Item = Result<Vec<u8>, Unreachable>> + Unpin + 'static;

    /// Sends one request; redirects are not followed.
    fn send(
        &self,
        request: HttpRequest,
    ) -> impl Future<Output = Result<HttpResponse<Self::Body>, Unreachable>>;
}

/// The peer could not be reached, or the connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer could not be reached")]
pub struct Unreachable;

/// What adapters do to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads it, again after a cut too.
    Get,
    /// Asks it for something.
    Post,
    /// Ends it.
    Delete,
}

/// Header fields by their names, for which case doesn't count.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value under this name.
    ///
    /// ```
    /// use steadfast::upstream::Headers;
    /// let headers: Headers = [("Retry-After".to_owned(), "7".to_owned())].into_iter().collect();
    /// assert_eq!(headers.get("retry-after"), Some("7"));
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = self
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value)
    }

    /// Adds a field.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// All fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Headers {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Headers(pairs.into_iter().collect())
    }
}

/// Names only: a value may be a key.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// What is to be done.
    pub method: Method,
    /// Absolute.
    pub url: String,
    /// Names in lower case.
    pub headers: Headers,
    /// Empty for none, as it must be of a `GET`.
    pub body: String,
}

impl HttpRequest {
    /// A request without headers or body.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        HttpRequest {
            method,
            url: url.into(),
            headers: Headers::default(),
            body: String::new(),
        }
    }

    /// The same with one header more; `name` in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The same with this JSON text as its body.
    #[must_use]
    pub fn json(self, body: String) -> Self {
        let request = self.header("content-type", "application/json");
        HttpRequest { body, ..request }
    }
}

/// Without header values, which hold a key, and the body, which holds a conversation.
impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// An answer whose head has arrived.
#[derive(Debug)]
pub struct HttpResponse<B> {
    /// The HTTP status.
    pub status: u16,
    /// As they came.
    pub headers: Headers,
    /// Not yet read.
    pub body: B,
}

impl<B> HttpResponse<B> {
    /// What `Retry-After` asks for, in ms, when it is given in seconds.
    pub fn retry_after_ms(&self) -> Option<u64> {
        let seconds: u64 = self.headers.get("retry-after")?.trim().parse().ok()?;
        Some(seconds.saturating_mul(1_000))
    }

    /// The media type without its parameters, in lower case.
    pub fn media_type(&self) -> Option<String> {
        let value = self.headers.get("content-type")?;
        let media_type = value.split(';').next().unwrap_or_default();
        Some(media_type.trim().to_ascii_lowercase())
    }
}

/// A server that an adapter speaks to, and the key that it is told.
#[derive(Clone)]
pub struct Server<H> {
    http: H,
    base_url: String,
    key: Option<String>,
}

/// Without the key, so that no log can show it.
impl<H> fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

impl<H: Http> Server<H> {
    /// The server at `base_url`, with or without a slash at its end.
    pub fn new(http: H, base_url: impl Into<String>, key: Option<String>) -> Self {
        let base_url: String = base_url.into();
        Server {
            http,
            base_url: base_url.trim_end_matches('/').to_owned(),
            key,
        }
    }

    /// A request for `path`, which begins with a slash; the key goes along as a bearer token.
    pub fn request(&self, method: Method, path: &str) -> HttpRequest {
        let request = HttpRequest::new(method, format!("{}{path}", self.base_url));
        match &self.key {
            Some(key) => request.header("authorization", format!("Bearer {key}")),
            None => request,
        }
    }

    /// Sends `request` and returns the answer if its status accepts.
    ///
    /// # Errors
    /// What `refusal` makes of any other status and the answer's `Retry-After` in ms, usually
    /// [`refusal`] itself; and a connection that broke, of which nobody can tell whether the request
    /// had arrived.
    pub async fn send(
        &self,
        request: HttpRequest,
        refusal: impl FnOnce(u16, Option<u64>) -> Refusal,
    ) -> Result<HttpResponse<H::Body>, Refusal> {
        let answer = match self.http.send(request).await {
            Ok(answer) => answer,
            Err(Unreachable) => {
                return Err(Refusal::Unavailable {
                    retry_after_ms: None,
                    maybe_started: true,
                });
            }
        };
        match answer.status {
            200..=299 => Ok(answer),
            status => Err(refusal(status, answer.retry_after_ms())),
        }
    }

    /// The key, for whoever keeps it out of what others read.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// What a status that doesn't accept means to an upstream that knows executions;
/// `retry_after_ms` is the answer's.
pub fn refusal(status: u16, retry_after_ms: Option<u64>) -> Refusal {
    match status {
        404 | 410 => Refusal::Gone,
        409 => Refusal::Conflict,
        // Both are answered instead of beginning, never after it.
        425 | 429 => Refusal::Unavailable {
            retry_after_ms,
            maybe_started: false,
        },
        // A gateway gives up on what the server behind it may still be doing.
        408 | 500..=599 => Refusal::Unavailable {
            retry_after_ms,
            maybe_started: true,
        },
        _ => Refusal::Rejected { status },
    }
}

/// What a status that doesn't accept means to a server that knows models and requests, but no
/// executions that could be gone or in conflict.
pub fn refusal_without_executions(status: u16, retry_after_ms: Option<u64>) -> Refusal {
    match status {
        // No such model or path: asking again doesn't bring it.
        404 | 410 => Refusal::Rejected { status },
        // A lock that was not to be had in time; the vendors' own clients ask again.
        409 => Refusal::Unavailable {
            retry_after_ms,
            maybe_started: false,
        },
        _ => refusal(status, retry_after_ms),
    }
}

/// An upstream's own words about its failure, out of raw JSON: a string, or an object
/// with a `message`; anything else is quoted as it stands. Never the key, which careless
/// servers repeat.
pub fn failure_message(raw: &str, key: Option<&str>) -> String {
    let literal = match json::members(raw) {
        Ok(members) => members.get("message").copied(),
        Err(_) => Some(raw),
    };
    let units = literal.and_then(json::string_units);
    let Some(key) = key.filter(|key| !key.is_empty()) else {
        return units.map_or_else(|| raw.to_owned(), |units| String::from_utf16_lossy(&units));
    };
    let message = match units {
        Some(units) => String::from_utf16_lossy(&units),
        // A key has more than one spelling in JSON; what is written anew has one.
        None if raw.contains('\\') => serde_json::from_str::<serde_json::Value>(raw)
            .map_or_else(|_| raw.to_owned(), |value| value.to_string()),
        None => raw.to_owned(),
    };
    let spelled = json::quote(key);
    let inside = spelled
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let message = message.replace(key, "***");
    match inside {
        Some(spelled) => message.replace(spelled, "***"),
        None => message,
    }
}

#[cfg(test)]
mod tests;
