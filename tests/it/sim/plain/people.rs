//! Whoever acts on a plain turn: the machines, the client that asks, those that read, cancel and sweep.
//!
//! Owns when they do it. What must hold of it is `laws`.

use super::product::Product;
use super::terms::{DEPLOYMENTS, Deployment};
use super::{RUN, SKEW_MS, Scene};
use crate::sim::sites::Site;
use crate::support::{Behaviour, Life, Reading, Stay, Worker, caller};
use futures::executor::block_on;
use std::cell::Cell;
use std::rc::Rc;
use steadfast::caps;
use steadfast::plain::{cancel_turn, follow_turn, resume_turn, run_supervised_turn};
use steadfast::store::Store;
use steadfast::wire::view::{Start, ViewKind};

/// Between two of the cron's looks, in ms.
const MINUTE_MS: u64 = 60_000;

/// A machine: its life, and what was deployed to it.
#[derive(Clone)]
pub struct Machine {
    pub worker: Worker,
    deployment: &'static Deployment,
}

/// One who reads, and where it began.
#[derive(Clone)]
pub struct Watched {
    pub reading: Reading,
    pub from: u64,
    pub view: ViewKind,
    /// Bytes that were found right.
    pub checked: Rc<Cell<usize>>,
}

impl Watched {
    fn new(reading: Reading, from: u64, view: ViewKind) -> Self {
        Watched {
            reading,
            from,
            view,
            checked: Rc::default(),
        }
    }
}

/// Looks for the turn's end, as somebody does who waits for it.
const LOOK_MS: u64 = 50;

impl Scene {
    /// A machine that has just come to life.
    pub fn machine(&self) -> Machine {
        let worker = self.world.worker();
        let deployment = &DEPLOYMENTS[self.chance.place(2)];
        self.laws
            .knows(worker.life(), worker.ports.clone(), deployment);
        Machine { worker, deployment }
    }

    fn one(&self) -> Machine {
        self.machines.borrow()[self.chance.place(2)].clone()
    }

    fn product(&self, machine: &Machine) -> Product {
        Product {
            world: self.world.clone(),
            chance: self.chance.clone(),
            life: machine.worker.life(),
            terms: self.terms,
            told: Rc::clone(&self.told),
        }
    }

    fn watch(&self, reading: Reading, from: u64, view: ViewKind) -> Watched {
        let watched = Watched::new(reading, from, view);
        self.watched.borrow_mut().push(watched.clone());
        watched
    }

    /// Machines stand still past a lease, have wrong clocks, and are replaced when their life has ended, by
    /// what is deployed then.
    pub fn operate(self: &Rc<Self>) {
        let (scene, sim) = (Rc::clone(self), self.world.sim.clone());
        self.world.sim.spawn(Life::OUTSIDE, async move {
            let chance = &scene.chance;
            loop {
                sim.sleep(chance.within(500, 5_000)).await;
                let at = chance.place(2);
                let Machine { worker, .. } = scene.machines.borrow()[at].clone();
                if !sim.is_alive(worker.life()) {
                    let fresh = scene.machine();
                    scene.machines.borrow_mut()[at] = fresh;
                    continue;
                }
                // A lease knows how far two clocks may differ; this is within it.
                let skew = i64::try_from(chance.below(SKEW_MS)).expect("it is small");
                if !chance.is_calm() && chance.percent(20) {
                    worker.ports.clock().set_ahead(skew);
                }
                if scene.terms.gone && !chance.is_calm() && chance.percent(15) {
                    chance.note(|| "its execution is gone".to_owned());
                    scene.world.upstream.behave([Behaviour::Status(404)]);
                }
                if chance.comes(Site::LeaseExpired) {
                    worker.freeze();
                    sim.sleep(caps::LEASE_MS + chance.below(20_000)).await;
                    worker.thaw();
                }
            }
        });
    }

    fn asks(&self, machine: &Machine) -> Watched {
        let (there, hooks, chat) = (
            machine.worker.clone(),
            self.product(machine),
            self.terms.chat,
        );
        let mut input = self.terms.input(machine.deployment);
        input.terms.view = self.chance.one_of(&[ViewKind::Ndjson, ViewKind::Sse]);
        let view = input.terms.view;
        let asking = async move {
            let (ports, store) = (&there.ports, &there.store);
            match chat {
                true => run_supervised_turn(ports, store, input, there.chat(), hooks).await,
                false => run_supervised_turn(ports, store, input, there.sandbox(), hooks).await,
            }
        };
        let stay = match self.chance.percent(20) {
            true => Stay::Pieces(self.chance.place(4)),
            false => Stay::ToTheEnd,
        };
        self.watch(Reading::of(&machine.worker, stay, asking), 0, view)
    }

