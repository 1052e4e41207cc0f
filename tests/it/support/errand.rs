//! A task whose steps act on a world that no crash takes back.
//!
//! Owns the task `errand` and the list of what its steps did. Its body has each kind of call: positions, a
//! join of names, an attempt that fails, waits for events and for times, alone and at once.

use super::app::Own;
use serde_json::{Value, json};
use steadfast::caps;
use steadfast::run::{
    DurableContext, Error, RetryPolicy, Scope, StepError, StepKind, StepOptions, TaskInput,
};
use steadfast::tasks::research::APPROVAL;

/// Its name behind `task:`.
pub const ERRAND: &str = "errand";
/// The branches of its join; an attempt of the second one fails.
const BRANCHES: [&str; 3] = ["a", "b", "c"];
/// How long it waits for its approval, in ms.
pub const APPROVAL_MS: u64 = 90_000;
/// How long its pause is, in ms.
const PAUSE_MS: i64 = 20_000;
/// How long it waits for an event that never comes, in ms, and for a time meanwhile.
const BOTH_MS: (u64, i64) = (4_000, 7_000);

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Act {
    /// The step.
    pub step: String,
    /// Its attempt.
    pub attempt: u32,
}

/// The message for which it waits for many events at once, and does nothing else: as many as stand behind it,
/// or more than one ship takes.
pub const CROWD: &str = "crowd";
/// What a message holds for which it does many steps, and nothing at once.
pub const VAST: &str = "vast";
/// How many before its waits, and as many behind them: more than a page, and than one ship takes.
const VAST_HALF: u32 = caps::SHIP_ROWS + 10;
/// What its first wait is for; its second is for something that never comes.
pub const VAST_EVENT: &str = "go";
/// How long it waits for either, in ms.
const VAST_WAITS_MS: [u64; 2] = [600_000, 30_000];
/// What a message holds for which it waits for days, twice in a row.
pub const PATIENT: &str = "patient";
/// How long it waits for either, in ms.
const PATIENT_WAITS_MS: [u64; 2] = [3 * caps::DAY_MS, 2 * caps::DAY_MS];
/// How many that are.
const CROWDED: u32 = caps::SHIP_ROWS + 20;

pub(super) async fn run<C, I>(own: &Own, ctx: &C, input: &I) -> Result<(), Error>
where
    C: DurableContext,
    I: TaskInput,
{
    if let Some(count) = input.ask().text().strip_prefix(CROWD) {
        let count = count.trim().parse().unwrap_or(CROWDED);
        let waits = (0..count).map(|n| {
            let ctx = ctx.clone();
            async move {
                ctx.named_event::<Value>(&format!("w{n}"), "never", None)
                    .await
            }
        });
        let waited = ctx.join(waits.collect()).await;
        return waited.into_iter().try_for_each(|one| one.map(drop));
    }
    if input.ask().text().contains(VAST) {
        return vast(own, ctx).await;
    }
    if input.ask().text().contains(PATIENT) {
        return patient(own, ctx).await;
    }
    let (began, id) = (ctx.now().await?, ctx.uuid().await?);
    ctx.tell("began", "errand.began", &json!({ "at": began, "id": id }))?;
    act(own, ctx, "first").await?;
    let branches = BRANCHES.iter().enumerate().map(|(n, name)| {
        let ctx = ctx.clone();
        async move { branch(own, &ctx, name, n).await }
    });
    let done = ctx.join(branches.collect()).await;
    let done: usize = done.into_iter().sum::<Result<_, Error>>()?;
    let approved = match ctx.await_event::<Value>(APPROVAL, Some(APPROVAL_MS)).await {
        Ok(payload) => payload == Value::Bool(true),
        Err(Error::AwaitEventTimeout { .. }) => false,
        Err(error) => return Err(error),
    };
    act(own, ctx, "second").await?;
    let now = ctx.now().await?;
    ctx.sleep_until(now + PAUSE_MS).await?;
    let now = ctx.now().await?;
    let waits: [bool; 2] = [true, false];
    let waited = waits.map(|for_event| {
        let ctx = ctx.clone();
        async move {
            if for_event {
                let event = ctx.named_event::<Value>("never", "never", Some(BOTH_MS.0));
                return matches!(event.await, Err(Error::AwaitEventTimeout { .. }));
            }
            let until = now + BOTH_MS.1;
            ctx.named_sleep("later", until).await.is_ok()
        }
    });
    let waited = ctx.join(waited.into()).await;
    act(own, ctx, "last").await?;
    let verdict = if approved { "approved" } else { "too late" };
    let answer = format!("{done} done, {verdict}, {}", waited == [true, true]);
    ctx.tell("result", "result", &json!({ "finalText": answer }))
}

