//! Bad input, and the ends of time: what is refused before anything is stored, what stops a step or a
//! run, and which reason stands.

use super::{
    Count, Done, RUN, begin, completed, emit, execute, manifest, options, result, run, steps,
    stored,
};
use crate::support::{Fault, World};
use futures::executor::block_on;
use steadfast::ports::Timer;
use steadfast::run::manifest::Manifest;
use steadfast::run::{
    CancelToken, DurableContext, Error, LeaseTerms, RetryPolicy, RunEnd, RunMode, RunOptions,
    StepError, StepOptions, Stop, Waits, run_durable,
};
use steadfast::store::{Cancel, MemoryStore, Status, Store};
use steadfast::wire::code::Code;

fn code<T>(ended: Result<T, Error>) -> String {
    match ended {
        Ok(_) => "none".to_owned(),
        Err(error) => error.code().to_string(),
    }
}

fn timed_out<T>() -> Result<T, Error> {
    Err(Error::Stopped(Stop::TimedOut))
}

fn cancelled<T>(reason: &str) -> Result<T, Error> {
    let reason = Some(reason.to_owned());
    Err(Error::Stopped(Stop::Cancelled { reason }))
}

#[test]
fn a_run_of_bad_input_is_not_stored() {
    let world = World::new(0);
    let too_long = "r".repeat(201);
    for id in ["", "a b", "a/b", "ä", &too_long] {
        let ended = run(&world, RunOptions::new(id, manifest()), async |_| Ok(()));
        assert_eq!(code(ended), "invalid_id", "{id}");
        let found = block_on(world.durable().run(id)).expect("D1 answers");
        assert_eq!(found, None, "{id}");
    }
    let nan = serde_json::to_string(&f64::NAN).expect("it becomes null");
    assert_eq!(nan, "null", "which is why it is looked for before");
    let bad = Manifest::new("p", "t", "i", "d", &[("x", f64::NAN)].map(|pair| pair.1));
    assert!(bad.is_err());
    let large = serde_json::json!({ "x": "y".repeat(1_048_576) });
    let large = Manifest::new("p", "t", "i", "d", &large).expect("it is JSON");
    let ended = run(&world, RunOptions::new(RUN, large), async |_| Ok(()));
    assert_eq!(code(ended), "too_large");
    assert_eq!(block_on(world.durable().run(RUN)), Ok(None));
}

#[test]
fn a_bad_call_is_refused_before_anything_of_it_is_stored() {
    let world = World::new(0);
    let ended = run(&world, options(), async |ctx| {
        let large = "x".repeat(262_143);
        let fits = "x".repeat(262_142);
        let mut codes = vec![
            code(ctx.emit_event("large", &large).await),
            code(ctx.emit_event("nan", &f64::NAN).await),
            code(ctx.emit_event("a key", &1).await),
            code(ctx.await_event::<u32>("", None).await),
            code(ctx.named_event::<u32>("a name", "k", None).await),
            code(ctx.named_step("a name", async |_| Ok(())).await),
            code(ctx.named_sleep("", 0).await),
        ];
        let input = StepOptions::new("input").input(&f64::INFINITY);
        codes.push(code(ctx.step(input, async |_| Ok(())).await));
        codes.push(code(ctx.tell("an id", "kind", &1)));
        codes.push(code(ctx.tell("id", "session.kind", &1)));
        codes.push(code(ctx.tell("id", "kind", &f64::NAN)));
        codes.push(code(ctx.emit_event("fits", &fits).await));
        Ok(codes)
    });
    let Ok(RunEnd::Completed { value, .. }) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(
        value,
        [
            "too_large",
            "not_json",
            "invalid_id",
            "invalid_id",
            "invalid_id",
            "invalid_id",
            "invalid_id",
            "not_json",
            "invalid_id",
            "invalid_line",
            "not_json",
            "none"
        ]
    );
    assert_eq!(steps(&world), []);
    for key in ["large", "nan", "a key"] {
        assert_eq!(block_on(world.durable().event(RUN, key)), Ok(None));
    }
    assert_eq!(block_on(world.durable().log_end(RUN)), Ok(0));
}

