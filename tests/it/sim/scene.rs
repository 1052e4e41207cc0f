//! One run: a world with its sessions, its people and its faults, from a seed to rest.
//!
//! Owns the order: faults for a while, then calm, then what must have come about. A run is a function of
//! its seed alone.

mod rest;

use super::chance::Chance;
use super::faults;
use super::long;
use super::met;
use super::oracle::{Oracle, Seat};
use super::people::People;
use super::sites::{Counts, Site};
use super::turns::{Kind, Size, Turn, asked_for};
use crate::support::World;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use steadfast::api::Command;

/// How long after the last fault everything must be over, in ms: an alarm, a lost one's sweep, the
/// longest back-off, a full D1's retry, and a task's waits.
const LIVENESS_MS: u64 = 20 * 60 * 1000;
/// The longest a run may take to come to rest behind that: what was asked for late.
const REST_MS: u64 = 15 * 60 * 1000;

/// What a run came to.
pub struct Ran {
    /// What happened how often.
    pub counts: Counts,
    /// What happened, in order.
    pub trace: Vec<String>,
    /// The states that were seen.
    pub states: BTreeSet<u64>,
    /// Turns that were accepted.
    pub turns: usize,
}

/// Each of so many seeds is a large run.
const LARGE: u64 = 41;
/// Which of them.
const LARGE_AT: u64 = 7;
/// Each of so many is a long one.
const LONG: u64 = 251;
/// Which of them.
const LONG_AT: u64 = 11;
/// How often a large store is looked at, in changes.
const LARGE_STRIDE: u64 = 40;
/// And what goes on for long.
const LONG_STRIDE: u64 = 6;
/// How long D1 is away in a large run at most, in ms.
const AWAY_MS: u64 = 40_000;

/// Who sits where in a run.
const PLACES: [(&str, &str); 3] = [("acme", "s"), ("other", "s"), ("acme", "t")];

/// A run under way.
pub struct Scene {
    pub(super) world: World,
    size: Size,
    pub(super) chance: Chance,
    pub(super) seats: Rc<Vec<Seat>>,
    pub(super) turns: Rc<RefCell<BTreeMap<String, Turn>>>,
    oracle: Oracle,
    pub(super) people: People,
}

/// Runs one seed. `tell` is given the run's dice before anything can fail.
pub fn run(seed: u64, tell: impl FnOnce(&Chance)) -> Ran {
    run_of(seed, size_of(seed), tell)
}

/// By the seed alone, so that the draws of all others are what they are without it.
const fn size_of(seed: u64) -> Size {
    if seed % LARGE == LARGE_AT {
        return Size::Large;
    }
    match seed % LONG {
        LONG_AT => Size::Long,
        _ => Size::Usual,
    }
}

/// Runs one seed in this size.
pub fn run_of(seed: u64, size: Size, tell: impl FnOnce(&Chance)) -> Ran {
    let world = World::new(seed);
    let chance = Chance::new(seed, &world);
    tell(&chance);
    let mut scene = Scene::new(world, chance, size);
    scene.people();
    match size {
        Size::Usual | Size::Large => {
            scene.run_faults();
            scene.run_calm();
        }
        Size::Long => scene.run_long(),
    }
    scene.check_rest();
    let mut trace = scene.chance.trace();
    trace.extend(
        scene
            .oracle
            .runs()
            .into_iter()
            .map(|(run, log)| format!("{run:?}\n{log}")),
    );
    Ran {
        counts: scene.chance.counts(),
        states: scene.oracle.states(),
        turns: scene.turns.borrow().len(),
        trace,
    }
}

impl Scene {
    fn new(world: World, chance: Chance, size: Size) -> Self {
        faults::draw(&chance);
        if size == Size::Long {
            long::forbid(&chance);
        } else if chance.percent(6) {
            chance.allow(Site::StorageLost, 100, &[10_000]);
        }
        let count = match chance.has(Site::StorageLost) {
            true => 1,
            false if size == Size::Long => PLACES.len(),
            false if size == Size::Large => 2,
            false => 1 + chance.place(PLACES.len()),
        };
        let seat = |(tenant, session): &(&'static str, &'static str)| {
            let object = world.object_of(tenant, session);
            Seat {
                key: object.session_key(),
                object,
                tenant,
                session,
            }
        };
        let seats: Rc<Vec<Seat>> = Rc::new(PLACES[..count].iter().map(seat).collect());
        let turns: Rc<RefCell<BTreeMap<String, Turn>>> = Rc::default();
        let oracle = Oracle::new(&world, &chance, &seats, Rc::clone(&turns));
        let people = People {
            world: world.clone(),
            chance: chance.clone(),
            oracle: oracle.clone(),
            seats: Rc::clone(&seats),
            busy: Rc::default(),
            cancelled: Rc::default(),
            emitted: Rc::default(),
        };
        oracle.look_each(match size {
            Size::Usual => 1,
            Size::Large => LARGE_STRIDE,
            Size::Long => LONG_STRIDE,
        });
        Scene {
            world,
            size,
            chance,
            seats,
            turns,
            oracle,
            people,
        }
    }

    fn objects(&self) -> Vec<crate::support::Object> {
        self.seats.iter().map(|seat| seat.object.clone()).collect()
    }

