//! A plain Worker: one life over the world's shared D1, without an object.
//!
//! Owns nothing that lasts; whatever it does is in D1.

use super::executor::Life;
use super::platform::{SimPorts, WallClock};
use super::sandbox::Wire;
use super::storage::D1Driver;
use super::world::World;
use futures::executor::block_on;
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use steadfast::run::RunContext;
use steadfast::ship::Timed;
use steadfast::store::{Section, SqlStore, Store};
use steadfast::upstream::{OpenAiChat, Sandbox};

/// One life of a Worker.
#[derive(Clone)]
pub struct Worker {
    world: World,
    life: Life,
    /// Its time, chance and tasks.
    pub ports: SimPorts,
    /// Its store.
    pub store: WorkerStore,
}

/// D1 as a Worker has it: no call of it is waited for without end.
pub type WorkerStore = SqlStore<Timed<SimPorts, D1Driver>>;

/// What a durable body of a Worker is given.
pub type Ctx<W = steadfast::run::NoWorkspace> = RunContext<SimPorts, WorkerStore, W>;

/// What a task came to, once it has.
pub type Outcome<T> = Rc<RefCell<Option<T>>>;

impl World {
    /// A Worker that has just come to life.
    pub fn worker(&self) -> Worker {
        let store = SqlStore::new(self.d1.database(), Section::D1);
        block_on(store.migrate(self.sim.now())).expect("D1 takes the schema");
        let life = self.sim.live(|| {});
        let ports = SimPorts {
            sim: self.sim.clone(),
            life,
            clock: WallClock::default(),
            log: Rc::clone(&self.log),
        };
        let driver = D1Driver {
            life,
            plan: self.plan.clone(),
            d1: self.d1.clone(),
            gate: None,
        };
        Worker {
            store: SqlStore::new(Timed::new(ports.clone(), driver), Section::D1),
            ports,
            world: self.clone(),
            life,
        }
    }
}

impl Worker {
    /// Starts a task of this life.
    pub fn run<T: 'static>(&self, task: impl Future<Output = T> + 'static) -> Outcome<T> {
        let outcome: Outcome<T> = Rc::default();
        let told = Rc::clone(&outcome);
        self.world.sim.spawn(self.life, async move {
            let value = task.await;
            told.replace(Some(value));
        });
        outcome
    }

    /// The world's sandbox, as this life reaches it.
    pub fn sandbox(&self) -> Sandbox<Wire> {
        Sandbox::new(self.wire(), "http://upstream.test", None)
    }

    /// The world's chat completions API, as this life reaches it.
    pub fn chat(&self) -> OpenAiChat<Wire> {
        OpenAiChat::new(self.wire(), "http://upstream.test", None)
    }

    fn wire(&self) -> Wire {
        let world = &self.world;
        Wire::new(
            world.sim.clone(),
            self.life,
            world.plan.clone(),
            world.upstream.clone(),
        )
    }

    /// Its life.
    pub const fn life(&self) -> Life {
        self.life
    }

    /// Stops it where it stands, as a signal stops a process.
    pub fn freeze(&self) {
        self.world.sim.freeze(self.life);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.world.sim.thaw(self.life);
    }

    /// Ends it.
    pub fn end(&self) {
        self.world.sim.kill(self.life);
    }
}
