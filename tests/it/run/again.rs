//! The second page, the second wait, the second death: what a run's first time does not show.
//!
//! Owns long runs, recovered at several places, and budgets that neither waits nor deaths may eat.

use super::{Done, RUN, begin, completed, emit, options, result, run, stored};
use crate::support::{Ctx, Fault, Outcome, Worker, World};
use futures::executor::block_on;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::rc::Rc;
use steadfast::ports::Timer;
use steadfast::run::{
    DurableContext, Error, RetryPolicy, RunEnd, RunMode, Scope, StepError, StepOptions, Stop, Waits,
};
use steadfast::store::{Status, Step, Store};

/// Longer than a lease.
const LEASE_OVER_MS: u64 = 31_000;

/// A worker that its own steps may end.
type Current = Rc<RefCell<Option<Worker>>>;

/// Takes the worker along with the step that is under way.
async fn die<T>(current: &Current) -> T {
    let worker = current.borrow().clone();
    worker.expect("it began").end();
    pending().await
}

fn start<T: 'static>(
    world: &World,
    current: &Current,
    body: impl AsyncFnOnce(Ctx) -> Result<T, Error> + 'static,
) -> Outcome<Result<RunEnd<T>, Error>> {
    let (worker, outcome) = begin(world, options().timeout_ms(10_000_000), body);
    current.replace(Some(worker));
    world.run_for(120_000);
    outcome
}

fn all_steps(world: &World) -> Vec<Step> {
    block_on(world.durable().steps(RUN, 0, 1_000)).expect("D1 answers")
}

/// The keys that were given out, by step: no two steps have one, and none has two.
#[derive(Clone, Default)]
struct Keys(Rc<RefCell<BTreeMap<String, String>>>);

impl Keys {
    fn give(&self, step: &str, scope: &Scope) {
        let mut keys = self.0.borrow_mut();
        let key = scope.idempotency_key.clone();
        let owner = keys.entry(key).or_insert_with(|| step.to_owned());
        assert_eq!(owner, step, "two steps share a key");
    }

    fn all(&self) -> Vec<String> {
        let keys = self.0.borrow();
        let owners: BTreeSet<&String> = keys.values().collect();
        assert_eq!(owners.len(), keys.len(), "a step has two keys: {keys:?}");
        keys.keys().cloned().collect()
    }
}

/// 230 steps: every third has a name, the others their place. A worker dies within each step of `cuts` once.
#[test]
fn a_run_of_many_pages_goes_on_wherever_its_workers_die() {
    const STEPS: u64 = 230;
    let cuts = [0, 31, 32, 33, 64, 65, 129, 200, 229];
    let world = World::new(0);
    let (current, keys, done) = (Current::default(), Keys::default(), Done::default());
    let died: Rc<RefCell<BTreeSet<u64>>> = Rc::default();
    let body = || {
        let (current, keys, done) = (Rc::clone(&current), keys.clone(), done.clone());
        let died = Rc::clone(&died);
        async move |ctx: Ctx| {
            let mut sum = 0;
            for n in 0..STEPS {
                let name = format!("step-{n}");
                let work = async |scope: Scope| {
                    keys.give(&name, &scope);
                    if cuts.contains(&n) && died.borrow_mut().insert(n) {
                        return die(&current).await;
                    }
                    done.note(&name);
                    Ok(n)
                };
                sum += match n % 3 {
                    0 => ctx.named_step(name.as_str(), work).await?,
                    _ => ctx.step(name.as_str(), work).await?,
                };
            }
            Ok(sum)
        }
    };
    for _ in cuts {
        let outcome = start(&world, &current, body());
        assert!(outcome.borrow().is_none(), "its worker died");
        world.run_for(LEASE_OVER_MS);
    }
    let outcome = start(&world, &current, body());
    assert_eq!(result(&outcome), completed(26_335, RunMode::Resumed));
    let expected: Vec<String> = (0..STEPS).map(|n| format!("step-{n}")).collect();
    assert_eq!(done.all(), expected, "each was done once, in order");
    assert_eq!(keys.all().len(), 230);
    let steps = all_steps(&world);
    assert_eq!(steps.len(), 230);
    for step in &steps {
        let name = step.detail.name.as_deref().unwrap_or(&step.intent);
        let n = name.strip_prefix("step-").and_then(|n| n.parse().ok());
        let attempts = if cuts.contains(&n.expect("it has a number")) {
            2
        } else {
            1
        };
        assert_eq!(
            (step.attempts, step.status.as_str()),
            (attempts, "completed"),
            "{name}"
        );
    }
    let before = stored(&world);
    let outcome = start(&world, &current, body());
    assert_eq!(result(&outcome), completed(26_335, RunMode::Replayed));
    assert_eq!(done.all().len(), 230);
    assert_eq!((stored(&world), all_steps(&world)), (before, steps));
}

#[test]
fn no_two_steps_of_a_run_share_an_idempotency_key() {
    let world = World::new(0);
    let keys = Keys::default();
    let given = keys.clone();
    let ended = run(&world, options(), async move |ctx| {
        let give = |step: &'static str| {
            let given = given.clone();
            async move |scope: Scope| {
                given.give(step, &scope);
                Ok(())
            }
        };
        ctx.step("one", give("place 0")).await?;
        ctx.step("one", give("place 1")).await?;
        ctx.named_step("1", give("name 1")).await?;
        ctx.named_step("0", give("name 0")).await?;
        ctx.named_step("one", give("name one")).await?;
        let again = ctx.named_step("one", give("again")).await;
        let placed = ctx.named_step("#1", give("no name")).await;
        let codes =
            [again, placed].map(|refused| refused.expect_err("it is refused").code().to_string());
        Ok(codes.join(" "))
    });
    assert_eq!(
        ended,
        completed("duplicate_step invalid_id".to_owned(), RunMode::Fresh)
    );
    assert_eq!(
        keys.all(),
        ["r-1/#0", "r-1/#1", "r-1/0", "r-1/1", "r-1/one"]
    );
}

