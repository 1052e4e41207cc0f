//! What every driver must do below a store: all or nothing, values and counts as they are.
//!
//! Owns batches over the store's own statements and tables; there is no other SQL to try.

use super::scene::{NOW, expect_eq, tenant, turn};
use crate::store::{
    Begin, Driver, DriverError, Outcome, Run, Section, Statement, Value, batch, encode::run_params,
    sql,
};

type Verdict = Result<(), String>;

const LARGE: i64 = 1 << 53;

/// A driver, and a turn that only this case knows.
pub(super) struct Bench<'a, D> {
    driver: &'a D,
    begin: Begin,
}

impl<'a, D: Driver> Bench<'a, D> {
    pub(super) fn new(driver: &'a D, salt: &str, case: &str) -> Self {
        Bench {
            driver,
            begin: turn(&tenant(salt), &format!("driver-{case}"), 0),
        }
    }

    fn run_id(&self) -> Value {
        (&self.begin.run.run_id).into()
    }

    fn read(&self) -> Statement {
        statement(sql::RUN, vec![self.run_id()])
    }

    /// Gives the run a pending cancel, or takes it away.
    fn pending(&self, json: Option<&str>) -> Statement {
        let params = vec![self.run_id(), json.into(), NOW.into()];
        statement(sql::SET_UPSTREAM_CANCEL, params)
    }

    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, String> {
        let statements = batch.len();
        let outcomes = self
            .driver
            .apply(batch)
            .await
            .map_err(|error| unexpected(&error))?;
        expect_eq("outcomes", &statements, &outcomes.len())?;
        Ok(outcomes)
    }

    async fn rows(&self, statement: Statement) -> Result<Vec<Vec<Value>>, String> {
        let outcomes = self.apply(vec![statement]).await?;
        Ok(outcomes
            .into_iter()
            .flat_map(|outcome| outcome.rows)
            .collect())
    }

    async fn begun(&self) -> Verdict {
        let outcomes = self
            .apply(batch::begin_batch(&self.begin, Section::D1))
            .await?;
        expect_eq("what a begin changed", &vec![true; 5], &changed(&outcomes))
    }
}

fn statement(sql: &'static str, params: Vec<Value>) -> Statement {
    Statement { sql, params }
}

fn unexpected(error: &DriverError) -> String {
    format!("apply: expected success, found {error:?}")
}

/// Whether each statement changed anything; how much is the driver's own count.
fn changed(outcomes: &[Outcome]) -> Vec<bool> {
    outcomes.iter().map(|outcome| outcome.changes > 0).collect()
}

fn rows(outcomes: Vec<Outcome>) -> Vec<Vec<Vec<Value>>> {
    outcomes.into_iter().map(|outcome| outcome.rows).collect()
}

/// Fails on every migrated database: its first version is known already.
fn failing() -> Statement {
    statement(sql::RECORD_VERSION, vec![1_u32.into(), NOW.into()])
}

pub(super) async fn an_empty_batch_does_nothing<D: Driver>(bench: Bench<'_, D>) -> Verdict {
    bench.apply(vec![]).await.map(|_| ())
}

pub(super) async fn values_round_trip<D: Driver>(mut bench: Bench<'_, D>) -> Verdict {
    let odd = "'\"; --\r\n\té😀\u{2028}\u{feff} %_?1 ";
    bench.begin.run = Run {
        user: Some(String::new()),
        key: None,
        input_hash: odd.to_owned(),
        request: "1".to_owned(),
        upstream: "null".to_owned(),
        created_at: LARGE,
        updated_at: -LARGE,
        rev: 0,
        ..bench.begin.run
    };
    bench.begin.run.state.wake_at = Some(-1);
    bench.begin.run.state.finished_at = Some(i64::from(i32::MAX) + 1);
    bench.begun().await?;
    let expected = vec![run_params(&bench.begin.run)];
    expect_eq("columns", &expected, &bench.rows(bench.read()).await?)
}

pub(super) async fn a_text_of_1_mib_round_trips<D: Driver>(mut bench: Bench<'_, D>) -> Verdict {
    let text = "é".repeat(crate::caps::FRAME_BYTES / 2);
    bench.begin.run.request = text.clone();
    bench.begun().await?;
    let rows = bench.rows(bench.read()).await?;
    if rows
        .iter()
        .flatten()
        .any(|value| *value == Value::Text(text.clone()))
    {
        return Ok(());
    }
    Err(format!(
        "expected a text of {} bytes in {} rows, found none",
        text.len(),
        rows.len()
    ))
}

