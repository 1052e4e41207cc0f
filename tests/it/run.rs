//! The durable runner, through its public functions, on stores of every kind and in virtual time.

mod again;
mod codes;
mod crash;
mod durability;
mod leases;
mod limits;
mod places;
mod spaces;
mod steps;
mod waits;
mod weaknesses;

use crate::support::{Ctx, Outcome, Worker, World};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use steadfast::run::manifest::Manifest;
use steadfast::run::{Error, RunEnd, RunMode, RunOptions, run_durable};
use steadfast::store::{Run, Step, Store};

const RUN: &str = "r-1";

fn manifest() -> Manifest {
    let input = serde_json::json!({ "x": 1 });
    Manifest::new("test", "task-1", "unit-test", "test", &input).expect("it is JSON")
}

fn options() -> RunOptions {
    RunOptions::new(RUN, manifest())
}

/// How often each thing was done for real.
#[derive(Clone, Debug, Default)]
struct Done(Rc<RefCell<Vec<String>>>);

impl Done {
    fn note(&self, what: &str) {
        self.0.borrow_mut().push(what.to_owned());
    }

    fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

/// A task's result, which must be there by now.
fn result<T>(outcome: &Outcome<T>) -> T {
    outcome.take().expect("the task came to its end")
}

fn completed<T>(value: T, mode: RunMode) -> Result<RunEnd<T>, Error> {
    Ok(RunEnd::Completed { value, mode })
}

fn stored(world: &World) -> Run {
    let run = futures::executor::block_on(world.durable().run(RUN));
    run.expect("D1 answers").expect("the run is there")
}

fn steps(world: &World) -> Vec<Step> {
    let steps = futures::executor::block_on(world.durable().steps(RUN, 0, 200));
    steps.expect("D1 answers")
}

/// Runs a task in a new life of a Worker until nothing is left to do.
fn at_once<T: 'static, F: Future<Output = T> + 'static>(
    world: &World,
    task: impl FnOnce(Worker) -> F,
) -> T {
    let worker = world.worker();
    let outcome = worker.run(task(worker.clone()));
    world.settle();
    result(&outcome)
}

type Ended<T> = Result<RunEnd<T>, Error>;

/// Runs a body in a new life of a Worker until nothing is left to do.
fn run<T: 'static>(
    world: &World,
    options: RunOptions,
    body: impl AsyncFnOnce(Ctx) -> Result<T, Error> + 'static,
) -> Ended<T> {
    let (_, outcome) = begin(world, options, body);
    world.settle();
    result(&outcome)
}

/// Has a new life of a Worker begin with a body.
fn begin<T: 'static>(
    world: &World,
    options: RunOptions,
    body: impl AsyncFnOnce(Ctx) -> Result<T, Error> + 'static,
) -> (Worker, Outcome<Ended<T>>) {
    let worker = world.worker();
    let own = worker.clone();
    let outcome =
        worker.run(async move { run_durable(&own.ports, &own.store, options, body).await });
    (worker, outcome)
}

/// Tells the run an event, from outside.
fn emit(world: &World, key: &str, payload: &str) {
    let now = world.sim.now();
    let emitted = futures::executor::block_on(world.durable().emit_event(RUN, key, payload, now));
    emitted.expect("the run is open");
}

/// Damages or reads what is stored, as only a test may.
fn execute(world: &World, sql: &'static str) {
    use steadfast::store::{Driver, Statement};
    let statement = Statement {
        sql,
        params: vec![],
    };
    let applied = futures::executor::block_on(world.d1.database().apply(vec![statement]));
    applied.expect("it is SQL");
}

/// A counter that bodies share.
#[derive(Clone, Debug, Default)]
struct Count(Rc<Cell<u32>>);

impl Count {
    fn next(&self) -> u32 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}
