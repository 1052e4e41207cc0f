//! One run of plain Workers: two machines over one D1, each with a clock and lives of its own.
//!
//! Owns the machines, the client that asks now one and now the other, and what must hold: one log, one
//! writer at a time, the upstream asked once.

use super::campaign::Ran;
use super::chance::Chance;
use super::faults;
use super::met;
use super::sites::Site;
use crate::support::{Life, Reading, Script, Stay, TENANT, Worker, World, input, lines_of};
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use steadfast::caps;
use steadfast::plain::run_supervised_turn;
use steadfast::store::{Run, Status, Store};
use steadfast::turn::NoHooks;
use steadfast::wire::line;

const RUN: &str = "acme:s:0";
/// How long faults come, in ms, at most.
const STORM_MS: u64 = 150_000;
/// How long after the last one the turn must be over: a lease, the longest back-off, a reader's patience.
const LIVENESS_MS: u64 = 15 * 60 * 1000;
/// How far ahead a machine's clock is at most, in ms.
const SKEW_MS: u64 = 1_000;

/// What was stored at the last look.
#[derive(Default)]
struct Before {
    changes: u64,
    log: String,
    run: Option<Run>,
}

struct Scene {
    world: World,
    chance: Chance,
    machines: Rc<RefCell<[Worker; 2]>>,
    readings: Rc<RefCell<Vec<Reading>>>,
    done: Rc<Cell<bool>>,
    before: RefCell<Before>,
    states: RefCell<BTreeSet<u64>>,
}

/// Runs one seed.
pub fn run(seed: u64, tell: impl FnOnce(&Chance)) -> Ran {
    let world = World::new(seed);
    let chance = Chance::new(seed, &world);
    tell(&chance);
    let machines = [world.worker(), world.worker()];
    let scene = Scene {
        world,
        chance,
        machines: Rc::new(RefCell::new(machines)),
        readings: Rc::default(),
        done: Rc::default(),
        before: RefCell::default(),
        states: RefCell::default(),
    };
    faults::draw(&scene.chance);
    faults::draw_for_shared(&scene.chance);
    faults::install(&scene.world, &scene.chance, &[]);
    met::audit(&scene.world, &scene.chance);
    let pace_ms = scene.chance.one_of(&[5, 40, 400, 4_000]);
    scene.world.upstream.play(Script {
        pace_ms,
        ..Script::standard()
    });
    scene.operate();
    scene.ask();
    let storm = scene.chance.within(5_000, STORM_MS);
    scene.run_for(storm);
    scene.chance.calm();
    scene.world.d1.heal();
    scene.world.upstream.heal();
    scene.run_for(LIVENESS_MS);
    scene.finish()
}

impl Scene {
    /// Machines stand still past a lease, have wrong clocks, and are replaced when their life has ended.
    fn operate(&self) {
        let (world, chance) = (self.world.clone(), self.chance.clone());
        let machines = Rc::clone(&self.machines);
        let sim = world.sim.clone();
        sim.clone().spawn(Life::OUTSIDE, async move {
            loop {
                sim.sleep(chance.within(500, 5_000)).await;
                let at = chance.place(2);
                let machine = machines.borrow()[at].clone();
                if !sim.is_alive(machine.life()) {
                    machines.borrow_mut()[at] = world.worker();
                    continue;
                }
                // A lease knows how far two clocks may differ; this is within it.
                let skew = i64::try_from(chance.below(SKEW_MS)).expect("it is small");
                if !chance.is_calm() && chance.percent(20) {
                    machine.ports.clock().set_ahead(skew);
                }
                if chance.comes(Site::LeaseExpired) {
                    machine.freeze();
                    sim.sleep(caps::LEASE_MS + chance.below(20_000)).await;
                    machine.thaw();
                }
            }
        });
    }

    /// A client that asks until it has read the end.
    fn ask(&self) {
        let (world, chance) = (self.world.clone(), self.chance.clone());
        let machines = Rc::clone(&self.machines);
        let (readings, done) = (Rc::clone(&self.readings), Rc::clone(&self.done));
        let sim = world.sim.clone();
        sim.clone().spawn(Life::OUTSIDE, async move {
            while !done.get() {
                let worker = machines.borrow()[chance.place(2)].clone();
                let there = worker.clone();
                let asking = async move {
                    let (ports, store) = (&there.ports, &there.store);
                    run_supervised_turn(ports, store, input(), there.sandbox(), NoHooks).await
                };
                let stay = match chance.percent(20) {
                    true => Stay::Pieces(chance.place(4)),
                    false => Stay::ToTheEnd,
                };
                let reading = Reading::of(&worker, stay, asking);
                readings.borrow_mut().push(reading.clone());
                let patience = chance.within(200, 60_000);
                let mut waited = 0;
                while waited < patience && !reading.has_ended() && !reading.was_cut() {
                    sim.sleep(50).await;
                    waited += 50;
                }
                chance.note(|| format!("asked: {} {}", reading.brief(), reading.log().len()));
                let last = reading.log().lines().next_back().map(str::to_owned);
                let kind = last.as_deref().and_then(line::parse_kind_and_data);
                done.set(kind.is_some_and(|(kind, _)| line::is_terminal(kind)));
                sim.sleep(chance.within(50, 2_000)).await;
            }
        });
    }

