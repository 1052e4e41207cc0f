//! The weaknesses of the origin systems' substrate that a runner or its store could repeat, a test for
//! each, by its number in `docs/weaknesses.md`.
//!
//! Not here: T8, T19, T22 to T24 and T27 to T29 are a chat turn's (`supervised.rs`, `chat.rs`), T30 (a
//! schema that can be applied twice) is `store/migration.rs`'s.

use super::{Done, RUN, begin, completed, manifest, options, result, run, steps, stored};
use crate::support::{Ctx, World};
use futures::executor::block_on;
use std::cell::RefCell;
use std::rc::Rc;
use steadfast::caps;
use steadfast::ids::{ProjectId, SessionId, TenantId, derive_execution_id};
use steadfast::ports::Timer;
use steadfast::run::{
    DurableContext, Error, RunEnd, RunMode, RunOptions, StepError, StepOptions, Stop, Waits,
};
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{
    self, Changes, Fence, Held, MemoryStore, Policy, Run, Section, SqlStore, Status, Store,
    Transition, Value,
};

const LEASE_LOST: Error = Error::Stopped(Stop::LeaseLost);

/// Another acquisition takes the run, whatever lease there is.
fn steal(world: &World) -> Fence {
    let now = world.sim.now();
    let policy = Policy::Sole;
    block_on(world.durable().acquire(RUN, policy, "thief", now)).expect("the run is open")
}

/// A run's record, made by a run that is still at work.
fn at_work(world: &World) -> Run {
    let (worker, _) = begin(world, options(), async |ctx| {
        ctx.step("long", async |_| {
            std::future::pending::<()>().await;
            Ok(())
        })
        .await
    });
    world.run_for(1_000);
    worker.end();
    stored(world)
}

/// T9: one worker has the run twice, as its own name lets it in again. Here a token is one acquisition.
#[test]
fn t9_a_worker_does_not_enter_its_own_lease_again() {
    let world = World::new(0);
    let worker = world.worker();
    let start = || {
        let own = worker.clone();
        worker.run(async move {
            steadfast::run::run_durable(&own.ports, &own.store, options(), async |ctx| {
                ctx.step("one", async |_| {
                    own.ports.sleep(5_000).await;
                    Ok(1)
                })
                .await
            })
            .await
        })
    };
    let first = start();
    world.run_for(1_000);
    let second = start();
    world.run_for(1_000);
    assert!(matches!(result(&second), Err(Error::LeaseHeld { .. })));
    world.run_for(5_000);
    assert_eq!(result(&first), completed(1, RunMode::Fresh));
    assert_eq!(stored(&world).epoch, 1);
}

/// T10: writes of whoever lost the run land. Here each carries the fence in its statement.
#[test]
fn t10_every_write_of_a_lost_acquisition_changes_nothing() {
    let world = World::new(0);
    let before = at_work(&world);
    let old = Fence {
        epoch: before.epoch,
    };
    steal(&world);
    let (run_before, steps_before) = (stored(&world), steps(&world));
    let durable = world.durable();
    let mut step = steps_before[0].clone();
    step.status = "completed".to_owned();
    let mut state = before.state.clone();
    state.status = Status::Completed;
    let lines = store::Lines {
        attempt: 1,
        cursor: None,
        frame_ids: vec![None],
        text: "{}\n".to_owned(),
    };
    let transition = Transition {
        state,
        message: None,
        upstream_cancel: None,
    };
    for changes in [
        Changes {
            steps: vec![step],
            ..Changes::default()
        },
        Changes {
            transition: Some(Box::new(transition)),
            ..Changes::default()
        },
        Changes {
            lines: Some(lines),
            ..Changes::default()
        },
    ] {
        let now = world.sim.now();
        let written = block_on(durable.commit("", RUN, old, 0, &changes, now));
        assert_eq!(written, Err(store::Error::Fenced), "{changes:?}");
    }
    block_on(durable.release(RUN, old)).expect("it changes nothing");
    assert_eq!((stored(&world), steps(&world)), (run_before, steps_before));
    assert_eq!(block_on(durable.log_end(RUN)), Ok(0));
}

/// T11: a renewal succeeds once the lease has run out, whoever asks. Here only its holder's does.
#[test]
fn t11_nobody_renews_a_lease_that_is_not_theirs() {
    let world = World::new(0);
    let before = at_work(&world);
    let lease = before.lease.clone().expect("it is held");
    world.run_for(60_000);
    let durable = world.durable();
    let renew = |epoch, holder| {
        let fence = Fence { epoch };
        block_on(durable.renew(RUN, Held { fence, holder }, world.sim.now() + 30_000))
    };
    assert_eq!(renew(1, "another"), Err(store::Error::Fenced));
    assert_eq!(stored(&world), before);
    let taken = steal(&world);
    assert_eq!(renew(1, &lease.holder), Err(store::Error::Fenced));
    assert_eq!(renew(1, "thief"), Err(store::Error::Fenced));
    assert_eq!(renew(taken.epoch, &lease.holder), Err(store::Error::Fenced));
    assert_eq!(renew(taken.epoch, "thief"), Ok(()));
    assert_eq!(stored(&world).lease.expect("it is held").holder, "thief");
}

