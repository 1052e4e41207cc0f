//! Which step is which: positions, names, what a replay must find again, and what it is told when it
//! doesn't.

use super::{Done, RUN, begin, completed, emit, options, result, run, steps, stored};
use crate::support::{Ctx, World};
use futures::future::{Either, join, select};
use std::pin::pin;
use steadfast::ports::Timer;
use steadfast::run::{
    DurableContext, Error, Place, RunEnd, RunMode, StepError, StepOptions, Waits,
};
use steadfast::store::Status;

fn diverged<T>(position: u32, expected: &str, found: &str) -> Result<T, Error> {
    Err(Error::StepDivergence {
        place: Place::Position(position),
        expected: expected.to_owned(),
        found: found.to_owned(),
    })
}

async fn step(ctx: &Ctx, intent: &str) -> Result<u32, Error> {
    ctx.step(intent, async |_| Ok(1)).await
}

#[test]
fn changed_code_is_told_where_it_differs_also_in_a_replay() {
    for is_over in [false, true] {
        let check = |body: &'static [&'static str], expected: Result<RunEnd<()>, Error>| {
            let world = World::new(0);
            let first = async move |ctx: Ctx| {
                step(&ctx, "one").await?;
                step(&ctx, "two").await?;
                if !is_over {
                    ctx.await_event::<u32>("never", None).await?;
                }
                Ok(())
            };
            run(&world, options().waits(Waits::Suspend), first).expect("it does");
            let changed = run(&world, options(), async move |ctx| {
                for intent in body {
                    step(&ctx, intent).await?;
                }
                Ok(())
            });
            assert_eq!(changed, expected, "{body:?}");
        };
        check(&["one", "other"], diverged(1, "two", "other"));
        check(&["one"], diverged(1, "two", "the end of the body"));
        check(&[], diverged(0, "one", "the end of the body"));
        let more = if is_over {
            "the end of the run"
        } else {
            "event:never"
        };
        check(&["one", "two", "three"], diverged(2, more, "three"));
    }
}

#[test]
fn positional_steps_beside_others_are_refused_in_every_life() {
    let body = |hangs: bool| {
        async move |ctx: Ctx| {
            let (first, second) = join(step(&ctx, "a"), step(&ctx, "b")).await;
            let branch = async { step(&ctx, "c").await };
            let in_branch = ctx.join(vec![branch]).await.remove(0);
            let nested = ctx
                .step("d", async |_| match step(&ctx, "e").await {
                    Err(error) => Ok(error.code().to_string()),
                    Ok(_) => Ok("none".to_owned()),
                })
                .await?;
            if hangs {
                std::future::pending::<()>().await;
            }
            let intent = |error: Error| match error {
                Error::Concurrent { intent } => intent,
                other => other.to_string(),
            };
            let refused = [second, in_branch].map(|refused| intent(refused.expect_err("refused")));
            Ok((first?, refused, nested))
        }
    };
    let expected = (
        1,
        ["b".to_owned(), "c".to_owned()],
        "step_nested".to_owned(),
    );
    let world = World::new(0);
    let (worker, _) = begin(&world, options(), body(true));
    world.run_for(1_000);
    worker.end();
    world.run_for(30_000);
    let ended = run(&world, options(), body(false));
    assert_eq!(ended, completed(expected.clone(), RunMode::Resumed));
    let ended = run(&world, options(), body(false));
    assert_eq!(ended, completed(expected, RunMode::Replayed));
    assert_eq!(steps(&world).len(), 2);
}

#[test]
fn a_name_is_one_step_and_a_second_one_is_refused() {
    let world = World::new(0);
    let done = Done::default();
    let noted = done.clone();
    let ended = run(&world, options(), async move |ctx| {
        let one: u32 = ctx
            .named_step("one", async |_| {
                noted.note("one");
                Ok(1)
            })
            .await?;
        let again = ctx.named_step("one", async |_| Ok(2_u32)).await;
        let waits = ctx.named_sleep("one", 0).await;
        assert_eq!(waits, Err(Error::DuplicateStep { name: "one".into() }));
        again.map(|again| again + one)
    });
    assert_eq!(ended, Err(Error::DuplicateStep { name: "one".into() }));
    assert_eq!(done.all(), ["one"]);
}

