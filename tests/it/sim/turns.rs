//! The turns of a run: what each asks, and what its upstream is to say.
//!
//! Owns the expectation, as literals made beside the code under test. Every text is of one turn alone, so
//! that whatever comes to a wrong place is seen.

use super::chance::Chance;
use super::sites::Site;
use crate::support::{
    ERRAND, PATIENT, SPELLER, Script, Trick, VAST, errand_answer, patient_answer, submit,
    vast_answer,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use steadfast::wire::line;
use steadfast::wire::request::Submit;

/// Texts that scripts hold for the life of the process; the same few for every run.
static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

fn keep(text: String) -> &'static str {
    let mut kept = KEPT.lock().expect("nobody panics with it");
    if let Some(known) = kept.get(text.as_str()) {
        return known;
    }
    let text: &'static str = Box::leak(text.into_boxed_str());
    kept.insert(text);
    text
}

/// Who answers a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The sandbox: resumable.
    Sandbox,
    /// Chat completions: nothing can be resumed.
    Chat,
    /// The deployment's own upstream.
    Own,
    /// A durable task.
    Errand,
}

/// How much there is of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A few lines, or a few steps.
    Usual,
    /// More lines, rows, steps and events than any page or part holds.
    Large,
    /// It takes days.
    Long,
}

/// One turn.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Its name in a run, which its message holds.
    pub name: String,
    /// Who answers.
    pub kind: Kind,
    /// How much.
    pub size: Size,
    /// What is said, where a server plays a script.
    pub script: Option<Script>,
    /// Its text as [`spelled`], when it completes: one of these.
    pub texts: Vec<String>,
    /// Why it may fail without any fault of the platform: codes.
    pub fails: Vec<&'static str>,
}

impl Turn {
    /// A turn of this name, drawn.
    pub fn draw(name: &str, kind: Kind, size: Size, chance: &Chance) -> Self {
        let mut turn = Turn {
            name: name.to_owned(),
            kind,
            size,
            script: None,
            texts: Vec::new(),
            fails: Vec::new(),
        };
        match kind {
            Kind::Own => turn.texts.push(turn.message()),
            Kind::Errand if size == Size::Large => turn.texts.extend([0, 1].map(vast_answer)),
            Kind::Errand if size == Size::Long => {
                turn.texts.extend([true, false].map(patient_answer));
            }
            Kind::Errand => {
                turn.texts.extend([true, false].map(errand_answer));
            }
            Kind::Sandbox | Kind::Chat => turn.write(chance),
        }
        turn
    }

