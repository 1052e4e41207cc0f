//! Durable runs natively, measured: in memory, and on SQLite in a file.
//!
//! Owns one round, of which it prints one JSON line; `bench/runner.mjs` takes several of them and says
//! what came out. Invariant: a run that is not whole gives no figures.

#![allow(
    clippy::disallowed_types,
    reason = "a measurement reads the clock, and nothing else here does"
)]

#[path = "src/body.rs"]
mod body;

use body::Script;
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;
use steadfast::native::NativePorts;
use steadfast::ports::Clock;
use steadfast::run::manifest::Manifest;
use steadfast::run::{Error, RunEnd, RunMode, RunOptions, Waits, run_durable};
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{
    Driver, DriverError, MemoryStore, Outcome, Section, SqlStore, Statement, Store,
};

type Failure = Box<dyn std::error::Error>;

/// A driver that counts rows written.
#[derive(Clone)]
struct Counting<D> {
    driver: D,
    rows: Rc<Cell<u64>>,
}

impl<D: Driver> Driver for Counting<D> {
    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        let outcomes = self.driver.apply(batch).await?;
        let rows: u64 = outcomes.iter().map(|outcome| outcome.changes).sum();
        self.rows.set(self.rows.get() + rows);
        Ok(outcomes)
    }

    async fn sync(&self) -> Result<(), DriverError> {
        self.driver.sync().await
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        self.driver.barrier().await
    }
}

fn options(run_id: &str) -> Result<RunOptions, Failure> {
    let input = serde_json::json!({});
    let manifest = Manifest::new("bench", "measured", "Be measured.", "bench", &input)?;
    Ok(RunOptions::new(run_id, manifest).waits(Waits::Suspend))
}

/// Runs a script and gives its ms.
async fn timed<S: Store + Clone>(
    ports: &NativePorts,
    store: &S,
    run_id: &str,
    script: &Script,
    is_expected: impl FnOnce(&RunEnd<usize>) -> bool,
) -> Result<f64, Failure> {
    let options = options(run_id)?;
    let began = Instant::now();
    let ended = run_durable(ports, store, options, async |ctx| {
        body::run(&ctx, script).await
    })
    .await?;
    let ms = began.elapsed().as_secs_f64() * 1_000.0;
    if !is_expected(&ended) {
        return Err(format!("{run_id} came to another end: {ended:?}").into());
    }
    Ok(ms)
}

fn completed(mode: RunMode, script: &Script) -> impl FnOnce(&RunEnd<usize>) -> bool {
    let expected = RunEnd::Completed {
        value: script.steps as usize * script.result_bytes,
        mode,
    };
    move |ended| *ended == expected
}

/// From an event until the run that waited for it has ended: everything is replayed between.
async fn resumed<S: Store + Clone>(
    ports: &NativePorts,
    store: &S,
    run_id: &str,
    script: &Script,
) -> Result<f64, Failure> {
    let suspended = |ended: &RunEnd<usize>| matches!(ended, RunEnd::Suspended { .. });
    timed(ports, store, run_id, script, suspended).await?;
    let began = Instant::now();
    store
        .emit_event(run_id, "go-0", "true", ports.now_ms())
        .await
        .map_err(Error::Store)?;
    let ended = completed(RunMode::Resumed, script);
    timed(ports, store, run_id, script, ended).await?;
    Ok(began.elapsed().as_secs_f64() * 1_000.0)
}

/// One round on one store.
async fn round<S: Store + Clone>(
    ports: &NativePorts,
    store: &S,
    steps: u32,
    resumes: u32,
    rows: impl Fn() -> Option<u64>,
) -> Result<serde_json::Value, Failure> {
    store.migrate(ports.now_ms()).await?;
    let script = Script {
        steps,
        ..Script::default()
    };
    let before = rows();
    let fresh = completed(RunMode::Fresh, &script);
    let steps_ms = timed(ports, store, "steps", &script, fresh).await?;
    let written = rows().zip(before).map(|(after, before)| after - before);
    let again = completed(RunMode::Replayed, &script);
    let replay_ms = timed(ports, store, "steps", &script, again).await?;
    let behind = Script { waits: 1, ..script };
    let replay_wait_ms = resumed(ports, store, "behind", &behind).await?;
    let mut resume_ms = Vec::new();
    for n in 0..resumes {
        let alone = Script {
            waits: 1,
            ..Script::default()
        };
        resume_ms.push(resumed(ports, store, &format!("wait-{n}"), &alone).await?);
    }
    Ok(serde_json::json!({
        "stepsMs": steps_ms, "replayMs": replay_ms, "replayWaitMs": replay_wait_ms,
        "resumeMs": resume_ms, "rows": written,
    }))
}

async fn measure(
    ports: &NativePorts,
    folder: &Path,
    steps: u32,
    resumes: u32,
) -> Result<serde_json::Value, Failure> {
    let memory = round(ports, &MemoryStore::new(), steps, resumes, || None).await?;
    let rows = Rc::new(Cell::new(0));
    let driver = Counting {
        driver: NativeSqlite::open(folder.join("runs.sqlite"))?,
        rows: Rc::clone(&rows),
    };
    let store = SqlStore::new(driver, Section::D1);
    let sqlite = round(ports, &store, steps, resumes, || Some(rows.get())).await?;
    Ok(serde_json::json!({ "memory": memory, "sqlite": sqlite }))
}

/// The number behind `--name`, which cargo's own arguments stand beside.
fn argument(name: &str, default: u32) -> u32 {
    let mut given = std::env::args().skip_while(|given| given != name).skip(1);
    given
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn main() -> Result<(), Failure> {
    let (steps, resumes) = (argument("--steps", 1_000), argument("--resumes", 20));
    let folder = std::env::temp_dir().join(format!("steadfast-bench-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let measured =
        steadfast::native::run(async |ports| measure(&ports, &folder, steps, resumes).await);
    std::fs::remove_dir_all(&folder)?;
    println!("{}", measured?);
    Ok(())
}
