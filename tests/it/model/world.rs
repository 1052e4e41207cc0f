//! A deployment on the stage, and what each move does to it.
//!
//! Owns the parties: objects with their storages, plain Workers, their clients. What may happen next is
//! `moves`. Invariant: a move changes what it names, and what follows is left to the lives.

use super::client::{Client, Stand};
use super::props::{
    D1Driver, ObjectDriver, StagePlatform, StagePorts, Storage, Upstream, Wire, writes,
};
use super::shelf::{Lent, lend};
use super::stage::{Answer, Effect, Health, Life, Stage, digest};
use crate::support::{Script, caller, text_of};
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use steadfast::plain::{TurnInput, run_supervised_turn};
use steadfast::session::Session;
use steadfast::store::{Driver, DriverError, Outcome, Section, SqlStore};
use steadfast::turn::NoHooks;
use steadfast::upstream::Sandbox;

/// When every clock begins, Unix ms.
pub(super) const BEGINS: i64 = 1_700_000_000_000;
/// A life that was replaced may go on for so long.
const ZOMBIE_MS: i64 = 30_000;
/// The wait before a failed alarm fires again.
const ALARM_RETRY_MS: i64 = 2_000;

/// How the statement begins with which a life takes the session over.
const CLAIM: &str = "UPDATE sessions SET birth";

/// How a life may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It ends; any whole groups of its writes stay.
    Crash,
    /// It goes on without its storage, which another life has.
    Replaced,
    /// It ends and its storage is gone.
    StorageLost,
    /// It goes on, and a life with an empty storage has its place.
    Forked,
}

/// Who comes behind an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The clients, at once.
    Clients,
    /// Nobody: the alarm, or the other Worker, is alone.
    Nobody,
}

/// How much may go wrong in one run.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Ends of lives.
    pub ends: u32,
    /// Of these kinds.
    pub kinds: Vec<End>,
    /// Timers that fire while their life, or with one clock any, waits for something else.
    pub early: u32,
    /// Answers of D1 that are lost although it stored what it was sent.
    pub lost: u32,
    /// Leases that end while their holder is at work, each with one more Worker that asks then.
    pub leases: u32,
    /// What one life asks is answered in the order of asking.
    pub in_order: bool,
    /// Who comes behind an end.
    pub recovery: Recovery,
}

/// One thing that may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// An effect happens and is answered.
    Grant(u64),
    /// A call of D1 arrives, its answer does not.
    Lose(u64),
    /// An object's alarm fires.
    Ring(usize),
    /// A life ends; so many of its writes stay.
    End(Life, End, usize),
    /// The time of a lease passes, and another Worker asks.
    LeaseEnds,
    /// The client that held back asks.
    Ask,
}

/// A move that was made, and of what.
pub type Made = (Move, Option<(Life, String)>);

/// An object: its storage and the life that has it.
pub(super) struct Object {
    pub(super) storage: Rc<Storage>,
    pub(super) present: Option<(Life, Rc<Session<StagePlatform>>)>,
    /// The time by its last life's clock when that ended.
    pub(super) ended_at: i64,
    clients: Vec<Client>,
    lives: u64,
}

/// A deployment.
pub struct World {
    pub(super) stage: Stage,
    pub(super) d1: Lent,
    pub(super) upstream: Rc<Upstream>,
    pub(super) log: Rc<RefCell<Vec<String>>>,
    pub(super) bounds: RefCell<Bounds>,
    vars: Rc<BTreeMap<&'static str, String>>,
    pub(super) objects: RefCell<Vec<Object>>,
    /// Clients of plain Workers, and the life that each asked last.
    plain: RefCell<Vec<(Client, TurnInput, Life)>>,
    /// What each life of an object writes to.
    storages: RefCell<BTreeMap<Life, Rc<Storage>>>,
    d1_text: RefCell<Option<u64>>,
    d1_written: Cell<bool>,
    /// A client of the first object that asks once the others have seen something.
    held_back: RefCell<Option<Client>>,
    /// That client deletes the session.
    erases: Cell<bool>,
    /// Nothing goes wrong any more, and clients of plain Workers read.
    pub(super) settles: Cell<bool>,
    pub(super) trace: RefCell<Vec<Made>>,
    /// The lives that took the session over in D1, in order.
    pub(super) claims: RefCell<Vec<Life>>,
}

