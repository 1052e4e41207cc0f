//! A run whose workers die: at every call of the store, at every await point, with answers lost, and
//! with a worker that was only frozen and goes on.
//!
//! Owns a task of twelve steps, and an outside world that no crash ends and that notes what was done to
//! it. Whatever becomes of the workers, the task comes to one end, and nothing that the store has as
//! done is done again.

use super::{RUN, options};
use crate::support::{Crash, Fault, Life, Moment, Outcome, Worker, World};
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use steadfast::ports::Timer;
use steadfast::run::{
    DurableContext, Error, RetryPolicy, RunEnd, Scope, StepError, StepOptions, Stop, Waits,
    run_durable,
};
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Section, SqlStore, Status, Step, Store};

/// Longer than every scenario: what is not over by then hangs.
const PATIENCE_MS: u64 = 3_600_000;
/// More lives than any scenario plans crashes.
const MOST_LIVES: u32 = 12;
const BRANCHES: u64 = 5;
/// More calls than any scenario makes.
const NEVER: Crash = Crash {
    at: 1 << 40,
    moment: Moment::Before,
};

/// What is done to the world outside, which no crash of a worker takes back.
#[derive(Clone)]
struct Outside(Rc<Noted>);

struct Noted {
    store: SqlStore<NativeSqlite>,
    done: RefCell<Vec<Done>>,
    seen: RefCell<BTreeMap<String, BTreeSet<String>>>,
    failed_once: RefCell<BTreeSet<String>>,
    deadlines: RefCell<BTreeMap<String, i64>>,
}

/// One effect.
#[derive(Clone, Debug)]
struct Done {
    step: String,
    attempt: u32,
    key: String,
    life: u32,
    /// The store had the step's result by then, or a body had got it, which is not before.
    was_recorded: bool,
}

fn name_of(step: &Step) -> String {
    let name = step.detail.name.clone();
    name.unwrap_or_else(|| format!("{}@{}", step.intent, step.index))
}

impl Outside {
    fn new(world: &World) -> Self {
        Outside(Rc::new(Noted {
            store: SqlStore::new(world.d1.database(), Section::D1),
            done: RefCell::default(),
            seen: RefCell::default(),
            failed_once: RefCell::default(),
            deadlines: RefCell::default(),
        }))
    }

    fn steps(&self) -> Vec<Step> {
        let steps = block_on(self.0.store.steps(RUN, 0, 200));
        steps.expect("D1 itself answers")
    }

    fn perform(&self, step: &str, scope: &Scope, life: u32) {
        let recorded = self.steps();
        let was_recorded = recorded.iter().any(|recorded| {
            let is_it = recorded.detail.name.as_deref() == Some(step) || recorded.intent == step;
            is_it && recorded.status == "completed"
        });
        let was_seen = self.0.seen.borrow().contains_key(step);
        self.0.done.borrow_mut().push(Done {
            step: step.to_owned(),
            attempt: scope.attempt,
            key: scope.idempotency_key.clone(),
            life,
            was_recorded: was_recorded || was_seen,
        });
    }

    /// Whether this is the first time that somebody asks.
    fn fails_once(&self, step: &str) -> bool {
        self.0.failed_once.borrow_mut().insert(step.to_owned())
    }

    /// A body got `value`: it must never get another.
    fn saw(&self, what: &str, value: impl Display) {
        let mut seen = self.0.seen.borrow_mut();
        let values = seen.entry(what.to_owned()).or_default();
        values.insert(value.to_string());
    }

    fn sole(&self, what: &str) -> String {
        let seen = self.0.seen.borrow();
        let values = seen.get(what).expect("it was seen");
        assert_eq!(values.len(), 1, "{what}: {values:?}");
        values.first().expect("there is one").clone()
    }

    /// A deadline that stands in the store stands for ever.
    fn check_deadlines(&self, told: &str) {
        let mut deadlines = self.0.deadlines.borrow_mut();
        for step in self.steps() {
            if let Some(deadline) = step.detail.deadline {
                let first = *deadlines.entry(name_of(&step)).or_insert(deadline);
                assert_eq!(first, deadline, "{told}: the deadline of {step:?} moved");
            }
        }
    }
}

/// Emits an event of the run at this time, or as soon as there is a run.
fn emit_at(world: &World, after_ms: u64, key: &'static str, payload: &'static str) {
    let (sim, durable) = (world.sim.clone(), world.durable());
    world.sim.spawn(Life::OUTSIDE, async move {
        sim.sleep(after_ms).await;
        while durable
            .emit_event(RUN, key, payload, sim.now())
            .await
            .is_err()
        {
            sim.sleep(1_000).await;
        }
    });
}

