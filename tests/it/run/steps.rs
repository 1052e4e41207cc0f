//! Steps: recorded once, replayed for ever.

use super::{Count, Done, at_once, completed, options, result, steps, stored};
use crate::support::World;
use steadfast::run::{
    CancelToken, DurableContext, Error, RetryPolicy, RunMode, StepError, StepKind, StepOptions,
    Stop, run_durable,
};
use steadfast::store::Status;

#[test]
fn what_is_recorded_is_not_done_again() {
    let world = World::new(0);
    let done = Done::default();
    let body = |done: Done| {
        async move |ctx: steadfast::run::RunContext<_, _>| {
            let first: u32 = ctx
                .step("first", async |_| {
                    done.note("first");
                    Ok(20)
                })
                .await?;
            let now = ctx.now().await?;
            let uuid = ctx.uuid().await?;
            let second: u32 = ctx
                .step("second", async |_| {
                    done.note("second");
                    Ok(first + 1)
                })
                .await?;
            Ok((second, now, uuid))
        }
    };
    let run = |done: Done| {
        at_once(&world, |worker| async move {
            run_durable(&worker.ports, &worker.store, options(), body(done)).await
        })
    };
    let first = run(done.clone()).unwrap();
    let steadfast::run::RunEnd::Completed { value, mode } = first else {
        panic!("it completes")
    };
    assert_eq!((value.0, mode), (21, RunMode::Fresh));
    let before = stored(&world);
    assert_eq!(before.state.status, Status::Completed);
    assert_eq!(run(done.clone()), completed(value, RunMode::Replayed));
    assert_eq!(done.all(), ["first", "second"]);
    assert_eq!(stored(&world), before, "T16: a replay writes nothing");
    let intents: Vec<String> = steps(&world).into_iter().map(|step| step.intent).collect();
    assert_eq!(
        intents,
        ["first", "deterministic:now", "deterministic:uuid", "second"]
    );
}

#[test]
fn a_failed_step_is_tried_as_its_policy_says_and_every_failure_is_kept() {
    let world = World::new(0);
    let tries = Count::default();
    let outcome = at_once(&world, |worker| async move {
        run_durable(&worker.ports, &worker.store, options(), async |ctx| {
            let retry = RetryPolicy::attempts(3);
            let step = StepOptions::new("flaky").kind(StepKind::Tool).retry(retry);
            ctx.step(step, async |_| match tries.next() {
                3 => Ok(7),
                n => Err(StepError::new("busy", format!("try {n}"))),
            })
            .await
        })
        .await
    });
    assert_eq!(outcome, completed(7, RunMode::Fresh));
    let step = &steps(&world)[0];
    assert_eq!((step.attempts, step.kind.as_str()), (3, "tool"));
    let failures: Vec<&str> = step
        .detail
        .failures
        .iter()
        .map(|failure| failure.message.as_str())
        .collect();
    assert_eq!(failures, ["try 1", "try 2"]);
}

#[test]
fn branches_replay_by_name_in_any_order() {
    let world = World::new(7);
    let done = Done::default();
    let run = |done: Done| {
        at_once(&world, |worker| async move {
            run_durable(&worker.ports, &worker.store, options(), async |ctx| {
                let branches: Vec<_> = (0..20_u64)
                    .map(|n| {
                        let (ctx, done, ports) = (ctx.clone(), done.clone(), worker.ports.clone());
                        async move {
                            ctx.named_step(format!("branch-{n}"), async |_| {
                                use steadfast::ports::Timer;
                                done.note("begin");
                                ports.sleep((n * 7) % 5).await;
                                done.note("end");
                                Ok(n)
                            })
                            .await
                        }
                    })
                    .collect();
                let all: Result<Vec<u64>, Error> = ctx.join(branches).await.into_iter().collect();
                Ok(all?.iter().sum::<u64>())
            })
            .await
        })
    };
    assert_eq!(run(done.clone()), completed(190, RunMode::Fresh));
    assert_eq!(run(done.clone()), completed(190, RunMode::Replayed));
    let (mut at_once, mut most) = (0, 0);
    for what in done.all() {
        at_once += if what == "begin" { 1 } else { -1 };
        most = most.max(at_once);
    }
    assert_eq!((done.all().len(), most), (40, 8));
}