    fn run_for(&self, ms: u64) {
        let until = self.world.sim.now().saturating_add_unsigned(ms);
        let done = Rc::clone(&self.done);
        self.world.sim.run_while(until, || {
            self.check();
            !done.get()
        });
    }

    fn stored(&self) -> (Option<Run>, String) {
        let durable = self.world.durable();
        let run = block_on(durable.run(RUN)).expect("D1 answers");
        let rows = block_on(durable.log(RUN, 0, 1_000)).expect("D1 answers");
        let (mut seq, mut epoch) = (0, 0);
        for row in &rows {
            assert_eq!(row.first_seq, seq, "I2: a gap or an overlap");
            assert!(
                row.epoch >= epoch,
                "I5: a zombie wrote: {} behind {epoch}",
                row.epoch
            );
            (seq, epoch) = (row.next_seq(), row.epoch);
        }
        (run, rows.into_iter().map(|row| row.lines).collect())
    }

    fn check(&self) {
        let changes = self.world.d1.changes();
        let mut before = self.before.borrow_mut();
        if before.changes != changes {
            let (run, log) = self.stored();
            assert!(log.starts_with(&before.log), "I1: lines are gone: {log}");
            let whole = Script::standard().log(TENANT, "s", 0);
            let ends = run
                .as_ref()
                .is_some_and(|run| run.state.status == Status::Failed);
            assert!(
                whole.starts_with(&log) || ends,
                "I3: not what the upstream said: {log}"
            );
            if let (Some(was), Some(now)) = (&before.run, &run) {
                assert!(now.epoch >= was.epoch, "I5: an epoch fell");
                let holder = |run: &Run| run.lease.as_ref().map(|lease| lease.holder.clone());
                let is_kept = holder(now).is_none() || holder(now) == holder(was);
                assert!(
                    is_kept || now.epoch > was.epoch,
                    "I5: another holder under the same epoch"
                );
                let ahead = i64::try_from(SKEW_MS).expect("it is small");
                let until = was.lease.as_ref().map_or(0, |lease| lease.until);
                assert!(
                    is_kept || until <= self.world.sim.now() + ahead,
                    "I5: a lease was broken before its end"
                );
                let was_over = was.state.status.is_terminal();
                assert!(
                    !was_over || was.state == now.state,
                    "I6: changed behind its end"
                );
            }
            let state = (
                changes.min(1),
                log.len() as u64,
                run.as_ref().map_or(0, |run| run.epoch),
            );
            self.states
                .borrow_mut()
                .insert(state.1 * 16 + state.2.min(15) + state.0);
            *before = Before { changes, log, run };
        }
        for reading in self.readings.borrow().iter() {
            let seen = reading.log();
            assert!(
                before.log.starts_with(&seen),
                "I1: visible before durable: {seen}"
            );
        }
    }

    fn finish(self) -> Ran {
        self.check();
        assert!(self.done.get(), "L1, L2: the client waits for ever");
        let (run, log) = self.stored();
        let run = run.expect("it was accepted");
        lines_of(&log);
        let started = self.world.upstream.started();
        // A refusal may have come before anything was started.
        let is_refused = started.is_empty() && run.state.status == Status::Failed;
        assert!(
            is_refused || started == [RUN],
            "I4: one prompt: {started:?}"
        );
        match run.state.status {
            Status::Completed => assert_eq!(log, Script::standard().log(TENANT, "s", 0)),
            Status::Failed => {
                let code = run
                    .state
                    .last_error
                    .as_ref()
                    .map(|error| error.code.as_str());
                let redirected = self.chance.counts().of(Site::Redirect) > 0;
                let is_known = match code {
                    Some("upstream_rejected") => redirected,
                    code => code == Some("upstream_unavailable"),
                };
                assert!(is_known, "it failed with {code:?}");
            }
            other => panic!("it is {other:?}"),
        }
        let mut trace = self.chance.trace();
        trace.push(format!("{run:?}\n{log}"));
        Ran {
            counts: self.chance.counts(),
            states: self.states.borrow().clone(),
            turns: 1,
            trace,
        }
    }
}
