//! When a store is asked to make durable what a run has written: before a step reaches the outside, and
//! not behind every line.

use super::{Done, options};
use steadfast::run::{DurableContext, RunEnd, run_durable};
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, DriverError, Outcome, Section, SqlStore, Statement, Store};

/// A database that notes what it is asked.
#[derive(Clone)]
struct Noting {
    driver: NativeSqlite,
    done: Done,
}

impl Driver for Noting {
    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        self.done.note("apply");
        self.driver.apply(batch).await
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        self.done.note("barrier");
        self.driver.barrier().await
    }

    async fn sync(&self) -> Result<(), DriverError> {
        self.done.note("sync");
        self.driver.sync().await
    }
}

#[test]
fn a_barrier_stands_before_each_steps_body_and_a_sync_behind_the_runs_end() {
    let done = Done::default();
    let driver = Noting {
        driver: NativeSqlite::in_memory().unwrap(),
        done: done.clone(),
    };
    let store = SqlStore::new(driver, Section::D1);
    let ended = steadfast::native::run(async |ports| {
        store.migrate(0).await.expect("it is empty");
        run_durable(&ports, &store, options(), async |ctx| {
            for n in 0..2 {
                ctx.tell(&format!("l{n}"), "note", &n)?;
                let performed = async |_| {
                    done.note("body");
                    Ok(())
                };
                ctx.step("work", performed).await?;
            }
            done.note("returns");
            Ok(())
        })
        .await
    });
    assert!(
        matches!(ended, Ok(RunEnd::Completed { .. })),
        "it ended otherwise"
    );
    let all = done.all();
    let bodies = (0..all.len()).filter(|at| all[*at] == "body");
    let before: Vec<&str> = bodies.map(|at| all[at - 1].as_str()).collect();
    assert_eq!(before, ["barrier", "barrier"], "{all:?}");
    // Whoever shows a line makes sure of it.
    let returns = all.iter().position(|what| what == "returns").unwrap();
    assert_eq!(all[returns..], ["returns", "apply", "sync"]);
    assert!(!all[..returns].iter().any(|what| what == "sync"), "{all:?}");
}
