//! A deployment on the stage, and the moves that are open to it.
//!
//! Owns the parties: objects with their storages, plain Workers, their clients; and what may happen
//! next. Invariant: the moves of a state follow from it alone.

use super::client::{Client, Stand};
use super::props::{
    D1Driver, ObjectDriver, StagePlatform, StagePorts, Storage, Upstream, Wire, writes,
};
use super::shelf::{Lent, lend};
use super::stage::{Answer, Effect, Health, Life, Stage, digest};
use crate::support::{Script, caller, text_of};
use futures_executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use steadfast::run::{NoHooks, TurnInput, run_supervised_turn};
use steadfast::session::Session;
use steadfast::store::{Driver, DriverError, Section, SqlStore};
use steadfast::upstream::Sandbox;

const BEGINS: i64 = 1_700_000_000_000;
/// A timer as far away as this is not waited for.
const FAR_MS: i64 = 3_600_000;
/// A life that was replaced may go on for so long.
const ZOMBIE_MS: i64 = 30_000;
/// The wait before a failed alarm fires again.
const ALARM_RETRY_MS: i64 = 2_000;

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
    /// Nobody: the alarm alone.
    Alarm,
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
}

/// A move that was made, and of what.
pub type Made = (Move, Option<(Life, String)>);

struct Object {
    storage: Rc<Storage>,
    present: Option<(Life, Rc<Session<StagePlatform>>)>,
    /// The time by its last life's clock when that ended.
    ended_at: i64,
    clients: Vec<Client>,
    firing: Rc<Cell<bool>>,
    lives: u64,
}

