//! The task `research`: plan, tools at once, a wait for approval, an answer.
//!
//! Owns that body. Its tools need no network: a calculator, and a search in the session's earlier
//! messages. Each stage is told as it comes. Invariant: a tool whose result is recorded does not run
//! again, and without an approval its findings are not in the answer.

use super::calculator::evaluate;
use crate::run::{DurableContext, Error, RetryPolicy, StepError, StepKind, StepOptions, TaskInput};
use crate::upstream::{Ask, HistoryMessage};
use crate::wire::content;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Its name behind `task:`.
pub const NAME: &str = "research";
/// The event it waits for: `true`, or `{"approved":true}`, approves.
pub const APPROVAL: &str = "approval";

/// Tool calls of one question; more of it is left out, and the plan says so.
const CALLS: usize = 8;
/// How long an approval is waited for, unless the metadata say otherwise: a working day.
const APPROVAL_MS: u64 = 8 * 60 * 60 * 1000;
/// The longest wait that metadata may ask for: a week.
const APPROVAL_MOST_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// The longest pause of a tool that metadata may ask for.
const PACE_MOST_MS: u64 = 1_000;
/// Matches that a search gives.
const MATCHES: usize = 3;
/// Characters of a message that a match shows.
const SNIPPET_CHARS: usize = 160;
/// Words shorter than this say little about what is searched for.
const WORD_CHARS: usize = 4;

/// What a turn's metadata may set, under `research`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Options {
    /// How long each tool takes at least, in ms, as a slow one would.
    pace_ms: u64,
    /// How long an approval is waited for, in ms.
    approval_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    research: Options,
}

impl Options {
    fn of(ask: &Ask) -> Self {
        let metadata = ask.metadata.as_deref().unwrap_or("{}");
        // Metadata are the caller's own; what isn't for us is not our business.
        serde_json::from_str::<Metadata>(metadata)
            .unwrap_or_default()
            .research
    }
}

/// One call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Call {
    tool: Tool,
    input: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tool {
    Calculator,
    Search,
}

impl Tool {
    const fn name(self) -> &'static str {
        match self {
            Tool::Calculator => "calculator",
            Tool::Search => "search",
        }
    }
}

/// What is to be found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    calls: Vec<Call>,
    left_out: usize,
}

impl Plan {
    /// One call for each part of the question.
    fn of(question: &str) -> Self {
        let parts = question.split(['\n', ';', '?']).map(str::trim);
        let mut calls: Vec<Call> = parts
            .filter(|part| !part.is_empty())
            .map(|part| match expression(part) {
                Some(input) => Call {
                    tool: Tool::Calculator,
                    input,
                },
                None => Call {
                    tool: Tool::Search,
                    input: part.to_owned(),
                },
            })
            .collect();
        let left_out = calls.len().saturating_sub(CALLS);
        calls.truncate(CALLS);
        Plan { calls, left_out }
    }
}

/// The arithmetic in a text, if there is some.
fn expression(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || " .+-*/()".contains(c);
    text.split(|c| !is_part(c))
        .map(str::trim)
        .filter(|part| part.contains(['+', '-', '*', '/']) && evaluate(part).is_ok())
        .max_by_key(|part| part.len())
        .map(str::to_owned)
}

/// Runs the task.
///
/// # Errors
/// Those of its context; none of its own.
pub async fn run<C: DurableContext, I: TaskInput>(ctx: &C, input: &I) -> Result<(), Error> {
    let options = Options::of(input.ask());
    let question = input.ask().text();
    let step = StepOptions::new("plan").input(&question);
    let plan: Plan = ctx.step(step, async |_| Ok(Plan::of(&question))).await?;
    ctx.tell("plan", "task.plan", &plan)?;
    let branches = plan.calls.iter().enumerate().map(|(n, call)| {
        let (ctx, options) = (ctx.clone(), &options);
        async move { find(&ctx, input, options, n, call).await }
    });
    let found = ctx.join(branches.collect()).await;
    let found: Vec<String> = found.into_iter().collect::<Result<_, Error>>()?;
    ctx.tell(
        "approval",
        "approval.requested",
        &json!({ "key": APPROVAL, "findings": found.len() }),
    )?;
    let verdict = approval(ctx, &options).await?;
    let answer: String = ctx
        .step("answer", async |_| Ok(compose(&plan, &found, verdict)))
        .await?;
    for (n, piece) in answer.split_inclusive('\n').enumerate() {
        let delta = json!({ "part": { "id": "answer", "type": "text" }, "delta": piece });
        ctx.tell(&format!("answer:{n}"), content::PART_UPDATED, &delta)?;
    }
    ctx.tell(
        content::RESULT,
        content::RESULT,
        &json!({ "finalText": answer }),
    )
}