/// Steps by position and by name, some of which have names that are alike, and two waits in a row.
async fn vast<C: DurableContext>(own: &Own, ctx: &C) -> Result<(), Error> {
    for n in 0..VAST_HALF {
        act(own, ctx, &format!("early-{n}")).await?;
    }
    for n in 0..2 {
        let step = ctx.step("again", async |scope: Scope| {
            own.act(&format!("again {n}"), &scope).await;
            Ok(())
        });
        step.await?;
    }
    for n in 0..3 {
        let options = StepOptions::new(n.to_string());
        let step = ctx.named_step(options, async |scope: Scope| {
            own.act(&format!("named {n}"), &scope).await;
            Ok(())
        });
        step.await?;
    }
    let mut came = 0;
    for (key, wait_ms) in [VAST_EVENT, "never"].iter().zip(VAST_WAITS_MS) {
        came += u32::from(comes(ctx, key, wait_ms).await?);
    }
    for n in 0..VAST_HALF {
        act(own, ctx, &format!("late-{n}")).await?;
    }
    ctx.tell(
        "result",
        "result",
        &json!({ "finalText": vast_answer(came) }),
    )
}

/// Waits for an event; whether it came in time.
async fn comes<C: DurableContext>(ctx: &C, key: &str, wait_ms: u64) -> Result<bool, Error> {
    match ctx.await_event::<Value>(key, Some(wait_ms)).await {
        Ok(_) => Ok(true),
        Err(Error::AwaitEventTimeout { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A step, days, a step, days, a step.
async fn patient<C: DurableContext>(own: &Own, ctx: &C) -> Result<(), Error> {
    act(own, ctx, "first").await?;
    let came = comes(ctx, VAST_EVENT, PATIENT_WAITS_MS[0]).await?;
    act(own, ctx, "second").await?;
    comes(ctx, "never", PATIENT_WAITS_MS[1]).await?;
    act(own, ctx, "third").await?;
    let answer = json!({ "finalText": patient_answer(came) });
    ctx.tell("result", "result", &answer)
}

/// What it answers behind its days.
pub fn patient_answer(came: bool) -> String {
    format!("three done, came: {came}")
}

/// What it answers to a message that has it do many steps, of whose two events so many came.
pub fn vast_answer(came: u32) -> String {
    format!("{} done, {came} came", 2 * VAST_HALF)
}

/// What it answers.
pub fn answer(approved: bool) -> String {
    let verdict = if approved { "approved" } else { "too late" };
    format!("3 done, {verdict}, true")
}

async fn act<C: DurableContext>(own: &Own, ctx: &C, name: &str) -> Result<(), Error> {
    let step = ctx.step(name, async |scope: Scope| {
        own.act(name, &scope).await;
        Ok(scope.attempt)
    });
    // An attempt's number is its result: one that was recorded is not overwritten.
    let attempt = step.await?;
    let did = json!({ "step": name, "attempt": attempt });
    ctx.tell(&format!("did-{name}"), "errand.did", &did)
}

async fn branch<C: DurableContext>(
    own: &Own,
    ctx: &C,
    name: &str,
    n: usize,
) -> Result<usize, Error> {
    let options = StepOptions::new(format!("branch:{name}"))
        .kind(StepKind::Tool)
        .input(&n)
        .retry(RetryPolicy::attempts(3));
    let done = ctx.named_step(options, async |scope: Scope| {
        own.act(&format!("branch:{name}"), &scope).await;
        if n == 1 && scope.attempt == 1 {
            return Err(StepError::new("busy", "try again"));
        }
        Ok(1)
    });
    let done = done.await?;
    ctx.tell(
        &format!("did-{name}"),
        "errand.did",
        &json!({ "step": name }),
    )?;
    Ok(done)
}