/// T12: a worker that lost its lease calls the new owner's run failed. Here it writes no end.
#[test]
fn t12_a_worker_that_lost_its_lease_ends_no_run() {
    for fails in [true, false] {
        let world = World::new(0);
        let ports = world.worker().ports;
        let (_, outcome) = begin(&world, options(), async move |ctx| {
            let ended = ctx
                .step("one", async |_| {
                    ports.sleep(5_000).await;
                    if fails {
                        return Err(StepError::new("boom", ""));
                    }
                    Ok(1)
                })
                .await;
            // Whatever the body makes of it.
            ended.or(Err(Error::failed("own", "of the body")))
        });
        world.run_for(1_000);
        steal(&world);
        let before = (stored(&world), steps(&world));
        world.run_for(10_000);
        assert_eq!(result(&outcome), Err(LEASE_LOST));
        assert_eq!((stored(&world), steps(&world)), before);
        assert_eq!(before.0.state.status, Status::Running);
    }
}

/// T13: a lease is renewed when an event arrives, and so lost in a silent call. Here time renews it.
#[test]
fn t13_a_silent_step_keeps_its_lease() {
    let world = World::new(0);
    let done = Done::default();
    let start = || {
        let (ports, done) = (world.worker().ports, done.clone());
        begin(&world, options(), async move |ctx| {
            ctx.step("silent", async |_| {
                done.note("silent");
                ports.sleep(300_000).await;
                Ok(1)
            })
            .await
        })
        .1
    };
    let first = start();
    for _ in 0..10 {
        world.run_for(29_000);
        let second = start();
        world.run_for(500);
        assert!(matches!(result(&second), Err(Error::LeaseHeld { .. })));
    }
    world.run_for(10_000);
    assert_eq!(result(&first), completed(1, RunMode::Fresh));
    assert_eq!(done.all(), ["silent"]);
}

/// T14: what is appended before the renewal is checked lands behind a lost lease. Here it is fenced.
#[test]
fn t14_no_line_lands_behind_a_lost_lease() {
    let world = World::new(0);
    let ports = world.worker().ports;
    let (_, outcome) = begin(&world, options(), async move |ctx| {
        ctx.tell("one", "note", &1)?;
        ports.sleep(2_000).await;
        ctx.tell("two", "note", &2)?;
        ctx.emit_event("after", &1).await?;
        ctx.now().await
    });
    world.run_for(1_000);
    assert_eq!(block_on(world.durable().log_end(RUN)), Ok(1));
    steal(&world);
    world.run_for(5_000);
    assert_eq!(result(&outcome), Err(LEASE_LOST));
    assert_eq!(block_on(world.durable().log_end(RUN)), Ok(1));
    assert_eq!(steps(&world), []);
}

/// T15: of two first starts the second is given a constraint's error. Here it is told who holds the run.
#[test]
fn t15_of_two_first_starts_one_wins_and_the_other_is_refused() {
    for seed in 0..20 {
        let world = World::new(seed);
        let start = || {
            begin(&world, options(), async |ctx| {
                ctx.step("a", async |_| Ok(1)).await
            })
            .1
        };
        let outcomes = [start(), start(), start()];
        world.run_for(10_000);
        let ended: Vec<_> = outcomes.iter().map(result).collect();
        let won = ended.iter().filter(|ended| ended.is_ok()).count();
        let held = |ended: &&Result<_, Error>| matches!(ended, Err(Error::LeaseHeld { .. }));
        let refused = ended.iter().filter(held).count();
        assert_eq!((won, refused), (1, 2), "seed {seed}: {ended:?}");
    }
}

/// T16: a replay wipes the outcome, moves times and wants the lease. Here it reads, beside any number.
#[test]
fn t16_replays_write_nothing_and_need_no_lease() {
    let world = World::new(0);
    let start = || {
        begin(&world, options(), async |ctx| {
            ctx.step("a", async |_| Ok(1)).await
        })
        .1
    };
    start();
    world.run_for(1_000);
    let before = (stored(&world), steps(&world));
    world.run_for(60_000);
    let calls = world.d1.calls().len();
    let outcomes = [start(), start(), start()];
    world.run_for(1_000);
    for outcome in outcomes {
        assert_eq!(result(&outcome), completed(1, RunMode::Replayed));
    }
    assert_eq!((stored(&world), steps(&world)), before);
    assert!(world.d1.calls().len() > calls);
}

