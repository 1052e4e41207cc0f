//! Runs of earlier releases that lived in D1 alone, under leases that nobody renews any more.
//!
//! Owns plain turns, and durable runs of the library with their bodies as the release had them.

use super::recovered::{HELLO, world};
use super::rows::Rows;
use super::{RUNS, columns};
use crate::support::{Ctx, Reading, Script, Stay, World, input};
use futures::executor::block_on;
use futures::future::{FutureExt, LocalBoxFuture};
use std::cell::RefCell;
use std::rc::Rc;
use steadfast::plain::{TurnInput, TurnTerms, run_supervised_turn};
use steadfast::run::manifest::Manifest;
use steadfast::run::{
    DurableContext, Error, RetryPolicy, RunEnd, RunMode, RunOptions, Scope, StepError, StepKind,
    StepOptions, Workspace, WorkspaceError, run_durable_in,
};
use steadfast::store::Store;
use steadfast::turn::NoHooks;

/// Whatever held one of these runs has lost it by then.
const LEASES_ARE_OVER: i64 = 1_700_000_031_000;
const RUN: &str = "ship-order:42";

#[test]
fn a_plain_turn_is_taken_over_when_its_lease_is_over() {
    let world = world();
    Rows::read(2, "plain").restore_d1(&world);
    world.upstream.restore("acme:s:0", HELLO, 1_700_000_000_140);
    let ask = || {
        let worker = world.worker();
        let own = worker.clone();
        let terms = TurnTerms {
            model: Some("large".to_owned()),
            ..TurnTerms::default()
        };
        let input = TurnInput { terms, ..input() };
        Reading::of(&worker, Stay::ToTheEnd, async move {
            run_supervised_turn(&own.ports, &own.store, input, own.sandbox(), NoHooks).await
        })
    };
    let early = ask();
    world.sim.run_until(LEASES_ARE_OVER);
    assert_eq!((early.brief().as_str(), early.was_cut()), ("joined", true));
    assert_eq!(world.upstream.asked().len(), 0, "the lease was another's");
    let late = ask();
    world.settle();
    let body =
        r#"{"message":"hello","history":[],"model":"small","sessionId":"s","metadata":null}"#;
    let asked = world.upstream.asked();
    let [asked] = &asked[..] else {
        panic!("asked once: {asked:?}")
    };
    assert_eq!(
        (asked.after.as_deref(), asked.body.as_str()),
        (Some("f1"), body)
    );
    assert_eq!(late.brief(), "resumed");
    assert_eq!(late.log(), Script::standard().log("acme", "s", 0));
    assert_eq!(
        columns(&world.d1.database(), RUNS),
        [
            "acme:s:0 | completed | [{\"number\":1,\"reason\":\"submitted\",\"startedAt\":1700000000040}] \
          | 2 | {\"executionId\":\"acme:s:0\",\"attempt\":1} | {\"textUnits\":16} \
          | {\"inputTokens\":7,\"outputTokens\":5} | 14 | - | - | - | d1"
        ]
    );
}

/// A machine that still has the workspace which the release before saved, and what it was asked for.
#[derive(Clone, Default)]
struct Machine(Rc<RefCell<Vec<String>>>);

impl Machine {
    fn note(&self, what: String) {
        self.0.borrow_mut().push(what);
    }