impl World {
    /// A deployment whose upstream says this.
    pub fn new(script: Script, bounds: Bounds, one_clock: bool) -> Self {
        let vars = [
            ("UPSTREAM", "sandbox,openai-chat"),
            ("UPSTREAM_URL", "http://upstream.test"),
            ("UPSTREAM_MODEL", "small"),
            ("COMMIT_WINDOW_MS", "0"),
        ];
        World {
            stage: Stage::new(BEGINS, one_clock),
            d1: lend(Section::D1),
            upstream: Rc::new(Upstream::new(script)),
            log: Rc::default(),
            bounds: RefCell::new(bounds),
            vars: Rc::new(vars.map(|(name, value)| (name, value.to_owned())).into()),
            objects: RefCell::default(),
            plain: RefCell::default(),
            storages: RefCell::default(),
            d1_text: RefCell::default(),
            d1_written: Cell::new(true),
            held_back: RefCell::default(),
            erases: Cell::new(false),
            settles: Cell::new(false),
            trace: RefCell::default(),
            claims: RefCell::default(),
        }
    }

    /// A new object of the session, with these clients.
    pub fn object(&self, clients: Vec<Client>) {
        let number = self.objects.borrow().len();
        self.objects.borrow_mut().push(Object {
            storage: Rc::default(),
            present: None,
            ended_at: BEGINS,
            clients: clients.clone(),
            lives: 0,
        });
        for client in clients {
            self.ask(number, &client);
        }
    }

    /// This client of the first object asks at any time after the first line was seen.
    pub fn hold_back(&self, client: Client) {
        self.erases.set(client.deletes());
        self.held_back.replace(Some(client));
    }

    /// Who read a session has no reason to come back once it is deleted.
    fn is_erasing(&self) -> bool {
        self.erases.get() && self.held_back.borrow().is_none()
    }

    fn ask_held_back(&self) {
        let client = self.held_back.take().expect("it held back");
        self.objects.borrow_mut()[0].clients.push(client.clone());
        self.ask(0, &client);
    }

    pub(super) fn may_ask(&self) -> bool {
        let has_seen = |client: &Client| !client.log().is_empty();
        self.held_back.borrow().is_some() && self.clients().iter().any(has_seen)
    }

    /// A new plain Worker with a client that asks this.
    pub fn worker(&self, input: TurnInput) {
        let client = Client::new(input.submit.clone());
        let number = self.plain.borrow().len();
        self.plain.borrow_mut().push((client, input, Life::MAX));
        self.ask_plain(number);
    }

    fn ask_plain(&self, number: usize) {
        let (client, input, _) = self.plain.borrow()[number].clone();
        let seed = digest((number, client.asked()));
        let life = self.stage.live(None, seed);
        self.plain.borrow_mut()[number].2 = life;
        let (ports, d1, wire) = self.ports(life);
        let store = SqlStore::new(d1, Section::D1);
        let reads = self.settles.get();
        let upstream = Sandbox::new(wire, "http://upstream.test", None);
        self.stage.spawn(life, async move {
            let turn = run_supervised_turn(&ports, &store, input, upstream, NoHooks);
            client.read_plain(turn, reads).await;
        });
    }

    fn ports(&self, life: Life) -> (StagePorts, D1Driver, Wire) {
        let stage = &self.stage;
        let ports = StagePorts {
            stage: stage.clone(),
            life,
            log: Rc::clone(&self.log),
        };
        let d1 = D1Driver {
            stage: stage.clone(),
            life,
        };
        let wire = Wire {
            stage: stage.clone(),
            life,
            upstream: Rc::clone(&self.upstream),
        };
        (ports, d1, wire)
    }

