//! What one plain turn is: its upstream, its text, its hooks, and the two deployments that may run it.
//!
//! Owns literals only: what is asked, what a deployment's settings are, and what must become of each
//! prompt's answer. Each prompt is answered with other words, so that no attempt's can pass for another's.

use crate::sim::chance::Chance;
use crate::support::Script;
use std::sync::LazyLock;
use steadfast::config::TurnConfig;
use steadfast::plain::{TurnInput, TurnTerms};

/// One seed of so many is a turn of many rows and pages.
const LARGE: u64 = 60;
const LARGE_AT: u64 = 21;
/// Deltas of a large turn.
const MANY: usize = 1_100;
/// More prompts than any deployment buys.
const MOST_PROMPTS: usize = 8;

/// What a deployment asks for.
#[derive(Debug)]
pub struct Deployment {
    /// The model when a submit names none.
    pub model: &'static str,
    /// Starts of a turn.
    pub starts: u32,
    /// A turn's time, in ms.
    pub timeout_ms: u64,
    idle_ms: u64,
    /// Failures to attach in a row that end a turn.
    pub attempts: u32,
    prompt: Option<&'static str>,
}

/// Before a deploy and after it.
pub const DEPLOYMENTS: [Deployment; 2] = [
    Deployment {
        model: "old",
        starts: 2,
        timeout_ms: 120_000,
        idle_ms: 6_000,
        attempts: 6,
        prompt: Some("Be old."),
    },
    Deployment {
        model: "new",
        starts: 4,
        timeout_ms: 1_800_000,
        idle_ms: 20_000,
        attempts: 9,
        prompt: None,
    },
];

impl Deployment {
    /// How it runs a turn.
    pub fn terms(&self, window_ms: u64) -> TurnTerms {
        TurnTerms {
            turn: TurnConfig {
                upstream_idle_ms: self.idle_ms,
                upstream_attempts: self.attempts,
                upstream_starts: self.starts,
                turn_timeout_ms: self.timeout_ms,
                system_prompt: self.prompt.map(str::to_owned),
                ..TurnConfig::default()
            },
            model: Some(self.model.to_owned()),
            window_ms,
            ..TurnTerms::default()
        }
    }

    /// The deployment under whose terms a run was accepted, as its row has them.
    pub fn of(upstream: &str) -> &'static Deployment {
        let named = |of: &&Deployment| upstream.contains(&format!(r#""model":"{}""#, of.model));
        DEPLOYMENTS.iter().find(named).expect("one accepted it")
    }
}

/// What a seed's turn is.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// It is asked of a chat completions API, which nobody can attach to again.
    pub chat: bool,
    /// It has more rows and lines than any page.
    pub large: bool,
    /// Its hooks transform the text.
    pub transforms: bool,
    /// Its hooks save the answer.
    pub persists: bool,
    /// Its client asks until the turn is accepted, and never again: the cron has to look after it.
    pub quiet: bool,
    /// Somebody cancels it.
    pub cancelled: bool,
    /// Its executions get lost.
    pub gone: bool,
    /// D1 answers renewals of its lease late, or never.
    pub sluggish: bool,
    pace_ms: u64,
    window_ms: u64,
}

impl Terms {
    /// Those of a seed.
    pub fn draw(seed: u64, chance: &Chance) -> Self {
        let large = seed % LARGE == LARGE_AT;
        let chat = chance.percent(30);
        Terms {
            chat,
            large,
            transforms: chance.percent(25) && !large,
            persists: chance.percent(40),
            quiet: chance.percent(25),
            cancelled: chance.percent(20) && !large,
            gone: !chat && chance.percent(30),
            sluggish: chance.percent(25),
            pace_ms: match large {
                true => 6,
                false => chance.one_of(&[5, 40, 400, 4_000]),
            },
            window_ms: match large {
                true => 30,
                false => 250,
            },
        }
    }

    /// What a machine of this deployment asks.
    pub fn input(&self, deployment: &Deployment) -> TurnInput {
        TurnInput {
            terms: deployment.terms(self.window_ms),
            ..crate::support::input()
        }
    }

    /// What the `number`-th prompt is answered with, from 0.
    pub fn answer(&self, number: usize) -> Answer {
        let all = match self.large {
            true => &LARGE_ANSWERS,
            false => &ANSWERS,
        };
        let answer = &all[number.min(MOST_PROMPTS - 1)];
        Answer {
            script: Script {
                pace_ms: self.pace_ms,
                ..answer.script.clone()
            },
            ..answer.clone()
        }
    }

    /// The attempts' possible answers, by the prompt that bought them.
    pub fn answers(&self) -> impl Iterator<Item = &'static Answer> {
        match self.large {
            true => LARGE_ANSWERS.iter(),
            false => ANSWERS.iter(),
        }
    }
}

/// One prompt's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its frames. Its message is the text as it is to be kept.
    pub script: Script,
    /// Its text as hooks get it, half an emoji as U+FFFD.
    pub text: &'static str,
    /// Its text as the chat completions API has it, which sends no half of an emoji.
    pub plain: &'static str,
    /// Its usage.
    pub usage: &'static str,
}

/// What hooks make of a text.
pub fn transformed(text: &str) -> String {
    format!("<{text}>")
}

static ANSWERS: LazyLock<Vec<Answer>> =
    LazyLock::new(|| (0..MOST_PROMPTS).map(|number| answer(number, 0)).collect());
static LARGE_ANSWERS: LazyLock<Vec<Answer>> = LazyLock::new(|| {
    let all = (0..MOST_PROMPTS).map(|number| answer(number, MANY));
    all.collect()
});

/// The words of one prompt: an emoji split in two, a tool's call, reasoning, `more` deltas, usage, and a
/// half of an emoji as the last thing said.
fn answer(number: usize, more: usize) -> Answer {
    // A handful for the whole process.
    let keep = |text: String| -> &'static str { text.leak() };
    let frame = |kind: &'static str, data: String| {
        let data = keep(data);
        (kind, data, data)
    };
    let text = |part: &str, delta: &str| {
        let data = format!(r#"{{"part":{{"id":"{part}","type":"text"}},"delta":"{delta}"}}"#);
        frame("message.part.updated", data)
    };
    let usage = keep(format!(r#"{{"inputTokens":{number},"outputTokens":5}}"#));
    let mut frames = vec![
        text("p1", &format!("v{number} Hel")),
        text("p1", "lo"),
        text("p1", r" \ud83d"),
        text("p1", r"\ude00!"),
        frame("tool.call", format!(r#"{{"id":"t{number}","z":1.0}}"#)),
        frame("tool.result", format!(r#"{{"id":"t{number}","ok":true}}"#)),
        (
            "message.part.updated",
            r#"{"part":{"id":"r1","type":"reasoning"},"delta":"hm"}"#,
            r#"{"part":{"id":"r1","type":"reasoning"},"delta":"hm"}"#,
        ),
    ];
    let mut said = format!("v{number} Hello 😀!");
    // That server makes text of every delta that it can read.
    let mut plain = format!("v{number} Hellohm");
    for n in 0..more {
        let word = format!(" {n}");
        frames.push(text("p1", &word));
        said += &word;
        plain += &word;
    }
    frames.push(frame("usage", usage.to_owned()));
    frames.push(text("p1", r" é\ud83d"));
    Answer {
        script: Script {
            frames,
            message: keep(format!(r#""{said} é\ud83d""#)),
            pace_ms: 0,
            fails: None,
            tricks: Vec::new(),
        },
        text: keep(format!("{said} é\u{fffd}")),
        plain: keep(plain),
        usage,
    }
}