/// The task: now, uuid, five branches, a wait for an event, one for a time, two at once, and a step.
async fn task<C: DurableContext, P: Timer + Clone>(
    ctx: C,
    ports: P,
    outside: Outside,
    life: u32,
) -> Result<String, Error> {
    let now = ctx.now().await?;
    outside.saw("now", now);
    let uuid = ctx.uuid().await?;
    outside.saw("uuid", &uuid);
    let branches: Vec<_> = (0..BRANCHES)
        .map(|n| branch(ctx.clone(), ports.clone(), outside.clone(), life, n))
        .collect();
    let sums: Result<Vec<u64>, Error> = ctx.join(branches).await.into_iter().collect();
    let sum: u64 = sums?.iter().sum();
    outside.saw("sum", sum);
    ctx.emit_event("told", &sum).await?;
    let approval: String = ctx.await_event("approval", Some(3_000_000)).await?;
    outside.saw("approval", &approval);
    ctx.sleep_until(now + 6_000).await?;
    let waits: Vec<_> = (0..2)
        .map(|n| {
            let ctx = ctx.clone();
            async move {
                if n == 0 {
                    ctx.named_event::<u64>("left", "left", Some(3_000_000))
                        .await
                } else {
                    ctx.named_sleep("pause", now + 12_000).await.map(|()| 0)
                }
            }
        })
        .collect();
    let waited: Result<Vec<u64>, Error> = ctx.join(waits).await.into_iter().collect();
    let left: u64 = waited?.iter().sum();
    outside.saw("left", left);
    let charged: u64 = ctx
        .step("charge", async |scope| {
            outside.perform("charge", &scope, life);
            ports.sleep(30).await;
            Ok(sum + left)
        })
        .await?;
    outside.saw("charge", charged);
    Ok(format!("{charged} {approval} {uuid} {now}"))
}

/// A branch; every other one fails the first time it is tried.
async fn branch<C: DurableContext, P: Timer>(
    ctx: C,
    ports: P,
    outside: Outside,
    life: u32,
    n: u64,
) -> Result<u64, Error> {
    let name = format!("branch-{n}");
    let options = StepOptions::new(&name).retry(RetryPolicy::attempts(3));
    let result = ctx
        .named_step(options, async |scope| {
            outside.perform(&name, &scope, life);
            ports.sleep(5 + 17 * ((n * 3) % 5)).await;
            if n % 2 == 1 && outside.fails_once(&name) {
                return Err(StepError::new("busy", "the first time it is"));
            }
            Ok(n + 1)
        })
        .await?;
    outside.saw(&name, result);
    Ok(result)
}

type Ended = Result<RunEnd<String>, Error>;

/// The life of one worker that runs the task.
fn start(world: &World, outside: &Outside, life: u32) -> (Worker, Outcome<Ended>) {
    let worker = world.worker();
    let outcome = worker.run(drive(worker.clone(), outside.clone(), life));
    (worker, outcome)
}

async fn drive(worker: Worker, outside: Outside, life: u32) -> Ended {
    let waits = Waits::Poll {
        interval_ms: 2_500,
        most_ms: 600_000,
    };
    let options = options().waits(waits);
    run_durable(&worker.ports, &worker.store, options, async |ctx| {
        task(ctx, worker.ports.clone(), outside, life).await
    })
    .await
}

fn world(seed: u64) -> (World, Outside) {
    let world = World::new(seed);
    let outside = Outside::new(&world);
    drop(world.durable());
    emit_at(&world, 3_000, "approval", "\"yes\"");
    emit_at(&world, 9_000, "left", "100");
    (world, outside)
}

/// Has life after life run the task until it is over; how many there were.
fn to_the_end(world: &World, outside: &Outside, crashes: &[Crash], told: &str) -> (Ended, u32) {
    let mut crashes = crashes.iter();
    for life in 1..=MOST_LIVES {
        world
            .plan
            .crash_again(crashes.next().copied().unwrap_or(NEVER));
        let (_, outcome) = start(world, outside, life);
        if let Some(ended) = live_on(world, outside, &outcome, told) {
            return (ended, life);
        }
    }
    panic!("{told}: it does not come to its end");
}

/// Runs until this life has ended; how the run ended, when it has.
fn live_on(
    world: &World,
    outside: &Outside,
    outcome: &Outcome<Ended>,
    told: &str,
) -> Option<Ended> {
    let until = world.sim.now().saturating_add_unsigned(PATIENCE_MS);
    let goes_on = || outcome.borrow().is_none() && world.plan.crashed().is_none();
    world.sim.run_while(until, goes_on);
    outside.check_deadlines(told);
    match outcome.take() {
        Some(Err(Error::LeaseHeld { until })) => {
            world.sim.run_until(until);
            None
        }
        Some(Err(Error::Store(_))) => None,
        Some(ended) => Some(ended),
        None => {
            assert!(world.plan.crashed().is_some(), "{told}: it hangs");
            None
        }
    }
}

