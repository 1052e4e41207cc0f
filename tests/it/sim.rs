//! The simulator: whole sessions under a virtual clock, with every fault of the list, from a seed.
//!
//! Owns the campaign. The code under test is the product's own, down to its SQL; what is simulated is the
//! platform below it. Same seed, same trace, byte for byte. `make sim SEED=7` shows one run, `make sim
//! RUNS=10000` hunts.

mod campaign;
mod chance;
mod faults;
mod long;
mod met;
mod oracle;
mod owed;
mod people;
mod plain;
mod scene;
mod sites;
mod turns;

use campaign::{Failure, Seeds, attempt, hunt};
use sites::Site;
use std::str::FromStr;
use turns::Size;

/// Seeds of large runs with every other test; `make proof` has more.
const LARGE_SEEDS: [u64; 3] = [1, 2, 89];

/// And of long ones.
const LONG_SEEDS: [u64; 1] = [1];

/// With every other test; a campaign has more, and reaches every fault.
const LEAST_RUNS: u64 = 40;

fn number<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .ok()
            .unwrap_or_else(|| panic!("{name} is a number")),
    )
}

fn must(ran: Result<campaign::Ran, Failure>) -> campaign::Ran {
    ran.unwrap_or_else(|failure| panic!("{}", failure.say()))
}

#[test]
fn same_seed_same_trace() {
    for seed in [1, 2, 3] {
        let (one, two) = (must(attempt(seed)), must(attempt(seed)));
        assert_eq!(one.trace, two.trace);
        assert_eq!(one.counts, two.counts);
    }
}

#[test]
fn a_campaign_breaks_nothing() {
    let runs = number("SIM_RUNS");
    let seeds = Seeds {
        first: number("SIM_FIRST").unwrap_or(1),
        runs: runs.unwrap_or(LEAST_RUNS),
        seconds: number("SIM_SECONDS").unwrap_or(0),
        all: runs.is_some(),
    };
    let report = hunt(seeds);
    for line in report.lines(seeds) {
        println!("{line}");
    }
    for failure in &report.failures {
        println!("{}", failure.say());
    }
    assert_eq!(report.failures.len(), 0, "an invariant broke");
    if seeds.all {
        assert_eq!(report.counts.missing(), [], "these faults never came");
    }
}

/// Those that are always run, or as many as `SIM_SIZED` says, a fifth of them long ones.
fn sized(always: &[u64], share: u64) -> Vec<u64> {
    match number::<u64>("SIM_SIZED") {
        Some(runs) => (1..=runs / share).collect(),
        None => always.to_vec(),
    }
}

/// Whatever is more than a page, a row, a part or a batch holds, under every law and fault: the simulator
/// draws it rarely.
#[test]
fn what_is_larger_than_any_page_breaks_nothing() {
    let mut counts = sites::Counts::default();
    for seed in sized(&LARGE_SEEDS, 1) {
        counts.merge(&must(campaign::sized(seed, Size::Large)).counts);
    }
    for site in [
        Site::ManyRows,
        Site::ManySteps,
        Site::ManyEvents,
        Site::ShipInParts,
        Site::D1Away,
    ] {
        assert!(counts.of(site) > 0, "never met: {}", site.what());
    }
}

/// Forty days, under every law and fault: the simulator draws them rarely.
#[test]
fn what_takes_days_breaks_nothing() {
    let mut counts = sites::Counts::default();
    for seed in sized(&LONG_SEEDS, 5) {
        counts.merge(&must(campaign::sized(seed, Size::Long)).counts);
    }
    for site in [Site::D1Away, Site::Expired, Site::Dropped, Site::Erased] {
        assert!(counts.of(site) > 0, "never met: {}", site.what());
    }
}

/// The seed of `make sim SEED=n` with its whole trace; without one, the first.
#[test]
fn one_seed() {
    let seed = number("SIM_SEED").unwrap_or(1);
    let ran = attempt(seed);
    let trace = match &ran {
        Ok(ran) => &ran.trace,
        Err(failure) => &failure.trace,
    };
    for line in trace {
        println!("{line}");
    }
    must(ran);
}