    fn follows(&self, machine: &Machine) -> Watched {
        let there = machine.worker.clone();
        let view = self.chance.one_of(&[ViewKind::Ndjson, ViewKind::Sse]);
        // Any line that it has, of whichever row; the first one often.
        let known = self.laws.lines();
        let last = match self.chance.percent(30) {
            true => 0,
            false => self.chance.below(known),
        };
        let (after, id) = match view {
            ViewKind::Ndjson => (Some(last.to_string()), None),
            ViewKind::Sse => (None, Some(last.to_string())),
        };
        let start = view.start(after.as_deref(), id.as_deref());
        let start = start.expect("it is a number");
        assert_eq!(start, Start::Line(last + 1));
        let lines = async move {
            let (ports, store) = (&there.ports, &there.store);
            follow_turn(ports, store, &caller(), 0, start, true, view.view()).await
        };
        self.watch(Reading::of_lines(&machine.worker, lines), last + 1, view)
    }

    fn is_accepted(&self) -> bool {
        block_on(self.world.durable().run(RUN)).is_ok_and(|run| run.is_some())
    }

    /// A client that asks until it has read the end; a quiet one asks until it was accepted.
    pub fn ask(self: &Rc<Self>) {
        let (scene, sim) = (Rc::clone(self), self.world.sim.clone());
        self.world.sim.spawn(Life::OUTSIDE, async move {
            let chance = &scene.chance;
            while !scene.done.get() {
                if scene.terms.quiet && scene.is_accepted() {
                    return;
                }
                let watched = scene.asks(&scene.one());
                let patience = chance.within(200, 60_000);
                scene.wait_for(&watched, patience).await;
                sim.sleep(chance.within(50, 2_000)).await;
            }
        });
    }

    /// Another one that comes back with a line that it has.
    pub fn read(self: &Rc<Self>) {
        let (scene, sim) = (Rc::clone(self), self.world.sim.clone());
        self.world.sim.spawn(Life::OUTSIDE, async move {
            let chance = &scene.chance;
            while !scene.done.get() {
                sim.sleep(chance.within(300, 15_000)).await;
                if scene.laws.lines() > 0 {
                    let watched = scene.follows(&scene.one());
                    let patience = chance.within(200, 60_000);
                    scene.wait_for(&watched, patience).await;
                }
            }
        });
    }

    async fn wait_for(&self, watched: &Watched, patience: u64) {
        let reading = &watched.reading;
        let mut waited = 0;
        while waited < patience && !reading.has_ended() && !reading.was_cut() {
            self.world.sim.sleep(LOOK_MS).await;
            waited += LOOK_MS;
        }
        let brief = reading.brief();
        let read = reading.received();
        self.chance.note(|| format!("read: {brief} {read}"));
        if reading.has_ended() && self.laws.is_over() {
            self.done.set(true);
        }
    }

    /// Somebody cancels, until it is noted or the turn is over.
    pub fn cancel(self: &Rc<Self>) {
        if !self.terms.cancelled {
            return;
        }
        let refused = [500, 503, 429, 408].map(|status| self.chance.percent(50).then_some(status));
        let times = self.chance.one_of(&[0, 1, 3]);
        let statuses: Vec<u16> = refused.into_iter().flatten().cycle().take(times).collect();
        self.laws.refuses(statuses.len());
        self.world.upstream.answer_cancels(statuses);
        let (scene, sim) = (Rc::clone(self), self.world.sim.clone());
        self.world.sim.spawn(Life::OUTSIDE, async move {
            sim.sleep(scene.chance.within(100, 60_000)).await;
            while !scene.laws.is_over() {
                let Machine { worker, .. } = scene.one();
                let there = worker.clone();
                let outcome = worker.run(async move {
                    let (ports, store) = (&there.ports, &there.store);
                    cancel_turn(ports, store, &caller(), 0, Some("enough")).await
                });
                sim.sleep(scene.chance.within(500, 5_000)).await;
                if let Some(Ok(_)) = outcome.take() {
                    scene.chance.note(|| "cancelled".to_owned());
                    return;
                }
            }
        });
    }

    /// The cron: each minute some machine goes on with what D1 says is due.
    pub fn sweep(self: &Rc<Self>) {
        let (scene, sim) = (Rc::clone(self), self.world.sim.clone());
        self.world.sim.spawn(Life::OUTSIDE, async move {
            loop {
                sim.sleep(MINUTE_MS).await;
                for run_id in scene.world.sweep() {
                    scene.chance.note(|| format!("swept: {run_id}"));
                    scene.resume(run_id);
                }
            }
        });
        let (scene, sim) = (Rc::clone(self), self.world.sim.clone());
        self.world.sim.spawn(Life::OUTSIDE, async move {
            while !scene.chance.is_calm() {
                sim.sleep(scene.chance.within(1_000, 10_000)).await;
                if scene.laws.lines() > 0 && scene.chance.comes(Site::StaleSweep) {
                    scene.resume(RUN.to_owned());
                }
            }
        });
    }

    fn resume(&self, run_id: String) {
        let machine = self.one();
        let (there, hooks, chat) = (
            machine.worker.clone(),
            self.product(&machine),
            self.terms.chat,
        );
        let terms = self.terms.input(machine.deployment).terms;
        machine.worker.run(async move {
            let (ports, store) = (&there.ports, &there.store);
            let resumed = match chat {
                true => resume_turn(ports, store, &run_id, there.chat(), hooks, &terms).await,
                false => resume_turn(ports, store, &run_id, there.sandbox(), hooks, &terms).await,
            };
            // A store that can't be reached is asked again in a minute.
            drop(resumed);
        });
    }
}