/// What holds of a run that is over, whatever became of its workers.
fn check(world: &World, outside: &Outside, ended: &Ended, lives: u32, told: &str) {
    check_values(world, outside, ended, told);
    let run = super::stored(world);
    assert!(run.epoch <= u64::from(lives), "{told}: epoch {}", run.epoch);
    let steps = outside.steps();
    assert_eq!(steps.len(), 12, "{told}: {steps:?}");
    let told_event = block_on(world.durable().event(RUN, "told"));
    assert_eq!(told_event.unwrap().unwrap().payload, "15", "{told}");
    let done = outside.0.done.borrow();
    for step in &steps {
        assert_eq!(step.status, "completed", "{told}: {step:?}");
        let name = step.detail.name.clone().unwrap_or(step.intent.clone());
        let of_step: Vec<&Done> = done.iter().filter(|done| done.step == name).collect();
        for done in &of_step {
            assert!(!done.was_recorded, "{told}: done again: {done:?}");
            assert_eq!(done.key, of_step[0].key, "{told}: {done:?}");
            assert!(done.attempt <= step.attempts, "{told}: {done:?}");
        }
        let attempts = of_step.windows(2);
        for pair in attempts {
            assert!(pair[0].attempt < pair[1].attempt, "{told}: {pair:?}");
        }
        assert_eq!(of_step.is_empty(), !is_performed(&name), "{told}: {name}");
        let fails = ["branch-1", "branch-3"].contains(&name.as_str());
        assert!(
            step.detail.failures.len() <= usize::from(fails),
            "{told}: {step:?}"
        );
    }
    let keys: BTreeSet<&String> = done.iter().map(|done| &done.key).collect();
    assert_eq!(keys.len(), 6, "{told}: keys of their own");
}

/// Whoever got something got the same, and the result is made of it.
fn check_values(world: &World, outside: &Outside, ended: &Ended, told: &str) {
    let (now, uuid) = (outside.sole("now"), outside.sole("uuid"));
    let expected = format!("115 yes {uuid} {now}");
    match ended {
        Ok(RunEnd::Completed { value, .. }) => assert_eq!(*value, expected, "{told}"),
        other => panic!("{told}: {other:?}"),
    }
    for what in ["sum", "approval", "left", "branch-0", "branch-1"] {
        outside.sole(what);
    }
    let run = super::stored(world);
    assert_eq!(run.state.status, Status::Completed, "{told}");
    assert_eq!(run.state.attempts.len(), 1, "{told}");
}

fn is_performed(name: &str) -> bool {
    name == "charge" || name.starts_with("branch-")
}

#[test]
fn a_run_ends_as_it_would_whichever_call_of_the_store_is_its_workers_last() {
    let mut crashes = 0;
    for (moment, at) in (1..).flat_map(|at| [(Moment::Before, at), (Moment::After, at)]) {
        let (world, outside) = world(0);
        let told = format!("{moment:?} call {at}");
        let (ended, lives) = to_the_end(&world, &outside, &[Crash { at, moment }], &told);
        check(&world, &outside, &ended, lives, &told);
        if lives == 1 {
            break;
        }
        crashes += 1;
        // At every other call whoever takes over dies as well, earlier or later.
        if at % 2 == 0 {
            continue;
        }
        let again = Crash {
            at: 1 + (at * 7) % 40,
            moment: if at % 4 == 1 {
                Moment::Before
            } else {
                Moment::After
            },
        };
        let (world, outside) = self::world(0);
        let told = format!("{told}, then {again:?}");
        let planned = [Crash { at, moment }, again];
        let (ended, lives) = to_the_end(&world, &outside, &planned, &told);
        check(&world, &outside, &ended, lives, &told);
    }
    assert!(crashes > 60, "only {crashes} crashes");
}

#[test]
fn a_run_ends_as_it_would_whichever_await_point_is_its_workers_last() {
    // Each seed polls in an order of its own, and takes every seventh point of it.
    for seed in 1..=3_u64 {
        for poll in (seed..).step_by(7) {
            let (world, outside) = world(seed);
            let told = format!("seed {seed}, poll {poll}");
            world.plan.crash_again(NEVER);
            let (worker, outcome) = start(&world, &outside, 1);
            let until = world.sim.now().saturating_add_unsigned(PATIENCE_MS);
            let goes_on = || outcome.borrow().is_none() && world.sim.polls() < poll;
            world.sim.run_while(until, goes_on);
            if outcome.borrow().is_some() {
                assert!(poll > 100, "only {poll} polls");
                break;
            }
            worker.end();
            let (ended, lives) = to_the_end(&world, &outside, &[], &told);
            check(&world, &outside, &ended, lives + 1, &told);
        }
    }
}