pub(super) async fn each_statement_answers_in_its_place<D: Driver>(bench: Bench<'_, D>) -> Verdict {
    bench.begun().await?;
    let log_end = statement(sql::LOG_END, vec![bench.run_id()]);
    let none = statement(sql::RUN, vec!["nobody's".into()]);
    let batch = vec![log_end.clone(), bench.pending(Some("1")), none, log_end];
    let outcomes = bench.apply(batch).await?;
    let changes = vec![false, true, false, false];
    expect_eq("changes", &changes, &changed(&outcomes))?;
    let one = vec![vec![Value::Integer(1)]];
    let expected = vec![one.clone(), vec![], vec![], one];
    expect_eq("rows", &expected, &rows(outcomes))
}

pub(super) async fn changes_are_zero_exactly_when_nothing_changed<D: Driver>(
    bench: Bench<'_, D>,
) -> Verdict {
    bench.begun().await?;
    let repeated = bench
        .apply(batch::begin_batch(&bench.begin, Section::D1))
        .await?;
    expect_eq(
        "changes of a repeated begin",
        &vec![false; 5],
        &changed(&repeated),
    )?;
    let batch = vec![
        bench.pending(Some("1")),
        bench.pending(Some("1")),
        bench.read(),
        bench.pending(None),
        bench.pending(None),
    ];
    let expected = vec![true, false, false, true, false];
    expect_eq("changes", &expected, &changed(&bench.apply(batch).await?))
}

pub(super) async fn returning_gives_rows_and_changes<D: Driver>(bench: Bench<'_, D>) -> Verdict {
    bench.begun().await?;
    let sole: Value = 1_u32.into();
    let take = statement(
        sql::ACQUIRE,
        vec![bench.run_id(), "a".into(), Value::Null, NOW.into(), sole],
    );
    let outcomes = bench.apply(vec![take.clone(), take]).await?;
    expect_eq("changes", &vec![true, false], &changed(&outcomes))?;
    let expected = vec![vec![vec![Value::Integer(2)]], vec![]];
    expect_eq("rows", &expected, &rows(outcomes))
}

pub(super) async fn a_statement_sees_what_the_ones_before_it_did<D: Driver>(
    bench: Bench<'_, D>,
) -> Verdict {
    let mut batch = vec![bench.read()];
    batch.extend(batch::begin_batch(&bench.begin, Section::D1));
    batch.push(bench.read());
    let outcomes = bench.apply(batch).await?;
    let read = |outcome: Option<&Outcome>| outcome.map(|outcome| outcome.rows.clone());
    expect_eq("before", &Some(vec![]), &read(outcomes.first()))?;
    let row = run_params(&bench.begin.run);
    expect_eq("behind", &Some(vec![row]), &read(outcomes.last()))
}

pub(super) async fn a_failing_third_statement_leaves_nothing<D: Driver>(
    bench: Bench<'_, D>,
) -> Verdict {
    let mut batch = batch::begin_batch(&bench.begin, Section::D1);
    batch.insert(2, failing());
    match bench.driver.apply(batch).await {
        Ok(outcomes) => return Err(format!("apply: expected an error, found {outcomes:?}")),
        Err(error) => expect_eq("full", &false, &error.full)?,
    }
    expect_eq("run", &vec![], &bench.rows(bench.read()).await?)?;
    let log = statement(sql::LOG_END, vec![bench.run_id()]);
    expect_eq(
        "log_end",
        &vec![vec![Value::Integer(0)]],
        &bench.rows(log).await?,
    )
}

pub(super) async fn a_batch_works_behind_one_that_failed<D: Driver>(
    bench: Bench<'_, D>,
) -> Verdict {
    for _ in 0..2 {
        if bench
            .driver
            .apply(vec![bench.read(), failing()])
            .await
            .is_ok()
        {
            return Err("apply: expected an error, found success".to_owned());
        }
    }
    bench.begun().await?;
    let found = bench.rows(bench.read()).await?;
    expect_eq("columns", &vec![run_params(&bench.begin.run)], &found)
}

pub(super) async fn sync_answers_behind_a_batch<D: Driver>(bench: Bench<'_, D>) -> Verdict {
    bench.begun().await?;
    bench
        .driver
        .sync()
        .await
        .map_err(|error| unexpected(&error))?;
    expect_eq("runs", &1, &bench.rows(bench.read()).await?.len())
}

pub(super) async fn barrier_answers_behind_a_batch<D: Driver>(bench: Bench<'_, D>) -> Verdict {
    bench.begun().await?;
    bench
        .driver
        .barrier()
        .await
        .map_err(|error| unexpected(&error))?;
    expect_eq("runs", &1, &bench.rows(bench.read()).await?.len())
}
