//! D1 as the durable store behind the objects: ships in, hydration and cross-session reads out.
//!
//! Owns the operations over the schema's `d1` section that go beyond the store contract.
//! Invariant: each statement of a ship is fenced by the session's birth and by the ship's own rev
//! and line count, so that a late or repeated ship can't undo a newer one.

use super::encode::{
    event_params, log_params, message_params, run_id_bounds, run_params, session_params,
    step_params,
};
use super::{
    Driver, Error, EventRecord, LogRow, Message, Run, Session, SqlStore, Statement, Status, Step,
    Value, decode, sql,
};

/// What one ship carries: a prefix of a run that is a correct resume point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// The session it belongs to.
    pub session: Session,
    /// The run as of these lines; its `rev` and `state.line_count` fence the ship.
    pub run: Run,
    /// The seq from which on this ship holds the lines.
    pub from_seq: u64,
    /// Lines `from_seq..run.state.line_count`.
    pub log: Vec<LogRow>,
    /// Messages that D1 lacks.
    pub messages: Vec<Message>,
    /// Steps that D1 lacks.
    pub steps: Vec<Step>,
    /// Events that D1 lacks.
    pub events: Vec<EventRecord>,
}

/// What D1 holds after a ship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stands {
    /// The life that owns the session.
    pub birth: String,
    /// Turns below it were erased.
    pub first_turn: u64,
    /// The run's rev and line count, when D1 has the run.
    pub run: Option<(u64, u64)>,
}

/// An open run that nobody has looked at for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRun {
    /// The run.
    pub run_id: String,
    /// Its tenant.
    pub tenant: String,
    /// Its session.
    pub session: String,
    /// Its turn.
    pub turn_index: u64,
}

/// Which of a tenant's runs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only with this status.
    pub status: Option<Status>,
    /// Only of this session.
    pub session: Option<String>,
    /// Behind this run: its `created_at` and id.
    pub after: Option<(i64, String)>,
}

fn ship_batch(ship: &Shipment) -> Vec<Statement> {
    let run = &ship.run;
    let landed = || -> Vec<Value> {
        vec![
            (&ship.session.session_key).into(),
            (&ship.session.birth).into(),
            (&run.run_id).into(),
            run.rev.into(),
            run.state.line_count.into(),
        ]
    };
    let with = |sql, more: Vec<Value>| {
        let mut params = landed();
        params.extend(more);
        Statement { sql, params }
    };
    let mut run_row = run_params(run);
    run_row.extend([
        (&ship.session.session_key).into(),
        (&ship.session.birth).into(),
    ]);
    let mut batch = vec![
        Statement {
            sql: sql::SHIP_SESSION,
            params: session_params(&ship.session),
        },
        Statement {
            sql: sql::SHIP_RUN,
            params: run_row,
        },
    ];
    if !ship.log.is_empty() {
        batch.push(with(sql::SHIP_TRIM, vec![ship.from_seq.into()]));
        batch.extend(
            ship.log
                .iter()
                .map(|row| with(sql::SHIP_LINES, log_params(row))),
        );
    }
    let key = &ship.session.session_key;
    batch.extend(
        ship.messages
            .iter()
            .map(|message| with(sql::SHIP_MESSAGE, message_params(key, message))),
    );
    batch.extend(
        ship.steps
            .iter()
            .map(|step| with(sql::SHIP_STEP, step_params(step))),
    );
    batch.extend(
        ship.events
            .iter()
            .map(|event| with(sql::SHIP_EVENT, event_params(event))),
    );
    batch.push(Statement {
        sql: sql::SHIP_VERDICT,
        params: vec![key.into(), (&run.run_id).into()],
    });
    batch
}

impl<D: Driver> SqlStore<D> {
    /// Ships and tells what D1 holds afterwards; `None` when it has no such session.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: when `unknown`, the ship may have landed, and may be repeated.
    pub async fn ship(&self, shipment: &Shipment) -> Result<Option<Stands>, Error> {
        let outcomes = self.driver().apply(ship_batch(shipment)).await?;
        let row = outcomes.into_iter().next_back().unwrap_or_default().rows;
        let Some(row) = row.into_iter().next() else {
            return Ok(None);
        };
        let mut row = decode::Columns::new("sessions", row);
        let birth = row.text()?;
        let first_turn = row.count()?;
        let rev = row.optional_integer()?;
        let lines = row.optional_integer()?;
        Ok(Some(Stands {
            birth,
            first_turn,
            run: match (rev.map(u64::try_from), lines.map(u64::try_from)) {
                (Some(Ok(rev)), Some(Ok(lines))) => Some((rev, lines)),
                _ => None,
            },
        }))
    }