#[test]
fn a_run_ends_in_one_life_whichever_answer_of_the_store_is_lost_or_refused() {
    for fault in [Fault::AnswerLost, Fault::Refused] {
        for at in 1.. {
            let (world, outside) = world(0);
            let told = format!("{fault:?} at call {at}");
            let calls = Cell::new(0);
            world.d1.fail(move |_| {
                calls.set(calls.get() + 1);
                (calls.get() == at).then_some(fault)
            });
            let (ended, lives) = to_the_end(&world, &outside, &[], &told);
            check(&world, &outside, &ended, lives, &told);
            assert_eq!(lives, 1, "{told}");
            if world.d1.calls().len() < at {
                assert!(at > 30, "only {at} calls");
                break;
            }
        }
    }
}

#[test]
fn a_write_that_lands_long_after_its_repeat_undoes_nothing() {
    for at in (1..60).step_by(2) {
        for (late_ms, ends_after) in [(170, 9), (400, 20), (8_000, 60)] {
            let (world, outside) = world(0);
            let told = format!("call {at} {late_ms} ms late, crash {ends_after} calls later");
            let calls = Cell::new(0);
            world.d1.fail(move |_| {
                calls.set(calls.get() + 1);
                (calls.get() == at).then_some(Fault::LostAndLate(late_ms))
            });
            let crash = Crash {
                at: at + ends_after,
                moment: Moment::Before,
            };
            let (ended, lives) = to_the_end(&world, &outside, &[crash], &told);
            check(&world, &outside, &ended, lives, &told);
        }
    }
}

/// A task that can be frozen: it is not polled, and its time goes by.
struct Freezer<F> {
    task: Pin<Box<F>>,
    ice: Rc<Ice>,
}

#[derive(Default)]
struct Ice {
    is_frozen: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Ice {
    fn thaw(&self) {
        self.is_frozen.set(false);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl<F: Future> Future for Freezer<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.ice.is_frozen.get() {
            self.ice.waker.replace(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        self.task.as_mut().poll(cx)
    }
}

/// Freezes a first worker at this poll, until a second one has the run, and done so much of it;
/// false when the run ended before.
fn freeze(seed: u64, poll: u64, second_for_ms: u64, told: &str) -> bool {
    let (world, outside) = world(seed);
    world.plan.crash_again(NEVER);
    let ice = Rc::new(Ice::default());
    let worker = world.worker();
    let frozen = worker.run(Freezer {
        task: Box::pin(drive(worker.clone(), outside.clone(), 1)),
        ice: Rc::clone(&ice),
    });
    let until = world.sim.now().saturating_add_unsigned(PATIENCE_MS);
    world.sim.run_while(until, || {
        frozen.borrow().is_none() && world.sim.polls() < poll
    });
    if frozen.borrow().is_some() {
        return false;
    }
    ice.is_frozen.set(true);
    world.run_for(40_000);
    let run = block_on(world.durable().run(RUN)).expect("D1 answers");
    if run.is_none_or(|run| run.state.status.is_terminal()) {
        // It never had the run, or was just about to hear that it had ended it.
        return true;
    }
    let (_, second) = start(&world, &outside, 2);
    world.run_for(second_for_ms);
    let before = (super::stored(&world), outside.steps());
    let is_over = second.borrow().is_some();
    let thawed_at = world.sim.now();
    ice.thaw();
    world.sim.run_while(until, || frozen.borrow().is_none());
    let ended = frozen.take().expect("it ends");
    let took_ms = world.sim.now() - thawed_at;
    assert_eq!(before.0.epoch, 2, "{told}");
    assert_eq!(ended, Err(Error::Stopped(Stop::LeaseLost)), "{told}");
    assert!(took_ms < 1_000, "{told}: it noticed after {took_ms} ms");
    if is_over {
        let after = (super::stored(&world), outside.steps());
        assert_eq!(
            after, before,
            "{told}: what has lost its lease writes nothing"
        );
    }
    world.sim.run_while(until, || second.borrow().is_none());
    let ended = second.take().expect("the second one ends");
    // What the first one was about to do when it was frozen nobody can take back.
    let begun_first = |done: &mut Done| done.life == 2 || !done.was_recorded;
    outside.0.done.borrow_mut().retain_mut(begun_first);
    check_values(&world, &outside, &ended, told);
    let done = outside.0.done.borrow();
    assert!(
        done.iter().all(|done| !done.was_recorded),
        "{told}: {done:?}"
    );
    true
}

#[test]
fn a_worker_that_was_frozen_past_its_lease_changes_nothing_and_stops() {
    for (seed, second_for_ms) in [(0, 55), (5, 120), (6, 3_000), (7, 60_000)] {
        for poll in (1 + seed..).step_by(11) {
            let told = format!("seed {seed}, poll {poll}, second for {second_for_ms} ms");
            if !freeze(seed, poll, second_for_ms, &told) {
                assert!(poll > 100, "only {poll} polls");
                break;
            }
        }
    }
}
