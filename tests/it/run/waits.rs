//! Waits: suspended, woken, and never begun anew.

use super::{at_once, completed, options, stored};
use crate::support::World;
use futures_executor::block_on;
use steadfast::run::{DurableContext, Error, RunEnd, RunMode, Waits, run_durable};
use steadfast::store::{Status, Store};

#[test]
fn a_run_that_only_waits_is_suspended_until_its_event() {
    let world = World::new(0);
    let run = |waits| {
        at_once(&world, |worker| async move {
            let options = options().waits(waits);
            run_durable(&worker.ports, &worker.store, options, async |ctx| {
                let answer: String = ctx.await_event("approval", Some(600_000)).await?;
                Ok(answer)
            })
            .await
        })
    };
    let began = world.sim.now();
    let suspended = run(Waits::Suspend).unwrap();
    let RunEnd::Suspended { wake_at: Some(at) } = suspended else {
        panic!("{suspended:?}")
    };
    assert!(at >= began + 600_000 && at < began + 601_000);
    assert_eq!(stored(&world).state.status, Status::Suspended);
    assert_eq!(stored(&world).state.wake_at, Some(at));
    // Again and again: the deadline stands.
    assert_eq!(
        run(Waits::Suspend),
        Ok(RunEnd::Suspended { wake_at: Some(at) })
    );
    let now = world.sim.now();
    block_on(
        world
            .durable()
            .emit_event("r-1", "approval", "\"yes\"", now),
    )
    .unwrap();
    assert_eq!(
        run(Waits::Suspend),
        completed("yes".to_owned(), RunMode::Resumed)
    );
}

#[test]
fn a_worker_without_an_object_looks_from_time_to_time() {
    let world = World::new(0);
    let worker = world.worker();
    let outcome = {
        let worker2 = worker.clone();
        worker.run(async move {
            run_durable(&worker2.ports, &worker2.store, options(), async |ctx| {
                let answer: u32 = ctx.await_event("approval", None).await?;
                Ok(answer)
            })
            .await
        })
    };
    world.run_for(10_000);
    assert!(outcome.borrow().is_none());
    assert_eq!(stored(&world).state.status, Status::Suspended);
    let now = world.sim.now();
    block_on(world.durable().emit_event("r-1", "approval", "4", now)).unwrap();
    world.run_for(2_000);
    assert_eq!(outcome.take(), Some(completed(4, RunMode::Fresh)));
}

#[test]
fn a_wait_that_comes_to_its_deadline_fails_for_ever() {
    let world = World::new(0);
    let run = || {
        at_once(&world, |worker| async move {
            run_durable(
                &worker.ports,
                &worker.store,
                options(),
                async |ctx| match ctx.await_event::<u32>("approval", Some(5_000)).await {
                    Err(Error::AwaitEventTimeout { .. }) => Ok(0),
                    other => other,
                },
            )
            .await
        })
    };
    assert_eq!(run(), completed(0, RunMode::Fresh));
    assert_eq!(run(), completed(0, RunMode::Replayed));
}