    /// Takes a session over from the life that was read; false when another was faster.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn claim(&self, session_key: &str, from: &str, to: &str) -> Result<bool, Error> {
        let batch = vec![
            Statement {
                sql: sql::CLAIM_SESSION,
                params: vec![session_key.into(), from.into(), to.into()],
            },
            Statement {
                sql: sql::SESSION,
                params: vec![session_key.into()],
            },
        ];
        let outcomes = self.driver().apply(batch).await?;
        let rows = outcomes.into_iter().next_back().unwrap_or_default().rows;
        let session = rows.into_iter().next().map(decode::session).transpose()?;
        Ok(session.is_some_and(|session| session.birth == to))
    }

    /// A page of a session's runs in the order of their ids, strictly after `after`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn hydration_runs(
        &self,
        session_key: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Run>, Error> {
        let [low, high] = run_id_bounds(session_key);
        let from = after.map_or_else(|| low.clone(), Value::from);
        let params = vec![from, high, limit.into(), low];
        let rows = self.query(sql::HYDRATION_RUNS, params).await?;
        Ok(rows
            .into_iter()
            .map(decode::run)
            .collect::<Result<_, _>>()?)
    }

    /// A tenant's runs, newest first. `prefix` is what its run ids begin with: `[<project>:]<tenant>:`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn list_runs(
        &self,
        tenant: &str,
        prefix: &str,
        filter: &RunFilter,
        limit: u32,
    ) -> Result<Vec<Run>, Error> {
        let (created_at, run_id) = match &filter.after {
            Some((created_at, run_id)) => (*created_at, run_id.as_str()),
            None => (i64::from(u32::MAX) * 1_000_000, ""),
        };
        let params = vec![
            tenant.into(),
            filter.status.map(Status::name).into(),
            filter.session.as_ref().into(),
            created_at.into(),
            run_id.into(),
            limit.into(),
            prefix.into(),
        ];
        let rows = self.query(sql::RUNS_OF_TENANT, params).await?;
        Ok(rows
            .into_iter()
            .map(decode::run)
            .collect::<Result<_, _>>()?)
    }

    /// Open runs of a project that wanted to be looked at before `before`. `prefix` is what its run
    /// ids begin with: `<project>:`, or nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn due_runs(
        &self,
        prefix: &str,
        before: i64,
        limit: u32,
    ) -> Result<Vec<DueRun>, Error> {
        let params = vec![before.into(), limit.into(), prefix.into()];
        let rows = self.query(sql::DUE_RUNS, params).await?;
        rows.into_iter()
            .map(|row| {
                let mut row = decode::Columns::new("runs", row);
                Ok(DueRun {
                    run_id: row.text()?,
                    tenant: row.text()?,
                    session: row.text()?,
                    turn_index: row.count()?,
                })
            })
            .collect()
    }

    /// Expires the lines of up to `limit` runs that finished by `before`, in one batch; how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn expire_logs(&self, before: i64, limit: u32) -> Result<u64, Error> {
        let batch = [sql::EXPIRE_LINES, sql::EXPIRE_RUNS]
            .into_iter()
            .map(|sql| Statement {
                sql,
                params: vec![before.into(), limit.into()],
            })
            .collect();
        let outcomes = self.driver().apply(batch).await?;
        Ok(outcomes.last().map_or(0, |outcome| outcome.changes))
    }

    /// Sets the tombstone of a deleted session: turns below its `first_turn` are gone for good.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn set_tombstone(&self, session: &Session, now: i64) -> Result<(), Error> {
        let batch = vec![
            // A session that was never shipped leaves its tombstone too.
            Statement {
                sql: sql::SHIP_SESSION,
                params: session_params(session),
            },
            Statement {
                sql: sql::D1_TOMBSTONE,
                params: vec![
                    (&session.session_key).into(),
                    (&session.birth).into(),
                    now.into(),
                    session.first_turn.into(),
                ],
            },
        ];
        self.driver().apply(batch).await?;
        Ok(())
    }

    /// Erases up to `limit` runs below `first_turn`; how many. Zero means that all are gone.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn erase_runs(
        &self,
        session_key: &str,
        first_turn: u64,
        limit: u32,
    ) -> Result<usize, Error> {
        let [low, high] = run_id_bounds(session_key);
        let params = vec![low, high, first_turn.into(), limit.into()];
        let rows = self.query(sql::D1_ERASED_RUNS, params).await?;
        let erased = rows.len();
        let mut batch = Vec::new();
        for row in rows {
            let run_id = decode::Columns::new("runs", row).text()?;
            batch.extend(sql::D1_ERASE_RUN.into_iter().map(|sql| Statement {
                sql,
                params: vec![(&run_id).into()],
            }));
        }
        batch.push(Statement {
            sql: sql::D1_ERASE_MESSAGES,
            params: vec![session_key.into(), first_turn.into()],
        });
        self.driver().apply(batch).await?;
        Ok(erased)
    }
}