/// T17: a second attempt meets the first one's log, and drops what has the same id. Here lines are told
/// once for their id over all lives, and a run with a log is not opened again.
#[test]
fn t17_no_attempt_mixes_with_the_log_of_another() {
    let world = World::new(0);
    let tell = |hangs: bool| {
        async move |ctx: Ctx| {
            ctx.tell("a", "note", &1)?;
            ctx.step("one", async |_| Ok(())).await?;
            if hangs {
                std::future::pending::<()>().await;
            }
            ctx.tell("b", "note", &2)?;
            ctx.step("two", async |_| Err::<(), _>(StepError::new("boom", "")))
                .await
        }
    };
    let (worker, _) = begin(&world, options(), tell(true));
    world.run_for(1_000);
    worker.end();
    world.run_for(30_000);
    assert_eq!(
        run(&world, options(), tell(false))
            .unwrap_err()
            .code()
            .as_str(),
        "boom"
    );
    let log = || block_on(world.durable().log(RUN, 0, 10)).expect("D1 answers");
    let lines: String = log().into_iter().map(|row| row.lines).collect();
    let told: Vec<bool> = lines
        .lines()
        .map(|line| line.contains("\"data\":1"))
        .collect();
    assert_eq!(told, [true, false], "{lines}");
    let again = run(&world, options().attempts(9), tell(false));
    assert_eq!(
        again,
        Err(Error::Over {
            status: Status::Failed
        })
    );
    assert_eq!(log().len(), 2);
}

/// T18: a run that is driven again still says that it failed. Here it is running, as a second attempt.
#[test]
fn t18_a_reopened_run_is_running_while_it_is_at_work() {
    let world = World::new(0);
    let fails = async |ctx: Ctx| {
        ctx.step("a", async |_| Err::<(), _>(StepError::new("boom", "")))
            .await
    };
    assert!(run(&world, options(), fails).is_err());
    let failed = stored(&world);
    assert_eq!(failed.state.status, Status::Failed);
    assert!(failed.state.finished_at.is_some() && failed.state.last_error.is_some());
    let (_, outcome) = begin(&world, options().attempts(2), async |ctx| {
        ctx.step("a", async |_| {
            std::future::pending::<()>().await;
            Ok(())
        })
        .await
    });
    world.run_for(1_000);
    assert!(outcome.borrow().is_none());
    let run = stored(&world);
    assert_eq!(
        (run.state.status, run.state.finished_at),
        (Status::Running, None)
    );
    let attempts: Vec<u32> = run
        .state
        .attempts
        .iter()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!((attempts, run.epoch), (vec![1, 2], 2));
}

/// T20: a log is read at once, whatever its size. Here no read has more than a page.
#[test]
fn t20_a_resumed_run_reads_its_record_by_pages() {
    let world = World::new(0);
    let many = 3 * caps::LIST_LIMIT + 50;
    let body = |hangs: bool| {
        async move |ctx: Ctx| {
            for n in 0..many {
                let told = "x".repeat(64);
                ctx.tell(&format!("{n}"), "note", &told)?;
                ctx.now().await?;
            }
            if hangs {
                std::future::pending::<()>().await;
            }
            Ok(many)
        }
    };
    let (worker, _) = begin(&world, options(), body(true));
    world.run_for(60_000);
    worker.end();
    world.run_for(30_000);
    let pages: Rc<RefCell<Vec<i64>>> = Rc::default();
    let noted = Rc::clone(&pages);
    world.d1.fail(move |batch| {
        for statement in batch {
            let of_run = ["FROM steps", "FROM stream_log"]
                .iter()
                .any(|of| statement.sql.contains(of));
            let is_page = of_run && statement.sql.contains("LIMIT ?3");
            if let Some(Value::Integer(limit)) = statement.params.get(2).filter(|_| is_page) {
                noted.borrow_mut().push(*limit);
            }
        }
        None
    });
    assert_eq!(
        run(&world, options(), body(false)),
        completed(many, RunMode::Resumed)
    );
    let pages = pages.borrow();
    assert!(pages.len() > 20, "{pages:?}");
    assert!(
        pages
            .iter()
            .all(|limit| *limit <= i64::from(caps::LIST_LIMIT))
    );
}