/// A deployment.
pub struct World {
    pub(super) stage: Stage,
    pub(super) d1: Lent,
    pub(super) upstream: Rc<Upstream>,
    pub(super) log: Rc<RefCell<Vec<String>>>,
    bounds: RefCell<Bounds>,
    vars: Rc<BTreeMap<&'static str, String>>,
    objects: RefCell<Vec<Object>>,
    /// Clients of plain Workers, and the life that each asked last.
    plain: RefCell<Vec<(Client, TurnInput, Life)>>,
    /// What each life of an object writes to.
    storages: RefCell<BTreeMap<Life, Rc<Storage>>>,
    d1_text: RefCell<Option<u64>>,
    /// Nothing goes wrong any more, and clients of plain Workers read.
    pub(super) settles: Cell<bool>,
    pub(super) trace: RefCell<Vec<Made>>,
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
            settles: Cell::new(false),
            trace: RefCell::default(),
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
            firing: Rc::default(),
            lives: 0,
        });
        for client in clients {
            self.ask(number, &client);
        }
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
        objects.iter().map(|object| Rc::clone(&object.storage)).collect()
    }

    /// Whether an object's alarm is being handled.
    pub fn is_firing(&self, number: usize) -> bool {
        self.objects.borrow()[number].firing.get()
    }

    /// Whether D1 was written since this was asked last.
    pub fn d1_changed(&self) -> bool {
        self.d1_text.borrow().is_none()
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
        digest((
            d1,
            self.stage.state(),
            self.upstream.state(),
            ghosts,
            alarms,
            (bounds.ends, bounds.early, bounds.lost, bounds.leases),
        ))
    }

    /// Whether nothing is under way but timers, and no client will come back by itself.
    pub fn rests(&self) -> bool {
        let alone = self.bounds.borrow().recovery == Recovery::Alarm;
        if alone && self.moves_of_nobody().iter().any(|chosen| matches!(chosen, Move::Ring(_))) {
            return false;
        }
        let waits_for_time = self.stage.ops(|ops| {
            ops.iter()
                .all(|op| matches!(op.effect, Effect::Timer(_)) || self.is_ghost(op.life))
        });
        waits_for_time
            && self
                .clients()
                .iter()
                .all(|client| client.stand() != Stand::Open)
    }

    fn is_ghost(&self, life: Life) -> bool {
        self.stage.health(life) == Health::Dead
    }

    /// What may happen next. A life whose every effect is its own affair goes first, alone: whatever
    /// else happens commutes with all that it may do, so the other orders lead to the same states.
    pub fn moves(&self) -> Vec<Move> {
        let lives = self.lives();
        let busy: Vec<Life> = lives
            .iter()
            .copied()
            .filter(|life| self.has_own_effects_only(*life))
            .collect();
        let chosen = match busy.first() {
            Some(life) => vec![*life],
            None => lives,
        };
        let mut moves = Vec::new();
        for life in &chosen {
            moves.extend(self.moves_of(*life));
        }
        if busy.is_empty() {
            moves.extend(self.moves_of_nobody());
        }
        for life in chosen {
            moves.extend(self.ends_of(life));
        }
        moves
    }

    /// Lives that do something.
    fn lives(&self) -> Vec<Life> {
        let mut lives: Vec<Life> = self
            .stage
            .ops(|ops| ops.iter().map(|op| op.life).collect());
        lives.sort_unstable();
        lives.dedup();
        lives.retain(|life| !self.is_ghost(*life));
        lives
    }

    fn has_own_effects_only(&self, life: Life) -> bool {
        self.stage.ops(|ops| {
            let mut own = ops.iter().filter(|op| op.life == life);
            let mut has_any = false;
            let all = own.all(|op| match op.effect {
                Effect::D1(_) | Effect::Send("cancel") => false,
                Effect::Send(_) | Effect::Chunk | Effect::Sync(_) => {
                    has_any = true;
                    true
                }
                Effect::Timer(_) => true,
            });
            all && has_any
        })
    }

    fn moves_of(&self, life: Life) -> Vec<Move> {
        let now = self.stage.now(life);
        let bounds = self.bounds.borrow();
        self.stage.ops(|ops| {
            let own = || ops.iter().filter(|op| op.life == life);
            let is_timer = |effect: &Effect| matches!(effect, Effect::Timer(_));
            let mut moves = Vec::new();
            for op in own().filter(|op| !is_timer(&op.effect)) {
                moves.push(Move::Grant(op.id));
                if bounds.lost > 0 && matches!(&op.effect, Effect::D1(batch) if writes(batch)) {
                    moves.push(Move::Lose(op.id));
                }
            }
            let waits = if self.stage.has_one_clock() {
                ops.iter()
                    .any(|op| !is_timer(&op.effect) && !self.is_ghost(op.life))
            } else {
                !moves.is_empty()
            };
            let timers = own().filter_map(|op| match op.effect {
                Effect::Timer(at) if at < now + FAR_MS => Some((at, op.id)),
                _ => None,
            });
            if let Some((at, id)) = timers.min()
                && (at <= now || !waits || bounds.early > 0)
            {
                moves.push(Move::Grant(id));
            }
            moves
        })
    }

    /// What happens without any life: late calls, alarms, the end of a lease.
    fn moves_of_nobody(&self) -> Vec<Move> {
        let bounds = self.bounds.borrow();
        let mut moves: Vec<Move> = self.stage.ops(|ops| {
            let ghosts = ops.iter().filter(|op| self.is_ghost(op.life));
            ghosts.map(|op| Move::Grant(op.id)).collect()
        });
        for (number, object) in self.objects.borrow().iter().enumerate() {
            let life = object.present.as_ref().map(|(life, _)| *life);
            let now = life.map_or(object.ended_at, |life| self.stage.now(life));
            let idle = life.is_none_or(|life| {
                let waits = || self.stage.ops(|ops| ops.iter().any(|op| op.life == life));
                self.is_ghost(life) || !waits()
            });
            let is_near = |at: &i64| *at < now + FAR_MS;
            if object.storage.alarm().filter(is_near).is_some_and(|at| at <= now || idle || bounds.early > 0)
            {
                moves.push(Move::Ring(number));
            }
        }
        if bounds.leases > 0 {
            moves.push(Move::LeaseEnds);
        }
        moves
    }

    fn ends_of(&self, life: Life) -> Vec<Move> {
        let bounds = self.bounds.borrow();
        if bounds.ends == 0 {
            return vec![];
        }
        let objects = self.objects.borrow();
        let of_life = objects.iter().find(|object| {
            let present = object.present.as_ref();
            present.is_some_and(|(present, _)| *present == life)
        });
        let mut moves = Vec::new();
        for end in bounds.kinds.iter().copied() {
            match (of_life, end) {
                (Some(object), End::Crash | End::Replaced) => {
                    if self.stage.health(life) == Health::Alive {
                        let borders = object.storage.borders();
                        moves.extend(borders.into_iter().map(|kept| Move::End(life, end, kept)));
                    }
                }
                (Some(_), End::StorageLost | End::Forked) => moves.push(Move::End(life, end, 0)),
                (None, End::Crash) => moves.push(Move::End(life, end, 0)),
                (None, _) => {}
            }
        }
        moves
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
            Move::Ring(_) | Move::End(..) | Move::LeaseEnds => None,
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
                }
                let mut answer = block_on(self.d1.apply(batch));
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
        if self.stage.now(life) < at
            && self.stage.ops(|ops| ops.iter().any(|op| op.life == life))
        {
            let mut bounds = self.bounds.borrow_mut();
            bounds.early = bounds.early.saturating_sub(1);
        }
        self.stage.set_now(life, at);
        self.stage.tell(life, "alarm");
        object.storage.rings();
        object.firing.set(true);
        let firing = Firing {
            storage: Rc::clone(&object.storage),
            firing: Rc::clone(&object.firing),
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
            return self.plain_returns(life);
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
            if !client.is_content() && client.stand() != Stand::Open {
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
        !self.clients().iter().all(Client::is_content)
    }

    /// The move that a world without faults makes next: whatever is asked, in order; then time.
    pub fn ordinary(&self) -> Option<Move> {
        let first = self.stage.ops(|ops| {
            let asked = ops
                .iter()
                .find(|op| !matches!(op.effect, Effect::Timer(_)));
            asked.map(|op| Move::Grant(op.id))
        });
        if first.is_some() {
            return first;
        }
        let mut next: Option<(i64, Move)> = None;
        let mut offer = |at: i64, offered: Move| {
            if next.as_ref().is_none_or(|(known, _)| at < *known) {
                next = Some((at, offered));
            }
        };
        self.stage.ops(|ops| {
            for op in ops {
                if let Effect::Timer(at) = op.effect
                    && at < self.stage.now(op.life) + FAR_MS
                {
                    offer(at, Move::Grant(op.id));
                }
            }
        });
        for (number, object) in self.objects.borrow().iter().enumerate() {
            let life = object.present.as_ref().map(|(life, _)| *life);
            let now = life.map_or(object.ended_at, |life| self.stage.now(life));
            if let Some(at) = object.storage.alarm().filter(|at| *at < now + FAR_MS) {
                offer(at, Move::Ring(number));
            }
        }
        next.map(|(_, chosen)| chosen)
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
    firing: Rc<Cell<bool>>,
    stage: Stage,
    life: Life,
    handled: Cell<bool>,
}

impl Drop for Firing {
    fn drop(&mut self) {
        self.firing.set(false);
        if self.storage.alarm().is_some() || self.stage.health(self.life) != Health::Alive {
            return;
        }
        let again = self.stage.now(self.life) + ALARM_RETRY_MS;
        let at = (!self.handled.get()).then_some(again);
        self.storage.set_alarm(self.stage.polls(), at);
    }
}
