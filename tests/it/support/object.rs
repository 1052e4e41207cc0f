//! A simulated session object: its storage, its alarm, and one life after another.
//!
//! Owns which life is the present one and when the alarm fires. Invariant: whatever asks for the
//! object while it has no life gives it a new one, as the platform does.

use super::client::{Client, Pace};
use super::executor::{Life, Sim};
use super::platform::{SimPlatform, SimPorts, WallClock};
use super::sandbox::Wire;
use super::storage::{D1Driver, ObjectDriver, Storage, StorageFault};
use super::world::World;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use steadfast::api::{Caller, Command};
use steadfast::session::Session;
use steadfast::store::Statement;
use steadfast::store::sqlite::NativeSqlite;

/// The platform gives an alarm up after this many failures in a row.
const ALARM_FAILURES: u32 = 6;
/// Its first wait before it fires a failed alarm again.
const ALARM_RETRY_MS: u64 = 2_000;

/// What becomes of an alarm that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmFate {
    /// It fires so many ms before its time.
    Early(u64),
    /// It fires so many ms after it.
    Late(u64),
    /// It fires, and once more so many ms later.
    Twice(u64),
}

type Fates = Box<dyn FnMut(i64) -> Option<AlarmFate>>;
type Losses = Box<dyn FnMut() -> bool>;

/// One object. Clones share it.
#[derive(Clone)]
pub struct Object(Rc<Inner>);

struct Inner {
    world: World,
    caller: Caller,
    storage: Rc<Storage>,
    clock: WallClock,
    fates: RefCell<Option<Fates>>,
    losses: RefCell<Option<Losses>>,
    alarm_failures: Cell<u32>,
    slowest_alarm_ms: Cell<i64>,
    alarms: Cell<u64>,
    present: RefCell<Option<(Life, Rc<Session<SimPlatform>>)>>,
}

impl Object {
    pub(super) fn new(world: World, caller: Caller) -> Self {
        Object(Rc::new(Inner {
            storage: Storage::new(world.sim.clone()),
            world,
            caller,
            clock: WallClock::default(),
            fates: RefCell::default(),
            losses: RefCell::default(),
            alarm_failures: Cell::new(0),
            slowest_alarm_ms: Cell::new(0),
            alarms: Cell::new(0),
            present: RefCell::default(),
        }))
    }

    /// Asks for something and reads the answer as it comes.
    pub fn ask(&self, command: Command) -> Client {
        self.ask_at(command, Pace::Eager)
    }

    /// Asks for something and reads the answer at this pace.
    pub fn ask_at(&self, command: Command, pace: Pace) -> Client {
        let (life, session) = self.present();
        let client = Client::default();
        let answered = client.clone();
        let (sim, caller) = (self.sim(), self.0.caller.clone());
        let gate = Rc::clone(&self.0.storage);
        self.sim().spawn(life, async move {
            let serving = answered.serve(&sim, &session, &caller, command, pace, gate);
            serving.await;
        });
        client
    }

    /// Its session's key in every store.
    pub fn session_key(&self) -> String {
        self.0.caller.session_key()
    }

    /// Its storage, for tests that look at it.
    pub fn storage(&self) -> NativeSqlite {
        self.0.storage.database()
    }

    /// When its alarm fires.
    pub fn alarm(&self) -> Option<i64> {
        self.0.storage.alarm()
    }

    /// What would survive an end at this instant: its rows and its alarm.
    pub fn durable(&self) -> (NativeSqlite, Option<i64>) {
        self.0.storage.durable()
    }

    /// Moves with everything that its storage takes in, makes durable, or loses.
    pub fn changes(&self) -> u64 {
        self.0.storage.changes()
    }

    /// How many rows it has written so far, those that an end took back included.
    pub fn rows(&self) -> u64 {
        self.0.storage.rows()
    }

    /// Has `choice` say what becomes of each call of its storage from now on.
    pub fn fail_storage(&self, choice: impl FnMut(&[Statement]) -> Option<StorageFault> + 'static) {
        self.0.storage.fail(choice);
    }

