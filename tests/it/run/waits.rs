//! Waits: suspended, woken, and never begun anew.

use super::{at_once, begin, completed, emit, options, result, run, steps, stored};
use crate::support::{Ctx, Fault, World};
use futures::executor::block_on;
use steadfast::caps;
use steadfast::ports::Timer;
use steadfast::run::{DurableContext, Error, RunEnd, RunMode, Stop, Waits, run_durable};
use steadfast::store::{Section, SqlStore, Status, Store};

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

const SUSPEND: Waits = Waits::Suspend;

#[test]
fn an_event_counts_by_when_it_was_emitted_not_by_when_it_is_seen() {
    for (emitted_after_ms, expected) in [
        (None, "before"),
        (Some(0), "in time"),
        (Some(1), "await_event_timeout"),
    ] {
        let world = World::new(0);
        let body = async |ctx: Ctx| {
            ctx.step("one", async |_| Ok(())).await?;
            match ctx.await_event::<String>("k", Some(60_000)).await {
                Err(Error::AwaitEventTimeout { .. }) => Ok("await_event_timeout".to_owned()),
                other => other,
            }
        };
        if emitted_after_ms.is_none() {
            let (worker, _) = begin(&world, options(), async |ctx| {
                ctx.step("one", async |_| Ok(())).await?;
                std::future::pending::<Result<String, Error>>().await
            });
            world.run_for(1_000);
            worker.end();
            emit(&world, "k", "\"before\"");
            world.run_for(31_000);
        } else {
            let suspended = run(&world, options().waits(SUSPEND), body);
            let Ok(RunEnd::Suspended { wake_at: Some(at) }) = suspended else {
                panic!("{suspended:?}")
            };
            // Nobody runs at the deadline, and for a long time after.
            world.sim.run_until(at + emitted_after_ms.unwrap_or(0));
            emit(&world, "k", "\"in time\"");
            world.run_for(3_600_000);
        }
        let late = options().timeout_ms(u64::MAX).waits(SUSPEND);
        let ended = run(&world, late, body);
        assert_eq!(ended, completed(expected.to_owned(), RunMode::Resumed));
        let ended = run(&world, options(), body);
        assert_eq!(ended, completed(expected.to_owned(), RunMode::Replayed));
    }
}

#[test]
fn one_key_may_be_awaited_twice_and_first_payload_stands() {
    let world = World::new(0);
    let ended = run(&world, options(), async |ctx| {
        let accepted = ctx.emit_event("k", &1).await?;
        let again = ctx.emit_event("k", &2).await?;
        let first: u32 = ctx.await_event("k", None).await?;
        let second: u32 = ctx.await_event("k", Some(1)).await?;
        Ok((accepted, again, first, second))
    });
    assert_eq!(ended, completed((true, false, 1, 1), RunMode::Fresh));
}

#[test]
fn of_two_pending_waits_one_event_ends_one_and_the_other_keeps_its_deadline() {
    let world = World::new(0);
    let body = async |ctx: Ctx| {
        let waits: Vec<_> = [("x", 100_000), ("y", 200_000)]
            .into_iter()
            .map(|(key, timeout_ms)| {
                let ctx = ctx.clone();
                async move {
                    let waited = ctx.named_event::<u32>(key, key, Some(timeout_ms)).await;
                    waited.unwrap_or(0)
                }
            })
            .collect();
        let waited = ctx.join(waits).await;
        ctx.step("end", async |_| Ok(waited.iter().sum::<u32>()))
            .await
    };
    let run = || run(&world, options().timeout_ms(u64::MAX).waits(SUSPEND), body);
    let wake_at = |suspended| match suspended {
        Ok(RunEnd::Suspended { wake_at: Some(at) }) => at,
        other => panic!("{other:?}"),
    };
    let first = wake_at(run());
    assert_eq!(stored(&world).state.wake_at, Some(first));
    // One that nobody waits for makes it due; whoever looks puts that right.
    emit(&world, "z", "3");
    assert!(stored(&world).state.wake_at < Some(first));
    assert_eq!(wake_at(run()), first);
    assert_eq!(stored(&world).state.wake_at, Some(first));
    emit(&world, "x", "1");
    let second = wake_at(run());
    assert_eq!(
        (second, stored(&world).state.wake_at),
        (first + 100_000, Some(second))
    );
    world.sim.run_until(second + 5);
    assert_eq!(run(), completed(1, RunMode::Resumed));
    let statuses: Vec<String> = steps(&world).into_iter().map(|step| step.status).collect();
    assert_eq!(statuses, ["completed", "completed", "failed"]);
}