    fn write(&mut self, chance: &Chance) {
        let (count, paces) = match self.size {
            Size::Usual | Size::Long => (chance.place(12), &[1, 20, 40, 300, 2_000][..]),
            // A row each, where the window is shorter than the pace.
            Size::Large => (110 + chance.place(50), &[60, 120][..]),
        };
        // More than one ship takes.
        let padding = match self.size {
            Size::Usual | Size::Long => 0,
            Size::Large => chance.one_of(&[0, 9_000]),
        };
        let padding = "x".repeat(padding);
        // Each delta ends with half an emoji; the last one may be left alone.
        let halves = match self.kind == Kind::Sandbox && chance.percent(25) {
            true => {
                chance.met(Site::HalfAtEnd);
                [r"\ud83d", r"\ude00"]
            }
            false => ["", ""],
        };
        let deltas: Vec<String> = (0..=count)
            .map(|n| format!("{}.{n} {padding}{}", self.name, halves[n % 2]))
            .collect();
        let frame = |delta: &String| {
            let data = format!(r#"{{"part":{{"id":"p1","type":"text"}},"delta":"{delta}"}}"#);
            let data = keep(data);
            ("message.part.updated", data, data)
        };
        let mut frames: Vec<_> = deltas.iter().map(frame).collect();
        if self.kind == Kind::Sandbox {
            let call = keep(format!(r#"{{"id":"{}","args":[1.0,2e3]}}"#, self.name));
            frames.insert(chance.place(frames.len()), ("tool.call", call, call));
            frames.push(("usage", r#"{"inputTokens":7}"#, r#"{"inputTokens":7}"#));
        }
        let text = deltas.concat();
        let mut script = Script {
            frames,
            message: keep(format!("\"{text}\"")),
            pace_ms: chance.one_of(paces),
            fails: None,
            tricks: Vec::new(),
        };
        // Lines that only a lost storage had are told again, and must be the same.
        if self.kind == Kind::Sandbox && !chance.has(Site::StorageLost) {
            self.spoil(&mut script, chance);
        }
        self.texts.push(text);
        self.script = Some(script);
    }

    fn spoil(&mut self, script: &mut Script, chance: &Chance) {
        let place = chance.place(script.frames.len());
        match chance.below(24) {
            0 => {
                script.fails = Some("out of luck");
                self.fails.push("upstream_failed");
                chance.met(Site::FailsAfterText);
            }
            1 => {
                script.tricks.push(Trick::Swells(place, 3_000_000));
                self.fails.push("upstream_protocol");
                chance.met(Site::HugeFrame);
            }
            2 | 3 => {
                script.tricks.push(Trick::Repeats(place));
                chance.met(Site::FrameRepeated);
            }
            4 => {
                script.tricks.push(Trick::Swaps(place));
                chance.met(Site::FramesSwapped);
            }
            5 => {
                script.tricks.push(Trick::EndsTwice);
                chance.met(Site::EndsTwice);
            }
            6 => {
                script.tricks.push(Trick::GoesOn);
                chance.met(Site::GoesOn);
            }
            _ => {}
        }
    }

    /// Its user's words; an own upstream spells them.
    pub fn message(&self) -> String {
        let words = match self.size {
            Size::Usual => "one two three",
            Size::Large => VAST,
            Size::Long => PATIENT,
        };
        format!("turn-{}! {words}", self.name)
    }

    /// The request.
    pub fn submit(&self) -> Submit {
        let upstream = match self.kind {
            Kind::Sandbox => "sandbox".to_owned(),
            Kind::Chat => "openai-chat".to_owned(),
            Kind::Own => SPELLER.to_owned(),
            Kind::Errand => format!("task:{ERRAND}"),
        };
        Submit {
            upstream: Some(upstream),
            key: Some(format!("key-{}", self.name)),
            ..submit(&self.message())
        }
    }

    /// Whether frames may come in another order than they were sent.
    pub fn is_swapped(&self) -> bool {
        let tricks = self.script.iter().flat_map(|script| &script.tricks);
        tricks
            .into_iter()
            .any(|trick| matches!(trick, Trick::Swaps(_)))
    }
}

/// The turn that a request's body is about: its own message comes first where a sandbox is asked, and
/// last in a chat.
pub fn asked_for<'a>(body: &str, turns: &'a BTreeMap<String, Turn>) -> Option<&'a Turn> {
    let named = |at: usize| {
        let rest = &body[at + "turn-".len()..];
        rest.split('!').next().and_then(|name| turns.get(name))
    };
    let is_sandbox = body.starts_with(r#"{"message":"#);
    let at = match is_sandbox {
        true => body.find("turn-"),
        false => body.rfind("turn-"),
    };
    at.and_then(named)
}

/// A log's lines without its ending, nor the error that belongs to one.
pub fn without_ending(lines: &[String]) -> &[String] {
    let kind =
        |line: &String| line::parse_kind_and_data(line.trim_end()).map(|(kind, _)| kind.to_owned());
    let Some((last, rest)) = lines.split_last() else {
        return lines;
    };
    match kind(last).as_deref() {
        Some("session.run.failed") => rest.split_last().map_or(rest, |(_, rest)| rest),
        Some("error") => rest,
        Some(kind) if line::is_terminal(kind) => rest,
        Some(_) | None => lines,
    }
}

/// A JSON string's text to the last half of an emoji, in one spelling: what is not ASCII, and what JSON escapes,
/// is escaped by its UTF-16 units.
pub fn spelled(literal: &str) -> String {
    let inside = literal
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let mut rest = inside.expect("a string").chars();
    let mut text = String::new();
    let spell = |text: &mut String, c: char| match c {
        ' '..='~' if c != '"' && c != '\\' => text.push(c),
        c => {
            let units = c.encode_utf16(&mut [0; 2]).to_vec();
            text.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        }
    };
    while let Some(c) = rest.next() {
        if c != '\\' {
            spell(&mut text, c);
            continue;
        }
        match rest.next().expect("something is escaped") {
            'u' => {
                let unit: String = rest.by_ref().take(4).collect();
                let unit = u32::from_str_radix(&unit, 16).expect("four digits");
                match char::from_u32(unit) {
                    Some(c) => spell(&mut text, c),
                    None => text += &format!("\\u{unit:04x}"),
                }
            }
            'n' => spell(&mut text, '\n'),
            'r' => spell(&mut text, '\r'),
            't' => spell(&mut text, '\t'),
            'b' => spell(&mut text, '\u{8}'),
            'f' => spell(&mut text, '\u{c}'),
            c => spell(&mut text, c),
        }
    }
    text
}

#[test]
fn a_text_has_one_spelling() {
    for literal in [
        r#""a\ud83d\ude00\"""#,
        "\"a😀\\u0022\"",
        r#""a\uD83D\uDE00\"""#,
    ] {
        assert_eq!(spelled(literal), r"a\ud83d\ude00\u0022");
    }
    assert_eq!(spelled(r#""\ud83d""#), r"\ud83d");
}
