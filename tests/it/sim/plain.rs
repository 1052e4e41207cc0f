//! One run of plain Workers: two machines over one D1, each with a clock, a deployment and lives of its own.
//!
//! Owns the scene and its course: a storm, then calm in which the turn must end. Who acts is `people`, what
//! the turn is `terms`, what its hooks do `product`, and what must hold `laws`.

mod laws;
mod people;
mod product;
mod terms;

use super::campaign::Ran;
use super::chance::Chance;
use super::faults;
use super::met;
use super::sites::Site;
use crate::support::{Fault, World};
use laws::Laws;
use people::{Machine, Watched};
use product::Told;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use steadfast::store::Statement;
use terms::Terms;

const RUN: &str = "acme:s:0";
/// How long faults come, in ms, at most.
const STORM_MS: u64 = 150_000;
/// How long after the last one the turn must be over: a lease, the longest back-off, a reader's patience.
const LIVENESS_MS: u64 = 15 * 60 * 1000;
/// How far ahead a machine's clock is at most, in ms.
const SKEW_MS: u64 = 1_000;
/// How long an upstream is told of a cancel without an object, in ms, and some.
const TELLING_MS: u64 = 90_000;

struct Scene {
    world: World,
    chance: Chance,
    terms: Terms,
    laws: Laws,
    told: Rc<Told>,
    machines: RefCell<Vec<Machine>>,
    watched: RefCell<Vec<Watched>>,
    done: Cell<bool>,
}

/// Runs one seed.
pub fn run(seed: u64, tell: impl FnOnce(&Chance)) -> Ran {
    let world = World::new(seed);
    let chance = Chance::new(seed, &world);
    tell(&chance);
    faults::draw(&chance);
    faults::draw_for_shared(&chance);
    faults::install(&world, &chance, &[]);
    met::audit(&world, &chance);
    let terms = Terms::draw(seed, &chance);
    chance.note(|| format!("{terms:?}"));
    if terms.sluggish {
        let dice = chance.clone();
        world.d1.fail(move |batch| renewal(&dice, batch));
    }
    let told: Rc<Told> = Rc::default();
    let laws = Laws::new(&world, &chance, terms, Rc::clone(&told));
    let sent = laws.clone();
    world.d1.watch(move |life, batch| sent.sent(life, batch));
    let prompted = laws.clone();
    world
        .upstream
        .play_each(move |body| Some(prompted.prompted(body)));
    let scene = Rc::new(Scene {
        world,
        chance,
        terms,
        laws,
        told,
        machines: RefCell::default(),
        watched: RefCell::default(),
        done: Cell::new(false),
    });
    for _ in 0..2 {
        let machine = scene.machine();
        scene.machines.borrow_mut().push(machine);
    }
    scene.operate();
    scene.ask();
    scene.read();
    scene.cancel();
    scene.sweep();
    let storm = scene.chance.within(5_000, STORM_MS);
    scene.run_for(storm, || !scene.done.get());
    scene.chance.calm();
    scene.world.d1.heal();
    scene.world.upstream.heal();
    scene.run_for(LIVENESS_MS, || !scene.done.get());
    scene.run_for(TELLING_MS, || scene.owes());
    scene.finish()
}

/// What becomes of a call of a D1 that is slow with renewals: most are answered late, some never.
fn renewal(chance: &Chance, batch: &[Statement]) -> Option<Fault> {
    let renews = batch
        .iter()
        .any(|one| one.sql.contains("SET lease_until = ?4"));
    if !renews || !chance.percent(75) {
        return faults::d1(chance);
    }
    let (site, fault) = match chance.percent(70) {
        true => (Site::D1Late, Fault::Late(chance.within(8_000, 20_000))),
        false => (Site::D1Hangs, Fault::Hangs),
    };
    chance.met(site);
    Some(fault)
}

impl Scene {
    fn run_for(&self, ms: u64, goes_on: impl Fn() -> bool) {
        let until = self.world.sim.now().saturating_add_unsigned(ms);
        self.world.sim.run_while(until, || {
            self.laws.look();
            self.laws.read(&self.watched.borrow());
            goes_on()
        });
    }

    /// An upstream is still to be told.
    fn owes(&self) -> bool {
        let run = self.laws.run();
        run.is_some_and(|run| run.upstream_cancel.is_some())
    }

    fn finish(&self) -> Ran {
        assert!(self.done.get(), "L1, L2: the client waits for ever");
        let counts = self.chance.counts();
        let befell = |site: &&Site| {
            let faults = ["F1", "F3", "F4", "F5", "F6", "F7", "F2", "F9", "F30"];
            faults.contains(&site.fault()) && counts.of(**site) > 0
        };
        let is_clean = Site::ALL.iter().find(befell).is_none();
        let was_redirected = counts.of(Site::Redirect) > 0;
        self.laws
            .finish(is_clean && self.told.is_unhurt(), was_redirected);
        let mut trace = self.chance.trace();
        trace.push(format!("{:?}\n{}", self.laws.run(), self.laws.log()));
        Ran {
            counts: self.chance.counts(),
            states: self.laws.states(),
            turns: 1,
            trace,
        }
    }
}