#[test]
fn a_wait_that_timed_out_begins_anew_in_the_next_attempt_and_keeps_its_failure() {
    let world = World::new(0);
    let run = |attempts| {
        run(&world, options().attempts(attempts), async |ctx: Ctx| {
            ctx.await_event::<u32>("k", Some(5_000)).await
        })
    };
    let timed_out = Err(Error::AwaitEventTimeout {
        key: "k".to_owned(),
    });
    assert_eq!(run(1), timed_out);
    let first = steps(&world)[0].detail.deadline;
    world.run_for(10_000);
    assert_eq!(run(2), timed_out);
    let step = &steps(&world)[0];
    let failures: Vec<_> = step
        .detail
        .failures
        .iter()
        .map(|f| (f.attempt, f.run_attempt))
        .collect();
    assert_eq!(failures, [(1, 1), (2, 2)]);
    assert!(step.detail.deadline > first);
}

#[test]
fn a_worker_that_looks_seldom_gives_up_in_time() {
    let world = World::new(0);
    let polling = Waits::Poll {
        interval_ms: 3_600_000,
        most_ms: 10_000,
    };
    let (_, outcome) = begin(&world, options().waits(polling), async |ctx: Ctx| {
        ctx.await_event::<u32>("k", None).await
    });
    world.run_for(11_000);
    assert_eq!(result(&outcome), Ok(RunEnd::Suspended { wake_at: None }));
    assert_eq!(stored(&world).lease, None);
}

#[test]
fn a_store_that_fails_while_a_body_waits_is_nothing_the_body_sees() {
    let world = World::new(0);
    let polling = Waits::Poll {
        interval_ms: 1_000,
        most_ms: 600_000,
    };
    let body = async |ctx: Ctx| match ctx.await_event::<u32>("k", None).await {
        Ok(value) => Ok(value),
        // A body may take any failure for an answer.
        Err(_) => Ok(0),
    };
    let (_, outcome) = begin(&world, options().waits(polling), body);
    world.run_for(5_000);
    world.d1.fail(|_| Some(Fault::Refused));
    world.run_for(10_000);
    assert!(matches!(result(&outcome), Err(Error::Store(_))));
    world.d1.heal();
    world.run_for(30_000);
    emit(&world, "k", "7");
    assert_eq!(run(&world, options(), body), completed(7, RunMode::Resumed));
}

#[test]
fn an_event_that_meets_a_worker_on_its_way_out_makes_the_run_due() {
    let world = World::new(0);
    let (database, now) = (world.d1.database(), world.sim.now());
    world.d1.fail(move |batch| {
        // The last look is over, and the lease is still held: whoever emits can't run it yet.
        if batch
            .iter()
            .any(|one| one.sql.contains("lease_holder = NULL"))
        {
            let store = SqlStore::new(database.clone(), Section::D1);
            block_on(store.emit_event("r-1", "k", "1", now)).unwrap();
        }
        None
    });
    let ended = run(&world, options().waits(SUSPEND), async |ctx: Ctx| {
        ctx.await_event::<u32>("k", Some(600_000)).await
    });
    assert_eq!(ended, Ok(RunEnd::Suspended { wake_at: Some(now) }));
}

#[test]
fn a_worker_counts_the_time_it_looks_not_the_time_it_works() {
    let world = World::new(0);
    let worker = world.worker();
    let ports = worker.ports.clone();
    let polling = Waits::Poll {
        interval_ms: 1_000,
        most_ms: 10_000,
    };
    let own = worker.clone();
    let outcome = worker.run(async move {
        run_durable(
            &own.ports,
            &own.store,
            options().waits(polling),
            async |ctx| {
                let mut sum = 0;
                for key in ["a", "b"] {
                    ctx.step(key, async |_| {
                        ports.sleep(30_000).await;
                        Ok(())
                    })
                    .await?;
                    sum += ctx.await_event::<u32>(key, None).await?;
                }
                Ok(sum)
            },
        )
        .await
    });
    world.run_for(36_000);
    emit(&world, "a", "3");
    world.run_for(32_000);
    emit(&world, "b", "4");
    world.run_for(3_000);
    assert_eq!(result(&outcome), completed(7, RunMode::Fresh));
}

#[test]
fn a_store_that_never_answers_keeps_nobody_beyond_the_lease() {
    for what in ["suspended", "completed"] {
        let world = World::new(0);
        world.d1.fail(move |batch| {
            let hangs = batch.iter().any(|one| one.params.contains(&what.into()));
            let is_transition = batch
                .iter()
                .any(|one| one.sql.contains("UPDATE runs SET status"));
            (hangs && is_transition || batch.iter().any(|one| one.sql.contains("SET lease_until")))
                .then_some(Fault::Hangs)
        });
        let (_, outcome) = begin(&world, options(), async move |ctx: Ctx| match what {
            "suspended" => ctx.await_event::<u32>("k", None).await,
            _ => Ok(1),
        });
        world.run_for(2 * caps::LEASE_MS);
        assert_eq!(
            result(&outcome),
            Err(Error::Stopped(Stop::LeaseLost)),
            "{what}"
        );
    }
}