/// One call of a tool, told before and after.
async fn find<C: DurableContext, I: TaskInput>(
    ctx: &C,
    input: &I,
    options: &Options,
    n: usize,
    call: &Call,
) -> Result<String, Error> {
    let id = format!("call-{n}");
    let arguments = json!({ "input": call.input }).to_string();
    ctx.tell(
        &id,
        content::TOOL_CALL,
        &json!({ "id": id, "name": call.tool.name(), "arguments": arguments }),
    )?;
    let step = StepOptions::new(format!("{}:{n}", call.tool.name()))
        .kind(StepKind::Tool)
        .input(call)
        .retry(RetryPolicy::attempts(3));
    let output: String = ctx
        .named_step(step, async |_| {
            input.pause(options.pace_ms.min(PACE_MOST_MS)).await;
            match call.tool {
                Tool::Calculator => Ok(calculated(&call.input)),
                Tool::Search => {
                    let messages = input.messages().await;
                    let messages = messages.map_err(|error| {
                        StepError::new(error.code().as_str(), "no messages to be had")
                    })?;
                    Ok(search(&call.input, &messages))
                }
            }
        })
        .await?;
    ctx.tell(
        &format!("result-{n}"),
        content::TOOL_RESULT,
        &json!({ "id": id, "name": call.tool.name(), "output": output }),
    )?;
    Ok(output)
}

fn calculated(input: &str) -> String {
    match evaluate(input) {
        Ok(value) => format!("{input} = {value}"),
        Err(why) => format!("{input}: {why}"),
    }
}

/// The messages that have most of a query's words, best first.
fn search(query: &str, messages: &[HistoryMessage]) -> String {
    let words = words(query);
    let mut matches: Vec<(usize, String)> = messages
        .iter()
        .filter_map(|message| {
            let text = message.text();
            let has = self::words(&text);
            let count = words.iter().filter(|word| has.contains(word)).count();
            let snippet: String = text.chars().take(SNIPPET_CHARS).collect();
            (count > 0).then(|| (count, format!("{}: {snippet}", message.role)))
        })
        .collect();
    // Stable: of two with as many words the earlier one comes first.
    matches.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let best: Vec<String> = matches
        .into_iter()
        .take(MATCHES)
        .map(|(_, text)| text)
        .collect();
    if best.is_empty() {
        return format!("nothing in this session about \"{query}\"");
    }
    best.join(" | ")
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() >= WORD_CHARS)
        .map(str::to_lowercase)
        .collect()
}

/// What became of the approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Approved,
    Refused,
    TooLate,
}

async fn approval<C: DurableContext>(ctx: &C, options: &Options) -> Result<Verdict, Error> {
    let patience_ms = options.approval_ms.unwrap_or(APPROVAL_MS);
    let waited = ctx
        .await_event::<serde_json::Value>(APPROVAL, Some(patience_ms.min(APPROVAL_MOST_MS)))
        .await;
    match waited {
        Ok(answer) => {
            let approved = answer.get("approved").unwrap_or(&answer).as_bool();
            Ok(match approved {
                Some(true) => Verdict::Approved,
                Some(false) | None => Verdict::Refused,
            })
        }
        Err(Error::AwaitEventTimeout { .. }) => Ok(Verdict::TooLate),
        Err(error) => Err(error),
    }
}

fn compose(plan: &Plan, found: &[String], verdict: Verdict) -> String {
    match verdict {
        Verdict::Refused => return "The research was not approved.\n".to_owned(),
        Verdict::TooLate => return "No approval came in time.\n".to_owned(),
        Verdict::Approved => {}
    }
    let mut answer = format!("{} found:\n", found.len());
    for (call, output) in plan.calls.iter().zip(found) {
        answer.push_str(&format!("- {} ({})\n", output, call.tool.name()));
    }
    if plan.left_out > 0 {
        answer.push_str(&format!("{} more were left out.\n", plan.left_out));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, text: &str) -> HistoryMessage {
        HistoryMessage {
            role: role.into(),
            content: serde_json::to_string(text).unwrap(),
        }
    }

    #[test]
    fn a_plan_has_a_call_for_each_part_and_a_bound() {
        let plan = Plan::of("What is 2 * (3 + 4)?\nbudget of the house; 1/8");
        let calls: Vec<(&str, &str)> = plan
            .calls
            .iter()
            .map(|call| (call.tool.name(), call.input.as_str()))
            .collect();
        assert_eq!(
            calls,
            [
                ("calculator", "2 * (3 + 4)"),
                ("search", "budget of the house"),
                ("calculator", "1/8")
            ]
        );
        let many = Plan::of(&"1 + 1;".repeat(11));
        assert_eq!((many.calls.len(), many.left_out), (8, 3));
    }

    #[test]
    fn a_search_gives_the_best_matches() {
        let messages = [
            message("user", "The budget is 40."),
            message("assistant", "Noted."),
            message("user", "The house budget grew."),
        ];
        assert_eq!(
            search("house budget", &messages),
            "user: The house budget grew. | user: The budget is 40."
        );
        assert_eq!(
            search("garden", &messages),
            "nothing in this session about \"garden\""
        );
    }

    #[test]
    fn metadata_that_are_not_for_it_are_ignored() {
        let ask = |metadata: Option<&str>| Ask {
            execution_id: String::new(),
            input_hash: String::new(),
            session_id: String::new(),
            message: "\"\"".into(),
            history: vec![],
            model: None,
            system_prompt: None,
            metadata: metadata.map(str::to_owned),
        };
        let options = Options::of(&ask(Some(r#"{"research":{"paceMs":5},"a":1}"#)));
        assert_eq!((options.pace_ms, options.approval_ms), (5, None));
        for metadata in [None, Some("{}"), Some(r#"{"research":7}"#)] {
            assert_eq!(Options::of(&ask(metadata)).pace_ms, 0, "{metadata:?}");
        }
    }
}