    fn ask(&self, number: usize, client: &Client) {
        let (life, session) = self.present(number);
        self.stage
            .spawn(life, client.clone().ask_object(session, caller()));
    }

    /// The present life of an object, or a new one.
    fn present(&self, number: usize) -> (Life, Rc<Session<StagePlatform>>) {
        let mut objects = self.objects.borrow_mut();
        let object = &mut objects[number];
        if let Some((life, session)) = &object.present
            && self.stage.health(*life) == Health::Alive
        {
            return (*life, Rc::clone(session));
        }
        object.lives += 1;
        let holds = text_of(&object.storage.database());
        let seed = digest((number, object.lives));
        let life = self.stage.live(Some(object.ended_at), seed);
        let seen: Vec<String> = object.clients.iter().map(Client::log).collect();
        self.stage.tell(life, (holds, object.storage.alarm(), seen));
        let (ports, d1, wire) = self.ports(life);
        self.storages
            .borrow_mut()
            .insert(life, Rc::clone(&object.storage));
        let session = Session::new(StagePlatform {
            object: ObjectDriver {
                stage: self.stage.clone(),
                life,
                storage: Rc::clone(&object.storage),
            },
            ports,
            d1,
            wire,
            vars: Rc::clone(&self.vars),
        });
        object.present = Some((life, Rc::clone(&session)));
        (life, session)
    }

    /// All clients.
    pub fn clients(&self) -> Vec<Client> {
        let objects = self.objects.borrow();
        let of_objects = objects.iter().flat_map(|object| object.clients.clone());
        let plain = self.plain.borrow();
        of_objects
            .chain(plain.iter().map(|(client, ..)| client.clone()))
            .collect()
    }

    /// The storages of all objects.
    pub fn held(&self) -> Vec<Rc<Storage>> {
        let objects = self.objects.borrow();
        objects
            .iter()
            .map(|object| Rc::clone(&object.storage))
            .collect()
    }

    /// Whether D1 was written since this was asked last.
    pub fn d1_changed(&self) -> bool {
        self.d1_written.replace(false)
    }

    /// All that the future follows from.
    pub fn state(&self) -> u64 {
        let text = || digest(text_of(&self.d1));
        let d1 = *self.d1_text.borrow_mut().get_or_insert_with(text);
        let bounds = self.bounds.borrow();
        let ghosts: Vec<String> = self.stage.ops(|ops| {
            let of_dead = ops
                .iter()
                .filter(|op| self.stage.health(op.life) == Health::Dead);
            of_dead.map(|op| format!("{:?}", op.effect)).collect()
        });
        let alarms: Vec<Option<i64>> = self.held().iter().map(|held| held.alarm()).collect();
        // Otherwise its life's own state says it all.
        let objects = self.objects.borrow();
        let empty = objects.iter().filter(|object| {
            let present = object.present.as_ref();
            present.is_none_or(|(life, _)| self.is_ghost(*life))
        });
        let left: Vec<(String, Vec<String>, i64)> = empty
            .map(|object| {
                let logs = object.clients.iter().map(Client::log).collect();
                (text_of(&object.storage.database()), logs, object.ended_at)
            })
            .collect();
        digest((
            d1,
            self.stage.state(),
            self.upstream.state(),
            ghosts,
            alarms,
            left,
            (bounds.ends, bounds.early, bounds.lost, bounds.leases),
            self.held_back.borrow().is_some(),
        ))
    }

    pub(super) fn is_ghost(&self, life: Life) -> bool {
        self.stage.health(life) == Health::Dead
    }