    fn notes(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

impl Workspace for Machine {
    async fn start(&self, key: &str) -> Result<(), WorkspaceError> {
        self.note(format!("start {key}"));
        Ok(())
    }

    async fn resume(&self, key: &str, reference: &str) -> Result<(), WorkspaceError> {
        self.note(format!("resume {key} to {reference}"));
        Ok(())
    }

    async fn checkpoint(&self, key: &str) -> Result<Option<String>, WorkspaceError> {
        self.note(format!("save {key}"));
        Ok(Some(key.to_owned()))
    }

    async fn abort(&self, key: &str) -> Result<(), WorkspaceError> {
        self.note(format!("abort {key}"));
        Ok(())
    }

    async fn cleanup(&self, key: &str) -> Result<(), WorkspaceError> {
        self.note(format!("clean {key}"));
        Ok(())
    }
}

/// Ships an order, with the steps that the release before recorded.
async fn ship(ctx: Ctx<Machine>, machine: Machine) -> Result<String, Error> {
    let did = |what: &str, scope: &Scope| {
        machine.note(format!(
            "{what} {} as {}",
            scope.attempt, scope.idempotency_key
        ));
    };
    let (at, id) = (ctx.now().await?, ctx.uuid().await?);
    let order = serde_json::json!({ "order": 42, "at": 1.5 });
    let charge = StepOptions::new("charge")
        .kind(StepKind::Tool)
        .input(&order);
    let charged: String = ctx
        .step(charge, async |scope| {
            did("charge", &scope);
            Ok(scope.idempotency_key)
        })
        .await?;
    let branches = ["a", "b"].map(|name| {
        let (ctx, did) = (ctx.clone(), &did);
        let branch = async move {
            let step = ctx.named_step(name, async |scope| {
                did(name, &scope);
                Ok(scope.attempt)
            });
            step.await
        };
        branch.boxed_local()
    });
    let branches: Vec<LocalBoxFuture<'_, Result<u32, Error>>> = branches.into();
    let sum: Result<u32, Error> = ctx.join(branches).await.into_iter().sum();
    let sum = sum?;
    let approved: bool = ctx.await_event("approval", Some(60_000)).await?;
    let last = StepOptions::new("ship").retry(RetryPolicy::attempts(2));
    let shipped: String = ctx
        .step(last, async |scope| {
            did("ship", &scope);
            Ok::<_, StepError>(scope.idempotency_key)
        })
        .await?;
    Ok(format!("{at} {id} {charged} {sum} {approved} {shipped}"))
}

/// As the release before asked for it.
fn options() -> RunOptions {
    let input = serde_json::json!({ "order": 42 });
    let manifest = Manifest::new("shop", "ship-order", "Ship an order.", "orders", &input);
    let manifest = manifest.expect("it is JSON").with_scenario("november");
    RunOptions::new(RUN, manifest.with_tag("tenant_id", "acme")).attempts(2)
}

/// Runs the body in a new life of a Worker until nothing is left to do.
fn run(world: &World, machine: &Machine) -> Result<RunEnd<String>, Error> {
    let worker = world.worker();
    let (own, machine) = (worker.clone(), machine.clone());
    let outcome = worker.run(async move {
        let body = async |ctx| ship(ctx, machine.clone()).await;
        run_durable_in(&own.ports, &own.store, machine.clone(), options(), body).await
    });
    world.settle();
    outcome.take().expect("the run came to its end")
}

/// What the body gives: what was recorded, and the last step's own key.
const SHIPPED: &str =
    "1700000000060 5b0e4d7a-91c3-4f26-8a1d-c0de37f9b264 ship-order:42/#2 2 true ship-order:42/#4";

fn check_completed(ended: Result<RunEnd<String>, Error>, expected: RunMode) {
    let Ok(RunEnd::Completed { value, mode }) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!((value.as_str(), mode), (SHIPPED, expected));
}

#[test]
fn a_durable_run_goes_on_behind_what_is_recorded() {
    let world = world();
    Rows::read(2, "library").restore_d1(&world);
    let machine = Machine::default();
    assert_eq!(
        run(&world, &machine),
        Err(Error::LeaseHeld {
            until: 1_700_000_030_000
        })
    );
    assert_eq!(machine.notes(), [] as [&str; 0]);
    world.sim.run_until(LEASES_ARE_OVER);
    let now = world.sim.now();
    let emitted = world.durable();
    let emitted = block_on(emitted.emit_event(RUN, "approval", "true", now));
    emitted.expect("it is open");
    check_completed(run(&world, &machine), RunMode::Resumed);
    let did = [
        "resume ship-order:42:1:resume to ship-order:42:1:pause:b",
        "ship 1 as ship-order:42/#4",
        "save ship-order:42:1:pause:#4",
        "clean ship-order:42:cleanup",
    ];
    assert_eq!(machine.notes(), did);
    check_completed(run(&world, &machine), RunMode::Replayed);
    assert_eq!(machine.notes(), did, "a replay does nothing");
}

#[test]
fn a_failed_run_is_opened_again_and_keeps_what_succeeded() {
    let world = world();
    Rows::read(2, "library-failed").restore_d1(&world);
    let machine = Machine::default();
    check_completed(run(&world, &machine), RunMode::Resumed);
    assert_eq!(
        machine.notes(),
        [
            "resume ship-order:42:2:resume to ship-order:42:1:pause:b",
            "ship 3 as ship-order:42/#4",
            "save ship-order:42:2:pause:#4",
            "clean ship-order:42:cleanup",
        ]
    );
    assert_eq!(
        columns(&world.d1.database(), RUNS),
        [
            "ship-order:42 | completed | [{\"number\":1,\"reason\":\"submitted\",\"startedAt\":1700000000000},\
          {\"number\":2,\"reason\":\"busy\",\"startedAt\":1700000007000}] | 2 \
          | {\"executionId\":\"ship-order:42\",\"attempt\":2} | {\"textUnits\":0} | - | 0 | - | - | - | d1"
        ]
    );
}
