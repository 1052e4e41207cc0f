//! The demo agent's words.
//!
//! Owns what it reads in a message and the answer it makes of it. It doesn't own pace or frames.
//! Invariant: the same message gives the same answer, and the user's own words come back as
//! they were sent, down to lone surrogates: text is UTF-16 units here, as on the wire.

use super::options::BadRequest;
use crate::json;
use crate::wire::content;

/// A message as the agent reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    words: Vec<Vec<u16>>,
}

/// Words of the message that the answer repeats: enough to know it by, on one line of a screen.
const QUOTED_WORDS: usize = 12;
/// Units of one repeated word. It also bounds the answer: [`SENTENCES`] repeat a word again and again.
const WORD_UNITS: usize = 24;
/// An answer without `words` ends with the sentence that reaches this many.
const WORDS_AT_LEAST: usize = 40;
const SENTENCES_A_PARAGRAPH: usize = 5;
/// The id of its one tool call, and the tool.
const CALL: &str = "call-0";
const TOOL: &str = "count_words";

/// Each stands well after any other. `{}` is a word of the message.
pub(super) const SENTENCES: [&str; 17] = [
    "Let me turn {} over a few times before I say more.",
    "Every word here is written down before you see it, so none of them can get lost.",
    "If your connection drops now, come back later and read on from the same spot.",
    "I keep typing whether or not anybody is looking.",
    "Open a second window and it will show you these very words in this very order.",
    "Good answers to {} tend to be shorter than their questions.",
    "A server may restart in the middle of this sentence, and you would hardly notice.",
    "The same message always gets the same answer from me, which makes me dull company but easy to check.",
    "Somewhere a log has just grown by one line because of {}.",
    "Take your time, because the text isn't going anywhere.",
    "Rivers work like this too: you can step away, and the water keeps its course.",
    "What I say about {} today I would say again tomorrow.",
    "No word is sent twice, and no word is skipped, however often we are interrupted.",
    "Patience is cheap when nothing can be lost.",
    "Between two words there is a small pause, so that this looks like thinking.",
    "If {} matters to you, ask a real model as well.",
    "And so the answer goes on, one calm word after another.",
];
/// Coprime to the number of sentences, so that each has its turn before any comes again.
const SENTENCE_STRIDE: usize = 5;

impl Message {
    /// Reads raw JSON content: a string, or parts of which those with a `text` count.
    pub(super) fn read(raw: &str) -> Result<Self, BadRequest> {
        let mut words = Vec::new();
        if let Some(text) = json::string_units(raw) {
            push_words(&mut words, &text);
        } else {
            for part in json::elements(raw).ok_or(BadRequest::Message)? {
                let part = json::members(part).map_err(|_| BadRequest::Message)?;
                if let Some(text) = part.get("text").copied().and_then(json::string_units) {
                    push_words(&mut words, &text);
                }
            }
        }
        Ok(Message { words })
    }

    pub(super) fn word_count(&self) -> usize {
        self.words.len()
    }