    /// Has `fates` say what becomes of each alarm that is set from now on.
    pub fn misfire(&self, fates: impl FnMut(i64) -> Option<AlarmFate> + 'static) {
        self.0.fates.replace(Some(Box::new(fates)));
    }

    /// Has `losses` say of each alarm that is due from now on whether the platform drops it.
    pub fn lose_alarms(&self, losses: impl FnMut() -> bool + 'static) {
        self.0.losses.replace(Some(Box::new(losses)));
    }

    fn is_lost(&self) -> bool {
        let mut losses = self.0.losses.borrow_mut();
        losses.as_mut().is_some_and(|losses| losses())
    }

    /// Whether the platform has dropped its alarm after too many failures.
    pub fn has_given_up(&self) -> bool {
        self.0.alarm_failures.get() >= ALARM_FAILURES
    }

    /// Whether none of its runs is open.
    pub fn is_at_rest(&self) -> bool {
        let dump = self.dump();
        let last = dump.runs.last();
        last.is_none_or(|(run, _, _)| run.state.status.is_terminal())
    }

    /// What its machine's clock shows.
    pub fn now(&self) -> i64 {
        self.0.clock.shown(&self.sim())
    }

    /// The clock of its machine.
    pub fn clock(&self) -> &WallClock {
        &self.0.clock
    }

    /// Its present life, if it has one.
    pub fn life(&self) -> Option<Life> {
        let present = self.0.present.borrow();
        let life = present.as_ref().map(|(life, _)| *life);
        life.filter(|life| !self.sim().is_doomed(*life))
    }

    /// How long an alarm's handler took at most.
    pub fn slowest_alarm_ms(&self) -> i64 {
        self.0.slowest_alarm_ms.get()
    }

    /// How often its alarm's handler was called.
    pub fn alarms(&self) -> u64 {
        self.0.alarms.get()
    }

    /// Ends its life, if it has one; what is durable stays.
    pub fn end(&self) {
        if let Some((life, _)) = self.0.present.take() {
            self.sim().kill(life);
        }
    }

    /// Gives the object a new life at its next call while the present one goes on, as a platform does that
    /// has lost sight of it: until it touches its storage, and for so many ms at most.
    pub fn replace(&self, most_ms: u64) {
        let Some((life, _)) = self.0.present.take() else {
            return;
        };
        self.0.storage.replace(life);
        if let Some(at) = self.alarm() {
            self.wait_for_alarm(at);
        }
        let sim = self.sim();
        self.sim().spawn(Life::OUTSIDE, async move {
            sim.sleep(most_ms).await;
            sim.kill(life);
        });
    }

    /// How many replaced lives have ended where they touched its storage.
    pub fn zombies_ended(&self) -> u64 {
        self.0.storage.touched()
    }

    /// Ends its life and takes its storage and alarm away.
    pub fn lose_storage(&self) {
        self.end();
        self.0.storage.lose();
    }

    fn sim(&self) -> Sim {
        self.0.world.sim.clone()
    }

    /// The present life, or a new one.
    fn present(&self) -> (Life, Rc<Session<SimPlatform>>) {
        let present = self.0.present.borrow().clone();
        if let Some((life, session)) = present
            && !self.sim().is_doomed(life)
        {
            return (life, session);
        }
        let object = Rc::downgrade(&self.0);
        let own: Rc<Cell<Option<Life>>> = Rc::default();
        let known = Rc::clone(&own);
        let life = self.sim().live(move || {
            let object = Object(object.upgrade().expect("an object outlives its lives"));
            let storage = &object.0.storage;
            if known.get().is_some_and(|life| storage.is_replaced(life)) {
                return;
            }
            storage.roll_back();
            if let Some(at) = object.alarm() {
                object.wait_for_alarm(at);
            }
        });
        own.set(Some(life));
        let session = Session::new(self.platform(life));
        self.0.present.replace(Some((life, Rc::clone(&session))));
        (life, session)
    }