#[test]
fn a_result_that_can_not_be_stored_is_the_steps_failure_and_not_tried_again() {
    let world = World::new(0);
    let tries = Count::default();
    let counted = tries.clone();
    let body = async move |ctx: crate::support::Ctx| {
        let retry = || RetryPolicy::attempts(5);
        let large = StepOptions::new("large").retry(retry());
        let large = ctx
            .step(large, async |_| {
                counted.next();
                Ok("x".repeat(1_048_575))
            })
            .await;
        let nan = StepOptions::new("nan").retry(retry());
        let nan = ctx
            .step(nan, async |_| {
                counted.next();
                Ok(f64::NAN)
            })
            .await;
        Ok([code(large), code(nan)].join(" "))
    };
    let expected = "step_result_too_large step_result_not_json".to_owned();
    let ended = run(&world, options(), body.clone());
    assert_eq!(ended, completed(expected.clone(), RunMode::Fresh));
    for step in steps(&world) {
        assert_eq!((step.status.as_str(), step.result), ("failed", None));
    }
    let ended = run(&world, options(), body);
    assert_eq!(ended, completed(expected, RunMode::Replayed));
    assert_eq!(tries.next(), 3);
}

#[test]
fn a_result_has_at_most_a_mebibyte() {
    let world = World::new(0);
    let ended = run(&world, options(), async |ctx| {
        // With its quotes: as much as there may be, and a byte more.
        let fits = ctx.step("fits", async |_| Ok("x".repeat(1_048_574))).await;
        let beyond = ctx
            .step("beyond", async |_| Ok("x".repeat(1_048_575)))
            .await;
        Ok((fits?.len(), code(beyond)))
    });
    let expected = (1_048_574, "step_result_too_large".to_owned());
    assert_eq!(ended, completed(expected, RunMode::Fresh));
}

#[test]
fn a_row_that_can_not_be_read_is_named_and_the_run_is_free() {
    for (damage, named) in [
        ("UPDATE runs SET attempts = '{'", ("runs", RUN)),
        ("UPDATE runs SET handle = '{'", ("runs", RUN)),
        ("UPDATE steps SET detail = '{'", ("steps", "0")),
        ("UPDATE events SET emitted_at = 'x'", ("events", "approval")),
    ] {
        let world = World::new(0);
        let body = async |ctx: crate::support::Ctx| {
            ctx.named_step("one", async |_| Ok(1)).await?;
            ctx.await_event::<u32>("approval", None).await
        };
        let suspended = run(&world, options().waits(Waits::Suspend), body);
        assert_eq!(suspended, Ok(RunEnd::Suspended { wake_at: None }));
        emit(&world, "approval", "7");
        execute(&world, damage);
        match run(&world, options(), body) {
            Err(Error::Store(steadfast::store::Error::Corrupt(corrupt))) => {
                assert_eq!((corrupt.table, corrupt.key.as_str()), named, "{damage}");
            }
            other => panic!("{damage}: {other:?}"),
        }
        if named.0 != "runs" {
            assert_eq!(stored(&world).lease, None, "{damage}");
        }
    }
}

#[test]
fn an_attempt_of_a_step_that_takes_too_long_fails_and_another_may_not() {
    let world = World::new(0);
    let done = Done::default();
    let noted = done.clone();
    let worker = world.worker();
    let ports = worker.ports.clone();
    let ended = run(&world, options(), async move |ctx| {
        let step = StepOptions::new("slow")
            .timeout_ms(1_000)
            .retry(RetryPolicy::attempts(2).only_ours(&[Code::StepTimeout]));
        let value = ctx
            .step(step, async |scope| {
                noted.note("begins");
                ports
                    .sleep(if scope.attempt == 1 { 5_000 } else { 900 })
                    .await;
                noted.note("ends");
                Ok(scope.attempt)
            })
            .await?;
        let never = StepOptions::new("never").timeout_ms(1_000);
        let never = ctx.step(never, async |_| {
            std::future::pending::<Result<(), _>>().await
        });
        Ok((value, code(never.await)))
    });
    assert_eq!(
        ended,
        completed((2, "step_timeout".to_owned()), RunMode::Fresh)
    );
    assert_eq!(done.all(), ["begins", "begins", "ends"]);
    let failures = &steps(&world)[0].detail.failures;
    assert_eq!(
        (failures.len(), failures[0].code.as_str()),
        (1, "step_timeout")
    );
}