    /// The data of the agent's one `tool.call`.
    pub(super) fn tool_call(&self) -> String {
        let text = self.excerpt().join(&u16::from(b' '));
        let arguments = format!(r#"{{"text":{}}}"#, json::quote_units(&text));
        content::tool_call(CALL, TOOL, &arguments)
    }

    /// The data of its `tool.result`.
    pub(super) fn tool_result(&self) -> String {
        let output = format!(r#"{{"words":{}}}"#, self.excerpt().len());
        content::tool_output(CALL, TOOL, &output)
    }

    fn excerpt(&self) -> Vec<Vec<u16>> {
        let words = self.words.iter().take(QUOTED_WORDS);
        words.map(|word| clipped(word)).collect()
    }

    /// How the answer begins.
    fn opening(&self) -> Vec<Vec<u16>> {
        let mut quote = self.excerpt();
        let (Some(first), more) = (quote.first_mut(), self.words.len() > QUOTED_WORDS) else {
            return sentence(
                "Your message has no words in it, so here are some of mine.",
                &[],
            );
        };
        first.insert(0, OPENING_QUOTE);
        if let Some(last) = quote.last_mut() {
            last.extend(if more {
                &CLOSING[..]
            } else {
                CLOSING.get(1..).unwrap_or_default()
            });
        }
        [sentence("You wrote", &[]), quote].concat()
    }

    /// The longest word, without the punctuation around it.
    fn topic(&self) -> Vec<u16> {
        let bare = |word: &Vec<u16>| {
            let mark =
                |unit: &u16| u8::try_from(*unit).is_ok_and(|byte| byte.is_ascii_punctuation());
            let start = word
                .iter()
                .position(|unit| !mark(unit))
                .unwrap_or(word.len());
            let end = word
                .iter()
                .rposition(|unit| !mark(unit))
                .map_or(start, |last| last + 1);
            word.get(start..end).unwrap_or_default().to_vec()
        };
        // Of several longest the last, as `max_by_key` has it.
        let longest = self.words.iter().map(bare).max_by_key(Vec::len);
        longest
            .filter(|word| !word.is_empty())
            .map_or_else(|| "that".encode_utf16().collect(), |word| clipped(&word))
    }

    /// FNV-1a over the words: any spread will do, and this one is short.
    fn seed(&self) -> usize {
        let units = self.words.iter().flatten();
        let hash = units.fold(0x811c_9dc5_u32, |hash, unit| {
            (hash ^ u32::from(*unit)).wrapping_mul(0x0100_0193)
        });
        hash as usize % SENTENCES.len()
    }
}

const OPENING_QUOTE: u16 = 0x201c;
const ELLIPSIS: u16 = 0x2026;
/// `…”.`, of which the first says that the message went on.
const CLOSING: [u16; 3] = [ELLIPSIS, 0x201d, 0x2e];

/// The answer's deltas, a word each, as the insides of JSON string literals.
pub(super) fn deltas(message: &Message, wanted: Option<u64>) -> Vec<String> {
    let least = wanted.map_or(WORDS_AT_LEAST, |words| {
        usize::try_from(words).unwrap_or(usize::MAX)
    });
    let (seed, topic) = (message.seed(), message.topic());
    let mut words: Vec<(&str, Vec<u16>)> = Vec::new();
    let mut said = 0;
    let mut next = message.opening();
    while words.len() < least {
        let paragraph = if said % SENTENCES_A_PARAGRAPH == 0 {
            "\n\n"
        } else {
            " "
        };
        for (index, word) in next.into_iter().enumerate() {
            let gap = if index == 0 { paragraph } else { " " };
            words.push((if words.is_empty() { "" } else { gap }, word));
        }
        // One further with each round, so that the rounds differ.
        let at = seed + said * SENTENCE_STRIDE + said / SENTENCES.len();
        next = sentence(SENTENCES.get(at % SENTENCES.len()).unwrap_or(&""), &topic);
        said += 1;
    }
    if wanted.is_some() && words.len() > least {
        words.truncate(least);
        if let Some((_, last)) = words
            .last_mut()
            .filter(|(_, last)| !last.ends_with(&[0x2e]))
        {
            last.push(ELLIPSIS);
        }
    }
    words
        .into_iter()
        .map(|(gap, word)| literal_inside(gap, &word))
        .collect()
}

fn literal_inside(gap: &str, word: &[u16]) -> String {
    let units: Vec<u16> = gap.encode_utf16().chain(word.iter().copied()).collect();
    let literal = json::quote_units(&units);
    let inside = literal
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inside.unwrap_or_default().to_owned()
}

fn sentence(text: &str, topic: &[u16]) -> Vec<Vec<u16>> {
    let word = |word: &str| match word.split_once("{}") {
        Some((before, after)) => {
            let mut units: Vec<u16> = before.encode_utf16().collect();
            units.extend_from_slice(topic);
            units.extend(after.encode_utf16());
            units
        }
        None => word.encode_utf16().collect(),
    };
    text.split(' ').map(word).collect()
}

fn push_words(words: &mut Vec<Vec<u16>>, text: &[u16]) {
    let space = |unit: &u16| char::from_u32(u32::from(*unit)).is_some_and(char::is_whitespace);
    let found = text.split(space).filter(|word| !word.is_empty());
    words.extend(found.map(<[u16]>::to_vec));
}

/// At most [`WORD_UNITS`] of a word, and never half a surrogate pair that was whole.
fn clipped(word: &[u16]) -> Vec<u16> {
    let Some((kept, [next, ..])) = word.split_at_checked(WORD_UNITS) else {
        return word.to_vec();
    };
    let splits = (0xdc00..=0xdfff).contains(next);
    let kept = match kept.split_last() {
        Some((0xd800..=0xdbff, whole)) if splits => whole,
        _ => kept,
    };
    [kept, &[ELLIPSIS]].concat()
}