    fn platform(&self, life: Life) -> SimPlatform {
        let world = &self.0.world;
        SimPlatform {
            ports: SimPorts {
                sim: self.sim(),
                life,
                clock: self.0.clock.clone(),
                log: Rc::clone(&world.log),
            },
            object: ObjectDriver {
                sim: self.sim(),
                life,
                plan: world.plan.clone(),
                group: Rc::default(),
                storage: Rc::clone(&self.0.storage),
            },
            d1: D1Driver {
                life,
                plan: world.plan.clone(),
                d1: world.d1.clone(),
                gate: Some(Rc::clone(&self.0.storage)),
            },
            wire: Wire::new(self.sim(), life, world.plan.clone(), world.upstream.clone()),
            alarm: AlarmSlot(Rc::downgrade(&self.0)),
            vars: Rc::clone(&world.vars),
            app: world.own.of(life),
        }
    }

    /// Gives it the storage and the alarm that an earlier release left.
    pub fn restore(&self, batch: Vec<Statement>, alarm: Option<i64>) {
        self.0.storage.restore(batch, alarm);
        if let Some(at) = alarm {
            self.wait_for_alarm(at);
        }
    }

    /// Fires its alarm later than it was set for, as a platform may.
    pub fn delay_alarm(&self, at: i64) {
        self.set_alarm(at);
    }

    fn set_alarm(&self, at: i64) {
        self.0.storage.set_alarm(Some(at));
        self.wait_for_alarm(at);
    }

    fn wait_for_alarm(&self, at: i64) {
        let object = self.clone();
        let fate = match &mut *self.0.fates.borrow_mut() {
            Some(fates) => fates(at),
            None => None,
        };
        let wait = u64::try_from(at.saturating_sub(self.now())).unwrap_or(0);
        let wait = match fate {
            Some(AlarmFate::Early(ms)) => wait.saturating_sub(ms),
            Some(AlarmFate::Late(ms)) => wait + ms,
            Some(AlarmFate::Twice(_)) | None => wait,
        };
        self.sim().spawn(Life::OUTSIDE, async move {
            object.sim().sleep(wait).await;
            // It may have been set anew meanwhile, or fired.
            if object.alarm() != Some(at) {
                return;
            }
            if object.is_lost() {
                return object.0.storage.set_alarm(None);
            }
            object.fire();
            if let Some(AlarmFate::Twice(ms)) = fate {
                object.sim().sleep(ms).await;
                object.handle_alarm();
            }
        });
    }

    fn fire(&self) {
        self.0.storage.take_alarm();
        self.handle_alarm();
    }

    fn handle_alarm(&self) {
        self.0.alarms.set(self.0.alarms.get() + 1);
        let (life, session) = self.present();
        let firing = Firing {
            object: self.clone(),
            since: self.sim().now(),
            handled: Cell::new(false),
        };
        self.sim().spawn(life, async move {
            firing.handled.set(session.on_alarm().await.is_ok());
        });
    }
}

/// An alarm's handler at work; one that fails, or whose life ends, is fired again.
struct Firing {
    object: Object,
    since: i64,
    handled: Cell<bool>,
}

impl Drop for Firing {
    fn drop(&mut self) {
        let object = &self.object.0;
        let took = self.object.sim().now() - self.since;
        object
            .slowest_alarm_ms
            .set(object.slowest_alarm_ms.get().max(took));
        if self.handled.get() {
            object.alarm_failures.set(0);
            if object.storage.alarm().is_none() {
                object.storage.set_alarm(None);
            }
            return;
        }
        let failures = object.alarm_failures.get();
        let fired = object
            .storage
            .alarm()
            .is_none_or(|at| at <= self.object.now());
        if failures < ALARM_FAILURES && fired {
            object.alarm_failures.set(failures + 1);
            let wait = ALARM_RETRY_MS << failures;
            let at = self.object.sim().now().saturating_add_unsigned(wait);
            self.object.set_alarm(at);
        }
    }
}

/// The alarm of an object, as a life sets it.
pub struct AlarmSlot(Weak<Inner>);

impl AlarmSlot {
    fn object(&self) -> Object {
        Object(self.0.upgrade().expect("an object outlives its lives"))
    }

    /// When it fires.
    pub fn at(&self) -> Option<i64> {
        self.object().alarm()
    }

    /// Replaces it.
    pub fn set(&self, at: i64) {
        self.object().set_alarm(at);
    }
}
