//! Many runs, and what they say together.
//!
//! Owns the seeds, the two threads, and the report. It fails at the first broken invariant, with the seed and
//! the end of the trace, and when a fault of the list never came.

use super::chance::Chance;
use super::plain;
use super::scene;
pub use super::scene::Ran;
use super::sites::{Counts, Site};
use super::turns::Size;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How many lines of a failed run's trace are shown.
const SHOWN: usize = 60;

/// In so many runs every fault of the list comes, or a change has made it impossible.
const MOST_RUNS: u64 = 600;
/// Each of so many seeds is one of plain Workers.
const PLAIN: u64 = 3;

/// Which seeds are run.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// The first.
    pub first: u64,
    /// How many at least.
    pub runs: u64,
    /// For how long more, when there is time.
    pub seconds: u64,
    /// Until every fault came, too, within a bound.
    pub all: bool,
}

/// What came of all.
#[derive(Default)]
pub struct Report {
    /// Runs.
    pub runs: u64,
    /// Turns in them.
    pub turns: u64,
    /// What happened how often.
    pub counts: Counts,
    /// The states that were seen.
    pub states: BTreeSet<u64>,
    /// The first failure of each seed that had one.
    pub failures: Vec<Failure>,
}

/// A broken invariant.
pub struct Failure {
    /// Where to see it.
    pub seed: u64,
    /// In words.
    pub what: String,
    /// The end of what happened.
    pub trace: Vec<String>,
}

/// Runs one seed and catches what breaks.
pub fn attempt(seed: u64) -> Result<Ran, Failure> {
    catch(seed, |tell| match seed % PLAIN {
        0 => plain::run(seed, tell),
        _ => scene::run(seed, tell),
    })
}

/// Runs one seed in this size.
pub fn sized(seed: u64, size: Size) -> Result<Ran, Failure> {
    catch(seed, |tell| scene::run_of(seed, size, tell))
}

fn catch(seed: u64, run: impl FnOnce(&dyn Fn(&Chance)) -> Ran) -> Result<Ran, Failure> {
    let chance: RefCell<Option<Chance>> = RefCell::default();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        run(&|dice: &Chance| drop(chance.replace(Some(dice.clone()))))
    }));
    ran.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let what = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let chance = chance.take();
        Failure {
            seed,
            what: what.unwrap_or_else(|| "a panic without words".to_owned()),
            trace: chance.map(|chance| chance.trace()).unwrap_or_default(),
        }
    })
}

/// Runs them all, on every core.
#[allow(
    clippy::disallowed_types,
    reason = "how long to hunt is the machine's time, and nothing in a run"
)]
pub fn hunt(seeds: Seeds) -> Report {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let report = Mutex::new(Report::default());
    let began = std::time::Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                // A seed that was taken is run, so that the lowest one that fails is the same each time.
                while !stop.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let is_late = began.elapsed() >= Duration::from_secs(seeds.seconds);
                    let waits = seeds.all && n < MOST_RUNS && {
                        let report = report.lock().expect("nobody panics with it");
                        !report.counts.missing().is_empty()
                    };
                    let is_done = n >= seeds.runs && is_late && !waits;
                    if is_done {
                        return;
                    }
                    let ran = attempt(seeds.first + n);
                    let mut report = report.lock().expect("nobody panics with it");
                    report.runs += 1;
                    match ran {
                        Ok(ran) => report.add(&ran),
                        Err(failure) => {
                            report.failures.push(failure);
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    report.into_inner().expect("nobody panics with it")
}

impl Report {
    fn add(&mut self, ran: &Ran) {
        self.turns += ran.turns as u64;
        self.counts.merge(&ran.counts);
        self.states.extend(&ran.states);
    }

    /// In words, a line each.
    pub fn lines(&self, seeds: Seeds) -> Vec<String> {
        let mut lines = vec![format!(
            "{} runs from seed {}: {} turns, {} faults, {} states",
            self.runs,
            seeds.first,
            self.turns,
            self.counts.faults(),
            self.states.len()
        )];
        for site in Site::ALL {
            let count = self.counts.of(*site);
            lines.push(format!("{count:>9}  {:<6} {}", site.fault(), site.what()));
        }
        lines
    }
}

impl Failure {
    /// In words, with how to see it again.
    pub fn say(&self) -> String {
        let shown = self.trace.len().saturating_sub(SHOWN);
        format!(
            "{}\n\nseed {}: {}\nSee it again: make sim SEED={}",
            self.trace[shown..].join("\n"),
            self.seed,
            self.what,
            self.seed
        )
    }
}