#[test]
fn no_two_steps_have_one_idempotency_key() {
    let world = World::new(0);
    let keys = |run_id: &str, name: &'static str| {
        let options = steadfast::run::RunOptions::new(run_id, super::manifest());
        let ended = run(&world, options, async move |ctx| {
            let key = async |scope: steadfast::run::Scope| Ok(scope.idempotency_key);
            let at: String = ctx.step("at", key).await?;
            let named: String = ctx.named_step(name, key).await?;
            Ok([at, named])
        });
        let Ok(RunEnd::Completed { value, .. }) = ended else {
            panic!("{ended:?}")
        };
        value
    };
    let mut all: Vec<String> = [keys("a", "0"), keys("a:b", "c"), keys("a:b:c", "d")].concat();
    all.extend(keys("c", "b:c"));
    all.extend(keys("d:b", "c"));
    all.extend(keys("d", "b:c"));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "{all:?}");
}

#[test]
fn a_branch_that_is_dropped_leaves_nothing_behind() {
    let world = World::new(0);
    let ports = world.worker().ports;
    let body = |hangs: bool| {
        let ports = ports.clone();
        async move |ctx: Ctx| {
            let won: u32 = {
                let late = pin!(ctx.named_event::<u32>("late", "late", None));
                let soon = pin!(ctx.named_event::<u32>("soon", "soon", None));
                match select(late, soon).await {
                    Either::Left((won, _)) | Either::Right((won, _)) => won?,
                }
            };
            let quick: u32 = {
                let hung = pin!(ctx.named_step("hung", async |_| {
                    std::future::pending::<Result<u32, StepError>>().await
                }));
                let quick = pin!(ctx.named_step("quick", async |_| {
                    ports.sleep(50).await;
                    Ok(5)
                }));
                match select(hung, quick).await {
                    Either::Left((won, _)) | Either::Right((won, _)) => won?,
                }
            };
            // Every slot is free again, and a position is alone.
            let branches: Vec<_> = (0..8)
                .map(|n| {
                    let ctx = ctx.clone();
                    async move { ctx.named_step(format!("b-{n}"), async |_| Ok(1_u32)).await }
                })
                .collect();
            let branches: Result<Vec<u32>, Error> = ctx.join(branches).await.into_iter().collect();
            let alone = step(&ctx, "alone").await?;
            if hangs {
                ctx.await_event::<u32>("more", None).await?;
            } else {
                ctx.await_event::<u32>("more", Some(0)).await.ok();
            }
            Ok(won + quick + alone + branches?.iter().sum::<u32>())
        }
    };
    let (worker, outcome) = begin(&world, options(), body(true));
    world.run_for(3_000);
    assert_eq!(stored(&world).state.status, Status::Suspended);
    emit(&world, "soon", "100");
    world.run_for(5_000);
    assert!(outcome.borrow().is_none());
    assert_eq!(
        stored(&world).state.status,
        Status::Suspended,
        "it waits again"
    );
    worker.end();
    // What was dropped is found finished by the next life, which takes the same way.
    emit(&world, "more", "0");
    world.run_for(31_000);
    let (_, outcome) = begin(&world, options(), body(true));
    world.run_for(5_000);
    assert_eq!(result(&outcome), completed(114, RunMode::Resumed));
    for step in steps(&world) {
        assert_ne!(step.status, "running", "{step:?}");
    }
    let (_, outcome) = begin(&world, options(), body(true));
    world.run_for(5_000);
    assert_eq!(result(&outcome), completed(114, RunMode::Replayed));
    assert_eq!(stored(&world).run_id, RUN);
}

#[test]
fn another_input_under_the_same_step_is_refused() {
    let world = World::new(0);
    let start = |input: u32, waits: bool| {
        run(&world, options().waits(Waits::Suspend), async move |ctx| {
            let options = StepOptions::new("sum").input(&input);
            let sum: u32 = ctx.step(options, async |_| Ok(input)).await?;
            if waits {
                ctx.await_event::<u32>("go", None).await?;
            }
            Ok(sum)
        })
    };
    assert!(matches!(start(1, true), Ok(RunEnd::Suspended { .. })));
    match start(2, true) {
        Err(Error::StepInputMismatch {
            place,
            expected,
            found,
        }) => {
            assert_eq!(place, Place::Position(0));
            assert_ne!(expected, found);
        }
        other => panic!("{other:?}"),
    }
}
