//! The dice of one run, what they let happen, and the trace of it.
//!
//! Owns which faults a run has at all: some of them, each at a rate of its own, so that runs differ in
//! kind. When the run is calm nothing goes wrong any more.

use super::sites::{Counts, Site};
use crate::support::World;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The chance of one run. Clones share it.
#[derive(Clone)]
pub struct Chance(Rc<Inner>);

struct Inner {
    state: Cell<u64>,
    calm: Cell<bool>,
    away: Cell<bool>,
    /// What waits of people and machines are multiplied by.
    pace: Cell<u64>,
    /// Per 100,000.
    rates: RefCell<BTreeMap<Site, u64>>,
    counts: RefCell<Counts>,
    trace: RefCell<Vec<String>>,
    world: World,
    begins: i64,
}

impl Chance {
    /// The dice of this seed, of which no fault knows yet.
    pub fn new(seed: u64, world: &World) -> Self {
        Chance(Rc::new(Inner {
            // Another sequence than the world's own of the same seed.
            state: Cell::new(seed ^ 0x5851_f42d_4c95_7f2d),
            calm: Cell::new(false),
            away: Cell::new(false),
            pace: Cell::new(1),
            rates: RefCell::default(),
            counts: RefCell::default(),
            trace: RefCell::default(),
            begins: world.sim.now(),
            world: world.clone(),
        }))
    }

    /// 64 bits (splitmix64).
    pub fn next(&self) -> u64 {
        let state = self.0.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A number of this range.
    pub fn within(&self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// Everybody takes so many times as long from now on.
    pub fn take_time(&self, pace: u64) {
        self.0.pace.set(pace);
    }

    /// A wait of this range, in ms, where nobody hurries.
    pub fn pause(&self, from: u64, to: u64) -> u64 {
        self.within(from, to) * self.0.pace.get()
    }

    /// The run has no such fault.
    pub fn forbid(&self, site: Site) {
        self.0.rates.borrow_mut().remove(&site);
    }

    /// A place in a list of so many.
    pub fn place(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("it is below a usize")
    }

    /// One of these.
    pub fn one_of<T: Copy>(&self, of: &[T]) -> T {
        of[self.place(of.len())]
    }

    /// Happens so many times of 100.
    pub fn percent(&self, share: u64) -> bool {
        self.below(100) < share
    }

    /// Gives a site a rate, in some runs: `share` of 100.
    pub fn allow(&self, site: Site, share: u64, rates: &[u64]) {
        let rate = self.one_of(rates);
        if self.percent(share) {
            self.0.rates.borrow_mut().insert(site, rate);
        }
    }

    /// Whether this run has the fault at all.
    pub fn has(&self, site: Site) -> bool {
        self.0.rates.borrow().contains_key(&site)
    }

    /// Whether the fault comes now; counted when it does.
    pub fn comes(&self, site: Site) -> bool {
        let Some(rate) = self.0.rates.borrow().get(&site).copied() else {
            return false;
        };
        let comes = !self.is_calm() && self.below(100_000) < rate;
        if comes {
            self.met(site);
        }
        comes
    }

    /// Counts something that came about.
    pub fn met(&self, site: Site) {
        self.0.counts.borrow_mut().add(site);
        self.note(|| format!("{}: {}", site.fault(), site.what()));
    }

    /// D1 is away from now on, or is back.
    pub fn d1_goes(&self, away: bool) {
        self.0.away.set(away);
        self.note(|| format!("D1 is away: {away}"));
        if away {
            self.met(Site::D1Away);
        }
    }

    /// Whether D1 is away.
    pub fn is_d1_away(&self) -> bool {
        self.0.away.get()
    }

    /// Nothing goes wrong from now on.
    pub fn calm(&self) {
        self.0.calm.set(true);
        self.note(|| "calm".to_owned());
    }

    /// Whether nothing goes wrong any more.
    pub fn is_calm(&self) -> bool {
        self.0.calm.get()
    }

    /// What happened how often.
    pub fn counts(&self) -> Counts {
        self.0.counts.borrow().clone()
    }

    /// Adds a line to the trace.
    pub fn note(&self, what: impl FnOnce() -> String) {
        let at = self.0.world.sim.now() - self.0.begins;
        let polls = self.0.world.sim.polls();
        let line = format!("{at:>8} ms {polls:>6} {}", what());
        self.0.trace.borrow_mut().push(line);
    }

    /// The trace so far.
    pub fn trace(&self) -> Vec<String> {
        self.0.trace.borrow().clone()
    }
}
