//! The one table of codes: what a client, a caller of the library or an operator may branch on.
//!
//! Owns each code's name, the HTTP status that it answers with, whether asking again can help, whether
//! something may have happened, and where it is told; and the type of the codes that authors of tasks
//! and steps make up. It doesn't own the words beside a code. Invariant: a name stands here and
//! nowhere else in the library, and an author's code is never looked up in this table.

use crate::caps;
use std::fmt;

/// The status of an HTTP answer that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each is RFC 9110's, by its phrase's name and number"
)]
#[repr(u16)]
pub enum HttpStatus {
    BadRequest = 400,
    Unauthorized = 401,
    NotFound = 404,
    MethodNotAllowed = 405,
    Conflict = 409,
    Gone = 410,
    ContentTooLarge = 413,
    UnsupportedMediaType = 415,
    InternalServerError = 500,
    BadGateway = 502,
    ServiceUnavailable = 503,
    GatewayTimeout = 504,
}

impl HttpStatus {
    /// Its number.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Its phrase.
    pub const fn phrase(self) -> &'static str {
        match self {
            HttpStatus::BadRequest => "Bad Request",
            HttpStatus::Unauthorized => "Unauthorized",
            HttpStatus::NotFound => "Not Found",
            HttpStatus::MethodNotAllowed => "Method Not Allowed",
            HttpStatus::Conflict => "Conflict",
            HttpStatus::Gone => "Gone",
            HttpStatus::ContentTooLarge => "Content Too Large",
            HttpStatus::UnsupportedMediaType => "Unsupported Media Type",
            HttpStatus::InternalServerError => "Internal Server Error",
            HttpStatus::BadGateway => "Bad Gateway",
            HttpStatus::ServiceUnavailable => "Service Unavailable",
            HttpStatus::GatewayTimeout => "Gateway Timeout",
        }
    }
}

/// Where a code is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// In the problem that refuses a request.
    Refusal,
    /// In the `error` line of a turn that failed, and as the last error of its run.
    Turn,
    /// In a step's failures and lines, where it ends no turn by itself.
    Step,
    /// To whoever runs a durable body without a turn.
    Run,
}

/// One row a code. `retryable`: the same may succeed later without anyone changing the request or the
/// configuration. `happened`: what was asked for may have been done, wholly or in part. A turn that
/// failed was accepted and may have asked its upstream or begun a step, also where its last try was
/// refused; so its codes never deny that.
macro_rules! codes {
    ($(
        $(#[$doc:meta])*
        $code:ident = $name:literal, $status:ident,
        retryable: $retryable:literal, happened: $happened:literal, [$($told:ident),+];
    )*) => {
        /// Every code of ours.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$code,)*];

            /// Stable, in snake case: what stands on the wire and in records.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$code => $name,)* }
            }

            /// The status of a refusal; of a failure, that of a view which answers only at its end.
            pub const fn status(self) -> HttpStatus {
                match self { $(Code::$code => HttpStatus::$status,)* }
            }

            /// Whether asking again can help, with nothing changed by anyone.
            pub const fn is_retryable(self) -> bool {
                match self { $(Code::$code => $retryable,)* }
            }

            /// Whether what was asked for may have been done, wholly or in part: something was
            /// stored, an upstream paid, a step begun. False only where that is certain.
            pub const fn may_have_happened(self) -> bool {
                match self { $(Code::$code => $happened,)* }
            }

            /// Where it is told.
            pub const fn told(self) -> &'static [Told] {
                match self { $(Code::$code => &[$(Told::$told,)+],)* }
            }
        }
    };
}