#[test]
fn a_runs_time_does_not_go_by_while_it_waits() {
    let world = World::new(0);
    let options = || options().timeout_ms(10_000).waits(Waits::Suspend);
    let worker = world.worker();
    let ports = worker.ports.clone();
    let body = |then_ms: u64| {
        let ports = ports.clone();
        async move |ctx: crate::support::Ctx| {
            let now = ctx.now().await?;
            ctx.step("a", async |_| {
                ports.sleep(4_000).await;
                Ok(())
            })
            .await?;
            ctx.sleep_until(now + 3_600_000).await?;
            ctx.step("b", async |_| {
                ports.sleep(then_ms).await;
                Ok(())
            })
            .await
        }
    };
    let suspended = run(&world, options(), body(4_000));
    assert!(matches!(
        suspended,
        Ok(RunEnd::Suspended { wake_at: Some(_) })
    ));
    world.run_for(3_700_000);
    assert_eq!(
        run(&world, options(), body(4_000)),
        completed((), RunMode::Resumed)
    );

    // The same with more to do than it has time for, in one life that waits itself.
    let world = World::new(0);
    let ports = world.worker().ports;
    let body = async move |ctx: crate::support::Ctx| {
        let now = ctx.now().await?;
        ctx.step("a", async |_| {
            ports.sleep(4_000).await;
            Ok(())
        })
        .await?;
        ctx.sleep_until(now + 3_600_000).await?;
        ctx.step("b", async |_| {
            ports.sleep(6_001).await;
            Ok(())
        })
        .await
    };
    let polling = Waits::Poll {
        interval_ms: 60_000,
        most_ms: 10_000_000,
    };
    let (_, outcome) = begin(&world, options().waits(polling), body);
    world.run_for(3_700_000);
    assert_eq!(result(&outcome), timed_out());
    let run = stored(&world);
    assert_eq!(run.state.status, Status::Failed);
    assert_eq!(
        run.state.last_error.expect("there is one").code,
        "run_timeout"
    );
    assert_eq!(steps(&world)[3].status, "failed");
}

#[test]
fn a_runs_time_goes_on_in_the_next_life() {
    let world = World::new(0);
    let done = Done::default();
    let start = || {
        let (ports, done) = (world.worker().ports, done.clone());
        begin(&world, options().timeout_ms(60_000), async move |ctx| {
            ctx.step("long", async |_| {
                done.note("begins");
                ports.sleep(45_000).await;
                Ok(())
            })
            .await
        })
    };
    let (first, _) = start();
    world.run_for(20_000);
    first.end();
    world.run_for(31_000);
    let (_, second) = start();
    world.run_for(8_000);
    assert!(second.borrow().is_none());
    world.run_for(2_000);
    assert_eq!(result(&second), timed_out());
    assert_eq!(done.all(), ["begins", "begins"]);
}

#[test]
fn a_reopened_run_has_its_time_again_and_repeats_no_step_that_succeeded() {
    let world = World::new(0);
    let done = Done::default();
    let start = |fails: bool| {
        let (ports, done) = (world.worker().ports, done.clone());
        let options = options().attempts(2).timeout_ms(10_000);
        run(&world, options, async move |ctx| {
            let one: u32 = ctx
                .step("one", async |_| {
                    done.note("one");
                    Ok(1)
                })
                .await?;
            let two: u32 = ctx
                .step("two", async |scope| {
                    done.note(&format!("two, {}", scope.attempt));
                    ports.sleep(8_000).await;
                    if fails {
                        return Err(StepError::new("boom", "as told"));
                    }
                    Ok(one + 1)
                })
                .await?;
            Ok(two)
        })
    };
    assert_eq!(code(start(true)), "boom");
    assert_eq!(stored(&world).state.status, Status::Failed);
    world.run_for(3_600_000);
    assert_eq!(start(false), completed(2, RunMode::Resumed));
    assert_eq!(done.all(), ["one", "two, 1", "two, 2"]);
    let run = stored(&world);
    let attempts: Vec<_> = run
        .state
        .attempts
        .iter()
        .map(|a| a.reason.as_str())
        .collect();
    assert_eq!(
        (run.state.status, attempts),
        (Status::Completed, vec!["submitted", "boom"])
    );
    assert_eq!(start(false), completed(2, RunMode::Replayed));
}

#[test]
fn a_failed_run_is_opened_as_often_as_it_may_be() {
    let world = World::new(0);
    let start = |attempts: u32| {
        run(&world, options().attempts(attempts), async |ctx| {
            ctx.step("one", async |_| Err::<(), _>(StepError::new("boom", "")))
                .await
        })
    };
    assert_eq!(code(start(1)), "boom");
    assert_eq!(
        start(1),
        Err(Error::Over {
            status: Status::Failed
        })
    );
    assert_eq!(code(start(2)), "boom");
    assert_eq!(
        start(2),
        Err(Error::Over {
            status: Status::Failed
        })
    );
    let step = &steps(&world)[0];
    let of: Vec<_> = step
        .detail
        .failures
        .iter()
        .map(|f| (f.attempt, f.run_attempt))
        .collect();
    assert_eq!(of, [(1, 1), (2, 2)]);
}