/// A run of 10 s works for 3 s, waits an hour for an event, works for 3 s, waits two hours for a time, and
/// works once more. Another worker goes on behind each wait, and another key's event comes in the first.
#[test]
fn two_waits_add_up_and_neither_counts() {
    for (last_ms, dies_waiting, expected) in [
        (3_000, false, None),
        (3_000, true, None),
        (4_500, false, Some(Stop::TimedOut)),
        (4_500, true, Some(Stop::TimedOut)),
    ] {
        let world = World::new(0);
        let ports = world.worker().ports;
        let body = || {
            let ports = ports.clone();
            async move |ctx: Ctx| {
                let work = |ms| {
                    let ports = ports.clone();
                    async move |_: Scope| {
                        ports.sleep(ms).await;
                        Ok(())
                    }
                };
                ctx.step("one", work(3_000)).await?;
                let began = ctx.now().await?;
                let approved: bool = ctx.await_event("approval", Some(7_200_000)).await?;
                ctx.step("two", work(3_000)).await?;
                ctx.sleep_until(began + 3_600_000 + 7_200_000).await?;
                ctx.step("three", work(last_ms)).await?;
                Ok(approved)
            }
        };
        let waits = match dies_waiting {
            true => Waits::Poll {
                interval_ms: 60_000,
                most_ms: 20_000_000,
            },
            false => Waits::Suspend,
        };
        let options = || options().timeout_ms(10_000).waits(waits);
        let wait = |ms: u64, at_its_end: &dyn Fn()| {
            let (worker, outcome) = begin(&world, options(), body());
            world.run_for(ms);
            assert_eq!(stored(&world).state.status, Status::Suspended);
            worker.end();
            assert!(dies_waiting || outcome.borrow().is_some());
            world.run_for(LEASE_OVER_MS);
            at_its_end();
        };
        wait(1_800_000, &|| emit(&world, "other", "1"));
        // Who looks for that finds nothing of its own, and the deadline where it was.
        wait(1_800_000, &|| emit(&world, "approval", "true"));
        wait(7_000_000, &|| {});
        world.run_for(300_000);
        let ended = run(&world, options(), body());
        match expected {
            None => assert_eq!(ended, completed(true, RunMode::Resumed)),
            Some(stop) => assert_eq!(ended, Err(Error::Stopped(stop))),
        }
    }
}

#[test]
fn deaths_eat_no_retries_and_failures_do() {
    for (fails, expected) in [(2, None), (3, Some("busy"))] {
        let world = World::new(0);
        let (current, done) = (Current::default(), Done::default());
        let body = || {
            let (current, done) = (Rc::clone(&current), done.clone());
            async move |ctx: Ctx| {
                let step = StepOptions::new("flaky").retry(RetryPolicy::attempts(3));
                ctx.step(step, async |scope| {
                    let failed = done.all().iter().filter(|what| *what == "fails").count();
                    match scope.attempt {
                        1 | 3 => die(&current).await,
                        _ if failed < fails => {
                            done.note("fails");
                            Err(StepError::new("busy", "as told"))
                        }
                        attempt => Ok(attempt),
                    }
                })
                .await
            }
        };
        for _ in 0..2 {
            let outcome = start(&world, &current, body());
            assert!(outcome.borrow().is_none());
            world.run_for(LEASE_OVER_MS);
        }
        let outcome = start(&world, &current, body());
        let ended = result(&outcome);
        match expected {
            None => assert_eq!(ended, completed(5, RunMode::Resumed)),
            Some(code) => assert_eq!(ended.expect_err("it fails").code().to_string(), code),
        }
        let step = &all_steps(&world)[0];
        assert_eq!((step.attempts, step.detail.failures.len()), (5, fails));
    }
}

/// Every call of D1 takes nine seconds around the deadline: the look that finds the event is behind it.
#[test]
fn an_approval_that_came_in_time_counts_though_it_is_seen_late() {
    for (before_ms, expected) in [(1, true), (-1, false)] {
        let world = World::new(0);
        let body = async |ctx: Ctx| match ctx.await_event::<bool>("approval", Some(60_000)).await {
            Err(Error::AwaitEventTimeout { .. }) => Ok(false),
            other => other,
        };
        let waits = Waits::Poll {
            interval_ms: 25_000,
            most_ms: 1_000_000,
        };
        let (_, outcome) = begin(&world, options().waits(waits), body);
        world.run_for(30_000);
        let deadline = stored(&world).state.wake_at.expect("it waits");
        let sim = world.sim.clone();
        world.d1.fail(move |_| {
            let is_near = (deadline - 9_000..deadline + 9_000).contains(&sim.now());
            is_near.then_some(Fault::Late(8_900))
        });
        world.sim.run_until(deadline - before_ms);
        emit(&world, "approval", "true");
        world.run_for(120_000);
        assert_eq!(result(&outcome), completed(expected, RunMode::Fresh));
    }
}
