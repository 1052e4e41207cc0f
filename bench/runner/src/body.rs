//! The durable body that is measured, the same in the Worker and natively.
//!
//! Owns what it does: so many steps, one after another or in named branches, then so many waits.
//! Invariant: its steps do nothing, so that what is measured is the runner and its store.

use serde::Deserialize;
use steadfast::run::{DurableContext, Error, StepError, StepKind, StepOptions};

/// What a run is to do.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Script {
    /// Steps in all.
    pub steps: u32,
    /// Their kind, by its public name.
    pub kind: String,
    /// Branches among which the steps are shared, by name; 0 takes them by position.
    pub branches: u32,
    /// Waits behind the steps: for the events `go-0`, `go-1`, ….
    pub waits: u32,
    /// Bytes of a step's result.
    pub result_bytes: usize,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            steps: 0,
            kind: StepKind::Logic.name().to_owned(),
            branches: 0,
            waits: 0,
            result_bytes: 100,
        }
    }
}

fn kind(name: &str) -> StepKind {
    let kinds = [
        StepKind::Logic,
        StepKind::Llm,
        StepKind::Tool,
        StepKind::Readiness,
        StepKind::Deterministic,
    ];
    let named = kinds.into_iter().find(|kind| kind.name() == name);
    named.unwrap_or_default()
}

/// Runs a script; the bytes that its steps gave.
///
/// # Errors
/// Those of the context's calls.
pub async fn run<C: DurableContext>(ctx: &C, script: &Script) -> Result<usize, Error> {
    let kind = kind(&script.kind);
    let result = || async |_scope| Ok::<_, StepError>("x".repeat(script.result_bytes));
    let mut bytes = 0;
    if script.branches == 0 {
        for _ in 0..script.steps {
            let step = StepOptions::new("measured").kind(kind);
            let text: String = ctx.step(step, result()).await?;
            bytes += text.len();
        }
    } else {
        let branches = (0..script.branches).map(async |branch| {
            let mut bytes = 0;
            for n in 0..script.steps / script.branches {
                let step = StepOptions::new(format!("b{branch}.{n}")).kind(kind);
                let text: String = ctx.named_step(step, result()).await?;
                bytes += text.len();
            }
            Ok::<_, Error>(bytes)
        });
        for branch in ctx.join(branches.collect()).await {
            bytes += branch?;
        }
    }
    for n in 0..script.waits {
        let _: bool = ctx.await_event(&format!("go-{n}"), None).await?;
    }
    Ok(bytes)
}