    /// Everybody takes their place.
    fn people(&mut self) {
        let (world, chance) = (&self.world, &self.chance);
        world.set("UPSTREAM", "sandbox,openai-chat,speller,task:errand");
        faults::settings(world, chance);
        let objects = self.objects();
        let known = Rc::clone(&self.turns);
        world.upstream.play_each(move |body| {
            let turns = known.borrow();
            asked_for(body, &turns).and_then(|turn| turn.script.clone())
        });
        faults::install(world, chance, &objects);
        met::audit(world, chance);
        faults::operate(world, chance, &objects);
        if self.size == Size::Long {
            self.live_long();
            return self.sweep();
        }
        let mut errands = 1;
        if self.size == Size::Large {
            errands = 0;
            faults::d1_away(world, chance, AWAY_MS);
        }
        for seat in 0..self.seats.len() {
            let count = 1 + chance.place(3);
            let names = (0..count).map(|n| format!("{seat}x{n}"));
            let mut turns: Vec<Turn> = names.map(|name| self.draw(&name, &mut errands)).collect();
            if self.size == Size::Large && seat == 0 {
                // A task that is done again tells other lines.
                let is_lost = chance.has(Site::StorageLost);
                let kinds = [Kind::Errand, Kind::Sandbox].into_iter().enumerate();
                turns = kinds
                    .skip(usize::from(is_lost))
                    .map(|(n, kind)| Turn::draw(&format!("0v{n}"), kind, Size::Large, chance))
                    .collect();
            }
            for turn in &turns {
                let mut all = self.turns.borrow_mut();
                all.insert(turn.name.clone(), turn.clone());
            }
            let deletes = chance.percent(8) && !chance.has(Site::StorageLost);
            self.people.user(seat, turns, deletes);
        }
        self.sweep();
    }

    fn sweep(&self) {
        let seats = Rc::clone(&self.seats);
        let oracle = self.oracle.clone();
        let known = move || oracle.known_runs();
        let poke = move |run_id: &str| poke(&seats, run_id);
        faults::sweep(&self.world, &self.chance, known, poke);
    }

    fn draw(&self, name: &str, errands: &mut u32) -> Turn {
        let kind = match self.chance.below(20) {
            _ if self.chance.has(Site::StorageLost) => Kind::Sandbox,
            0..=11 => Kind::Sandbox,
            12..=14 => Kind::Chat,
            15..=17 => Kind::Own,
            _ if *errands == 0 => Kind::Sandbox,
            _ => {
                *errands -= 1;
                Kind::Errand
            }
        };
        Turn::draw(name, kind, Size::Usual, &self.chance)
    }

    /// Goes on until `until` or until nobody is busy, with a look after every step.
    fn run_until_done(&self, until: i64) {
        let oracle = self.oracle.clone();
        let busy: Rc<Cell<usize>> = Rc::clone(&self.people.busy);
        self.world.sim.run_while(until, || {
            oracle.check();
            busy.get() > 0
        });
    }

    fn run_for(&self, ms: u64) {
        self.run_until(self.world.sim.now().saturating_add_unsigned(ms));
    }

    pub(super) fn run_until(&self, until: i64) {
        let oracle = self.oracle.clone();
        self.world.sim.run_while(until, || {
            oracle.check();
            true
        });
    }

    fn run_faults(&self) {
        let ms = self.chance.within(5_000, 120_000);
        let until = self.world.sim.now().saturating_add_unsigned(ms);
        if self.chance.has(Site::StorageLost) {
            let lost = self.chance.within(100, ms);
            let at = self.world.sim.now().saturating_add_unsigned(lost);
            self.run_until_done(at);
            self.chance.met(Site::StorageLost);
            self.oracle.is_lost(0);
            if self.chance.percent(50) {
                // Whoever had it goes on, with what it has sent to D1.
                self.chance.met(Site::Zombie);
                self.seats[0].object.replace(faults::ZOMBIE_MS);
            }
            self.seats[0].object.lose_storage();
        }
        self.run_until_done(until);
    }

    pub(super) fn be_calm(&self) {
        self.chance.calm();
        self.world.d1.heal();
        self.world.upstream.heal();
    }

    fn run_calm(&self) {
        self.be_calm();
        let until = self.world.sim.now().saturating_add_unsigned(LIVENESS_MS);
        self.run_until_done(until);
        assert_eq!(self.people.busy.get(), 0, "L1, L2: somebody waits for ever");
        if self.chance.counts().of(Site::AlarmLost) > 0 {
            // Of a finished turn D1 may know nothing yet: only a new life's first call finds out that its
            // alarm is lost. An object with nothing to do is evicted.
            for seat in self.seats.iter() {
                seat.object.end();
                seat.object.ask(Command::Session);
            }
        }
        self.run_for(REST_MS);
    }
}

fn poke(seats: &[Seat], run_id: &str) {
    for seat in seats {
        let index = run_id
            .strip_prefix(&seat.key)
            .and_then(|rest| rest.strip_prefix(':'))
            .and_then(|index| index.parse().ok());
        if let Some(index) = index {
            seat.object.ask(Command::Poke(index));
        }
    }
}
