//! What a turn's `metadata.demo` may ask of the demo agent.
//!
//! Owns the options, their bounds and their errors. It doesn't own what they do.
//! Invariant: an option that can't be honoured is an error, never a silent default, since
//! a test that misspells `cutAfter` would otherwise pass without a cut.

use crate::json;

/// The options of one execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Words of the answer; without it, a few whole sentences.
    pub(super) words: Option<u64>,
    /// From one frame to the next.
    pub(super) delay_ms: u64,
    /// The execution fails after so many frames.
    pub(super) fail_after: Option<u64>,
    /// The first connection goes silent after so many frames that it sent.
    pub(super) stall_after: Option<u64>,
    /// Every connection is cut after so many frames that it sent.
    pub(super) cut_after: Option<u64>,
}

/// At the default pace 13 minutes, which is well within a turn's default time limit.
const WORDS_MOST: u64 = 20_000;
/// Below what the idle limit of a turn takes for silence by default, so that a slow demo isn't a stalled one.
const DELAY_MOST_MS: u64 = 60_000;
/// 25 words a second: quick to read along, slow enough to see.
const DELAY_MS: u64 = 40;
/// No execution has more frames.
const FRAMES_MOST: u64 = WORDS_MOST + super::FRAMES_BESIDE_DELTAS;

/// Why the demo agent doesn't take a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// The body is not an object.
    #[error("the request must be a JSON object")]
    Body,
    /// The message is missing, or is neither text nor parts.
    #[error("the message must be a string or an array of parts")]
    Message,
    /// `metadata` or `metadata.demo` is no object.
    #[error("`metadata.demo` must be an object")]
    NotAnObject,
    /// A name that is none of the options.
    #[error("`metadata.demo` takes words, delayMs, failAfter, stallAfter and cutAfter, not {0:?}")]
    UnknownOption(String),
    /// An option is no integer within its bounds.
    #[error("`metadata.demo.{name}` must be an integer from {least} to {most}")]
    OutOfBounds {
        /// The option's name.
        name: &'static str,
        /// Its smallest value.
        least: u64,
        /// Its largest value.
        most: u64,
    },
}

impl Options {
    pub(super) const DEFAULT: Self = Options {
        words: None,
        delay_ms: DELAY_MS,
        fail_after: None,
        stall_after: None,
        cut_after: None,
    };

    /// Reads `demo` out of raw metadata; without it all is default.
    pub(super) fn read(metadata: Option<&str>) -> Result<Self, BadRequest> {
        let mut options = Options::DEFAULT;
        let object = |raw| json::members(raw).map_err(|_| BadRequest::NotAnObject);
        let Some(metadata) = metadata.filter(|raw| *raw != "null") else {
            return Ok(options);
        };
        let Some(demo) = object(metadata)?.remove("demo") else {
            return Ok(options);
        };
        for (name, value) in object(demo)? {
            match name.as_str() {
                "words" => options.words = Some(integer("words", value, 1, WORDS_MOST)?),
                "delayMs" => options.delay_ms = integer("delayMs", value, 0, DELAY_MOST_MS)?,
                // The first frame says that the execution began; none can fail before it.
                "failAfter" => {
                    options.fail_after = Some(integer("failAfter", value, 1, FRAMES_MOST)?);
                }
                "stallAfter" => {
                    options.stall_after = Some(integer("stallAfter", value, 0, FRAMES_MOST)?);
                }
                // One frame at least, so that connections that are cut for ever come to an end.
                "cutAfter" => {
                    options.cut_after = Some(integer("cutAfter", value, 1, FRAMES_MOST)?);
                }
                _ => return Err(BadRequest::UnknownOption(name)),
            }
        }
        Ok(options)
    }
}

fn integer(name: &'static str, raw: &str, least: u64, most: u64) -> Result<u64, BadRequest> {
    let value = raw.parse().ok();
    value
        .filter(|value| (least..=most).contains(value))
        .ok_or(BadRequest::OutOfBounds { name, least, most })
}