/// T21: a wait looks four times a second, and its time begins anew after a crash. Here a suspended run
/// costs nothing, one that is polled little, and the deadline stands.
#[test]
fn t21_a_wait_costs_little_and_its_deadline_stands() {
    let world = World::new(0);
    let body = async |ctx: Ctx| ctx.await_event::<u32>("k", Some(1_000_000)).await;
    let began = world.sim.now();
    let suspended = run(&world, options().waits(Waits::Suspend), body);
    let Ok(RunEnd::Suspended { wake_at: Some(at) }) = suspended else {
        panic!("{suspended:?}")
    };
    assert!((began + 1_000_000..began + 1_000_200).contains(&at));
    let calls = world.d1.calls().len();
    world.run_for(100_000);
    assert_eq!(world.d1.calls().len(), calls);
    let polling = Waits::Poll {
        interval_ms: caps::WAIT_POLL_MS,
        most_ms: 2_000_000,
    };
    let (worker, _) = begin(&world, options().waits(polling), body);
    world.run_for(60_000);
    let looked = world.d1.calls().len() - calls;
    assert!(looked < 90, "{looked} calls in a minute");
    worker.end();
    world.run_for(31_000);
    let (_, outcome) = begin(&world, options().waits(polling), body);
    world.sim.run_until(at - 1);
    assert!(outcome.borrow().is_none());
    world.run_for(1_000);
    assert_eq!(
        result(&outcome),
        Err(Error::AwaitEventTimeout { key: "k".into() })
    );
}

fn id_of(tenant: &str, session: &str) -> String {
    let tenant = TenantId::parse(tenant).expect("it is one");
    let session = SessionId::parse(session).expect("it is one");
    let project = ProjectId::parse("p").expect("it is one");
    // The turn's own id is its session's to give.
    format!(
        "{}:answer",
        derive_execution_id(Some(&project), &tenant, &session, 0)
    )
}

/// T25: another tenant's session of the same name replays the first one's answer. Here the tenant is
/// part of the run's id.
#[test]
fn t25_two_tenants_share_no_run() {
    let world = World::new(0);
    let ask = |tenant: &'static str| {
        let options = RunOptions::new(format!("{}:task", id_of(tenant, "s")), manifest());
        run(&world, options, async move |ctx| {
            ctx.step("answer", async |_| Ok(tenant.to_owned())).await
        })
    };
    assert_eq!(ask("acme"), completed("acme".to_owned(), RunMode::Fresh));
    assert_eq!(ask("other"), completed("other".to_owned(), RunMode::Fresh));
    assert_eq!(ask("acme"), completed("acme".to_owned(), RunMode::Replayed));
}

/// T26: `a:b` and `c` give the id of `a` and `b:c`. Here no part of an id has the delimiter.
#[test]
fn t26_no_two_sessions_give_one_id() {
    for part in ["a:b", ":", "a b", ""] {
        assert!(TenantId::parse(part).is_err(), "{part}");
        assert!(SessionId::parse(part).is_err(), "{part}");
    }
    assert_ne!(id_of("a", "b-c"), id_of("a-b", "c"));
}

/// T31: a step's input is hashed, stored, and never compared. Here another one is refused.
#[test]
fn t31_another_input_is_refused_also_in_a_replay() {
    let world = World::new(0);
    let ask = |input: &'static str| {
        run(&world, options(), async move |ctx| {
            let options = StepOptions::new("a").input(input);
            ctx.step(options, async |_| Ok(input.to_owned())).await
        })
    };
    assert_eq!(ask("x"), completed("x".to_owned(), RunMode::Fresh));
    assert_eq!(ask("x"), completed("x".to_owned(), RunMode::Replayed));
    assert_eq!(ask("y").unwrap_err().code().as_str(), "step_input_mismatch");
}

/// T34: at the instant of its end a lease is free in one store and held in another. Here it is free.
#[test]
fn t34_at_the_instant_of_its_end_a_lease_is_free_in_every_store() {
    async fn check(store: impl Store, run: &Run) {
        store.migrate(1).await.expect("it takes the schema");
        store.create(run).await.expect("it answers");
        let until = run.lease.as_ref().expect("it is held").until;
        let acquire = async |now: i64| {
            let policy = Policy::WhenFree { until: now + 10 };
            store.acquire(RUN, policy, "next", now).await
        };
        assert_eq!(
            acquire(until - 1).await,
            Err(store::Error::LeaseHeld { until })
        );
        assert_eq!(acquire(until).await, Ok(Fence { epoch: 2 }));
    }
    let world = World::new(0);
    let run = at_work(&world);
    block_on(check(MemoryStore::new(), &run));
    for section in [Section::D1, Section::Object] {
        let driver = NativeSqlite::in_memory().expect("there is memory");
        block_on(check(SqlStore::new(driver, section), &run));
    }
    // And so in a run: the next worker has it at that instant, not a moment before.
    let until = run.lease.expect("it is held").until;
    world.sim.run_until(until - 200);
    let (_, refused) = begin(&world, options(), async |_| Ok(()));
    world.run_for(100);
    assert_eq!(result(&refused), Err(Error::LeaseHeld { until }));
}