#[test]
fn a_cancel_in_the_store_reaches_a_running_step_and_the_first_reason_stands() {
    let world = World::new(0);
    let token = CancelToken::new();
    let (_, outcome) = begin(&world, options().cancel(token.clone()), async |ctx| {
        ctx.step("long", async |_| {
            std::future::pending::<()>().await;
            Ok(())
        })
        .await
    });
    world.run_for(1_000);
    let cancel = |reason: &str| Cancel {
        reason: Some(reason.to_owned()),
        at: world.sim.now(),
    };
    let request = |reason: &str| block_on(world.durable().request_cancel(RUN, &cancel(reason)));
    assert_eq!(request("first"), Ok(true));
    assert_eq!(request("second"), Ok(true));
    world.run_for(LeaseTerms::default().renew_after_ms());
    token.cancel(Some("third"));
    world.run_for(1_000);
    assert_eq!(result(&outcome), cancelled("first"));
    let run = stored(&world);
    assert_eq!(run.state.status, Status::Cancelled);
    assert_eq!(
        run.state.outcome.expect("it has one").reason.as_deref(),
        Some("first")
    );
    assert_eq!(request("fourth"), Ok(false));
    assert_eq!(steps(&world)[0].status, "failed");
}

#[test]
fn a_step_that_takes_its_worker_along_again_and_again_fails() {
    let world = World::new(0);
    for life in 1..=11 {
        let (worker, outcome) = begin(&world, options(), async |ctx| {
            ctx.step("deadly", async |_| {
                std::future::pending::<()>().await;
                Ok(())
            })
            .await
        });
        world.run_for(1_000);
        if life > 10 {
            assert_eq!(code(result(&outcome)), "step_interrupted");
        }
        worker.end();
        world.run_for(35_000);
    }
    assert_eq!(steps(&world)[0].attempts, 10);
    assert_eq!(stored(&world).state.status, Status::Failed);
}

#[test]
fn a_run_has_so_many_steps_and_no_more() {
    let world = World::new(0);
    let worker = world.worker();
    let store = MemoryStore::new();
    let own = worker.clone();
    let outcome = worker.run(async move {
        run_durable(
            &own.ports,
            &store,
            options().timeout_ms(u64::MAX),
            async |ctx| {
                for _ in 0..10_000 {
                    ctx.now().await?;
                }
                Ok(code(ctx.now().await))
            },
        )
        .await
    });
    world.settle();
    let expected = completed("too_many_steps".to_owned(), RunMode::Fresh);
    assert_eq!(result(&outcome), expected);
}

#[test]
fn ten_thousand_branches_take_their_time_in_proportion() {
    let world = World::new(0);
    let worker = world.worker();
    let store = MemoryStore::new();
    let own = worker.clone();
    let outcome = worker.run(async move {
        let options = options().timeout_ms(u64::MAX);
        run_durable(&own.ports, &store, options, async |ctx| {
            let branches = (0..10_000).map(|n| {
                let ctx = ctx.clone();
                async move { ctx.named_step(format!("b-{n}"), async |_| Ok(1_u32)).await }
            });
            let all: Result<Vec<u32>, Error> =
                ctx.join(branches.collect()).await.into_iter().collect();
            Ok(all?.len())
        })
        .await
    });
    world.settle();
    assert_eq!(result(&outcome), completed(10_000, RunMode::Fresh));
}

#[test]
fn a_renewal_without_an_answer_does_not_keep_a_run_alive_beyond_its_lease() {
    let world = World::new(0);
    // Shorter than a call of D1 may be.
    let options = options().lease(LeaseTerms { lease_ms: 9_000 });
    let (_, outcome) = begin(&world, options, async |ctx| {
        ctx.step("long", async |_| {
            std::future::pending::<()>().await;
            Ok(())
        })
        .await
    });
    world.run_for(1_000);
    world.d1.fail(|_| Some(Fault::Hangs));
    world.run_for(7_000);
    assert!(outcome.borrow().is_none());
    world.run_for(2_000);
    assert_eq!(result(&outcome), Err(Error::Stopped(Stop::LeaseLost)));
}

#[test]
fn a_run_whose_results_no_memory_holds_is_ended() {
    let world = World::new(0);
    let outcome: Result<RunEnd<()>, Error> = run(&world, options(), async |ctx| {
        for n in 0..40 {
            let step = format!("step {n}");
            ctx.step::<String, _>(step, async |_| Ok("x".repeat(1_000_000)))
                .await?;
        }
        Ok(())
    });
    assert_eq!(outcome, Err(Error::Stopped(Stop::TooLarge)));
    assert_eq!(
        stored(&world).state.last_error.unwrap().code,
        "run_too_large"
    );
    let kept = steps(&world).len();
    assert!((16..19).contains(&kept), "{kept}");
}