    /// Makes a move.
    pub fn perform(&self, chosen: Move) {
        let described = self.describe(chosen);
        self.trace.borrow_mut().push(described);
        match chosen {
            Move::Grant(id) => self.grant(id, false),
            Move::Lose(id) => {
                self.bounds.borrow_mut().lost -= 1;
                self.grant(id, true);
            }
            Move::Ring(number) => self.ring(number),
            Move::End(life, end, kept) => {
                self.bounds.borrow_mut().ends -= 1;
                self.end(life, end, kept);
            }
            Move::LeaseEnds => {
                self.bounds.borrow_mut().leases -= 1;
                let life = self.plain.borrow()[0].2;
                let input = self.plain.borrow()[0].1.clone();
                let lease_ms = input.terms.lease.lease_ms;
                let over = self.stage.now(life).saturating_add_unsigned(lease_ms);
                self.stage.set_now(life, over);
                self.worker(input);
            }
            Move::Ask => self.ask_held_back(),
        }
        self.stage.bury();
    }

    fn describe(&self, chosen: Move) -> Made {
        let what = match chosen {
            Move::Grant(id) | Move::Lose(id) => self.stage.ops(|ops| {
                let op = ops.iter().find(|op| op.id == id);
                let op = op.expect("a move is of a pending effect");
                let what = match &op.effect {
                    Effect::D1(batch) => {
                        let first = batch.iter().find(|s| !s.sql.starts_with("SELECT"));
                        first.or(batch.first()).map_or("", |s| s.sql).to_owned()
                    }
                    other => format!("{other:?}"),
                };
                Some((op.life, what))
            }),
            Move::Ring(_) | Move::End(..) | Move::LeaseEnds | Move::Ask => None,
        };
        (chosen, what)
    }

    fn grant(&self, id: u64, is_lost: bool) {
        let op = self.stage.take(id);
        let life = op.life;
        match op.effect.clone() {
            Effect::D1(batch) => {
                if writes(&batch) {
                    self.d1_text.replace(None);
                    self.d1_written.set(true);
                }
                let is_claim = batch.iter().any(|s| s.sql.starts_with(CLAIM));
                let mut answer = block_on(self.d1.apply(batch));
                let has_changed = |outcomes: &Vec<Outcome>| outcomes.iter().any(|o| o.changes > 0);
                if is_claim && answer.as_ref().is_ok_and(has_changed) {
                    self.claims.borrow_mut().push(life);
                }
                if is_lost {
                    answer = answer.and(Err(DriverError {
                        message: "as chosen".to_owned(),
                        unknown: true,
                        full: false,
                    }));
                }
                self.stage.tell(life, (op.nth, format!("{answer:?}")));
                op.answer(Answer::D1(answer));
            }
            Effect::Sync(end) => {
                if self.stage.health(life) == Health::Alive {
                    self.storages.borrow()[&life].hardened(end);
                }
                self.stage.tell(life, op.nth);
                op.answer(Answer::Done);
            }
            Effect::Timer(at) => {
                let waits = self.stage.now(life) < at && self.is_busy(life);
                if waits {
                    let mut bounds = self.bounds.borrow_mut();
                    bounds.early = bounds.early.saturating_sub(1);
                }
                match self.stage.health(life) {
                    Health::Replaced(until) if at > until => {
                        self.stage.set_health(life, Health::Dead);
                    }
                    _ => self.stage.set_now(life, at),
                }
                self.stage.tell(life, op.nth);
                op.answer(Answer::Done);
            }
            Effect::Send(_) | Effect::Chunk => {
                self.stage.tell(life, op.nth);
                op.answer(Answer::Done);
            }
        }
    }

    /// Whether something else than time is waited for, where that matters to this life's clock.
    fn is_busy(&self, life: Life) -> bool {
        self.stage.ops(|ops| {
            ops.iter().any(|op| {
                let matters = op.life == life || self.stage.has_one_clock();
                matters && !matches!(op.effect, Effect::Timer(_)) && !self.is_ghost(op.life)
            })
        })
    }