#[test]
fn a_cancelled_parent_counts_at_once_and_a_running_step_is_reached() {
    let world = World::new(0);
    let token = CancelToken::new();
    token.cancel(Some("first"));
    token.cancel(Some("second"));
    let done = Done::default();
    let noted = done.clone();
    let outcome = at_once(&world, |worker| async move {
        let options = options().cancel(token);
        run_durable(&worker.ports, &worker.store, options, async |ctx| {
            ctx.step("never", async |_| {
                noted.note("never");
                Ok(())
            })
            .await
        })
        .await
    });
    let cancelled = |reason: &str| {
        Err(Error::Stopped(Stop::Cancelled {
            reason: Some(reason.into()),
        }))
    };
    assert_eq!(outcome, cancelled("first"));
    assert_eq!(done.all(), [] as [&str; 0]);
    assert_eq!(stored(&world).state.status, Status::Cancelled);

    let world = World::new(0);
    let token = CancelToken::new();
    let worker = world.worker();
    let running = {
        let (worker, token) = (worker.clone(), token.clone());
        async move {
            let options = options().cancel(token);
            run_durable(&worker.ports, &worker.store, options, async |ctx| {
                ctx.step("long", async |_| {
                    std::future::pending::<()>().await;
                    Ok(())
                })
                .await
            })
            .await
        }
    };
    let outcome = worker.run(running);
    world.run_for(1_000);
    assert!(outcome.borrow().is_none());
    token.cancel(Some("enough"));
    world.run_for(1_000);
    assert_eq!(result(&outcome), cancelled("enough"));
    assert_eq!(steps(&world)[0].status, "failed");
}

#[test]
fn whoever_takes_over_waits_for_the_lease_and_does_not_repeat_a_step() {
    let world = World::new(0);
    let done = Done::default();
    let start = |done: Done, hangs: bool| {
        let worker = world.worker();
        let running = worker.clone();
        let outcome = worker.run(async move {
            run_durable(&running.ports, &running.store, options(), async |ctx| {
                let one: u32 = ctx
                    .step("one", async |_| {
                        done.note("one");
                        Ok(1)
                    })
                    .await?;
                ctx.step("two", async |scope| {
                    done.note(&format!("two, attempt {}", scope.attempt));
                    if hangs {
                        std::future::pending::<()>().await;
                    }
                    Ok(one + 1)
                })
                .await
            })
            .await
        });
        (worker, outcome)
    };
    let (first, _) = start(done.clone(), true);
    world.run_for(1_000);
    first.end();
    let (_, refused) = start(done.clone(), false);
    world.run_for(1_000);
    assert!(matches!(result(&refused), Err(Error::LeaseHeld { .. })));
    world.run_for(30_000);
    let (_, taken_over) = start(done.clone(), false);
    world.run_for(1_000);
    assert_eq!(result(&taken_over), completed(2, RunMode::Resumed));
    assert_eq!(done.all(), ["one", "two, attempt 1", "two, attempt 2"]);
}

/// A policy's every attempt is made: one that told of its failure is no interruption, however many there were.
#[test]
fn a_step_is_tried_as_often_as_its_policy_says() {
    for most in [1, 10, 11, 32] {
        let world = World::new(0);
        let count = Count::default();
        let tries = count.clone();
        let body = async move |ctx: steadfast::run::RunContext<_, _>| {
            let options = StepOptions::new("hard").retry(RetryPolicy::attempts(most).waits(1, 1));
            let step = ctx.named_step(options, async |_| match tries.next() {
                n if n == most => Ok(n),
                _ => Err(StepError::new("busy", "try again")),
            });
            step.await
        };
        let ended = at_once(&world, |worker| async move {
            run_durable(&worker.ports, &worker.store, options(), body).await
        });
        assert_eq!(ended, completed(most, RunMode::Fresh), "{most}");
        let failures = steps(&world)[0].detail.failures.len();
        assert_eq!(failures, usize::try_from(most).expect("it is small") - 1);
    }
}
