//! The platform of one life of a simulated object.
//!
//! Owns the ports and the bundle that a session is given. A life that has ended does nothing more
//! through any of them.

use super::app::Own;
use super::executor::{Life, Sim, Sleep};
use super::object::AlarmSlot;
use super::sandbox::Wire;
use super::storage::{D1Driver, ObjectDriver};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use steadfast::ports::{Clock, Entropy, Log, Spawn, Timer};
use steadfast::session::Platform;
use steadfast::store::DriverError;

/// Variables that a test may change under a running object.
pub type Vars = Rc<RefCell<BTreeMap<String, String>>>;

/// A machine's clock, which need not be right. Clones share it.
#[derive(Clone, Default)]
pub struct WallClock(Rc<WallClockInner>);

#[derive(Default)]
struct WallClockInner {
    ahead_ms: Cell<i64>,
    stands_at: Cell<Option<i64>>,
}

impl WallClock {
    /// Sets it so far ahead of the world's time, in ms.
    pub fn set_ahead(&self, ms: i64) {
        self.0.ahead_ms.set(ms);
    }

    /// Has it stand still at what it shows, or go on from what is true.
    pub fn stand_still(&self, sim: &Sim, still: bool) {
        let shown = self.shown(sim);
        self.0.stands_at.set(still.then_some(shown));
    }

    pub(super) fn shown(&self, sim: &Sim) -> i64 {
        let running = sim.now().saturating_add(self.0.ahead_ms.get());
        self.0.stands_at.get().unwrap_or(running)
    }
}

/// Time, chance, tasks and the log of one life.
#[derive(Clone)]
pub struct SimPorts {
    pub(super) sim: Sim,
    pub(super) life: Life,
    pub(super) clock: WallClock,
    pub(super) log: Rc<RefCell<Vec<String>>>,
}

impl SimPorts {
    /// The clock of its machine.
    pub const fn clock(&self) -> &WallClock {
        &self.clock
    }
}

impl Clock for SimPorts {
    fn now_ms(&self) -> i64 {
        self.clock.shown(&self.sim)
    }
}

impl Timer for SimPorts {
    fn sleep(&self, ms: u64) -> impl Future<Output = ()> + 'static {
        let sleep: Sleep = self.sim.sleep(ms);
        sleep
    }
}

impl Entropy for SimPorts {
    fn random(&self) -> u128 {
        (u128::from(self.sim.random()) << 64) | u128::from(self.sim.random())
    }
}

impl Spawn for SimPorts {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.sim.spawn(self.life, task);
    }
}

impl Log for SimPorts {
    fn log(&self, line: &str) {
        self.log.borrow_mut().push(line.to_owned());
    }
}

/// One life's surroundings.
pub struct SimPlatform {
    pub(super) ports: SimPorts,
    pub(super) object: ObjectDriver,
    pub(super) d1: D1Driver,
    pub(super) wire: Wire,
    pub(super) alarm: AlarmSlot,
    pub(super) vars: Vars,
    pub(super) app: Own,
}

impl Platform for SimPlatform {
    type Ports = SimPorts;
    type Object = ObjectDriver;
    type Durable = D1Driver;
    type Http = Wire;
    type App = Own;

    fn ports(&self) -> &SimPorts {
        &self.ports
    }

    fn object(&self) -> ObjectDriver {
        self.object.clone()
    }

    fn durable(&self) -> D1Driver {
        self.d1.clone()
    }

    fn network(&self) -> Wire {
        self.wire.clone()
    }

    fn demo_agent(&self) -> Wire {
        self.wire.clone()
    }

    fn app(&self) -> &Own {
        &self.app
    }

    fn var(&self, name: &str) -> Option<String> {
        self.vars.borrow().get(name).cloned()
    }

    async fn alarm(&self) -> Result<Option<i64>, DriverError> {
        Ok(self.alarm.at())
    }

    async fn set_alarm(&self, at: i64) -> Result<(), DriverError> {
        // An alarm is kept with the object's storage, and commits with its other writes.
        self.object.begin_write(|| "alarm".to_owned()).await;
        self.alarm.set(at);
        Ok(())
    }
}