    fn ring(&self, number: usize) {
        let (life, session) = self.present(number);
        let objects = self.objects.borrow();
        let object = &objects[number];
        let at = object.storage.alarm().expect("it is set");
        if self.stage.now(life) < at && self.stage.ops(|ops| ops.iter().any(|op| op.life == life)) {
            let mut bounds = self.bounds.borrow_mut();
            bounds.early = bounds.early.saturating_sub(1);
        }
        self.stage.set_now(life, at);
        self.stage.tell(life, "alarm");
        object.storage.rings();
        let firing = Firing {
            storage: Rc::clone(&object.storage),
            stage: self.stage.clone(),
            life,
            handled: Cell::new(false),
        };
        self.stage.spawn(life, async move {
            firing.handled.set(session.on_alarm().await.is_ok());
        });
    }

    fn end(&self, life: Life, end: End, kept: usize) {
        let number = {
            let objects = self.objects.borrow();
            objects.iter().position(|object| {
                let present = object.present.as_ref();
                present.is_some_and(|(present, _)| *present == life)
            })
        };
        match end {
            End::Crash | End::StorageLost => self.stage.set_health(life, Health::Dead),
            End::Forked => {}
            End::Replaced => {
                let until = self.stage.now(life) + ZOMBIE_MS;
                self.stage.set_health(life, Health::Replaced(until));
            }
        }
        let Some(number) = number else {
            self.stage.bury();
            if self.bounds.borrow().recovery == Recovery::Clients {
                self.plain_returns(life);
            }
            return;
        };
        {
            let mut objects = self.objects.borrow_mut();
            let object = &mut objects[number];
            object.present = None;
            object.ended_at = self.stage.now(life);
            match end {
                End::Crash | End::Replaced => object.storage.keep(kept),
                End::StorageLost => object.storage = Rc::default(),
                // It keeps its own.
                End::Forked => object.storage = Rc::default(),
            }
            if end != End::Crash {
                // The first one's answer may go on coming from the life before, or be all there: then
                // nobody else would ask for a turn that only the lost storage had.
                let client = object.clients[0].another();
                object.clients.push(client);
            }
        }
        self.stage.bury();
        if self.bounds.borrow().recovery == Recovery::Clients {
            self.come_back(number);
        }
    }

    fn plain_returns(&self, life: Life) {
        let number = {
            let plain = self.plain.borrow();
            plain.iter().position(|(_, _, asked)| *asked == life)
        };
        if let Some(number) = number {
            self.ask_plain(number);
        }
    }

    /// Has the clients of an object ask again whose answers are cut or refused.
    pub fn come_back(&self, number: usize) {
        let clients = self.objects.borrow()[number].clients.clone();
        for client in clients {
            let stays_away = client.reads() && self.is_erasing();
            if !stays_away && !client.is_content() && client.stand() != Stand::Open {
                self.ask(number, &client);
            }
        }
    }

    /// Has every client ask again that has not got what it wants; false when all have.
    pub fn all_come_back(&self) -> bool {
        let objects = self.objects.borrow().len();
        for number in 0..objects {
            self.come_back(number);
        }
        let plain: Vec<usize> = {
            let plain = self.plain.borrow();
            let left = plain
                .iter()
                .enumerate()
                .filter(|(_, (client, ..))| !client.is_content() && client.stand() != Stand::Open);
            left.map(|(number, _)| number).collect()
        };
        for number in plain {
            self.ask_plain(number);
        }
        let has = |client: &Client| client.is_content() || (client.reads() && self.is_erasing());
        !self.clients().iter().all(has)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stage.close();
    }
}

/// An alarm's handler at work; one that fails, or whose life ends, is fired again.
struct Firing {
    storage: Rc<Storage>,
    stage: Stage,
    life: Life,
    handled: Cell<bool>,
}

impl Drop for Firing {
    fn drop(&mut self) {
        if self.storage.alarm().is_some() || self.stage.health(self.life) != Health::Alive {
            return;
        }
        let again = self.stage.now(self.life) + ALARM_RETRY_MS;
        let at = (!self.handled.get()).then_some(again);
        self.storage.set_alarm(self.stage.polls(), at);
    }
}