codes! {
    /// An id, a body or a parameter breaks a rule.
    InvalidRequest = "invalid_request", BadRequest,
        retryable: false, happened: false, [Refusal];
    /// The cursor lies beyond the last line.
    CursorOutOfRange = "cursor_out_of_range", BadRequest,
        retryable: false, happened: false, [Refusal];
    /// No credentials, or not valid ones.
    Unauthorized = "unauthorized", Unauthorized,
        retryable: false, happened: false, [Refusal];
    /// Absent, deleted, or another tenant's.
    NotFound = "not_found", NotFound,
        retryable: false, happened: false, [Refusal];
    /// The path exists, but not with this method.
    MethodNotAllowed = "method_not_allowed", MethodNotAllowed,
        retryable: false, happened: false, [Refusal];
    /// An index, a key or a run's id stands for another input.
    ManifestMismatch = "manifest_mismatch", Conflict,
        retryable: false, happened: false, [Refusal, Run];
    /// Another turn of the session runs.
    TurnInProgress = "turn_in_progress", Conflict,
        retryable: true, happened: false, [Refusal];
    /// The index is not the next one.
    TurnOutOfOrder = "turn_out_of_order", Conflict,
        retryable: false, happened: false, [Refusal];
    /// The turn is over and takes no new event.
    TurnFinished = "turn_finished", Conflict,
        retryable: false, happened: false, [Refusal];
    /// Only a failed or cancelled turn can be run again.
    TurnNotRetryable = "turn_not_retryable", Conflict,
        retryable: false, happened: false, [Refusal];
    /// The lines are past their retention.
    LogExpired = "log_expired", Gone,
        retryable: false, happened: false, [Refusal];
    /// The body is larger than it may be.
    PayloadTooLarge = "payload_too_large", ContentTooLarge,
        retryable: false, happened: false, [Refusal];
    /// The body is not declared as JSON in UTF-8.
    UnsupportedMediaType = "unsupported_media_type", UnsupportedMediaType,
        retryable: false, happened: false, [Refusal];
    /// A fault of ours, or the input with which a turn was accepted is gone.
    Internal = "internal", InternalServerError,
        retryable: false, happened: true, [Refusal, Turn];
    /// The object was replaced under the request.
    SessionUnavailable = "session_unavailable", ServiceUnavailable,
        retryable: true, happened: true, [Refusal];
    /// The store can't be read or written.
    StoreUnavailable = "store_unavailable", ServiceUnavailable,
        retryable: true, happened: true, [Refusal, Run];
    /// Neither tokens are configured, nor is this a local host that needs none.
    AuthNotConfigured = "auth_not_configured", ServiceUnavailable,
        retryable: false, happened: false, [Refusal];
    /// A variable is missing or can't be used.
    Misconfigured = "misconfigured", ServiceUnavailable,
        retryable: false, happened: false, [Refusal];

    /// The upstream could not be attached or started within the budgets.
    UpstreamUnavailable = "upstream_unavailable", ServiceUnavailable,
        retryable: true, happened: true, [Turn];
    /// The upstream said what the protocol forbids.
    UpstreamProtocol = "upstream_protocol", BadGateway,
        retryable: false, happened: true, [Turn];
    /// The upstream refused the request for good, or this code has no such upstream.
    UpstreamRejected = "upstream_rejected", BadGateway,
        retryable: false, happened: true, [Turn];
    /// The upstream runs another input under this execution id.
    UpstreamConflict = "upstream_conflict", BadGateway,
        retryable: false, happened: true, [Turn];
    /// The upstream said itself that it failed.
    UpstreamFailed = "upstream_failed", BadGateway,
        retryable: true, happened: true, [Turn];
    /// The turn took longer than it may.
    TurnTimeout = "turn_timeout", GatewayTimeout,
        retryable: true, happened: true, [Turn];
    /// The turn's log, or its task's results, became larger than they may be.
    TurnTooLarge = "turn_too_large", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// The hook that makes the answer fit to show failed.
    TransformFailed = "transform_failed", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// The hook that saves the answer failed as often as it is tried.
    PersistFailed = "persist_failed", InternalServerError,
        retryable: true, happened: true, [Turn];

    /// This code has no task of the run's name.
    UnknownTask = "unknown_task", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// The body asks for another step than the recorded one.
    StepDivergence = "step_divergence", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// The body asks for a recorded step with another input.
    StepInputMismatch = "step_input_mismatch", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// A step took longer than it may.
    StepTimeout = "step_timeout", GatewayTimeout,
        retryable: true, happened: true, [Turn];
    /// A step took its process along each time it was begun.
    StepInterrupted = "step_interrupted", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// A step's result is larger than it may be.
    StepResultTooLarge = "step_result_too_large", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// A step's result isn't JSON, or not as JSON can have it.
    StepResultNotJson = "step_result_not_json", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// A recorded value is not of the type that is asked for.
    StepUnreadable = "step_unreadable", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// A step that is known by its position stands beside another one.
    StepConcurrent = "step_concurrent", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// A step stands inside another step.
    StepNested = "step_nested", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// Two steps have one name.
    DuplicateStep = "duplicate_step", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// More steps than a run may have.
    TooManySteps = "too_many_steps", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// No event came within the deadline.
    AwaitEventTimeout = "await_event_timeout", GatewayTimeout,
        retryable: true, happened: true, [Turn];
    /// An id or a name of the wrong form.
    InvalidId = "invalid_id", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// A line of a type that a body may not tell.
    InvalidLine = "invalid_line", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// An author's code of the wrong form.
    InvalidCode = "invalid_code", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// A value of the body is larger than can be stored.
    TooLarge = "too_large", InternalServerError,
        retryable: false, happened: true, [Turn];
    /// A value of the body isn't JSON, or not as JSON can have it.
    NotJson = "not_json", InternalServerError,
        retryable: false, happened: true, [Turn];

    /// The body succeeded without waiting for the step.
    Dropped = "dropped", InternalServerError,
        retryable: false, happened: true, [Step];
    /// A try was cut by a crash, and its outcome is unknown.
    Interrupted = "interrupted", InternalServerError,
        retryable: true, happened: true, [Step];
    /// A try to save the answer failed.
    Failed = "failed", InternalServerError,
        retryable: true, happened: true, [Step];

    /// Somebody cancelled the run.
    Cancelled = "cancelled", Conflict,
        retryable: false, happened: true, [Step, Run];
    /// The run took longer than it may.
    RunTimeout = "run_timeout", GatewayTimeout,
        retryable: true, happened: true, [Run];
    /// The run's log and results are larger than they may be.
    RunTooLarge = "run_too_large", InternalServerError,
        retryable: false, happened: true, [Run];
    /// The run is over and was not asked to be tried again.
    RunOver = "run_over", Conflict,
        retryable: false, happened: false, [Run];
    /// Another worker has the run; nothing was done here.
    LeaseHeld = "lease_held", ServiceUnavailable,
        retryable: true, happened: false, [Run];
    /// Another worker may have the run by now.
    LeaseLost = "lease_lost", ServiceUnavailable,
        retryable: true, happened: true, [Run];
    /// The run's workspace can't be saved or brought back.
    WorkspaceFailed = "workspace_failed", ServiceUnavailable,
        retryable: true, happened: true, [Run];
}

impl Code {
    /// The code of this name.
    pub fn named(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A code that the author of a task or a step made up: 1 to 64 of `[a-z0-9_]`, told as it is.
///
/// One that reads like a code of ours is still the author's: it never equals a [`Code`], and has none
/// of a code's meaning.
///
/// What an author gives as a code and isn't of this form becomes [`Code::InvalidCode`]. The message is
/// then the author's own, with the code as it was given behind it, so that nothing is lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorCode(String);

impl AuthorCode {
    /// Takes a code of the right form; any other text is given back.
    ///
    /// # Errors
    /// The text as it was given.
    pub fn parse(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if text.is_empty() || text.len() > caps::CODE_BYTES || !text.bytes().all(fits) {
            return Err(text);
        }
        Ok(AuthorCode(text))
    }

    /// As the author gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AuthorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<str> for AuthorCode {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for AuthorCode {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// With what a step, a run or a turn failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureCode {
    /// A code of the table.
    Ours(Code),
    /// One that an author made up.
    Author(AuthorCode),
}

impl FailureCode {
    /// An author's code with its message. [`AuthorCode`] says what becomes of one of the wrong form.
    pub fn of_author(code: impl Into<String>, message: impl Into<String>) -> (Self, String) {
        match AuthorCode::parse(code) {
            Ok(code) => (FailureCode::Author(code), message.into()),
            Err(text) => (
                FailureCode::Ours(Code::InvalidCode),
                with_code(&text, &message.into()),
            ),
        }
    }

    /// A code as a record has it, with its message. `is_author` says that it is the author's, though a
    /// code of ours has that name.
    pub(crate) fn recorded(code: &str, is_author: bool, message: &str) -> (Self, String) {
        match Code::named(code).filter(|_| !is_author) {
            Some(code) => (FailureCode::Ours(code), message.to_owned()),
            None => Self::of_author(code, message),
        }
    }

    /// Whether the text alone would be taken for a code of ours.
    pub(crate) fn is_authors_namesake(&self) -> bool {
        match self {
            FailureCode::Ours(_) => false,
            FailureCode::Author(code) => Code::named(code.as_str()).is_some(),
        }
    }

    /// The text, as lines and records have it.
    pub fn as_str(&self) -> &str {
        match self {
            FailureCode::Ours(code) => code.name(),
            FailureCode::Author(code) => code.as_str(),
        }
    }

    /// The status of a view that answers only at the end; an author's code says nothing of it.
    pub const fn status(&self) -> HttpStatus {
        match self {
            FailureCode::Ours(code) => code.status(),
            FailureCode::Author(_) => HttpStatus::InternalServerError,
        }
    }

    /// Whether asking again can help, as far as the table knows: never of an author's code.
    pub const fn is_retryable(&self) -> bool {
        match self {
            FailureCode::Ours(code) => code.is_retryable(),
            FailureCode::Author(_) => false,
        }
    }

    /// Whether something may have happened. An author's code comes from a body that has begun.
    pub const fn may_have_happened(&self) -> bool {
        match self {
            FailureCode::Ours(code) => code.may_have_happened(),
            FailureCode::Author(_) => true,
        }
    }
}

/// An author's message, with the code that isn't of the form behind it.
fn with_code(code: &str, message: &str) -> String {
    let told = format!("a code is [a-z0-9_]{{1,64}}, not {code:?}");
    if message.is_empty() {
        told
    } else {
        format!("{message} ({told})")
    }
}

impl From<Code> for FailureCode {
    fn from(code: Code) -> Self {
        FailureCode::Ours(code)
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_each_others_only_and_have_the_form_of_a_code() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(AuthorCode::parse(code.name()).is_ok(), "{code}");
            assert_eq!(Code::named(code.name()), Some(*code));
            assert_eq!(code.to_string(), code.name());
        }
        assert_eq!(Code::named("no_such_code"), None);
    }

    #[test]
    fn a_status_says_whose_fault_it_is_and_has_its_phrase() {
        for code in Code::ALL {
            let (number, phrase) = (code.status().number(), code.status().phrase());
            assert!((400..600).contains(&number), "{code}");
            assert_eq!(
                phrase == "Internal Server Error",
                number == 500,
                "{code}: {phrase}"
            );
            // Who is told to mend the request has caused nothing by it.
            assert!(number >= 500 || !code.may_have_happened() || *code == Code::Cancelled);
            // The rest of these would be tried for ever.
            let passes = matches!(number, 409 | 500 | 502 | 503 | 504);
            assert!(passes || !code.is_retryable(), "{code}");
        }
    }

    #[test]
    fn a_turn_that_failed_may_have_done_something() {
        for code in Code::ALL {
            if code.told().contains(&Told::Turn) || code.told().contains(&Told::Step) {
                assert!(code.may_have_happened(), "{code}");
            }
        }
        let kept: Vec<&str> = Code::ALL
            .iter()
            .filter(|code| code.told().contains(&Told::Refusal) && code.may_have_happened())
            .map(|code| code.name())
            .collect();
        // PROTOCOL says of these that something may have been stored.
        assert_eq!(
            kept,
            ["internal", "session_unavailable", "store_unavailable"]
        );
    }

    #[test]
    fn an_authors_code_has_one_form() {
        let longest = "a".repeat(64);
        for text in ["a", "declined", "e_42", "0", "_", &longest] {
            assert_eq!(AuthorCode::parse(text).unwrap(), text);
        }
        let too_long = "a".repeat(65);
        for text in ["", "A", "a-b", "a b", "ä", "a.b", "a\n", &too_long] {
            assert_eq!(AuthorCode::parse(text), Err(text.to_owned()));
        }
    }

    #[test]
    fn an_authors_namesake_is_none_of_ours() {
        let ours = FailureCode::from(Code::StepTimeout);
        let (authors, message) = FailureCode::of_author("step_timeout", "m");
        assert_eq!((authors.as_str(), message.as_str()), (ours.as_str(), "m"));
        assert_ne!(authors, ours);
        assert!(authors.is_authors_namesake() && !ours.is_authors_namesake());
        assert!(ours.is_retryable() && !authors.is_retryable());
        assert_eq!(
            (ours.status().number(), authors.status().number()),
            (504, 500)
        );
        let (own, _) = FailureCode::of_author("declined", "");
        assert!(own.may_have_happened() && !own.is_authors_namesake());
    }

    #[test]
    fn a_record_says_whose_its_code_is() {
        let check = |code: &str, is_author: bool, expected: (&str, &str)| {
            let (found, message) = FailureCode::recorded(code, is_author, "m");
            let whose = match found {
                FailureCode::Ours(code) => format!("ours {code}"),
                FailureCode::Author(code) => format!("author {code}"),
            };
            assert_eq!((whose.as_str(), message.as_str()), expected);
        };
        check("step_timeout", false, ("ours step_timeout", "m"));
        check("step_timeout", true, ("author step_timeout", "m"));
        // Also as records of before the mark have it.
        check("declined", false, ("author declined", "m"));
        let kept = r#"m (a code is [a-z0-9_]{1,64}, not "HTTP 503")"#;
        check("HTTP 503", false, ("ours invalid_code", kept));
        check("invalid_code", false, ("ours invalid_code", "m"));
    }

    #[test]
    fn nothing_of_an_ill_formed_code_is_lost() {
        let (code, message) = FailureCode::of_author("Not OK", "");
        assert_eq!(code, FailureCode::Ours(Code::InvalidCode));
        assert_eq!(message, r#"a code is [a-z0-9_]{1,64}, not "Not OK""#);
    }
}
